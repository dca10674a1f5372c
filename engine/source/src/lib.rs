//! What a store said, and what that means: observations come in, verdicts and trees go out.
//!
//! Nothing here talks to a store; drivers ask the five questions and this crate judges the answers.

pub mod ignore;
pub mod inclusion;
pub mod selection;
pub mod store;
pub mod tree;
pub mod verdict;

pub use ignore::{IgnoreProblem, Sieve, SieveBuilder};
pub use selection::{Selection, SelectionProblem};
pub use store::{
    Ancestry, ClientCertificate, Content, Credentials, Location, Name, NameClass, Objects, Pointer,
    Proxy, Reference, SshIdentity, Store, StoreError, Stores, Submodule,
};
pub use tree::{File, Tree, TreeBuilder, TreeProblem};
pub use verdict::{
    Delivery, Finding, History, Known, Position, Read, Seen, UnknownHistory, Verdict, Violation,
};
