//! Walking a plan.
//!
//! In: a [`Plan`](fixpoint_plan::Plan), and what happened to each step that was handed out. Out:
//! the next step, and in the end a [`Report`]. Nothing is done here: the caller does it and says
//! how it went, and time enters only as an argument, so that a simulated world walks a plan
//! exactly as the real one does.
//!
//! Never here: a decision about an object. Every step was decided in the plan; what is left is
//! order, patience and book-keeping. Nothing is deleted before everything wanted is there.

pub mod intent;
pub mod outcome;
pub mod report;
pub mod run;

pub use intent::{action, steps};
pub use outcome::{Change, Done, Failure};
pub use report::{Counts, Fate, Report};
pub use run::{Pace, Run, Walk};
