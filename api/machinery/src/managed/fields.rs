//! Sets of fields, and the two ways they are written.
//!
//! In: paths, or `fieldsV1` JSON. Out: `fieldsV1` JSON, or the paths of messages
//! (`.spec.containers[name="app"].image`). A set is a tree: each node says whether the field itself
//! is a member, and holds what is below it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::schema::go_quote;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A field of a map.
    Field(String),
    /// An item of a list with keys: the keys as a JSON object, sorted.
    Key(String),
    /// An item of a set: the value as JSON.
    Value(String),
    /// An item by its place; never made, only read.
    Index(u64),
}

impl Step {
    fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(at) => format!("i:{at}"),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let (sort, rest) = text.split_at_checked(2)?;
        match sort {
            "f:" => Some(Self::Field(rest.to_owned())),
            "k:" => {
                let keys: Value = serde_json::from_str(rest).ok()?;
                keys.is_object().then(|| Self::Key(sorted(&keys)))
            }
            "v:" => Some(Self::Value(sorted(&serde_json::from_str(rest).ok()?))),
            "i:" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }

    fn print(&self, out: &mut String) {
        let show = |value: &Value| match value {
            Value::String(text) => go_quote(text),
            other => other.to_string(),
        };
        match self {
            Self::Field(name) => {
                out.push('.');
                out.push_str(name);
            }
            Self::Key(keys) => {
                let keys: Value = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| format!("{name}={}", show(value)))
                    .collect();
                out.push_str(&format!("[{}]", keys.join(",")));
            }
            Self::Value(value) => {
                let value: Value = serde_json::from_str(value).unwrap_or_default();
                out.push_str(&format!("[={}]", show(&value)));
            }
            Self::Index(at) => out.push_str(&format!("[{at}]")),
        }
    }
}

/// JSON text in which equal values are equal texts.
pub(super) fn sorted(value: &Value) -> String {
    fixpoint_base::canonical::to_string(value)
}

/// A set of fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct FieldSet {
    /// Whether the field at this place is a member.
    pub member: bool,
    /// What is below it; no child is empty.
    pub children: BTreeMap<Step, FieldSet>,
}

impl FieldSet {
    /// A set with nothing but the place itself.
    pub fn leaf() -> Self {
        Self { member: true, children: BTreeMap::new() }
    }

    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// Adds a subtree, unless it is empty.
    pub fn insert(&mut self, step: Step, child: Self) {
        if !child.is_empty() {
            self.children.insert(step, child);
        }
    }

    pub fn union(&mut self, other: &Self) {
        self.member |= other.member;
        for (step, child) in &other.children {
            self.children.entry(step.clone()).or_default().union(child);
        }
    }

    /// The members of this set that are not members of the other.
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| mine && !theirs)
    }

    /// The members of this set that are members of the other.
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| mine && theirs)
    }

    fn combine(&self, other: &Self, keep: fn(bool, bool) -> bool) -> Self {
        static EMPTY: FieldSet = FieldSet { member: false, children: BTreeMap::new() };
        let mut out = Self { member: keep(self.member, other.member), ..Self::default() };
        for (step, child) in &self.children {
            let theirs = other.children.get(step).unwrap_or(&EMPTY);
            out.insert(step.clone(), child.combine(theirs, keep));
        }
        out
    }

    /// Lists the paths of the members, those above before those below.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.walk(&mut String::new(), &mut out);
        out
    }

    fn walk(&self, path: &mut String, out: &mut Vec<String>) {
        let length = path.len();
        for (step, child) in &self.children {
            if child.member {
                step.print(path);
                out.push(path.clone());
                path.truncate(length);
            }
        }
        for (step, child) in &self.children {
            step.print(path);
            child.walk(path, out);
            path.truncate(length);
        }
    }

    /// Writes `fieldsV1`.
    pub fn encode(&self) -> Value {
        let mut out = Map::new();
        if self.member && !self.children.is_empty() {
            out.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (step, child) in &self.children {
            out.insert(step.encode(), child.encode());
        }
        Value::Object(out)
    }

    /// Reads `fieldsV1`; `None` where it is malformed.
    pub fn decode(fields: &Value) -> Option<Self> {
        let mut out = Self::decode_below(fields, 0)?;
        out.member = false;
        Some(out)
    }

    fn decode_below(fields: &Value, depth: usize) -> Option<Self> {
        let fields = fields.as_object().filter(|_| depth < MAX_DEPTH)?;
        let mut out = Self { member: fields.is_empty(), ..Self::default() };
        for (key, below) in fields {
            if key == "." {
                out.member = true;
            } else {
                out.insert(Step::decode(key)?, Self::decode_below(below, depth + 1)?);
            }
        }
        Some(out)
    }
}

/// `serde_json` reads at most 128 levels; one more bound keeps every walk off the stack's end.
const MAX_DEPTH: usize = 256;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_v1_goes_both_ways() {
        let fields = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:finalizers": {"v:\"x\"": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}});
        let set = FieldSet::decode(&fields).unwrap();
        assert_eq!(set.encode(), fields);
        assert_eq!(
            set.paths(),
            [
                ".metadata.labels",
                ".metadata.finalizers[=\"x\"]",
                ".metadata.labels.app",
                ".spec.ports[port=80,protocol=\"TCP\"]",
                ".spec.ports[port=80,protocol=\"TCP\"].port"
            ]
        );
    }

    #[test]
    fn malformed_fields() {
        for fields in
            [json!(1), json!({"x": {}}), json!({"f:a": 1}), json!({"k:[": {}}), json!({"é": {}})]
        {
            assert_eq!(FieldSet::decode(&fields), None, "{fields}");
        }
    }
}
