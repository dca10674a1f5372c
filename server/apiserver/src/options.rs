//! What a server is opened with, and how opening can fail.

use std::path::PathBuf;
use std::sync::Arc;

use fixpoint_base::{Class, Classified};
use fixpoint_driver_store::disk::Disk;

/// Where the state lives.
#[derive(Clone)]
pub enum Storage {
    /// In a folder that one server at a time owns.
    Dir(PathBuf),
    /// On a simulated disk, which may fail on purpose. A sync that fails refuses every later
    /// write; on a real one it ends the process.
    Disk(Arc<dyn Disk>),
    /// Nowhere: for tests and simulations.
    Memory,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dir(dir) => write!(f, "Dir({})", dir.display()),
            Self::Disk(_) => f.write_str("Disk"),
            Self::Memory => f.write_str("Memory"),
        }
    }
}

/// Tells the time; tests bring their own.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// Text in the Prometheus format that is added to `/metrics`.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// The clock of the machine.
pub fn system_clock() -> Clock {
    Arc::new(jiff::Timestamp::now)
}

/// What a server is opened with.
#[derive(Clone)]
pub struct Options {
    /// Where the state lives.
    pub data: Storage,
    /// Tells the time.
    pub clock: Clock,
    /// CustomResourceDefinitions that are created or brought up to date when the server opens.
    pub crds: Vec<serde_json::Value>,
    /// How much of anything is too much.
    pub limits: ServerLimits,
    /// Added to `/metrics`.
    pub metrics: Option<MetricsText>,
}

impl Options {
    /// A server that keeps nothing, on the machine's clock.
    pub fn memory() -> Self {
        Self {
            data: Storage::Memory,
            clock: system_clock(),
            crds: Vec::new(),
            limits: ServerLimits::default(),
            metrics: None,
        }
    }

    /// A server that keeps its state below a folder, on the machine's clock.
    pub fn dir(path: impl Into<PathBuf>) -> Self {
        Self { data: Storage::Dir(path.into()), ..Self::memory() }
    }
}

/// The bounds of what clients may send and what the server keeps for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Bytes of one request body and of one object.
    pub body_bytes: usize,
    /// Revisions that a watch can resume from.
    pub history_revisions: usize,
    /// Seconds that a revision stays in the history.
    pub history_seconds: i64,
    /// Writes that share one sync to disk.
    pub batch_writes: usize,
    /// Bytes of one batch of writes.
    pub batch_bytes: usize,
    /// Log bytes below which compaction is not worth its writes.
    pub compact_bytes: u64,
    /// Connections served at once.
    pub connections: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            body_bytes: 3 * 1024 * 1024,
            history_revisions: 100_000,
            history_seconds: 600,
            batch_writes: 512,
            batch_bytes: 16 * 1024 * 1024,
            compact_bytes: 64 * 1024 * 1024,
            connections: 4096,
        }
    }
}

/// Why a server could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder.
    #[error("another engine is running on the data folder {}", .0.display())]
    Locked(PathBuf),
    /// The folder cannot be used.
    #[error("could not open the data folder {}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The log below the folder cannot be read.
    #[error("could not read the stored state")]
    Log(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The stored state was written by a version that this one does not know, or is damaged.
    #[error("could not understand the stored state: {0}")]
    Format(String),
    /// A built-in definition was refused.
    #[error("could not install the definition {name}: {reason}")]
    Crd {
        /// Name of the CustomResourceDefinition.
        name: String,
        /// What the server said.
        reason: String,
    },
    /// The disk is full or failed while the first objects were written.
    #[error("could not write the first objects: {0}")]
    Bootstrap(String),
}

impl Classified for OpenError {
    fn class(&self) -> Class {
        match self {
            Self::Locked(_) => Class::Refused,
            Self::Io { .. } | Self::Log(_) | Self::Bootstrap(_) => Class::Transient,
            Self::Format(_) => Class::User,
            Self::Crd { .. } => Class::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Locked(_) => {
                Some("stop the other engine, or choose another folder with --data-dir".to_owned())
            }
            Self::Format(_) => Some("use the version of fixpoint that wrote it".to_owned()),
            Self::Io { .. } | Self::Log(_) | Self::Bootstrap(_) | Self::Crd { .. } => None,
        }
    }
}
