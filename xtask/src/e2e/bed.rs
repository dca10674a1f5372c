//! Beds: where the engine lives, and where it delivers to.
//!
//! In: an arrangement, and programs. Out: an engine that is ready, a way to ask the API server
//! that sources and deliveries are declared in (its home), and one to ask the one that they are
//! delivered into (the target). A suite that is told in one arrangement can be told in all.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};

use super::client::Client;
use super::cluster::{Cluster, ENGINE, Parts};
use super::git_server::GitServer;
use super::peers::{self, Found, Peer};
use super::process::Process;
use super::program;
use super::server::Server;
use super::{Report, Scope};
use crate::{audit, print};

/// The Secret that says how to reach a target.
const SECRET: &str = "target";

/// Where an engine lives, and where it delivers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// It lives by itself, and delivers into itself.
    Standalone,
    /// It lives by itself, and delivers into a cluster.
    IntoCluster,
    /// It lives in a cluster, and delivers into that.
    InCluster,
}

impl Arrangement {
    /// All there are.
    const ALL: [Self; 3] = [Self::Standalone, Self::IntoCluster, Self::InCluster];

    /// Those of a scope: the quick ones leave out the home that the suite of installations has.
    pub fn of(scope: Scope) -> &'static [Self] {
        match scope {
            Scope::Smoke => &Self::ALL[..2],
            Scope::Whole => &Self::ALL,
        }
    }

    /// Whether the engine delivers into the API server that it lives in.
    pub const fn delivers_home(self) -> bool {
        match self {
            Self::Standalone | Self::InCluster => true,
            Self::IntoCluster => false,
        }
    }

    /// It, in a sentence.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Standalone => "The engine delivers into its own API server.",
            Self::IntoCluster => {
                "The engine lives by itself and delivers into a real kube-apiserver."
            }
            Self::InCluster => "The engine lives in a real kube-apiserver and delivers into it.",
        }
    }
}

impl fmt::Display for Arrangement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standalone => "standalone",
            Self::IntoCluster => "into-cluster",
            Self::InCluster => "in-cluster",
        })
    }
}

/// What beds are made of.
pub struct Tools {
    /// The program under test.
    pub fixpoint: PathBuf,
    /// The client of Kubernetes.
    pub kubectl: PathBuf,
    /// The folder of the build, where there is room for files.
    pub target: PathBuf,
    parts: Option<Parts>,
}

impl Tools {
    /// Finds those that some arrangements need; the suite is skipped where one is missing.
    pub fn find(
        root: &Path,
        suite: &str,
        arrangements: &[Arrangement],
        report: &mut Report,
    ) -> Result<Option<Self>> {
        let kubectl = match peers::find(Peer::Kubectl)? {
            Found::Here(kubectl) => kubectl,
            Found::Missing(why) => {
                report.skip(suite, &why);
                return Ok(None);
            }
        };
        let parts = match Parts::find()? {
            Found::Here(parts) => Some(parts),
            Found::Missing(why) => {
                if arrangements.iter().any(|one| *one != Arrangement::Standalone) {
                    report.skip(suite, &why);
                    return Ok(None);
                }
                None
            }
        };
        let (fixpoint, target) = program::build(root)?;
        Ok(Some(Self { fixpoint, kubectl, target, parts }))
    }

    fn cluster(&self, folder: &Path) -> Result<Cluster> {
        let parts = self.parts.as_ref().context("a cluster was not asked for")?;
        Cluster::start(parts, folder)
    }
}

/// How an engine comes by repositories.
enum Repositories {
    /// It reads them from the disk, and sees at once when they change.
    Files(PathBuf),
    /// It fetches them, and asks again and again.
    Served(GitServer),
}

/// An engine in an arrangement.
pub struct Bed {
    // Dropped in this order: who asks goes before who answers.
    home: Client,
    target: Option<Client>,
    server: Server,
    cluster: Option<Cluster>,
    repositories: Repositories,
    arrangement: Arrangement,
    /// What the program is told to reach the engine and its home.
    kubeconfig: PathBuf,
    fixpoint: PathBuf,
    folder: PathBuf,
}

impl Bed {
    /// Starts an engine that may read the repositories in a folder, with its files in another.
    pub fn start(
        arrangement: Arrangement,
        tools: &Tools,
        folder: &Path,
        repositories: &Path,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder).context("cannot make a folder for a bed")?;
        let cluster = match arrangement {
            Arrangement::Standalone => None,
            Arrangement::IntoCluster | Arrangement::InCluster => Some(tools.cluster(folder)?),
        };
        match (arrangement, cluster) {
            (Arrangement::InCluster, Some(cluster)) => {
                Self::in_cluster(cluster, tools, folder, repositories)
            }
            (_, cluster) => Self::by_itself(arrangement, cluster, tools, folder, repositories),
        }
    }

    fn by_itself(
        arrangement: Arrangement,
        cluster: Option<Cluster>,
        tools: &Tools,
        folder: &Path,
        repositories: &Path,
    ) -> Result<Self> {
        let options: [&OsStr; 2] = ["--allow-file-sources".as_ref(), repositories.as_os_str()];
        let server = Server::start(&tools.fixpoint, folder, &options)?;
        Ok(Self {
            home: Client::start(&tools.kubectl, &server.kubeconfig, folder)?,
            target: cluster.as_ref().map(Cluster::client).transpose()?,
            repositories: Repositories::Files(repositories.to_owned()),
            kubeconfig: server.kubeconfig.clone(),
            server,
            cluster,
            arrangement,
            fixpoint: tools.fixpoint.clone(),
            folder: folder.to_owned(),
        })
    }

    /// An administrator installs what the engine needs, and the engine is a user of its own.
    fn in_cluster(
        cluster: Cluster,
        tools: &Tools,
        folder: &Path,
        repositories: &Path,
    ) -> Result<Self> {
        run(&tools.fixpoint, &["install"], cluster.kubeconfig(), folder)?;
        let kubeconfig = folder.join("engine.kubeconfig");
        std::fs::write(&kubeconfig, cluster.kubeconfig_of(ENGINE)?)
            .context("cannot write a kubeconfig")?;
        let server = Server::in_cluster(&tools.fixpoint, folder, &kubeconfig)?;
        Ok(Self {
            home: cluster.client()?,
            target: None,
            repositories: Repositories::Served(GitServer::start(repositories)?),
            kubeconfig: cluster.kubeconfig().to_owned(),
            server,
            cluster: Some(cluster),
            arrangement: Arrangement::InCluster,
            fixpoint: tools.fixpoint.clone(),
            folder: folder.to_owned(),
        })
    }

    /// Asks where sources and deliveries are declared.
    pub fn home(&self) -> &Client {
        &self.home
    }

    /// Asks where they are delivered to.
    pub fn target(&self) -> &Client {
        self.target.as_ref().unwrap_or(&self.home)
    }

    /// The engine.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Makes a namespace for sources and deliveries, with all that they need.
    pub fn make_home(&self, namespace: &str) -> Result<()> {
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let made = self.home.create("/api/v1/namespaces", &object)?;
        // An engine makes the one that it lives in itself.
        if made.code != 409 {
            made.granted()?;
        }
        let Some(cluster) = &self.cluster else { return Ok(()) };
        if self.arrangement == Arrangement::IntoCluster {
            let secret = json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": SECRET},
                "stringData": {"value": cluster.kubeconfig_of(ENGINE)?}});
            let path = format!("/api/v1/namespaces/{namespace}/secrets");
            self.home.create(&path, &secret)?.granted()?;
        }
        Ok(())
    }

    /// A source of the branch `main` of a repository.
    pub fn source(&self, name: &str, namespace: &str) -> Value {
        let (url, interval) = match &self.repositories {
            // Nothing waits for an interval: what happens, happens because it was seen.
            Repositories::Files(folder) => {
                (format!("file://{}", folder.join(name).display()), "1h")
            }
            Repositories::Served(server) => (server.url(name), "1s"),
        };
        json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"interval": interval, "url": url, "ref": {"branch": "main"}}})
    }

    /// A delivery, with what it has to say of the target.
    pub fn delivery(&self, name: &str, namespace: &str, mut spec: Value) -> Value {
        if self.arrangement == Arrangement::IntoCluster {
            spec["kubeConfig"] = json!({"secretRef": {"name": SECRET}});
        }
        json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec})
    }

    /// Runs a command of the program as a person would; gives what it prints.
    pub fn fixpoint(&self, args: &[&str]) -> Result<String> {
        run(&self.fixpoint, args, &self.kubeconfig, &self.folder)
    }

    /// The audit log of the cluster, where there is one.
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.cluster.as_ref().map(Cluster::audit_log)
    }

    /// Holds what a cluster's API server saw of the engine against the engine's ledger.
    pub fn audit(&self, root: &Path, report: &mut Report) -> Result<()> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let (ledger, log) = (self.folder.join("data"), cluster.audit_log());
        let args: [&OsStr; 6] = [
            "--ledger".as_ref(),
            ledger.as_os_str(),
            "--log".as_ref(),
            log.as_os_str(),
            "--user".as_ref(),
            ENGINE.as_ref(),
        ];
        let found = audit::ask(root, &args)?;
        let step = format!("{}: every change has its intent in the ledger", self.arrangement);
        report.take(&step, if found.holds { Ok(()) } else { Err(anyhow!(found.said.clone())) });
        if found.holds {
            // The last line sums up.
            print::line(&format!("        {}", found.said.lines().last().unwrap_or_default()));
        }
        Ok(())
    }
}

/// Runs a command of the program to its end; gives what it prints.
fn run(fixpoint: &Path, args: &[&str], kubeconfig: &Path, folder: &Path) -> Result<String> {
    let mut command = Command::new(fixpoint);
    command.args(args).arg("--kubeconfig").arg(kubeconfig);
    command.env("HOME", folder).env_remove("KUBECONFIG");
    let mut process = Process::start(&mut command, "", folder.join("fixpoint.log"))?;
    let status = process.wait()?;
    if !status.success() {
        bail!("fixpoint {}: {status}\n{}", args.join(" "), process.printed());
    }
    Ok(process.printed())
}
