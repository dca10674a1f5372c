//! `metadata.managedFields`: who owns which fields, and since when.
//!
//! In: the list as stored or sent. Out: the list to store, sorted as kube-apiserver sorts it. A
//! list that cannot be read counts as empty: it is bookkeeping, and no reason to refuse a write.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fields::FieldSet;
use super::{Manager, Operation};
use crate::schema::go_quote;

/// What tells owners apart. Appliers are the same in every version of the API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OwnerId {
    manager: String,
    operation: Operation,
    subresource: String,
    /// Empty for appliers.
    api_version: String,
}

impl OwnerId {
    pub fn of(manager: &Manager<'_>) -> Self {
        let api_version = match manager.operation {
            Operation::Apply => "",
            Operation::Update => manager.api_version,
        };
        Self {
            manager: manager.name.to_owned(),
            operation: manager.operation,
            subresource: manager.subresource.to_owned(),
            api_version: api_version.to_owned(),
        }
    }

    /// As conflicts name it.
    pub fn print(&self) -> String {
        let mut out = go_quote(&self.manager);
        if !self.subresource.is_empty() {
            out.push_str(&format!(" with subresource {}", go_quote(&self.subresource)));
        }
        if self.operation == Operation::Update {
            out.push_str(&format!(" using {}", self.api_version));
        }
        out
    }
}

#[derive(Debug, Clone)]
struct Owner {
    fields: FieldSet,
    time: Option<String>,
    api_version: String,
}

/// All owners of one object.
#[derive(Debug, Clone, Default)]
pub(super) struct Owners {
    owners: BTreeMap<OwnerId, Owner>,
}

/// Takes `metadata.managedFields` out of an object.
pub(super) fn take(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
}

/// What kube-apiserver calls the owner of fields that were there before the first apply.
const BEFORE: &str = "before-first-apply";
/// What it calls the owner of the fields of updaters that were merged to save room.
const ANCIENT: &str = "ancient-changes";
/// How many updaters are kept apart.
const MAX_UPDATERS: usize = 10;

impl Owners {
    pub fn read(list: Option<&Value>) -> Self {
        let mut out = Self::default();
        for entry in list.and_then(Value::as_array).into_iter().flatten() {
            let Some((id, owner)) = read_entry(entry) else { return Self::default() };
            out.owners.insert(id, owner);
        }
        out
    }

    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    pub fn fields(&self, id: &OwnerId) -> Option<&FieldSet> {
        self.owners.get(id).map(|owner| &owner.fields)
    }

    /// Everything that anybody owns.
    pub fn all(&self) -> FieldSet {
        let mut out = FieldSet::default();
        for owner in self.owners.values() {
            out.union(&owner.fields);
        }
        out
    }

    /// Sets what an owner owns; one that is made here is stamped before it is written.
    pub fn set(&mut self, id: &OwnerId, fields: FieldSet) {
        if let Some(owner) = self.owners.get_mut(id) {
            owner.fields = fields;
        } else {
            let owner = Owner { fields, time: None, api_version: String::new() };
            self.owners.insert(id.clone(), owner);
        }
    }

    /// Says when, and in which version, an owner last changed something.
    pub fn stamp(&mut self, id: &OwnerId, now: &str, api_version: &str) {
        if let Some(owner) = self.owners.get_mut(id) {
            owner.time = Some(now.to_owned());
            owner.api_version = api_version.to_owned();
        }
    }

    /// Gives the fields of an object that nobody tracked an owner of their own.
    pub fn adopt(&mut self, live: &Value, fields: FieldSet, manager: &Manager<'_>) {
        let api_version = live["apiVersion"].as_str().unwrap_or(manager.api_version).to_owned();
        let id = OwnerId {
            manager: BEFORE.to_owned(),
            operation: Operation::Update,
            subresource: String::new(),
            api_version: api_version.clone(),
        };
        self.owners.insert(id, Owner { fields, time: Some(manager.now.to_owned()), api_version });
    }

    /// What others own of some fields.
    pub fn conflicts(&self, id: &OwnerId, touched: &FieldSet) -> Vec<(OwnerId, FieldSet)> {
        self.owners
            .iter()
            .filter(|(other, _)| *other != id)
            .map(|(other, owner)| (other.clone(), owner.fields.intersection(touched)))
            .filter(|(_, fields)| !fields.is_empty())
            .collect()
    }

    pub fn give_up(&mut self, id: &OwnerId, fields: &FieldSet) {
        if let Some(owner) = self.owners.get_mut(id) {
            owner.fields = owner.fields.difference(fields);
        }
    }

    pub fn give_up_others(&mut self, id: &OwnerId, fields: &FieldSet) {
        for (other, owner) in &mut self.owners {
            if other != id {
                owner.fields = owner.fields.difference(fields);
            }
        }
    }

    /// Merges the oldest updaters of the same version into one when there are too many.
    pub fn cap(&mut self) {
        self.owners.retain(|_, owner| !owner.fields.is_empty());
        let mut updaters: Vec<(Option<String>, OwnerId)> = self
            .owners
            .iter()
            .filter(|(id, _)| id.operation == Operation::Update && id.subresource.is_empty())
            .map(|(id, owner)| (owner.time.clone(), id.clone()))
            .collect();
        updaters.sort();
        let excess = updaters.len().saturating_sub(MAX_UPDATERS);
        // Merging n owners into one saves n - 1.
        let merged = if excess > 0 { excess + 1 } else { 0 };
        for (_, id) in updaters.into_iter().take(merged) {
            let Some(old) = self.owners.remove(&id) else { continue };
            let bucket = OwnerId { manager: ANCIENT.to_owned(), ..id };
            let ancient = self.owners.entry(bucket).or_insert_with(|| Owner {
                fields: FieldSet::default(),
                time: None,
                api_version: old.api_version.clone(),
            });
            ancient.fields.union(&old.fields);
            ancient.time = ancient.time.take().max(old.time);
        }
    }

    /// Writes the list into an object; owners of nothing are left out, and so is an empty list.
    pub fn write(&self, object: &mut Value) {
        let mut entries: Vec<(&OwnerId, &Owner)> =
            self.owners.iter().filter(|(_, owner)| !owner.fields.is_empty()).collect();
        if entries.is_empty() {
            return;
        }
        entries.sort_by_key(|(id, owner)| {
            (id.operation, &owner.time, &id.manager, &owner.api_version, &id.subresource)
        });
        let list = entries.into_iter().map(|(id, owner)| write_entry(id, owner)).collect();
        let Some(object) = object.as_object_mut() else { return };
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("managedFields".to_owned(), Value::Array(list));
        }
    }
}

fn read_entry(entry: &Value) -> Option<(OwnerId, Owner)> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let operation = match entry.get("operation")?.as_str()? {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    if text("fieldsType") != "FieldsV1" {
        return None;
    }
    let empty = Value::Object(Map::new());
    let fields = FieldSet::decode(entry.get("fieldsV1").unwrap_or(&empty))?;
    let id = OwnerId {
        manager: text("manager"),
        operation,
        subresource: text("subresource"),
        api_version: if operation == Operation::Apply { String::new() } else { text("apiVersion") },
    };
    let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
    Some((id, Owner { fields, time, api_version: text("apiVersion") }))
}

fn write_entry(id: &OwnerId, owner: &Owner) -> Value {
    let OwnerId { manager, operation, subresource, api_version: _ } = id;
    let Owner { fields, time, api_version } = owner;
    let operation = match operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    let mut out = json!({"manager": manager, "operation": operation, "apiVersion": api_version,
        "fieldsType": "FieldsV1", "fieldsV1": fields.encode()});
    if let Some(time) = time {
        out["time"] = time.as_str().into();
    }
    if !subresource.is_empty() {
        out["subresource"] = subresource.as_str().into();
    }
    out
}
