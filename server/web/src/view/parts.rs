//! The small things that pages are made of.

use askama::Template;
use askama::filters::HtmlSafe;
use jiff::Timestamp;

use super::state::State;
use super::text::{self, Text};

/// A state with its word.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "badge.html")]
pub struct Badge {
    /// How it does.
    pub state: State,
    /// The same in a word.
    pub word: String,
}

impl HtmlSafe for Badge {}

impl Badge {
    /// A state with its word.
    pub fn new(state: State, word: impl Into<String>) -> Self {
        Self { state, word: word.into() }
    }
}

/// A moment. Browsers with our script show how long ago it was.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(source = r#"<time datetime="{{ exact }}">{{ shown }}</time>"#, ext = "html")]
pub struct At {
    exact: String,
    shown: String,
}

impl HtmlSafe for At {}

impl At {
    /// Reads a moment; `None` where it is none.
    pub fn of(text: &str) -> Option<Self> {
        let time: Timestamp = text.parse().ok()?;
        Some(Self {
            exact: time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            shown: time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        })
    }
}

/// A text that others wrote.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "words.html")]
pub struct Words {
    text: Text,
    /// Tells one from another on a page, so that what is open stays open.
    key: String,
}

impl HtmlSafe for Words {}

impl Words {
    /// A text under a key that is its own on the page.
    pub fn new(key: impl Into<String>, text: &str) -> Self {
        Self { text: Text::of(text), key: key.into() }
    }

    /// As [`Words::new`]; `None` where there is nothing to say.
    pub fn some(key: impl Into<String>, text: &str) -> Option<Self> {
        (!text.trim().is_empty()).then(|| Self::new(key, text))
    }

    /// Whether another text says the same.
    pub fn says_as(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A digest or a commit: short to compare, whole to copy.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(
    source = r#"<code class="id" title="{{ whole }}">{% if !name.is_empty() %}<span class="ref">{{ name }}</span>{% endif %}{{ short }}</code>"#,
    ext = "html"
)]
pub struct Id {
    name: String,
    short: String,
    whole: String,
}

impl HtmlSafe for Id {}

impl Id {
    /// A digest such as `sha256:…`; `None` where it is empty.
    pub fn digest(digest: &str) -> Option<Self> {
        let bare = digest.rsplit_once(':').map_or(digest, |(_, id)| id);
        (!bare.is_empty()).then(|| Self {
            name: String::new(),
            short: text::short(bare),
            whole: text::clean(text::cut(digest, 300).0),
        })
    }

    /// A revision such as `main@sha1:…`; `None` where it is empty.
    pub fn revision(revision: &str) -> Option<Self> {
        let (revision, _) = text::cut(revision, 300);
        let (name, id) = text::revision(revision);
        (!id.is_empty()).then(|| Self {
            name,
            short: text::short(&id),
            whole: text::clean(revision),
        })
    }
}

/// A command to type, or to copy.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "command.html")]
pub struct Command {
    line: String,
}

impl HtmlSafe for Command {}

impl Command {
    /// `fixpoint VERB KIND/NAME -n NAMESPACE`.
    pub fn new(verb: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let namespace =
            if namespace == "default" { String::new() } else { format!(" -n {namespace}") };
        Self { line: format!("fixpoint {verb} {kind}/{name}{namespace}") }
    }

    /// Any other line.
    pub fn line(line: impl Into<String>) -> Self {
        Self { line: line.into() }
    }

    /// The same with more behind it.
    pub fn with(mut self, more: &str) -> Self {
        self.line.push(' ');
        self.line.push_str(more);
        self
    }
}

/// The way through a list that is too long for one page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "pager.html")]
pub struct Pager {
    /// What is shown, such as `101–200 of 312 objects`.
    shown: String,
    before: Option<String>,
    after: Option<String>,
}

impl HtmlSafe for Pager {}

impl Pager {
    /// Where the page begins that holds a place of a list, or the last one.
    pub fn begin(from: usize, size: usize, total: usize) -> usize {
        from.min(total.saturating_sub(1) / size * size)
    }

    /// The way through a list; `None` where all of it is on the page. `href` makes the address of
    /// the page that begins somewhere.
    pub fn new(
        from: usize,
        size: usize,
        total: usize,
        many: &str,
        href: impl Fn(usize) -> String,
    ) -> Option<Self> {
        if from == 0 && total <= size {
            return None;
        }
        let to = from.saturating_add(size).min(total);
        let shown = format!("{}–{to} of {total} {many}", from.saturating_add(1).min(to));
        Some(Self {
            shown,
            before: (from > 0).then(|| href(from.saturating_sub(size).min(total / size * size))),
            after: (to < total).then(|| href(to)),
        })
    }
}
