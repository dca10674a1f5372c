//! What the page shows: an engine with sources and deliveries, and what happens to them.
//!
//! In: a folder. Out: repositories that can be committed to, and commands of the program.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::e2e::server::Server;

/// The repositories, each delivered under its own name.
const NAMES: [&str; 5] = ["docs", "flags", "payments", "platform", "shop"];

/// A running engine and what it delivers.
pub struct Scene {
    folder: PathBuf,
    fixpoint: PathBuf,
    server: Server,
}

impl Scene {
    /// Makes the repositories and starts an engine that delivers them.
    pub fn start(fixpoint: &Path, folder: &Path) -> Result<Self> {
        let repositories = folder.join("repos");
        let mut manifests = String::new();
        for name in NAMES {
            let repository = repositories.join(name);
            std::fs::create_dir_all(&repository).context("cannot make a repository")?;
            git(&repository, &["init", "--quiet", "--initial-branch=main"])?;
            put(&repository, "settings", "one")?;
            put(&repository, "banner", "hello")?;
            commit(&repository, "the first")?;
            manifests.push_str(&source(name, &repository));
            manifests.push_str(&delivery(name, name, ""));
        }
        manifests.push_str(&delivery(
            "storefront",
            "shop",
            "  targetNamespace: storefront\n  dependsOn: [{name: payments}]\n",
        ));
        manifests.push_str("---\napiVersion: v1\nkind: Namespace\nmetadata: {name: storefront}\n");
        let file = folder.join("all.yaml");
        std::fs::write(&file, manifests).context("cannot write manifests")?;
        let options: [&OsStr; 4] = [
            "--allow-file-sources".as_ref(),
            repositories.as_ref(),
            "--filename".as_ref(),
            file.as_ref(),
        ];
        let server = Server::start(fixpoint, folder, &options)?;
        let (folder, fixpoint) = (folder.to_owned(), fixpoint.to_owned());
        Ok(Self { folder, fixpoint, server })
    }

    /// What the engine has said so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Runs a command of the program and gives what it printed.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(&self.fixpoint)
            .args(args)
            .env("KUBECONFIG", &self.server.kubeconfig)
            .env("HOME", &self.folder)
            .current_dir(&self.folder)
            .output()
            .context("cannot run fixpoint")?;
        if !output.status.success() {
            bail!("fixpoint {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.folder.join("repos").join(name)
    }

    /// Commits another value of one object; gives the commit as the page shows it.
    pub fn change(&self, name: &str, value: &str) -> Result<String> {
        let repository = self.repository(name);
        put(&repository, "settings", value)?;
        commit(&repository, value)
    }

    /// Commits a file as it is; gives the commit as the page shows it.
    pub fn write(&self, name: &str, file: &str, text: &str) -> Result<String> {
        let repository = self.repository(name);
        let path = repository.join("deploy").join(file);
        let folder = path.parent().context("a file lies in a folder")?;
        std::fs::create_dir_all(folder).context("cannot make a folder")?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {file}"))?;
        commit(&repository, "a file")
    }

    /// Takes files away again.
    pub fn remove(&self, name: &str, files: &[&str]) -> Result<String> {
        let repository = self.repository(name);
        for file in files {
            std::fs::remove_file(repository.join("deploy").join(file))
                .with_context(|| format!("cannot remove {file}"))?;
        }
        commit(&repository, "fewer files")
    }

    /// Takes the last commit back and makes another one in its place.
    pub fn rewrite(&self, name: &str) -> Result<String> {
        let repository = self.repository(name);
        put(&repository, "settings", "rewritten")?;
        git(&repository, &["add", "--all"])?;
        git(&repository, &["commit", "--quiet", "--amend", "--message", "another past"])?;
        head(&repository)
    }
}

fn put(repository: &Path, name: &str, value: &str) -> Result<()> {
    let stem = repository.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = repository.join("deploy");
    std::fs::create_dir_all(&folder).context("cannot make a folder")?;
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {stem}-{name}, namespace: default}}\n\
         data: {{value: \"{value}\"}}\n"
    );
    std::fs::write(folder.join(format!("{name}.yaml")), text).context("cannot write a manifest")
}

fn commit(repository: &Path, message: &str) -> Result<String> {
    git(repository, &["add", "--all"])?;
    git(repository, &["commit", "--quiet", "--message", message])?;
    head(repository)
}

fn head(repository: &Path) -> Result<String> {
    git(repository, &["rev-parse", "--short=12", "HEAD"])
}

/// Runs Git with nobody's settings.
fn git(repository: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org"])
        .args(["-c", "commit.gpgsign=false", "-c", "core.autocrlf=false"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .current_dir(repository)
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!("git {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn source(name: &str, repository: &Path) -> String {
    let url = repository.display();
    format!(
        "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\n\
         metadata: {{name: {name}, namespace: default}}\n\
         spec: {{url: \"file://{url}\", interval: 1m, ref: {{branch: main}}}}\n"
    )
}

fn delivery(name: &str, source: &str, more: &str) -> String {
    format!(
        "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
         metadata: {{name: {name}, namespace: default}}\nspec:\n  interval: 10m\n  prune: true\n  \
         wait: true\n  path: ./deploy\n  sourceRef: {{kind: GitRepository, name: {source}}}\n{more}"
    )
}
