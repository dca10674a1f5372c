//! A Kubernetes cluster as home: what the engine needs there that it has by itself when it runs
//! alone.
//!
//! In: access to a cluster. Out: a client that stops changing anything once the lease may be
//! lost; one leader among all replicas; proof of who acknowledged; the engine's own API, behind
//! the cluster's own authentication; the manifests of an installation. Never here: what is
//! delivered, or when; a token sent to anybody but the cluster's API server.

pub mod announce;
pub mod connect;
mod guard;
pub mod health;
pub mod install;
pub mod installed;
pub mod lease;
pub mod listener;
pub mod names;
pub mod pin;
pub mod policy;
pub mod review;
pub mod tenure;

pub use connect::{Access, ConnectError, Connection};
pub use lease::{Candidate, Leader, Terms};
pub use tenure::Tenure;

/// What an API server said, in its own words and without the client's.
pub(crate) fn words(err: &kube::Error) -> String {
    match err {
        kube::Error::Api(status) => status.message.clone(),
        err => fixpoint_base::Chain(err).to_string(),
    }
}
