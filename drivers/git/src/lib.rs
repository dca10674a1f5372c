//! Git repositories, read.
