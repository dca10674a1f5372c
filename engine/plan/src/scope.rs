//! Which kinds have no namespace.
//!
//! A renderer gives every kind that it does not know a namespace, and a server drops it where the
//! kind has none. An object must have one name all along the belt, or a change to it goes unseen
//! and, worse, it is pruned under its other name. So names are settled before anything is planned.

use std::collections::BTreeSet;

use fixpoint_base::{Gvk, Key};
use serde_json::Value;

/// The kinds without a namespace among those that a delivery names, as the target says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes {
    cluster: BTreeSet<(String, String)>,
}

impl Scopes {
    /// Says that a kind has no namespace.
    pub fn insert_cluster(&mut self, group: &str, kind: &str) {
        self.cluster.insert((group.to_owned(), kind.to_owned()));
    }

    /// Whether a kind is known to have no namespace.
    pub fn is_cluster(&self, gvk: &Gvk) -> bool {
        self.cluster.contains(&(gvk.group.clone(), gvk.kind.clone()))
    }

    /// The one name of an object.
    #[must_use]
    pub fn settle(&self, mut key: Key) -> Key {
        if self.is_cluster(&key.gvk) {
            key.namespace.clear();
        }
        key
    }

    /// Takes a namespace out of an object that has none, and says which the object is.
    pub(crate) fn settle_object(&self, object: &mut Value) {
        let cluster = Gvk::of(object).is_some_and(|gvk| self.is_cluster(&gvk));
        if cluster && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.remove("namespace");
        }
    }

    /// Adds the kinds that definitions among these objects bring: the target does not know them
    /// yet.
    pub fn learn(&mut self, objects: &[Value]) {
        for object in objects {
            let spec = &object["spec"];
            if object["kind"] == "CustomResourceDefinition"
                && spec["scope"] == "Cluster"
                && let (Some(group), Some(kind)) =
                    (spec["group"].as_str(), spec["names"]["kind"].as_str())
            {
                self.insert_cluster(group, kind);
            }
        }
    }
}
