//! Changes by hand that must not last.
//!
//! In: what a tree wants and what is there. Out: JSON patches of one field each, the likeliest to
//! be let through first. Only fields that the tree sets are named: nobody promises the others.

use serde_json::{Value, json};

/// Fields that name the items of lists: another value is another item, not a change of one.
const NAMES_OF_ITEMS: &[&str] = &[
    "name",
    "containerPort",
    "port",
    "protocol",
    "mountPath",
    "type",
    "ip",
    "key",
    "topologyKey",
    "devicePath",
    "whenUnsatisfiable",
    "uid",
];

/// A change of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Where it is.
    pub pointer: String,
    /// What is there, and must be there again.
    pub good: Value,
    /// What is put there.
    pub bad: Value,
}

impl Change {
    /// The change as a JSON patch.
    pub fn patch(&self) -> Value {
        json!([{"op": "replace", "path": self.pointer, "value": self.bad}])
    }
}

/// The changes that could be made to a live object, those without a list on their way first, and
/// those of metadata last.
pub fn changes(wanted: &Value, live: &Value) -> Vec<Change> {
    let mut found = vec![];
    for (field, value) in wanted.as_object().into_iter().flatten() {
        if !matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "status") {
            collect(value, &format!("/{}", escaped(field)), &mut found);
        }
    }
    found.sort_by_key(|(pointer, _)| pointer.split('/').any(is_index));
    let labels = &wanted["metadata"]["labels"];
    collect(labels, "/metadata/labels", &mut found);
    found
        .into_iter()
        .filter(|(pointer, good)| live.pointer(pointer) == Some(good))
        .filter_map(|(pointer, good)| Some(Change { bad: other(&good)?, pointer, good }))
        .collect()
}

fn collect(value: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let names_item = at.split('/').next_back().is_some_and(is_index)
                    && NAMES_OF_ITEMS.contains(&field.as_str());
                if !names_item {
                    collect(value, &format!("{at}/{}", escaped(field)), found);
                }
            }
        }
        Value::Array(items) => {
            // An item of a list of words is its own name.
            for (index, item) in items.iter().enumerate().filter(|(_, item)| item.is_object()) {
                collect(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Null => {}
        leaf => found.push((at.to_owned(), leaf.clone())),
    }
}

fn is_index(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn escaped(field: &str) -> String {
    field.replace('~', "~0").replace('/', "~1")
}

/// Something else of the same type.
fn other(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(yes) => Some(json!(!yes)),
        Value::Number(number) => number.as_i64().map(|number| json!(number + 1)),
        Value::String(text) => Some(json!(format!("{text}-by-hand"))),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_there_are_changed() {
        let wanted = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "x",
            "labels": {"a": "b"}}, "spec": {"list": [{"name": "n", "image": "i"}], "on": true,
            "size": 1, "gone": "x", "a/b": "c"}});
        let mut live = wanted.clone();
        live["spec"]["gone"] = json!("y");
        let found: Vec<String> = changes(&wanted, &live)
            .iter()
            .map(|change| format!("{} = {}", change.pointer, change.bad))
            .collect();
        assert_eq!(
            found,
            [
                "/spec/a~1b = \"c-by-hand\"",
                "/spec/on = false",
                "/spec/size = 2",
                "/spec/list/0/image = \"i-by-hand\"",
                "/metadata/labels/a = \"b-by-hand\"",
            ]
        );
    }
}
