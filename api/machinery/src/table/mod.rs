//! `meta.k8s.io/v1` tables: what `kubectl get` prints.
//!
//! In: objects, columns and the time. Out: a `Table`. A cell that cannot be made is `null`, which
//! prints as `<none>`; it never fails the table.

mod age;
mod columns;
mod path;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use age::human_duration;

use self::path::Path;

/// How much of each object its row carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// A `PartialObjectMetadata`.
    Metadata,
    /// The whole object.
    Object,
}

/// One column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// Format, such as `name`.
    pub format: String,
    /// What the column means.
    pub description: String,
    /// Columns other than 0 are shown with `-o wide` only.
    pub priority: i64,
    cell: Cell,
}

#[derive(Debug, Clone)]
enum Cell {
    At(Path),
    Computed(fn(&Value, Timestamp) -> Value),
}

impl Column {
    /// Reads `additionalPrinterColumns` of a CRD version, with `Name` in front; without any,
    /// `Name` and `Age`.
    pub fn from_crd(printer_columns: &[Value]) -> Vec<Self> {
        let mut out = vec![columns::name()];
        out.extend(printer_columns.iter().filter_map(columns::read));
        if printer_columns.is_empty() {
            out.push(columns::age());
        }
        out
    }

    /// The columns of a built-in kind; `Name` and `Age` where it has none of its own.
    pub fn builtin(group: &str, kind: &str) -> Vec<Self> {
        columns::builtin(group, kind)
    }

    fn value(&self, object: &Value, now: Timestamp) -> Value {
        let found = match &self.cell {
            Cell::Computed(compute) => return compute(object, now),
            Cell::At(path) => path.find(object),
        };
        // Several findings print as the first one, as kube-apiserver does for custom resources.
        let Some(found) = found.first().copied() else { return Value::Null };
        match (self.kind.as_str(), found) {
            ("date", Value::String(time)) => age::since(time, now),
            ("integer", Value::Number(number)) => {
                number.as_f64().map_or(Value::Null, |number| json!(number as i64))
            }
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => found.clone(),
            ("string", Value::String(_)) => found.clone(),
            ("string", Value::Null) => Value::Null,
            ("string", other) => other.to_string().into(),
            _ => Value::Null,
        }
    }
}

/// Makes a table of some objects; the caller sets `metadata.resourceVersion` and `continue`.
pub fn table<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    columns: &[Column],
    include: Include,
    now: Timestamp,
) -> Value {
    let definitions: Vec<Value> = columns
        .iter()
        .map(|column| {
            let Column { name, kind, format, description, priority, cell: _ } = column;
            json!({"name": name, "type": kind, "format": format, "description": description,
                "priority": priority})
        })
        .collect();
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            let cells: Vec<Value> =
                columns.iter().map(|column| column.value(object, now)).collect();
            match include {
                Include::None => json!({"cells": cells}),
                Include::Object => json!({"cells": cells, "object": object}),
                Include::Metadata => json!({"cells": cells, "object": partial(object)}),
            }
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": definitions, "rows": rows})
}

/// An object as `PartialObjectMetadata`.
pub fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2030-01-02T00:00:00Z".parse().unwrap()
    }

    #[track_caller]
    fn rows(object: Value, columns: &[Column], want: Value) {
        let table = table([&object], columns, Include::None, now());
        assert_eq!(table["rows"][0]["cells"], want);
    }

    #[test]
    fn columns_of_a_crd() {
        let columns = Column::from_crd(&[
            json!({"name": "URL", "type": "string", "jsonPath": ".spec.url"}),
            json!({"name": "Ready", "type": "string",
                "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}),
            json!({"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"}),
            json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}),
        ]);
        rows(
            json!({"metadata": {"name": "a", "creationTimestamp": "2030-01-01T23:54:30Z"},
                "spec": {"url": "https://x.example", "replicas": 3},
                "status": {"conditions": [{"type": "Stalled", "status": "False"},
                    {"type": "Ready", "status": "True"}]}}),
            &columns,
            json!(["a", "https://x.example", "True", 3, "5m30s"]),
        );
        rows(
            json!({"metadata": {"name": "a"}, "spec": {"url": 1}}),
            &columns,
            json!(["a", "1", null, null, null]),
        );
    }

    #[test]
    fn columns_of_built_in_kinds() {
        let created = "2030-01-01T00:00:00Z";
        rows(
            json!({"metadata": {"name": "a", "creationTimestamp": created},
                "data": {"x": "1"}, "binaryData": {"y": "Mg=="}}),
            &Column::builtin("", "ConfigMap"),
            json!(["a", 2, "24h"]),
        );
        rows(
            json!({"metadata": {"name": "a", "creationTimestamp": created}, "type": "Opaque"}),
            &Column::builtin("", "Secret"),
            json!(["a", "Opaque", 0, "24h"]),
        );
        rows(
            json!({"metadata": {"name": "a", "creationTimestamp": created},
                "status": {"phase": "Active"}}),
            &Column::builtin("", "Namespace"),
            json!(["a", "Active", "24h"]),
        );
        rows(
            json!({"metadata": {"name": "a.1", "creationTimestamp": created}, "type": "Normal",
                "reason": "R", "message": " hello ", "lastTimestamp": "2030-01-01T23:59:00Z",
                "involvedObject": {"kind": "Pod", "name": "p"}}),
            &Column::builtin("", "Event")[..5],
            json!(["60s", "Normal", "R", "pod/p", "hello"]),
        );
        rows(
            json!({"metadata": {"name": "w"}}),
            &Column::builtin("apps", "Whatever"),
            json!(["w", "<unknown>"]),
        );
    }

    #[test]
    fn rows_carry_what_is_asked_for() {
        let object = json!({"kind": "K", "metadata": {"name": "a"}, "spec": {}});
        let columns = Column::from_crd(&[]);
        let row = |include| table([&object], &columns, include, now())["rows"][0]["object"].clone();
        assert_eq!(row(Include::None), Value::Null);
        assert_eq!(row(Include::Object), object);
        assert_eq!(row(Include::Metadata)["kind"], "PartialObjectMetadata");
        assert_eq!(row(Include::Metadata)["metadata"], json!({"name": "a"}));
    }
}
