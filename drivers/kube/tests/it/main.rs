//! The driver against a server that follows a script: what it asks, and what it makes of answers
//! that a healthy server gives seldom.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod faults;
mod identity;
mod perform;
mod script;
mod watches;
