//! What a run may do, and what earlier runs left behind.

use std::collections::{BTreeMap, BTreeSet};

use fixpoint_base::{Digest, Key};

use crate::guard::Budget;
use crate::inventory::Id;
use crate::owner::Owner;

/// What one run may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whether objects that left the rendering are deleted.
    pub prune: bool,
    /// Whether an object is replaced where a field that cannot change has to.
    pub force: bool,
    /// Whether the delivery itself is being deleted: then everything it put there goes, unasked.
    pub finalizing: bool,
    /// The id of the guarded deletion that somebody agreed to.
    pub acknowledged: Option<String>,
    /// How much may be deleted unasked.
    pub budget: Budget,
    /// Objects that the engine itself keeps, such as the definitions of its own kinds: a delivery
    /// that names them leaves them alone, so that pruning it cannot take every source along.
    pub engine: BTreeSet<Id>,
    /// Objects in the inventories of other deliveries: they stay with them until those let go.
    pub claims: BTreeMap<Id, Owner>,
    /// Objects that another delivery renders and waits to take over from this one: they are let
    /// go here, not deleted.
    pub awaited: BTreeMap<Id, Owner>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            prune: true,
            force: false,
            finalizing: false,
            acknowledged: None,
            budget: Budget::default(),
            engine: BTreeSet::new(),
            claims: BTreeMap::new(),
            awaited: BTreeMap::new(),
        }
    }
}

/// What the last successful apply of one object left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Digest of what was rendered.
    pub rendered: Digest,
    /// Digest of the live fields that were ours after it; `None` where the target does not say.
    pub owned: Option<Digest>,
    /// The object that it was.
    pub uid: String,
}

/// What earlier runs of one delivery left behind. Losing it costs one apply of each object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    applied: BTreeMap<Id, Applied>,
}

impl Memory {
    /// Remembers nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers an apply.
    pub fn insert(&mut self, key: &Key, applied: Applied) {
        self.applied.insert(Id::from(key), applied);
    }

    /// Forgets an object.
    pub fn remove(&mut self, key: &Key) {
        self.applied.remove(&Id::from(key));
    }

    /// The last successful apply of an object.
    pub fn get(&self, key: &Key) -> Option<&Applied> {
        self.applied.get(&Id::from(key))
    }

    /// Keeps only what the filter wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&Id) -> bool) {
        self.applied.retain(|id, _| keep(id));
    }

    /// How many objects are remembered.
    pub fn len(&self) -> usize {
        self.applied.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty()
    }
}
