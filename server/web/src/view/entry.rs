//! Entries of the ledger, in words.

use serde_json::Value;

use super::belt::outcome;
use super::parts::{At, Badge};
use super::state::State;
use super::text::{self, clean, short};
use crate::engine::Kind;
use crate::page::Name;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its index in the ledger.
    pub index: u64,
    /// When.
    pub at: Option<At>,
    /// What kind of entry, as a badge.
    pub badge: Badge,
    /// Whose history it belongs to.
    pub subject: String,
    /// The page of that, where there is one.
    pub href: Option<String>,
    /// Who.
    pub actor: String,
    /// What, in a sentence.
    pub words: String,
}

impl Line {
    /// Reads an entry.
    pub fn of(entry: &Value) -> Self {
        let text = |field: &str| clean(text::cut(entry[field].as_str().unwrap_or_default(), 600).0);
        let subject = text("subject");
        Self {
            index: entry["index"].as_u64().unwrap_or_default(),
            at: At::of(&text("time")),
            badge: Badge::new(state(entry), text("kind")),
            href: href(&subject),
            subject,
            actor: text("actor"),
            words: words(entry),
        }
    }

    /// Reads entries, the newest first.
    pub fn newest_first(entries: &[Value], most: usize) -> Vec<Self> {
        entries.iter().rev().take(most).map(Self::of).collect()
    }
}

fn href(subject: &str) -> Option<String> {
    let mut parts = subject.splitn(3, '/');
    let kind = match parts.next()? {
        "GitRepository" => Kind::Source,
        "Kustomization" => Kind::Delivery,
        _ => return None,
    };
    Some(Name::of(parts.next()?, parts.next()?)?.href(kind))
}

fn state(entry: &Value) -> State {
    match entry["kind"].as_str().unwrap_or_default() {
        "observe" if entry["admitted"] == false => State::Held,
        "violation" if entry["held"] == true => State::Held,
        "violation" => State::Failed,
        "outcome" if entry["failed"].as_u64() > Some(0) => State::Failed,
        "intent" => State::Busy,
        _ => State::Good,
    }
}

fn words(entry: &Value) -> String {
    let text = |pointer: &str| {
        let found = entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        clean(text::cut(found, 400).0)
    };
    let number = |field: &str| entry[field].as_u64().unwrap_or_default();
    let reason = match text("/reason") {
        reason if reason.is_empty() => String::new(),
        reason => format!(": {reason}"),
    };
    match entry["kind"].as_str().unwrap_or_default() {
        "genesis" => format!("the ledger {} began", text("/origin")),
        "observe" => {
            let (_, id) = text::revision(&text("/revision"));
            let then = if entry["admitted"] == true { "delivered" } else { "held" };
            let gone =
                if id.is_empty() { "is gone".to_owned() } else { format!("at {}", short(&id)) };
            format!("{} {gone}: {}, {then}", text("/name"), text("/verdict"))
        }
        "violation" => format!(
            "{}: {} from {} to {}",
            text("/name"),
            text("/verdict"),
            short(&text("/old/commit")),
            short(&text("/new/commit")),
        ),
        "ack" => format!("answered for {}{reason}", text("/id")),
        "approve" => format!("agreed to {} deletions{reason}", number("count")),
        "render" => {
            let objects = usize::try_from(number("objects")).unwrap_or(usize::MAX);
            let (_, revision) = text::revision(&text("/inputs/0/revision"));
            format!("{} from {}", text::count(objects, "object"), short(&revision))
        }
        "intent" => {
            format!("{} to apply, {} to delete", number("applies"), number("deletes"))
        }
        "outcome" => outcome(entry),
        "prune" => format!("{} deleted that nothing asks for any more", number("count")),
        "resolve" => {
            format!("after a crash: {} found done, {} open", number("done"), number("open"))
        }
        "config" => format!("setting {} is {}", text("/setting"), text("/new")),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_are_told_in_words() {
        let tell = |entry: Value| {
            let line = Line::of(&entry);
            format!("{} {}", line.badge.state.class(), line.words)
        };
        assert_eq!(
            tell(json!({"kind": "observe", "name": "branch main", "verdict": "forward",
                "revision": "main@sha1:0123456789abcdef", "admitted": true})),
            "good branch main at 0123456789ab: forward, delivered"
        );
        assert_eq!(
            tell(json!({"kind": "violation", "name": "branch main", "verdict": "fork",
                "held": true, "old": {"commit": "aaa"}, "new": {"commit": "bbb"}})),
            "held branch main: fork from aaa to bbb"
        );
        assert_eq!(
            tell(json!({"kind": "outcome", "created": 2, "failed": 1})),
            "failed 2 created, 1 failed"
        );
        assert_eq!(tell(json!({"kind": "unheard of"})), "good ");
    }

    #[test]
    fn subjects_lead_to_their_pages() {
        assert_eq!(href("GitRepository/shop/web").unwrap(), "/sources/shop/web");
        assert_eq!(href("Kustomization/shop/web").unwrap(), "/deliveries/shop/web");
        for other in ["ledger", "GitRepository/shop", "GitRepository/a/b/c", "GitRepository/a/<b>"]
        {
            assert_eq!(href(other), None, "{other}");
        }
    }
}
