//! Chaos: the fault rows against a real API server, and the sweep of the simulation.
//!
//! In: the parts of a cluster. Out: a step for each row. The rows are tests of the program
//! (`apps/cli/tests/suite/rows_r.rs`), which play faults in a proxy before the server and hold the
//! server's own audit log against the ledger; here they get a real server instead of our own.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::cluster::{Cluster, ENGINE, Parts};
use super::peers::Found;
use super::process::Scratch;
use super::{Report, Scope};
use crate::print;

/// Starts a cluster and plays the rows against it; the whole part plays every fault of each, and
/// sweeps the simulation.
pub fn run(root: &Path, scope: Scope, report: &mut Report) -> Result<()> {
    let parts = match Parts::find()? {
        Found::Here(parts) => parts,
        Found::Missing(why) => {
            report.skip("chaos", &why);
            return Ok(());
        }
    };
    let scratch = Scratch::new(&root.join("target"), "chaos")?;
    let mut cluster = Cluster::start(&parts, scratch.path())?;
    let kubeconfig = scratch.path().join("engine.kubeconfig");
    std::fs::write(&kubeconfig, cluster.kubeconfig_of(ENGINE)?).context("cannot write")?;
    let mut rows = cargo(root, scope, &["fixpoint", "--test", "suite"]);
    rows.args(["--", "--test-threads=1", "rows_r::"])
        .env("FIXPOINT_TARGET_KUBECONFIG", &kubeconfig)
        .env("FIXPOINT_TARGET_AUDIT", cluster.audit_log());
    play(&mut rows, report)?;
    report.take("all parts of the cluster still run", cluster.check());
    if scope == Scope::Whole {
        play(&mut cargo(root, scope, &["fixpoint-sim", "--test", "sweep"]), report)?;
    }
    Ok(())
}

fn cargo(root: &Path, scope: Scope, package: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "--package"]).args(package).current_dir(root);
    if scope == Scope::Whole {
        command.env("FIXPOINT_SWEEP", "whole");
    }
    command
}

/// Runs tests; each is a step.
fn play(tests: &mut Command, report: &mut Report) -> Result<()> {
    let output = tests.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut steps = 0;
    for line in said.lines() {
        let Some((name, outcome)) =
            line.strip_prefix("test ").and_then(|line| line.split_once(" ... "))
        else {
            continue;
        };
        steps += 1;
        match outcome {
            "ok" => report.pass(name),
            outcome => report.fail(name, outcome),
        }
    }
    if !output.status.success() {
        print::note(&said);
    }
    if steps == 0 {
        report.fail("the tests", "none was run");
    }
    Ok(())
}
