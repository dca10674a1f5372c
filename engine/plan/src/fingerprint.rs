//! Digests of what is wanted and of what is ours in a live object.
//!
//! In: objects. Out: digests that are equal when nothing that matters changed. Never: a plain hash
//! of a Secret; its whole object enters as an HMAC, so that a digest cannot be used to guess it.

use fixpoint_base::{Digest, Gvk, canonical};
use hmac::{Hmac, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::order::is_secret;

/// Digests an object as it is rendered: HMAC-SHA256 under `secret_key` for a Secret, SHA-256 for
/// any other.
pub fn rendered(object: &Value, secret_key: &[u8]) -> Digest {
    digest_as(Gvk::of(object).is_some_and(|gvk| is_secret(&gvk)), object, secret_key)
}

/// Digests the values of the fields that `manager` applied in a live object, as
/// `metadata.managedFields` says; `None` where it applied none, or where the target does not say.
///
/// The digest changes when such a field's value changes, when it vanishes, and when the field is
/// somebody else's now. Fields of others, and defaults that the target added, do not count.
pub fn owned_digest(live: &Value, manager: &str, secret_key: &[u8]) -> Option<Digest> {
    let mut parts: Vec<Value> = managed_fields(live)
        .filter(|entry| is_ours(entry, manager))
        .filter_map(|entry| entry.get("fieldsV1"))
        .map(|fields| project(Some(live), fields, 0))
        .collect();
    if parts.is_empty() {
        return None;
    }
    parts.sort_by_cached_key(canonical::to_string);
    let secret = Gvk::of(live).is_some_and(|gvk| is_secret(&gvk));
    Some(digest_as(secret, &Value::Array(parts), secret_key))
}

/// Digests what an object's `metadata` show, so that a watch that carries nothing else can tell
/// whether the object is as it was: its uid, labels, annotations, whether it is being deleted, and
/// its generation; where the server counts none, its version.
pub fn look(metadata: &Value) -> Digest {
    let map = |field: &str| match metadata.get(field) {
        Some(Value::Object(map)) => Value::Object(map.clone()),
        _ => Value::Object(Map::new()),
    };
    let generation =
        metadata.get("generation").and_then(Value::as_i64).filter(|generation| *generation > 0);
    // A status moves the version and not the generation; it is nobody's drift.
    let version = metadata.get("resourceVersion").filter(|_| generation.is_none());
    let deleting = metadata.get("deletionTimestamp").is_some_and(|at| !at.is_null());
    canonical::digest(&Value::Array(vec![
        metadata.get("uid").cloned().unwrap_or_default(),
        generation.into(),
        version.cloned().unwrap_or_default(),
        map("labels"),
        map("annotations"),
        deleting.into(),
    ]))
}

/// The managers whose fields are ours to take back, so that what people change by hand reverts:
/// every `kubectl` (edit, patch, label, client- and server-side apply), the stand-in that an API
/// server writes for changes before the first apply, and ourselves where we did not apply.
pub fn foldable_managers(live: &Value, manager: &str) -> Vec<String> {
    let mut names: Vec<String> = managed_fields(live)
        .filter(|entry| is_foldable(entry, manager))
        .filter_map(|entry| entry.get("manager")?.as_str().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Whether this entry of `managedFields` is what `manager` applied.
pub fn is_ours(entry: &Value, manager: &str) -> bool {
    text(entry, "manager") == manager
        && text(entry, "operation") == "Apply"
        && text(entry, "subresource").is_empty()
}

/// Whether this entry of `managedFields` is to be folded into ours.
pub fn is_foldable(entry: &Value, manager: &str) -> bool {
    let by = text(entry, "manager");
    let update = text(entry, "operation") == "Update";
    text(entry, "subresource").is_empty()
        && (by.starts_with("kubectl")
            || (update && by == "before-first-apply")
            || (update && by == manager))
}

fn managed_fields(live: &Value) -> impl Iterator<Item = &Value> {
    live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn digest_as(secret: bool, value: &Value, secret_key: &[u8]) -> Digest {
    if !secret {
        return canonical::digest(value);
    }
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret_key).expect("HMAC takes a key of any length");
    mac.update(canonical::to_string(value).as_bytes());
    Digest::from_bytes(mac.finalize().into_bytes().into())
}

/// Deeper than any schema; a deeper set is cut there, and counts as a leaf.
const MAX_DEPTH: usize = 128;

/// Cuts a value down to what a set of fields names.
///
/// `f:name` is a field, `k:{…}` the item of a list whose keys have these values, `v:…` an item of
/// a set, `i:n` an item by position; `.` is the thing itself; nothing beneath means all of it.
/// What the set names and the value lacks is `null`, so that its loss shows.
fn project(value: Option<&Value>, fields: &Value, depth: usize) -> Value {
    let Some(value) = value else { return Value::Null };
    let beneath: Vec<(&String, &Value)> =
        fields.as_object().into_iter().flatten().filter(|(step, _)| *step != ".").collect();
    if beneath.is_empty() || depth >= MAX_DEPTH {
        // The existence of a map or list is owned here, its items by their own steps.
        let itself = fields.get(".").is_some();
        return match value {
            Value::Object(_) | Value::Array(_) if itself => Value::Bool(true),
            _ => value.clone(),
        };
    }
    let parts = beneath
        .into_iter()
        .map(|(step, fields)| (step.clone(), project(follow(value, step), fields, depth + 1)));
    Value::Object(parts.collect::<Map<_, _>>())
}

fn follow<'a>(value: &'a Value, step: &str) -> Option<&'a Value> {
    let (kind, rest) = step.split_once(':')?;
    match kind {
        "f" => value.get(rest),
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
            let has_keys = |item: &&Value| keys.iter().all(|(k, v)| item.get(k) == Some(v));
            value.as_array()?.iter().find(has_keys)
        }
        "v" => {
            let wanted: Value = serde_json::from_str(rest).ok()?;
            value.as_array()?.iter().find(|item| **item == wanted)
        }
        "i" => value.get(rest.parse::<usize>().ok()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::live::FIELD_MANAGER as US;

    fn live(image: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "resourceVersion": "7",
                "labels": {"ours": "a", "theirs": "b"},
                "finalizers": ["x", "y"],
                "managedFields": [
                    {"manager": US, "operation": "Apply", "fieldsV1": {
                        "f:metadata": {"f:labels": {"f:ours": {}}, "f:finalizers": {"v:\"x\"": {}}},
                        "f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {
                            ".": {}, "f:name": {}, "f:image": {}}}},
                    }},
                    {"manager": "kube-controller-manager", "operation": "Update",
                     "subresource": "status", "fieldsV1": {"f:status": {}}},
                ],
            },
            "spec": {"replicas": 3, "containers": [
                {"name": "sidecar", "image": "s"}, {"name": "app", "image": image}]},
            "status": {"ready": 1},
        })
    }

    fn owned(live: &Value) -> Option<Digest> {
        owned_digest(live, US, b"key")
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut live = live("v1");
        *live.pointer_mut(pointer).unwrap() = value;
        live
    }

    #[test]
    fn changes_of_others_do_not_count() {
        let before = owned(&live("v1"));
        assert!(before.is_some());
        for (pointer, value) in [
            ("/metadata/resourceVersion", json!("8")),
            ("/metadata/labels/theirs", json!("c")),
            ("/metadata/finalizers/1", json!("z")),
            ("/spec/replicas", json!(9)),
            ("/spec/containers/0/image", json!("other")),
            ("/status", json!({})),
        ] {
            assert_eq!(owned(&with(pointer, value)), before, "{pointer}");
        }
    }

    #[test]
    fn changes_of_ours_count() {
        let before = owned(&live("v1"));
        for (pointer, value) in [
            ("/metadata/labels/ours", json!("c")),
            ("/metadata/labels", json!({})),
            ("/metadata/finalizers/0", json!("z")),
            ("/spec/containers/1/image", json!("v2")),
            ("/spec/containers", json!([])),
            ("/metadata/managedFields/0/fieldsV1/f:spec", json!({})),
        ] {
            assert_ne!(owned(&with(pointer, value)), before, "{pointer}");
        }
    }

    #[test]
    fn who_owns_nothing_has_no_digest() {
        assert_eq!(owned_digest(&live("v1"), "somebody", b""), None);
        assert_eq!(owned_digest(&json!({}), US, b""), None);
        assert_eq!(owned_digest(&json!({"metadata": {"managedFields": 7}}), US, b""), None);
    }

    #[test]
    fn a_secret_is_digested_under_the_key() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "Yg=="}});
        assert_ne!(rendered(&secret, b"one"), rendered(&secret, b"two"));
        assert_ne!(rendered(&secret, b"one"), canonical::digest(&secret));
        let plain = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "Yg=="}});
        assert_eq!(rendered(&plain, b"one"), rendered(&plain, b"two"));
    }

    #[test]
    fn a_keyed_digest_is_the_hmac_of_the_canonical_text() {
        // As `printf '{"a":1}' | openssl dgst -sha256 -hmac Jefe` prints it.
        let digest = digest_as(true, &json!({"a": 1}), b"Jefe");
        expect_test::expect!["cd7d7d7b1651caa92c82812e913859159c0e729d67421863aaf3e11d0c0e5a96"]
            .assert_eq(&digest.hex());
    }

    #[test]
    fn the_hands_of_people_are_named() {
        let entry = |manager: &str, operation: &str, subresource: &str| json!({"manager": manager, "operation": operation, "subresource": subresource});
        let live = json!({"metadata": {"managedFields": [
            entry("kubectl-edit", "Update", ""),
            entry("kubectl", "Apply", ""),
            entry("kubectl", "Update", "status"),
            entry("before-first-apply", "Update", ""),
            entry(US, "Update", ""),
            entry(US, "Apply", ""),
            entry("helm", "Update", ""),
        ]}});
        assert_eq!(
            foldable_managers(&live, US),
            ["before-first-apply", "kubectl", "kubectl-edit", US]
        );
    }
}
