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

use fixpoint_base::Digest;
use fixpoint_plan::{DesiredSet, Entry, Inventory, Memory, Owner, Problem, Scopes};
use tokio::time::Instant;

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
    /// What the last plan left alone for somebody or something to act on.
    pub left: Vec<String>,
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
pub struct Memories(Mutex<BTreeMap<Named, Arc<tokio::sync::Mutex<Kept>>>>);

impl Memories {
    /// What is remembered of one delivery.
    pub fn of(&self, name: &Named) -> Arc<tokio::sync::Mutex<Kept>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.clone()).or_default().clone()
    }

    /// Forgets a delivery that is gone.
    pub fn forget(&self, name: &Named) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
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
