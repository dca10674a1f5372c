//! The spine: the whole belt in one command, and kubectl against the embedded API server.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::peers::{self, Found, Peer};
use super::process::{Process, Scratch};
use super::script::{self, Ends, Step};
use super::server::Server;
use super::{Report, Scope, program};
use crate::print;

/// Commands for kubectl, and what they must print.
const SCRIPT: &str = include_str!("spine.kubectl");

/// Builds the program, lets it show itself, and lets kubectl talk to it.
pub fn run(root: &Path, _scope: Scope, report: &mut Report) -> Result<()> {
    let (fixpoint, target) = program::build(root)?;
    let scratch = Scratch::new(&target, "spine")?;
    quickstart(&fixpoint, scratch.path(), report)?;
    let kubectl = match peers::find(Peer::Kubectl)? {
        Found::Here(kubectl) => kubectl,
        Found::Missing(why) => {
            report.skip("kubectl", &why);
            return Ok(());
        }
    };
    let server = Server::start(&fixpoint, scratch.path(), &[])?;
    let failed = report.failed;
    play(&kubectl, &server, scratch.path(), report)?;
    if report.failed > failed {
        print::note(&format!("the server said:\n{}", server.log()));
    }
    Ok(())
}

fn quickstart(fixpoint: &Path, folder: &Path, report: &mut Report) -> Result<()> {
    let step = "fixpoint quickstart --once";
    let mut command = Command::new(fixpoint);
    command
        .args(["quickstart", "--once"])
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("HOME", folder)
        .env_remove("KUBECONFIG")
        .current_dir(folder);
    let mut process = Process::start(&mut command, "", folder.join("quickstart.log"))?;
    match process.wait() {
        Ok(status) if status.success() => report.pass(step),
        Ok(status) => report.fail(step, &format!("{status}\n{}", process.printed())),
        Err(err) => report.fail(step, &format!("{err:#}")),
    }
    Ok(())
}

/// Plays the script. The commands that run beside the others are asked at the end whether they
/// saw what they should have.
fn play(kubectl: &Path, server: &Server, folder: &Path, report: &mut Report) -> Result<()> {
    let mut beside: Vec<(Step, Process)> = vec![];
    for step in script::parse(SCRIPT)? {
        let mut command = Command::new(kubectl);
        command
            .args(&step.args)
            .env("KUBECONFIG", &server.kubeconfig)
            .env("HOME", folder)
            .current_dir(folder);
        let output = folder.join(format!("step-{}.log", step.line));
        let mut process = Process::start(&mut command, &step.input, output)?;
        if step.ends == Ends::WhenStopped {
            beside.push((step, process));
            continue;
        }
        let objection = match process.wait() {
            Ok(status) if status.success() != (step.ends == Ends::Well) => {
                Some(format!("{status}\n{}", process.printed()))
            }
            Ok(_) => step.objection(&process.printed()),
            Err(err) => Some(format!("{err:#}")),
        };
        judge(&step, objection, report);
    }
    for (step, mut process) in beside {
        let printed = process.wait_for(|printed| step.objection(printed).is_none())?;
        judge(&step, step.objection(&printed), report);
    }
    Ok(())
}

fn judge(step: &Step, objection: Option<String>, report: &mut Report) {
    match objection {
        None => report.pass(&step.to_string()),
        Some(why) => report.fail(&step.to_string(), &why),
    }
}
