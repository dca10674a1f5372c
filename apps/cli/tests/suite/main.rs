//! The real binary against real repositories: what it says, what it refuses, what it survives.
//!
//! In: commits, manifests, signals, broken disks and hostile input. Out: what a person, a client
//! and the files see. Nothing here knows how the engine is built; it needs Git and loopback only.

#![cfg(test)]

mod bad_content;
mod bad_sources;
mod canary;
mod cli;
mod content;
mod crash;
mod disk;
mod harness;
mod in_cluster;
mod ledger;
mod page;
mod remote;
mod rows_g;
mod rows_h;
mod rows_r;
mod serving;
mod signed;
