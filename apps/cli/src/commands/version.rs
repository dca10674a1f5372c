//! `fixpoint version`.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use crate::client::Connection;
use crate::output::{self, Shape};

/// Show the version of this program and of the running engine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint version
  fixpoint version --client -o json")]
pub struct Args {
    /// Only this program's version; contacts nobody
    #[arg(long)]
    client: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Shape,
}

/// Runs the command.
pub async fn run(args: Args, connection: Connection) -> Result<ExitCode> {
    let mut version = json!({"client": env!("CARGO_PKG_VERSION")});
    // No engine running is no failure of `version`.
    if !args.client
        && let Ok(client) = connection.client().await
        && let Ok(info) = client.kube.apiserver_version().await
    {
        version["server"] = json!({"address": client.server, "kubernetes": info.git_version});
    }
    if args.output != Shape::Table {
        output::value(args.output, &version)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format!("fixpoint {}", env!("CARGO_PKG_VERSION")));
    match version.get("server") {
        Some(server) => output::line(format!(
            "engine at {} serves the Kubernetes API {}",
            server["address"].as_str().unwrap_or_default(),
            server["kubernetes"].as_str().unwrap_or_default()
        )),
        None if !args.client => output::line("no engine is running here"),
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}
