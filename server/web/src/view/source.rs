//! One source: what it says, what was made of it, and who is delivered from it.

use std::sync::Arc;

use askama::Template;
use serde_json::Value;

use super::Content;
use super::entry::Line;
use super::object::{self, condition, text};
use super::parts::{At, Badge, Command, Id, Words};
use super::text::{self as texts, clean, cut};
use crate::engine::Kind;
use crate::page::Name;

/// Entries of the history that are shown.
const ENTRIES: usize = 25;
/// Deliveries that are shown.
const USERS: usize = 100;

#[derive(Template)]
#[template(path = "source.html")]
struct Page {
    name: Name,
    badge: Badge,
    message: Option<Words>,
    hold: Option<Hold>,
    facts: Vec<(&'static str, String)>,
    revision: Option<Id>,
    artifact: Option<Id>,
    stored: Option<At>,
    why: Why,
    users: Vec<User>,
    more_users: usize,
    entries: Vec<Line>,
    ledger: String,
    commands: Vec<Command>,
}

/// What is held, and how to answer for it.
pub struct Hold {
    /// What is held, as a heading.
    pub title: &'static str,
    /// What happened.
    pub words: Words,
    /// Since when.
    pub since: Option<At>,
    /// How to look closer.
    pub look: Command,
    /// How to answer.
    pub answer: Command,
}

struct User {
    name: Name,
    href: String,
    badge: Badge,
}

/// Why an object is as it is, as the engine says.
pub struct Why {
    /// Whether it is at its fixpoint.
    pub settled: bool,
    /// What its conditions say.
    pub reasons: Vec<Words>,
    /// What the last plan left alone for somebody or something to act on.
    pub left: Vec<Words>,
    /// How many more of those there are.
    pub more_left: usize,
    /// When it is looked at again.
    pub next: Option<At>,
    /// The same in words, where there is no such time.
    pub next_words: String,
}

/// Lines of one list that are shown; the command line shows all.
const LINES: usize = 50;

impl Why {
    /// Reads the engine's answer.
    pub fn of(why: &Value) -> Self {
        let lines = |field: &str| -> Vec<Words> {
            let all = why[field].as_array().into_iter().flatten();
            let texts: Vec<&str> = all.filter_map(Value::as_str).take(LINES).collect();
            let fresh = texts.iter().enumerate().filter(|(at, text)| !repeats(text, &texts[..*at]));
            fresh.map(|(at, text)| Words::new(format!("{field}-{at}"), text)).collect()
        };
        let left = why["left"].as_array().map_or(0, Vec::len);
        Self {
            settled: why["settled"] == true,
            reasons: lines("reasons"),
            left: lines("left"),
            more_left: left.saturating_sub(LINES),
            next: why["nextAt"].as_str().and_then(At::of),
            next_words: clean(cut(why["next"].as_str().unwrap_or("not known"), 200).0),
        }
    }
}

/// Whether a line says again what one before it says: an object often waits for what its condition
/// complains about.
fn repeats(line: &str, before: &[&str]) -> bool {
    let waits = line.strip_prefix("waits for: ");
    waits.is_some_and(|what| before.iter().any(|said| said.ends_with(what)))
}

/// What is held of an object, if something is.
pub fn hold(kind: Kind, name: &Name, found: &Value) -> Option<Hold> {
    let held = object::held(kind, found)?;
    let Name { namespace, name } = name;
    Some(Hold {
        title: "Held until somebody answers",
        words: Words::new("hold", held.message),
        since: held.since(),
        look: match kind {
            Kind::Source => Command::new("why", kind.word(), namespace, name),
            Kind::Delivery => Command::new("plan", kind.word(), namespace, name),
        },
        answer: Command::new("ack", kind.word(), namespace, name)
            .with("--reason \"why this is right\""),
    })
}

/// Renders the page.
pub fn render(
    name: &Name,
    object: &Value,
    entries: &[Value],
    why: &Value,
    users: &[Arc<Value>],
) -> askama::Result<Content> {
    let Name { namespace, name: bare } = name;
    let ready = condition(object, "Ready");
    let command = |verb: &str| Command::new(verb, Kind::Source.word(), namespace, bare);
    let hold = hold(Kind::Source, name, object);
    let page = Page {
        badge: object::badge(Kind::Source, object),
        // What is held says the same.
        message: ready
            .filter(|_| hold.is_none())
            .and_then(|ready| Words::some("message", ready.message)),
        hold,
        facts: facts(object),
        revision: Id::revision(text(object, "/status/artifact/revision")),
        artifact: Id::digest(text(object, "/status/artifact/digest")),
        stored: At::of(text(object, "/status/artifact/lastUpdateTime")),
        why: Why::of(why),
        users: users.iter().filter_map(|user| user_of(user)).take(USERS).collect(),
        more_users: users.len().saturating_sub(USERS),
        entries: Line::newest_first(entries, ENTRIES),
        ledger: format!("/ledger?subject=GitRepository/{namespace}/{bare}"),
        commands: vec![
            command("why"),
            command("reconcile"),
            command("suspend"),
            Command::line(format!("fixpoint ledger log --for GitRepository/{namespace}/{bare}")),
        ],
        name: name.clone(),
    };
    Content::new(format!("Source {namespace}/{bare}"), &page)
}

fn user_of(delivery: &Value) -> Option<User> {
    let name = object::name(delivery)?;
    Some(User {
        href: name.href(Kind::Delivery),
        badge: object::badge(Kind::Delivery, delivery),
        name,
    })
}

fn facts(object: &Value) -> Vec<(&'static str, String)> {
    let policy = match object["metadata"]["annotations"]["source.fixpoint.dev/history"].as_str() {
        Some(policy) => clean(cut(policy, 60).0),
        None => "enforce".to_owned(),
    };
    let mut facts = vec![
        ("URL", texts::url(text(object, "/spec/url"))),
        ("Follows", follows(object)),
        ("Looked at every", clean(cut(text(object, "/spec/interval"), 40).0)),
        ("History", policy),
    ];
    let secret = text(object, "/spec/secretRef/name");
    if !secret.is_empty() {
        facts.push(("Credentials", format!("Secret {}", clean(cut(secret, 253).0))));
    }
    if let Some(size) = object["status"]["artifact"]["size"].as_u64() {
        facts.push(("Size", texts::bytes(size)));
    }
    facts
}

/// The name that a source follows, as a person would say it.
pub fn follows(object: &Value) -> String {
    let reference = &object["spec"]["ref"];
    let named = ["commit", "name", "semver", "tag", "branch"]
        .into_iter()
        .find_map(|kind| Some((kind, reference[kind].as_str()?)));
    match named {
        Some(("name", name)) => format!("ref {}", clean(cut(name, 200).0)),
        Some((kind, name)) => format!("{kind} {}", clean(cut(name, 200).0)),
        None => "branch master".to_owned(),
    }
}
