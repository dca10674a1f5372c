//! The example repository, made with the real `git`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::report::advice;

/// Where the greeting that the story changes is written.
pub const GREETING_PATCH: &str = "apps/overlays/local/greeting-patch.yaml";

/// Where the shared settings are, which the story removes.
pub const SETTINGS: &str = "infrastructure/cluster-settings.yaml";

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../../examples/quickstart/", $path)))),*]
    };
}

/// The content of the example; a test compares it with the folder.
const FILES: &[(&str, &str)] = files![
    "README.md",
    "apps/base/greeting.yaml",
    "apps/base/kustomization.yaml",
    "apps/base/service-account.yaml",
    "apps/base/service.yaml",
    "apps/overlays/local/greeting-patch.yaml",
    "apps/overlays/local/index.html",
    "apps/overlays/local/kustomization.yaml",
    "clusters/local/apps.yaml",
    "clusters/local/infrastructure.yaml",
    "clusters/local/namespace.yaml",
    "clusters/local/source.yaml",
    "infrastructure/cluster-settings.yaml",
    "infrastructure/greetings-crd.yaml",
    "infrastructure/kustomization.yaml",
    "infrastructure/namespace.yaml",
];

/// What is declared to the engine: a namespace, the source and the two deliveries.
pub const CLUSTER: &[&str] = &[
    include_str!("../../../../../examples/quickstart/clusters/local/namespace.yaml"),
    include_str!("../../../../../examples/quickstart/clusters/local/source.yaml"),
    include_str!("../../../../../examples/quickstart/clusters/local/infrastructure.yaml"),
    include_str!("../../../../../examples/quickstart/clusters/local/apps.yaml"),
];

/// A repository with a work tree, as a person would have it.
pub struct Repository {
    path: PathBuf,
}

impl Repository {
    /// Makes the repository with one commit on `main`.
    pub fn create(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)
            .with_context(|| format!("could not make {}", path.display()))?;
        let repository = Self { path: path.to_owned() };
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        // The story must not depend on the person's own settings, nor change them.
        for (key, value) in [
            ("user.name", "Quickstart"),
            ("user.email", "quickstart@fixpoint.example"),
            ("commit.gpgSign", "false"),
            ("core.hooksPath", "/dev/null"),
        ] {
            repository.git(&["config", key, value])?;
        }
        for (file, text) in FILES {
            repository.write(file, text)?;
        }
        repository.commit("The quickstart")?;
        Ok(repository)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// Writes a file.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path.join(file);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))
    }

    /// Reads a file.
    pub fn read(&self, file: &str) -> Result<String> {
        let path = self.path.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))
    }

    /// Removes a file.
    pub fn remove(&self, file: &str) -> Result<()> {
        let path = self.path.join(file);
        std::fs::remove_file(&path).with_context(|| format!("could not remove {}", path.display()))
    }

    /// Commits everything; gives the commit's id.
    pub fn commit(&self, message: &str) -> Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])?;
        self.head()
    }

    /// Rewrites the newest commit, as a force-push would.
    pub fn amend(&self, message: &str) -> Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--amend", "--message", message])?;
        self.head()
    }

    /// The newest commit's id.
    pub fn head(&self) -> Result<String> {
        self.git(&["rev-parse", "HEAD"])
    }

    fn git(&self, args: &[&str]) -> Result<String> {
        let output =
            Command::new("git").arg("-C").arg(&self.path).args(args).output().map_err(|err| {
                match err.kind() {
                    std::io::ErrorKind::NotFound => advice(
                        "git is not installed",
                        "install git; the quickstart makes a real repository with it",
                    ),
                    _ => err.into(),
                }
            })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            anyhow::bail!("git {} failed: {}", args.join(" "), said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_example_is_in_the_binary() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart");
        let mut found = BTreeSet::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let held: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(held, found);
    }
}
