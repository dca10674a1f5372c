//! CEL rules of schemas: `x-kubernetes-validations`.
//!
//! In: a node, a value and, on updates, the value before. Out: an error for each rule that does not
//! hold. A rule that this evaluator cannot run is not enforced and says so when the schema is read:
//! it differs from the one in kube-apiserver, and a definition that works there must not be
//! unusable here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kube_cel::{CompiledSchema, ErrorKind, compile_schema, validate_compiled};
use serde_json::{Value, json};

use super::validate::{child, item_key, type_name};
use super::{Additional, FieldError, FieldErrorKind, ListType, Node};

/// The rules of one node.
#[derive(Debug, Clone)]
pub(super) struct Rules(Arc<CompiledSchema>);

impl Rules {
    /// Compiles the rules of one node, not those below it. Also gives the places of the rules that
    /// cannot be compiled, each with the reason.
    pub fn compile(schema: &Value) -> (Option<Self>, Vec<(usize, String)>) {
        let Some(rules) = schema["x-kubernetes-validations"].as_array().filter(|r| !r.is_empty())
        else {
            return (None, Vec::new());
        };
        // The parser is not ours, and a schema must not end the process.
        let compiled = catch_unwind(AssertUnwindSafe(|| {
            let mut compiled = compile_schema(&types_of(schema));
            compiled.validations =
                compile_schema(&json!({"x-kubernetes-validations": rules})).validations;
            compiled
        }));
        let Ok(mut compiled) = compiled else {
            return (None, vec![(0, "the rule cannot be compiled".to_owned())]);
        };
        let mut refused = Vec::new();
        for (at, rule) in compiled.validations.iter().enumerate() {
            if let Err(err) = rule {
                refused.push((at, err.to_string()));
            }
        }
        compiled.validations.retain(Result::is_ok);
        let rules = (!compiled.validations.is_empty()).then(|| Self(Arc::new(compiled)));
        (rules, refused)
    }

    fn check(&self, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
        let evaluate = AssertUnwindSafe(|| validate_compiled(&self.0, value, old));
        let Ok(outcome) = catch_unwind(evaluate) else {
            let detail = "a validation rule could not be evaluated";
            errors.push(FieldError::new(path, FieldErrorKind::Internal, Value::Null, detail));
            return;
        };
        for err in outcome.err().into_iter().flatten() {
            // Known when it is met, not when the rule is compiled: a function that is missing here.
            if err.kind == ErrorKind::UnsupportedReference {
                continue;
            }
            let path = format!("{path}{}", err.field_path);
            let kind = match err.reason.as_deref() {
                Some("FieldValueRequired") => FieldErrorKind::Required,
                Some("FieldValueForbidden") => FieldErrorKind::Forbidden,
                Some("FieldValueDuplicate") => FieldErrorKind::Duplicate,
                Some(_) | None => FieldErrorKind::Invalid,
            };
            let value = type_name(value).into();
            errors.push(FieldError::new(path.trim_start_matches('.'), kind, value, err.message));
        }
    }
}

/// A schema without its rules: what the evaluator needs to know the types of values.
fn types_of(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| {
                !matches!(
                    key.as_str(),
                    "x-kubernetes-validations" | "description" | "default" | "enum"
                )
            });
            Value::Object(kept.map(|(key, value)| (key.clone(), types_of(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(types_of).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}

/// Checks the rules of a node and of all nodes below it.
pub(super) fn check(
    node: &Node,
    value: &Value,
    old: Option<&Value>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    if !node.has_rules || value.is_null() {
        return;
    }
    if let Some(rules) = &node.rules {
        rules.check(value, old, path, errors);
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let of = match (node.properties.get(key), &node.additional) {
                    (Some(of), _) => of,
                    (None, Some(Additional::Only(of))) => of,
                    (None, Some(Additional::Any) | None) => continue,
                };
                let old = old.and_then(|old| old.get(key));
                check(of, value, old, &child(path, key), errors);
            }
        }
        Value::Array(items) => {
            let Some(of) = &node.items else { return };
            for (at, item) in items.iter().enumerate() {
                let old = old.and_then(|old| same_item(node, item, old));
                check(of, item, old, &format!("{path}[{at}]"), errors);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What an item was before: items of atomic lists and sets have no past.
fn same_item<'a>(node: &Node, item: &Value, old: &'a Value) -> Option<&'a Value> {
    if !matches!(node.list, ListType::Map(_)) {
        return None;
    }
    let key = |item: &Value| item_key(&node.list, node.items.as_deref(), item);
    let wanted = key(item)?;
    old.as_array()?.iter().find(|item| key(item).as_ref() == Some(&wanted))
}
