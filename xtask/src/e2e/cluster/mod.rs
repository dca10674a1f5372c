//! A real Kubernetes without machines: etcd, kube-apiserver and kube-controller-manager.
//!
//! In: the programs, and an empty folder. Out: a cluster that is ready, kubeconfigs for its users,
//! and its audit log. It listens on this machine only and ends with its owner.

pub mod audit;
mod parts;
mod pki;
pub mod trial;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

pub use self::parts::Parts;
use self::pki::Authority;
use super::client::{Client, Https};
use super::process::{PATIENCE, Process, Scratch};
use crate::print;

/// The user that people and suites are.
pub const ADMIN: &str = "admin";

/// The user that the engine is, so that the audit log tells what it did.
pub const ENGINE: &str = "fixpoint";

/// How often to look again.
const GLANCE: Duration = Duration::from_millis(50);

/// How often a cluster is tried to be started. Another program may take a port between the moment
/// it was found free and that in which it is used.
const TRIES: usize = 3;

/// A running cluster.
pub struct Cluster {
    // Dropped in this order: who asks goes before who answers.
    controller_manager: Process,
    apiserver: Process,
    etcd: Process,
    authority: Authority,
    folder: PathBuf,
    address: String,
    kubeconfig: PathBuf,
}

impl Cluster {
    /// Starts a cluster with its files in a folder, and waits until it is ready.
    pub fn start(parts: &Parts, folder: &Path) -> Result<Self> {
        let mut number = 1;
        loop {
            // Each try has a folder of its own: what the last one left would be in the way.
            match Self::try_start(parts, &folder.join(format!("cluster-{number}"))) {
                Err(err) if number < TRIES && is_taken(&err) => {
                    print::note(&format!("a port was taken, so the cluster starts anew: {err:#}"));
                    number += 1;
                }
                other => return other,
            }
        }
    }

    fn try_start(parts: &Parts, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).context("cannot make a folder for a cluster")?;
        let [clients, others, port] = free_ports()?;
        let address = format!("https://127.0.0.1:{port}");
        let authority = Authority::new()?;
        write_files(&authority, folder, &address)?;

        let etcd = start(parts.etcd(folder, clients, others), folder, "etcd")?;
        let mut apiserver =
            start(parts.apiserver(folder, clients, port), folder, "kube-apiserver")?;
        let client = Client::direct(https(&authority, &address, ADMIN)?);
        await_apiserver(&client, &mut apiserver)?;
        let controller_manager =
            start(parts.controller_manager(folder), folder, "kube-controller-manager")?;
        let kubeconfig = folder.join("kubeconfig");
        let folder = folder.to_owned();
        Ok(Self { controller_manager, apiserver, etcd, authority, folder, address, kubeconfig })
    }

    /// Where it serves.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig of another user who may do anything, as text that names no file.
    pub fn kubeconfig_of(&self, user: &str) -> Result<String> {
        Ok(self.authority.kubeconfig(&self.address, &self.authority.user(user)?))
    }

    /// A client of the administrator.
    pub fn client(&self) -> Result<Client> {
        self.client_of(ADMIN)
    }

    /// A client of a user who may do anything.
    pub fn client_of(&self, user: &str) -> Result<Client> {
        Ok(Client::direct(https(&self.authority, &self.address, user)?))
    }

    /// The audit log: a line of JSON for each request that was answered.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// Fails where a part has ended.
    pub fn check(&mut self) -> Result<()> {
        let parts = [
            ("etcd", &mut self.etcd),
            ("kube-apiserver", &mut self.apiserver),
            ("kube-controller-manager", &mut self.controller_manager),
        ];
        for (name, part) in parts {
            if let Some(status) = part.ended()? {
                bail!("{name} has ended with {status}:\n{}", last_lines(&part.printed()));
            }
        }
        Ok(())
    }
}

/// Ports that nobody listens on.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All at once, so that they differ.
    let mut listeners = vec![];
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").context("there is no free port")?;
        *port = listener.local_addr().context("a port has no number")?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

fn is_taken(err: &anyhow::Error) -> bool {
    format!("{err:#}").contains("address already in use")
}

fn write_files(authority: &Authority, folder: &Path, address: &str) -> Result<()> {
    let server = authority.server()?;
    let (signing, public) = pki::token_keys()?;
    let admin = authority.kubeconfig(address, &authority.user(ADMIN)?);
    let controllers = authority.kubeconfig(address, &authority.user("kube-controller-manager")?);
    let files = [
        ("ca.crt", authority.certificate()),
        ("server.crt", &server.certificate),
        ("server.key", &server.key),
        ("tokens.key", &signing),
        ("tokens.pub", &public),
        ("kubeconfig", &admin),
        ("controller-manager.kubeconfig", &controllers),
        ("audit-policy.json", parts::AUDIT_POLICY),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

fn start(mut command: Command, folder: &Path, name: &str) -> Result<Process> {
    // Nothing of the person who runs this has a say in how a cluster behaves.
    command.env("HOME", folder).env_remove("KUBECONFIG").current_dir(folder);
    Process::start(&mut command, "", folder.join(format!("{name}.log")))
}

fn https(authority: &Authority, address: &str, user: &str) -> Result<Https> {
    let user = authority.user(user)?;
    Https::new(address, authority.certificate(), &user.certificate, &user.key)
}

/// Waits until the server says that it is ready, which it is not before its own objects are there,
/// and until the default namespace is, which takes a moment more.
fn await_apiserver(client: &Client, apiserver: &mut Process) -> Result<()> {
    let started = Instant::now();
    loop {
        if let Some(status) = apiserver.ended()? {
            bail!("kube-apiserver ended with {status}:\n{}", last_lines(&apiserver.printed()));
        }
        let is_ready = |path: &str| client.get(path).is_ok_and(|found| found.is_some());
        if is_ready("/readyz") && is_ready("/api/v1/namespaces/default") {
            return Ok(());
        }
        if started.elapsed() >= PATIENCE {
            let said = last_lines(&apiserver.printed());
            bail!("kube-apiserver is not ready after {} s:\n{said}", PATIENCE.as_secs());
        }
        thread::sleep(GLANCE);
    }
}

/// The end of what a talkative program has said.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Runs a cluster until it is told to stop, for people.
pub fn run_in_foreground(root: &Path) -> Result<()> {
    let parts = Parts::get()?;
    let scratch = Scratch::new(&root.join("target"), "cluster")?;
    let mut cluster = Cluster::start(&parts, scratch.path())?;
    print::line(&format!("export KUBECONFIG={}", cluster.kubeconfig().display()));
    print::note(&format!(
        "kube-apiserver serves at {}; its audit log is {}; Ctrl-C ends it",
        cluster.address(),
        cluster.audit_log().display()
    ));
    loop {
        cluster.check()?;
        thread::sleep(Duration::from_secs(1));
    }
}
