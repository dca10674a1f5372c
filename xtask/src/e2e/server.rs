//! A running engine.
//!
//! In: the program and a folder. Out: an engine that is ready, and that ends with its owner.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::process::Process;

/// An engine, and how to reach the API server that its sources and deliveries are in.
pub struct Server {
    /// How to reach it.
    pub kubeconfig: PathBuf,
    process: Process,
}

impl Server {
    /// Starts a standalone engine on a free port with its state under `folder`, and further
    /// options.
    pub fn start(fixpoint: &Path, folder: &Path, options: &[&OsStr]) -> Result<Self> {
        let data = folder.join("data");
        let mut command = Command::new(fixpoint);
        command.arg("up").arg("--data-dir").arg(&data).args(["--listen", "127.0.0.1:0"]);
        command.args(options);
        let process = Self::run(&mut command, folder, "fixpoint up")?;
        let kubeconfig = data.join("kubeconfig");
        if !kubeconfig.is_file() {
            bail!("fixpoint up wrote no kubeconfig:\n{}", process.printed());
        }
        Ok(Self { kubeconfig, process })
    }

    /// Starts an engine that has a cluster for its home, with its state under `folder`. Its user
    /// may do anything, so that what is tried is the engine and not its rights.
    pub fn in_cluster(fixpoint: &Path, folder: &Path, kubeconfig: &Path) -> Result<Self> {
        let mut command = Command::new(fixpoint);
        command
            .args(["controller", "--listen", "127.0.0.1:0", "--engine-listen", "127.0.0.1:0"])
            .arg("--allow-loopback-sources")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--data-dir")
            .arg(folder.join("data"));
        let process = Self::run(&mut command, folder, "fixpoint controller")?;
        Ok(Self { kubeconfig: kubeconfig.to_owned(), process })
    }

    fn run(command: &mut Command, folder: &Path, name: &str) -> Result<Process> {
        command.env("HOME", folder).env_remove("KUBECONFIG");
        let mut process = Process::start(command, "", folder.join("engine.log"))?;
        let printed = process.wait_for(|printed| printed.contains("ready"))?;
        if !printed.contains("ready") {
            bail!("{name} did not become ready:\n{printed}");
        }
        Ok(process)
    }

    /// Resident memory in bytes, where the system says.
    pub fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.process.printed()
    }
}
