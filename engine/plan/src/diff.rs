//! How an object would change, as text.

use std::fmt::Write as _;

use fixpoint_base::{Gvk, Key};
use serde_json::Value;
use similar::TextDiff;

use crate::order::is_secret;

/// Shows what would change between a live object and the one that a dry run returned, as a
/// unified diff of YAML; empty where nothing would.
///
/// What servers keep for themselves (`managedFields`, versions, times, `status`) is left out, and
/// the values of a Secret are masked: only whether they change can be seen.
pub fn diff(live: Option<&Value>, wanted: Option<&Value>) -> String {
    let (mut before, mut after) = (live.cloned(), wanted.cloned());
    let title = after.as_ref().or(before.as_ref()).and_then(Key::of);
    let secret = |object: &Option<Value>| {
        object.as_ref().and_then(Gvk::of).is_some_and(|gvk| is_secret(&gvk))
    };
    if secret(&before) || secret(&after) {
        mask(before.as_mut(), after.as_mut());
    }
    let [before, after] = [before, after].map(|object| {
        object.map_or_else(String::new, |mut object| {
            strip(&mut object);
            yaml(&object)
        })
    });
    if before == after {
        return String::new();
    }
    let title = title.map(|key| key.to_string()).unwrap_or_default();
    let names = [
        if before.is_empty() { "nothing".to_owned() } else { format!("live {title}") },
        if after.is_empty() { "nothing".to_owned() } else { format!("wanted {title}") },
    ];
    TextDiff::from_lines(&before, &after).unified_diff().header(&names[0], &names[1]).to_string()
}

const NOISE: [&str; 7] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

fn strip(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    object.remove("status");
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, _| !NOISE.contains(&field.as_str()));
    }
}

const LAST_APPLIED: &str =
    "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

fn mask<'a>(mut before: Option<&'a mut Value>, mut after: Option<&'a mut Value>) {
    for part in ["data", "stringData"] {
        let fields = |object: &Option<&mut Value>| {
            object.as_ref().and_then(|o| o.get(part)).cloned().unwrap_or_default()
        };
        let (old, new) = (fields(&before), fields(&after));
        for (object, other, mark) in [(&mut before, &new, "before"), (&mut after, &old, "after")] {
            let Some(values) = object.as_mut().and_then(|o| o.get_mut(part)) else { continue };
            let Some(values) = values.as_object_mut() else {
                *values = Value::from("***");
                continue;
            };
            for (name, value) in values {
                let text = match other.get(name) {
                    Some(same) if same == value => "***".to_owned(),
                    _ => format!("*** ({mark})"),
                };
                *value = Value::from(text);
            }
        }
    }
    // kubectl keeps a copy of the whole Secret here.
    for object in [before, after].into_iter().flatten() {
        if let Some(copy) = object.pointer_mut(LAST_APPLIED) {
            *copy = Value::from("***");
        }
    }
}

/// Writes an object as YAML that people can read; nothing reads it back.
fn yaml(value: &Value) -> String {
    let mut out = String::new();
    write_yaml(value, 0, &mut out);
    out
}

fn write_yaml(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                pad(indent, out);
                let _ = write!(out, "{}:", scalar(&Value::from(name.as_str())));
                write_under(value, indent, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                pad(indent, out);
                out.push('-');
                let mut inner = String::new();
                write_yaml(item, indent + 2, &mut inner);
                if is_nested(item) {
                    out.push(' ');
                    out.push_str(inner.trim_start());
                } else {
                    let _ = writeln!(out, " {}", scalar(item));
                }
            }
        }
        scalar_value => {
            pad(indent, out);
            let _ = writeln!(out, "{}", scalar(scalar_value));
        }
    }
}

fn write_under(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            write_yaml(value, indent + 2, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            write_yaml(value, indent, out);
        }
        Value::String(text) if text.contains('\n') => {
            out.push_str(" |\n");
            for line in text.lines() {
                pad(indent + 2, out);
                out.push_str(line);
                out.push('\n');
            }
        }
        other => {
            let _ = writeln!(out, " {}", scalar(other));
        }
    }
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Quotes a string only where reading it bare would make it something else.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let plain = |c: char| c.is_alphanumeric() || "-_./ ()*".contains(c);
    let word = !text.is_empty()
        && text.chars().all(plain)
        && text.trim() == text
        && !text.starts_with('-')
        && text.parse::<f64>().is_err()
        && !["true", "false", "null", "yes", "no", "on", "off"]
            .contains(&text.to_ascii_lowercase().as_str());
    if word { text.clone() } else { value.to_string() }
}
