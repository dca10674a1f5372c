//! Notices when somebody changes what was delivered to one target.
//!
//! In: the inventories of deliveries. Out: wake-ups of the deliveries whose objects changed, and for
//! each delivery what is not watched and why. The watches are metadata-only and select our label;
//! what changed is read by the run that follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fixpoint_api_types::names::labels;
use fixpoint_base::{Gvk, Key};
use fixpoint_driver_kube::{
    Drift as Drifted, DriftWatches, KubeTarget, Problem, Problems, WatchId,
};
use fixpoint_plan::Id;
use tokio::sync::{mpsc, watch};

use crate::looper::{Named, Waker};

/// Drifts that wait to be told; a full channel slows the watches down, nothing is lost.
const PENDING: usize = 1024;

/// Watches at once over one target. Each is a stream that the server keeps for us; what is beyond
/// them is looked at by interval.
const MAX_WATCHES: usize = 250;

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
    /// Kinds that may not be watched everywhere, but perhaps where they are.
    narrow: BTreeSet<Gvk>,
    /// Watches beyond the budget.
    unwatched: BTreeSet<WatchId>,
    problems: BTreeMap<WatchId, Problem>,
}

impl Drift {
    /// Watches nothing yet.
    pub fn new(target: KubeTarget) -> Self {
        let (wanted, _) = watch::channel(Arc::default());
        Self { target, kept: Mutex::default(), wanted }
    }

    /// Watches exactly these objects for a delivery from now on.
    pub fn watch(&self, delivery: &Named, keys: BTreeSet<Key>) {
        let mut kept = self.kept();
        if kept.by_delivery.get(delivery) == Some(&keys) {
            return;
        }
        kept.replace(delivery, keys);
        self.adapt(&mut kept);
    }

    /// Watches nothing any more for a delivery that is gone.
    pub fn forget(&self, delivery: &Named) {
        self.watch(delivery, BTreeSet::new());
        self.kept().by_delivery.remove(delivery);
    }

    /// What of a delivery is looked at by interval only, and why, a line for each reason.
    pub fn unwatched(&self, delivery: &Named) -> Vec<String> {
        self.kept().unwatched_of(delivery)
    }

    /// Keeps the watches and wakes deliveries until it is dropped.
    pub async fn run(&self, waker: Waker) {
        let (tell, mut told) = mpsc::channel(PENDING);
        let mut watches = DriftWatches::new(self.target.clone(), labels::KUSTOMIZATION_NAME, tell);
        let problems = watches.problems();
        let mut wanted = self.wanted.subscribe();
        wanted.mark_changed();
        loop {
            // All arms are cancel-safe: a change or a message not taken stays.
            tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => {
                        let now = wanted.borrow_and_update().clone();
                        watches.keep(&now);
                    }
                    Err(_) => return,
                },
                Some(drifted) = told.recv() => self.wake(&waker, &drifted),
                () = problems.changed() => self.consider(&waker, &problems),
            }
        }
    }

    fn wake(&self, waker: &Waker, drifted: &Drifted) {
        if let Some(delivery) = self.kept().by_object.get(&Id::from(&drifted.key)) {
            waker.wake(delivery.clone());
        }
    }

    /// Looks closer where looking everywhere is denied; lets the deliveries say what is left.
    fn consider(&self, waker: &Waker, problems: &Problems) {
        let mut kept = self.kept();
        let before: BTreeMap<Named, Vec<String>> = kept.all_unwatched();
        kept.problems = problems.now();
        if kept.narrow_down() {
            self.adapt(&mut kept);
        }
        for (delivery, lines) in kept.all_unwatched() {
            if before.get(&delivery) != Some(&lines) {
                waker.wake(delivery);
            }
        }
    }

    fn adapt(&self, kept: &mut Keeping) {
        let mut wanted = kept.watches();
        let beyond = wanted.iter().nth(MAX_WATCHES).cloned();
        kept.unwatched = beyond.map_or_else(BTreeSet::new, |at| wanted.split_off(&at));
        self.wanted.send_if_modified(|now| {
            let changed = **now != wanted;
            if changed {
                *now = Arc::new(wanted);
            }
            changed
        });
    }

    fn kept(&self) -> MutexGuard<'_, Keeping> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The watch that sees an object.
    fn watch_of(&self, key: &Key) -> WatchId {
        let narrow = self.narrow.contains(&key.gvk) && !key.namespace.is_empty();
        WatchId { gvk: key.gvk.clone(), namespace: narrow.then(|| key.namespace.clone()) }
    }

    fn watches(&self) -> BTreeSet<WatchId> {
        self.by_delivery.values().flatten().map(|key| self.watch_of(key)).collect()
    }

    /// Notes the kinds that are denied everywhere and have objects in namespaces; says whether
    /// there are new ones.
    fn narrow_down(&mut self) -> bool {
        let everywhere = self.problems.iter().filter(|(id, problem)| {
            problem.denied && id.namespace.is_none() && !self.narrow.contains(&id.gvk)
        });
        let denied: BTreeSet<Gvk> = everywhere.map(|(id, _)| id.gvk.clone()).collect();
        let keys = self.by_delivery.values().flatten();
        let found: BTreeSet<Gvk> = keys
            .filter(|key| !key.namespace.is_empty() && denied.contains(&key.gvk))
            .map(|key| key.gvk.clone())
            .collect();
        self.narrow.extend(found.iter().cloned());
        !found.is_empty()
    }

    fn all_unwatched(&self) -> BTreeMap<Named, Vec<String>> {
        let all = self.by_delivery.keys();
        all.map(|delivery| (delivery.clone(), self.unwatched_of(delivery))).collect()
    }

    fn unwatched_of(&self, delivery: &Named) -> Vec<String> {
        let keys = self.by_delivery.get(delivery).into_iter().flatten();
        let watches: BTreeSet<WatchId> = keys.map(|key| self.watch_of(key)).collect();
        watches.iter().filter_map(|id| self.lack_of(id)).collect()
    }

    fn lack_of(&self, id: &WatchId) -> Option<String> {
        let what = match &id.namespace {
            Some(namespace) => format!("{} in {namespace}", id.gvk.kind),
            None => id.gvk.kind.clone(),
        };
        if self.unwatched.contains(id) {
            return Some(format!("{what}: {MAX_WATCHES} watches are kept there already"));
        }
        self.problems.get(id).map(|problem| format!("{what}: {}", problem.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, namespace: &str) -> Key {
        Key::new(Gvk::new("", "v1", kind), namespace, "a")
    }

    fn keeping(keys: &[Key]) -> Keeping {
        let mut kept = Keeping::default();
        kept.replace(&Named::new("ns", "app"), keys.iter().cloned().collect());
        kept
    }

    fn told(kept: &Keeping) -> String {
        let watches = kept.watches().into_iter().map(|id| {
            let place = id.namespace.as_deref().unwrap_or("everywhere");
            format!("{} {place}", id.gvk.kind)
        });
        watches.collect::<Vec<_>>().join(", ")
    }

    fn deny(kept: &mut Keeping, kind: &str, namespace: Option<&str>) -> bool {
        let id = WatchId { gvk: Gvk::new("", "v1", kind), namespace: namespace.map(str::to_owned) };
        let problem = Problem { denied: true, reason: "forbidden".to_owned() };
        kept.problems.insert(id, problem);
        kept.narrow_down()
    }

    #[test]
    fn what_is_denied_everywhere_is_watched_where_it_is() {
        let mut kept =
            keeping(&[key("ConfigMap", "a"), key("ConfigMap", "b"), key("Namespace", "")]);
        assert_eq!(told(&kept), "ConfigMap everywhere, Namespace everywhere");
        assert!(deny(&mut kept, "ConfigMap", None));
        assert_eq!(told(&kept), "ConfigMap a, ConfigMap b, Namespace everywhere");
        assert!(!deny(&mut kept, "ConfigMap", None), "that is known");
        assert!(!deny(&mut kept, "Namespace", None), "there is nothing narrower");
        assert!(!deny(&mut kept, "ConfigMap", Some("b")));
        let lines = kept.unwatched_of(&Named::new("ns", "app"));
        assert_eq!(lines, ["ConfigMap in b: forbidden", "Namespace: forbidden"]);
    }

    #[tokio::test]
    async fn beyond_the_budget_objects_are_looked_at_by_interval() {
        let service = tower::service_fn(|_| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("nobody asks"))
        });
        let client = kube::Client::new(service, "default");
        let key_of = |at: usize| Key::new(Gvk::new("g", "v1", format!("K{at:04}")), "", "a");
        let secret_key = Arc::new(fixpoint_base::Secret::new(Vec::new()));
        let settings = fixpoint_driver_kube::Settings::new("test", secret_key);
        let drift = Drift::new(KubeTarget::new(client, settings));
        let (many, few) = (Named::new("ns", "many"), Named::new("ns", "few"));
        drift.watch(&many, (0..=MAX_WATCHES).map(key_of).collect());
        drift.watch(&few, [key_of(0)].into());
        assert_eq!(drift.wanted.borrow().len(), MAX_WATCHES);
        assert_eq!(drift.unwatched(&many), ["K0250: 250 watches are kept there already"]);
        assert!(drift.unwatched(&few).is_empty());
        drift.forget(&many);
        assert_eq!(drift.wanted.borrow().len(), 1);
    }
}
