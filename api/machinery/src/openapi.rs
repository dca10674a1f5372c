//! OpenAPI v3 documents: what `kubectl explain` reads and `kubectl apply` validates against.
//!
//! In: the kinds of one group and version, with the schemas of those that have one. Out: one
//! document, as served under `/openapi/v3/apis/{group}/{version}`. A kind without a schema accepts
//! anything, so that no client refuses what the server would take.

use serde_json::{Map, Value, json};

/// What a document says of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindInfo<'a> {
    /// Kind.
    pub kind: &'a str,
    /// Plural.
    pub plural: &'a str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether it has a status subresource.
    pub status: bool,
}

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Makes the document of one group and version; `Some` schema is the `openAPIV3Schema` of a CRD.
pub fn document(group: &str, version: &str, kinds: &[(KindInfo<'_>, Option<&Value>)]) -> Value {
    let mut paths = Map::new();
    let mut schemas = shared_schemas();
    for (info, schema) in kinds {
        let name = schema_name(group, version, info.kind);
        let list = format!("{name}List");
        schemas.insert(name.clone(), object_schema(group, version, info, *schema));
        schemas.insert(list.clone(), list_schema(group, version, info, &name));
        add_paths(&mut paths, group, version, info, &name, &list);
    }
    json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths, "components": {"schemas": schemas}})
}

/// `com.example.v1.Widget`: the labels of the group in reverse, as kube-apiserver names them.
fn schema_name(group: &str, version: &str, kind: &str) -> String {
    if group.is_empty() || !group.contains('.') {
        let group = if group.is_empty() { "core" } else { group };
        return format!("io.k8s.api.{group}.{version}.{kind}");
    }
    let labels: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", labels.join("."))
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn gvk(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

const API_VERSION: &str =
    "APIVersion defines the versioned schema of this representation of an object.";
const KIND: &str = "Kind is a string value representing the REST resource this object represents.";

fn object_schema(group: &str, version: &str, info: &KindInfo<'_>, schema: Option<&Value>) -> Value {
    let mut out = match schema {
        Some(Value::Object(schema)) => schema.clone(),
        Some(_) | None => {
            let mut open = Map::new();
            open.insert("type".to_owned(), "object".into());
            open.insert("x-kubernetes-preserve-unknown-fields".to_owned(), true.into());
            if let Some(fields) = core_fields(group, info.kind) {
                open.insert("properties".to_owned(), fields);
            }
            open
        }
    };
    let properties = out.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Some(properties) = properties.as_object_mut() {
        properties
            .insert("apiVersion".to_owned(), json!({"type": "string", "description": API_VERSION}));
        properties.insert("kind".to_owned(), json!({"type": "string", "description": KIND}));
        let metadata = json!({"allOf": [reference(OBJECT_META)], "default": {},
            "description": "Standard object's metadata."});
        properties.insert("metadata".to_owned(), metadata);
    }
    out.insert(
        "x-kubernetes-group-version-kind".to_owned(),
        json!([gvk(group, version, info.kind)]),
    );
    Value::Object(out)
}

/// The fields of the small built-in kinds that people ask `kubectl explain` about; the others are
/// stored without a schema of their fields.
fn core_fields(group: &str, kind: &str) -> Option<Value> {
    let text = |what: &str| json!({"type": "string", "description": what});
    let flag = |what: &str| json!({"type": "boolean", "description": what});
    let texts = |what: &str| json!({"type": "object", "description": what, "additionalProperties": {"type": "string"}});
    let bytes = |what: &str| {
        json!({"type": "object", "description": what,
            "additionalProperties": {"type": "string", "format": "byte"}})
    };
    let open = |what: &str| {
        json!({"type": "object", "description": what,
            "x-kubernetes-preserve-unknown-fields": true})
    };
    let list = |what: &str| json!({"type": "array", "description": what, "items": open("")});
    Some(match (group, kind) {
        ("", "ConfigMap") => json!({
            "data": texts("Text by key."),
            "binaryData": bytes("Bytes by key, in base64."),
            "immutable": flag("Whether the content can no longer be changed."),
        }),
        ("", "Secret") => json!({
            "data": bytes("Secret bytes by key, in base64."),
            "stringData": texts("Secret text by key; written only, and moved into data."),
            "type": text("What kind of secret it is."),
            "immutable": flag("Whether the content can no longer be changed."),
        }),
        ("", "ServiceAccount") => json!({
            "secrets": list("Secrets that pods of this account may use."),
            "imagePullSecrets": list("Secrets for pulling images."),
            "automountServiceAccountToken": flag("Whether pods get a token mounted."),
        }),
        ("", "Namespace") => json!({
            "spec": open("What the namespace is asked to be."),
            "status": open("How the namespace is."),
        }),
        ("coordination.k8s.io", "Lease") => {
            json!({"spec": open("Who holds the lease, and since.")})
        }
        _ => return None,
    })
}

fn list_schema(group: &str, version: &str, info: &KindInfo<'_>, item: &str) -> Value {
    json!({"type": "object", "required": ["items"],
        "description": format!("{0}List is a list of {0}", info.kind),
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "kind": {"type": "string", "description": KIND},
            "metadata": {"allOf": [reference(LIST_META)], "default": {}},
            "items": {"type": "array", "items": {"allOf": [reference(item)], "default": {}}}},
        "x-kubernetes-group-version-kind": [gvk(group, version, &format!("{}List", info.kind))]})
}

fn add_paths(
    paths: &mut Map<String, Value>,
    group: &str,
    version: &str,
    info: &KindInfo<'_>,
    name: &str,
    list: &str,
) {
    let KindInfo { kind, plural, namespaced, status } = *info;
    let root = if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    };
    let maker = Maker { gvk: gvk(group, version, kind), name, tag: kind };
    let collection = if namespaced {
        let all = json!({"get": maker.get("list", list), "parameters": parameters(false, false)});
        paths.insert(format!("{root}/{plural}"), all);
        format!("{root}/namespaces/{{namespace}}/{plural}")
    } else {
        format!("{root}/{plural}")
    };
    paths.insert(
        collection.clone(),
        json!({"get": maker.get("list", list), "post": maker.write("post"),
            "delete": maker.delete("deletecollection"),
            "parameters": parameters(namespaced, false)}),
    );
    paths.insert(
        format!("{collection}/{{name}}"),
        json!({"get": maker.get("get", name), "put": maker.write("put"),
            "patch": maker.patch(), "delete": maker.delete("delete"),
            "parameters": parameters(namespaced, true)}),
    );
    if status {
        paths.insert(
            format!("{collection}/{{name}}/status"),
            json!({"get": maker.get("get", name), "put": maker.write("put"),
                "patch": maker.patch(), "parameters": parameters(namespaced, true)}),
        );
    }
}

fn parameters(namespace: bool, name: bool) -> Value {
    [("namespace", namespace), ("name", name)]
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(name, _)| {
            json!({"name": name, "in": "path", "required": true,
                "schema": {"type": "string", "uniqueItems": true}})
        })
        .chain([query("pretty", "string")])
        .collect::<Vec<_>>()
        .into()
}

fn query(name: &str, kind: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
}

struct Maker<'a> {
    gvk: Value,
    name: &'a str,
    tag: &'a str,
}

impl Maker<'_> {
    fn operation(&self, action: &str, parameters: &[(&str, &str)], answer: &str) -> Value {
        let parameters: Vec<Value> =
            parameters.iter().map(|(name, kind)| query(name, kind)).collect();
        json!({"tags": [self.tag], "parameters": parameters,
            "responses": {"200": {"description": "OK",
                "content": {"application/json": {"schema": reference(answer)}}}},
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": self.gvk})
    }

    fn get(&self, action: &str, answer: &str) -> Value {
        let parameters: &[(&str, &str)] = if action == "list" {
            &[
                ("labelSelector", "string"),
                ("fieldSelector", "string"),
                ("limit", "integer"),
                ("continue", "string"),
                ("resourceVersion", "string"),
                ("resourceVersionMatch", "string"),
                ("watch", "boolean"),
                ("allowWatchBookmarks", "boolean"),
                ("sendInitialEvents", "boolean"),
                ("timeoutSeconds", "integer"),
            ]
        } else {
            &[]
        };
        self.operation(action, parameters, answer)
    }

    /// kubectl validates on the server where it finds `fieldValidation` among these.
    fn write(&self, action: &str) -> Value {
        let parameters =
            [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
        let mut out = self.operation(action, &parameters, self.name);
        out["requestBody"] = json!({"required": true,
            "content": {"*/*": {"schema": reference(self.name)}}});
        out
    }

    fn patch(&self) -> Value {
        let parameters = [
            ("dryRun", "string"),
            ("fieldManager", "string"),
            ("fieldValidation", "string"),
            ("force", "boolean"),
        ];
        let mut out = self.operation("patch", &parameters, self.name);
        let body = json!({"schema": reference(PATCH)});
        out["requestBody"] = json!({"required": true, "content": {
            "application/apply-patch+yaml": body,
            "application/json-patch+json": body,
            "application/merge-patch+json": body}});
        out
    }

    fn delete(&self, action: &str) -> Value {
        let parameters = [
            ("dryRun", "string"),
            ("gracePeriodSeconds", "integer"),
            ("propagationPolicy", "string"),
        ];
        let mut out = self.operation(action, &parameters, STATUS);
        out["requestBody"] = json!({"content": {"*/*": {"schema": reference(DELETE_OPTIONS)}}});
        out
    }
}

fn shared_schemas() -> Map<String, Value> {
    let text = json!({"type": "string"});
    let time = json!({"type": "string", "format": "date-time"});
    let number = json!({"type": "integer", "format": "int64"});
    let open = json!({"type": "object"});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let list_of_texts = json!({"type": "array", "items": {"type": "string"}});
    let owner = json!({"type": "object", "required": ["apiVersion", "kind", "name", "uid"],
        "x-kubernetes-map-type": "atomic",
        "properties": {"apiVersion": text, "kind": text, "name": text, "uid": text,
            "controller": {"type": "boolean"}, "blockOwnerDeletion": {"type": "boolean"}}});
    let entry = json!({"type": "object", "properties": {"manager": text, "operation": text,
        "apiVersion": text, "time": time, "fieldsType": text, "fieldsV1": open,
        "subresource": text}});
    let metadata = json!({"type": "object",
        "description": "ObjectMeta is metadata that all persisted resources must have.",
        "properties": {"name": text, "generateName": text, "namespace": text, "selfLink": text,
            "uid": text, "resourceVersion": text, "generation": number,
            "creationTimestamp": time, "deletionTimestamp": time,
            "deletionGracePeriodSeconds": number, "labels": texts, "annotations": texts,
            "finalizers": list_of_texts, "ownerReferences": {"type": "array", "items": owner},
            "managedFields": {"type": "array", "items": entry}}});
    let list = json!({"type": "object", "properties": {"resourceVersion": text, "continue": text,
        "remainingItemCount": number, "selfLink": text}});
    let status = json!({"type": "object", "properties": {"apiVersion": text, "kind": text,
        "metadata": open, "status": text, "message": text, "reason": text, "details": open,
        "code": number},
        "x-kubernetes-group-version-kind": [gvk("", "v1", "Status")]});
    let delete = json!({"type": "object", "properties": {"apiVersion": text, "kind": text,
        "dryRun": list_of_texts, "gracePeriodSeconds": number, "orphanDependents": {"type": "boolean"},
        "preconditions": open, "propagationPolicy": text}});
    [
        (OBJECT_META, metadata),
        (LIST_META, list),
        (STATUS, status),
        (PATCH, open),
        (DELETE_OPTIONS, delete),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_owned(), schema))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(at)) = map.get("$ref") {
                    out.push(at.clone());
                }
                map.values().for_each(|value| references(value, out));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, out)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let schema = json!({"type": "object", "description": "A widget.",
            "properties": {"spec": {"type": "object", "properties": {"x": {"type": "string"}}}}});
        let widget = KindInfo { kind: "Widget", plural: "widgets", namespaced: true, status: true };
        let gear = KindInfo { kind: "Gear", plural: "gears", namespaced: false, status: false };
        let document = document("example.com", "v1", &[(widget, Some(&schema)), (gear, None)]);
        let mut found = Vec::new();
        references(&document, &mut found);
        for at in found {
            assert!(document.pointer(at.trim_start_matches('#')).is_some(), "{at}");
        }
        let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        assert_eq!(
            paths,
            [
                "/apis/example.com/v1/gears",
                "/apis/example.com/v1/gears/{name}",
                "/apis/example.com/v1/namespaces/{namespace}/widgets",
                "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}",
                "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}/status",
                "/apis/example.com/v1/widgets",
            ]
        );
        let widget = &document["components"]["schemas"]["com.example.v1.Widget"];
        assert_eq!(widget["properties"]["spec"], schema["properties"]["spec"]);
        assert_eq!(
            widget["x-kubernetes-group-version-kind"],
            json!([{"group": "example.com", "version": "v1", "kind": "Widget"}])
        );
    }

    #[test]
    fn names_of_schemas() {
        assert_eq!(schema_name("", "v1", "Pod"), "io.k8s.api.core.v1.Pod");
        assert_eq!(schema_name("apps", "v1", "Deployment"), "io.k8s.api.apps.v1.Deployment");
        assert_eq!(schema_name("a.b.io", "v1", "K"), "io.b.a.v1.K");
    }
}
