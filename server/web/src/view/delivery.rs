//! One delivery: its belt, why it waits, what it answers for, and its history.

use askama::Template;
use serde_json::Value;

use super::Content;
use super::belt::{self, Inputs, Stage};
use super::entry::Line;
use super::object::{self, condition, text};
use super::parts::{At, Badge, Command, Id, Pager, Words};
use super::source::{Hold, Why, hold};
use super::state::State;
use super::text::{clean, cut};
use crate::engine::{Kind, Unread};
use crate::page::{INVENTORY, Name};

/// Entries of the ledger that are shown.
const ENTRIES: usize = 15;
/// Dependencies that are shown.
const DEPENDENCIES: usize = 50;

/// What the page is made from.
pub struct Seen<'a> {
    /// Its name.
    pub name: &'a Name,
    /// The delivery.
    pub object: &'a Value,
    /// Its source, where there is one.
    pub source: Option<&'a Value>,
    /// Why it is as it is.
    pub why: &'a Value,
    /// The newest entries about it.
    pub entries: &'a [Value],
    /// The newest entries about its source.
    pub source_entries: &'a [Value],
    /// How its objects do.
    pub health: Result<&'a Value, &'a Unread>,
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct Page {
    name: Name,
    badge: Badge,
    message: Option<Words>,
    facts: Vec<(&'static str, String)>,
    source: Option<(String, Name)>,
    dependencies: Vec<(String, Name)>,
    plan_href: String,
    belt: Vec<Stage>,
    hold: Option<Hold>,
    notes: Vec<(String, Words)>,
    why: Why,
    inventory: Inventory,
    history: Vec<Past>,
    entries: Vec<Line>,
    ledger: String,
    commands: Vec<Command>,
}

struct Inventory {
    total: usize,
    objects: Vec<Object>,
    pager: Option<Pager>,
    trouble: Option<Words>,
}

struct Object {
    badge: Badge,
    kind: String,
    api_version: String,
    namespace: String,
    name: String,
    message: Option<Words>,
}

struct Past {
    badge: Badge,
    revision: Option<Id>,
    digest: Option<Id>,
    first: Option<At>,
    last: Option<At>,
    times: i64,
    took: String,
}

/// The source that a delivery names.
pub fn source_of(delivery: &Value) -> Option<Name> {
    let source = delivery.get("spec")?.get("sourceRef")?;
    let own = delivery["metadata"]["namespace"].as_str()?;
    Name::of(source["namespace"].as_str().unwrap_or(own), source["name"].as_str()?)
}

/// Renders the page.
pub fn render(seen: &Seen<'_>) -> askama::Result<Content> {
    let Seen { name, object, source, why, entries, source_entries, health } = *seen;
    let Name { namespace, name: bare } = name;
    let ready = condition(object, "Ready");
    let command = |verb: &str| Command::new(verb, Kind::Delivery.word(), namespace, bare);
    let mut belt = belt::belt(&Inputs { delivery: object, source, entries, source_entries });
    // A stage that is in trouble says the same where it stands.
    let is_told = |message: &Words| belt.iter().any(|stage| stage.says(message));
    let message = ready.and_then(|ready| Words::some("message", ready.message));
    let message = message.filter(|message| !is_told(message));
    let hold = hold(Kind::Delivery, name, object).or_else(|| held_source(object, source));
    if let Some(hold) = &hold {
        belt.iter_mut().for_each(|stage| stage.leaves_to(&hold.words));
    }
    let page = Page {
        badge: object::badge(Kind::Delivery, object),
        message,
        facts: facts(object),
        source: source_of(object).map(|name| (name.href(Kind::Source), name)),
        dependencies: dependencies(object),
        plan_href: format!("{}/plan", name.href(Kind::Delivery)),
        belt,
        hold,
        notes: notes(object),
        why: Why::of(why),
        inventory: inventory(name, health),
        history: history(object),
        entries: Line::newest_first(entries, ENTRIES),
        ledger: format!("/ledger?subject=Kustomization/{namespace}/{bare}"),
        commands: vec![
            command("why"),
            command("plan"),
            command("reconcile"),
            command("suspend"),
            Command::line(format!("fixpoint ledger log --for Kustomization/{namespace}/{bare}")),
        ],
        name: name.clone(),
    };
    Content::new(format!("Delivery {namespace}/{bare}"), &page)
}

/// What is held of its source: nothing new comes until somebody answers for that.
fn held_source(object: &Value, source: Option<&Value>) -> Option<Hold> {
    let held = hold(Kind::Source, &source_of(object)?, source?)?;
    Some(Hold { title: "Its source is held until somebody answers", ..held })
}

fn facts(object: &Value) -> Vec<(&'static str, String)> {
    let said = |pointer: &str| clean(cut(text(object, pointer), 200).0);
    let mut facts = vec![
        (
            "Path",
            match said("/spec/path") {
                path if path.is_empty() => "./".to_owned(),
                path => path,
            },
        ),
        ("Every", said("/spec/interval")),
        ("Prunes", if object["spec"]["prune"] == true { "yes" } else { "no" }.to_owned()),
    ];
    let namespace = said("/spec/targetNamespace");
    if !namespace.is_empty() {
        facts.push(("Into namespace", namespace));
    }
    let cluster = said("/spec/kubeConfig/secretRef/name");
    if !cluster.is_empty() {
        facts.push(("To the cluster of", format!("Secret {cluster}")));
    }
    facts
}

fn dependencies(object: &Value) -> Vec<(String, Name)> {
    let own = text(object, "/metadata/namespace");
    let all = object["spec"]["dependsOn"].as_array().into_iter().flatten();
    all.filter_map(|one| Name::of(one["namespace"].as_str().unwrap_or(own), one["name"].as_str()?))
        .take(DEPENDENCIES)
        .map(|name| (name.href(Kind::Delivery), name))
        .collect()
}

/// What is worth knowing and is not wrong.
fn notes(object: &Value) -> Vec<(String, Words)> {
    ["FieldsIgnored", "WorkloadsNotRun"]
        .into_iter()
        .filter_map(|kind| {
            let found = condition(object, kind).filter(|found| found.is_true())?;
            Some((kind.to_owned(), Words::some(format!("note-{kind}"), found.message)?))
        })
        .collect()
}

fn inventory(name: &Name, health: Result<&Value, &Unread>) -> Inventory {
    let number = |value: &Value| {
        value.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
    };
    match health {
        Ok(health) => {
            let (total, from) = (number(&health["total"]), number(&health["from"]));
            let objects = health["objects"].as_array().into_iter().flatten().enumerate();
            Inventory {
                total,
                objects: objects.map(|(at, object)| inventory_object(at, object)).collect(),
                pager: Pager::new(from, INVENTORY, total, "objects", |from| {
                    format!("{}?from={from}#inventory", name.href(Kind::Delivery))
                }),
                trouble: None,
            }
        }
        Err(unread) => {
            let why = match unread {
                Unread::Missing => "there is none any more",
                Unread::Refused(why) => why,
            };
            let trouble = Words::some("inventory-trouble", why);
            Inventory { total: 0, objects: Vec::new(), pager: None, trouble }
        }
    }
}

fn inventory_object(at: usize, object: &Value) -> Object {
    let said = |field: &str| clean(cut(object[field].as_str().unwrap_or_default(), 253).0);
    let (state, word) = match object["state"].as_str().unwrap_or_default() {
        "Current" => (State::Good, "Current"),
        "InProgress" => (State::Busy, "In progress"),
        "Failed" => (State::Failed, "Failed"),
        "Terminating" => (State::Waiting, "Terminating"),
        "NotFound" => (State::Failed, "Not there"),
        _ => (State::Idle, "Unknown"),
    };
    let message = object["message"].as_str().filter(|_| state != State::Good);
    Object {
        badge: Badge::new(state, word),
        kind: said("kind"),
        api_version: said("apiVersion"),
        namespace: said("namespace"),
        name: said("name"),
        message: message.and_then(|message| Words::some(format!("object-{at}"), message)),
    }
}

fn history(object: &Value) -> Vec<Past> {
    let all = object["status"]["history"].as_array().into_iter().flatten();
    all.map(|past| {
        let said = |field: &str| past[field].as_str().unwrap_or_default();
        let status = said("lastReconciledStatus");
        let state = match status {
            "ReconciliationSucceeded" => State::Good,
            "DeletionHeld" => State::Held,
            _ => State::Failed,
        };
        Past {
            badge: Badge::new(state, words(status)),
            revision: Id::revision(text(past, "/metadata/revision")),
            digest: Id::digest(said("digest")),
            first: At::of(said("firstReconciled")),
            last: At::of(said("lastReconciled")),
            times: past["totalReconciliations"].as_i64().unwrap_or(1),
            took: short_duration(&clean(cut(said("lastReconciledDuration"), 40).0)),
        }
    })
    .collect()
}

/// `302.126031ms` as `302.1ms`: nobody compares the rest.
fn short_duration(duration: &str) -> String {
    let mut digits = None;
    let keeps = |c: &char| {
        digits = match (c, digits) {
            ('.', _) => Some(0),
            ('0'..='9', Some(count)) => Some(count + 1),
            ('0'..='9', None) => None,
            _ => None,
        };
        digits.is_none_or(|count| count < 2)
    };
    duration.chars().filter(keeps).collect()
}

/// `ReconciliationSucceeded` as `Reconciliation succeeded`.
fn words(reason: &str) -> String {
    let mut words = String::new();
    for c in clean(cut(reason, 100).0).chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
            words.push(c.to_ascii_lowercase());
        } else {
            words.push(c);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_reasons_are_told_as_people_do() {
        for (long, short) in
            [("302.126031ms", "302.1ms"), ("1m2.5s", "1m2.5s"), ("10s", "10s"), ("", "")]
        {
            assert_eq!(short_duration(long), short);
        }
        assert_eq!(words("ReconciliationSucceeded"), "Reconciliation succeeded");
    }
}
