//! Checking values against a schema.
//!
//! In: a node and a value. Out: every error, in the words of kube-apiserver, at most a hundred.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Additional, Checks, FieldError, FieldErrorKind, ListType, Node, Type, format, rules};

/// One bad object should not answer with megabytes.
const MAX_ERRORS: usize = 100;

pub(super) fn validate(node: &Node, value: &Value) -> Vec<FieldError> {
    validate_with(node, value, None)
}

pub(super) fn validate_update(node: &Node, value: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = validate_with(node, value, Some(old));
    if !errors.is_empty() {
        let before = validate_with(node, old, None);
        errors.retain(|err| {
            err.path.is_empty()
                || !before.contains(err)
                || at(value, &err.path) != at(old, &err.path)
        });
    }
    errors
}

fn validate_with(node: &Node, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(node, value, "", &mut errors);
    errors.truncate(MAX_ERRORS);
    if node.has_rules {
        if errors.iter().any(blocks_rules) {
            let detail = "some validation rules were not checked because the object was invalid; \
                          correct the existing errors to complete validation";
            errors.push(FieldError::invalid("", Value::Null, detail));
        } else {
            rules::check(node, value, old, "", &mut errors);
            errors.truncate(MAX_ERRORS);
        }
    }
    errors
}

/// Rules may rely on the shape of a value; where that is wrong they would only add noise.
fn blocks_rules(err: &FieldError) -> bool {
    match err.kind {
        FieldErrorKind::NotSupported
        | FieldErrorKind::Required
        | FieldErrorKind::TooLong
        | FieldErrorKind::TooMany
        | FieldErrorKind::TypeInvalid => true,
        FieldErrorKind::NotFound
        | FieldErrorKind::Duplicate
        | FieldErrorKind::Invalid
        | FieldErrorKind::Forbidden
        | FieldErrorKind::Internal => false,
    }
}

/// The value at `spec.items[0].name`.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let mut here = value;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(index) = rest.strip_prefix('[') {
            let (index, after) = index.split_once(']')?;
            here = here.get(index.parse::<usize>().ok()?)?;
            rest = after;
        } else {
            let text = rest.strip_prefix('.').unwrap_or(rest);
            let end = text.find(['.', '[']).unwrap_or(text.len());
            here = here.get(&text[..end])?;
            rest = &text[end..];
        }
    }
    Some(here)
}

pub(super) fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_integer(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn fits(kind: Type, value: &Value) -> bool {
    match kind {
        Type::Array => value.is_array(),
        Type::Boolean => value.is_boolean(),
        Type::Integer => is_integer(value),
        Type::Number => value.is_number(),
        Type::Object => value.is_object(),
        Type::String => value.is_string(),
    }
}

fn kind_name(kind: Type) -> &'static str {
    match kind {
        Type::Array => "array",
        Type::Boolean => "boolean",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Object => "object",
        Type::String => "string",
    }
}

fn check(node: &Node, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if errors.len() >= MAX_ERRORS || (value.is_null() && node.nullable) {
        return;
    }
    let wanted = if node.int_or_string {
        (!value.is_string() && !is_integer(value)).then_some("integer,string")
    } else {
        node.kind.filter(|kind| !fits(*kind, value)).map(kind_name)
    };
    if let Some(wanted) = wanted {
        let found = type_name(value);
        let detail = format!("{path} in body must be of type {wanted}: \"{found}\"");
        errors.push(FieldError::new(path, FieldErrorKind::TypeInvalid, found.into(), detail));
        return;
    }
    check_value(&node.checks, value, path, errors);
    match value {
        Value::Object(map) => {
            check_required(&node.checks, map, path, errors);
            for (key, value) in map {
                // Metadata of resources is checked as metadata, except where a schema narrows it.
                match (node.properties.get(key), &node.additional) {
                    (Some(of), _) => check(of, value, &child(path, key), errors),
                    (None, Some(Additional::Only(of))) => {
                        check(of, value, &child(path, key), errors);
                    }
                    (None, Some(Additional::Any) | None) => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(of) = &node.items {
                for (at, item) in items.iter().enumerate() {
                    check(of, item, &format!("{path}[{at}]"), errors);
                }
            }
            check_distinct(&node.list, node.items.as_deref(), items, path, errors);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    check_junctors(&node.checks, value, path, errors);
    if node.embedded && !path.is_empty() {
        check_embedded(value, path, errors);
    }
}

fn check_required(
    checks: &Checks,
    map: &serde_json::Map<String, Value>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    for key in &checks.required {
        if !map.contains_key(key) {
            errors.push(FieldError::required(child(path, key), ""));
        }
    }
}

fn check_embedded(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for key in ["apiVersion", "kind"] {
        match value.get(key) {
            None => errors.push(FieldError::required(child(path, key), "must not be empty")),
            Some(found) if found.as_str().is_none_or(str::is_empty) => {
                errors.push(FieldError::required(child(path, key), "must not be empty"));
            }
            Some(_) => {}
        }
    }
}

fn check_value(checks: &Checks, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(allowed) = &checks.allowed
        && !allowed.iter().any(|allowed| same(allowed, value))
    {
        let names: Vec<String> = allowed
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect();
        errors.push(FieldError::not_supported(path, value.clone(), &names));
    }
    match value {
        Value::String(text) => check_text(checks, text, path, errors),
        Value::Number(_) => check_number(checks, value, path, errors),
        Value::Array(items) => {
            check_count(checks.items, items.len(), "items", path, errors);
        }
        Value::Object(map) => {
            check_count(checks.properties, map.len(), "properties", path, errors);
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Equal as JSON: `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && b.is_number() && a.as_f64() == b.as_f64())
}

fn check_text(checks: &Checks, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let (least, most) = checks.length;
    let invalid = |detail: String| FieldError::invalid(path, text.into(), detail);
    if least.is_some() || most.is_some() {
        let length = text.chars().count() as u64;
        if let Some(most) = most.filter(|most| length > *most) {
            let detail = format!("may not be more than {most} bytes");
            errors.push(FieldError::new(path, FieldErrorKind::TooLong, text.into(), detail));
        }
        if let Some(least) = least.filter(|least| length < *least) {
            errors.push(invalid(format!("{path} in body should be at least {least} chars long")));
        }
    }
    if let Some((source, regex)) = &checks.pattern
        && !regex.is_match(text)
    {
        errors.push(invalid(format!("{path} in body should match '{source}'")));
    }
    if let Some(name) = &checks.format
        && !format::matches(name, text)
    {
        let detail = format!("{path} in body must be of type {name}: {}", super::go_quote(text));
        errors.push(FieldError::new(path, FieldErrorKind::TypeInvalid, text.into(), detail));
    }
}

fn check_number(checks: &Checks, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(number) = value.as_f64() else { return };
    let mut refuse = |what: String| {
        errors.push(FieldError::invalid(path, value.clone(), format!("{path} in body {what}")));
    };
    if let Some((max, exclusive)) = checks.maximum {
        if exclusive && number >= max {
            refuse(format!("should be less than {max}"));
        } else if !exclusive && number > max {
            refuse(format!("should be less than or equal to {max}"));
        }
    }
    if let Some((min, exclusive)) = checks.minimum {
        if exclusive && number <= min {
            refuse(format!("should be greater than {min}"));
        } else if !exclusive && number < min {
            refuse(format!("should be greater than or equal to {min}"));
        }
    }
    if let Some(of) = checks.multiple_of
        && (number / of).fract() != 0.0
    {
        refuse(format!("should be a multiple of {of}"));
    }
}

fn check_count(
    (least, most): (Option<u64>, Option<u64>),
    count: usize,
    what: &str,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let count = count as u64;
    if let Some(least) = least.filter(|least| count < *least) {
        let detail = format!("{path} in body should have at least {least} {what}");
        errors.push(FieldError::invalid(path, count.into(), detail));
    }
    if let Some(most) = most.filter(|most| count > *most) {
        let noun = if most == 1 { "item" } else { "items" };
        let detail = format!("must have at most {most} {noun}");
        errors.push(FieldError::new(path, FieldErrorKind::TooMany, count.into(), detail));
    }
}

/// What tells an item apart from the others; `None` in lists that do not tell.
pub(super) fn item_key(list: &ListType, of: Option<&Node>, item: &Value) -> Option<Value> {
    match list {
        ListType::Atomic => None,
        ListType::Set => Some(item.clone()),
        ListType::Map(keys) => {
            let default = |key: &String| of?.properties.get(key)?.default.clone();
            let map = item.as_object()?;
            let pick = |key: &String| {
                let value = map.get(key).cloned().or_else(|| default(key))?;
                Some((key.clone(), value))
            };
            Some(Value::Object(keys.iter().filter_map(pick).collect()))
        }
    }
}

fn check_distinct(
    list: &ListType,
    of: Option<&Node>,
    items: &[Value],
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let mut seen = BTreeSet::new();
    for (at, item) in items.iter().enumerate() {
        let Some(key) = item_key(list, of, item) else { continue };
        if !seen.insert(fixpoint_base::canonical::to_string(&key)) {
            errors.push(FieldError::duplicate(format!("{path}[{at}]"), key));
        }
    }
}

/// Composite errors have no path of their own: kube-apiserver reports them at `<nil>` and names
/// the field in the text.
fn check_junctors(checks: &Checks, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Checks { all_of, any_of, one_of, not, .. } = checks;
    let composite = |what: String| FieldError::invalid("", "".into(), format!("\"{path}\" {what}"));
    let failures = |nodes: &[Node]| -> Vec<Vec<FieldError>> {
        nodes
            .iter()
            .map(|node| {
                let mut errors = Vec::new();
                check(node, value, path, &mut errors);
                errors
            })
            .collect()
    };
    if !any_of.is_empty() {
        let tried = failures(any_of);
        if !tried.iter().any(Vec::is_empty) {
            errors.push(composite("must validate at least one schema (anyOf)".to_owned()));
            errors.extend(nearest(tried));
        }
    }
    if !one_of.is_empty() {
        let tried = failures(one_of);
        match tried.iter().filter(|errors| errors.is_empty()).count() {
            1 => {}
            0 => {
                let what = "must validate one and only one schema (oneOf). Found none valid";
                errors.push(composite(what.to_owned()));
                errors.extend(nearest(tried));
            }
            count => {
                let what = "must validate one and only one schema (oneOf).";
                errors.push(composite(format!("{what} Found {count} valid alternatives")));
            }
        }
    }
    if !all_of.is_empty() {
        let tried = failures(all_of);
        if tried.iter().any(|errors| !errors.is_empty()) {
            let none =
                if tried.iter().all(|errors| !errors.is_empty()) { ". None validated" } else { "" };
            errors.push(composite(format!("must validate all the schemas (allOf){none}")));
            errors.extend(tried.into_iter().flatten());
        }
    }
    if let Some(not) = not {
        let mut inner = Vec::new();
        check(not, value, path, &mut inner);
        if inner.is_empty() {
            errors.push(composite("must not validate the schema (not)".to_owned()));
        }
    }
}

/// The errors of the alternative that came closest.
fn nearest(tried: Vec<Vec<FieldError>>) -> Vec<FieldError> {
    tried.into_iter().min_by_key(Vec::len).unwrap_or_default()
}
