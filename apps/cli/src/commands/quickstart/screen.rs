//! The live lines: one for each stage that ends.

use fixpoint_controllers::{Stage, StageName};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::task::JoinHandle;

use crate::output::{self, Tone};
use crate::report::clean;

/// Prints stages until it is aborted.
pub fn follow(mut stages: Receiver<Stage>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            match stages.recv().await {
                Ok(stage) => print(&stage),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
    })
}

fn print(stage: &Stage) {
    let Stage { subject, name, detail, took, ok } = stage;
    let subject = subject.rsplit('/').next().unwrap_or(subject);
    let tone = match (ok, name) {
        (false, _) => Tone::Bad,
        (true, StageName::Healthy) => Tone::Good,
        (true, _) => Tone::Quiet,
    };
    let word = output::paint(&format!("{:<9}", name.word()), tone);
    output::line(format!("  {subject:<15} {word} {:>8}  {}", output::took(*took), clean(detail)));
}
