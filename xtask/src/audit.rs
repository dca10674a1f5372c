//! `cargo xtask audit`: the audit log of an API server against a ledger.
//!
//! In: a ledger, a log and the name of a user. Out: what `fixpoint-audit` says, which is built from
//! `testing/audit`; its page lists the rules. Suites ask at their end, people by hand.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::e2e::program;
use crate::print;

/// The package with the program.
const PACKAGE: &str = "fixpoint-audit";

/// What the program found.
#[derive(Debug)]
pub struct Found {
    /// Whether every rule holds.
    pub holds: bool,
    /// Every rule that is broken, and what was looked at.
    pub said: String,
}

/// Runs the program with the arguments of a person.
pub fn run(root: &Path, args: &[&str]) -> Result<ExitCode> {
    let Found { holds, said } = ask(root, args)?;
    print::line(&said);
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the program. Its arguments are `--ledger DIR --log FILE --user NAME`, where the ledger is
/// that in the data directory of an engine, running or stopped.
/// `FIXPOINT_AUDIT_BIN` names a program that is built already.
pub fn ask<Arg: AsRef<OsStr>>(root: &Path, args: &[Arg]) -> Result<Found> {
    let auditor = match std::env::var_os("FIXPOINT_AUDIT_BIN") {
        Some(program) => PathBuf::from(program),
        None => program::release(root, PACKAGE)?,
    };
    let output = Command::new(auditor).args(args).output().context("cannot run the auditor")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim_end().to_owned();
    Ok(Found { holds: output.status.success(), said })
}
