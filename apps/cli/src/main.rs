//! The `fixpoint` binary.

fn main() {}
