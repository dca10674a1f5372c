//! An append-only, checked, segmented record log with group commit.
//!
//! In: records in the order in which they must survive. Out: a ticket for each that resolves when
//! the record is durable. A record that was acknowledged is never dropped silently, and none is
//! acknowledged before the disk confirmed it.
//!
//! One thread owns the file: everything that waits while it syncs goes into the next write, so
//! a hundred waiting appends share one `fdatasync`.

mod format;
mod recover;
mod writer;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use fixpoint_base::{Chain, Class, Classified};
use tokio::sync::oneshot;

use crate::disk::{Disk, Folder, is_no_space};

/// Why the log could not keep a record or could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// There is no room; nothing was written, and a later append may succeed.
    #[error("no space is left for {file}")]
    NoSpace {
        /// The file that should have grown.
        file: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The system refused a read or a write; nothing was written, and a later append may succeed.
    #[error("could not access {file}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The disk did not confirm what it took; the log takes nothing any more.
    #[error("{file} could not be made durable")]
    NotDurable {
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A durable record is damaged.
    #[error("{file} is damaged at byte {offset}: {reason}")]
    Corrupt {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// Another process has the log.
    #[error("{dir} is in use by another process")]
    InUse {
        /// The folder.
        dir: String,
    },
    /// A record is larger than the log takes.
    #[error("a record of {bytes} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The log was closed before the record was written.
    #[error("the log is closed")]
    Closed,
}

impl Classified for LogError {
    fn class(&self) -> Class {
        match self {
            Self::NoSpace { .. } | Self::Io { .. } | Self::InUse { .. } | Self::Closed => {
                Class::Transient
            }
            Self::NotDurable { .. } | Self::Corrupt { .. } | Self::TooLarge { .. } => {
                Class::Refused
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSpace { .. } => {
                Some("free space on the disk of the data directory; no restart is needed".into())
            }
            Self::NotDurable { .. } => {
                Some("check the disk (kernel log, SMART), then start again".into())
            }
            Self::Corrupt { .. } => Some(
                "restore the data directory from a backup; keep the damaged one to look at".into(),
            ),
            Self::InUse { .. } => Some("stop the other process, or use another --data-dir".into()),
            Self::Io { .. } | Self::TooLarge { .. } | Self::Closed => None,
        }
    }
}

impl LogError {
    /// Tells a full disk from other failures of a write.
    fn write(file: &str, source: io::Error) -> Self {
        let file = file.to_owned();
        if is_no_space(&source) {
            Self::NoSpace { file, source: Arc::new(source) }
        } else {
            Self::Io { file, source: Arc::new(source) }
        }
    }

    fn io(file: &str, source: io::Error) -> Self {
        Self::Io { file: file.to_owned(), source: Arc::new(source) }
    }
}

/// Is told that the disk did not confirm a sync.
pub type Fatal = Arc<dyn Fn(&LogError) + Send + Sync>;

/// How a log behaves.
#[derive(Clone)]
pub struct LogOptions {
    /// Bytes after which a new segment is begun.
    pub segment_bytes: u64,
    /// Bytes of one record at most.
    pub record_bytes: usize,
    /// Called when a sync fails. What the page cache holds can no longer be told from what the
    /// disk holds, so the default logs the error and ends the process; where the hook returns,
    /// the log refuses everything from then on.
    pub fatal: Fatal,
}

impl std::fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { segment_bytes, record_bytes, fatal: _ } = self;
        write!(f, "LogOptions({segment_bytes}-byte segments, {record_bytes}-byte records)")
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            // A segment is the unit of deletion after a compaction, not of anything slower.
            segment_bytes: 64 << 20,
            // The largest object is 3 MiB; a transaction may hold a few.
            record_bytes: 64 << 20,
            fatal: Arc::new(end_process),
        }
    }
}

/// `EX_IOERR` of sysexits.
const EXIT_IO_ERROR: i32 = 74;

fn end_process(err: &LogError) {
    tracing::error!(error = %Chain(err), "the disk does not keep what it takes; ending");
    std::process::exit(EXIT_IO_ERROR);
}

/// The log; dropping it drains it.
///
/// ```
/// # use fixpoint_driver_store::{Log, LogOptions};
/// # let dir = tempfile::tempdir()?;
/// let (log, records) = Log::open(dir.path(), LogOptions::default())?;
/// assert!(records.is_empty());
/// log.append(b"one".to_vec()).wait()?;
/// log.close();
/// let (_log, records) = Log::open(dir.path(), LogOptions::default())?;
/// assert_eq!(records, [b"one"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Log(Kind);

#[derive(Debug)]
enum Kind {
    Disk(writer::Handle),
    Memory { bytes: AtomicU64, record_bytes: usize },
}

impl Log {
    /// Opens or makes the log in a folder and gives all records that survived, oldest first:
    /// those of the last snapshot, then what came after.
    ///
    /// A tail that a crash tore is cut off: it was never acknowledged.
    ///
    /// # Errors
    /// When another process has the log, the disk fails, or a durable record is damaged.
    pub fn open(dir: &Path, options: LogOptions) -> Result<(Self, Vec<Vec<u8>>), LogError> {
        let name = dir.display().to_string();
        let folder = Folder::open(dir).map_err(|err| LogError::io(&name, err))?;
        Self::open_on(Arc::new(folder), &name, options)
    }

    /// As [`Log::open`], on any disk; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        name: &str,
        options: LogOptions,
    ) -> Result<(Self, Vec<Vec<u8>>), LogError> {
        if !disk.lock("").map_err(|err| LogError::io(name, err))? {
            return Err(LogError::InUse { dir: name.to_owned() });
        }
        let recovered = recover::recover(&*disk, name)?;
        let records = recovered.records;
        let handle = writer::Handle::start(disk, name, options, recovered.place)?;
        Ok((Self(Kind::Disk(handle)), records))
    }

    /// Reads all records of a log that may be in use, changing nothing.
    ///
    /// A tail that is torn, or being written just now, is left out and its file named.
    ///
    /// # Errors
    /// When the disk fails or a durable record is damaged.
    pub fn read(disk: &dyn Disk, name: &str) -> Result<(Vec<Vec<u8>>, Option<String>), LogError> {
        recover::read_only(disk, name)
    }

    /// A log that keeps nothing and acknowledges at once.
    pub fn in_memory() -> Self {
        let record_bytes = LogOptions::default().record_bytes;
        Self(Kind::Memory { bytes: AtomicU64::new(0), record_bytes })
    }

    /// Takes a record; the ticket resolves when it is durable.
    ///
    /// The order of calls is the order on disk. When a write fails, everything that was waiting
    /// behind it fails too, so no record survives without those before it.
    pub fn append(&self, record: Vec<u8>) -> Ticket {
        match &self.0 {
            Kind::Disk(handle) => handle.append(record),
            Kind::Memory { record_bytes, .. } if record.len() > *record_bytes => {
                Ticket::ready(Err(LogError::TooLarge { bytes: record.len(), limit: *record_bytes }))
            }
            Kind::Memory { bytes, .. } => {
                bytes.fetch_add(format::PREFIX + record.len() as u64, Ordering::Relaxed);
                Ticket::ready(Ok(()))
            }
        }
    }

    /// Replaces everything appended before this call by a snapshot.
    ///
    /// Appends go on meanwhile. The ticket resolves when the old segments are gone; when it
    /// fails, the log is as it was.
    pub fn compact(&self, snapshot: Vec<Vec<u8>>) -> Ticket {
        match &self.0 {
            Kind::Disk(handle) => handle.compact(snapshot),
            Kind::Memory { bytes, .. } => {
                let size = snapshot.iter().map(|record| format::PREFIX + record.len() as u64).sum();
                bytes.store(size, Ordering::Relaxed);
                Ticket::ready(Ok(()))
            }
        }
    }

    /// Bytes that the log takes.
    pub fn size(&self) -> u64 {
        match &self.0 {
            Kind::Disk(handle) => handle.size(),
            Kind::Memory { bytes, .. } => bytes.load(Ordering::Relaxed),
        }
    }

    /// Writes what waits, finishes a compaction that runs, and closes the log.
    pub fn close(self) {
        drop(self);
    }
}

/// Resolves when what it was given for is durable.
#[derive(Debug)]
#[must_use = "nothing is durable before the ticket resolves"]
pub struct Ticket(State);

#[derive(Debug)]
enum State {
    Ready(Option<Result<(), LogError>>),
    Waiting(oneshot::Receiver<Result<(), LogError>>),
}

impl Ticket {
    fn ready(result: Result<(), LogError>) -> Self {
        Self(State::Ready(Some(result)))
    }

    fn waiting(receiver: oneshot::Receiver<Result<(), LogError>>) -> Self {
        Self(State::Waiting(receiver))
    }

    /// Waits on this thread; not for async code.
    ///
    /// # Errors
    /// When it did not become durable.
    pub fn wait(mut self) -> Result<(), LogError> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(result) => return result,
                // May return early: the ticket is asked again then.
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

/// Wakes the thread that waits for a ticket.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Future for Ticket {
    type Output = Result<(), LogError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().unwrap_or(Err(LogError::Closed))),
            State::Waiting(receiver) => Pin::new(receiver)
                .poll(context)
                .map(|answer| answer.unwrap_or(Err(LogError::Closed))),
        }
    }
}
