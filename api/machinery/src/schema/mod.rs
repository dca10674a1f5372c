//! Structural schemas: what a custom resource may look like.
//!
//! In: the `openAPIV3Schema` of a CRD version, then objects. Out: the object without the fields
//! that the schema does not name, with its defaults, and everything about it that is not allowed.
//! A schema that is not structural is refused when it is read, never when an object meets it.

mod error;
mod format;
mod parse;
mod pattern;
mod rules;
mod shape;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

pub(crate) use error::go_quote;
pub use error::{FieldError, FieldErrorKind};

/// A compiled structural schema.
#[derive(Debug, Clone)]
pub struct Schema {
    root: Node,
    warnings: Vec<String>,
}

/// One place of a schema.
#[derive(Debug, Clone, Default)]
struct Node {
    kind: Option<Type>,
    nullable: bool,
    int_or_string: bool,
    preserve_unknown: bool,
    embedded: bool,
    properties: BTreeMap<String, Node>,
    additional: Option<Additional>,
    items: Option<Box<Node>>,
    default: Option<Value>,
    list: ListType,
    checks: Checks,
    rules: Option<rules::Rules>,
    /// Whether there are rules here or below: where there are none, nothing is walked for them.
    has_rules: bool,
}

/// The JSON type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

/// What `additionalProperties` says.
#[derive(Debug, Clone)]
enum Additional {
    Any,
    Only(Box<Node>),
}

/// Whether two items of a list may be the same.
#[derive(Debug, Clone, Default)]
enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// What a schema asks of a value beyond its type.
#[derive(Debug, Clone, Default)]
struct Checks {
    required: Vec<String>,
    allowed: Option<Vec<Value>>,
    pattern: Option<(String, Regex)>,
    format: Option<String>,
    minimum: Option<(f64, bool)>,
    maximum: Option<(f64, bool)>,
    multiple_of: Option<f64>,
    length: (Option<u64>, Option<u64>),
    items: (Option<u64>, Option<u64>),
    properties: (Option<u64>, Option<u64>),
    all_of: Vec<Node>,
    any_of: Vec<Node>,
    one_of: Vec<Node>,
    not: Option<Box<Node>>,
}

impl Schema {
    /// Compiles the `openAPIV3Schema` of a CRD version. Paths of errors start inside it.
    ///
    /// # Errors
    /// Every place where the schema is not structural.
    pub fn parse(schema: &Value) -> Result<Self, Vec<FieldError>> {
        parse::parse(schema).map(|(root, warnings)| Self { root, warnings })
    }

    /// What the schema asks for and does not get: CEL rules that cannot be compiled here are not
    /// enforced. One sentence each, for the `Warning` header of the request that brings the CRD.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Drops the fields that the schema does not name; returns their paths (`spec.foo[0].bar`).
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        shape::prune(&self.root, object)
    }

    /// Sets the defaults of missing fields.
    pub fn default(&self, object: &mut Value) {
        shape::default(&self.root, object);
    }

    /// Lists everything about an object that the schema does not allow, its CEL rules among it.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        validate::validate(&self.root, object)
    }

    /// Like [`Schema::validate`], but forgives what is wrong in a part of the object that the
    /// update leaves as it was, so that a stricter schema does not lock old objects.
    pub fn validate_update(&self, object: &Value, old: &Value) -> Vec<FieldError> {
        validate::validate_update(&self.root, object, old)
    }
}
