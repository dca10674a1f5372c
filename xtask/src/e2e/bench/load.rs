//! What a benchmark delivers: many small folders of objects that all change together.
//!
//! In: how many, and which generation. Out: objects, and the files that declare them.

use serde_json::{Value, json};

/// How many objects a folder has.
pub const OBJECTS: usize = 4;

/// The objects of a folder, in a namespace, as of a generation.
pub fn objects(namespace: &str, folder: usize, generation: usize) -> [Value; OBJECTS] {
    let name = |role: &str| format!("app-{folder:03}-{role}");
    let metadata = |role: &str| {
        json!({"name": name(role), "namespace": namespace,
            "annotations": {"bench/generation": generation.to_string()}})
    };
    let settings = |role: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(role),
            "data": {"generation": generation.to_string(), "text": "x".repeat(200)}})
    };
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata("service"),
        "spec": {"clusterIP": "None", "selector": {"app": name("service")},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]}});
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("account")});
    [settings("settings"), settings("flags"), service, account]
}

/// Where an object is applied.
pub fn path(object: &Value) -> String {
    let plural = match object["kind"].as_str() {
        Some("Service") => "services",
        Some("ServiceAccount") => "serviceaccounts",
        _ => "configmaps",
    };
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    format!("/api/v1/namespaces/{}/{plural}/{}", text("namespace"), text("name"))
}

/// A file that declares objects. JSON is YAML.
pub fn file(objects: &[Value]) -> String {
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    texts.join("\n---\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_object_is_another_and_changes_with_the_generation() {
        let paths: BTreeSet<String> =
            (0..3).flat_map(|folder| objects("n", folder, 1)).map(|object| path(&object)).collect();
        assert_eq!(paths.len(), 3 * OBJECTS);
        assert!(paths.contains("/api/v1/namespaces/n/services/app-002-service"));
        for (one, two) in objects("n", 0, 1).iter().zip(objects("n", 0, 2)) {
            assert_ne!(*one, two);
        }
        assert_eq!(file(&objects("n", 0, 1)).matches("\n---\n").count(), OBJECTS - 1);
    }
}
