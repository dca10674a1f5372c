//! Other clusters as targets: what a kubeconfig may lead to, and what becomes of it.
//!
//! In: an engine and two real clusters. Out: a step for each thing that only a real one can show:
//! identities that may do little, an address that comes to lead elsewhere, and what is left where
//! nobody delivers any more.

mod repository;
mod road;
mod steps;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use self::repository::Repository;
use self::road::Road;
use super::client::Client;
use super::cluster::{Cluster, ENGINE, Parts};
use super::peers::{self, Found, Peer};
use super::process::{Process, Scratch, wait};
use super::server::Server;
use super::{Report, Scope, program};
use crate::print;

const HOME: &str = "/api/v1/namespaces/default";
const SOURCES: &str = "/apis/source.toolkit.fluxcd.io/v1/namespaces/default/gitrepositories";
const DELIVERIES: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/default/kustomizations";

type Step = (&'static str, fn(&Scene) -> Result<()>);

const STEPS: &[Step] = &[
    ("a delivery goes where its kubeconfig leads", steps::deliver),
    ("what is changed or deleted there by hand is repaired", steps::repair),
    ("a second look changes nothing, and asks little", steps::look_again),
    ("an identity that cannot tell the cluster is told what it lacks", steps::cannot_tell),
    ("what may be watched in its namespace only is watched there", steps::narrow_watch),
    ("what may not be watched at all is said", steps::no_watch),
    ("what may not be applied is named, and its neighbours are applied", steps::forbidden),
    ("another cluster behind the address waits for an answer", steps::stranger),
    ("with its deliveries, everything goes that is where they lead", steps::take_down),
];

/// Plays the steps; each begins where the last one ended.
pub fn run(root: &Path, _scope: Scope, report: &mut Report) -> Result<()> {
    let (parts, kubectl) = match (Parts::find()?, peers::find(Peer::Kubectl)?) {
        (Found::Here(parts), Found::Here(kubectl)) => (parts, kubectl),
        (Found::Missing(why), _) | (_, Found::Missing(why)) => {
            report.skip("remote", &why);
            return Ok(());
        }
    };
    let (fixpoint, target) = program::build(root)?;
    let scratch = Scratch::new(&target, "remote")?;
    let scene = Scene::new(&parts, &kubectl, fixpoint, scratch.path())?;
    for (title, step) in STEPS {
        let outcome = step(&scene);
        let is_over = outcome.is_err();
        report.take(title, outcome);
        if is_over {
            scene.tell_state();
            return Ok(());
        }
    }
    Ok(())
}

/// A condition of an object; null where it has none.
fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.unwrap_or(&Value::Null)
}

/// Whether a delivery is ready and has looked at all that was written into it.
fn is_ready(object: &Value) -> bool {
    condition(object, "Ready")["status"] == "True"
        && object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

/// What a delivery says.
fn said(object: &Value) -> &str {
    condition(object, "Ready")["message"].as_str().unwrap_or("nothing")
}

/// Where it plays.
struct Scene {
    // Dropped in this order: who asks goes before who answers.
    home: Client,
    first: Client,
    second: Client,
    server: Server,
    road: Road,
    repository: Repository,
    clusters: [Cluster; 2],
    fixpoint: PathBuf,
    folder: PathBuf,
}

impl Scene {
    fn new(parts: &Parts, kubectl: &Path, fixpoint: PathBuf, folder: &Path) -> Result<Self> {
        let made = |name: &str| -> Result<PathBuf> {
            let folder = folder.join(name);
            std::fs::create_dir_all(&folder).with_context(|| format!("no folder {name}"))?;
            Ok(folder)
        };
        let repositories = made("repositories")?;
        let repository = Repository::create(repositories.join("shop"), steps::FILES)?;
        let clusters =
            [Cluster::start(parts, &made("first")?)?, Cluster::start(parts, &made("second")?)?];
        let options: [&OsStr; 2] = ["--allow-file-sources".as_ref(), repositories.as_os_str()];
        let server = Server::start(&fixpoint, folder, &options)?;
        let home = Client::start(kubectl, &server.kubeconfig, folder)?;
        let [first, second] = &clusters;
        let (road, first, second) = (Road::to(first.address())?, first.client()?, second.client()?);
        let folder = folder.to_owned();
        let scene =
            Self { home, first, second, server, road, repository, clusters, fixpoint, folder };
        let source = json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "shop"},
            "spec": {"interval": "1h", "url": scene.repository.url(), "ref": {"branch": "main"}}});
        scene.home.create(SOURCES, &source)?.granted()?;
        Ok(scene)
    }

    /// The engine's kubeconfig of one of the clusters, by way of the road.
    fn kubeconfig(&self, cluster: usize) -> Result<Value> {
        let text = self.clusters[cluster].kubeconfig_of(ENGINE)?;
        let mut config: Value = serde_json::from_str(&text).context("a kubeconfig is no JSON")?;
        config["clusters"][0]["cluster"]["server"] = self.road.url().into();
        Ok(config)
    }

    /// Puts a kubeconfig into a Secret.
    fn store(&self, name: &str, kubeconfig: &Value) -> Result<()> {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"value": kubeconfig.to_string()}});
        let made = self.home.create(&format!("{HOME}/secrets"), &secret)?;
        if made.code != 409 {
            return made.granted().map(drop);
        }
        let path = format!("{HOME}/secrets/{name}");
        self.home.merge(&path, &json!({"stringData": secret["stringData"]}))?.granted().map(drop)
    }

    /// Declares a delivery of a folder to where a Secret leads.
    fn declare(&self, name: &str, secret: &str) -> Result<()> {
        // Nothing here waits for the interval: what happens, happens because it was seen.
        let delivery = json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization", "metadata": {"name": name},
            "spec": {"interval": "1h", "retryInterval": "2s", "timeout": "1m", "prune": true,
                "wait": true, "path": format!("./{name}"),
                "sourceRef": {"kind": "GitRepository", "name": "shop"},
                "kubeConfig": {"secretRef": {"name": secret}}}});
        self.home.create(DELIVERIES, &delivery)?.granted().map(drop)
    }

    fn delivery(&self, name: &str) -> Result<Value> {
        let found = self.home.get(&format!("{DELIVERIES}/{name}"))?;
        found.with_context(|| format!("there is no delivery {name}"))
    }

    /// Waits until a delivery is as it should be.
    fn await_delivery(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let waited = wait(|| Ok(is_so(&self.delivery(name)?)));
        let delivery = self.delivery(name)?;
        waited.with_context(|| format!("{name} says {}", said(&delivery)))?;
        Ok(delivery)
    }

    /// Asks for a run now, and waits until it is over.
    fn hurry(&self, name: &str, request: &str) -> Result<Value> {
        let annotations = json!({"reconcile.fluxcd.io/requestedAt": request});
        let patch = json!({"metadata": {"annotations": annotations}});
        self.home.merge(&format!("{DELIVERIES}/{name}"), &patch)?.granted()?;
        self.await_delivery(name, |delivery| {
            delivery["status"]["lastHandledReconcileAt"] == request
        })
    }

    /// Runs a command of the program as a person would.
    fn fixpoint(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.fixpoint);
        command.args(args).arg("--kubeconfig").arg(&self.server.kubeconfig);
        command.env("HOME", &self.folder).env_remove("KUBECONFIG");
        let mut process = Process::start(&mut command, "", self.folder.join("fixpoint.log"))?;
        let status = process.wait()?;
        if !status.success() {
            bail!("fixpoint {}: {status}\n{}", args.join(" "), process.printed());
        }
        Ok(process.printed())
    }

    /// Says how everything is, for whoever looks into steps that broke off.
    fn tell_state(&self) {
        let list = self.home.get(DELIVERIES).ok().flatten().unwrap_or_default();
        for delivery in list["items"].as_array().into_iter().flatten() {
            print::note(&format!("{}: {}", delivery["metadata"]["name"], said(delivery)));
        }
        print::note(&format!("the engine said:\n{}", self.server.log()));
    }
}
