//! Peers: the programs of others that suites run the engine against, and beside.
//!
//! In: the search path and the cache of peers. Out: programs that can be run. Kubernetes and
//! kustomize are built once, as Go modules of our own, out of the packages that their own programs
//! are made of; etcd is the distribution's. Nothing is built behind a developer's back: a peer that
//! is missing is a skip there, and is built where `CI` is `true`.

mod cache;
mod kubernetes;
mod kustomize;
mod module;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use self::module::Module;
use super::is_ci;
use crate::print;

/// The oldest minor version of a kubectl that is as good as ours: a client and a server may be
/// one apart.
const OLDEST_KUBECTL: u32 = kubernetes::MINOR - 1;

/// A program of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Where an API server keeps its objects.
    Etcd,
    /// The API server of Kubernetes.
    Apiserver,
    /// The controllers of Kubernetes.
    ControllerManager,
    /// The client of Kubernetes.
    Kubectl,
    /// What renders kustomizations.
    Kustomize,
}

impl Peer {
    /// What the program is called.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Apiserver => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Kubectl => "kubectl",
            Self::Kustomize => "kustomize",
        }
    }

    /// The module it is built from; `None` where it is not built.
    fn module(self) -> Option<Module> {
        match self {
            Self::Etcd => None,
            Self::Apiserver | Self::ControllerManager | Self::Kubectl => Some(kubernetes::module()),
            Self::Kustomize => Some(kustomize::module()),
        }
    }

    /// What a person does who wants it.
    fn advice(self) -> String {
        let how = match self {
            Self::Etcd => "install the package etcd-server",
            _ => "`cargo xtask peers` builds it",
        };
        format!("{} is missing: {how}", self.program())
    }
}

/// Whether something a suite needs is there.
#[derive(Debug)]
pub enum Found<T = PathBuf> {
    /// It is.
    Here(T),
    /// It is not, and why.
    Missing(String),
}

/// Finds a peer, and builds it where it must be there.
pub fn find(peer: Peer) -> Result<Found> {
    if let Some(found) = find_built(peer)? {
        return Ok(Found::Here(found));
    }
    if let Some(found) = find_installed(peer) {
        return Ok(Found::Here(found));
    }
    match peer.module() {
        Some(module) if is_ci() => Ok(Found::Here(cache::build(&module)?.join(peer.program()))),
        _ => Ok(Found::Missing(peer.advice())),
    }
}

/// Finds a peer or fails, for those who asked for it by name.
pub fn get(peer: Peer) -> Result<PathBuf> {
    match peer.module() {
        Some(module) => Ok(cache::build(&module)?.join(peer.program())),
        None => find_installed(peer).with_context(|| peer.advice()),
    }
}

/// Builds all peers that are built.
pub fn build_all() -> Result<Vec<PathBuf>> {
    let peers = [Peer::Apiserver, Peer::ControllerManager, Peer::Kubectl, Peer::Kustomize];
    peers.into_iter().map(get).collect()
}

fn find_built(peer: Peer) -> Result<Option<PathBuf>> {
    let Some(module) = peer.module() else { return Ok(None) };
    let program = cache::folder(&module)?.join(peer.program());
    Ok(program.is_file().then_some(program))
}

/// A peer on the search path that will do as well as one that is built.
fn find_installed(peer: Peer) -> Option<PathBuf> {
    let program = on_path(peer.program())?;
    match peer {
        Peer::Etcd => Some(program),
        Peer::Kubectl => match minor_version(&program) {
            Ok(minor) if minor >= OLDEST_KUBECTL => Some(program),
            Ok(minor) => {
                print::note(&format!(
                    "kubectl on the search path is 1.{minor}, older than 1.{OLDEST_KUBECTL}: \
                     it is not used"
                ));
                None
            }
            Err(err) => {
                print::note(&format!("kubectl on the search path is not used: {err:#}"));
                None
            }
        },
        // What a distribution has is of another version, and the suites compare with this one.
        Peer::Apiserver | Peer::ControllerManager | Peer::Kustomize => None,
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn minor_version(kubectl: &PathBuf) -> Result<u32> {
    let output = Command::new(kubectl)
        .args(["version", "--client", "--output=json"])
        .output()
        .context("it does not run")?;
    if !output.status.success() {
        bail!("it does not tell its version");
    }
    let version: Value =
        serde_json::from_slice(&output.stdout).context("it does not tell its version in JSON")?;
    let version = version["clientVersion"]["gitVersion"].as_str().unwrap_or_default();
    minor(version).with_context(|| format!("{version} is no version"))
}

/// The second number of a version such as `v1.36.3-suffix`.
fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("v1.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(minor("v1.36.3"), Some(36));
        assert_eq!(minor("v1.32.4-dispatcher"), Some(32));
        assert_eq!(minor("v2.1"), None);
    }

    #[test]
    fn what_is_missing_says_what_to_do() {
        assert_eq!(Peer::Etcd.advice(), "etcd is missing: install the package etcd-server");
        assert_eq!(Peer::Kustomize.advice(), "kustomize is missing: `cargo xtask peers` builds it");
    }
}
