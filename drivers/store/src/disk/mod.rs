//! The few things that we ask of a file system, so that tests can take them away.
//!
//! In: paths relative to one folder, `/`-separated. Out: bytes, or the error that the system gave.
//! Nothing is durable before [`Disk::sync`] (for content) and [`Disk::sync_dir`] (for names).

mod below;
mod folder;
mod memory;

use std::io::{self, Read};

pub use below::Below;
pub use folder::Folder;
pub use memory::{Fault, Memory, Op};

/// One folder of a file system.
pub trait Disk: Send + Sync + 'static {
    /// Takes a folder for this process; `false` when another one has it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    fn lock(&self, dir: &str) -> io::Result<bool>;

    /// Names and sizes of the plain files in a folder (`""` is the root), in byte order; empty
    /// where there is no such folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>>;

    /// Reads a file from its start.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is none.
    fn reader(&self, path: &str) -> io::Result<Box<dyn Read + Send>>;

    /// Writes some of the bytes at an offset and says how many; makes the file where there is none.
    ///
    /// # Errors
    /// When nothing could be written.
    fn write_at(&self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Cuts a file to a length.
    ///
    /// # Errors
    /// When there is no such file or the system refuses.
    fn truncate(&self, path: &str, len: u64) -> io::Result<()>;

    /// Makes the content of a file durable.
    ///
    /// # Errors
    /// After an error the content must be taken for lost.
    fn sync(&self, path: &str) -> io::Result<()>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// When the system refuses.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; removing one that is not there is no error.
    ///
    /// # Errors
    /// When the system refuses.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Removes a folder if it is there and empty.
    ///
    /// # Errors
    /// When the system refuses, as it does where the folder is not empty.
    fn remove_dir(&self, dir: &str) -> io::Result<()>;

    /// Makes a folder and those above it, durably.
    ///
    /// # Errors
    /// When the system refuses.
    fn make_dir(&self, dir: &str) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// After an error the names must be taken for lost.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
}

/// Reads a whole file; `None` where there is none.
///
/// # Errors
/// When the file is there but cannot be read, or is longer than `limit`.
pub fn read(disk: &dyn Disk, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let reader = match disk.reader(path) {
        Ok(reader) => reader,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err),
    };
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{path} is longer than {limit} bytes"),
        ));
    }
    Ok(Some(bytes))
}

/// Writes all of the bytes at an offset.
///
/// # Errors
/// When not all could be written; some of them may be there then.
pub fn write_all(disk: &dyn Disk, path: &str, mut offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match disk.write_at(path, offset, rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                rest = &rest[written..];
                offset += written as u64;
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

/// Puts a file in place whole or not at all: written beside, made durable, renamed.
///
/// # Errors
/// When any step fails; the old file, if there was one, is still there then, unless only the
/// last step (making the name durable) failed.
pub fn replace(disk: &dyn Disk, path: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = format!("{path}.tmp");
    let written = disk
        .remove(&beside)
        .and_then(|()| write_all(disk, &beside, 0, bytes))
        .and_then(|()| if bytes.is_empty() { touch(disk, &beside) } else { Ok(()) })
        .and_then(|()| disk.sync(&beside))
        .and_then(|()| disk.rename(&beside, path));
    if let Err(err) = written {
        // The leftover costs space only, and the next attempt removes it.
        disk.remove(&beside).ok();
        return Err(err);
    }
    disk.sync_dir(parent(path))
}

fn touch(disk: &dyn Disk, path: &str) -> io::Result<()> {
    disk.write_at(path, 0, &[]).map(|_| ())
}

/// The folder that a path is in; `""` for the root.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// Whether an error says that there is no room: a full disk, a quota, a bound on file sizes.
pub fn is_no_space(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::WriteZero
    )
}
