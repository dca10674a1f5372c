//! The program under test.
//!
//! In: the root of the repository. Out: the released program, built, and the folder of the build.
//! `FIXPOINT_BIN` names a program that is there already, such as one that will be published.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Builds the release; gives the program and the folder of the build.
pub fn build(root: &Path) -> Result<(PathBuf, PathBuf)> {
    if let Some(program) = std::env::var_os("FIXPOINT_BIN") {
        return Ok((PathBuf::from(program), root.join("target")));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--package", "fixpoint"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the program does not build");
    }
    let text = String::from_utf8(output.stdout).context("the output of cargo is no text")?;
    let program = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo does not say where the program is")?;
    let target =
        program.parent().and_then(Path::parent).context("the program lies in no folder")?;
    let target = target.to_path_buf();
    Ok((program, target))
}
