//! Everything that is wrong with a tree, with places and remedies.

use std::fmt;

use fixpoint_base::{Class, Classified};

/// One thing that is wrong with a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder it is in, from the root of the tree.
    pub file: String,
    /// The line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// The field of the kustomization it is in, where it is in one.
    pub field: Option<String>,
    /// What is wrong: a part of a sentence.
    pub message: String,
    /// What mends it.
    pub hint: Option<String>,
    /// Whether the tree is wrong or a limit was hit.
    pub class: Class,
}

impl Problem {
    pub(crate) fn new(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: None,
            field: None,
            message: message.into(),
            hint: None,
            class: Class::User,
        }
    }

    pub(crate) fn limit(file: impl Into<String>, what: &str, limit: usize) -> Self {
        let mut problem = Self::new(file, format!("{what} (the limit is {limit})"));
        problem.class = Class::Refused;
        problem.hint("split the delivery; `fixpoint build --limits off` renders it all the same")
    }

    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn yaml(file: &str, err: &fixpoint_yaml::YamlError) -> Self {
        let mut problem = Self::new(file, err.message.clone());
        problem.line = Some(err.line);
        problem.hint = err.hint();
        problem.class = err.class();
        problem
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, field, message, hint: _, class: _ } = self;
        match file.as_str() {
            "" => write!(f, "."),
            file => write!(f, "{file}"),
        }?;
        if let Some(line) = line {
            write!(f, ":{line}")?;
        }
        match field {
            Some(field) => write!(f, ": field {field:?} {message}"),
            None => write!(f, ": {message}"),
        }
    }
}

/// Why a folder of a tree does not render.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// There is no such folder.
    #[error("there is no folder {path:?} in the source")]
    Missing {
        /// The folder that was asked for.
        path: String,
    },
    /// The path cannot be one of this tree.
    #[error("path {path:?} leads out of the source")]
    Outside {
        /// The path that was asked for.
        path: String,
    },
    /// All that is wrong; never empty.
    #[error("{}", Sentence(.0))]
    Problems(Vec<Problem>),
}

impl RenderError {
    /// All problems that were found, in the order of the belt; empty for a missing folder.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Missing { .. } | Self::Outside { .. } => &[],
            Self::Problems(problems) => problems,
        }
    }
}

struct Sentence<'a>(&'a [Problem]);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => write!(f, "the folder does not render"),
            [only] => write!(f, "{only}"),
            [first, rest @ ..] => write!(f, "{first} (and {} more)", rest.len()),
        }
    }
}

impl Classified for RenderError {
    fn class(&self) -> Class {
        match self {
            Self::Missing { .. } | Self::Outside { .. } => Class::User,
            Self::Problems(problems) => problems.first().map_or(Class::Bug, |first| first.class),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some("correct the path, or add the folder".to_owned()),
            Self::Outside { .. } => Some("give a path below the root of the source".to_owned()),
            Self::Problems(problems) => problems.first().and_then(|first| first.hint.clone()),
        }
    }
}
