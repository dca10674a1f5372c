//! Strategic merge: a patch laid over an object.
//!
//! Mappings merge, lists of built-in kinds merge by their keys with the patch's items first, all
//! other lists and all scalars are replaced, and null removes. `$patch: delete` and
//! `$patch: replace` do as they say. The rules are those of kustomize, which differ from the API
//! server's in what they leave out (`$retainKeys`, `$setElementOrder`).

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::resource;
use crate::schema::{Shape, Type};

const DIRECTIVE: &str = "$patch";

/// Items of a list that merges by keys: each is compared with each other.
const MERGED_ITEMS: usize = 4096;

/// Lays a patch over an object; `None` where the patch deletes it.
pub(crate) fn merge(object: Value, patch: &Value) -> Result<Option<Value>, String> {
    let shape = type_of(&object).map(Shape::One);
    both(object, patch, shape)
}

/// The type of an object of a built-in kind, wherever it stands.
fn type_of(value: &Value) -> Option<Type> {
    let api_version = value.get("apiVersion")?.as_str()?;
    Type::of(api_version, value.get("kind")?.as_str()?)
}

/// The type of a mapping: what its place says, or else what it says itself.
fn mapping_type(shape: Option<Shape>, value: &Value) -> Option<Type> {
    match shape {
        Some(Shape::One(ty)) => Some(ty),
        Some(Shape::Keyed(..) | Shape::Scalars) => None,
        None => type_of(value),
    }
}

fn both(ours: Value, patch: &Value, shape: Option<Shape>) -> Result<Option<Value>, String> {
    match (ours, patch) {
        (_, Value::Null) => Ok(None),
        (Value::Null, patch) => adopt(patch, shape),
        (Value::Object(fields), Value::Object(changes)) => {
            both_mappings(fields, changes, shape, patch)
        }
        (Value::Array(items), Value::Array(changes)) => both_lists(items, changes, shape),
        (ours, patch) if is_scalar(&ours) && is_scalar(patch) => Ok(Some(patch.clone())),
        (ours, patch) => {
            Err(format!("it puts {} where the object has {}", kind_of(patch), kind_of(&ours)))
        }
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "a mapping",
        Value::Array(_) => "a list",
        _ => "a scalar",
    }
}

fn both_mappings(
    fields: Map<String, Value>,
    changes: &Map<String, Value>,
    shape: Option<Shape>,
    patch: &Value,
) -> Result<Option<Value>, String> {
    match directive(changes)? {
        Directive::Delete => return Ok(None),
        Directive::Replace => return adopt_fields(changes, shape, patch).map(Some),
        Directive::Merge => {}
    }
    let ours = Value::Object(fields);
    let ty = mapping_type(shape, &ours).or_else(|| mapping_type(shape, patch));
    let Value::Object(fields) = ours else { return Ok(None) };
    let mut merged = Map::new();
    for (key, value) in fields {
        let shape = ty.and_then(|ty| ty.field(&key));
        let result = match changes.get(&key) {
            Some(change) => both(value, change, shape),
            None => Ok(Some(alone(value, shape))),
        };
        if let Some(value) = result.map_err(|reason| below(&key, &reason))? {
            merged.insert(key, value);
        }
    }
    for (key, change) in changes {
        if merged.contains_key(key) || key == DIRECTIVE {
            continue;
        }
        // A field that the loop above has removed stays removed: its change was null or a
        // deletion, and adopting either gives nothing.
        let shape = ty.and_then(|ty| ty.field(key));
        if let Some(value) = adopt(change, shape).map_err(|reason| below(key, &reason))? {
            merged.insert(key.clone(), value);
        }
    }
    Ok(Some(Value::Object(merged)))
}

fn below(key: &str, reason: &str) -> String {
    match reason.strip_prefix("at ") {
        Some(rest) => format!("at {key}.{rest}"),
        None => format!("at {key}: {reason}"),
    }
}

enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(changes: &Map<String, Value>) -> Result<Directive, String> {
    match changes.get(DIRECTIVE).map(|value| value.as_str().unwrap_or("?")) {
        None | Some("merge") => Ok(Directive::Merge),
        Some("replace") => Ok(Directive::Replace),
        Some("delete") => Ok(Directive::Delete),
        Some(_) => Err("its $patch is not merge, replace or delete".to_owned()),
    }
}

/// A part of a patch for which the object has nothing: directives are carried out and nulls
/// dropped, since there is nothing to remove.
fn adopt(patch: &Value, shape: Option<Shape>) -> Result<Option<Value>, String> {
    match patch {
        Value::Null => Ok(None),
        Value::Object(changes) => match directive(changes)? {
            Directive::Delete => Ok(None),
            Directive::Merge | Directive::Replace => adopt_fields(changes, shape, patch).map(Some),
        },
        Value::Array(items) => match shape {
            Some(Shape::Keyed(keys, ty)) => adopt_list(items, keys, ty),
            Some(Shape::One(_) | Shape::Scalars) | None => Ok(Some(patch.clone())),
        },
        scalar => Ok(Some(scalar.clone())),
    }
}

fn adopt_fields(
    changes: &Map<String, Value>,
    shape: Option<Shape>,
    patch: &Value,
) -> Result<Value, String> {
    let ty = mapping_type(shape, patch);
    let mut adopted = Map::new();
    for (key, change) in changes.iter().filter(|(key, _)| *key != DIRECTIVE) {
        let shape = ty.and_then(|ty| ty.field(key));
        if let Some(value) = adopt(change, shape).map_err(|reason| below(key, &reason))? {
            adopted.insert(key.clone(), value);
        }
    }
    Ok(Value::Object(adopted))
}

fn adopt_list(items: &[Value], keys: Keys, ty: Type) -> Result<Option<Value>, String> {
    let (directive, rest) = list_directive(items)?;
    if matches!(directive, Directive::Delete) {
        return Ok(None);
    }
    let mut adopted: Vec<Value> = Vec::with_capacity(rest.len());
    for item in rest {
        if let Some(item) = adopt(item, Some(Shape::One(ty)))? {
            adopted.push(item);
        }
    }
    Ok(Some(Value::Array(merge_keyed(adopted, &[], keys, ty)?)))
}

type Keys = &'static [&'static str];

/// A list may say with an item of its own what is to be done with it as a whole.
fn list_directive(items: &[Value]) -> Result<(Directive, Vec<&Value>), String> {
    let says = |item: &&Value| {
        item.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key(DIRECTIVE))
    };
    let Some(Value::Object(fields)) = items.iter().find(says) else {
        return Ok((Directive::Merge, items.iter().collect()));
    };
    Ok((directive(fields)?, items.iter().filter(|item| !says(item)).collect()))
}

fn both_lists(
    items: Vec<Value>,
    changes: &[Value],
    shape: Option<Shape>,
) -> Result<Option<Value>, String> {
    match shape {
        Some(Shape::Keyed(keys, ty)) => {
            let (directive, rest) = list_directive(changes)?;
            match directive {
                Directive::Delete => Ok(None),
                Directive::Replace => adopt_list(changes, keys, ty),
                Directive::Merge => merge_keyed(items, &rest, keys, ty).map(Value::Array).map(Some),
            }
        }
        Some(Shape::Scalars) => {
            let mut merged: Vec<Value> = Vec::with_capacity(items.len() + changes.len());
            for item in changes.iter().cloned().chain(items) {
                if !merged.contains(&item) {
                    merged.push(item);
                }
            }
            Ok(Some(Value::Array(merged)))
        }
        Some(Shape::One(_)) | None => Ok(Some(Value::Array(changes.to_vec()))),
    }
}

/// A part of the object that the patch does not name. Lists with keys lose doubles even so.
fn alone(value: Value, shape: Option<Shape>) -> Value {
    match value {
        Value::Object(fields) => {
            let value = Value::Object(fields);
            let Some(ty) = mapping_type(shape, &value) else { return value };
            let Value::Object(fields) = value else { return value };
            let kept = fields.into_iter().map(|(key, value)| {
                let value = alone(value, ty.field(&key));
                (key, value)
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => match shape {
            Some(Shape::Keyed(keys, ty)) => alone_list(items, keys, ty),
            Some(Shape::One(_) | Shape::Scalars) | None => Value::Array(items),
        },
        scalar => scalar,
    }
}

fn alone_list(items: Vec<Value>, keys: Keys, ty: Type) -> Value {
    let mut seen = HashSet::new();
    let distinct = items.iter().all(|item| {
        let first = key_values(item, &keys[..1]).pop().unwrap_or_default();
        !first.is_empty() && seen.insert(first)
    });
    if distinct || items.len() > MERGED_ITEMS {
        let shape = Some(Shape::One(ty));
        return Value::Array(items.into_iter().map(|item| alone(item, shape)).collect());
    }
    // Without a patch nothing can fail to fit.
    Value::Array(merge_keyed(items, &[], keys, ty).unwrap_or_default())
}

/// The values of an item's keys; empty where it has none.
fn key_values(item: &Value, keys: &[&str]) -> Vec<String> {
    keys.iter()
        .map(|key| item.get(key).and_then(resource::text).unwrap_or_default().into_owned())
        .collect()
}

/// Whether an item has these values under these keys; a blank value covers every item that has
/// the key at all.
fn has_keys(item: &Value, keys: &[&str], values: &[String]) -> bool {
    keys.iter().zip(values).all(|(key, value)| match item.get(key) {
        None => false,
        Some(_) if value.is_empty() => true,
        Some(field) => resource::text(field).is_some_and(|text| text == value.as_str()),
    })
}

/// Merges two lists by keys: the patch's items in their order, then what is left of the object's.
fn merge_keyed(
    mut ours: Vec<Value>,
    changes: &[&Value],
    keys: Keys,
    ty: Type,
) -> Result<Vec<Value>, String> {
    if ours.len() + changes.len() > MERGED_ITEMS {
        return Err(format!("a list to merge has more than {MERGED_ITEMS} items"));
    }
    let mut wanted: Vec<Vec<String>> = Vec::new();
    for item in changes.iter().copied().chain(&ours) {
        let values = key_values(item, keys);
        if !wanted.contains(&values) {
            wanted.push(values);
        }
    }
    unify(&mut wanted);
    let used: Vec<usize> =
        (0..keys.len()).filter(|at| wanted.iter().any(|values| !values[*at].is_empty())).collect();
    let used = if used.is_empty() { (0..keys.len()).collect() } else { used };
    let names: Vec<&str> = used.iter().map(|at| keys[*at]).collect();

    let mut merged: Vec<Value> = Vec::new();
    for values in &wanted {
        let values: Vec<String> = used.iter().map(|at| values[*at].clone()).collect();
        // An item is found by those of its keys that have a value.
        let (sought, sought_values): (Vec<&str>, Vec<String>) = names
            .iter()
            .zip(&values)
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (*name, value.clone()))
            .unzip();
        if sought.is_empty() {
            continue;
        }
        let in_ours = ours.iter().position(|item| has_keys(item, &sought, &sought_values));
        let change = changes.iter().find(|item| has_keys(item, &sought, &sought_values));
        let shape = Some(Shape::One(ty));
        let result = match (in_ours, change) {
            (Some(at), Some(change)) => both(ours[at].take(), change, shape)?,
            (Some(at), None) => Some(alone(ours[at].take(), shape)),
            (None, Some(change)) => adopt(change, shape)?,
            (None, None) => None,
        };
        let Some(Value::Object(mut item)) = result.filter(|item| !is_empty_mapping(item)) else {
            if let Some(at) = in_ours {
                ours.remove(at);
            }
            set_item(&mut ours, None, &names, &values);
            continue;
        };
        for (name, value) in names.iter().zip(&values) {
            if !value.is_empty() && !item.contains_key(*name) {
                item.insert((*name).to_owned(), Value::String(value.clone()));
            }
        }
        let item = Value::Object(item);
        if let Some(at) = in_ours {
            ours[at] = item.clone();
        }
        set_item(&mut merged, Some(item), &names, &values);
    }
    append(&mut merged, ours, &names);
    Ok(merged)
}

/// Adds the object's own items, each in the place of the one with its keys.
///
/// With several keys kustomize first takes out all items that have as many of the keys as this
/// one, and so moves the object's items behind the patch's.
fn append(merged: &mut Vec<Value>, ours: Vec<Value>, names: &[&str]) {
    for item in ours.into_iter().filter(|item| !item.is_null() && !is_empty_mapping(item)) {
        let values: Vec<String> = names
            .iter()
            .filter_map(|name| item.get(name).filter(|value| !value.is_null()))
            .map(|value| resource::text(value).unwrap_or_default().into_owned())
            .collect();
        if values.is_empty() {
            merged.push(item);
            continue;
        }
        if names.len() > 1 {
            set_item(merged, None, names, &values);
        }
        set_item(merged, Some(item), names, &values);
    }
}

fn is_empty_mapping(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// Replaces every item with these keys, or removes it; a new item with other keys goes last.
fn set_item(list: &mut Vec<Value>, item: Option<Value>, names: &[&str], values: &[String]) {
    let mut found = false;
    let old = std::mem::take(list);
    for other in old {
        if other.is_null() || is_empty_mapping(&other) {
            continue;
        }
        if !has_keys(&other, names, values) {
            list.push(other);
            continue;
        }
        if let Some(item) = item.as_ref().filter(|_| !found) {
            list.push(item.clone());
        }
        found = true;
    }
    if !found {
        list.extend(item);
    }
}

/// Gives key values that agree as far as both are written the same values: a port without a
/// protocol is the port with one.
fn unify(wanted: &mut [Vec<String>]) {
    if wanted.first().is_none_or(|values| values.len() < 2) {
        return;
    }
    for a in 0..wanted.len() {
        for b in 0..wanted.len() {
            if let Some(unified) = agree(&wanted[a], &wanted[b]) {
                wanted[a].clone_from(&unified);
                wanted[b] = unified;
            }
        }
    }
}

fn agree(a: &[String], b: &[String]) -> Option<Vec<String>> {
    let mut shared = false;
    let mut unified = Vec::with_capacity(a.len());
    for (a, b) in a.iter().zip(b) {
        if a == b {
            shared = true;
        } else if !a.is_empty() && !b.is_empty() {
            return None;
        }
        unified.push(if a.is_empty() { b.clone() } else { a.clone() });
    }
    shared.then_some(unified)
}
