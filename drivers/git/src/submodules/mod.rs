//! Fetches the repositories that a repository has within it.
//!
//! In: a commit that is here. Out: the commits of its submodules, and of theirs, fetched from
//! where `.gitmodules` says, as far as that is allowed; and a record of what came from where. The
//! commit pins each of them, so nothing is believed of a server but that it has it. Depth, number,
//! time and bytes are bounded for all of them together.

mod gitmodules;
mod place;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use fixpoint_base::Limits;
use fixpoint_source::tree::check_path;
use fixpoint_source::{Selection, StoreError, Submodule};
use gix_hash::ObjectId;
use gix_object::tree::EntryKind;
use gix_object::{CommitRef, Kind, TreeRefIter};

pub(crate) use self::place::Rule;
use self::place::{Server, resolve};
use crate::http::Http;
use crate::location::shown;
use crate::meter::{Meter, plain};
use crate::mirror::Mirror;
use crate::mirrors::Mirrors;
use crate::objects::Objects;
use crate::remote::Remote;

/// Repositories within repositories.
const MAX_DEPTH: usize = 5;

/// Submodules of one version, at all depths.
const MAX_SUBMODULES: usize = 64;

/// Characters of a path that a message shows.
const LINE: usize = 200;

/// The file that says where submodules come from.
const FILE: &str = ".gitmodules";

/// What it takes to fetch the submodules of a source.
pub(crate) struct Nested {
    /// The declared URL of the source.
    pub(crate) url: String,
    /// Where they may come from.
    pub(crate) rule: Rule,
    /// The name of the source's own mirror: theirs are named after it.
    pub(crate) key: String,
    /// All mirrors.
    pub(crate) mirrors: Arc<Mirrors>,
    /// For servers that are not the source's.
    pub(crate) http: Arc<Http>,
}

/// Submodules that are here.
#[derive(Default)]
pub(crate) struct Mounts {
    /// The folders of their objects.
    pub(crate) dirs: Vec<PathBuf>,
    /// What stands for each commit of a submodule: its folder.
    pub(crate) trees: BTreeMap<ObjectId, ObjectId>,
    /// What came from where.
    pub(crate) origins: Vec<Submodule>,
    /// Held, so that nobody takes them for idle while they are read.
    mirrors: Vec<Arc<Mutex<Mirror>>>,
}

/// A repository whose submodules are looked for.
struct Job {
    /// Where it is in the tree of the source; empty, or with a slash at its end.
    prefix: String,
    /// Where it came from.
    url: String,
    dir: PathBuf,
    commit: ObjectId,
    depth: usize,
}

/// A submodule that a tree names.
struct Link {
    /// Within the source.
    path: String,
    /// As it is written.
    url: String,
    commit: ObjectId,
}

impl Nested {
    /// Fetches what is missing of all submodules of a commit.
    ///
    /// # Errors
    /// When one is not allowed, cannot be had, or a limit is hit.
    pub(crate) fn gather(
        &self,
        root: &Remote,
        dir: PathBuf,
        commit: ObjectId,
        selection: &Selection,
        meter: &Meter,
    ) -> Result<Mounts, StoreError> {
        let mut mounts = Mounts::default();
        let url = self.url.clone();
        let first = Job { prefix: String::new(), url, dir, commit, depth: 0 };
        let mut jobs = VecDeque::from([first]);
        while let Some(job) = jobs.pop_front() {
            for link in links(&job, selection, &root.limits, meter)? {
                if job.depth >= MAX_DEPTH {
                    return Err(meter.limit(format!(
                        "submodule {:?} is more than {MAX_DEPTH} repositories deep",
                        link.path
                    )));
                }
                if mounts.origins.len() >= MAX_SUBMODULES {
                    let most = format!("it has more than {MAX_SUBMODULES} submodules");
                    return Err(meter.limit(most));
                }
                let url = resolve(&job.url, &link.url)?;
                let dir = self.fetch(root, &url, &link, meter, &mut mounts)?;
                mounts.origins.push(Submodule {
                    path: link.path.clone(),
                    url: shown(&url),
                    commit: link.commit.to_string(),
                });
                let prefix = format!("{}/", link.path);
                jobs.push_back(Job { prefix, url, dir, commit: link.commit, depth: job.depth + 1 });
            }
        }
        Ok(mounts)
    }

    fn fetch(
        &self,
        root: &Remote,
        url: &str,
        link: &Link,
        meter: &Meter,
        mounts: &mut Mounts,
    ) -> Result<PathBuf, StoreError> {
        let (place, server) = self.rule.judge(url)?;
        let mirror = self.mirrors.below(&self.key, url);
        let mirror = mirror.map_err(|err| meter.local(err))?;
        let remote = match server {
            Server::Own => root.at(place, url, mirror),
            Server::Other => root.stranger(place, url, mirror, &self.http),
        };
        let remote = remote.ok_or_else(|| meter.corrupt("a submodule is nowhere"))?;
        // What is left of the source's time and bytes.
        let own = meter.within(&remote.url);
        let here = remote.with_mirror(&own, |mirror| {
            let dir = remote.have(mirror, &link.commit, &own)?;
            let objects = Objects::open(&dir, &root.limits, &own)?;
            let tree = folder(&objects, &link.commit)?;
            Ok((dir, tree))
        });
        meter.spend(own.spent())?;
        let (dir, tree) = here.map_err(|err| match err {
            StoreError::NoSuchName { wanted, url, known } => StoreError::NoSuchName {
                wanted: format!("{wanted} of submodule {:?}", link.path),
                url,
                known,
            },
            err => err,
        })?;
        mounts.trees.insert(link.commit, tree);
        mounts.mirrors.push(remote.mirror);
        if !mounts.dirs.contains(&dir) {
            mounts.dirs.push(dir.clone());
        }
        Ok(dir)
    }
}

impl Mounts {
    /// Forgets what was fetched: something of it is broken, and the next try fetches it anew.
    pub(crate) fn clear(&self) {
        for mirror in &self.mirrors {
            let mut mirror = mirror.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Err(err) = mirror.clear() {
                tracing::warn!(%err, "the mirror of a submodule cannot be cleared");
            }
        }
    }
}

/// The submodules that one repository names, as far as they are selected.
fn links(
    job: &Job,
    selection: &Selection,
    limits: &Limits,
    meter: &Meter,
) -> Result<Vec<Link>, StoreError> {
    let objects = Objects::open(&job.dir, limits, meter)?;
    let mut found: Vec<(String, ObjectId)> = Vec::new();
    let mut declared = None;
    let mut folders = vec![(String::new(), folder(&objects, &job.commit)?)];
    let mut entries = 0;
    while let Some((folder, id)) = folders.pop() {
        let data = objects.require(&id, Kind::Tree)?;
        for entry in TreeRefIter::from_bytes(&data, gix_hash::Kind::Sha1) {
            let entry = entry.map_err(|_| meter.corrupt(format!("tree {id} is malformed")))?;
            entries += 1;
            if entries > limits.files.saturating_mul(4) {
                return Err(meter.limit("it has too many files and folders"));
            }
            // One that is not text is refused when the files are read.
            let Ok(name) = std::str::from_utf8(entry.filename) else { continue };
            let path = format!("{folder}{name}");
            match entry.mode.kind() {
                EntryKind::Commit => found.push((path, entry.oid.to_owned())),
                EntryKind::Tree => {
                    let full = format!("{}{path}", job.prefix);
                    check_path(&full, limits)?;
                    if selection.leads(&full) {
                        folders.push((format!("{path}/"), entry.oid.to_owned()));
                    }
                }
                EntryKind::Blob | EntryKind::BlobExecutable if path == FILE => {
                    declared = Some(entry.oid.to_owned());
                }
                _ => {}
            }
        }
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let urls = match declared {
        Some(id) => read(&objects, &id, limits)?,
        None => BTreeMap::new(),
    };
    found.sort();
    let mut links = Vec::new();
    for (path, commit) in found {
        let full = format!("{}{path}", job.prefix);
        check_path(&full, limits)?;
        if !selection.leads(&full) {
            continue;
        }
        let Some(url) = urls.get(&path) else {
            let full = plain(&full, LINE);
            return Err(meter.corrupt(format!("{FILE} has no URL for submodule {full:?}")));
        };
        links.push(Link { path: full, url: url.clone(), commit });
    }
    Ok(links)
}

fn read(
    objects: &Objects<'_>,
    id: &ObjectId,
    limits: &Limits,
) -> Result<BTreeMap<String, String>, StoreError> {
    let meter = objects.meter();
    match objects.header(id)? {
        Some((_, size)) if size > gitmodules::MAX_BYTES => {
            return Err(meter.limit(format!("{FILE} has {} bytes", gitmodules::MAX_BYTES)));
        }
        _ => {}
    }
    let bytes = objects.require(id, Kind::Blob)?;
    gitmodules::parse(&bytes, limits)
        .map_err(|reason| meter.corrupt(format!("{FILE} is refused: {}", plain(&reason, 300))))
}

/// The folder of a commit.
fn folder(objects: &Objects<'_>, commit: &ObjectId) -> Result<ObjectId, StoreError> {
    let data = objects.require(commit, Kind::Commit)?;
    CommitRef::from_bytes(&data, gix_hash::Kind::Sha1)
        .map(|commit| commit.tree())
        .map_err(|_| objects.meter().corrupt(format!("commit {commit} is malformed")))
}
