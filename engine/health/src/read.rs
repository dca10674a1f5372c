//! Reading fields of objects that others write: what is missing or of another type is the default.

use serde_json::Value;

use crate::{Health, State};

/// A number, or a default.
pub fn number(object: &Value, pointer: &str, default: i64) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(default)
}

/// A text, or nothing.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// One entry of `status.conditions`.
#[derive(Debug, Clone, Copy)]
pub struct Condition<'a> {
    pub status: &'a str,
    pub reason: &'a str,
    pub message: &'a str,
}

impl<'a> Condition<'a> {
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    pub fn is_false(&self) -> bool {
        self.status == "False"
    }

    /// The message, or what to say where there is none.
    pub fn says(&self, otherwise: &'a str) -> &'a str {
        if self.message.is_empty() { otherwise } else { self.message }
    }
}

/// The condition of that type.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<Condition<'a>> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| text(condition, "/type") == type_)?;
    Some(Condition {
        status: text(found, "/status"),
        reason: text(found, "/reason"),
        message: text(found, "/message"),
    })
}

pub fn current(message: impl Into<String>) -> Health {
    Health::new(State::Current, message)
}

pub fn in_progress(message: impl Into<String>) -> Health {
    Health::new(State::InProgress, message)
}

pub fn failed(message: impl Into<String>) -> Health {
    Health::new(State::Failed, message)
}
