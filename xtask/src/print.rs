//! The one place that prints.

use std::io::Write as _;

/// Prints a result. A reader that went away is no failure of the task.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints what goes on.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
