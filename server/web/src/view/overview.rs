//! Everything on one page: what needs somebody first, then the rest.

use std::sync::Arc;

use askama::Template;
use serde_json::Value;

use super::Content;
use super::belt::{self, Inputs, Stage};
use super::delivery::source_of;
use super::object::{self, condition, text};
use super::parts::{At, Badge, Command, Id, Pager, Words};
use super::state::State;
use super::text as texts;
use crate::engine::Kind;
use crate::page::{Args, Name};

/// Objects of one kind on one page.
pub const SIZE: usize = 50;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    headline: Badge,
    says: Vec<String>,
    query: String,
    has_objects: bool,
    deliveries: Vec<Delivery>,
    delivery_pager: Option<Pager>,
    sources: Vec<Source>,
    source_pager: Option<Pager>,
    commands: Vec<Command>,
}

struct Delivery {
    name: Name,
    href: String,
    badge: Badge,
    belt: Vec<Stage>,
    revision: Option<Id>,
    source: Option<(String, Name)>,
    since: Option<At>,
    note: Option<Words>,
}

struct Source {
    name: Name,
    href: String,
    badge: Badge,
    url: String,
    follows: String,
    revision: Option<Id>,
    since: Option<At>,
    note: Option<Words>,
}

/// An object with what it is sorted by: what needs somebody comes first.
struct Row<'a> {
    badge: Badge,
    name: Name,
    object: &'a Value,
}

/// Renders the page.
pub fn render(
    deliveries: &[Arc<Value>],
    sources: &[Arc<Value>],
    args: &Args,
) -> askama::Result<Content> {
    let all_deliveries = rows(Kind::Delivery, deliveries);
    let all_sources = rows(Kind::Source, sources);
    let (headline, says) = headline(&all_deliveries, &all_sources);
    let chosen = chosen(&all_deliveries, &args.q);
    let chosen_sources = self::chosen(&all_sources, &args.q);
    let from = Pager::begin(args.from, SIZE, chosen.len());
    let from_source = Pager::begin(args.sources, SIZE, chosen_sources.len());
    let href = |from: usize, sources: usize| {
        let mut href = format!("/?from={from}&sources={sources}");
        if !args.q.is_empty() {
            href.push_str("&q=");
            href.extend(args.q.chars().filter(|c| c.is_ascii_alphanumeric() || "-./".contains(*c)));
        }
        href
    };
    let find = |name: &Name| {
        let is_it = |source: &&Arc<Value>| {
            let metadata = &source["metadata"];
            metadata["name"] == name.name && metadata["namespace"] == name.namespace
        };
        sources.iter().find(is_it).map(|source| &**source)
    };
    let page = Overview {
        headline,
        says,
        query: texts::clean(&args.q),
        has_objects: !deliveries.is_empty() || !sources.is_empty(),
        deliveries: part(&chosen, from).map(|row| delivery(row, &find)).collect(),
        delivery_pager: Pager::new(from, SIZE, chosen.len(), "deliveries", |from| {
            href(from, from_source)
        }),
        sources: part(&chosen_sources, from_source).map(|row| source(row)).collect(),
        source_pager: Pager::new(from_source, SIZE, chosen_sources.len(), "sources", |sources| {
            href(from, sources)
        }),
        commands: vec![
            Command::line("fixpoint get all -A"),
            Command::line("fixpoint reconcile kustomization/NAME"),
            Command::line("fixpoint ledger log"),
        ],
    };
    Content::new("Overview", &page)
}

fn rows(kind: Kind, objects: &[Arc<Value>]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = objects
        .iter()
        .filter_map(|object| {
            let name = object::name(object)?;
            Some(Row { badge: object::badge(kind, object), name, object })
        })
        .collect();
    // Stable: within a state the order is that of the names.
    rows.sort_by_key(|row| row.badge.state);
    rows
}

fn chosen<'a, 'b>(rows: &'b [Row<'a>], query: &str) -> Vec<&'b Row<'a>> {
    let fits =
        |row: &&Row<'_>| format!("{}/{}", row.name.namespace, row.name.name).contains(query.trim());
    rows.iter().filter(fits).collect()
}

fn part<'a, 'b>(rows: &'b [&'b Row<'a>], from: usize) -> impl Iterator<Item = &'b Row<'a>> {
    rows.iter().skip(from).take(SIZE).copied()
}

/// What the whole comes to, in one line and a few more.
fn headline(deliveries: &[Row<'_>], sources: &[Row<'_>]) -> (Badge, Vec<String>) {
    let all = || deliveries.iter().chain(sources);
    let needy = all().filter(|row| row.badge.state.needs_somebody()).count();
    let busy = all().filter(|row| matches!(row.badge.state, State::Waiting | State::Busy)).count();
    let headline = if deliveries.is_empty() && sources.is_empty() {
        Badge::new(State::Idle, "Nothing is declared yet")
    } else if needy > 0 {
        let worst = if all().any(|row| row.badge.state == State::Failed) {
            State::Failed
        } else {
            State::Held
        };
        let verb = if needy == 1 { "needs" } else { "need" };
        Badge::new(worst, format!("{} {verb} somebody", texts::count(needy, "object")))
    } else if busy > 0 {
        Badge::new(State::Busy, "On its way")
    } else {
        Badge::new(State::Good, "Everything is at its fixpoint")
    };
    let says = [("delivery", "deliveries", deliveries), ("source", "sources", sources)]
        .into_iter()
        .map(|(one, many, rows)| tally(one, many, rows))
        .collect();
    (headline, says)
}

/// `7 deliveries: 5 ready, 1 held, 1 failed`.
fn tally(one: &str, many: &str, rows: &[Row<'_>]) -> String {
    let states = [
        (State::Good, "ready"),
        (State::Busy, "on their way"),
        (State::Waiting, "waiting"),
        (State::Held, "held"),
        (State::Failed, "failed"),
        (State::Suspended, "suspended"),
        (State::Idle, "new"),
    ];
    let parts: Vec<String> = states
        .into_iter()
        .map(|(state, word)| (rows.iter().filter(|row| row.badge.state == state).count(), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let what = if rows.len() == 1 { one } else { many };
    if parts.is_empty() {
        format!("{} {what}", rows.len())
    } else {
        format!("{} {what}: {}", rows.len(), parts.join(", "))
    }
}

fn delivery<'a>(row: &Row<'_>, find: &impl Fn(&Name) -> Option<&'a Value>) -> Delivery {
    let Row { badge, name, object } = row;
    let source_name = source_of(object);
    let source = source_name.as_ref().and_then(find);
    let inputs = Inputs { delivery: object, source, entries: &[], source_entries: &[] };
    let ready = condition(object, "Ready");
    let source_held = source.is_some_and(|source| object::held(Kind::Source, source).is_some());
    let key = format!("note-delivery-{}-{}", name.namespace, name.name);
    let note = match ready {
        Some(ready) if !ready.is_true() => Words::some(key, ready.message),
        _ if source_held => Words::some(key, "Stays at the last good version: its source is held."),
        _ => None,
    };
    Delivery {
        href: name.href(Kind::Delivery),
        name: name.clone(),
        badge: badge.clone(),
        belt: belt::belt(&inputs),
        revision: Id::revision(text(object, "/status/lastAppliedRevision")),
        source: source_name.map(|name| (name.href(Kind::Source), name)),
        since: ready.and_then(|ready| ready.since()),
        note,
    }
}

fn source(row: &Row<'_>) -> Source {
    let Row { badge, name, object } = row;
    let ready = condition(object, "Ready");
    let warned = condition(object, "GitSemantics")
        .filter(|semantics| semantics.is_true() && semantics.reason == "GitSemanticsViolation");
    let key = format!("note-source-{}-{}", name.namespace, name.name);
    let note = match ready {
        Some(ready) if !ready.is_true() => Words::some(key, ready.message),
        _ => warned.and_then(|warned| Words::some(key, warned.message)),
    };
    Source {
        href: name.href(Kind::Source),
        name: name.clone(),
        badge: badge.clone(),
        url: texts::url(text(object, "/spec/url")),
        follows: super::source::follows(object),
        revision: Id::revision(text(object, "/status/artifact/revision")),
        since: ready.and_then(|ready| ready.since()),
        note,
    }
}
