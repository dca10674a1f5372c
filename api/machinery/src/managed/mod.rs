//! Server-side apply: who owns which field, and what follows when somebody writes.
//!
//! In: the live object with its `managedFields`, what a manager applies or has written, and the
//! type. Out: the object to store, with `managedFields` kept, or the conflicts. An apply that
//! changes nothing gives the live object back, so that nothing is written. Identity and
//! bookkeeping (`name`, `uid`, `resourceVersion` …) are owned by nobody.

mod fields;
mod owners;
#[cfg(test)]
mod tests;
mod walk;

use fixpoint_base::{Class, Classified};
use serde_json::{Map, Value, json};

use self::fields::{FieldSet, Step};
use self::owners::{OwnerId, Owners};
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

    fn hint(&self) -> Option<String> {
        match self {
            Self::Conflicts(_) => {
                Some("take the fields out, or apply with force to become their owner".to_owned())
            }
            Self::Invalid(_) => None,
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

/// The annotation of client-side `kubectl apply`.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What nobody owns: the keys of an object and of its metadata that name it or keep its books.
const UNOWNED_METADATA: [&str; 10] = [
    "clusterName",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
];

/// Merges what a manager applies into the live object.
///
/// Gives an object equal to `live` when nothing changes. The caller takes out of `config` what the
/// endpoint does not write (`status` on the main one, all but `status` on the other), and checks
/// the `uid` and `resourceVersion` that it may demand: they are not merged.
///
/// # Errors
/// When others own fields that would change and `force` is not set, or `config` is malformed.
pub fn apply(
    live: Option<&Value>,
    config: &Value,
    manager: &Manager<'_>,
    force: bool,
    schema: &TypeSchema,
) -> Result<Value, ApplyError> {
    if !config.is_object() {
        return Err(ApplyError::Invalid("an applied configuration must be an object".to_owned()));
    }
    if config.pointer("/metadata/managedFields").is_some_and(|fields| !is_empty(fields)) {
        return Err(ApplyError::Invalid("metadata.managedFields must be nil".to_owned()));
    }
    walk::check(config, schema, "").map_err(ApplyError::Invalid)?;

    let config = appliable(config);
    let empty = Value::Object(Map::new());
    let mut before = live.cloned().unwrap_or_else(|| empty.clone());
    let mut owners = Owners::read(owners::take(&mut before).as_ref());
    if owners.is_empty() && live.is_some() {
        owners.adopt(&before, owned(walk::fields_of(&before, schema)), manager);
    }

    let id = OwnerId::of(manager);
    let had = owners.fields(&id).cloned().unwrap_or_default();
    let wants = owned(walk::fields_of(&config, schema));
    owners.set(&id, wants);

    let merged = walk::merge(&before, &config, schema);
    let mut after = prune(&merged, &had, &owners, schema);
    let change = walk::compare(&before, &after, schema);

    let mut touched = owned(change.modified);
    touched.union(&owned(change.added));
    let conflicts = owners.conflicts(&id, &touched);
    let kubectl = manager.name == "kubectl" && manager.operation == Operation::Apply;
    let allowed = if kubectl { last_applied_fields(&before, schema) } else { FieldSet::default() };
    if !force {
        let refused: Vec<Conflict> = conflicts
            .iter()
            .flat_map(|(owner, fields)| {
                let manager = owner.print();
                fields
                    .difference(&allowed)
                    .paths()
                    .into_iter()
                    .map(move |path| Conflict { path, manager: manager.clone() })
            })
            .collect();
        if !refused.is_empty() {
            return Err(ApplyError::Conflicts(refused));
        }
    }
    for (owner, fields) in &conflicts {
        owners.give_up(owner, fields);
    }
    owners.give_up_others(&id, &change.removed);

    if after != before && kubectl {
        keep_last_applied(&mut after, &config);
    }
    if after != before || owners.fields(&id).cloned().unwrap_or_default() != had {
        owners.stamp(&id, manager.now, manager.api_version);
    }
    owners.write(&mut after);
    Ok(after)
}

/// A configuration without what is not for a client to say: bookkeeping, and metadata that is null
/// (`creationTimestamp: null` is in every generated manifest).
fn appliable(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, value| {
            let kept = key == "name" || key == "namespace";
            kept || !(value.is_null() || key == "uid" || UNOWNED_METADATA.contains(&key.as_str()))
        });
    }
    config
}

/// Takes out what the manager applied before, does not apply now, and nobody else owns.
fn prune(merged: &Value, had: &FieldSet, owners: &Owners, schema: &TypeSchema) -> Value {
    if had.is_empty() {
        return merged.clone();
    }
    let kept = walk::with_parents(&owners.all(), schema);
    let gone = walk::with_parents(had, schema).difference(&kept);
    walk::remove(merged, &gone, schema).unwrap_or_else(|| Value::Object(Map::new()))
}

/// Records in `after` who changed what, for a write that is not an apply.
///
/// Where `after` brings `managedFields` of its own they are taken as the starting point (an empty
/// list or one empty entry resets them), unless the write goes through a subresource.
pub fn track_update(
    before: Option<&Value>,
    after: &mut Value,
    manager: &Manager<'_>,
    schema: &TypeSchema,
) {
    if !after.is_object() {
        return;
    }
    let mut old = before.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let was = owners::take(&mut old);
    let brought = owners::take(after).filter(|_| manager.subresource.is_empty());
    let reset = brought.as_ref().is_some_and(|fields| is_empty(fields) || *fields == json!([{}]));
    let mut owners = Owners::read(brought.as_ref());
    if owners.is_empty() && !(reset && before.is_some()) {
        owners = Owners::read(was.as_ref());
    }
    let change = walk::compare(&old, after, schema);
    let mut touched = owned(change.modified);
    touched.union(&owned(change.added));
    let removed = owned(change.removed);

    let id = OwnerId::of(manager);
    if !touched.is_empty() || !removed.is_empty() {
        let mut mine = owners.fields(&id).cloned().unwrap_or_default().difference(&removed);
        mine.union(&touched);
        let changed = !touched.is_empty() || owners.fields(&id).is_some_and(|had| *had != mine);
        owners.set(&id, mine);
        if changed {
            owners.stamp(&id, manager.now, manager.api_version);
        }
        let mut lost = touched;
        lost.union(&removed);
        owners.give_up_others(&id, &lost);
    }
    owners.cap();
    owners.write(after);
}

fn is_empty(fields: &Value) -> bool {
    fields.is_null() || fields.as_array().is_some_and(Vec::is_empty)
}

/// Leaves out what nobody owns.
fn owned(mut set: FieldSet) -> FieldSet {
    set.member = false;
    for key in ["apiVersion", "kind"] {
        set.children.remove(&Step::Field(key.to_owned()));
    }
    let metadata = Step::Field("metadata".to_owned());
    if let Some(mut fields) = set.children.remove(&metadata) {
        fields.member = false;
        for key in UNOWNED_METADATA.iter().copied().chain(["uid"]) {
            fields.children.remove(&Step::Field(key.to_owned()));
        }
        set.insert(metadata, fields);
    }
    set
}

/// The fields of the last client-side apply that are still as it left them: `kubectl apply
/// --server-side` may take these over without force.
fn last_applied_fields(live: &Value, schema: &TypeSchema) -> FieldSet {
    let Some(config) = fixpoint_base::object::annotation(live, LAST_APPLIED)
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
    else {
        return FieldSet::default();
    };
    let change = walk::compare(live, &config, schema);
    owned(walk::fields_of(&config, schema)).difference(&change.modified).difference(&change.added)
}

/// Keeps the annotation true where it exists, so that client-side apply can be gone back to.
fn keep_last_applied(after: &mut Value, config: &Value) {
    if fixpoint_base::object::annotation(after, LAST_APPLIED).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(annotations) =
        config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
    {
        annotations.remove(LAST_APPLIED);
    }
    fixpoint_base::object::set_annotation(after, LAST_APPLIED, &config.to_string());
}
