//! Servers that let their clients down on script.
//!
//! In: a real server, and a script that says which requests meet which fault. Out: the server with
//! those faults, what was really played, and an audit log of what the server saw. Everything is
//! the real server's but the faults: nothing here imitates an API server or Git.
//!
//! # The script
//!
//! A rule a line: `METHOD PATH WHICH: FAULT`, with comments from `#` on.
//!
//! | part | words |
//! |---|---|
//! | method | one of HTTP's, `READ` (no watch), `WATCH`, `WRITE`, `ANY` |
//! | path | `*` is any part without a slash, `**` is anything; what follows a `?` must be in the query |
//! | which | `always`, `nth N`, `first N`, `from N`, `from N to M`, `every N`, among those that fit |
//! | fault | see [`Fault`] |
//!
//! # Where it plays
//!
//! [`Evil`] is a service before any [`Upstream`]: in the simulation, where minutes take no time, or
//! in a [`Proxy`] on loopback, with TLS where the real server has it. Faults are the same in both.

mod body;
mod evil;
mod fault;
mod kubeconfig;
mod proxy;
mod script;
mod upstream;
mod witness;

pub use body::Body;
pub use evil::{Evil, Upstream};
pub use fault::Fault;
pub use kubeconfig::Kubeconfig;
pub use proxy::{Proxy, Secured};
pub use script::{Asked, Played, Rule, Script};
pub use upstream::{Remote, Trust};
pub use witness::{Seen, Witness};
