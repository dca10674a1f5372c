//! Our objects as the watches last saw them, for who shows them.
//!
//! In: the cache of the watches. Out: whole objects and a sign that something changed. Nothing
//! here changes anything, and nothing asks the API server: any number of viewers cost it nothing.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use crate::context::Context;
use crate::looper::Named;
use crate::world::Kind;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Sources of versions.
    Sources,
    /// Deliveries to targets.
    Deliveries,
}

/// Our objects, to look at. Cheap to clone.
#[derive(Clone)]
pub struct Board {
    ctx: Arc<Context>,
}

impl Board {
    pub(crate) fn new(ctx: Arc<Context>) -> Self {
        Self { ctx }
    }

    /// All objects, by namespace and name.
    pub fn all(&self, shown: Shown) -> Vec<Arc<Value>> {
        self.ctx.world.all(kind(shown)).into_iter().map(|(_, object)| object).collect()
    }

    /// One object; `None` where there is none.
    pub fn one(&self, shown: Shown, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.ctx.world.get(kind(shown), &Named::new(namespace, name))
    }

    /// Changes whenever one of the objects does; the number itself means nothing.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.ctx.world.version()
    }
}

fn kind(shown: Shown) -> Kind {
    match shown {
        Shown::Sources => Kind::Source,
        Shown::Deliveries => Kind::Delivery,
    }
}
