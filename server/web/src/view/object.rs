//! Reads what our objects say about themselves.

use serde_json::Value;

use super::parts::{At, Badge};
use super::state::State;
use crate::engine::Kind;
use crate::page::Name;

/// One condition of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition<'a> {
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// One word.
    pub reason: &'a str,
    /// One sentence, or several.
    pub message: &'a str,
    /// Since when.
    since: &'a str,
}

impl Condition<'_> {
    /// Whether it is true.
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Whether it is false.
    pub fn is_false(&self) -> bool {
        self.status == "False"
    }

    /// Since when.
    pub fn since(&self) -> Option<At> {
        At::of(self.since)
    }
}

/// Reads one condition.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let all = object["status"]["conditions"].as_array()?;
    let found = all.iter().find(|condition| condition["type"] == kind)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    Some(Condition {
        status: text("status"),
        reason: text("reason"),
        message: text("message"),
        since: text("lastTransitionTime"),
    })
}

/// The name of an object; `None` where it is one that no page can have.
pub fn name(object: &Value) -> Option<Name> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    Name::of(text("namespace"), text("name"))
}

/// A text somewhere in an object; empty where there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The condition that says that something is held, where something is.
pub fn held(kind: Kind, object: &Value) -> Option<Condition<'_>> {
    match kind {
        Kind::Source => condition(object, "GitSemantics").filter(Condition::is_false),
        Kind::Delivery => condition(object, "DeletionGuard").filter(Condition::is_true),
    }
}

/// Whether what somebody changed in the object was not looked at yet.
pub fn is_behind(object: &Value) -> bool {
    object["metadata"]["generation"] != object["status"]["observedGeneration"]
}

/// How an object does, all in all.
pub fn badge(kind: Kind, object: &Value) -> Badge {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Badge::new(State::Busy, "Going");
    }
    if object["spec"]["suspend"] == true {
        return Badge::new(State::Suspended, "Suspended");
    }
    if held(kind, object).is_some() {
        return Badge::new(State::Held, "Held");
    }
    if condition(object, "Stalled").is_some_and(|stalled| stalled.is_true()) {
        return Badge::new(State::Failed, "Stalled");
    }
    match condition(object, "Ready") {
        None => Badge::new(State::Idle, "New"),
        Some(ready) if ready.is_true() && is_behind(object) => Badge::new(State::Busy, "Working"),
        Some(ready) if ready.is_true() => Badge::new(State::Good, "Ready"),
        Some(ready) if ready.is_false() => match ready.reason {
            "DependencyNotReady" | "ArtifactFailed" => Badge::new(State::Waiting, "Waiting"),
            _ => Badge::new(State::Failed, "Failed"),
        },
        Some(_) => Badge::new(State::Busy, "Working"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(kind: Kind, object: Value, wanted: &str) {
        assert_eq!(badge(kind, &object).word, wanted, "{object}");
    }

    fn said(conditions: Value) -> Value {
        json!({"metadata": {"generation": 1},
            "status": {"observedGeneration": 1, "conditions": conditions}})
    }

    #[test]
    fn an_object_does_as_its_conditions_say() {
        let ready = |status: &str, reason: &str| {
            said(json!([{"type": "Ready", "status": status, "reason": reason}]))
        };
        check(Kind::Delivery, json!({}), "New");
        check(Kind::Delivery, ready("True", "ReconciliationSucceeded"), "Ready");
        check(Kind::Delivery, ready("False", "DependencyNotReady"), "Waiting");
        check(Kind::Delivery, ready("False", "BuildFailed"), "Failed");
        check(Kind::Delivery, ready("Unknown", "Progressing"), "Working");
        let mut behind = ready("True", "ReconciliationSucceeded");
        behind["metadata"]["generation"] = 2.into();
        check(Kind::Delivery, behind, "Working");
        let mut suspended = ready("False", "BuildFailed");
        suspended["spec"]["suspend"] = true.into();
        check(Kind::Delivery, suspended, "Suspended");
        let held = said(json!([{"type": "GitSemantics", "status": "False"}]));
        check(Kind::Source, held.clone(), "Held");
        check(Kind::Delivery, held, "New");
        let guard = said(json!([{"type": "DeletionGuard", "status": "True"},
            {"type": "Ready", "status": "False", "reason": "DeletionHeld"}]));
        check(Kind::Delivery, guard, "Held");
        let stalled = said(json!([{"type": "Stalled", "status": "True"}]));
        check(Kind::Source, stalled, "Stalled");
        check(Kind::Source, json!({"metadata": {"deletionTimestamp": "x"}}), "Going");
    }
}
