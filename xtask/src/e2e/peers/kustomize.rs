//! kustomize: what its authors' own program makes of a kustomization.
//!
//! In: a version. Out: a module with one program.

use std::path::Path;

use anyhow::Result;

use super::module::{Module, write};

/// The version.
const VERSION: &str = "v5.8.1";

const MAIN: &str = r#"package main

import (
	"os"

	"sigs.k8s.io/kustomize/kustomize/v5/commands"
)

func main() {
	if err := commands.NewDefaultCommand().Execute(); err != nil {
		os.Exit(1)
	}
}
"#;

/// The module.
pub fn module() -> Module {
    Module {
        name: "kustomize",
        version: VERSION,
        written,
        flags: format!("-X sigs.k8s.io/kustomize/api/provenance.version={VERSION}"),
    }
}

fn written(folder: &Path) -> Result<()> {
    write(folder, "kustomize/main.go", MAIN)?;
    write(
        folder,
        "go.mod",
        &format!(
            "module peers.example/kustomize\n\ngo 1.24.0\n\n\
             require sigs.k8s.io/kustomize/kustomize/v5 {VERSION}\n"
        ),
    )
}
