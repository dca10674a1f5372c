//! Where kubectl is.
//!
//! In: the search path and the cache of peers. Out: a program that can be run. Where there is
//! none and there is Go, it is built as a module of our own out of the published packages that
//! kubectl itself is made of, once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::is_ci;
use crate::print;

/// Version of the packages that kubectl is built from; 0.36 is Kubernetes 1.36.
const VERSION: &str = "v0.36.6";

/// All there is in kubectl's own `main`.
const MAIN: &str = r#"package main

import (
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
"#;

/// Finds kubectl: on the search path, or in the cache, or (in CI) by building it. `None` where it
/// is missing and may be.
pub fn find() -> Result<Option<PathBuf>> {
    if let Some(found) = on_path("kubectl") {
        return Ok(Some(found));
    }
    let folder = cache()?.join(format!("kubectl-{VERSION}"));
    let built = folder.join("kubectl");
    if built.is_file() {
        return Ok(Some(built));
    }
    if !is_ci() {
        return Ok(None);
    }
    build(&folder)?;
    Ok(Some(built))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The folder that outlives a checkout.
fn cache() -> Result<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => {
            let home =
                std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
            Path::new(&home).join(".cache")
        }
    };
    Ok(cache.join("fixpoint-peers"))
}

fn build(folder: &Path) -> Result<()> {
    let Some(go) = on_path("go") else {
        bail!("kubectl is missing, and so is Go to build it with");
    };
    print::note(&format!("building kubectl {VERSION}"));
    std::fs::create_dir_all(folder).context("cannot make a folder for kubectl")?;
    std::fs::write(folder.join("main.go"), MAIN).context("cannot write kubectl's main")?;
    let module = format!(
        "module peers.example/kubectl\n\ngo 1.26\n\n\
         require (\n\tk8s.io/component-base {VERSION}\n\tk8s.io/kubectl {VERSION}\n)\n"
    );
    std::fs::write(folder.join("go.mod"), module).context("cannot write kubectl's module")?;
    let steps: [&[&str]; 2] = [&["mod", "tidy"], &["build", "-o", "kubectl.part", "."]];
    for args in steps {
        let status = Command::new(&go)
            .args(args)
            .env("CGO_ENABLED", "0")
            .current_dir(folder)
            .status()
            .context("cannot run go")?;
        if !status.success() {
            bail!("go {} failed", args.join(" "));
        }
    }
    // Named last, so that a build that was cut short is not taken for a program.
    std::fs::rename(folder.join("kubectl.part"), folder.join("kubectl"))
        .context("cannot name the built kubectl")
}
