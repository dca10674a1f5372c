//! Server-side apply and the ownership of fields.
use fixpoint_base::{Class, Classified};
use serde_json::Value;

use crate::types::TypeSchema;

/// What a manager did to the fields it owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Any other write.
    Update,
}

/// Who writes, how, through what, and when.
#[derive(Debug, Clone, Copy)]
pub struct Manager<'a> {
    /// Name of the field manager.
    pub name: &'a str,
    /// How it writes.
    pub operation: Operation,
    /// `status`, `scale`, or empty for the object itself.
    pub subresource: &'a str,
    /// `apiVersion` of the request.
    pub api_version: &'a str,
    /// RFC 3339 time, to the second, in UTC.
    pub now: &'a str,
}

/// A field that somebody else owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Path of the field, such as `.data.key`.
    pub path: String,
    /// The owner, such as `"kubectl-edit" using v1`.
    pub manager: String,
}

/// Says why an apply was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields that would change: answer 409.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration is not one: answer 400.
    #[error("{0}")]
    Invalid(String),
}

impl Classified for ApplyError {
    fn class(&self) -> Class {
        match self {
            Self::Conflicts(_) => Class::Refused,
            Self::Invalid(_) => Class::User,
        }
    }
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [Conflict { path, manager }] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {manager}: {path}");
    }
    let mut lines = Vec::new();
    let mut last = None;
    for Conflict { path, manager } in conflicts {
        if last != Some(manager) {
            lines.push(format!("conflicts with {manager}:"));
            last = Some(manager);
        }
        lines.push(format!("- {path}"));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// Merges what a manager applies into the live object.
///
/// Gives an object equal to `live` when nothing changes. The caller takes out of `config` what the
/// endpoint does not write (`status` on the main one, all but `status` on the other).
///
/// # Errors
/// When others own fields that would change and `force` is not set, or `config` is malformed.
pub fn apply(
    _live: Option<&Value>,
    config: &Value,
    _manager: &Manager<'_>,
    _force: bool,
    _schema: &TypeSchema,
) -> Result<Value, ApplyError> {
    Ok(config.clone())
}

/// Records in `after` who changed what, for a write that is not an apply.
pub fn track_update(
    _before: Option<&Value>,
    _after: &mut Value,
    _manager: &Manager<'_>,
    _schema: &TypeSchema,
) {
}
