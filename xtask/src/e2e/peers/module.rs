//! A Go module of our own, and how it becomes programs.
//!
//! In: the files of a module. Out: its programs in a folder. Go fetches what the module names
//! through its own proxy, and checks it as it always does.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::on_path;

/// A module that programs are built from.
pub struct Module {
    /// What it is called in the cache.
    pub name: &'static str,
    /// Version of what it is made of.
    pub version: &'static str,
    /// Writes its `go.mod` and the `main` of each program, which lies in a folder of that name.
    pub written: fn(&Path) -> Result<()>,
    /// What the linker writes into the programs, such as their version.
    pub flags: String,
}

impl Module {
    /// Writes the module into a folder, and builds its programs into another.
    pub fn build(&self, folder: &Path, programs: &Path) -> Result<()> {
        (self.written)(folder)?;
        let flags = format!("-ldflags=-s -w {}", self.flags);
        let args = ["build", "-mod=mod", "-trimpath", &flags, "-o"];
        let status = go(folder)?
            .args(args)
            .arg(format!("{}/", programs.display()))
            .arg("./...")
            .status()
            .context("cannot run go")?;
        if !status.success() {
            bail!("{} {} does not build", self.name, self.version);
        }
        Ok(())
    }
}

/// Go, in a folder.
pub fn go(folder: &Path) -> Result<Command> {
    let Some(go) = on_path("go") else {
        bail!("a peer is missing, and so is Go to build it with");
    };
    let mut command = Command::new(go);
    command.env("CGO_ENABLED", "0").current_dir(folder);
    Ok(command)
}

/// Writes a file of a module.
pub fn write(folder: &Path, file: &str, text: &str) -> Result<()> {
    let path = folder.join(file);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot make a folder for {file}"))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {file}"))
}
