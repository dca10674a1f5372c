//! What the page needs of the engine.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yields versions: a `GitRepository`.
    Source,
    /// Brings a version to a target: a `Kustomization`.
    Delivery,
}

impl Kind {
    /// The kind as the API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "GitRepository",
            Self::Delivery => "Kustomization",
        }
    }

    /// The kind as the API's paths spell it.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Source => "gitrepositories",
            Self::Delivery => "kustomizations",
        }
    }

    /// The kind as it is typed into the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Delivery => "kustomization",
        }
    }

    /// The first part of the paths of its pages.
    pub fn place(self) -> &'static str {
        match self {
            Self::Source => "sources",
            Self::Delivery => "deliveries",
        }
    }
}

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// It is not there.
    Missing,
    /// The engine said no, in one sentence.
    Refused(String),
}

/// What the page reads: the objects as the engine's watches have them, and the answers that the
/// command line gets. Nothing here writes.
pub trait Engine: Send + Sync + 'static {
    /// All objects of a kind, by namespace and name.
    fn all(&self, kind: Kind) -> Vec<Arc<Value>>;

    /// One object; `None` where there is none.
    fn one(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>>;

    /// Reads from the engine's own API, such as `/fixpoint/v1/why/kustomizations/shop/web`.
    fn read(&self, path: String, query: String) -> BoxFuture<'_, Result<Value, Unread>>;

    /// Changes whenever an object does; the number itself means nothing.
    fn version(&self) -> watch::Receiver<u64>;
}
