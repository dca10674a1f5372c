//! What suites read in objects.
//!
//! In: an object of the API. Out: a part of it; null where it is not there.

use serde_json::Value;

/// A condition of an object; null where it has none.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.unwrap_or(&Value::Null)
}

/// What an object says of itself, in one line.
pub fn said(object: &Value) -> String {
    let ready = condition(object, "Ready");
    let text = |value: &Value| value.as_str().unwrap_or("nothing").to_owned();
    format!("Ready={}: {}", text(&ready["status"]), text(&ready["message"]))
}

/// Whether a source or delivery is ready and has looked at all that was written into it.
pub fn is_ready(object: &Value) -> bool {
    condition(object, "Ready")["status"] == "True"
        && object["status"]["observedGeneration"] == object["metadata"]["generation"]
}
