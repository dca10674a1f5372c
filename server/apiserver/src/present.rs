//! Objects on their way out: in the version and the shape that was asked for.

use std::sync::Arc;

use bytes::Bytes;
use fixpoint_api_machinery::table::{Include, table};
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body::Body;
use crate::convert;
use crate::kinds::Kind;
use crate::store::Object;
use crate::wire::reply;
use crate::wire::{Accepted, Query, Shape};

/// An object to send.
#[derive(Debug, Clone)]
pub enum Shown {
    /// As it is stored.
    Stored(Arc<Object>),
    /// As it would be stored, in the version of the request.
    Would(Value),
}

/// How objects of one request are sent.
#[derive(Debug, Clone)]
pub struct View {
    /// In this version.
    pub kind: Arc<Kind>,
    /// In this shape and syntax.
    pub accepted: Accepted,
    /// How much of each object a table's row carries.
    pub include: Include,
    /// Ages in tables count from here.
    pub now: Timestamp,
}

impl View {
    /// What a request asks for.
    pub fn new(kind: &Arc<Kind>, accepted: Accepted, query: &Query, now: Timestamp) -> Self {
        let include = match query.get("includeObject") {
            Some("None") => Include::None,
            Some("Object") => Include::Object,
            _ => Include::Metadata,
        };
        Self { kind: Arc::clone(kind), accepted, include, now }
    }

    /// Sends one object.
    pub fn one(&self, code: StatusCode, shown: &Shown) -> Response<Body> {
        self.send(code, self.object(shown))
    }

    /// One object as JSON text.
    pub fn object(&self, shown: &Shown) -> Bytes {
        match (self.accepted.shape, shown) {
            (Shape::Full, Shown::Stored(object)) => convert::json(&self.kind, object),
            (Shape::Full, Shown::Would(value)) => value.to_string().into(),
            (Shape::Metadata, Shown::Stored(object)) => metadata_json(object.body()),
            (Shape::Metadata, Shown::Would(value)) => metadata_json(value.to_string().as_bytes()),
            (Shape::Table, _) => {
                let value = self.value(shown);
                let version = value.pointer("/metadata/resourceVersion").cloned();
                let mut table = self.table([&value]);
                table["metadata"] = json!({"resourceVersion": version});
                table.to_string().into()
            }
        }
    }

    /// Sends a list.
    pub fn list(&self, objects: &[Arc<Object>], metadata: &Value) -> Response<Body> {
        let text = match self.accepted.shape {
            Shape::Full => {
                let (kind, version) = (self.kind.list_kind.as_str(), self.kind.api_version());
                let items = objects.iter().map(|object| convert::json(&self.kind, object));
                join_list(kind, &version, metadata, items)
            }
            Shape::Metadata => {
                let items = objects.iter().map(|object| metadata_json(object.body()));
                join_list("PartialObjectMetadataList", "meta.k8s.io/v1", metadata, items)
            }
            Shape::Table => {
                let values: Vec<Value> =
                    objects.iter().map(|object| convert::value(&self.kind, object)).collect();
                let mut table = self.table(&values);
                table["metadata"] = metadata.clone();
                table.to_string().into()
            }
        };
        self.send(StatusCode::OK, text)
    }

    fn table<'a>(&self, values: impl IntoIterator<Item = &'a Value>) -> Value {
        table(values, self.kind.columns(), self.include, self.now)
    }

    fn value(&self, shown: &Shown) -> Value {
        match shown {
            Shown::Stored(object) => convert::value(&self.kind, object),
            Shown::Would(value) => value.clone(),
        }
    }

    fn send(&self, code: StatusCode, json: Bytes) -> Response<Body> {
        if !self.accepted.yaml {
            return reply::json(code, json);
        }
        // The text was made here, so it parses.
        let value: Value = serde_json::from_slice(&json).unwrap_or_default();
        reply::typed(code, "application/yaml", fixpoint_yaml::to_string(&value))
    }

    /// A bookmark: progress without an object.
    pub fn bookmark(&self, revision: u64, initial_events_end: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.accepted.shape {
            Shape::Full => json!({"kind": self.kind.kind, "apiVersion": self.kind.api_version(),
                "metadata": metadata}),
            Shape::Metadata => json!({"kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1", "metadata": metadata}),
            Shape::Table => {
                let object = json!({"kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
                json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"resourceVersion": revision.to_string()},
                    "columnDefinitions": [], "rows": [{"cells": [], "object": object}]})
            }
        };
        format!("{}\n", json!({"type": "BOOKMARK", "object": object})).into()
    }
}

#[derive(Deserialize)]
struct OnlyMetadata {
    metadata: Value,
}

/// The metadata of an object, as a `PartialObjectMetadata`.
fn metadata_json(json: &[u8]) -> Bytes {
    let metadata =
        serde_json::from_slice::<OnlyMetadata>(json).map(|only| only.metadata).unwrap_or_default();
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
        .to_string()
        .into()
}

/// Makes a list of the texts of its items, so that stored bytes are copied and not parsed.
fn join_list(
    kind: &str,
    version: &str,
    metadata: &Value,
    items: impl Iterator<Item = Bytes>,
) -> Bytes {
    let head = json!({"kind": kind, "apiVersion": version, "metadata": metadata}).to_string();
    let items: Vec<Bytes> = items.collect();
    let size: usize = items.iter().map(|item| item.len() + 1).sum();
    let mut out = Vec::with_capacity(head.len() + size + 12);
    out.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
    out.extend_from_slice(b",\"items\":[");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(item);
    }
    out.extend_from_slice(b"]}");
    out.into()
}
