//! Kubernetes API servers as targets.
//!
//! In: keys to observe, and steps of a plan to carry out. Out: what is live, and what each step
//! changed. Calls are thin and dumb: what to do was decided in the plan, and no object is changed
//! without a permit that covers it.
//!
//! Never here: a call without a timeout; an unbounded retry; a server's words about a Secret in an
//! error.

mod call;
pub mod error;
mod immutable;
mod kinds;
mod path;
mod takeover;
mod target;
mod watch;

pub use error::TargetError;
pub use target::{KubeTarget, Settings};
pub use watch::{Drift, DriftWatches, WatchId};
