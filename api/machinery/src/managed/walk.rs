//! Objects walked along their type: which fields they have, how two merge, how two differ, and
//! what is left when some are taken out.
//!
//! In: JSON values and a [`TypeSchema`]. Out: JSON values and sets of fields. Where a value does
//! not fit its type it is one leaf, so every walk ends with an answer.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fields::{FieldSet, Step, sorted};
use crate::types::{ListMapType, TypeSchema};

/// A value as its type sees it.
enum Shape<'a> {
    Leaf,
    Map(&'a Map<String, Value>),
    List(Vec<(Step, &'a Value)>),
}

fn shape<'a>(value: &'a Value, schema: &TypeSchema) -> Shape<'a> {
    match (value, schema) {
        (_, TypeSchema::Atomic) => Shape::Leaf,
        (
            Value::Object(map),
            TypeSchema::Deduced | TypeSchema::DeducedStruct | TypeSchema::Object(_),
        ) => Shape::Map(map),
        (Value::Array(items), TypeSchema::Set | TypeSchema::Map(_)) => steps(items, schema)
            .map_or(Shape::Leaf, |steps| Shape::List(steps.into_iter().zip(items).collect())),
        (
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_),
            _,
        ) => Shape::Leaf,
    }
}

/// What tells each item apart; `None` where an item has no key at all.
fn steps(items: &[Value], schema: &TypeSchema) -> Option<Vec<Step>> {
    items
        .iter()
        .map(|item| match schema {
            TypeSchema::Set => Some(Step::Value(sorted(item))),
            TypeSchema::Map(list) => key_of(item, list).map(Step::Key),
            TypeSchema::Deduced
            | TypeSchema::DeducedStruct
            | TypeSchema::Atomic
            | TypeSchema::Object(_) => None,
        })
        .collect()
}

fn key_of(item: &Value, list: &ListMapType) -> Option<String> {
    let item = item.as_object()?;
    let mut keys = Map::new();
    for key in &list.keys {
        match (item.get(key.name.as_ref()), &key.default) {
            (Some(value), _) if !value.is_null() => {
                keys.insert(key.name.as_ref().to_owned(), value.clone());
            }
            (_, Some(default)) => {
                keys.insert(key.name.as_ref().to_owned(), default.clone());
            }
            (_, None) => {}
        }
    }
    (!keys.is_empty()).then(|| sorted(&Value::Object(keys)))
}

/// Says what in a configuration cannot be applied: two items with the same key, or one without.
pub(super) fn check(value: &Value, schema: &TypeSchema, path: &str) -> Result<(), String> {
    match (value, schema) {
        (Value::Object(map), _) if !matches!(schema, TypeSchema::Atomic) => {
            for (key, child) in map {
                check(child, schema.child(key).0, &format!("{path}.{key}"))?;
            }
            Ok(())
        }
        (Value::Array(items), TypeSchema::Set | TypeSchema::Map(_)) => {
            let mut seen = BTreeSet::new();
            for (at, item) in items.iter().enumerate() {
                let step = match schema {
                    TypeSchema::Map(list) => {
                        if !item.is_object() {
                            return Err(format!("{path}[{at}]: item must be an object"));
                        }
                        match key_of(item, list) {
                            Some(key) => Step::Key(key),
                            None => {
                                let keys: Vec<&str> =
                                    list.keys.iter().map(|key| key.name.as_ref()).collect();
                                let keys = keys.join(",");
                                return Err(format!(
                                    "{path}: element {at}: associative list with keys has an \
                                     element that omits key field(s) {keys:?}"
                                ));
                            }
                        }
                    }
                    TypeSchema::Set
                    | TypeSchema::Deduced
                    | TypeSchema::DeducedStruct
                    | TypeSchema::Atomic
                    | TypeSchema::Object(_) => Step::Value(sorted(item)),
                };
                let mut set = FieldSet::default();
                set.insert(step.clone(), FieldSet::leaf());
                let name = set.paths().concat();
                if !seen.insert(step) {
                    return Err(format!("{path}: duplicate entries for key {name}"));
                }
                check(item, schema.items(), &format!("{path}{name}"))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The fields that a configuration names: leaves, items, keys of maps, and empty structs.
pub(super) fn fields_of(value: &Value, schema: &TypeSchema) -> FieldSet {
    match shape(value, schema) {
        Shape::Leaf => FieldSet::leaf(),
        Shape::Map(map) => {
            let mut out = FieldSet::default();
            for (key, child) in map {
                let (of, declared) = schema.child(key);
                let mut below = fields_of(child, of);
                let hollow = child.is_null() || child.as_object().is_some_and(Map::is_empty);
                below.member |= hollow || !declared;
                out.insert(Step::Field(key.clone()), below);
            }
            out
        }
        Shape::List(items) => {
            let mut out = FieldSet::default();
            for (step, item) in items {
                let mut below = fields_of(item, schema.items());
                below.member = true;
                out.insert(step, below);
            }
            out
        }
    }
}

/// Adds the declared fields on the way to each member: who owns `.spec.a.b` keeps `.spec.a`.
pub(super) fn with_parents(set: &FieldSet, schema: &TypeSchema) -> FieldSet {
    let mut out = FieldSet { member: set.member, ..FieldSet::default() };
    for (step, child) in &set.children {
        let (of, declared) = match step {
            Step::Field(name) => schema.child(name),
            Step::Key(_) | Step::Value(_) | Step::Index(_) => (schema.items(), false),
        };
        let mut below = with_parents(child, of);
        below.member |= declared;
        out.insert(step.clone(), below);
    }
    out
}

/// Merges what is applied into what is there.
pub(super) fn merge(live: &Value, config: &Value, schema: &TypeSchema) -> Value {
    match (shape(live, schema), shape(config, schema)) {
        (Shape::Map(live), Shape::Map(config)) => {
            let mut out = live.clone();
            for (key, value) in config {
                let merged = match live.get(key) {
                    Some(old) => merge(old, value, schema.child(key).0),
                    None => value.clone(),
                };
                out.insert(key.clone(), merged);
            }
            Value::Object(out)
        }
        (Shape::List(live), Shape::List(config)) => {
            Value::Array(merge_items(&live, &config, schema))
        }
        // An apply of `null` on what has fields or items asks for nothing.
        (Shape::Map(_) | Shape::List(_), Shape::Leaf) if config.is_null() => live.clone(),
        (Shape::Leaf | Shape::Map(_) | Shape::List(_), _) => config.clone(),
    }
}

/// Items that are in both follow the order of the configuration; items that are only live stay in
/// front of what they stood in front of.
fn merge_items(
    live: &[(Step, &Value)],
    config: &[(Step, &Value)],
    schema: &TypeSchema,
) -> Vec<Value> {
    let mut old: BTreeMap<&Step, &Value> = BTreeMap::new();
    for (step, item) in live {
        old.entry(step).or_insert(item);
    }
    let wanted: BTreeSet<&Step> = config.iter().map(|(step, _)| step).collect();
    let mut rest = config.iter();
    let mut next_shared = rest.as_slice().iter().find(|(step, _)| old.contains_key(step));
    let mut out = Vec::new();
    let take = |(step, item): &(Step, &Value)| match old.get(step) {
        Some(live) => merge(live, item, schema.items()),
        None => (*item).clone(),
    };
    for (step, item) in live {
        if !wanted.contains(step) {
            out.push((*item).clone());
        } else if next_shared.is_some_and(|(next, _)| next == step) {
            for config in rest.by_ref() {
                out.push(take(config));
                if config.0 == *step {
                    break;
                }
            }
            next_shared = rest.as_slice().iter().find(|(step, _)| old.contains_key(step));
        }
    }
    out.extend(rest.map(take));
    out
}

/// How one object differs from another.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    pub added: FieldSet,
    pub modified: FieldSet,
    pub removed: FieldSet,
}

/// Compares two objects field by field.
pub(super) fn compare(before: &Value, after: &Value, schema: &TypeSchema) -> Difference {
    let mut out = Difference::default();
    if before == after {
        return out;
    }
    match (shape(before, schema), shape(after, schema)) {
        (Shape::Map(old), Shape::Map(new)) => {
            for (key, value) in new {
                let (step, of) = (Step::Field(key.clone()), schema.child(key).0);
                out.put(step, old.get(key), Some(value), of);
            }
            for (key, value) in old {
                if !new.contains_key(key) {
                    out.put(Step::Field(key.clone()), Some(value), None, schema.child(key).0);
                }
            }
        }
        (Shape::List(old), Shape::List(new)) => {
            let mut was: BTreeMap<Step, &Value> = BTreeMap::new();
            for (step, item) in old {
                was.entry(step).or_insert(item);
            }
            let mut seen = BTreeSet::new();
            for (step, item) in new {
                if seen.insert(step.clone()) {
                    let before = was.remove(&step);
                    out.put(step, before, Some(item), schema.items());
                }
            }
            for (step, item) in was {
                out.put(step, Some(item), None, schema.items());
            }
        }
        (Shape::Leaf, Shape::Leaf) => out.modified.member = true,
        // One has parts and the other has none: the parts come or go, the place has changed.
        (Shape::Map(_) | Shape::List(_), _) => {
            out.removed = below(before, schema);
            out.modified.member = true;
        }
        (Shape::Leaf, Shape::Map(_) | Shape::List(_)) => {
            out.added = below(after, schema);
            out.modified.member = true;
        }
    }
    out
}

impl Difference {
    fn put(&mut self, step: Step, before: Option<&Value>, after: Option<&Value>, of: &TypeSchema) {
        match (before, after) {
            (Some(before), Some(after)) => {
                let Self { added, modified, removed } = compare(before, after, of);
                self.added.insert(step.clone(), added);
                self.modified.insert(step.clone(), modified);
                self.removed.insert(step, removed);
            }
            (None, Some(after)) => self.added.insert(step, all_of(after, of)),
            (Some(before), None) => self.removed.insert(step, all_of(before, of)),
            (None, None) => {}
        }
    }
}

/// Every place of a value, the value itself among them.
fn all_of(value: &Value, schema: &TypeSchema) -> FieldSet {
    let mut out = below(value, schema);
    out.member = true;
    out
}

fn below(value: &Value, schema: &TypeSchema) -> FieldSet {
    let mut out = FieldSet::default();
    match shape(value, schema) {
        Shape::Leaf => {}
        Shape::Map(map) => {
            for (key, child) in map {
                out.insert(Step::Field(key.clone()), all_of(child, schema.child(key).0));
            }
        }
        Shape::List(items) => {
            for (step, item) in items {
                out.insert(step, all_of(item, schema.items()));
            }
        }
    }
    out
}

/// Takes the members of a set out of a value, with all that is below them; `None` where nothing is
/// left of a value that had something.
pub(super) fn remove(value: &Value, set: &FieldSet, schema: &TypeSchema) -> Option<Value> {
    if set.children.is_empty() {
        return Some(value.clone());
    }
    match shape(value, schema) {
        Shape::Leaf => Some(value.clone()),
        Shape::Map(map) => {
            let mut out = Map::new();
            for (key, child) in map {
                match set.children.get(&Step::Field(key.clone())) {
                    None => {
                        out.insert(key.clone(), child.clone());
                    }
                    Some(gone) if gone.member => {}
                    Some(gone) => {
                        if let Some(left) = remove(child, gone, schema.child(key).0) {
                            out.insert(key.clone(), left);
                        }
                    }
                }
            }
            (!out.is_empty() || map.is_empty()).then_some(Value::Object(out))
        }
        Shape::List(items) => {
            let had_some = !items.is_empty();
            let left: Vec<Value> = items
                .into_iter()
                .filter_map(|(step, item)| match set.children.get(&step) {
                    None => Some(item.clone()),
                    Some(gone) if gone.member => None,
                    Some(gone) => remove(item, gone, schema.items()),
                })
                .collect();
            (!left.is_empty() || !had_some).then_some(Value::Array(left))
        }
    }
}
