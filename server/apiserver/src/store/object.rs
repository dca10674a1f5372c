//! One stored object: its JSON as it is sent, and the few fields the server itself needs.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::state::EventKind;

/// Names a table of objects: API group and plural. Versions share a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// Plural, such as `configmaps`.
    pub plural: Arc<str>,
}

impl Resource {
    /// Names a table.
    pub fn new(group: &str, plural: &str) -> Self {
        Self { group: group.into(), plural: plural.into() }
    }
}

/// Names an object within its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name {
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Name {
    /// Names an object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// One owner reference, as far as garbage collection needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// UID of the owner.
    pub uid: String,
    /// Whether the owner waits for this object when it is deleted in the foreground.
    pub blocks: bool,
}

/// One stored object at one revision.
///
/// The body is kept as bytes only: a parsed value would cost several times as much memory, and
/// most reads send the bytes as they are.
#[derive(Debug)]
pub struct Object {
    /// Its name.
    pub name: Name,
    /// The revision that wrote it.
    pub revision: u64,
    /// Its UID.
    pub uid: String,
    /// Its labels: a JSON object, or null.
    pub labels: Value,
    /// Its owners.
    pub owners: Vec<Owner>,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// Whether its deletion has begun.
    pub deleting: bool,
    /// The watch line that announced it; the body is a slice of it, so neither is built twice.
    line: Bytes,
    kind: EventKind,
}

const TAIL: &[u8] = b"}\n";

impl Object {
    /// Makes an object of its JSON text.
    pub fn new(kind: EventKind, revision: u64, name: Name, meta: Meta, json: &[u8]) -> Self {
        let head = kind.head();
        let mut line = Vec::with_capacity(head.len() + json.len() + TAIL.len());
        line.extend_from_slice(head);
        line.extend_from_slice(json);
        line.extend_from_slice(TAIL);
        let Meta { uid, labels, owner_references, finalizers, deletion_timestamp } = meta;
        Self {
            name,
            revision,
            uid,
            labels,
            owners: owner_references
                .unwrap_or_default()
                .into_iter()
                .map(|owner| Owner {
                    uid: owner.uid,
                    blocks: owner.block_owner_deletion.unwrap_or(false),
                })
                .collect(),
            finalizers: finalizers.unwrap_or_default(),
            deleting: deletion_timestamp.is_some(),
            line: line.into(),
            kind,
        }
    }

    /// The JSON of the object, in the version it is stored in.
    pub fn json(&self) -> Bytes {
        self.line.slice(self.kind.head().len()..self.line.len() - TAIL.len())
    }

    /// The same, borrowed.
    pub fn body(&self) -> &[u8] {
        &self.line[self.kind.head().len()..self.line.len() - TAIL.len()]
    }

    /// The line that announces this revision as `kind`, if it was made as that.
    pub fn line(&self, kind: EventKind) -> Option<Bytes> {
        (kind == self.kind).then(|| self.line.clone())
    }

    /// The object, parsed.
    pub fn value(&self) -> Value {
        // The bytes were written by this server from a value, and the log checks them.
        serde_json::from_slice(self.body()).expect("stored objects are JSON")
    }

    /// Bytes the object takes.
    pub fn size(&self) -> usize {
        self.line.len()
    }
}

/// The fields of `metadata` that the server itself needs.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    labels: Value,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnerReference {
    #[serde(default)]
    uid: String,
    block_owner_deletion: Option<bool>,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    metadata: Meta,
}

impl Meta {
    /// Reads the fields from an object.
    ///
    /// # Errors
    /// When one of them has the wrong type.
    pub fn of(object: &Value) -> Result<Self, serde_json::Error> {
        object.get("metadata").map_or_else(|| Ok(Self::default()), Self::deserialize)
    }

    /// Reads the fields from an object's text.
    ///
    /// # Errors
    /// As [`Meta::of`].
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(serde_json::from_slice::<Envelope>(json)?.metadata)
    }
}
