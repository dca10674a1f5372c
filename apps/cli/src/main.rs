//! The `fixpoint` binary: reads the command line, runs one command, reports what went wrong.

mod client;
mod commands;
mod controller;
mod engine;
mod open_files;
mod output;
mod page;
mod past;
mod reach;
mod report;

use clap::Parser;

/// GitOps for any target from any versioned source.
///
/// Fixpoint keeps systems equal to what a versioned store says they should be, and keeps a
/// tamper-evident ledger of what it saw and did.
#[derive(Debug, Parser)]
#[command(name = "fixpoint", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  fixpoint quickstart              see a commit become a converged system
  fixpoint up                      run the engine in the foreground
  fixpoint get all                 what there is and how it is doing
  fixpoint why kustomization/apps  what an object waits for")]
struct Cli {
    #[command(flatten)]
    connection: client::Connection,
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => return report::usage(&err),
    };
    // The first provider installed wins; a second installation is not an error here.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => return report::failure(&anyhow::Error::from(err)),
    };
    let done = runtime.block_on(commands::run(cli.command, cli.connection));
    // A blocking fetch that hangs must not keep the process from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match done {
        Ok(code) => code,
        Err(err) => report::failure(&err),
    }
}
