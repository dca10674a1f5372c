//! All that an API server holds at one moment, so that two moments can be compared.
//!
//! In: the world. Out: which objects came, changed and went. Events are left out: they are told,
//! not kept. So is what only says that a request was looked at.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::kinds::{DELIVERY, KINDS, Place, SOURCE};
use crate::world::World;

/// Objects by what scripts call them.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(BTreeMap<String, (Place, Value)>);

impl Snapshot {
    /// Reads everything.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn take(world: &World) -> Result<Self> {
        let mut all = BTreeMap::new();
        for kind in KINDS {
            // A kind whose definition a scenario brings may not be there yet.
            let Some(list) = world.find(&kind.all()).await? else { continue };
            let items = list["items"].as_array().context("a list has no items")?;
            for item in items {
                let place = Place::of(*kind, item);
                all.insert(place.to_string(), (place, item.clone()));
            }
        }
        Ok(Self(all))
    }

    /// Where everything is.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.values().map(|(place, _)| place)
    }

    /// The objects themselves, each with what scripts call it.
    pub fn objects(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, (_, object))| (name.as_str(), object))
    }

    /// `+` what came, `~` what was written to, `-` what went.
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, (place, object)) in &self.0 {
            match before.0.get(name) {
                None => lines.push(format!("+ {name}")),
                Some((_, old)) if old["metadata"]["uid"] != object["metadata"]["uid"] => {
                    lines.push(format!("± {name}"));
                }
                Some((_, old)) if is_written(place, old, object) => lines.push(format!("~ {name}")),
                Some(_) => {}
            }
        }
        let gone = before.0.keys().filter(|name| !self.0.contains_key(*name));
        lines.extend(gone.map(|name| format!("- {name}")));
        lines
    }
}

fn is_written(place: &Place, old: &Value, new: &Value) -> bool {
    match place.kind {
        SOURCE | DELIVERY => without_requests(old) != without_requests(new),
        _ => old["metadata"]["resourceVersion"] != new["metadata"]["resourceVersion"],
    }
}

/// The object without what a request to reconcile writes, and what answers it.
fn without_requests(object: &Value) -> Value {
    let mut object = object.clone();
    for (parent, fields) in [
        ("/metadata", ["resourceVersion", "managedFields"]),
        ("/metadata/annotations", ["reconcile.fluxcd.io/requestedAt", "-"]),
        ("/status", ["lastHandledReconcileAt", "-"]),
    ] {
        if let Some(Value::Object(map)) = object.pointer_mut(parent) {
            for field in fields {
                map.remove(field);
            }
        }
    }
    if object.pointer("/metadata/annotations").is_some_and(|all| *all == serde_json::json!({}))
        && let Some(metadata) = object["metadata"].as_object_mut()
    {
        metadata.remove("annotations");
    }
    object
}
