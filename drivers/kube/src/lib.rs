//! Kubernetes API servers as targets.
//!
//! In: keys to observe, and steps of a plan to carry out. Out: what is live, and what each step
//! changed. Calls are thin and dumb: what to do was decided in the plan, and no object is changed
//! without a permit that covers it.
//!
//! Never here: a call without a timeout; an unbounded retry; a server's words about a Secret in an
//! error.

mod call;
mod connect;
pub mod error;
mod identity;
mod immutable;
mod kinds;
pub mod kubeconfig;
mod path;
mod problems;
mod rest;
mod takeover;
mod target;
mod timely;
mod watch;

pub use connect::{ConnectError, Connection, Dialer, Dials};
pub use error::TargetError;
pub use identity::cluster_of;
pub use kubeconfig::{Access, KubeconfigError};
pub use problems::{Problem, Problems};
pub use rest::Rest;
pub use target::{KubeTarget, Settings};
pub use timely::timely;
pub use watch::{Drift, DriftWatches, WatchId};
