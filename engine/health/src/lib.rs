//! What a live object's state means.
//!
//! In: a live object, or the fact that there is none. Out: its [`Health`], by the rules that
//! `kubectl wait` and Flux users know as kstatus. Never here: a clock; what only time can tell
//! apart (a pod that may yet be scheduled) is in progress, and the caller's patience ends it.

mod builtin;
mod generic;
mod read;

use std::fmt;

use fixpoint_base::Gvk;
use serde_json::Value;

pub use generic::assess;

/// The state of one live object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It is what it was asked to be.
    Current,
    /// It is on its way.
    InProgress,
    /// It will not get there by itself.
    Failed,
    /// It is being deleted.
    Terminating,
    /// It is not there.
    NotFound,
    /// It cannot be told.
    Unknown,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current => "Current",
            Self::InProgress => "InProgress",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
            Self::NotFound => "NotFound",
            Self::Unknown => "Unknown",
        })
    }
}

/// The state of one live object and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The state.
    pub state: State,
    /// Why, in words that may be shown.
    pub message: String,
}

impl Health {
    /// States a health.
    pub fn new(state: State, message: impl Into<String>) -> Self {
        Self { state, message: message.into() }
    }

    /// Of an object that is not there.
    pub fn not_found() -> Self {
        Self::new(State::NotFound, "Resource not found")
    }

    /// Of an object that could not be read.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::new(State::Unknown, why)
    }

    /// Whether the object is what it was asked to be.
    pub fn is_current(&self) -> bool {
        self.state == State::Current
    }

    /// Whether waiting is of no use.
    pub fn is_failed(&self) -> bool {
        self.state == State::Failed
    }
}

/// `InProgress: Ready: 1/3`.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, message } = self;
        write!(f, "{state}: {message}")
    }
}

/// Assesses what was found under a name.
pub fn assess_found(found: Option<&Value>) -> Health {
    found.map_or_else(Health::not_found, assess)
}

/// Whether a kind needs something to run it: a kubelet, a scheduler, a controller manager. A
/// server that only stores objects never makes one of these current.
pub fn is_workload(gvk: &Gvk) -> bool {
    match gvk.group.as_str() {
        "" => matches!(gvk.kind.as_str(), "Pod" | "ReplicationController"),
        "apps" => {
            matches!(gvk.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        }
        "batch" => matches!(gvk.kind.as_str(), "Job" | "CronJob"),
        _ => false,
    }
}
