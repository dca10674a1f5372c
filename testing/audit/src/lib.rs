//! Whether what an API server saw is what the ledger says.
//!
//! In: the ledger's entries with their bodies, and the API server's audit log
//! (`audit.k8s.io/v1`, one event a line). Out: a report with every rule that was broken. Nothing
//! here trusts the engine: the log is the server's own, and the ledger was verified before.
//!
//! # The rules
//!
//! | rule | what must hold |
//! |---|---|
//! | `planned` | every mutation by the engine's user is of an object and an action that an intent for that target names; whatever it was answered |
//! | `intent-first` | that intent was on record before the server received the request |
//! | `intent-open` | and it had no outcome yet |
//! | `content` | what was written has the digest that the intent names, where the log has bodies |
//! | `no-sweep` | no collection is deleted at once |
//! | `settled` | every intent has an outcome or was settled after a crash, but for the last of its delivery |
//! | `owned` | nothing is deleted but what the same delivery was the last to apply |
//! | `complete` | nothing is deleted by an intent whose applies failed |
//! | `happened` | an outcome claims no more changes than the server granted |
//!
//! # What it cannot see
//!
//! The ledger's times are whole seconds, so an intent that came less than a second late passes;
//! that the order is right within the process is the permit's to guarantee. Secrets are digested
//! with a key that never leaves the engine: what was written into one is not compared. A delivery
//! whose inventory is older than its ledger may delete what no intent here applied; such
//! deletions are counted, not judged.

mod exempt;
mod intents;
mod log;
mod object;
mod report;
mod rules;

pub use intents::{Intents, Problem as LedgerProblem};
pub use log::{Log, Mutation, Verb};
pub use report::{Broken, Report, Rule};
pub use rules::{Options, check};
