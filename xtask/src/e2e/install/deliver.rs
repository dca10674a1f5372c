//! The belt with a cluster as home: from a commit to objects of the same cluster, and what only
//! there is different: who acknowledged is proven by a policy, and the API server may go away.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{SOURCES, Scene};
use crate::e2e::Report;
use crate::e2e::git_server::GitServer;
use crate::e2e::process::wait;

const DELIVERIES: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/default/kustomizations";
const MAP: &str = "/api/v1/namespaces/default/configmaps/hello";
const BINDING: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/\
                       fixpoint-acknowledgements";

/// Delivers into the cluster that is home, while an engine leads there.
pub fn delivers(scene: &Scene<'_>, report: &mut Report) -> Result<()> {
    let repositories = scene.folder.join("repositories");
    let repository = Repository(repositories.join("app"));
    repository.create()?;
    let server = GitServer::start(&repositories)?;
    let story = Story { scene, repository, url: server.url("app") };
    report.take("a commit converges in the cluster that is home", story.converges());
    report.take("a change by hand is repaired there", story.is_repaired());
    report.take("without the policy an acknowledgement is not taken", story.is_unproven());
    report.take("with the policy back it is, in the name of its writer", story.is_proven());
    report.take("what is declared no more is pruned", story.is_pruned());
    Ok(())
}

struct Story<'a> {
    scene: &'a Scene<'a>,
    repository: Repository,
    url: String,
}

impl Story<'_> {
    fn converges(&self) -> Result<()> {
        let source = json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "app"},
            "spec": {"interval": "1s", "url": self.url, "ref": {"branch": "main"}}});
        let delivery = json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization", "metadata": {"name": "app"},
            "spec": {"interval": "5s", "path": "./", "prune": true, "wait": true,
                     "sourceRef": {"kind": "GitRepository", "name": "app"}}});
        self.scene.client.create(SOURCES, &source)?.granted()?;
        self.scene.client.create(DELIVERIES, &delivery)?.granted()?;
        self.until_map_says("1")?;
        let why = self.scene.granted(&["why", "kustomization/app", "-n", "default"])?;
        ensure!(why.contains("is at its fixpoint"), "{why}");
        Ok(())
    }

    fn is_repaired(&self) -> Result<()> {
        let change = json!({"data": {"a": "by hand"}});
        self.scene.client.merge(MAP, &change)?.granted()?;
        self.until_map_says("1")
    }

    /// A rewritten branch is held; an answer in a cluster without the policy says nothing about
    /// who gave it.
    fn is_unproven(&self) -> Result<()> {
        self.repository.rewrite("2")?;
        self.until_source_says("[ack ")?;
        self.scene.client.delete(BINDING)?.granted()?;
        self.scene.granted(&["ack", "source/app", "-n", "default", "--reason", "checked"])?;
        self.until_source_says(
            "ValidatingAdmissionPolicyBinding fixpoint-acknowledgements is not",
        )?;
        self.until_map_says("1")
    }

    fn is_proven(&self) -> Result<()> {
        self.scene.install()?;
        self.until_map_says("2")?;
        let entries = self.scene.granted(&["ledger", "log", "-o", "json"])?;
        let entries: Value = serde_json::from_str(&entries).context("the ledger is no JSON")?;
        let acks = entries.as_array().into_iter().flatten().filter(|entry| entry["kind"] == "ack");
        let authors: Vec<&Value> = acks.map(|entry| &entry["actor"]).collect();
        ensure!(authors == ["admin"], "acknowledged by {authors:?} in {entries}");
        Ok(())
    }

    fn is_pruned(&self) -> Result<()> {
        let client = &self.scene.client;
        client.delete(&format!("{DELIVERIES}/app"))?.granted()?;
        client.delete(&format!("{SOURCES}/app"))?.granted()?;
        wait(|| {
            let left = [&format!("{DELIVERIES}/app"), &format!("{SOURCES}/app"), MAP]
                .map(|path| client.get(path).map(|found| found.is_some()));
            Ok(!left.into_iter().collect::<Result<Vec<bool>>>()?.contains(&true))
        })
        .context("the delivery, its source or its object stays")
    }

    fn until_map_says(&self, wanted: &str) -> Result<()> {
        let reads = || self.scene.client.get(MAP);
        wait(|| Ok(reads()?.is_some_and(|found| found["data"]["a"] == wanted)))
            .with_context(|| format!("the object never says {wanted}: {:?}", reads()))
    }

    fn until_source_says(&self, wanted: &str) -> Result<()> {
        let said = || -> Result<String> {
            let found = self.scene.client.get(&format!("{SOURCES}/app"))?;
            Ok(found.map(|found| found["status"].to_string()).unwrap_or_default())
        };
        wait(|| Ok(said()?.contains(wanted)))
            .with_context(|| format!("the source never says `{wanted}`: {:?}", said()))
    }
}

/// A repository with one object, made with the real `git`.
struct Repository(PathBuf);

impl Repository {
    fn create(&self) -> Result<()> {
        std::fs::create_dir_all(&self.0).context("cannot make a folder")?;
        self.git(&["init", "--quiet", "--initial-branch=main"])?;
        self.write("1")?;
        self.commit(&["--message", "one"])
    }

    /// Puts another commit in the place of the last one.
    fn rewrite(&self, says: &str) -> Result<()> {
        self.write(says)?;
        self.commit(&["--amend", "--message", "another"])
    }

    fn write(&self, says: &str) -> Result<()> {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "hello", "namespace": "default"}, "data": {"a": says}});
        std::fs::write(self.0.join("map.yaml"), map.to_string()).context("cannot write")
    }

    fn commit(&self, how: &[&str]) -> Result<()> {
        self.git(&["add", "--all"])?;
        let who = ["-c", "user.name=bed", "-c", "user.email=bed@example.org", "commit", "--quiet"];
        self.git(&[&who[..], how].concat())
    }

    fn git(&self, args: &[&str]) -> Result<()> {
        git(&self.0, args)
    }
}

fn git(folder: &Path, args: &[&str]) -> Result<()> {
    let output = Command::new("git")
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .current_dir(folder)
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!("git {} failed:\n{}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
