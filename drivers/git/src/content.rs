//! Makes content of a commit.
//!
//! In: objects, the id of a commit and what of it is wanted. Out: its files and who made it, or the
//! first reason to refuse it. Limits bind before a file is unpacked, and what is not wanted never
//! is. Attributes and every other instruction that a repository may carry are not followed: they are
//! only names here (B2), and so are submodules that were not fetched before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fixpoint_base::Limits;
use fixpoint_source::tree::check_path;
use fixpoint_source::{
    Content, Selection, Sieve, SieveBuilder, StoreError, TreeBuilder, TreeProblem, ignore,
};
use gix_hash::ObjectId;
use gix_object::tree::EntryKind;
use gix_object::{CommitRef, Kind, TreeRefIter};

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

/// Reads the content of a commit, as far as it is wanted.
///
/// # Errors
/// When an object is missing or broken, or the tree holds something that no tree may hold.
pub(crate) fn read(
    objects: &Objects<'_>,
    commit: &ObjectId,
    selection: &Selection,
    limits: &Limits,
    blobs: &mut Blobs,
) -> Result<Content, StoreError> {
    let meter = objects.meter();
    let data = objects.small(commit, Kind::Commit)?;
    let about = Commit::parse(&data).ok_or_else(|| malformed(meter, commit, "commit"))?;
    // Patterns may be in any folder, and one of them is enough to replace the default list: they
    // are all known before the first file is read.
    let mut search = Search {
        folders: Folders::new(objects, limits),
        selection,
        missing: selection.folders().collect(),
        found: SieveBuilder::default(),
    };
    search.folder("", &about.tree)?;
    if let Some(folder) = search.missing.first() {
        let (folder, url) = ((*folder).to_owned(), meter.url().to_owned());
        return Err(StoreError::NoSuchFolder { folder, url });
    }
    let sieve = selection.sieve(search.found)?;
    let mut walk = Walk {
        folders: Folders::new(objects, limits),
        selection,
        sieve: &sieve,
        builder: TreeBuilder::new(limits),
        before: blobs,
        now: Blobs::default(),
        files: 0,
        bytes: 0,
    };
    walk.folder("", &about.tree)?;
    let Walk { builder, now, .. } = walk;
    let tree = builder.build()?;
    *blobs = now;
    let Commit { tree: _, subject, author, committed } = about;
    Ok(Content { tree, sieve, subject, author, committed, submodules: Vec::new() })
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

/// One entry of a folder.
struct Item {
    path: String,
    kind: EntryKind,
    id: ObjectId,
}

/// Opens folders, as many as the limits allow.
struct Folders<'a> {
    objects: &'a Objects<'a>,
    limits: &'a Limits,
    entries: usize,
}

impl<'a> Folders<'a> {
    fn new(objects: &'a Objects<'a>, limits: &'a Limits) -> Self {
        Self { objects, limits, entries: 0 }
    }

    /// Everything directly in a folder. Whoever walks on from here calls itself; the check of the
    /// paths bounds the depth.
    fn open(&mut self, path: &str, id: &ObjectId) -> Result<Vec<Item>, StoreError> {
        let data = self.objects.require(id, Kind::Tree)?;
        let mut items = Vec::new();
        for entry in TreeRefIter::from_bytes(&data, gix_hash::Kind::Sha1) {
            let entry = entry.map_err(|_| malformed(self.objects.meter(), id, "tree"))?;
            self.count_entry()?;
            let name = std::str::from_utf8(entry.filename).map_err(|_| TreeProblem::Path {
                path: plain(&format!("{path}/{}", entry.filename), LINE),
                reason: "it is not UTF-8",
            })?;
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            check_path(&path, self.limits)?;
            let (kind, id) = (entry.mode.kind(), entry.oid.to_owned());
            let (kind, id) = match self.objects.mounted(&id) {
                Some(folder) if kind == EntryKind::Commit => (EntryKind::Tree, folder),
                _ => (kind, id),
            };
            items.push(Item { path, kind, id });
        }
        Ok(items)
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

    fn size(&self, id: &ObjectId) -> Result<u64, StoreError> {
        match self.objects.header(id)? {
            Some((_, size)) => Ok(size),
            None => Err(self.objects.meter().corrupt(format!("object {id} is missing"))),
        }
    }
}

/// Looks for files of patterns, and for the folders that must be there.
struct Search<'a> {
    folders: Folders<'a>,
    selection: &'a Selection,
    missing: BTreeSet<&'a str>,
    found: SieveBuilder,
}

impl Search<'_> {
    fn folder(&mut self, path: &str, id: &ObjectId) -> Result<(), StoreError> {
        let (files, folders): (Vec<Item>, Vec<Item>) = self
            .folders
            .open(path, id)?
            .into_iter()
            .partition(|item| !matches!(item.kind, EntryKind::Tree));
        for Item { path, kind, id } in files {
            self.missing.remove(path.as_str());
            let is_file = matches!(kind, EntryKind::Blob | EntryKind::BlobExecutable);
            let is_list = path.rsplit('/').next() == Some(ignore::FILE);
            if is_file && is_list && self.selection.has(&path) {
                self.found.admit(&path, self.folders.size(&id)?)?;
                let bytes = self.folders.objects.require(&id, Kind::Blob)?;
                self.found.add(&path, &bytes)?;
            }
        }
        for Item { path, id, .. } in folders {
            self.missing.remove(path.as_str());
            if self.selection.leads(&path) {
                self.folder(&path, &id)?;
            }
        }
        Ok(())
    }
}

/// Reads the files that are wanted.
struct Walk<'a> {
    folders: Folders<'a>,
    selection: &'a Selection,
    sieve: &'a Sieve,
    builder: TreeBuilder<'a>,
    before: &'a Blobs,
    now: Blobs,
    files: usize,
    bytes: u64,
}

impl Walk<'_> {
    fn folder(&mut self, path: &str, id: &ObjectId) -> Result<(), StoreError> {
        for Item { path: at, kind, id } in self.folders.open(path, id)? {
            match kind {
                EntryKind::Tree => {
                    if self.selection.leads(&at) && !self.drops_folder(&at)? {
                        self.folder(&at, &id)?;
                    }
                }
                // A submodule that nobody asked for.
                EntryKind::Commit => {}
                EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link
                    if !self.wants(&at)? => {}
                EntryKind::Blob => self.file(&at, &id, false)?,
                EntryKind::BlobExecutable => self.file(&at, &id, true)?,
                EntryKind::Link => self.link(path, &at, &id)?,
            }
        }
        Ok(())
    }

    /// Whether a file is selected and not ignored.
    fn wants(&self, path: &str) -> Result<bool, StoreError> {
        let meter = self.folders.objects.meter();
        Ok(self.selection.has(path) && !self.sieve.drops_file(path, &mut || meter.check())?)
    }

    fn drops_folder(&self, path: &str) -> Result<bool, StoreError> {
        let meter = self.folders.objects.meter();
        self.sieve.drops_folder(path, &mut || meter.check())
    }

    fn file(&mut self, path: &str, id: &ObjectId, executable: bool) -> Result<(), StoreError> {
        let known = self.now.0.get(id).or_else(|| self.before.0.get(id)).cloned();
        let size = match &known {
            Some(bytes) => bytes.len() as u64,
            None => self.folders.size(id)?,
        };
        let limits = self.folders.limits;
        if size > limits.file_bytes {
            return Err(over(format!("file {path:?} ({size} bytes)"), limits.file_bytes, "bytes"));
        }
        self.files += 1;
        if self.files > limits.files {
            return Err(over("the number of files".into(), limits.files as u64, "files"));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > limits.tree_bytes {
            return Err(over("the tree".into(), limits.tree_bytes, "bytes"));
        }
        let bytes = match known {
            Some(bytes) => bytes,
            None => self.folders.objects.require(id, Kind::Blob)?.into(),
        };
        self.now.0.insert(*id, Arc::clone(&bytes));
        Ok(self.builder.file(path, bytes, executable)?)
    }

    fn link(&mut self, folder: &str, path: &str, id: &ObjectId) -> Result<(), StoreError> {
        let refused =
            |reason| TreeProblem::Link { path: path.chars().take(LINE).collect(), reason };
        if self.folders.size(id)? > LINK_BYTES {
            return Err(refused("its target is longer than 4096 bytes").into());
        }
        let target = self.folders.objects.require(id, Kind::Blob)?;
        let target = String::from_utf8(target).map_err(|_| refused("its target is not UTF-8"))?;
        // A link to a picture must not make the source fail because pictures are left out.
        let names = joined(folder, &target);
        if !names.is_empty() && (!self.wants(&names)? || self.drops_folder(&names)?) {
            return Ok(());
        }
        Ok(self.builder.link(path, &target)?)
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
