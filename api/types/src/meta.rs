//! Pieces that several kinds share: references, artifacts and times.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The schema of a time, which the Kubernetes types do not bring with them.
pub(crate) fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// Whether a flag is at its default; such flags are not written.
pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Names an object in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalObjectReference {
    /// Name of the object.
    pub name: String,
}

/// One version of a source's content, stored and ready to be fetched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Path of the stored file, relative to the root of the artifact storage.
    pub path: String,
    /// Address the stored file can be fetched from.
    pub url: String,
    /// The version it holds, in words that lead back to the source, such as
    /// `main@sha1:<commit>`.
    pub revision: String,
    /// Digest of the stored file: the algorithm, a colon and the checksum.
    #[schemars(regex(pattern = r"^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$"))]
    pub digest: String,
    /// When this version was stored.
    #[schemars(schema_with = "time_schema")]
    pub last_update_time: Time,
    /// Size of the stored file in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// What the source itself says about this version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}
