//! Repositories, made with the real `git`.
//!
//! In: folders and commands. Out: commits. Whatever a person has set for their own work makes no
//! difference, and is not changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A repository with a work tree.
pub struct Repository(PathBuf);

impl Repository {
    /// Makes a repository of one commit on `main` out of what is in a folder, which stays as it
    /// is.
    pub fn of(from: &Path, to: &Path) -> Result<Self> {
        copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
        Self::create(to)
    }

    /// Makes a folder a repository, with one commit on `main` of all that is in it.
    pub fn create(folder: &Path) -> Result<Self> {
        let repository = Self(folder.to_owned());
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        repository.commit("everything")?;
        Ok(repository)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Reads a file.
    pub fn read(&self, file: &str) -> Result<String> {
        std::fs::read_to_string(self.0.join(file)).with_context(|| format!("cannot read {file}"))
    }

    /// Writes a file.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.0.join(file);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("no folder for {file}"))?;
        }
        std::fs::write(path, text).with_context(|| format!("cannot write {file}"))
    }

    /// Removes a file.
    pub fn remove(&self, file: &str) -> Result<()> {
        std::fs::remove_file(self.0.join(file)).with_context(|| format!("cannot remove {file}"))
    }

    /// Commits all there is; gives the revision as the engine writes it.
    pub fn commit(&self, message: &str) -> Result<String> {
        self.record(&["--message", message])
    }

    /// Puts all there is in the place of the last commit; gives the revision.
    pub fn amend(&self, message: &str) -> Result<String> {
        self.record(&["--amend", "--message", message])
    }

    /// The revision of `main`.
    pub fn revision(&self) -> Result<String> {
        Ok(format!("main@sha1:{}", self.git(&["rev-parse", "HEAD"])?))
    }

    fn record(&self, how: &[&str]) -> Result<String> {
        self.git(&["add", "--all", "--force"])?;
        let who = ["-c", "user.name=bed", "-c", "user.email=bed@example.org"];
        self.git(&[&who[..], &["commit", "--quiet"], how].concat())?;
        self.revision()
    }

    fn git(&self, args: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .current_dir(&self.0)
            .output()
            .context("cannot run git")?;
        if !output.status.success() {
            bail!("git {} failed:\n{}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
