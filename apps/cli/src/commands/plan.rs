//! `fixpoint plan`: what the next apply would do, and what it would leave alone.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use super::kind::{Kind, Target};
use crate::client::Connection;
use crate::output::{self, Shape, Tone};
use crate::report::{CHANGES, advice, clean};

/// Show what the next apply of a delivery would do, as a diff, and what it leaves alone and why.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint plan kustomization/apps
  fixpoint plan kustomization/apps -o json

Exits 0 when there is nothing to do, 2 when there are changes or something is held.")]
pub struct Args {
    /// The delivery, as KIND/NAME
    #[arg(required = true, num_args = 1..=2, value_name = "KIND/NAME")]
    what: Vec<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Shape,
}

/// Runs the command.
pub async fn run(args: Args, connection: Connection) -> Result<ExitCode> {
    let client = connection.client().await?;
    let target = Target::parse(&args.what)?;
    if target.kind != Kind::Kustomization {
        return Err(advice(
            format!("a {} is not applied, so there is no plan for it", target.kind.word()),
            "name a delivery, such as kustomization/apps",
        ));
    }
    let path = format!("/fixpoint/v1/plan/kustomizations/{}/{}", client.namespace, target.name);
    let plan = client.engine(&path).await?;
    if args.output == Shape::Table {
        print(&plan);
    } else {
        output::value(args.output, &plan)?;
    }
    let changes = plan["changes"].as_u64().unwrap_or(0) + plan["held"].as_u64().unwrap_or(0);
    Ok(if changes == 0 { ExitCode::SUCCESS } else { ExitCode::from(CHANGES) })
}

fn print(plan: &Value) {
    // Home goes without saying.
    if let Some(target) = plan["target"].as_str().filter(|target| *target != "in-process") {
        output::line(output::paint(&format!("at {}", clean(target)), Tone::Quiet));
    }
    for line in plan["diff"].as_str().unwrap_or_default().lines() {
        let tone = match line.as_bytes().first() {
            Some(b'+') => Tone::Good,
            Some(b'-') => Tone::Bad,
            Some(b'@') => Tone::Quiet,
            _ => {
                output::line(clean(line));
                continue;
            }
        };
        output::line(output::paint(&clean(line), tone));
    }
    for line in plan["text"].as_str().unwrap_or_default().lines() {
        output::line(clean(line));
    }
    if let Some(line) = up_to_date(plan) {
        output::line(output::paint(&line, Tone::Quiet));
    }
    output::line(plan["summary"].as_str().unwrap_or_default());
}

/// What is left alone because it is right already; everything else is listed with its reason.
fn up_to_date(plan: &Value) -> Option<String> {
    let left = plan["plan"]["left"].as_array()?;
    let right: Vec<&str> = left
        .iter()
        .filter(|hold| hold["hold"] == "UpToDate")
        .filter_map(|hold| hold["object"].as_str())
        .collect();
    match right.as_slice() {
        [] => None,
        few if few.len() <= 5 => Some(format!("left alone, up to date: {}", few.join(", "))),
        many => Some(format!("left alone: {} objects are up to date", many.len())),
    }
}
