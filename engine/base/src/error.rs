//! Errors for three readers: the program (a class), the operator (a cause chain), the user (a
//! hint).

use std::error::Error;
use std::fmt;

/// What the program should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// What was declared is wrong; trying again changes nothing until it is edited.
    User,
    /// The world was not ready; trying again later may help.
    Transient,
    /// Somebody said no: credentials, permissions, a policy, a limit.
    Refused,
    /// We are wrong.
    Bug,
}

/// An error that says what class it is of and, where there is one, what would mend it.
pub trait Classified: Error {
    /// What the program should do about it.
    fn class(&self) -> Class;

    /// What the user can do about it: one sentence, present tense.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Prints an error and everything that caused it on one line, each part once.
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        write!(f, "{said}")?;
        let mut source = self.0.source();
        while let Some(err) = source {
            let text = err.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            source = err.source();
        }
        Ok(())
    }
}
