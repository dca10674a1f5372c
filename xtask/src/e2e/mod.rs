//! End-to-end suites: the built program against real clients.
//!
//! In: the name of a suite. Out: each step that passed or failed, and last of all
//! `N passed, M failed`. A client that is missing is a skip with a message on a developer's
//! machine and a failure where `CI` is `true`. A suite leaves no process and no file behind.

mod bed;
pub mod bench;
mod chaos;
mod client;
pub mod cluster;
mod corpus;
mod git;
mod git_server;
mod install;
mod kustomize;
mod object;
mod page;
pub mod peers;
mod process;
pub mod program;
mod remote;
mod repository;
mod script;
mod secrets;
mod server;
mod spine;
mod story;
mod web;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

pub use self::process::clean_up_when_stopped;

use crate::print;

/// How much of a suite is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// As much as is quick.
    Smoke,
    /// All of it.
    Whole,
}

/// A suite: its name, whether it is quick enough for the smoke, and how it runs.
struct Suite {
    name: &'static str,
    smoke: bool,
    run: fn(&Path, Scope, &mut Report) -> Result<()>,
}

const SUITES: &[Suite] = &[
    Suite { name: "bed", smoke: true, run: cluster::trial::run },
    Suite { name: "spine", smoke: true, run: spine::run },
    Suite { name: "git", smoke: true, run: git::run },
    Suite { name: "install", smoke: true, run: install::run },
    Suite { name: "remote", smoke: true, run: remote::run },
    Suite { name: "web", smoke: true, run: web::run },
    Suite { name: "cluster", smoke: true, run: story::run },
    Suite { name: "kustomize", smoke: true, run: kustomize::run },
    Suite { name: "corpus", smoke: true, run: corpus::standalone },
    Suite { name: "corpus-into-cluster", smoke: false, run: corpus::into_cluster },
    Suite { name: "corpus-in-cluster", smoke: false, run: corpus::in_cluster },
    Suite { name: "chaos", smoke: false, run: chaos::run },
];

/// What passed and what failed.
#[derive(Debug, Default)]
pub struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// Counts a step that did what it should.
    pub fn pass(&mut self, step: &str) {
        self.passed += 1;
        print::line(&format!("ok      {step}"));
    }

    /// Counts a step that did not, and says why.
    pub fn fail(&mut self, step: &str, why: &str) {
        self.failed += 1;
        print::line(&format!("FAILED  {step}"));
        for line in why.lines() {
            print::line(&format!("        {line}"));
        }
    }

    /// Counts a step by what came of it.
    pub fn take(&mut self, step: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.pass(step),
            Err(err) => self.fail(step, &format!("{err:#}")),
        }
    }

    /// A step that cannot run here: a skip, or a failure where everything must be there.
    pub fn skip(&mut self, step: &str, why: &str) {
        if is_ci() {
            self.fail(step, why);
        } else {
            print::line(&format!("skipped {step}: {why}"));
        }
    }
}

/// Whether everything a suite needs must be there.
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}

/// The names of all suites.
pub fn names() -> Vec<&'static str> {
    SUITES.iter().map(|suite| suite.name).collect()
}

/// Runs one suite, or `all` of them.
pub fn run(name: &str, root: &Path) -> Result<ExitCode> {
    let is_chosen = |suite: &&Suite| name == "all" || suite.name == name;
    play(SUITES.iter().filter(is_chosen).collect(), name, Scope::Whole, root)
}

/// Runs what is quick: of one suite, or of those that are worth it for every change.
pub fn smoke(name: Option<&str>, root: &Path) -> Result<ExitCode> {
    let is_chosen = |suite: &&Suite| name.map_or(suite.smoke, |name| suite.name == name);
    let chosen = SUITES.iter().filter(is_chosen).collect();
    play(chosen, name.unwrap_or("smoke"), Scope::Smoke, root)
}

fn play(chosen: Vec<&Suite>, name: &str, scope: Scope, root: &Path) -> Result<ExitCode> {
    if chosen.is_empty() {
        bail!("there is no suite {name}; there are {}", names().join(", "));
    }
    let mut report = Report::default();
    for suite in chosen {
        print::line(&format!("suite {}", suite.name));
        if let Err(err) = (suite.run)(root, scope, &mut report) {
            report.fail(suite.name, &format!("{err:#}"));
        }
    }
    print::line(&format!("{} passed, {} failed", report.passed, report.failed));
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
