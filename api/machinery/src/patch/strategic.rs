//! Strategic merge patch: lists merge by key, and directives say what else to do.
//!
//! In: an object, a patch, and the type that knows which lists have keys. Out: the patched object,
//! in which no directive is left.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::PatchError;
use crate::types::{ListMapType, TypeSchema};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Applies a strategic merge patch.
///
/// # Errors
/// When a directive is malformed or an item has no merge key.
pub fn strategic_merge(
    object: &Value,
    patch: &Value,
    schema: &TypeSchema,
) -> Result<Value, PatchError> {
    let (Some(object), Some(patch)) = (object.as_object(), patch.as_object()) else {
        return Err(PatchError::Malformed("a strategic merge patch is an object".to_owned()));
    };
    Ok(Value::Object(merge_map(object.clone(), patch, schema)?))
}

fn merge_map(
    mut live: Map<String, Value>,
    patch: &Map<String, Value>,
    schema: &TypeSchema,
) -> Result<Map<String, Value>, PatchError> {
    match directive(patch)? {
        Directive::Replace => return Ok(settled(patch)),
        Directive::Delete => return Ok(Map::new()),
        Directive::Merge => {}
    }
    if let Some(retain) = patch.get(RETAIN_KEYS) {
        retain_keys(&mut live, retain)?;
    }
    for (key, change) in patch {
        if key == PATCH || key == RETAIN_KEYS || key.starts_with(SET_ORDER) {
            continue;
        }
        if let Some(field) = key.strip_prefix(DELETE_FROM) {
            delete_from(&mut live, field, change)?;
            continue;
        }
        let order = patch.get(&format!("{SET_ORDER}{key}"));
        let field = schema.child(key).0;
        let merged = match (live.remove(key), change) {
            (_, Value::Null) => continue,
            (Some(Value::Object(live)), Value::Object(change)) => {
                Value::Object(merge_map(live, change, field)?)
            }
            (Some(Value::Array(live)), Value::Array(change)) => {
                Value::Array(merge_list(live, change, order, field)?)
            }
            (_, Value::Object(change)) => {
                if matches!(directive(change)?, Directive::Delete) {
                    continue;
                }
                Value::Object(merge_map(Map::new(), change, field)?)
            }
            (_, Value::Array(change)) => {
                Value::Array(merge_list(Vec::new(), change, order, field)?)
            }
            (_, scalar) => scalar.clone(),
        };
        live.insert(key.clone(), merged);
    }
    order_untouched(&mut live, patch, schema)?;
    Ok(live)
}

/// Orders the lists for which the patch brings an order and nothing else.
fn order_untouched(
    live: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    schema: &TypeSchema,
) -> Result<(), PatchError> {
    for (key, order) in patch {
        let Some(field) = key.strip_prefix(SET_ORDER) else { continue };
        if patch.contains_key(field) {
            continue;
        }
        if let Some(Value::Array(items)) = live.remove(field) {
            let ordered = merge_list(items, &[], Some(order), schema.child(field).0)?;
            live.insert(field.to_owned(), Value::Array(ordered));
        }
    }
    Ok(())
}

enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(patch: &Map<String, Value>) -> Result<Directive, PatchError> {
    match patch.get(PATCH) {
        None => Ok(Directive::Merge),
        Some(Value::String(text)) => match text.as_str() {
            "merge" => Ok(Directive::Merge),
            "replace" => Ok(Directive::Replace),
            "delete" => Ok(Directive::Delete),
            _ => Err(unknown_directive(&Value::String(text.clone()))),
        },
        Some(other) => Err(unknown_directive(other)),
    }
}

fn unknown_directive(found: &Value) -> PatchError {
    PatchError::Malformed(format!("unknown patch type found: {found}"))
}

fn retain_keys(live: &mut Map<String, Value>, retain: &Value) -> Result<(), PatchError> {
    let Some(keys) = retain.as_array().filter(|keys| keys.iter().all(Value::is_string)) else {
        return Err(PatchError::Malformed("invalid patch format of retainKeys".to_owned()));
    };
    live.retain(|key, _| keys.iter().any(|keep| keep == key));
    Ok(())
}

fn delete_from(
    live: &mut Map<String, Value>,
    field: &str,
    values: &Value,
) -> Result<(), PatchError> {
    let Some(values) = values.as_array() else {
        return Err(PatchError::Malformed("invalid patch format of primitive list".to_owned()));
    };
    if let Some(Value::Array(items)) = live.get_mut(field) {
        items.retain(|item| !values.contains(item));
    }
    Ok(())
}

fn merge_list(
    live: Vec<Value>,
    patch: &[Value],
    order: Option<&Value>,
    schema: &TypeSchema,
) -> Result<Vec<Value>, PatchError> {
    match schema {
        TypeSchema::Map(list) => merge_keyed(live, patch, order, list),
        TypeSchema::Set => {
            let mut out = live;
            for value in patch {
                if !out.contains(value) {
                    out.push(value.clone());
                }
            }
            Ok(match order_of(order)? {
                Some(order) => reorder(out, order, |item| Some(Cow::Borrowed(item))),
                None => out,
            })
        }
        // The order of an atomic list is its own.
        TypeSchema::Deduced
        | TypeSchema::DeducedStruct
        | TypeSchema::Atomic
        | TypeSchema::Object(_) => Ok(if patch.is_empty() && order.is_some() {
            live
        } else {
            patch.iter().map(settle).collect()
        }),
    }
}

fn merge_keyed(
    live: Vec<Value>,
    patch: &[Value],
    order: Option<&Value>,
    list: &ListMapType,
) -> Result<Vec<Value>, PatchError> {
    let name = list.patch_key.as_ref();
    let mut out = live;
    let mut replace = false;
    let mut items = Vec::new();
    for item in patch {
        let Some(map) = item.as_object() else {
            return Err(unfit("list of lists or scalars is not allowed where items have keys"));
        };
        let key = map.get(name);
        match (directive(map)?, key) {
            (Directive::Replace, _) => {
                replace = true;
                if key.is_some() {
                    items.push(map);
                }
            }
            (Directive::Delete, Some(key)) => out.retain(|item| item.get(name) != Some(key)),
            (Directive::Merge, Some(_)) => items.push(map),
            (Directive::Delete | Directive::Merge, None) => {
                return Err(unfit(&format!("map does not contain declared merge key: {name}")));
            }
        }
    }
    if replace {
        return Ok(items.into_iter().map(|item| Value::Object(settled(item))).collect());
    }
    for map in items {
        let at = out.iter().position(|item| item.get(name) == map.get(name));
        let old = at.and_then(|at| out[at].as_object().cloned()).unwrap_or_default();
        let merged = Value::Object(merge_map(old, map, &list.items)?);
        match at {
            Some(at) => out[at] = merged,
            None => out.push(merged),
        }
    }
    Ok(match order_of(order)? {
        Some(order) => {
            let keys: Vec<Value> =
                order.iter().filter_map(|item| item.get(name).cloned()).collect();
            reorder(out, &keys, |item| item.get(name).map(Cow::Borrowed))
        }
        None => out,
    })
}

fn unfit(cause: &str) -> PatchError {
    PatchError::Unprocessable { cause: cause.to_owned() }
}

fn order_of(order: Option<&Value>) -> Result<Option<&[Value]>, PatchError> {
    match order {
        None => Ok(None),
        Some(Value::Array(order)) => Ok(Some(order)),
        Some(_) => {
            Err(PatchError::Malformed("invalid patch format of setElementOrder list".to_owned()))
        }
    }
}

/// Puts the items that the order names into that order; the others stay in front of what they
/// stood in front of.
fn reorder(
    items: Vec<Value>,
    order: &[Value],
    key: impl for<'a> Fn(&'a Value) -> Option<Cow<'a, Value>>,
) -> Vec<Value> {
    let rank = |item: &Value| {
        key(item).and_then(|key| order.iter().position(|wanted| wanted == key.as_ref()))
    };
    let mut named: Vec<(usize, Value)> = Vec::new();
    let mut out: Vec<(Option<usize>, Value)> = Vec::new();
    for item in items {
        match rank(&item) {
            Some(rank) => {
                named.push((rank, item));
                out.push((Some(rank), Value::Null));
            }
            None => out.push((None, item)),
        }
    }
    named.sort_by_key(|(rank, _)| *rank);
    let mut named = named.into_iter().map(|(_, item)| item);
    out.into_iter()
        .filter_map(|(slot, item)| if slot.is_some() { named.next() } else { Some(item) })
        .collect()
}

/// A part of a patch as it stands in an object: no directives, no nulls.
fn settled(patch: &Map<String, Value>) -> Map<String, Value> {
    patch
        .iter()
        .filter(|(key, value)| !key.starts_with('$') && !value.is_null())
        .map(|(key, value)| (key.clone(), settle(value)))
        .collect()
}

fn settle(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(settled(map)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            value.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use fixpoint_base::Gvk;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn pod(live: Value, patch: Value, want: Value) {
        let schema = TypeSchema::builtin(&Gvk::new("", "v1", "Pod"));
        let got = strategic_merge(&json!({"spec": live}), &json!({"spec": patch}), schema).unwrap();
        assert_eq!(got["spec"], want);
    }

    #[test]
    fn lists_merge_by_key() {
        let live =
            json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]});
        pod(
            live.clone(),
            json!({"containers": [{"name": "b", "image": "2"}, {"name": "c"}]}),
            json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c"}]}),
        );
        pod(
            live.clone(),
            json!({"containers": [{"name": "a", "$patch": "delete"}]}),
            json!({"containers": [{"name": "b", "image": "1"}]}),
        );
        pod(
            live.clone(),
            json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}),
            json!({"containers": [{"name": "z"}]}),
        );
        pod(
            live.clone(),
            json!({"containers": [{"name": "a", "image": null}]}),
            json!({"containers": [{"name": "a"}, {"name": "b", "image": "1"}]}),
        );
        pod(live, json!({"containers": null}), json!({}));
    }

    #[test]
    fn orders_are_set() {
        let live = json!({"containers": [{"name": "a"}, {"name": "x"}, {"name": "b"}]});
        pod(
            live.clone(),
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "containers": [{"name": "b", "image": "2"}]}),
            json!({"containers": [{"name": "b", "image": "2"}, {"name": "x"}, {"name": "a"}]}),
        );
        pod(
            live,
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            json!({"containers": [{"name": "b"}, {"name": "x"}, {"name": "a"}]}),
        );
    }

    #[test]
    fn other_lists_are_replaced() {
        pod(
            json!({"containers": [{"name": "a", "args": ["1", "2"]}], "tolerations": [{"key": "x"}]}),
            json!({"containers": [{"name": "a", "args": ["3"]}], "tolerations": [{"key": "y"}]}),
            json!({"containers": [{"name": "a", "args": ["3"]}], "tolerations": [{"key": "y"}]}),
        );
    }

    #[test]
    fn maps_merge_even_where_apply_takes_them_whole() {
        pod(
            json!({"nodeSelector": {"a": "1", "b": "2"}}),
            json!({"nodeSelector": {"b": null, "c": "3"}}),
            json!({"nodeSelector": {"a": "1", "c": "3"}}),
        );
        pod(
            json!({"nodeSelector": {"a": "1"}}),
            json!({"nodeSelector": {"$patch": "replace", "c": "3"}}),
            json!({"nodeSelector": {"c": "3"}}),
        );
    }

    #[test]
    fn retained_keys() {
        pod(
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"],
                "configMap": {"name": "c"}}]}),
            json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}),
        );
    }

    #[test]
    fn sets() {
        let schema = TypeSchema::builtin(&Gvk::new("", "v1", "ConfigMap"));
        let live = json!({"metadata": {"finalizers": ["a", "b"]}});
        for (patch, want) in [
            (json!({"finalizers": ["b", "c"]}), json!(["a", "b", "c"])),
            (json!({"$deleteFromPrimitiveList/finalizers": ["a"]}), json!(["b"])),
            (
                json!({"$setElementOrder/finalizers": ["b", "c", "a"], "finalizers": ["c"]}),
                json!(["b", "c", "a"]),
            ),
        ] {
            let got = strategic_merge(&live, &json!({"metadata": patch}), schema).unwrap();
            assert_eq!(got["metadata"]["finalizers"], want);
        }
    }

    #[test]
    fn malformed_patches() {
        let schema = TypeSchema::builtin(&Gvk::new("", "v1", "Pod"));
        for patch in [
            json!([]),
            json!({"spec": {"containers": [{"image": "x"}]}}),
            json!({"spec": {"containers": [{"name": "a", "$patch": "rub"}]}}),
            json!({"spec": {"$patch": 1}}),
            json!({"spec": {"$retainKeys": "a"}}),
            json!({"spec": {"$setElementOrder/containers": 1}}),
            json!({"spec": {"containers": [["x"]]}}),
        ] {
            let live = json!({"spec": {"containers": [{"name": "a"}]}});
            assert!(strategic_merge(&live, &patch, schema).is_err(), "{patch}");
        }
    }
}
