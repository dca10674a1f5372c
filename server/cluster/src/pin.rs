//! One data directory belongs to one cluster.
//!
//! In: the identity of the cluster that answers. Out: a claim, or a refusal. What the ledger says
//! of one cluster is not true of another, and two writers would tear it apart: the directory is for
//! the cluster that was there first, and for one process at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use fixpoint_base::{Class, Classified};

/// The file that holds the identity.
const FILE: &str = "cluster";

/// A uid is 36 bytes; more is no uid.
const LONGEST: u64 = 256;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// It belongs to another cluster.
    #[error("the data directory {} belongs to cluster {pinned}, and this is {found}", dir.display())]
    Other {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        pinned: String,
        /// Who answers.
        found: String,
    },
    /// It belongs to a standalone engine.
    #[error("the data directory {} belongs to a standalone engine", .0.display())]
    Standalone(PathBuf),
    /// Another process uses it: the last leader, if it hangs.
    #[error("another process uses the data directory {}", .0.display())]
    InUse(PathBuf),
    /// It cannot be read or written.
    #[error("could not use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Classified for PinError {
    fn class(&self) -> Class {
        match self {
            Self::Other { .. } | Self::Standalone(_) => Class::Refused,
            Self::InUse(_) | Self::Io { .. } => Class::Transient,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Other { .. } => Some(
                "check which cluster the kubeconfig names, or choose another directory with \
                 --data-dir"
                    .to_owned(),
            ),
            Self::Standalone(_) => Some("choose another directory with --data-dir".to_owned()),
            Self::InUse(_) => Some("stop it, or wait until it has ended".to_owned()),
            Self::Io { .. } => None,
        }
    }
}

/// A data directory that is ours for as long as this lives.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

/// Whether a data directory belongs to a cluster.
pub fn is_pinned(dir: &Path) -> bool {
    dir.join(FILE).exists()
}

/// Claims a data directory for a cluster, and for this process; blocks.
///
/// # Errors
/// When it is somebody else's.
pub fn claim(dir: &Path, uid: &str) -> Result<Claim, PinError> {
    let path = dir.join(FILE);
    let io = |source| PinError::Io { path: path.clone(), source };
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(dir.join("lock"))
        .map_err(io)?;
    match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(PinError::InUse(dir.to_owned())),
        Err(err) => return Err(io(err.into())),
    }
    match read(&path).map_err(io)? {
        Some(pinned) if pinned == uid => {}
        Some(pinned) => {
            return Err(PinError::Other { dir: dir.to_owned(), pinned, found: uid.to_owned() });
        }
        None if dir.join("apiserver").exists() => {
            return Err(PinError::Standalone(dir.to_owned()));
        }
        None => write(dir, &path, uid).map_err(io)?,
    }
    Ok(Claim { _lock: lock })
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Ok(found) if found.len() > LONGEST => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"))
        }
        Ok(_) => Ok(Some(fs::read_to_string(path)?.trim().to_owned())),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Whole or not at all, and durable before anything else is written beside it.
fn write(dir: &Path, path: &Path, uid: &str) -> io::Result<()> {
    let temporary = dir.join(format!("{FILE}.new"));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{uid}")?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cluster_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        drop(claim(dir.path(), "one").unwrap());
        drop(claim(dir.path(), "one").unwrap());
        let err = claim(dir.path(), "two").unwrap_err();
        assert!(err.to_string().ends_with("belongs to cluster one, and this is two"), "{err}");
        assert_eq!(err.class(), Class::Refused);
        claim(dir.path(), "one").unwrap();
        assert!(is_pinned(dir.path()));
    }

    #[test]
    fn one_process_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let claimed = claim(dir.path(), "one").unwrap();
        assert!(matches!(claim(dir.path(), "one"), Err(PinError::InUse(_))));
        drop(claimed);
        claim(dir.path(), "one").unwrap();
    }

    #[test]
    fn a_standalone_engine_keeps_its_own() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("apiserver")).unwrap();
        assert!(matches!(claim(dir.path(), "one"), Err(PinError::Standalone(_))));
    }
}
