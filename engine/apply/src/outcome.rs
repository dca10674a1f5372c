//! What a target answers to a step.

use std::fmt;
use std::time::Duration;

use fixpoint_base::{Chain, Class, Classified, Digest};

/// What a step changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// The object was made.
    Created,
    /// The object was there and is different now.
    Configured,
    /// The object was there and is the same.
    Unchanged,
    /// The object is gone, or going.
    Deleted,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
        })
    }
}

/// A step that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What it changed.
    pub change: Change,
    /// The object that is there now; of a deletion, the one that was.
    pub uid: String,
    /// Digest of the fields that are ours in it, where the target says.
    pub owned: Option<Digest>,
}

/// A step that failed, in words that may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whether trying again may help.
    pub class: Class,
    /// What went wrong, with its causes, in one sentence.
    pub error: String,
    /// What the user can do.
    pub hint: Option<String>,
    /// How long the target asked to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// Takes what a run needs from an error.
    pub fn of(err: &impl Classified, retry_after: Option<Duration>) -> Self {
        Self { class: err.class(), error: Chain(err).to_string(), hint: err.hint(), retry_after }
    }
}
