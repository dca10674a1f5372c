//! Versions as artifacts: one deterministic archive for each, under a path that says whose it is.
//!
//! In: trees. Out: archives that Flux's consumers read as their own, and trees again, each checked
//! against its digest. A name never becomes a path before it is checked, and no archive is
//! believed: what is read passes the same rules as what a stranger sends.

mod archive;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use fixpoint_base::{Class, Classified, Digest, Limits};
use fixpoint_source::{Tree, TreeProblem};

pub use archive::{ArchiveProblem, pack, unpack};

use crate::disk::{self, Disk, Folder, Memory, is_no_space};

/// Why an artifact cannot be stored or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArtifactError {
    /// A name cannot be part of a path.
    #[error("{what} {value:?} cannot name an artifact")]
    Name {
        /// What it should name.
        what: &'static str,
        /// The name, shortened.
        value: String,
    },
    /// There is no such artifact.
    #[error("artifact {path} does not exist")]
    NotFound {
        /// Its path.
        path: String,
    },
    /// The content is not what was asked for.
    #[error("artifact {path} has digest {found}, not {wanted}")]
    Digest {
        /// Its path.
        path: String,
        /// The digest that it should have.
        wanted: String,
        /// The digest that it has.
        found: Digest,
    },
    /// The archive breaks a rule.
    #[error("artifact {path} is refused")]
    Archive {
        /// Its path.
        path: String,
        /// Which rule.
        #[source]
        source: ArchiveProblem,
    },
    /// The disk refused.
    #[error("could not access artifact {path}")]
    Io {
        /// Its path.
        path: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
}

impl Classified for ArtifactError {
    fn class(&self) -> Class {
        match self {
            Self::Name { .. } => Class::Bug,
            Self::NotFound { .. } | Self::Digest { .. } | Self::Io { .. } => Class::Transient,
            Self::Archive { source, .. } => source.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } | Self::Digest { .. } => {
                Some("reconcile the source; it stores the artifact anew".to_owned())
            }
            Self::Io { source, .. } if is_no_space(source) => {
                Some("free space on the disk of the data directory".to_owned())
            }
            Self::Archive { source, .. } => source.hint(),
            Self::Name { .. } | Self::Io { .. } => None,
        }
    }
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where, such as `gitrepository/shop/web/3f2a….tar.gz`.
    pub path: String,
    /// Digest of the archive.
    pub digest: Digest,
    /// Bytes of the archive.
    pub size: u64,
    /// Digest of the tree.
    pub tree_digest: Digest,
}

/// Trees kept in memory take at most this many bytes, unless a single one takes more.
const CACHE_BYTES: u64 = 32 << 20;
/// Trees kept in memory.
const CACHED: usize = 64;
const SUFFIX: &str = ".tar.gz";
/// Bytes of an archive at most; a tree has 256 MiB, and what does not compress grows a little.
const ARCHIVE_BYTES: u64 = 300 << 20;

struct Inner {
    disk: Arc<dyn Disk>,
    limits: Limits,
    /// By digest of the archive, the latest used last.
    cache: Mutex<Vec<(Digest, Arc<Tree>)>>,
}

/// The artifacts of one installation; clones are the same ones. All calls block.
#[derive(Clone)]
pub struct Artifacts {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Artifacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Artifacts")
    }
}

impl Artifacts {
    /// Opens the artifacts in a folder, making it where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, ArtifactError> {
        let folder = Folder::open(dir).map_err(|err| failed(&dir.display().to_string(), err))?;
        Ok(Self::open_on(Arc::new(folder), Limits::default()))
    }

    /// Keeps artifacts on any disk and within other limits.
    pub fn open_on(disk: Arc<dyn Disk>, limits: Limits) -> Self {
        Self { inner: Arc::new(Inner { disk, limits, cache: Mutex::default() }) }
    }

    /// Artifacts that are gone with the process.
    pub fn in_memory() -> Self {
        Self::open_on(Arc::new(Memory::default()), Limits::default())
    }

    /// Stores a tree as the artifact of a revision; storing the same twice writes once.
    ///
    /// # Errors
    /// When a name is no name, the tree breaks a rule of archives, or the disk refuses.
    pub fn put(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        revision: &str,
        tree: &Tree,
    ) -> Result<Stored, ArtifactError> {
        let dir = folder(kind, namespace, name)?;
        check("revision", revision, true)?;
        let path = format!("{dir}/{revision}{SUFFIX}");
        let refused = |source| ArtifactError::Archive { path: path.clone(), source };
        let bytes = pack(tree).map_err(refused)?;
        archive::check_ratio(tree, bytes.len()).map_err(refused)?;
        let digest = Digest::of(&bytes);
        let disk = &*self.inner.disk;
        if !self.is_there(&path, &digest) {
            disk.make_dir(&dir)
                .and_then(|()| disk::replace(disk, &path, &bytes))
                .map_err(|err| failed(&path, err))?;
        }
        self.keep(digest, Arc::new(tree.clone()));
        Ok(Stored { path, digest, size: bytes.len() as u64, tree_digest: tree.digest() })
    }

    /// Whether the artifact is there and has the digest that is recorded of it.
    pub fn has(&self, path: &str, digest: &str) -> bool {
        match (check_path(path), digest.parse()) {
            (Ok(()), Ok(digest)) => self.is_there(path, &digest),
            _ => false,
        }
    }

    /// The tree of an artifact that has the digest that is recorded of it.
    ///
    /// # Errors
    /// When it is not there, is another one, or breaks a rule of archives.
    pub fn tree(&self, path: &str, digest: &str) -> Result<Arc<Tree>, ArtifactError> {
        check_path(path)?;
        let wanted: Option<Digest> = digest.parse().ok();
        if let Some(tree) = wanted.and_then(|wanted| self.cached(&wanted)) {
            return Ok(tree);
        }
        let bytes = self.read(path)?;
        let found = Digest::of(&bytes);
        if wanted != Some(found) {
            let (path, wanted) = (path.to_owned(), digest.chars().take(100).collect());
            return Err(ArtifactError::Digest { path, wanted, found });
        }
        let tree = unpack(&bytes, &self.inner.limits)
            .map_err(|source| ArtifactError::Archive { path: path.to_owned(), source })?;
        let tree = Arc::new(tree);
        self.keep(found, Arc::clone(&tree));
        Ok(tree)
    }

    /// The archive, to be served.
    ///
    /// # Errors
    /// When it is not there.
    pub fn bytes(&self, path: &str) -> Result<Bytes, ArtifactError> {
        check_path(path)?;
        self.read(path).map(Bytes::from)
    }

    /// Removes the artifacts of an object except those whose paths are named; gives the removed.
    ///
    /// # Errors
    /// When a name is no name or the disk refuses.
    pub fn gc(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        keep: &[&str],
    ) -> Result<Vec<String>, ArtifactError> {
        let dir = folder(kind, namespace, name)?;
        let disk = &*self.inner.disk;
        let files = disk.list(&dir).map_err(|err| failed(&dir, err))?;
        let mut removed = Vec::new();
        for (file, _) in files {
            let path = format!("{dir}/{file}");
            if !keep.contains(&path.as_str()) {
                disk.remove(&path).map_err(|err| failed(&path, err))?;
                removed.push(path);
            }
        }
        Ok(removed)
    }

    /// Removes all artifacts of an object.
    ///
    /// # Errors
    /// When a name is no name or the disk refuses.
    pub fn clear(&self, kind: &str, namespace: &str, name: &str) -> Result<(), ArtifactError> {
        self.gc(kind, namespace, name, &[])?;
        let dir = folder(kind, namespace, name)?;
        self.inner.disk.remove_dir(&dir).map_err(|err| failed(&dir, err))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ArtifactError> {
        disk::read(&*self.inner.disk, path, ARCHIVE_BYTES)
            .map_err(|err| failed(path, err))?
            .ok_or_else(|| ArtifactError::NotFound { path: path.to_owned() })
    }

    fn is_there(&self, path: &str, digest: &Digest) -> bool {
        self.read(path).is_ok_and(|bytes| Digest::of(&bytes) == *digest)
    }

    fn cached(&self, digest: &Digest) -> Option<Arc<Tree>> {
        let mut cache = self.inner.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let at = cache.iter().position(|(key, _)| key == digest)?;
        let hit = cache.remove(at);
        let tree = Arc::clone(&hit.1);
        cache.push(hit);
        Some(tree)
    }

    fn keep(&self, digest: Digest, tree: Arc<Tree>) {
        let mut cache = self.inner.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|(key, _)| *key != digest);
        cache.push((digest, tree));
        let mut bytes: u64 = cache.iter().map(|(_, tree)| tree.bytes()).sum();
        while cache.len() > CACHED || (bytes > CACHE_BYTES && cache.len() > 1) {
            let (_, gone) = cache.remove(0);
            bytes -= gone.bytes();
        }
    }
}

fn failed(path: &str, source: io::Error) -> ArtifactError {
    ArtifactError::Io { path: path.to_owned(), source: Arc::new(source) }
}

/// The folder of an object's artifacts.
fn folder(kind: &str, namespace: &str, name: &str) -> Result<String, ArtifactError> {
    check("kind", kind, false)?;
    check("namespace", namespace, false)?;
    check("name", name, false)?;
    Ok(format!("{kind}/{namespace}/{name}"))
}

/// Lower-case letters, digits, `-` and `.` as in Kubernetes names; revisions may have capitals and
/// `_` too. Nothing begins with a dot, so neither `.` nor `..` passes.
fn check(what: &'static str, value: &str, capitals: bool) -> Result<(), ArtifactError> {
    let fits = |c: char| match c {
        'a'..='z' | '0'..='9' | '-' | '.' => true,
        'A'..='Z' | '_' => capitals,
        _ => false,
    };
    // 253 is the longest name of a Kubernetes object; with the suffix it stays a file name.
    let max = if capitals { 128 } else { 253 };
    let good = (1..=max).contains(&value.len())
        && !value.starts_with(['.', '-'])
        && value.chars().all(fits);
    if good {
        Ok(())
    } else {
        Err(ArtifactError::Name { what, value: value.chars().take(100).collect() })
    }
}

/// A path is one that [`Artifacts::put`] gives, and nothing else.
fn check_path(path: &str) -> Result<(), ArtifactError> {
    let mut parts = path.split('/');
    let known = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    match known {
        (Some(kind), Some(namespace), Some(name), Some(file), None) => {
            folder(kind, namespace, name)?;
            let revision = file.strip_suffix(SUFFIX).unwrap_or_default();
            check("revision", revision, true)
        }
        _ => Err(ArtifactError::Name { what: "path", value: path.chars().take(100).collect() }),
    }
}

impl From<TreeProblem> for ArchiveProblem {
    fn from(problem: TreeProblem) -> Self {
        Self::Tree(problem)
    }
}

#[cfg(test)]
mod tests;
