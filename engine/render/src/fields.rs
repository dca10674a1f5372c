//! Fields named by kind and path, and the walk to them.
//!
//! A path such as `spec/containers/image` passes through lists without saying so; `name[]` says
//! that a list is expected; `\/` is a slash within a name.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::resource::{Id, Resource};

/// A field of some kinds. Blank parts of the kind cover all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldSpec {
    pub(crate) group: Cow<'static, str>,
    pub(crate) version: Cow<'static, str>,
    pub(crate) kind: Cow<'static, str>,
    pub(crate) path: Vec<String>,
    pub(crate) create: bool,
}

impl FieldSpec {
    pub(crate) fn fixed(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        path: &str,
        create: bool,
    ) -> Self {
        Self {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            path: split(path),
            create,
        }
    }

    pub(crate) fn covers(&self, id: &Id) -> bool {
        id.matches(&self.group, &self.version, &self.kind)
    }

    /// Walks to the field in an object of the right kind.
    pub(crate) fn visit(
        &self,
        resource: &mut Resource,
        create: Create,
        visit: &mut dyn FnMut(&mut Value) -> Result<(), String>,
    ) -> Result<(), String> {
        if !self.covers(&resource.id) {
            return Ok(());
        }
        let create = if self.create { create } else { Create::Nothing };
        walk(&mut resource.value, &self.path, create, visit)
            .map_err(|reason| format!("at {}: {reason}", self.path.join("/")))
    }
}

/// What to make where a field is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    Nothing,
    Scalar,
    Mapping,
}

/// Splits a path at its slashes.
pub(crate) fn split(path: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'/') => {
                chars.next();
                parts.last_mut().expect("it starts with one part").push('/');
            }
            '/' => parts.push(String::new()),
            c => parts.last_mut().expect("it starts with one part").push(c),
        }
    }
    parts
}

/// Calls `visit` on every value that a path leads to.
pub(crate) fn walk(
    node: &mut Value,
    path: &[String],
    create: Create,
    visit: &mut dyn FnMut(&mut Value) -> Result<(), String>,
) -> Result<(), String> {
    let [head, rest @ ..] = path else { return visit(node) };
    match node {
        Value::Null => Ok(()),
        Value::Array(items) => {
            items.iter_mut().try_for_each(|item| walk(item, path, create, visit))
        }
        Value::Object(fields) => {
            let name = head.strip_suffix("[]");
            if create == Create::Nothing || name.is_some() {
                let field = fields.get_mut(name.unwrap_or(head));
                return field.map_or(Ok(()), |field| walk(field, rest, create, visit));
            }
            let field = fields.entry(head.as_str()).or_insert(Value::Null);
            if field.is_null() {
                *field = match create {
                    Create::Scalar if rest.is_empty() => Value::String(String::new()),
                    _ => Value::Object(Map::new()),
                };
            }
            walk(field, rest, create, visit)
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err("there is a scalar where a mapping or a list is expected".to_owned())
        }
    }
}
