//! Objects, entries and answers made into HTML. Pure: equal inputs give equal pages.
//!
//! In: JSON as the engine has it. Out: text for a browser. Whatever comes from elsewhere goes
//! through `text`, which bounds it, and through templates, which escape it.

mod belt;
pub mod delivery;
mod entry;
pub mod ledger;
mod object;
pub mod overview;
mod parts;
pub mod plan;
pub mod shell;
pub mod source;
mod state;
mod text;

/// A page without what is around every page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What the browser's tab is called.
    pub title: String,
    /// What is in the page's main part.
    pub html: String,
}

impl Content {
    fn new(title: impl Into<String>, template: &impl askama::Template) -> askama::Result<Self> {
        Ok(Self { title: title.into(), html: template.render()? })
    }
}
