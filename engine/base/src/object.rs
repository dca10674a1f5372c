//! Kubernetes objects as JSON values, and what names them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Group, version and kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: String,
    /// API version, such as `v1`.
    pub version: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
}

impl Gvk {
    /// Names a kind.
    pub fn new(
        group: impl Into<String>,
        version: impl Into<String>,
        kind: impl Into<String>,
    ) -> Self {
        Self { group: group.into(), version: version.into(), kind: kind.into() }
    }

    /// Reads `apiVersion` and `kind`.
    pub fn of(object: &Value) -> Option<Self> {
        let api_version = object.get("apiVersion")?.as_str()?;
        let kind = object.get("kind")?.as_str()?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Some(Self::new(group, version, kind))
    }

    /// `group/version`, or only the version for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// Names one object: its kind, namespace (empty for cluster-scoped) and name.
///
/// The version is carried for the client that must call the API, but two keys that differ in
/// version only name the same object: compare them by [`Key::identity`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Group, version and kind.
    pub gvk: Gvk,
    /// Namespace; empty for a cluster-scoped object.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// Names an object.
    pub fn new(gvk: Gvk, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { gvk, namespace: namespace.into(), name: name.into() }
    }

    /// Reads the name of an object; `None` where kind or name are missing.
    pub fn of(object: &Value) -> Option<Self> {
        Some(Self::new(Gvk::of(object)?, namespace(object), name(object)?))
    }

    /// What the object is, whatever version it is written in: group, kind, namespace, name.
    pub fn identity(&self) -> (&str, &str, &str, &str) {
        (&self.gvk.group, &self.gvk.kind, &self.namespace, &self.name)
    }
}

/// `Kind/namespace/name` or `Kind/name`, as Flux prints it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gvk, namespace, name } = self;
        if namespace.is_empty() {
            write!(f, "{}/{name}", gvk.kind)
        } else {
            write!(f, "{}/{namespace}/{name}", gvk.kind)
        }
    }
}

/// `metadata.name`.
pub fn name(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("name")?.as_str()
}

/// `metadata.namespace`, empty where there is none.
pub fn namespace(object: &Value) -> &str {
    object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("")
}

/// One label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str()
}

/// One annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

/// Sets a label, making `metadata.labels` where it is missing.
pub fn set_label(object: &mut Value, key: &str, value: &str) {
    set_in(object, "labels", key, value);
}

/// Sets an annotation, making `metadata.annotations` where it is missing.
pub fn set_annotation(object: &mut Value, key: &str, value: &str) {
    set_in(object, "annotations", key, value);
}

fn set_in(object: &mut Value, field: &str, key: &str, value: &str) {
    let Some(object) = object.as_object_mut() else { return };
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Default::default()));
    let Some(metadata) = metadata.as_object_mut() else { return };
    let map = metadata.entry(field).or_insert_with(|| Value::Object(Default::default()));
    if map.is_null() {
        *map = Value::Object(Default::default());
    }
    if let Some(map) = map.as_object_mut() {
        map.insert(key.to_owned(), Value::String(value.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_read_and_print() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"}});
        let key = Key::of(&object).unwrap();
        assert_eq!(key.to_string(), "Deployment/shop/web");
        assert_eq!(key.gvk.api_version(), "apps/v1");
    }

    #[test]
    fn objects_without_a_name_have_no_key() {
        assert_eq!(Key::of(&json!({"apiVersion": "v1", "kind": "List"})), None);
        assert_eq!(Key::of(&json!("text")), None);
    }

    #[test]
    fn labels_are_made_where_missing() {
        let mut object = json!({"metadata": {"labels": null}});
        set_label(&mut object, "a", "b");
        assert_eq!(label(&object, "a"), Some("b"));
    }
}
