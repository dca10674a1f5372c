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
pub(super) struct Rules {
    compiled: Arc<CompiledSchema>,
    /// How deep loops stand in loops, at most.
    loops: u32,
}

/// The evaluator counts no steps, so they are bounded beforehand: about ten seconds' worth.
const MAX_STEPS: u64 = 10_000_000;

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
        let rules = (!compiled.validations.is_empty()).then(|| {
            let texts = compiled.validations.iter().filter_map(|rule| rule.as_ref().ok());
            let loops = texts.map(|rule| nested_loops(&rule.rule.rule)).max().unwrap_or(0);
            Self { compiled: Arc::new(compiled), loops }
        });
        (rules, refused)
    }

    fn check(&self, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
        // One loop is bounded by the size of the object; loops in loops multiply.
        if self.loops > 1 && longest(value).saturating_pow(self.loops) > MAX_STEPS {
            let detail = "validation failed due to running out of cost budget, no further \
                          validation rules will be run";
            errors.push(FieldError::invalid(path, type_name(value).into(), detail));
            return;
        }
        let evaluate = AssertUnwindSafe(|| validate_compiled(&self.compiled, value, old));
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

/// How deep the loops of a rule nest, counted in its text outside quotes.
fn nested_loops(rule: &str) -> u32 {
    let loops = [".all", ".exists", ".exists_one", ".map", ".filter", ".sortBy", ".transformList"];
    let (mut open, mut now, mut most) = (Vec::new(), 0, 0);
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in rule.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(end), c) if c == end => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => {
                let before = rule[..at].trim_end();
                let is_loop = loops.iter().any(|name| before.ends_with(name));
                open.push(is_loop);
                now += u32::from(is_loop);
                most = most.max(now);
            }
            (None, ')') => now -= u32::from(open.pop().unwrap_or(false)),
            (None, _) => {}
        }
    }
    most
}

/// The number of entries of the longest list or map in a value.
fn longest(value: &Value) -> u64 {
    match value {
        Value::Object(map) => map.values().map(longest).fold(map.len() as u64, u64::max),
        Value::Array(items) => items.iter().map(longest).fold(items.len() as u64, u64::max),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_counted() {
        for (rule, want) in [
            ("self.x > (1 + 2)", 0),
            ("self.all(a, a > 0)", 1),
            ("self.all(a, a > 0) && self.exists(b, b > 1)", 1),
            ("self.all(a, self.filter(b, b == a).size() == 1)", 2),
            ("self.all(a, a != ')' && self.map (b, b).all(c, c == \"(\"))", 2),
        ] {
            assert_eq!(nested_loops(rule), want, "{rule}");
        }
    }
}
