//! The one place that prints errors.
//!
//! An error is one lower-case sentence, its causes one a line below, and a hint that can be acted
//! on where there is one.

use std::error::Error;
use std::process::ExitCode;

use fixpoint_base::Classified;

/// Exit code for a command line that cannot be read.
const WRONG_USAGE: u8 = 64;

/// Exit code of a command that found changes, or something held.
pub const CHANGES: u8 = 2;

/// An error with advice, for errors that have no type of their own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Advice {
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Makes an error with advice.
pub fn advice(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Advice { message: message.into(), hint: hint.into() }.into()
}

/// Prints an error that ends the program.
pub fn failure(err: &anyhow::Error) -> ExitCode {
    anstream::eprintln!("error: {}", clean(&err.to_string()));
    let mut said = err.to_string();
    for cause in err.chain().skip(1) {
        let text = cause.to_string();
        if !said.contains(&text) {
            anstream::eprintln!("  because {}", clean(&text));
        }
        said = text;
    }
    // Advice that was given as context is seen by anyhow's own downcast only.
    let given = err.downcast_ref::<Advice>().map(|advice| advice.hint.clone());
    if let Some(hint) = given.or_else(|| err.chain().find_map(hint)) {
        anstream::eprintln!("hint: {}", clean(&hint));
    }
    ExitCode::from(1)
}

/// Prints what clap has to say: help and version are no failures.
pub fn usage(err: &clap::Error) -> ExitCode {
    // Nothing can be done about a terminal that is gone.
    let _printed = err.print();
    if err.use_stderr() { ExitCode::from(WRONG_USAGE) } else { ExitCode::SUCCESS }
}

fn hint(err: &(dyn Error + 'static)) -> Option<String> {
    if let Some(advice) = err.downcast_ref::<Advice>() {
        return Some(advice.hint.clone());
    }
    if let Some(err) = err.downcast_ref::<fixpoint_source::StoreError>() {
        return err.hint();
    }
    if let Some(err) = err.downcast_ref::<fixpoint_apiserver::OpenError>() {
        return err.hint();
    }
    if let Some(err) = err.downcast_ref::<fixpoint_cluster::ConnectError>() {
        return err.hint();
    }
    if let Some(err) = err.downcast_ref::<fixpoint_cluster::installed::NotInstalled>() {
        return err.hint();
    }
    if let Some(err) = err.downcast_ref::<fixpoint_cluster::pin::PinError>() {
        return err.hint();
    }
    if let Some(err) = err.downcast_ref::<fixpoint_render::RenderError>() {
        return err.hint();
    }
    None
}

/// Escapes what would move the cursor or forge a line (negative suite H1).
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}
