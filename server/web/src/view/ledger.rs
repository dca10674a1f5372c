//! The newest entries of the ledger.

use askama::Template;
use serde_json::Value;

use super::Content;
use super::entry::Line;
use super::parts::Command;

#[derive(Template)]
#[template(path = "ledger.html")]
struct Page {
    subject: String,
    entries: Vec<Line>,
    commands: Vec<Command>,
}

/// Renders the page; of one subject, or of all where that is empty.
pub fn render(subject: &str, entries: &[Value]) -> askama::Result<Content> {
    let page = Page {
        subject: subject.to_owned(),
        entries: Line::newest_first(entries, usize::MAX),
        commands: vec![
            Command::line("fixpoint ledger log"),
            Command::line("fixpoint ledger verify"),
        ],
    };
    Content::new("Ledger", &page)
}
