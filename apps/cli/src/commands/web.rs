//! `fixpoint web`: a link that signs a browser in to the engine's page, once.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::client::Connection;
use crate::output::{self, Shape};
use crate::page::SIGN_IN;
use crate::report::advice;

/// Print a link that signs a browser in to the engine's page.
///
/// The link is good once and for five minutes; the session that it begins ends after eight hours,
/// or when the engine does. The page shows everything and changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint web
  fixpoint web --open")]
pub struct Args {
    /// Open the link in a browser instead of printing it
    #[arg(long)]
    open: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Shape,
}

/// Runs the command.
pub async fn run(args: Args, connection: Connection) -> Result<ExitCode> {
    let client = connection.client().await?;
    if !client.is_standalone().await? {
        return Err(advice(
            "an engine in a cluster serves no page yet",
            "`fixpoint up` does; here, see `fixpoint get all` and `fixpoint why KIND/NAME`",
        ));
    }
    let made = client.engine_make(SIGN_IN).await.map_err(|err| {
        if err.to_string().ends_with("is off") {
            advice(err.to_string(), "start the engine without `--web off`")
        } else {
            err
        }
    })?;
    let url = made["url"].as_str().context("the engine gave no link")?;
    if args.open {
        open(url)?;
        output::line("the page opens in your browser");
    } else if args.output == Shape::Table {
        output::line(url);
    } else {
        output::value(args.output, &made)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Hands a link to the desktop.
fn open(url: &str) -> Result<()> {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let opened = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match opened {
        Ok(status) if status.success() => Ok(()),
        _ => Err(advice(
            format!("{program} could not open a browser"),
            "run `fixpoint web` without --open and follow the link that it prints",
        )),
    }
}
