//! What the next apply of a delivery would do.

use askama::Template;
use serde_json::Value;

use super::Content;
use super::parts::{Badge, Command, Words};
use super::state::State;
use super::text::{clean, cut};
use crate::engine::{Kind, Unread};
use crate::page::Name;

/// Bytes of a diff that are shown.
const DIFF_BYTES: usize = 256 * 1024;
/// Bytes of the plan's own text that are shown.
const TEXT_BYTES: usize = 64 * 1024;

#[derive(Template)]
#[template(path = "plan.html")]
struct Page {
    name: Name,
    href: String,
    badge: Badge,
    trouble: Option<Words>,
    steps: String,
    lines: Vec<Line>,
    is_cut: bool,
    command: Command,
}

struct Line {
    class: &'static str,
    text: String,
}

/// Renders the page.
pub fn render(name: &Name, plan: &Result<Value, Unread>) -> askama::Result<Content> {
    let nothing = Value::Null;
    let (plan, trouble) = match plan {
        Ok(plan) => (plan, None),
        Err(Unread::Missing) => (&nothing, Words::some("trouble", "It is not there any more.")),
        Err(Unread::Refused(why)) => (&nothing, Words::some("trouble", why)),
    };
    let said = |field: &str| plan[field].as_str().unwrap_or_default();
    let number = |field: &str| plan[field].as_u64().unwrap_or_default();
    let state = match (&trouble, number("held"), number("changes")) {
        (Some(_), _, _) => State::Failed,
        (None, 0, 0) => State::Good,
        (None, 0, _) => State::Busy,
        (None, _, _) => State::Held,
    };
    let word = if trouble.is_some() { "cannot be planned" } else { said("summary") };
    let (steps, steps_cut) = cut(said("text"), TEXT_BYTES);
    let (diff, diff_cut) = cut(said("diff"), DIFF_BYTES);
    let page = Page {
        href: name.href(Kind::Delivery),
        badge: Badge::new(state, clean(word)),
        trouble,
        steps: clean(steps),
        lines: diff.lines().map(line).collect(),
        is_cut: steps_cut || diff_cut,
        command: Command::new("plan", Kind::Delivery.word(), &name.namespace, &name.name),
        name: name.clone(),
    };
    Content::new(format!("Plan of {}/{}", name.namespace, name.name), &page)
}

fn line(text: &str) -> Line {
    let class = match text.as_bytes() {
        [b'-', b'-', b'-', ..] | [b'+', b'+', b'+', ..] => "head",
        [b'+', ..] => "plus",
        [b'-', ..] => "minus",
        [b'@', ..] => "hunk",
        _ => "same",
    };
    Line { class, text: clean(text) }
}
