//! What can be done to objects: one file per verb.
//!
//! In: a request whose target is known. Out: an answer. Decisions are made on the state as it is
//! and handed to the writer with the revision they were made from; when that has moved, they are
//! made again.

pub mod commit;
pub mod create;
pub mod delete;
pub mod options;
pub mod patch;
pub mod prepare;
pub mod read;
pub mod scale;
pub mod select;
pub mod target;
pub mod update;
pub mod watch;

pub use target::Target;
