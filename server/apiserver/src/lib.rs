//! The embedded API server: Kubernetes-style objects for an installation that has no cluster.
//!
//! In: HTTP requests, from this process or over TLS. Out: answers that `kubectl` and every other
//! Kubernetes client understands. The state is in memory, made durable by an append-only log;
//! nothing is answered or announced before it is durable, and no event is lost, doubled or
//! reordered.

mod admission;
pub mod body;
mod bootstrap;
mod convert;
mod discovery;
mod gc;
mod kinds;
pub mod local;
mod metrics;
pub mod options;
pub mod pki;
mod present;
mod review;
mod route;
pub mod serve;
mod server;
mod store;
mod typed;
pub mod user;
mod verbs;
mod wire;

pub use body::Body;
pub use local::LocalService;
pub use options::{Clock, OpenError, Options, ServerLimits, Storage, system_clock};
pub use serve::{Handler, Mount, MountRequest};
pub use server::ApiServer;
pub use user::User;
