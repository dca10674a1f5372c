//! `fixpoint-audit --ledger DIR --log FILE --user NAME`: checks an audit log against a ledger.
//!
//! Out: every broken rule and one line that sums up. Exits 1 where a rule is broken, and 64 where
//! it is not told what to check.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use fixpoint_audit::{Intents, Log, Options, check};
use jiff::SignedDuration;

const USAGE: &str = "usage: fixpoint-audit --ledger DIR --log AUDIT.jsonl --user NAME \
                     [--target TARGET] [--skew SECONDS]";

/// What is to be checked.
struct Args {
    ledger: PathBuf,
    log: PathBuf,
    user: String,
    options: Options,
}

impl Args {
    /// `None` where something is missing or nobody knows it.
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let (mut ledger, mut log, mut user) = (None, None, None);
        let mut options = Options::default();
        while let Some(word) = words.next() {
            let value = words.next()?;
            match word.as_str() {
                "--ledger" => ledger = Some(PathBuf::from(value)),
                "--log" => log = Some(PathBuf::from(value)),
                "--user" => user = Some(value),
                "--target" => options.target = Some(value),
                "--skew" => options.skew = SignedDuration::from_secs(value.parse().ok()?),
                _ => return None,
            }
        }
        Some(Self { ledger: ledger?, log: log?, user: user?, options })
    }
}

fn main() -> Result<ExitCode> {
    let Some(args) = Args::parse(std::env::args().skip(1)) else {
        writeln!(std::io::stderr(), "{USAGE}")?;
        return Ok(ExitCode::from(64));
    };
    let whole = fixpoint_driver_store::ledger::read_whole(&args.ledger)
        .with_context(|| format!("could not read the ledger in {}", args.ledger.display()))?;
    let intents = Intents::read(&whole.entries, |digest| whole.bodies.get(digest).cloned());
    let log = File::open(&args.log)
        .map_err(anyhow::Error::from)
        .and_then(|file| Log::read(BufReader::new(file), &args.user))
        .with_context(|| format!("could not read the audit log {}", args.log.display()))?;
    let report = check(&intents, &log, &args.options);
    writeln!(std::io::stdout(), "{report}")?;
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
