//! Kubernetes API machinery without a server: what happens to an object between the request that
//! carries it and the store that keeps it.
//!
//! In: JSON objects, patches, schemas, selectors, and the time as an argument. Out: JSON objects,
//! `v1.Status` objects, tables, field errors. Nothing here awaits, stores, listens or reads a
//! clock, and no input, however malformed, panics.

pub mod builtin;
pub mod crd;
pub mod managed;
pub mod names;
pub mod openapi;
pub mod patch;
pub mod schema;
pub mod selector;
pub mod status;
pub mod table;
pub mod types;

pub use crd::Crd;
pub use managed::{ApplyError, Manager, Operation};
pub use patch::PatchError;
pub use schema::{FieldError, FieldErrorKind, Schema};
pub use selector::{FieldSelector, LabelSelector};
pub use types::TypeSchema;
