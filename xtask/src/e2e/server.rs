//! A running `fixpoint up`.
//!
//! In: the program and a folder. Out: a server that is ready, and that ends with its owner.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::process::Process;

/// A standalone engine that serves.
pub struct Server {
    /// How to reach it.
    pub kubeconfig: PathBuf,
    process: Process,
}

impl Server {
    /// Starts an engine on a free port with its state under `folder`, and further options.
    pub fn start(fixpoint: &Path, folder: &Path, options: &[&OsStr]) -> Result<Self> {
        let data = folder.join("data");
        let mut command = Command::new(fixpoint);
        command.arg("up").arg("--data-dir").arg(&data).args(["--listen", "127.0.0.1:0"]);
        command.args(options);
        let mut process = Process::start(&mut command, "", folder.join("up.log"))?;
        let printed = process.wait_for(|printed| printed.contains("ready"))?;
        let kubeconfig = data.join("kubeconfig");
        if !printed.contains("ready") {
            bail!("fixpoint up did not become ready:\n{printed}");
        }
        if !kubeconfig.is_file() {
            bail!("fixpoint up wrote no kubeconfig:\n{printed}");
        }
        Ok(Self { kubeconfig, process })
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.process.printed()
    }
}
