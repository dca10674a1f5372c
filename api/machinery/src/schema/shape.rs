//! Dropping what a schema does not name, and filling in what it defaults.
//!
//! In: an object. Out: the same object, changed, and the paths of what was dropped. Nothing is
//! refused here: values of the wrong type are left for validation to name.

use serde_json::{Map, Value};

use super::{Additional, Node};

/// The fields of `metadata`; anything else there is dropped.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

pub(super) fn prune(node: &Node, object: &mut Value) -> Vec<String> {
    let mut dropped = Vec::new();
    prune_at(node, object, &mut String::new(), &mut dropped);
    dropped
}

fn prune_at(node: &Node, value: &mut Value, path: &mut String, dropped: &mut Vec<String>) {
    match value {
        Value::Object(map) => prune_map(node, map, path, dropped),
        Value::Array(items) => {
            let Some(of) = &node.items else { return };
            for (at, item) in items.iter_mut().enumerate() {
                within(path, &format!("[{at}]"), |path| prune_at(of, item, path, dropped));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn prune_map(
    node: &Node,
    map: &mut Map<String, Value>,
    path: &mut String,
    dropped: &mut Vec<String>,
) {
    map.retain(|key, value| {
        let step = if path.is_empty() { key.clone() } else { format!(".{key}") };
        within(path, &step, |path| {
            if node.embedded && key == "metadata" {
                prune_metadata(value, path, dropped);
                return true;
            }
            if node.embedded && (key == "apiVersion" || key == "kind") {
                return true;
            }
            match (node.properties.get(key), &node.additional) {
                (Some(child), _) => prune_at(child, value, path, dropped),
                (None, Some(Additional::Only(child))) => prune_at(child, value, path, dropped),
                (None, Some(Additional::Any)) => {}
                (None, None) if node.preserve_unknown => {}
                (None, None) => {
                    dropped.push(path.clone());
                    return false;
                }
            }
            true
        })
    });
}

fn prune_metadata(value: &mut Value, path: &str, dropped: &mut Vec<String>) {
    let Some(map) = value.as_object_mut() else { return };
    map.retain(|key, _| {
        let known = METADATA.contains(&key.as_str());
        if !known {
            dropped.push(format!("{path}.{key}"));
        }
        known
    });
}

fn within<T>(path: &mut String, step: &str, then: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    path.push_str(step);
    let out = then(path);
    path.truncate(length);
    out
}

pub(super) fn default(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, child) in &node.properties {
                if let Some(default) = &child.default {
                    let missing = match map.get(key) {
                        None => true,
                        // A null that is not allowed asks for the default.
                        Some(found) => found.is_null() && !child.nullable,
                    };
                    if missing {
                        map.insert(key.clone(), default.clone());
                    }
                }
            }
            for (key, value) in map {
                match (node.properties.get(key), &node.additional) {
                    (Some(child), _) => default(child, value),
                    (None, Some(Additional::Only(child))) => {
                        if value.is_null()
                            && !child.nullable
                            && let Some(default) = &child.default
                        {
                            *value = default.clone();
                        }
                        default(child, value);
                    }
                    (None, Some(Additional::Any) | None) => {}
                }
            }
        }
        Value::Array(items) => {
            let Some(of) = &node.items else { return };
            for item in items {
                if item.is_null()
                    && !of.nullable
                    && let Some(default) = &of.default
                {
                    *item = default.clone();
                }
                default(of, item);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
