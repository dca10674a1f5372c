//! `fixpoint suspend` and `fixpoint resume`.

use std::process::ExitCode;

use anyhow::Result;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::kind::Target;
use crate::client::Connection;
use crate::output;

/// Stop looking at an object until it is resumed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint suspend kustomization/apps
  fixpoint suspend source git shop")]
pub struct Args {
    /// KIND/NAME (Flux's spellings work too)
    #[arg(required = true, num_args = 1..=3, value_name = "KIND/NAME")]
    what: Vec<String>,
}

/// Look at a suspended object again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint resume kustomization/apps
  fixpoint resume source git shop")]
pub struct ResumeArgs {
    /// KIND/NAME (Flux's spellings work too)
    #[arg(required = true, num_args = 1..=3, value_name = "KIND/NAME")]
    what: Vec<String>,
}

/// Runs `suspend`.
pub async fn suspend(args: Args, connection: Connection) -> Result<ExitCode> {
    set(&args.what, connection, true).await
}

/// Runs `resume`.
pub async fn resume(args: ResumeArgs, connection: Connection) -> Result<ExitCode> {
    set(&args.what, connection, false).await
}

async fn set(what: &[String], connection: Connection, suspend: bool) -> Result<ExitCode> {
    let client = connection.client().await?;
    let target = Target::parse(what)?;
    let patch = json!({"spec": {"suspend": suspend}});
    target
        .kind
        .api(&client, &client.namespace)
        .patch(&target.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|err| client.explain(err))?;
    let state = if suspend { "suspended" } else { "resumed" };
    output::line(format!("{}/{} {state}", target.kind.word(), target.name));
    Ok(ExitCode::SUCCESS)
}
