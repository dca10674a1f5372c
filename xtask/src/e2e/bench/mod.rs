//! Benchmarks: our figure beside that of plain requests, from the same run on the same machine.
//!
//! In: a built program and a real API server. Out: figures, printed and kept as a page of
//! evidence. A figure that is worse than it was fails nothing.

pub mod delivery;
mod load;
