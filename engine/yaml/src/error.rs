//! What is wrong with a YAML text, and where.

use fixpoint_base::{Class, Classified};

/// Says what is wrong with a YAML text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct YamlError {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is wrong: a part of a sentence, without the text of any value.
    pub message: String,
    class: Class,
    hint: Option<&'static str>,
}

impl YamlError {
    pub(crate) fn bad(at: Place, message: impl Into<String>) -> Self {
        let Place { line, column } = at;
        Self { line, column, message: message.into(), class: Class::User, hint: None }
    }

    pub(crate) fn over(at: Place, what: &str, limit: usize) -> Self {
        let Place { line, column } = at;
        Self {
            line,
            column,
            message: format!("{what} (the limit is {limit})"),
            class: Class::Refused,
            hint: Some("split the file; `fixpoint build --limits off` reads it all the same"),
        }
    }

    pub(crate) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

impl Classified for YamlError {
    fn class(&self) -> Class {
        self.class
    }

    fn hint(&self) -> Option<String> {
        self.hint.map(str::to_owned)
    }
}

/// Line and column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}
