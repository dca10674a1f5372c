//! The CRDs of our kinds.
//!
//! In: the types. Out: their CustomResourceDefinitions, such as Flux installs them. The schema
//! generator speaks about Rust, so its output is brought into the shape that Flux's has: a field
//! that is not written is absent, never null, and an object without a spec is let in.

use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::{GitRepository, Kustomization};

/// The CustomResourceDefinitions of all kinds, sorted by name.
pub fn crds() -> Vec<Value> {
    vec![definition::<GitRepository>(), definition::<Kustomization>()]
}

/// The same for the embedded server, on which folders of this machine may be sources: the URL of a
/// GitRepository may start with `file://` there. Which folders is for the source driver to check.
pub fn crds_with_file_sources() -> Vec<Value> {
    let mut crds = crds();
    for crd in &mut crds {
        let pattern =
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/url/pattern";
        if let Some(pattern) = crd.pointer_mut(pattern) {
            *pattern = json!(r"^(http|https|ssh|file)://.*$");
        }
    }
    crds
}

fn definition<K: CustomResourceExt>() -> Value {
    let crd = serde_json::to_value(K::crd()).expect("a CRD is made of text, numbers and lists");
    mended(crd)
}

fn mended(mut crd: Value) -> Value {
    let Some(spec) = crd.get_mut("spec").and_then(Value::as_object_mut) else { return crd };
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut)
        && let Some(kind) = names.get("kind").and_then(Value::as_str)
    {
        let list = format!("{kind}List");
        names.insert("listKind".to_owned(), Value::String(list));
    }
    let versions = spec.get_mut("versions").and_then(Value::as_array_mut);
    for version in versions.into_iter().flatten() {
        if let Some(root) = version.pointer_mut("/schema/openAPIV3Schema") {
            mend_schema(root);
            mend_root(root);
        }
    }
    crd
}

/// Removes what the generator says about Rust: that an `Option` may be null, what a type is
/// called.
fn mend_schema(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    fields.remove("nullable");
    fields.remove("title");
    if let Some(Value::String(text)) = fields.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    for (_, property) in entries(fields, "properties") {
        mend_schema(property);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(keyword) {
            mend_schema(inner);
        }
    }
}

/// Adds what every object has, for `kubectl explain`, and lets an object without a spec in: it is
/// told so in its status.
fn mend_root(root: &mut Value) {
    let Some(fields) = root.as_object_mut() else { return };
    fields.remove("required");
    if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        let text = |description: &str| json!({"type": "string", "description": description});
        properties.insert(
            "apiVersion".to_owned(),
            text("Group and version that the object is written in."),
        );
        properties.insert("kind".to_owned(), text("Kind of the object."));
        properties.insert("metadata".to_owned(), json!({"type": "object"}));
    }
}

fn entries<'a>(
    fields: &'a mut Map<String, Value>,
    keyword: &str,
) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    fields.get_mut(keyword).and_then(Value::as_object_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_sources_are_let_in_where_asked_for() {
        let patterns = |crds: Vec<Value>| -> Vec<String> {
            let urls = crds.into_iter().filter_map(|crd| {
                let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
                let url = &root["properties"]["spec"]["properties"]["url"]["pattern"];
                url.as_str().map(str::to_owned)
            });
            urls.collect()
        };
        assert_eq!(patterns(crds()), ["^(http|https|ssh)://.*$"]);
        assert_eq!(patterns(crds_with_file_sources()), ["^(http|https|ssh|file)://.*$"]);
    }
}
