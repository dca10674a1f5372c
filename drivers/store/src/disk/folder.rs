//! A real folder.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FlockOperation;

use super::Disk;

/// Read and written by nobody but us: logs hold whole objects, Secrets among them.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// A folder of the file system that this process runs on.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    open: Mutex<HashMap<String, Arc<File>>>,
    locks: Mutex<Vec<File>>,
}

impl Folder {
    /// Opens a folder, making it where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> io::Result<Self> {
        make_dirs(root)?;
        Ok(Self {
            root: root.to_owned(),
            open: Mutex::new(HashMap::new()),
            locks: Mutex::default(),
        })
    }

    /// Names a folder that is only read: nothing is made, and where it is missing it is empty.
    pub fn existing(root: &Path) -> Self {
        Self { root: root.to_owned(), open: Mutex::new(HashMap::new()), locks: Mutex::default() }
    }

    fn path(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }

    /// The handle that writes go through; kept open, since the log writes to one file for long.
    fn handle(&self, path: &str) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(path) {
            return Ok(Arc::clone(file));
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(self.path(path))?;
        let file = Arc::new(file);
        open.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn forget(&self, path: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }
}

/// Makes a folder and those above it, and makes each new name durable.
fn make_dirs(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_dirs(parent)?;
    match DirBuilder::new().mode(DIR_MODE).create(dir) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => Err(err),
        _ => File::open(parent)?.sync_all(),
    }
}

impl Disk for Folder {
    fn lock(&self, dir: &str) -> io::Result<bool> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(self.path(dir).join("LOCK"))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                self.locks.lock().unwrap_or_else(PoisonError::into_inner).push(file);
                Ok(true)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        let entries = match fs::read_dir(self.path(dir)) {
            Ok(entries) => entries,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(err),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed while we looked.
                Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                Err(err) => return Err(err),
            };
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push((name, metadata.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    fn reader(&self, path: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.path(path))?))
    }

    fn write_at(&self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.handle(path)?.write_at(bytes, offset)
    }

    fn truncate(&self, path: &str, len: u64) -> io::Result<()> {
        self.handle(path)?.set_len(len)
    }

    fn sync(&self, path: &str) -> io::Result<()> {
        self.handle(path)?.sync_data()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.forget(from);
        self.forget(to);
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.forget(path);
        match fs::remove_file(self.path(path)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        match fs::remove_dir(self.path(dir)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        make_dirs(&self.path(dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.path(dir))?.sync_all()
    }
}
