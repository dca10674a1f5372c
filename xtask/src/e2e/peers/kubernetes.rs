//! Kubernetes: its API server, its controllers and its client.
//!
//! In: a version. Out: a module with a program for each. The repository of Kubernetes has parts
//! that it publishes as modules of their own and looks for in its own tree; here each of them is
//! replaced by what was published with that version.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::module::{Module, go, write};

/// The version.
const VERSION: &str = "v1.36.3";

/// Its second number.
pub const MINOR: u32 = 36;

/// The version of the parts that were published with it.
const PARTS: &str = "v0.36.3";

const KUBERNETES: &str = "k8s.io/kubernetes";

const APISERVER: &str = r#"package main

import (
	"os"
	_ "time/tzdata"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
"#;

const CONTROLLER_MANAGER: &str = r#"package main

import (
	"os"
	_ "time/tzdata"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() { os.Exit(cli.Run(app.NewControllerManagerCommand())) }
"#;

const KUBECTL: &str = r#"package main

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

/// The module of all three: most of what they are made of is the same.
pub fn module() -> Module {
    Module { name: "kubernetes", version: VERSION, written, flags: flags() }
}

fn written(folder: &Path) -> Result<()> {
    write(folder, "kube-apiserver/main.go", APISERVER)?;
    write(folder, "kube-controller-manager/main.go", CONTROLLER_MANAGER)?;
    write(folder, "kubectl/main.go", KUBECTL)?;
    let manifest = std::fs::read_to_string(manifest(folder)?)
        .context("cannot read the go.mod of Kubernetes")?;
    write(folder, "go.mod", &own_manifest(&manifest)?)
}

/// Where Go keeps the manifest of Kubernetes, which it fetches first.
fn manifest(folder: &Path) -> Result<PathBuf> {
    let output = go(folder)?
        .args(["mod", "download", "-json", &format!("{KUBERNETES}@{VERSION}")])
        .output()
        .context("cannot run go")?;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match answer["GoMod"].as_str() {
        Some(path) if output.status.success() => Ok(PathBuf::from(path)),
        _ => {
            let why = answer["Error"].as_str().map(str::to_owned);
            let why = why.unwrap_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned());
            bail!("Kubernetes {VERSION} cannot be fetched: {}", why.trim())
        }
    }
}

/// Our `go.mod`: Kubernetes, with its parts from where they are published.
fn own_manifest(theirs: &str) -> Result<String> {
    let language = theirs
        .lines()
        .find(|line| line.starts_with("go "))
        .context("the go.mod of Kubernetes names no version of Go")?;
    let parts: Vec<&str> = theirs
        .lines()
        .filter_map(|line| line.trim().split_once(" => ./staging/").map(|(part, _)| part))
        .map(|part| part.trim_start_matches("replace "))
        .collect();
    if parts.is_empty() {
        bail!("the go.mod of Kubernetes names no parts of its own");
    }
    let mut ours = format!(
        "module peers.example/kubernetes\n\n{language}\n\nrequire {KUBERNETES} {VERSION}\n"
    );
    // Kubernetes chooses for its programs how Go behaves.
    if let Some(settings) = theirs.lines().find(|line| line.starts_with("godebug default=")) {
        ours.push_str(&format!("\n{settings}\n"));
    }
    ours.push_str("\nreplace (\n");
    for part in parts {
        ours.push_str(&format!("\t{part} => {part} {PARTS}\n"));
    }
    ours.push_str(")\n");
    Ok(ours)
}

/// What the programs say of themselves.
fn flags() -> String {
    let minor = MINOR.to_string();
    let facts = [
        ("gitVersion", VERSION),
        ("gitMajor", "1"),
        ("gitMinor", minor.as_str()),
        ("gitTreeState", "clean"),
    ];
    let mut flags = String::new();
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (name, value) in facts {
            flags.push_str(&format!("-X {package}.{name}={value} "));
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_from_where_they_are_published() {
        let theirs = "module k8s.io/kubernetes\n\ngo 1.26.0\n\ngodebug default=go1.26\n\n\
                      require k8s.io/api v0.0.0\n\nreplace (\n\
                      \tk8s.io/api => ./staging/src/k8s.io/api\n\tother => example.org/x v1.0.0\n)\n";
        assert_eq!(
            own_manifest(theirs).unwrap(),
            "module peers.example/kubernetes\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v1.36.3\n\n\
             godebug default=go1.26\n\nreplace (\n\tk8s.io/api => k8s.io/api v0.36.3\n)\n"
        );
        assert!(own_manifest("module k8s.io/kubernetes\n\ngo 1.26.0\n").is_err());
    }

    #[test]
    fn the_versions_are_one() {
        assert!(VERSION.starts_with(&format!("v1.{MINOR}.")));
        assert_eq!(VERSION.strip_prefix("v1."), PARTS.strip_prefix("v0."));
    }
}
