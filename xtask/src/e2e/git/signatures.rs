//! Commits and tags signed by the real `gpg` and `ssh-keygen`.
//!
//! In: a folder. Out: keys in it and repositories signed with them, and what the engine says of
//! each. Nothing of the person who runs this is used or changed, and no agent outlives it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::Case;
use crate::e2e::process;
use crate::e2e::server::Server;

const ANN: &str = "Ann Example <ann@example.org>";
const EVE: &str = "Eve Example <eve@example.org>";

/// What is missing here, in words.
pub fn missing() -> Option<&'static str> {
    let runs = |program: &str, argument: &str| Command::new(program).arg(argument).output().is_ok();
    match (runs("gpg", "--version"), runs("ssh-keygen", "-?")) {
        (false, _) => Some("gpg is missing: install gnupg"),
        (_, false) => Some("ssh-keygen is missing: install openssh-client"),
        (true, true) => None,
    }
}

/// Two people, each with a PGP and an SSH key. Only the first is trusted.
pub struct Signers {
    home: PathBuf,
    keys: PathBuf,
}

impl Signers {
    /// Makes the keys.
    pub fn new(folder: &Path) -> Result<Self> {
        // A short path: the socket of the agent lies in it.
        let signers = Self { home: folder.join("g"), keys: folder.join("keys") };
        for folder in [&signers.home, &signers.keys] {
            std::fs::create_dir(folder).context("no folder for keys")?;
        }
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&signers.home, private).context("no folder for keys")?;
        for (who, name) in [(ANN, "ann"), (EVE, "eve")] {
            let make = ["--quick-generate-key", who, "ed25519", "sign", "never"];
            signers.gpg(&[&["--passphrase", ""][..], &make].concat())?;
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]);
            told(command.arg(signers.keys.join(name)))?;
        }
        Ok(signers)
    }

    fn gpg(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("gpg");
        told(command.env("GNUPGHOME", &self.home).args(["--batch", "--quiet"]).args(args))
    }

    /// The keys of the one who is trusted, as a Secret holds them.
    fn trusted(&self) -> Result<Value> {
        let ssh = std::fs::read_to_string(self.keys.join("ann.pub")).context("no public key")?;
        Ok(json!({"ann.asc": self.gpg(&["--armor", "--export", ANN])?, "ann.sshpub": ssh}))
    }
}

impl Drop for Signers {
    fn drop(&mut self) {
        // An agent that has ended already is no concern.
        let mut command = Command::new("gpgconf");
        let _ended = command.env("GNUPGHOME", &self.home).args(["--kill", "all"]).output();
    }
}

/// The repositories.
pub struct Signed {
    folder: PathBuf,
    trusted: Value,
}

impl Signed {
    /// Makes one repository for each way to sign, with a commit and the tag `v1.0.0`.
    pub fn new(folder: &Path, signers: &Signers) -> Result<Self> {
        std::fs::create_dir(folder).context("no folder for repositories")?;
        let folder = folder.to_owned();
        let signed = Self { folder, trusted: signers.trusted()? };
        for (name, who) in [("ann", ANN), ("eve", EVE)] {
            let key = signers.keys.join(name).display().to_string();
            signed.repository(&format!("pgp-{name}"), signers, Some(("openpgp", who)))?;
            signed.repository(&format!("ssh-{name}"), signers, Some(("ssh", &key)))?;
        }
        signed.repository("nobody", signers, None)?;
        Ok(signed)
    }

    /// Where they all are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn repository(&self, name: &str, by: &Signers, sign: Option<(&str, &str)>) -> Result<()> {
        let path = self.folder.join(name);
        std::fs::create_dir(&path).context("no folder for a repository")?;
        std::fs::write(path.join("a.yaml"), "a: 1\n").context("cannot write a file")?;
        let git = |args: &[&str]| {
            let (format, key) = sign.unwrap_or(("openpgp", ""));
            let mut command = Command::new("git");
            command
                .current_dir(&path)
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GNUPGHOME", &by.home)
                .args(["-c", "user.name=Git", "-c", "user.email=git@example.org"])
                .args(["-c", &format!("gpg.format={format}")])
                .args(["-c", &format!("user.signingKey={key}")])
                .args(args);
            told(&mut command)
        };
        git(&["init", "--quiet", "--initial-branch=main"])?;
        git(&["add", "--all"])?;
        match sign {
            Some(_) => {
                git(&["commit", "--quiet", "--gpg-sign", "--message=signed\n\nwith a body"])?;
                git(&["tag", "--sign", "--message=a release", "v1.0.0"])?;
            }
            None => {
                git(&["commit", "--quiet", "--message=by nobody"])?;
            }
        }
        Ok(())
    }

    /// A Secret with the trusted keys, and a source for each case.
    pub fn manifests(&self, cases: &[Case]) -> String {
        let mut items = vec![json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "keys", "namespace": "default"}, "stringData": self.trusted})];
        items.extend(cases.iter().map(|case| self.source(case)));
        items.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
    }

    fn source(&self, case: &Case) -> Value {
        let repository = match case.name.split_once('-') {
            Some((how, "stranger")) => format!("{how}-eve"),
            Some((how, _)) => format!("{how}-ann"),
            None => case.name.to_owned(),
        };
        let reference = match case.mode {
            "HEAD" => json!({"branch": "main"}),
            _ => json!({"tag": "v1.0.0"}),
        };
        let url = format!("file://{}", self.folder.join(repository).display());
        json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": case.name, "namespace": "default"},
            "spec": {"interval": "1m", "url": url, "ref": reference,
                "verify": {"mode": case.mode, "secretRef": {"name": "keys"}}}})
    }
}

/// Waits until the engine has judged a source, and compares.
pub fn judged(fixpoint: &Path, server: &Server, case: &Case) -> Result<()> {
    let mut last = Value::Null;
    let seen = process::wait(|| {
        let mut command = Command::new(fixpoint);
        let what = format!("source/{}", case.name);
        command.env("KUBECONFIG", &server.kubeconfig).args(["get", &what, "-o", "json"]);
        let object: Value = serde_json::from_str(&told(&mut command)?).context("no JSON")?;
        let object = object.get("items").map_or(&object, |items| &items[0]);
        let conditions = object["status"]["conditions"].as_array();
        let mut all = conditions.into_iter().flatten();
        last = all.find(|one| one["type"] == "SourceVerified").cloned().unwrap_or_default();
        let says = last["message"].as_str().unwrap_or_default().contains(case.words);
        Ok(last["status"] == case.truth && says)
    });
    seen.with_context(|| format!("SourceVerified is {last}"))
}

/// Runs a program to its end, and gives what it printed.
fn told(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
