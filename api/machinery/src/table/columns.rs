//! The columns of built-in kinds, and those that a CRD asks for.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::path::Path;
use super::{Cell, Column, age};

type Compute = fn(&Value, Timestamp) -> Value;

fn computed(name: &str, kind: &str, compute: Compute) -> Column {
    Column {
        name: name.to_owned(),
        kind: kind.to_owned(),
        format: String::new(),
        description: String::new(),
        priority: 0,
        cell: Cell::Computed(compute),
    }
}

/// A column that is shown with `-o wide` only.
fn wide(name: &str, compute: Compute) -> Column {
    Column { priority: 1, ..computed(name, "string", compute) }
}

pub(super) fn name() -> Column {
    Column {
        format: "name".to_owned(),
        description: "Name must be unique within a namespace.".to_owned(),
        ..computed("Name", "string", |object, _| {
            fixpoint_base::object::name(object).unwrap_or_default().into()
        })
    }
}

pub(super) fn age() -> Column {
    computed("Age", "string", created)
}

fn created(object: &Value, now: Timestamp) -> Value {
    time_at(object, "/metadata/creationTimestamp", now).unwrap_or_else(|| "<unknown>".into())
}

fn time_at(object: &Value, pointer: &str, now: Timestamp) -> Option<Value> {
    object.pointer(pointer).and_then(Value::as_str).map(|time| age::since(time, now))
}

/// Reads one of a CRD's `additionalPrinterColumns`.
pub(super) fn read(column: &Value) -> Option<Column> {
    let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
    Some(Column {
        name: text("name"),
        kind: text("type"),
        format: text("format"),
        description: text("description"),
        priority: column["priority"].as_i64().unwrap_or(0),
        cell: Cell::At(Path::parse(column["jsonPath"].as_str()?)?),
    })
}

pub(super) fn builtin(group: &str, kind: &str) -> Vec<Column> {
    match (group, kind) {
        ("", "Namespace") => {
            vec![name(), computed("Status", "string", |o, _| text(o, "/status/phase")), age()]
        }
        ("", "ConfigMap") => vec![
            name(),
            computed("Data", "integer", |o, _| (count(o, "data") + count(o, "binaryData")).into()),
            age(),
        ],
        ("", "Secret") => vec![
            name(),
            computed("Type", "string", |o, _| text(o, "/type")),
            computed("Data", "integer", |o, _| count(o, "data").into()),
            age(),
        ],
        ("", "ServiceAccount") => {
            vec![name(), computed("Secrets", "string", |o, _| list(o, "secrets").into()), age()]
        }
        ("" | "events.k8s.io", "Event") => events(),
        ("coordination.k8s.io", "Lease") => {
            vec![
                name(),
                computed("Holder", "string", |o, _| text(o, "/spec/holderIdentity")),
                age(),
            ]
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => vec![
            name(),
            computed("Created At", "date", |o, _| text(o, "/metadata/creationTimestamp")),
        ],
        ("", "Service") => services(),
        ("apps", "Deployment") => deployments(),
        _ => vec![name(), age()],
    }
}

fn text(object: &Value, pointer: &str) -> Value {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().into()
}

fn count(object: &Value, field: &str) -> usize {
    object.get(field).and_then(Value::as_object).map_or(0, Map::len)
}

fn list(object: &Value, field: &str) -> usize {
    object.get(field).and_then(Value::as_array).map_or(0, Vec::len)
}

fn events() -> Vec<Column> {
    vec![
        computed("Last Seen", "string", |o, now| {
            ["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp", "/eventTime"]
                .iter()
                .find_map(|pointer| time_at(o, pointer, now))
                .unwrap_or_else(|| "<unknown>".into())
        }),
        computed("Type", "string", |o, _| text(o, "/type")),
        computed("Reason", "string", |o, _| text(o, "/reason")),
        computed("Object", "string", |o, _| {
            let of = o.get("involvedObject").or_else(|| o.get("regarding"));
            let part = |key: &str| {
                of.and_then(|of| of.get(key)).and_then(Value::as_str).unwrap_or_default()
            };
            format!("{}/{}", part("kind").to_lowercase(), part("name")).into()
        }),
        computed("Message", "string", |o, _| {
            let message = o.get("message").or_else(|| o.get("note"));
            message.and_then(Value::as_str).unwrap_or_default().trim().into()
        }),
        wide("Source", |o, _| {
            let pointers = ["/source/component", "/reportingComponent", "/reportingController"];
            let found = pointers.iter().map(|at| text(o, at)).find(|text| text != "");
            found.unwrap_or_else(|| "".into())
        }),
        wide("Count", |o, _| {
            let count = o.pointer("/series/count").or_else(|| o.get("count"));
            count.cloned().unwrap_or_else(|| 1.into()).to_string().into()
        }),
        Column { priority: 1, ..name() },
    ]
}

fn services() -> Vec<Column> {
    vec![
        name(),
        computed("Type", "string", |o, _| text(o, "/spec/type")),
        computed("Cluster-IP", "string", |o, _| {
            let ip = text(o, "/spec/clusterIP");
            if ip == "" { "<none>".into() } else { ip }
        }),
        computed("Port(s)", "string", |o, _| {
            let ports: Vec<String> = o
                .pointer("/spec/ports")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|port| {
                    format!("{}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP"))
                })
                .collect();
            if ports.is_empty() { "<none>".into() } else { ports.join(",").into() }
        }),
        age(),
    ]
}

fn deployments() -> Vec<Column> {
    vec![
        name(),
        computed("Ready", "string", |o, _| {
            let at = |pointer: &str| o.pointer(pointer).and_then(Value::as_i64);
            let ready = at("/status/readyReplicas").unwrap_or(0);
            format!("{ready}/{}", at("/spec/replicas").unwrap_or(1)).into()
        }),
        computed("Up-to-date", "string", |o, _| {
            o.pointer("/status/updatedReplicas").and_then(Value::as_i64).unwrap_or(0).into()
        }),
        computed("Available", "string", |o, _| {
            o.pointer("/status/availableReplicas").and_then(Value::as_i64).unwrap_or(0).into()
        }),
        age(),
    ]
}
