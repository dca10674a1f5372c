//! Answers the four questions for a repository in a folder of this machine.
//!
//! In: references and ids. Out: names, pointers, content and ancestry, read where they are:
//! nothing is copied, no program is started and no configuration is obeyed. Only folders that
//! the operator named are looked into, wherever links lead.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fixpoint_base::Limits;
use fixpoint_source::{Ancestry, Content, Name, Pointer, Reference, Selection, Store, StoreError};
use gix_hash::ObjectId;
use gix_object::{Kind, TagRef};
use gix_ref::{Target, file};

use crate::content::{self, Blobs};
use crate::history::relate;
use crate::meter::{Meter, plain};
use crate::names;
use crate::objects::Objects;
use crate::protocol::MAX_NAMES;
use crate::remote::{facts, no_such_name, parse_id};

/// Commits looked at to tell how two relate.
const MAX_COMMITS: usize = 100_000;

/// Tags of tags that are followed.
const MAX_PEELS: usize = 8;

/// Symbolic names that are followed.
const MAX_SYMBOLIC: usize = 5;

/// Bytes of a configuration that are looked at.
const MAX_CONFIG: u64 = 1024 * 1024;

/// A repository in a folder.
pub(crate) struct Local {
    pub(crate) url: String,
    pub(crate) path: PathBuf,
    pub(crate) allowed: Arc<[PathBuf]>,
    pub(crate) timeout: Duration,
    pub(crate) limits: Arc<Limits>,
    /// Files of the version read last.
    pub(crate) blobs: Arc<Mutex<Blobs>>,
}

impl Store for Local {
    fn names(&self) -> Result<Vec<Name>, StoreError> {
        let meter = self.meter();
        let repository = Repository::open(self, &meter)?;
        repository.names("")
    }

    fn pointer(&self, reference: &Reference) -> Result<Pointer, StoreError> {
        names::check(reference)?;
        let meter = self.meter();
        let repository = Repository::open(self, &meter)?;
        if let Reference::Commit { id, branch: Some(branch) } = reference {
            let branch = Reference::Branch(branch.clone());
            let tip = repository.choose(&branch)?;
            match repository.relate(parse_id(id)?, parse_id(&tip.commit)?)? {
                Ancestry::Same | Ancestry::Forward | Ancestry::Unknown => {}
                Ancestry::Backward | Ancestry::Diverged => {
                    return Err(no_such_name(&meter, reference, &[]));
                }
            }
        }
        repository.choose(reference)
    }

    fn content(&self, pointer: &Pointer, selection: &Selection) -> Result<Content, StoreError> {
        if selection.submodules() {
            return Err(StoreError::Unsupported {
                what: "spec.recurseSubmodules with a file:// URL".to_owned(),
            });
        }
        let meter = self.meter();
        let repository = Repository::open(self, &meter)?;
        let commit = parse_id(&pointer.commit)?;
        if repository.objects.header(&commit)?.is_none() {
            return Err(StoreError::NoSuchName {
                wanted: format!("commit {commit}"),
                url: meter.url().to_owned(),
                known: Vec::new(),
            });
        }
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        content::read(&repository.objects, &commit, selection, &self.limits, &mut blobs)
    }

    fn objects(&self, pointer: &Pointer) -> Result<fixpoint_source::Objects, StoreError> {
        let meter = self.meter();
        let tag = pointer.tag_object.as_deref().map(parse_id).transpose()?;
        let commit = parse_id(&pointer.commit)?;
        Repository::open(self, &meter)?.objects.raw(&commit, tag.as_ref())
    }

    fn ancestry(&self, old: &str, new: &Pointer) -> Result<Ancestry, StoreError> {
        let (old, new) = (parse_id(old)?, parse_id(&new.commit)?);
        let meter = self.meter();
        Repository::open(self, &meter)?.relate(old, new)
    }
}

impl Local {
    fn meter(&self) -> Meter {
        Meter::start(&self.url, self.timeout, u64::MAX)
    }
}

/// Finds the folder that holds the objects and names of a repository, and refuses any that is
/// not, with all its links followed, within an allowed folder.
///
/// # Errors
/// When the folder is not allowed, is no repository, or one of a kind that is not read.
pub(crate) fn git_dir(
    path: &Path,
    allowed: &[PathBuf],
    meter: &Meter,
) -> Result<PathBuf, StoreError> {
    let root = canonical(path, path, allowed, meter)?;
    let below = root.join(".git");
    if below.is_file() {
        return Err(StoreError::Unsupported {
            what: "a linked worktree or submodule (name the main repository instead)".to_owned(),
        });
    }
    let dir = if below.is_dir() { canonical(&below, path, allowed, meter)? } else { root };
    for part in ["objects", "refs"] {
        let part = dir.join(part);
        if !part.is_dir() {
            return Err(not_found(meter));
        }
        canonical(&part, path, allowed, meter)?;
    }
    check_format(&dir)?;
    Ok(dir)
}

fn canonical(
    path: &Path,
    declared: &Path,
    allowed: &[PathBuf],
    meter: &Meter,
) -> Result<PathBuf, StoreError> {
    let folders: Vec<PathBuf> =
        allowed.iter().filter_map(|dir| fs::canonicalize(dir).ok()).collect();
    let within = |path: &Path| folders.iter().any(|folder| path.starts_with(folder));
    match fs::canonicalize(path) {
        Ok(found) if within(&found) => Ok(found),
        // What is not there is only said of places that may be looked at.
        Err(_) if within(declared) || allowed.iter().any(|dir| declared.starts_with(dir)) => {
            Err(not_found(meter))
        }
        _ => Err(StoreError::NotAllowed {
            url: meter.url().to_owned(),
            reason: "it is not in a folder that local sources are allowed in".to_owned(),
            hint: Some("start the engine with --allow-file-sources DIR".to_owned()),
        }),
    }
}

/// Two formats cannot be read; their names in the configuration are facts, not instructions.
fn check_format(dir: &Path) -> Result<(), StoreError> {
    let unsupported = |what: &str| Err(StoreError::Unsupported { what: what.to_owned() });
    if dir.join("reftable").exists() {
        return unsupported("a repository with reftable names");
    }
    let config = dir.join("config");
    if fs::metadata(&config).is_ok_and(|meta| meta.len() <= MAX_CONFIG) {
        let text = fs::read(&config).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
        let is_sha256 = |line: &str| {
            line.split_once('=').is_some_and(|(key, value)| {
                key.trim() == "objectformat" && value.trim() == "sha256"
            })
        };
        if text.lines().any(is_sha256) {
            return unsupported("a repository with SHA-256 ids");
        }
    }
    Ok(())
}

fn not_found(meter: &Meter) -> StoreError {
    StoreError::NotFound { url: meter.url().to_owned() }
}

struct Repository<'a> {
    refs: file::Store,
    objects: Objects<'a>,
    meter: &'a Meter,
}

impl<'a> Repository<'a> {
    fn open(local: &'a Local, meter: &'a Meter) -> Result<Self, StoreError> {
        let dir = git_dir(&local.path, &local.allowed, meter)?;
        let objects = Objects::open(&dir.join("objects"), &local.limits, meter)?;
        let refs = file::Store::at(dir, gix_hash::Kind::Sha1);
        Ok(Self { refs, objects, meter })
    }

    fn choose(&self, reference: &Reference) -> Result<Pointer, StoreError> {
        let listed = match reference {
            Reference::Commit { .. } => Vec::new(),
            reference => self.names(&names::prefix(reference))?,
        };
        if let Some(pointer) = names::choose(reference, &listed) {
            return Ok(pointer);
        }
        let known = self.names(names::neighbours(reference))?;
        Err(no_such_name(self.meter, reference, &known))
    }

    /// All names that start with a prefix, `HEAD` among them.
    fn names(&self, prefix: &str) -> Result<Vec<Name>, StoreError> {
        let mut found = Vec::new();
        if "HEAD".starts_with(prefix)
            && let Some(head) = self.refs.try_find("HEAD").map_err(|err| self.broken(&err))?
        {
            found.extend(self.name(head)?);
        }
        let platform = self.refs.iter().map_err(|err| self.broken(&err))?;
        for reference in platform.all().map_err(|err| self.broken(&err))? {
            let reference = reference.map_err(|err| self.broken(&err))?;
            if !reference.name.as_bstr().starts_with(prefix.as_bytes()) {
                continue;
            }
            if found.len() >= MAX_NAMES {
                return Err(self.meter.limit(format!("it lists more than {MAX_NAMES} names")));
            }
            found.extend(self.name(reference)?);
        }
        Ok(found)
    }

    /// One name with what it points to; nothing when that does not exist yet.
    fn name(&self, reference: gix_ref::Reference) -> Result<Option<Name>, StoreError> {
        let Ok(full) = std::str::from_utf8(reference.name.as_bstr()).map(ToOwned::to_owned) else {
            return Ok(None);
        };
        let mut target = reference.target;
        let mut known = reference.peeled;
        for _ in 0..MAX_SYMBOLIC {
            match target {
                Target::Object(id) => {
                    let peeled = match known.filter(|peeled| *peeled != id) {
                        Some(peeled) => Some(peeled),
                        None if full.starts_with("refs/tags/") => self.peel(id)?,
                        None => None,
                    };
                    let peeled = peeled.map(|id| id.to_string());
                    return Ok(Some(Name { full, target: id.to_string(), peeled }));
                }
                Target::Symbolic(name) => {
                    let found =
                        self.refs.try_find(name.as_ref()).map_err(|err| self.broken(&err))?;
                    let Some(found) = found else {
                        return Ok(None);
                    };
                    known = found.peeled;
                    target = found.target;
                }
            }
        }
        Ok(None)
    }

    /// What is behind an annotated tag; nothing when it is not one.
    fn peel(&self, id: ObjectId) -> Result<Option<ObjectId>, StoreError> {
        let mut at = id;
        for _ in 0..MAX_PEELS {
            match self.objects.header(&at)? {
                Some((Kind::Tag, _)) => {}
                _ => return Ok((at != id).then_some(at)),
            }
            let data = self.objects.require(&at, Kind::Tag)?;
            let tag = TagRef::from_bytes(&data, gix_hash::Kind::Sha1)
                .map_err(|_| self.meter.corrupt(format!("tag {at} is malformed")))?;
            at = tag.target();
        }
        Err(self.meter.corrupt(format!("tag {id} leads to more than {MAX_PEELS} tags")))
    }

    fn relate(&self, old: ObjectId, new: ObjectId) -> Result<Ancestry, StoreError> {
        relate(old, new, MAX_COMMITS, &mut |id| facts(&self.objects, id))
    }

    fn broken(&self, err: &impl std::fmt::Display) -> StoreError {
        self.meter.corrupt(format!("its names cannot be read: {}", plain(&err.to_string(), 200)))
    }
}
