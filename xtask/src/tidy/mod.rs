//! The rules of the repository that no compiler checks.
//!
//! In: the repository. Out: every place that breaks a rule, with what to do about it; never only
//! the first one, and never a change to a file.

mod crates;
mod rooms;
mod sources;

use std::fmt;
use std::path::Path;

use anyhow::Result;

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// File, relative to the root.
    pub file: String,
    /// Line, from one; zero where the whole file is meant.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    fn new(
        file: impl Into<String>,
        line: usize,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { file: file.into(), line, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what, remedy } = self;
        match line {
            0 => write!(f, "{file}: {what}; {remedy}"),
            _ => write!(f, "{file}:{line}: {what}; {remedy}"),
        }
    }
}

/// Checks everything; gives the problems sorted by place.
pub fn check(root: &Path) -> Result<Vec<Problem>> {
    let mut problems = crates::check(root)?;
    problems.extend(sources::check(root)?);
    problems.sort();
    Ok(problems)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        let problems = super::check(&crate::root().unwrap()).unwrap();
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
    }
}
