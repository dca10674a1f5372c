//! What a store said, and what that means: observations come in, verdicts and trees go out.
//!
//! Nothing here talks to a store; drivers ask the four questions and this crate judges the answers.

pub mod tree;

pub use tree::{File, Tree, TreeBuilder, TreeProblem};
