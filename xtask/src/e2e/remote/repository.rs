//! The repository that is delivered from.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A repository with a work tree, whatever a person has set for their own.
pub struct Repository(PathBuf);

impl Repository {
    /// Makes a repository of one commit on `main`.
    pub fn create(folder: PathBuf, files: &[(&str, &str)]) -> Result<Self> {
        std::fs::create_dir_all(&folder).context("cannot make a folder for a repository")?;
        let repository = Self(folder);
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        repository.commit(files)?;
        Ok(repository)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("file://{}", self.0.display())
    }

    /// Writes files and commits all there is.
    pub fn commit(&self, files: &[(&str, &str)]) -> Result<()> {
        for (file, text) in files {
            let path = self.0.join(file);
            let folder = path.parent().context("files lie in folders")?;
            std::fs::create_dir_all(folder).with_context(|| format!("no folder for {file}"))?;
            std::fs::write(&path, text).with_context(|| format!("cannot write {file}"))?;
        }
        self.git(&["add", "--all", "--force"])?;
        let who = ["-c", "user.name=remote", "-c", "user.email=remote@example.org"];
        self.git(&[&who[..], &["commit", "--quiet", "--message=a change"]].concat())
    }

    fn git(&self, args: &[&str]) -> Result<()> {
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
        Ok(())
    }
}
