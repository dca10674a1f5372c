//! The program under test, and the programs that judge it.
//!
//! In: the root of the repository. Out: released programs, built, and the folder of the build.
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
    let program = release(root, "fixpoint")?;
    let target =
        program.parent().and_then(Path::parent).context("the program lies in no folder")?;
    let target = target.to_path_buf();
    Ok((program, target))
}

/// Builds the release of a package that has one program; gives the program.
pub fn release(root: &Path, package: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        // Always together: alone, each would have what they share built anew.
        .args(["build", "--release", "--package", "fixpoint", "--package", package])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("{package} does not build");
    }
    let text = String::from_utf8(output.stdout).context("the output of cargo is no text")?;
    let is_it = |message: &Value| {
        let id = message["package_id"].as_str().unwrap_or_default();
        message["target"]["name"] == package && id.contains(root.to_string_lossy().as_ref())
    };
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(is_it)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo does not say where the program is")
}
