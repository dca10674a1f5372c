//! The loop of deliveries: brings a version of a source to its target and keeps it there.

mod carry_out;
mod desired;
mod finalize;
mod health;
mod reconcile;
mod scene;
mod status;
mod target;
mod wanted;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fixpoint_api_types::ResourceRef;
use fixpoint_base::{Digest, Key};
use fixpoint_plan::{DesiredSet, Entry, Inventory, Memory, Owner, Problem, Scopes};
use serde_json::Value;
use tokio::time::Instant;

pub use health::states;
pub use reconcile::{Preview, preview, reconcile};
pub use wanted::Wanted;

use crate::looper::Named;

/// What the engine remembers of one delivery between runs. Losing it costs time, nothing else.
#[derive(Default)]
pub struct Kept {
    /// What was applied last, by object.
    memory: Memory,
    /// The target that all of this is about.
    target: Option<String>,
    /// The last rendering and what it was made of.
    rendered: Option<Rendered>,
    /// What the health checks wait for, and since when.
    waiting: Option<(Digest, Instant)>,
    /// Deliveries that take objects over from this one.
    handed_to: Vec<Named>,
    /// Whether what depends on it should look, though the status may read as before.
    news: bool,
    /// The rendering whose health was last told, so that it is told once.
    told: Option<Digest>,
    /// The complaint that was last made, so that it is made once.
    complained: Option<Digest>,
}

impl Kept {
    /// What was remembered of another target says nothing about this one.
    fn goes_to(&mut self, target: &str) {
        if self.target.as_deref().is_some_and(|before| before != target) {
            *self = Self::default();
        }
        self.target = Some(target.to_owned());
    }
}

/// A rendering with its key: equal keys mean equal renderings, so it is not done again.
#[derive(Clone)]
struct Rendered {
    key: Digest,
    /// Which kinds have no namespace, as the target said when it was made.
    scopes: Scopes,
    desired: Arc<DesiredSet>,
    problems: Arc<Vec<Problem>>,
    /// The ledger's index of the render entry.
    index: u64,
}

/// What is remembered, by delivery. A run takes the lock of its own delivery only.
#[derive(Default)]
pub struct Memories {
    kept: Mutex<BTreeMap<Named, Arc<tokio::sync::Mutex<Kept>>>>,
    /// What the last plan left alone for somebody or something to act on. Apart, so that who asks
    /// need not wait for a run to end.
    left: Mutex<BTreeMap<Named, Vec<String>>>,
}

impl Memories {
    /// What is remembered of one delivery.
    pub fn of(&self, name: &Named) -> Arc<tokio::sync::Mutex<Kept>> {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.clone()).or_default().clone()
    }

    /// Notes what a plan left alone for somebody or something to act on.
    pub fn leave(&self, name: &Named, left: Vec<String>) {
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.is_empty() {
            all.remove(name);
        } else {
            all.insert(name.clone(), left);
        }
    }

    /// What the last plan left alone.
    pub fn left(&self, name: &Named) -> Vec<String> {
        let all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(name).cloned().unwrap_or_default()
    }

    /// Forgets a delivery that is gone.
    pub fn forget(&self, name: &Named) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.leave(name, Vec::new());
    }
}

/// The owner that a delivery's objects are labelled with.
fn owner(name: &Named) -> Owner {
    Owner::kustomization(&name.namespace, &name.name)
}

/// Reads the inventory of a status. An entry that cannot be read names nothing and is kept as it
/// is by nobody: nothing is deleted on its word.
fn inventory(status: &fixpoint_api_types::KustomizationStatus) -> Inventory {
    let entries = status.inventory.iter().flat_map(|inventory| &inventory.entries);
    let entries: Vec<Entry> =
        entries.map(|entry| Entry { id: entry.id.clone(), v: entry.v.clone() }).collect();
    let (inventory, unreadable) = Inventory::from_entries(&entries);
    for bad in unreadable {
        tracing::warn!(entry = bad.id, error = %bad, "an inventory entry cannot be read");
    }
    inventory
}

/// How many objects the inventory of a delivery names, and a part of them. Entries that cannot be
/// read name nothing.
pub fn inventory_part(delivery: &Value, from: usize, count: usize) -> (usize, Vec<Key>) {
    let Some(entries) = delivery["status"]["inventory"]["entries"].as_array() else {
        return (0, Vec::new());
    };
    let keys = entries.iter().skip(from).take(count).filter_map(|entry| {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        ResourceRef { id: text("id"), v: text("v") }.key()
    });
    (entries.len(), keys.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_left_alone_is_known_while_a_run_holds_the_rest() {
        let memories = Memories::default();
        let name = Named::new("shop", "web");
        let kept = memories.of(&name);
        let _running = kept.try_lock().unwrap();
        assert!(memories.left(&name).is_empty());
        memories.leave(&name, vec!["held".to_owned()]);
        assert_eq!(memories.left(&name), ["held"]);
        memories.forget(&name);
        assert!(memories.left(&name).is_empty());
    }

    #[test]
    fn a_part_of_an_inventory_is_read_and_all_of_it_counted() {
        let entry = |id: &str| json!({"id": id, "v": "v1"});
        let entries = ["a_x__ConfigMap", "a_y__ConfigMap", "unreadable", "a_z__ConfigMap"];
        let entries: Vec<Value> = entries.into_iter().map(entry).collect();
        let delivery = json!({"status": {"inventory": {"entries": entries}}});
        let part = |from, count| {
            let (total, keys) = inventory_part(&delivery, from, count);
            assert_eq!(total, 4);
            keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(part(1, 3), "ConfigMap/a/y ConfigMap/a/z");
        assert_eq!(part(0, 1), "ConfigMap/a/x");
        assert_eq!(part(9, 9), "");
        assert_eq!(inventory_part(&json!({}), 0, 9), (0, Vec::new()));
    }
}
