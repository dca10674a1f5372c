//! `fixpoint ledger`: what was seen, decided and done, and the proof of it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use fixpoint_driver_store::Indexed;
use fixpoint_driver_store::ledger::verify;
use fixpoint_ledger::VerifierKey;
use serde_json::{Value, json};

use super::get::since;
use crate::client::Connection;
use crate::output::{self, Shape, Tone};
use crate::report::advice;

/// Read and verify the ledger: what was seen, decided and done.
///
/// Asks the running engine; with --data-dir it reads the files themselves, of a running engine or a
/// stopped one, and changes none of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint ledger log
  fixpoint ledger log --for GitRepository/default/shop -o json
  fixpoint ledger verify
  fixpoint ledger verify --data-dir ./state")]
pub struct Args {
    #[command(subcommand)]
    command: LedgerCommand,
}

/// What to do with the ledger.
#[derive(Debug, clap::Subcommand)]
enum LedgerCommand {
    /// Show the newest entries, newest last
    #[command(after_help = "Examples:
  fixpoint ledger log --tail 20
  fixpoint ledger log --for Kustomization/default/apps
  fixpoint ledger log --data-dir ./state -o json")]
    Log(LogArgs),
    /// Prove that nobody changed the record, and that what was done was allowed
    #[command(after_help = "Examples:
  fixpoint ledger verify
  fixpoint ledger verify --data-dir ./state -o json
  fixpoint ledger verify --key \"$(cat fixpoint.key)\"

Exits 1 when anything is wrong.")]
    Verify(VerifyArgs),
}

/// How to show entries.
#[derive(Debug, clap::Args)]
struct LogArgs {
    /// How many entries
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    tail: usize,
    /// Only entries of this subject, as KIND/NAMESPACE/NAME
    #[arg(long = "for", value_name = "SUBJECT")]
    about: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Shape,
}

/// How to print the result.
#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// The key that its checkpoints must be signed with, as an earlier `verify -o json` printed it;
    /// without it the log is only held to the key that it names itself
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Shape,
}

/// Runs the command.
pub async fn run(args: Args, connection: Connection) -> Result<ExitCode> {
    match args.command {
        LedgerCommand::Log(args) => log(args, connection).await,
        LedgerCommand::Verify(args) => verify_command(args, connection).await,
    }
}

async fn log(args: LogArgs, connection: Connection) -> Result<ExitCode> {
    if let Some(about) = args.about.as_deref().filter(|about| about.split('/').count() != 3) {
        return Err(advice(
            format!("{about:?} does not name a subject"),
            "name it as KIND/NAMESPACE/NAME, such as Kustomization/default/apps",
        ));
    }
    let entries = match &connection.data_dir {
        Some(dir) => offline_entries(dir, &args)?,
        None => {
            let client = connection.client().await?;
            let about = args.about.as_deref().map(|about| format!("&subject={about}"));
            let query = format!("tail={}{}", args.tail, about.unwrap_or_default());
            client.engine(&format!("/fixpoint/v1/ledger/entries?{query}")).await?
        }
    };
    let entries = entries.as_array().cloned().unwrap_or_default();
    if args.output != Shape::Table {
        output::value(args.output, &Value::Array(entries))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    output::table(&["index", "age", "kind", "actor", "subject", "what"], &rows);
    Ok(ExitCode::SUCCESS)
}

fn offline_entries(dir: &Path, args: &LogArgs) -> Result<Value> {
    must_exist(dir)?;
    let read = fixpoint_driver_store::ledger::read(dir)
        .with_context(|| format!("could not read the ledger in {}", dir.display()))?;
    let mut entries = Vec::new();
    for Indexed { index, entry } in read {
        if args.about.as_ref().is_some_and(|about| *about != entry.subject) {
            continue;
        }
        let mut value = serde_json::to_value(entry)?;
        value["index"] = index.into();
        entries.push(value);
    }
    Ok(Value::Array(entries.split_off(entries.len().saturating_sub(args.tail))))
}

fn must_exist(dir: &Path) -> Result<()> {
    if dir.join("ledger").is_dir() {
        return Ok(());
    }
    Err(advice(
        format!("there is no ledger in {}", dir.display()),
        "name the data directory of an engine with --data-dir",
    ))
}

fn row(entry: &Value) -> Vec<String> {
    let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let kind = text("kind");
    let tone = if kind == "violation" { Tone::Bad } else { Tone::Quiet };
    vec![
        entry["index"].to_string(),
        since(&text("time")),
        output::paint(&kind, tone),
        text("actor"),
        text("subject"),
        what(&kind, entry),
    ]
}

/// The facts of an entry in a few words.
fn what(kind: &str, entry: &Value) -> String {
    let text = |field: &str| entry[field].as_str().unwrap_or_default();
    let number = |field: &str| entry[field].as_u64().unwrap_or_default();
    match kind {
        "genesis" => text("origin").to_owned(),
        "observe" => {
            let fate = if entry["admitted"] == true { "admitted" } else { "held" };
            format!("{}: {} {}", text("verdict"), super::get::shorten(text("revision")), fate)
        }
        "violation" => format!("{}: {} (id {})", text("verdict"), text("name"), text("id")),
        "ack" => format!("id {}: {}", text("id"), text("reason")),
        "approve" => {
            format!("{} deletions (id {}): {}", number("count"), text("id"), text("reason"))
        }
        "render" => format!("{} objects", number("objects")),
        "intent" => format!("{} to apply, {} to delete", number("applies"), number("deletes")),
        "outcome" => format!(
            "{} created, {} configured, {} unchanged, {} deleted, {} failed",
            number("created"),
            number("configured"),
            number("unchanged"),
            number("deleted"),
            number("failed")
        ),
        "prune" => {
            format!("{} deleted by the inventory at {}", number("count"), number("inventory"))
        }
        "meet" => {
            let fate = if entry["admitted"] == true { "on record" } else { "held" };
            format!("cluster {} at {}: {fate}", text("cluster"), text("server"))
        }
        "resolve" => format!("{} done, {} open after a crash", number("done"), number("open")),
        _ => String::new(),
    }
}

async fn verify_command(args: VerifyArgs, connection: Connection) -> Result<ExitCode> {
    let report = match &connection.data_dir {
        Some(dir) => offline_report(dir, args.key.as_deref())?,
        None => connection.client().await?.engine("/fixpoint/v1/ledger/verify").await?,
    };
    if let Some(key) = args.key.as_deref().filter(|key| report["key"] != *key) {
        return Err(advice(
            format!("the ledger is signed with {} and not with {key}", report["key"]),
            "somebody began another log in its place, or this is another installation",
        ));
    }
    let problems = report["problems"].as_array().cloned().unwrap_or_default();
    if args.output != Shape::Table {
        output::value(args.output, &report)?;
    } else if problems.is_empty() {
        output::line(sentence(&report));
    }
    if problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for problem in problems.iter().take(20) {
        output::line(format!("! {}", problem.as_str().unwrap_or_default()));
    }
    Err(advice(
        format!("the ledger does not verify: {} problems", problems.len()),
        "do not delete it: it is evidence; compare it with a copy or a witness's checkpoint",
    ))
}

fn offline_report(dir: &Path, key: Option<&str>) -> Result<Value> {
    must_exist(dir)?;
    let key = key
        .map(|key| key.parse::<VerifierKey>())
        .transpose()
        .context("--key is not a verifier key")?;
    let report = verify(dir, key.as_ref())
        .with_context(|| format!("could not read the ledger in {}", dir.display()))?;
    Ok(json!({
        "entries": report.size,
        "origin": report.origin,
        "key": report.key,
        "root": report.root,
        "open": report.open,
        "problems": report.problems,
    }))
}

fn sentence(report: &Value) -> String {
    format!(
        "{} entries verified, root {}",
        report["entries"],
        report["root"].as_str().unwrap_or_default()
    )
}

/// Verifies the ledger in a data directory; gives one sentence.
///
/// # Errors
/// When anything is wrong with it.
pub fn prove(dir: &Path) -> Result<String> {
    let report = offline_report(dir, None)?;
    match report["problems"].as_array().map(Vec::as_slice) {
        Some([]) => Ok(format!("{} entries, none changed", report["entries"])),
        Some(problems) => anyhow::bail!("the ledger does not verify: {}", problems[0]),
        None => anyhow::bail!("the ledger was not verified"),
    }
}
