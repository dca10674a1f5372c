//! Takes back the fields that people edited by hand.
//!
//! Server-side apply removes a field only where the applier owned it. What `kubectl` added is
//! kubectl's, so it would stay for ever; folding kubectl's entries of `managedFields` into ours
//! first makes the next apply revert them, as Flux does.

use fixpoint_plan::fingerprint::{is_foldable, is_ours};
use serde_json::{Map, Value, json};

/// The JSON patch that folds other managers' fields into ours; `None` where there is nothing to
/// fold. It fails on any other version of the object than this one.
pub fn patch(live: &Value, manager: &str) -> Option<Value> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let version = live.pointer("/metadata/resourceVersion")?;
    if !entries.iter().any(|entry| is_foldable(entry, manager)) {
        return None;
    }
    let mut fields = Value::Object(Map::new());
    let mut api_version = None;
    let mut kept = Vec::new();
    for entry in entries {
        let ours = is_ours(entry, manager);
        if !ours && !is_foldable(entry, manager) {
            kept.push(entry.clone());
            continue;
        }
        if let Some(more) = entry.get("fieldsV1") {
            merge(&mut fields, more);
        }
        if ours || api_version.is_none() {
            api_version = entry.get("apiVersion").cloned();
        }
    }
    kept.push(json!({
        "manager": manager,
        "operation": "Apply",
        "apiVersion": api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }));
    Some(json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": kept},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]))
}

/// Adds one set of fields to another.
fn merge(into: &mut Value, from: &Value) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else { return };
    for (step, beneath) in from {
        let slot = into.entry(step.clone()).or_insert_with(|| Value::Object(Map::new()));
        merge(slot, beneath);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn kubectls_fields_become_ours_and_others_stay() {
        let live = json!({"metadata": {"resourceVersion": "7", "managedFields": [
            {"manager": "kustomize-controller", "operation": "Apply", "apiVersion": "v1",
             "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:data": {"f:a": {}}}},
            {"manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1",
             "fieldsV1": {"f:data": {"f:b": {}}, "f:metadata": {"f:labels": {"f:x": {}}}}},
            {"manager": "hpa", "operation": "Update", "apiVersion": "v1", "fieldsV1": {}},
        ]}});
        let patch = patch(&live, "kustomize-controller").unwrap();
        expect![[r#"
            [
              {
                "op": "replace",
                "path": "/metadata/managedFields",
                "value": [
                  {
                    "apiVersion": "v1",
                    "fieldsV1": {},
                    "manager": "hpa",
                    "operation": "Update"
                  },
                  {
                    "apiVersion": "v1",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {
                      "f:data": {
                        "f:a": {},
                        "f:b": {}
                      },
                      "f:metadata": {
                        "f:labels": {
                          "f:x": {}
                        }
                      }
                    },
                    "manager": "kustomize-controller",
                    "operation": "Apply"
                  }
                ]
              },
              {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": "7"
              }
            ]"#]]
        .assert_eq(&serde_json::to_string_pretty(&patch).unwrap());
    }

    #[test]
    fn nobody_elses_fields_are_touched() {
        let live = json!({"metadata": {"resourceVersion": "7", "managedFields": [
            {"manager": "helm", "operation": "Update"},
            {"manager": "kubectl", "operation": "Update", "subresource": "scale"},
        ]}});
        assert_eq!(patch(&live, "kustomize-controller"), None);
    }
}
