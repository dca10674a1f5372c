//! Watches that cannot be kept, and why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::watch::WatchId;

/// Why a watch cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the identity may not watch this; a narrower watch may be allowed.
    pub denied: bool,
    /// In words.
    pub reason: String,
}

/// What is wrong with the watches of one target; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Problems(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_watch: Mutex<BTreeMap<WatchId, Problem>>,
    changed: Notify,
}

impl Problems {
    /// All of them now.
    pub fn now(&self) -> BTreeMap<WatchId, Problem> {
        self.lock().clone()
    }

    /// Resolves when something was met or solved since it resolved last. For one listener.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    pub(crate) fn met(&self, id: &WatchId, problem: Problem) {
        let before = self.lock().insert(id.clone(), problem.clone());
        if before.as_ref() != Some(&problem) {
            self.0.changed.notify_one();
        }
    }

    pub(crate) fn solved(&self, id: &WatchId) {
        if self.lock().remove(id).is_some() {
            self.0.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WatchId, Problem>> {
        self.0.by_watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
