//! How many files the engine may have open.
//!
//! Each watch over another cluster is a connection of its own, so a few dozen clusters need more
//! than the 1,024 that most shells allow; the hard limit is what the administrator means.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. Where that is refused, the soft one holds.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(err) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(error = %err, ?current, "the limit of open files was not raised");
    }
}
