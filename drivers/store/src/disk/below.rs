//! A folder within a folder, as a disk of its own.

use std::io::{self, Read};
use std::sync::Arc;

use super::Disk;

/// Everything below one folder of another disk.
#[derive(Clone)]
pub struct Below {
    disk: Arc<dyn Disk>,
    dir: String,
}

impl std::fmt::Debug for Below {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Below({})", self.dir)
    }
}

impl Below {
    /// Takes a folder, which need not exist yet.
    pub fn new(disk: Arc<dyn Disk>, dir: &str) -> Self {
        Self { disk, dir: dir.to_owned() }
    }

    fn path(&self, path: &str) -> String {
        if path.is_empty() { self.dir.clone() } else { format!("{}/{path}", self.dir) }
    }
}

impl Disk for Below {
    fn lock(&self, dir: &str) -> io::Result<bool> {
        self.disk.lock(&self.path(dir))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        self.disk.list(&self.path(dir))
    }

    fn reader(&self, path: &str) -> io::Result<Box<dyn Read + Send>> {
        self.disk.reader(&self.path(path))
    }

    fn write_at(&self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.disk.write_at(&self.path(path), offset, bytes)
    }

    fn truncate(&self, path: &str, len: u64) -> io::Result<()> {
        self.disk.truncate(&self.path(path), len)
    }

    fn sync(&self, path: &str) -> io::Result<()> {
        self.disk.sync(&self.path(path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&self.path(from), &self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(&self.path(path))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.remove_dir(&self.path(dir))
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.make_dir(&self.path(dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(&self.path(dir))
    }
}
