//! What is kept on disk: the record log, the ledger and the artifacts.
//!
//! In: values that the engine decided on. Out: a promise that they survive a crash. Nothing here
//! decides anything, and nothing is acknowledged before it is durable.

pub mod artifacts;
pub mod disk;
pub mod ledger;
pub mod log;

pub use artifacts::{ArchiveProblem, ArtifactError, Artifacts, Stored};
pub use ledger::{Indexed, Ledger, LedgerError, Proof, Report};
pub use log::{Log, LogError, LogOptions, Ticket};
