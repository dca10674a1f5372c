//! Makes content of a commit.
//!
//! In: objects and the id of a commit. Out: its files and who made it, or the first reason to
//! refuse it. Limits bind before a file is unpacked. Submodules, attributes and every other
//! instruction that a repository may carry are not followed: they are only names here (B2).

use std::collections::BTreeMap;
use std::sync::Arc;

use fixpoint_base::Limits;
use fixpoint_source::tree::check_path;
use fixpoint_source::{Content, StoreError, TreeBuilder, TreeProblem};
use gix_hash::ObjectId;
use gix_object::tree::EntryKind;
use gix_object::{CommitRef, Kind, TreeRefIter};

use crate::excludes::{is_excluded_file, is_excluded_folder};
use crate::meter::{Meter, plain};
use crate::objects::Objects;

/// Entries looked at for every file that a tree may hold: folders within folders and files that
/// are left out cost time too.
const ENTRIES_PER_FILE: usize = 4;

/// Characters of a subject or an author that are kept.
const LINE: usize = 200;

/// Bytes of a link's target: the longest path that Linux takes.
const LINK_BYTES: u64 = 4096;

/// Files of the version read last, by id. The next version takes from here what did not change:
/// it need not be unpacked and checked again, and both versions share one copy.
#[derive(Default)]
pub(crate) struct Blobs(BTreeMap<ObjectId, Arc<[u8]>>);

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blobs({})", self.0.len())
    }
}

/// Reads the content of a commit.
///
/// # Errors
/// When an object is missing or broken, or the tree holds something that no tree may hold.
pub(crate) fn read(
    objects: &Objects<'_>,
    commit: &ObjectId,
    limits: &Limits,
    blobs: &mut Blobs,
) -> Result<Content, StoreError> {
    let meter = objects.meter();
    let data = objects.require(commit, Kind::Commit)?;
    let about = Commit::parse(&data).ok_or_else(|| malformed(meter, commit, "commit"))?;
    let mut walk = Walk {
        objects,
        limits,
        builder: TreeBuilder::new(limits),
        before: blobs,
        now: Blobs::default(),
        entries: 0,
        files: 0,
        bytes: 0,
    };
    walk.folder("", &about.tree)?;
    let Walk { builder, now, .. } = walk;
    let tree = builder.build()?;
    *blobs = now;
    Ok(Content { tree, subject: about.subject, author: about.author, committed: about.committed })
}

struct Commit {
    tree: ObjectId,
    subject: String,
    author: String,
    committed: i64,
}

impl Commit {
    fn parse(data: &[u8]) -> Option<Self> {
        let commit = CommitRef::from_bytes(data, gix_hash::Kind::Sha1).ok()?;
        let author = commit.author().ok()?;
        let message = commit.message.to_string();
        Some(Self {
            tree: commit.tree(),
            subject: plain(message.trim_start().lines().next().unwrap_or_default(), LINE),
            author: plain(&format!("{} <{}>", author.name, author.email), LINE),
            committed: commit.committer().ok()?.seconds(),
        })
    }
}

struct Walk<'a> {
    objects: &'a Objects<'a>,
    limits: &'a Limits,
    builder: TreeBuilder<'a>,
    before: &'a Blobs,
    now: Blobs,
    entries: usize,
    files: usize,
    bytes: u64,
}

impl Walk<'_> {
    /// Walks one folder. It calls itself; `check_path` has bounded the depth before.
    fn folder(&mut self, path: &str, id: &ObjectId) -> Result<(), StoreError> {
        let data = self.objects.require(id, Kind::Tree)?;
        for entry in TreeRefIter::from_bytes(&data, gix_hash::Kind::Sha1) {
            let entry = entry.map_err(|_| malformed(self.objects.meter(), id, "tree"))?;
            self.count_entry()?;
            let name = std::str::from_utf8(entry.filename).map_err(|_| TreeProblem::Path {
                path: plain(&format!("{path}/{}", entry.filename), LINE),
                reason: "it is not UTF-8",
            })?;
            let at = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            check_path(&at, self.limits)?;
            let oid = entry.oid.to_owned();
            match entry.mode.kind() {
                EntryKind::Tree if is_excluded_folder(&at) => {}
                EntryKind::Tree => self.folder(&at, &oid)?,
                // A submodule: another repository, which nobody asked for.
                EntryKind::Commit => {}
                EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link
                    if is_excluded_file(&at) => {}
                EntryKind::Blob => self.file(&at, &oid, false)?,
                EntryKind::BlobExecutable => self.file(&at, &oid, true)?,
                EntryKind::Link => self.link(path, &at, &oid)?,
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str, id: &ObjectId, executable: bool) -> Result<(), StoreError> {
        let known = self.now.0.get(id).or_else(|| self.before.0.get(id)).cloned();
        let size = match &known {
            Some(bytes) => bytes.len() as u64,
            None => self.size(id)?,
        };
        if size > self.limits.file_bytes {
            return Err(over(
                format!("file {path:?} ({size} bytes)"),
                self.limits.file_bytes,
                "bytes",
            ));
        }
        self.files += 1;
        if self.files > self.limits.files {
            return Err(over("the number of files".into(), self.limits.files as u64, "files"));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.tree_bytes {
            return Err(over("the tree".into(), self.limits.tree_bytes, "bytes"));
        }
        let bytes = match known {
            Some(bytes) => bytes,
            None => self.objects.require(id, Kind::Blob)?.into(),
        };
        self.now.0.insert(*id, Arc::clone(&bytes));
        Ok(self.builder.file(path, bytes, executable)?)
    }

    fn link(&mut self, folder: &str, path: &str, id: &ObjectId) -> Result<(), StoreError> {
        let refused =
            |reason| TreeProblem::Link { path: path.chars().take(LINE).collect(), reason };
        if self.size(id)? > LINK_BYTES {
            return Err(refused("its target is longer than 4096 bytes").into());
        }
        let target = self.objects.require(id, Kind::Blob)?;
        let target = String::from_utf8(target).map_err(|_| refused("its target is not UTF-8"))?;
        // A link to a picture must not make the source fail because pictures are left out.
        let names = joined(folder, &target);
        if is_excluded_file(&names) || is_excluded_folder(&names) {
            return Ok(());
        }
        Ok(self.builder.link(path, &target)?)
    }

    fn size(&self, id: &ObjectId) -> Result<u64, StoreError> {
        match self.objects.header(id)? {
            Some((_, size)) => Ok(size),
            None => Err(self.objects.meter().corrupt(format!("object {id} is missing"))),
        }
    }

    /// A few small tree objects can stand for endless folders: each visit counts.
    fn count_entry(&mut self) -> Result<(), StoreError> {
        self.entries += 1;
        let most = self.limits.files.saturating_mul(ENTRIES_PER_FILE);
        if self.entries > most {
            return Err(over("the number of files and folders".into(), most as u64, "entries"));
        }
        Ok(())
    }
}

/// Where a link's target is, without asking whether that is allowed.
fn joined(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn over(what: String, limit: u64, unit: &str) -> StoreError {
    TreeProblem::Limit { what, limit: format!("{limit} {unit}") }.into()
}

fn malformed(meter: &Meter, id: &ObjectId, what: &str) -> StoreError {
    meter.corrupt(format!("{what} {id} is malformed"))
}
