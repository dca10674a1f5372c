//! The belt of one delivery: verdict, artifact, render, plan, apply, health.
//!
//! In: the delivery, its source, what the ledger has of both. Out: six stages, each with how it
//! does, in shape and words, and its facts. The states come from the objects alone, so that a list
//! of many deliveries needs nothing else; the facts come from the ledger.

use serde_json::Value;

use super::object::{self, Condition, condition, text};
use super::parts::{At, Id, Words};
use super::state::State;
use super::text;
use crate::engine::Kind;

/// One stage of a belt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What it is called.
    pub name: &'static str,
    /// How it does.
    pub state: State,
    /// The same in a word or two.
    pub word: String,
    /// When it came to that.
    pub at: Option<At>,
    /// What it is about: a commit, or a digest of what the stage gave.
    pub id: Option<Id>,
    /// What else there is to know, in few words.
    pub facts: Vec<String>,
    /// What is wrong, where something is.
    pub trouble: Option<Words>,
}

impl Stage {
    /// Whether the stage is in trouble, and says so in these words.
    pub fn says(&self, words: &Words) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.says_as(words))
    }

    /// Leaves its trouble to words elsewhere on the page that say the same.
    pub fn leaves_to(&mut self, words: &Words) {
        if self.says(words) {
            self.trouble = None;
        }
    }
}

/// What a belt is read from.
pub struct Inputs<'a> {
    /// The delivery.
    pub delivery: &'a Value,
    /// Its source, where there is one.
    pub source: Option<&'a Value>,
    /// The newest entries about the delivery, oldest first.
    pub entries: &'a [Value],
    /// The newest entries about its source, oldest first.
    pub source_entries: &'a [Value],
}

/// How far the last run came, by what it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    /// It did not run yet.
    Nothing,
    /// Something before rendering is not as it must be.
    Start,
    /// Rendering failed.
    Render,
    /// Something of the plan is held.
    Plan,
    /// Applying failed in part.
    Apply,
    /// It is not healthy, or not yet.
    Health,
    /// The end.
    End,
}

impl Reached {
    fn of(ready: Option<Condition<'_>>) -> Self {
        let Some(ready) = ready else { return Self::Nothing };
        if ready.is_true() {
            return Self::End;
        }
        match ready.reason {
            "BuildFailed" => Self::Render,
            "DeletionHeld" => Self::Plan,
            "ReconciliationFailed" | "PruneFailed" | "LedgerFailed" => Self::Apply,
            "HealthCheckFailed" | "HealthCheckCanceled" | "Progressing" => Self::Health,
            _ => Self::Start,
        }
    }
}

/// The belt of a delivery.
pub fn belt(inputs: &Inputs<'_>) -> Vec<Stage> {
    let Inputs { delivery, source, entries, source_entries } = *inputs;
    let ready = condition(delivery, "Ready");
    let reached = Reached::of(ready);
    let behind = is_behind(delivery, source);
    vec![
        verdict(source, source_entries),
        artifact(source, source_entries),
        render(reached, behind, ready, entries),
        plan(reached, behind, delivery, entries),
        apply(reached, behind, ready, entries),
        health(reached, behind, delivery),
    ]
}

/// Whether the source has a version that the delivery has not come to yet.
fn is_behind(delivery: &Value, source: Option<&Value>) -> bool {
    let has = source.map_or("", |source| text(source, "/status/artifact/revision"));
    let done = text(delivery, "/status/lastAppliedRevision");
    !has.is_empty() && has != done
}

fn stage(name: &'static str, state: State, word: impl Into<String>) -> Stage {
    let word = word.into();
    Stage { name, state, word, at: None, id: None, facts: Vec::new(), trouble: None }
}

/// The newest entry of a kind.
fn newest<'a>(entries: &'a [Value], kind: &str) -> Option<&'a Value> {
    entries.iter().rev().find(|entry| entry["kind"] == kind)
}

fn time_of(entry: Option<&Value>) -> Option<At> {
    At::of(entry?["time"].as_str()?)
}

fn number(entry: &Value, field: &str) -> u64 {
    entry[field].as_u64().unwrap_or_default()
}

/// What the source said, and whether history was kept.
fn verdict(source: Option<&Value>, entries: &[Value]) -> Stage {
    const NAME: &str = "Verdict";
    let Some(source) = source else {
        let mut stage = stage(NAME, State::Waiting, "no source");
        stage.trouble = Words::some("trouble-verdict", "The source that it names does not exist.");
        return stage;
    };
    let seen = newest(entries, "observe");
    let word = seen.and_then(|entry| entry["verdict"].as_str()).unwrap_or_default();
    let fetch = condition(source, "FetchFailed").filter(Condition::is_true);
    let stalled = condition(source, "Stalled").filter(Condition::is_true);
    let mut found = if let Some(held) = object::held(Kind::Source, source) {
        let mut found = stage(NAME, State::Held, "held");
        found.at = held.since();
        found.trouble = Words::some("trouble-verdict", held.message);
        found
    } else if let Some(failed) = stalled.or(fetch) {
        let mut found = stage(NAME, State::Failed, "not read");
        found.at = failed.since();
        found.trouble = Words::some("trouble-verdict", failed.message);
        found
    } else if source["spec"]["suspend"] == true {
        stage(NAME, State::Suspended, "suspended")
    } else if source["status"]["artifact"].is_object() {
        let mut found = stage(NAME, State::Good, "accepted");
        found.at = time_of(seen);
        found
    } else {
        stage(NAME, State::Idle, "not yet")
    };
    if let Some(seen) = seen {
        found.id = Id::revision(text(seen, "/revision"));
        if !word.is_empty() {
            found.facts.push(format!("verdict {}", text::clean(word)));
        }
    }
    found
}

/// What is stored of it.
fn artifact(source: Option<&Value>, entries: &[Value]) -> Stage {
    const NAME: &str = "Artifact";
    let stored = source.map(|source| &source["status"]["artifact"]);
    let Some(stored) = stored.filter(|stored| stored.is_object()) else {
        return stage(NAME, State::Idle, "not yet");
    };
    let held = source.is_some_and(|source| object::held(Kind::Source, source).is_some());
    let mut found = stage(NAME, State::Good, if held { "last good" } else { "stored" });
    found.at = At::of(text(stored, "/lastUpdateTime"));
    found.id = Id::digest(text(stored, "/digest"));
    let admitted = entries.iter().rev().find(|entry| entry["admitted"] == true);
    if let Some(admitted) = admitted {
        let files = usize::try_from(number(admitted, "files")).unwrap_or(usize::MAX);
        found.facts.push(text::count(files, "file"));
    }
    if let Some(size) = stored["size"].as_u64() {
        found.facts.push(text::bytes(size));
    }
    found
}

fn render(
    reached: Reached,
    behind: bool,
    ready: Option<Condition<'_>>,
    entries: &[Value],
) -> Stage {
    const NAME: &str = "Render";
    let mut found = match reached {
        Reached::Nothing => stage(NAME, State::Idle, "not yet"),
        Reached::Start => stage(NAME, State::Waiting, "waits"),
        Reached::Render => stage(NAME, State::Failed, "refused"),
        Reached::End if behind => stage(NAME, State::Busy, "new version"),
        Reached::Plan | Reached::Apply | Reached::Health | Reached::End => {
            stage(NAME, State::Good, "rendered")
        }
    };
    if matches!(reached, Reached::Start | Reached::Render) {
        found.trouble = ready.and_then(|ready| Words::some("trouble-render", ready.message));
        found.at = ready.and_then(|ready| ready.since());
    }
    if let Some(entry) = newest(entries, "render") {
        found.at = found.at.or_else(|| time_of(Some(entry)));
        found.id = Id::digest(text(entry, "/output"));
        let objects = usize::try_from(number(entry, "objects")).unwrap_or(usize::MAX);
        let last = if found.state == State::Good { "" } else { "last good: " };
        found.facts.push(format!("{last}{}", text::count(objects, "object")));
    }
    found
}

fn plan(reached: Reached, behind: bool, delivery: &Value, entries: &[Value]) -> Stage {
    const NAME: &str = "Plan";
    let guard = object::held(Kind::Delivery, delivery);
    let mut found = match (guard, reached) {
        (Some(guard), _) => {
            let mut found = stage(NAME, State::Held, "deletions held");
            found.at = guard.since();
            found.trouble = Words::some("trouble-plan", guard.message);
            found
        }
        (None, Reached::Nothing | Reached::Start | Reached::Render) => {
            stage(NAME, State::Idle, "not yet")
        }
        (None, Reached::End) if behind => stage(NAME, State::Idle, "not yet"),
        (None, Reached::End) => stage(NAME, State::Good, "nothing left"),
        (None, Reached::Plan | Reached::Apply | Reached::Health) => {
            stage(NAME, State::Good, "planned")
        }
    };
    if let Some(entry) = newest(entries, "intent") {
        found.at = found.at.or_else(|| time_of(Some(entry)));
        found.id = Id::digest(text(entry, "/plan"));
        let (applies, deletes) = (number(entry, "applies"), number(entry, "deletes"));
        found.facts.push(format!("last: {applies} to apply, {deletes} to delete"));
    }
    found
}

fn apply(reached: Reached, behind: bool, ready: Option<Condition<'_>>, entries: &[Value]) -> Stage {
    const NAME: &str = "Apply";
    let mut found = match reached {
        Reached::Nothing | Reached::Start | Reached::Render => stage(NAME, State::Idle, "not yet"),
        Reached::Plan => stage(NAME, State::Good, "applied but for those"),
        Reached::Apply => {
            let mut found = stage(NAME, State::Failed, "failed");
            found.trouble = ready.and_then(|ready| Words::some("trouble-apply", ready.message));
            found.at = ready.and_then(|ready| ready.since());
            found
        }
        Reached::End if behind => stage(NAME, State::Idle, "not yet"),
        Reached::Health | Reached::End => stage(NAME, State::Good, "applied"),
    };
    if let Some(entry) = newest(entries, "outcome") {
        found.at = found.at.or_else(|| time_of(Some(entry)));
        found.id = Id::digest(text(entry, "/inventory"));
        let last = if found.state == State::Idle { "last: " } else { "" };
        found.facts.push(format!("{last}{}", outcome(entry)));
    }
    found
}

/// `3 created, 1 deleted`.
pub fn outcome(entry: &Value) -> String {
    let parts: Vec<String> = ["created", "configured", "unchanged", "deleted", "failed", "held"]
        .into_iter()
        .map(|word| (number(entry, word), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if parts.is_empty() { "nothing changed".to_owned() } else { parts.join(", ") }
}

fn health(reached: Reached, behind: bool, delivery: &Value) -> Stage {
    const NAME: &str = "Health";
    let ready = condition(delivery, "Ready");
    let healthy = condition(delivery, "Healthy");
    match reached {
        Reached::Health => {
            let (state, word) = match ready {
                Some(ready) if ready.is_false() => (State::Failed, "failed"),
                _ => (State::Busy, "waits for health"),
            };
            let mut found = stage(NAME, state, word);
            found.at = ready.and_then(|ready| ready.since());
            found.trouble = ready.and_then(|ready| Words::some("trouble-health", ready.message));
            found
        }
        Reached::End if !behind => match healthy.filter(Condition::is_true) {
            Some(healthy) => {
                let mut found = stage(NAME, State::Good, "healthy");
                found.at = healthy.since();
                found.facts.push(text::clean(text::cut(healthy.message, 200).0));
                found
            }
            None => {
                let mut found = stage(NAME, State::Good, "not asked");
                found.facts.push("no checks are declared".to_owned());
                found
            }
        },
        Reached::Nothing
        | Reached::Start
        | Reached::Render
        | Reached::Plan
        | Reached::Apply
        | Reached::End => stage(NAME, State::Idle, "not yet"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(conditions: Value) -> Value {
        json!({"status": {"conditions": conditions, "artifact": {
            "revision": "main@sha1:aa", "digest": "sha256:bb", "size": 1200}}})
    }

    fn delivery(applied: &str, conditions: Value) -> Value {
        json!({"status": {"lastAppliedRevision": applied, "conditions": conditions}})
    }

    #[track_caller]
    fn check(delivery: &Value, source: Option<&Value>, wanted: &str) {
        let belt = belt(&Inputs { delivery, source, entries: &[], source_entries: &[] });
        let words: Vec<String> =
            belt.iter().map(|stage| format!("{}:{}", stage.state.class(), stage.word)).collect();
        assert_eq!(words.join(" | "), wanted);
    }

    fn ready(status: &str, reason: &str) -> Value {
        json!([{"type": "Ready", "status": status, "reason": reason, "message": "why"}])
    }

    #[test]
    fn a_belt_shows_where_it_stands() {
        let good = source(json!([]));
        let at = |reason: &str| delivery("main@sha1:old", ready("False", reason));
        check(
            &delivery("main@sha1:aa", ready("True", "ReconciliationSucceeded")),
            Some(&good),
            "good:accepted | good:stored | good:rendered | good:nothing left | good:applied | \
             good:not asked",
        );
        check(
            &delivery("main@sha1:old", ready("True", "ReconciliationSucceeded")),
            Some(&good),
            "good:accepted | good:stored | busy:new version | idle:not yet | idle:not yet | \
             idle:not yet",
        );
        check(
            &at("BuildFailed"),
            Some(&good),
            "good:accepted | good:stored | failed:refused | idle:not yet | idle:not yet | \
             idle:not yet",
        );
        check(
            &at("DependencyNotReady"),
            Some(&good),
            "good:accepted | good:stored | waiting:waits | idle:not yet | idle:not yet | \
             idle:not yet",
        );
        check(
            &at("ReconciliationFailed"),
            Some(&good),
            "good:accepted | good:stored | good:rendered | good:planned | failed:failed | \
             idle:not yet",
        );
        check(
            &at("HealthCheckFailed"),
            Some(&good),
            "good:accepted | good:stored | good:rendered | good:planned | good:applied | \
             failed:failed",
        );
        check(
            &json!({}),
            None,
            "waiting:no source | idle:not yet | idle:not yet | idle:not yet | idle:not yet | \
             idle:not yet",
        );
    }

    #[test]
    fn what_is_held_is_shown_where_it_is_held() {
        let held = source(json!([{"type": "GitSemantics", "status": "False",
            "message": "rewritten [ack 1]"}]));
        check(
            &delivery("main@sha1:aa", ready("True", "ReconciliationSucceeded")),
            Some(&held),
            "held:held | good:last good | good:rendered | good:nothing left | good:applied | \
             good:not asked",
        );
        let guarded = delivery(
            "main@sha1:old",
            json!([{"type": "Ready", "status": "False", "reason": "DeletionHeld"},
                {"type": "DeletionGuard", "status": "True", "message": "3 deletions held"}]),
        );
        check(
            &guarded,
            Some(&source(json!([]))),
            "good:accepted | good:stored | good:rendered | held:deletions held | \
             good:applied but for those | idle:not yet",
        );
    }
}
