//! The state: every object in memory, the recent changes, and the log that makes both durable.
//!
//! In: writes that name the revision they were computed from. Out: objects, lists and events.
//! One task owns writing; reading never waits for the disk.

pub mod object;
pub mod persist;
pub mod state;
pub mod writer;

pub use object::{Meta, Name, Object, Resource};
pub use state::{Event, EventKind, State};
pub use writer::{Change, Guard, Refused, Store, Write};
