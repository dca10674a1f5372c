//! Manifests: text in, objects out.
//!
//! Every object has a kind and a name, and lists of objects are taken apart. A file that holds
//! something else is refused as a whole.

use std::collections::VecDeque;

use fixpoint_base::Limits;
use fixpoint_yaml::Dialect;
use serde_json::Value;

use crate::error::Problem;
use crate::resource::{field_text, meta_text};

/// Reads the objects of a manifest.
pub(crate) fn read(bytes: &[u8], file: &str, limits: &Limits) -> Result<Vec<Value>, Problem> {
    let values = fixpoint_yaml::parse_as(bytes, Dialect::Kustomize, limits)
        .map_err(|err| Problem::yaml(file, &err))?;
    let values = expand_lists(values).map_err(|reason| {
        Problem::new(file, format!("holds a list that {reason}"))
            .hint("give it items, or remove it")
    })?;
    for (at, value) in values.iter().enumerate() {
        check(value).map_err(|reason| {
            Problem::new(file, format!("object {} {reason}", at + 1))
                .hint("every object needs a kind and metadata.name")
        })?;
    }
    Ok(values)
}

/// Whether something can be an object.
pub(crate) fn check(value: &Value) -> Result<(), String> {
    if !value.is_object() {
        return Err("is no mapping".to_owned());
    }
    let kind = field_text(value, "kind").unwrap_or_default();
    if kind.is_empty() {
        return Err("has no kind".to_owned());
    }
    if value.get("metadata").is_some_and(|metadata| !metadata.is_object() && !metadata.is_null()) {
        return Err(format!("({kind}) has metadata that is no mapping"));
    }
    let needs_name = !kind.ends_with("List");
    if needs_name && meta_text(value, "name").is_none_or(|name| name.is_empty()) {
        return Err(format!("({kind}) has no name"));
    }
    Ok(())
}

/// Takes lists of objects apart: a lone `List` in place, all others at the end, as kustomize does.
pub(crate) fn expand_lists(values: Vec<Value>) -> Result<Vec<Value>, String> {
    let is_list = |value: &Value| field_text(value, "kind").is_some_and(|k| k.ends_with("List"));
    if !values.iter().any(is_list) {
        return Ok(values);
    }
    let mut queue: VecDeque<Value> = values.into();
    let mut out = Vec::new();
    while let Some(mut value) = queue.pop_front() {
        if !is_list(&value) {
            out.push(value);
            continue;
        }
        match value.get_mut("items").map(Value::take) {
            None => out.push(value),
            Some(Value::Null) => {}
            Some(Value::Array(items)) => queue.extend(items),
            Some(_) => return Err("has items that are no list".to_owned()),
        }
    }
    Ok(out)
}
