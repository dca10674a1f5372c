//! What was seen of the target, cut down to what a decision needs.

use std::collections::BTreeMap;

use fixpoint_base::{Digest, Key};
use serde_json::Value;

use crate::controls::Controls;
use crate::fingerprint;
use crate::inventory::Id;
use crate::owner::Owner;

/// The name under which fields are applied; Flux's own, so that taking over from it and handing
/// back to it change nobody's ownership.
pub const FIELD_MANAGER: &str = "kustomize-controller";

/// What is there under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// An object.
    Object(LiveObject),
    /// Nothing; the target said so.
    Absent,
    /// The target does not know the kind, so there can be no object of it.
    UnknownKind,
    /// The target did not say.
    Unreadable {
        /// Why, in words that may be shown.
        reason: String,
    },
}

/// What matters about a live object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveObject {
    /// Its identity through changes: another uid is another object.
    pub uid: String,
    /// Its version; never part of a decision.
    pub resource_version: String,
    /// Whose labels it carries.
    pub owner: Option<Owner>,
    /// The digest of the values of the fields that our manager owns; `None` where it owns none.
    pub owned: Option<Digest>,
    /// Other managers whose fields are ours to take back: people's edits, mostly.
    pub edited_by: Vec<String>,
    /// What its labels and annotations ask for.
    pub controls: Controls,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What its metadata looked like, for a watch to compare with.
    pub look: Digest,
}

impl LiveObject {
    /// Reads an object as the target returned it. `secret_key` keys the digests of Secrets.
    pub fn of(object: &Value, manager: &str, secret_key: &[u8]) -> Self {
        let text = |field: &str| {
            object.pointer(field).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        Self {
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
            owner: Owner::of(object),
            owned: fingerprint::owned_digest(object, manager, secret_key),
            edited_by: fingerprint::foldable_managers(object, manager),
            controls: Controls::of(object),
            deleting: !text("/metadata/deletionTimestamp").is_empty(),
            look: fingerprint::look(object.get("metadata").unwrap_or(&Value::Null)),
        }
    }
}

/// What was seen of each object that a plan will consider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveSet {
    seen: BTreeMap<Id, Live>,
}

impl LiveSet {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records what was seen of an object.
    pub fn insert(&mut self, key: &Key, live: Live) {
        self.seen.insert(Id::from(key), live);
    }

    /// What was seen of an object, in any version; `None` where nobody looked.
    pub fn get(&self, key: &Key) -> Option<&Live> {
        self.seen.get(&Id::from(key))
    }

    /// How many objects were looked at.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether nobody looked at anything.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

impl FromIterator<(Key, Live)> for LiveSet {
    fn from_iter<I: IntoIterator<Item = (Key, Live)>>(seen: I) -> Self {
        Self { seen: seen.into_iter().map(|(key, live)| (Id::from(&key), live)).collect() }
    }
}
