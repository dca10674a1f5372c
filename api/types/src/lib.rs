//! The kinds people write and clients read, by group and version, exactly as Flux defines them.
//!
//! In: what the API server stores. Out: typed objects, their CRDs, and the words (annotations,
//! labels, reasons, condition types) that everybody must spell alike. Nothing here decides
//! anything, and a field that is declared here but not yet acted upon is named by
//! `unsupported_fields`, so that it is never silently ignored.
//!
//! The CRDs let an object through whose `spec` is missing altogether, and a newer Flux may add
//! values to an enum. Watch these kinds through `kube::core::DeserializeGuard`, so that one such
//! object is an error on itself and not on the whole list.

pub mod condition;
mod crd;
pub mod git_repository;
pub mod interval;
pub mod inventory;
pub mod kustomization;
pub mod meta;
pub mod names;
mod unsupported;

pub use condition::{Condition, ConditionStatus};
pub use crd::{crds, crds_with_file_sources};
pub use git_repository::{
    GitRepository, GitRepositoryInclude, GitRepositoryRef, GitRepositorySpec, GitRepositoryStatus,
    GitRepositoryVerification, GitVerificationMode,
};
pub use interval::Interval;
pub use inventory::{ResourceInventory, ResourceRef, Snapshot};
pub use kustomization::{Kustomization, KustomizationSpec, KustomizationStatus};
pub use meta::{Artifact, LocalObjectReference};
pub use unsupported::{Unsupported, unsupported_fields};
