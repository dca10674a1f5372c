//! Notices when somebody changes what was delivered.
//!
//! In: the inventories of deliveries. Out: wake-ups of the deliveries whose objects changed. The
//! watches are metadata-only and select our label; what changed is read by the run that follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use fixpoint_api_types::names::labels;
use fixpoint_base::Key;
use fixpoint_driver_kube::{Drift as Drifted, DriftWatches, KubeTarget, WatchId};
use fixpoint_plan::Id;
use tokio::sync::{mpsc, watch};

use crate::looper::{Named, Waker};

/// Drifts that wait to be told; a full channel slows the watches down, nothing is lost.
const PENDING: usize = 1024;

/// Who keeps what, and the watches that follow from it.
pub struct Drift {
    target: KubeTarget,
    kept: Mutex<Keeping>,
    wanted: watch::Sender<Arc<BTreeSet<WatchId>>>,
}

#[derive(Default)]
struct Keeping {
    by_delivery: BTreeMap<Named, BTreeSet<Key>>,
    by_object: BTreeMap<Id, Named>,
}

impl Drift {
    /// Watches nothing yet.
    pub fn new(target: KubeTarget) -> Self {
        let (wanted, _) = watch::channel(Arc::default());
        Self { target, kept: Mutex::default(), wanted }
    }

    /// Watches exactly these objects for a delivery from now on.
    pub fn watch(&self, delivery: &Named, keys: BTreeSet<Key>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_delivery.get(delivery) == Some(&keys) {
            return;
        }
        kept.replace(delivery, keys);
        let wanted = WatchId::everywhere(kept.by_delivery.values().flatten());
        self.wanted.send_if_modified(|now| {
            let changed = **now != wanted;
            if changed {
                *now = Arc::new(wanted);
            }
            changed
        });
    }

    /// Watches nothing any more for a delivery that is gone.
    pub fn forget(&self, delivery: &Named) {
        self.watch(delivery, BTreeSet::new());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_delivery.remove(delivery);
    }

    /// Keeps the watches and wakes deliveries until it is dropped.
    pub async fn run(&self, waker: Waker) {
        let (tell, mut told) = mpsc::channel(PENDING);
        let mut watches = DriftWatches::new(self.target.clone(), labels::KUSTOMIZATION_NAME, tell);
        let mut wanted = self.wanted.subscribe();
        wanted.mark_changed();
        loop {
            // Both arms are cancel-safe: a change or a message not taken stays.
            tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => {
                        let now = wanted.borrow_and_update().clone();
                        watches.keep(&now);
                    }
                    Err(_) => return,
                },
                Some(drifted) = told.recv() => self.wake(&waker, &drifted),
            }
        }
    }

    fn wake(&self, waker: &Waker, drifted: &Drifted) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(delivery) = kept.by_object.get(&Id::from(&drifted.key)) {
            waker.wake(delivery.clone());
        }
    }
}

impl Keeping {
    fn replace(&mut self, delivery: &Named, keys: BTreeSet<Key>) {
        if let Some(old) = self.by_delivery.remove(delivery) {
            for key in old {
                let id = Id::from(&key);
                if self.by_object.get(&id) == Some(delivery) {
                    self.by_object.remove(&id);
                }
            }
        }
        for key in &keys {
            self.by_object.insert(Id::from(key), delivery.clone());
        }
        self.by_delivery.insert(delivery.clone(), keys);
    }
}
