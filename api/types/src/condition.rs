//! Conditions: what clients wait for and what `kubectl get` prints.
//!
//! In: the conditions of an object and a new one. Out: the conditions with the new one in its
//! place. A transition time moves only when the status does, and never by itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::meta::time_schema;
use crate::names::conditions::READY;

/// The longest message the API server accepts, in characters.
const LONGEST_MESSAGE: usize = 32_768;

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known whether it holds.
    Unknown,
}

/// One aspect of an object's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which aspect: a word in CamelCase, optionally with a DNS prefix.
    #[serde(rename = "type")]
    #[schemars(
        length(max = 316),
        regex(
            pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
        )
    )]
    pub type_: String,
    /// Whether the condition holds.
    pub status: ConditionStatus,
    /// The generation of the object that the condition speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    #[schemars(schema_with = "time_schema")]
    pub last_transition_time: Time,
    /// Why, as one word that programs can compare.
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    )]
    pub reason: String,
    /// Why, as a sentence for people; may be empty.
    #[schemars(length(max = 32768))]
    pub message: String,
}

impl Condition {
    /// States a condition as of `now`; a message that is longer than the API server accepts is
    /// cut.
    pub fn new(
        type_: &str,
        status: ConditionStatus,
        reason: &str,
        message: impl Into<String>,
        generation: Option<i64>,
        now: Time,
    ) -> Self {
        Self {
            type_: type_.to_owned(),
            status,
            observed_generation: generation,
            last_transition_time: now,
            reason: reason.to_owned(),
            message: shorten(message.into()),
        }
    }

    /// Whether the condition holds.
    pub fn is_true(&self) -> bool {
        self.status == ConditionStatus::True
    }
}

fn shorten(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
        let end = message[..end].char_indices().next_back().map_or(0, |(last, _)| last);
        message.truncate(end);
        message.push('…');
    }
    message
}

/// Finds a condition by its type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Puts a condition in its place: `Ready` first, the others by type.
///
/// The transition time of the one it replaces is kept while the status stays the same.
pub fn set(conditions: &mut Vec<Condition>, mut condition: Condition) {
    if let Some(old) = find(conditions, &condition.type_)
        && old.status == condition.status
    {
        condition.last_transition_time = old.last_transition_time.clone();
    }
    remove(conditions, &condition.type_);
    conditions.push(condition);
    conditions.sort_by(|a, b| {
        (a.type_ != READY, a.type_.as_str()).cmp(&(b.type_ != READY, b.type_.as_str()))
    });
}

/// Takes a condition away; nothing happens where it is missing.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|condition| condition.type_ != type_);
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::names::{conditions, reasons};

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn condition(type_: &str, status: ConditionStatus, message: &str, second: i64) -> Condition {
        Condition::new(type_, status, reasons::SUCCEEDED, message, Some(1), at(second))
    }

    #[test]
    fn transition_times_move_with_the_status_only() {
        let mut all = vec![];
        set(&mut all, condition(conditions::READY, ConditionStatus::True, "one", 1));
        set(&mut all, condition(conditions::READY, ConditionStatus::True, "two", 2));
        assert_eq!((all[0].message.as_str(), &all[0].last_transition_time), ("two", &at(1)));
        set(&mut all, condition(conditions::READY, ConditionStatus::False, "three", 3));
        assert_eq!(all[0].last_transition_time, at(3));
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn ready_comes_first() {
        let mut all = vec![];
        for type_ in [conditions::STALLED, conditions::ARTIFACT_IN_STORAGE, conditions::READY] {
            set(&mut all, condition(type_, ConditionStatus::True, "", 1));
        }
        let types: Vec<&str> = all.iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(types, ["Ready", "ArtifactInStorage", "Stalled"]);
        remove(&mut all, conditions::STALLED);
        assert!(find(&all, conditions::STALLED).is_none());
    }

    #[test]
    fn conditions_read_as_the_api_server_writes_them() {
        let text = r#"{"type":"Ready","status":"True","observedGeneration":2,"lastTransitionTime":"2026-01-02T03:04:05Z","reason":"Succeeded","message":"done"}"#;
        let read: Condition = serde_json::from_str(text).unwrap();
        assert!(read.is_true());
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let long = condition("Ready", ConditionStatus::False, &"ä".repeat(40_000), 1);
        assert_eq!(long.message.chars().count(), 32_768);
        assert!(long.message.ends_with("ä…"));
    }
}
