//! `fixpoint why`: what an object waits for, and when the engine looks at it next.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use super::kind::Target;
use crate::client::Connection;
use crate::output::{self, Shape, Tone};
use crate::report::CHANGES;

/// Explain why an object is not at its fixpoint, or that it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint why kustomization/apps
  fixpoint why source/shop -o json

Exits 0 at the fixpoint, 2 when the object waits, is held or failed.")]
pub struct Args {
    /// KIND/NAME (Flux's spellings work too)
    #[arg(required = true, num_args = 1..=3, value_name = "KIND/NAME")]
    what: Vec<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Shape,
}

/// Runs the command.
pub async fn run(args: Args, connection: Connection) -> Result<ExitCode> {
    let client = connection.client().await?;
    let target = Target::parse(&args.what)?;
    let plural = target.kind.resource().plural;
    let path = format!("/fixpoint/v1/why/{plural}/{}/{}", client.namespace, target.name);
    let why = client.engine(&path).await?;
    if args.output == Shape::Table {
        print(&target, &why);
    } else {
        output::value(args.output, &why)?;
    }
    let settled = why["settled"] == true;
    Ok(if settled { ExitCode::SUCCESS } else { ExitCode::from(CHANGES) })
}

fn print(target: &Target, why: &Value) {
    let settled = why["settled"] == true;
    let (word, tone) = if settled {
        ("at its fixpoint", Tone::Good)
    } else {
        ("not at its fixpoint", Tone::Waiting)
    };
    output::line(format!(
        "{}/{} is {}",
        target.kind.word(),
        target.name,
        output::paint(word, tone)
    ));
    for reason in why["reasons"].as_array().into_iter().flatten() {
        output::line(format!("  {}", reason.as_str().unwrap_or_default()));
    }
    for held in why["left"].as_array().into_iter().flatten() {
        output::line(format!("  ! {}", held.as_str().unwrap_or_default()));
    }
    if let Some(next) = why["next"].as_str() {
        output::line(format!("next look: {next}"));
    }
}
