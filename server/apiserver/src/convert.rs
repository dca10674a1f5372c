//! Versions of one kind: which `apiVersion` an object is stored with and which it is sent with.
//!
//! Only events differ in more than that name: their two groups spell the same facts differently.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::kinds::Kind;
use crate::store::Object;

/// Whether an object is stored in the version of a kind. A definition may have named another
/// version for storing when the object was written.
pub fn is_as_stored(kind: &Kind, object: &Object) -> bool {
    object.body().starts_with(&kind.head)
}

/// A stored object's text in the version of a kind.
pub fn json(kind: &Kind, object: &Object) -> Bytes {
    if is_as_stored(kind, object) {
        return object.json();
    }
    // Keys are sorted, so `apiVersion` stands first unless a definition has a field before it.
    let rest = object.body().strip_prefix(b"{\"apiVersion\":\"").and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b'"')?;
        rest.get(end + 1..)
    });
    match rest {
        Some(rest) if !is_event_of_other_group(kind) => [&kind.head, rest].concat().into(),
        _ => value(kind, object).to_string().into(),
    }
}

/// A stored object in the version of a kind.
pub fn value(kind: &Kind, object: &Object) -> Value {
    let mut value = object.value();
    if is_event_of_other_group(kind) {
        rename(&mut value, |(core, other)| (core, other));
    }
    value["apiVersion"] = kind.api_version().into();
    value
}

/// Turns an object of a kind's version into what is stored.
pub fn to_stored(kind: &Kind, value: &mut Value) {
    if !kind.is_stored() {
        if is_event_of_other_group(kind) {
            rename(value, |(core, other)| (other, core));
            fill_event(value);
        }
        value["apiVersion"] = kind.stored_as.as_str().into();
    }
}

fn is_event_of_other_group(kind: &Kind) -> bool {
    kind.group == "events.k8s.io"
}

/// Fields of events in the core group and in `events.k8s.io`.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("message", "note"),
    ("involvedObject", "regarding"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename(
    event: &mut Value,
    direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
) {
    let Some(event) = event.as_object_mut() else { return };
    for (from, to) in EVENT_FIELDS.map(direction) {
        if let Some(value) = event.remove(from) {
            event.insert(to.to_owned(), value);
        }
    }
}

/// Readers of the core group's events show these, and writers of the other group leave them out.
fn fill_event(event: &mut Value) {
    let Some(event) = event.as_object_mut() else { return };
    if !event.contains_key("source")
        && let Some(component) = event.get("reportingComponent").cloned()
    {
        event.insert("source".to_owned(), json!({"component": component}));
    }
    let time = |event: &Map<String, Value>| {
        let series = event.get("series").and_then(|series| series.get("lastObservedTime"));
        series.or_else(|| event.get("eventTime")).cloned().filter(|time| !time.is_null())
    };
    if let Some(time) = time(event) {
        event.entry("lastTimestamp").or_insert_with(|| seconds(&time));
        event.entry("firstTimestamp").or_insert_with(|| seconds(&time));
    }
}

/// `metav1.Time` has no fraction of a second, `metav1.MicroTime` has one.
fn seconds(time: &Value) -> Value {
    match time.as_str().and_then(|time| time.split_once('.')) {
        Some((whole, _)) => format!("{whole}Z").into(),
        None => time.clone(),
    }
}
