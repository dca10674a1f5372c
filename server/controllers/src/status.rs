//! Writing status: only what changed, and nothing when nothing did.

use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::looper::Named;
use crate::world::Kind;

/// Writes a new status over an old one as a merge patch of the fields that differ.
///
/// Returns whether anything was written. An object that is gone meanwhile is no error.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn write(
    client: &kube::Client,
    kind: Kind,
    name: &Named,
    manager: &str,
    old: &Value,
    new: &impl Serialize,
) -> Result<bool, kube::Error> {
    let new = serde_json::to_value(new).map_err(kube::Error::SerdeError)?;
    let Some(difference) = difference(old, &new) else { return Ok(false) };
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..Default::default() };
    let patch = Patch::Merge(json!({"status": difference}));
    match kind.api(client, &name.namespace).patch_status(&name.name, &params, &patch).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(err) => Err(err),
    }
}

/// The merge patch (RFC 7396) that makes one status of another; `None` where they are equal.
fn difference(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut patch = Map::new();
    for (field, value) in after {
        if let Some(changed) = difference(before.get(field).unwrap_or(&Value::Null), value) {
            patch.insert(field.clone(), changed);
        }
    }
    for field in before.keys().filter(|field| !after.contains_key(*field)) {
        patch.insert(field.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written() {
        let old = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]});
        assert_eq!(difference(&old, &old), None);
        let new = json!({"a": 1, "b": {"c": 4}, "e": [1, 2], "f": {}});
        let patch = difference(&old, &new).unwrap();
        assert_eq!(patch, json!({"b": {"c": 4, "d": null}, "e": [1, 2], "f": {}}));
        let mut patched = old;
        json_patch_merge(&mut patched, &patch);
        assert_eq!(patched, new);
    }

    fn json_patch_merge(target: &mut Value, patch: &Value) {
        let Value::Object(patch) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        for (field, value) in patch {
            if value.is_null() {
                target.as_object_mut().unwrap().remove(field);
            } else {
                json_patch_merge(&mut target[field.as_str()], value);
            }
        }
    }
}
