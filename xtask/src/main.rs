//! Tasks of the repository.
//!
//! `cargo xtask tidy` checks what the compiler cannot: which room sees which, what the engine must
//! not touch, how files begin. `cargo xtask e2e SUITE` runs the built program against real
//! clients and servers, `cargo xtask cluster` starts such a server for people. Nothing here is part
//! of the product.

mod audit;
mod e2e;
mod print;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

const USAGE: &str = "usage:
  cargo xtask tidy                check the rules of the repository
  cargo xtask e2e SUITE|all       run end-to-end suites against real clients and servers
  cargo xtask e2e smoke [SUITE]   the quick part of them
  cargo xtask bench delivery      measure, beside plain requests, and keep the figures
  cargo xtask audit --ledger DIR --log AUDIT.jsonl --user NAME
                                  hold the audit log of an API server against a ledger
  cargo xtask peers               build the programs of others that the suites need
  cargo xtask cluster             run a Kubernetes without machines until Ctrl-C";

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    e2e::clean_up_when_stopped()?;
    match args.as_slice() {
        ["tidy"] => tidy_up(&root()?),
        ["e2e", "smoke"] => e2e::smoke(None, &root()?),
        ["e2e", "smoke", suite] => e2e::smoke(Some(suite), &root()?),
        ["e2e", suite] => e2e::run(suite, &root()?),
        ["audit", args @ ..] => audit::run(&root()?, args),
        ["bench", "delivery"] => {
            e2e::bench::delivery::run(&root()?)?;
            Ok(ExitCode::SUCCESS)
        }
        ["peers"] => peers(),
        ["cluster"] => {
            e2e::cluster::run_in_foreground(&root()?)?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            print::note(USAGE);
            print::note(&format!("suites: {}", e2e::names().join(", ")));
            Ok(ExitCode::from(64))
        }
    }
}

fn tidy_up(root: &Path) -> Result<ExitCode> {
    let problems = tidy::check(root)?;
    for problem in &problems {
        print::line(&problem.to_string());
    }
    print::line(&match problems.len() {
        0 => "tidy".to_owned(),
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    });
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn peers() -> Result<ExitCode> {
    for program in e2e::peers::build_all()? {
        print::line(&program.display().to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// The root of the repository: the folder above this crate.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(Path::to_path_buf).context("xtask lies in a folder of the repository")
}
