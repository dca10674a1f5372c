//! The parts of a cluster: where their programs are, and how each is started.
//!
//! In: peers, a folder with keys, and ports. Out: command lines. Everything listens on this
//! machine only and keeps its files in the folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::e2e::peers::{self, Found, Peer};

/// Controllers that a cluster without machines has: what tidies up after deletions and lets claims
/// of volumes go, and what sums up roles. Nothing plays the kubelet, so no workload gets a status
/// but from a suite.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,\
                           persistentvolumeclaim-protection-controller,\
                           persistentvolume-protection-controller,\
                           clusterrole-aggregation-controller";

/// What is written about each request that the server has answered: who, what and when, and what
/// the engine sent, unless that is a Secret. The chatter of the parts among themselves is left
/// out.
pub const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived", "ResponseStarted"],
  "omitManagedFields": true,
  "rules": [
    {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/version*"]},
    {"level": "None", "users": ["system:apiserver"]},
    {"level": "None", "users": ["kube-controller-manager"], "verbs": ["get", "list", "watch"]},
    {"level": "None", "users": ["kube-controller-manager"],
     "resources": [{"group": "", "resources": ["events"]}]},
    {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets"]}]},
    {"level": "Request", "users": ["fixpoint"], "verbs": ["create", "update", "patch"]},
    {"level": "Metadata"}
  ]
}
"#;

/// The programs that a cluster is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    etcd: PathBuf,
    apiserver: PathBuf,
    controller_manager: PathBuf,
}

impl Parts {
    /// Finds them.
    pub fn find() -> Result<Found<Self>> {
        Self::collect(peers::find)
    }

    /// Finds them, and builds what is missing.
    pub fn get() -> Result<Self> {
        Ok(Self {
            etcd: peers::get(Peer::Etcd)?,
            apiserver: peers::get(Peer::Apiserver)?,
            controller_manager: peers::get(Peer::ControllerManager)?,
        })
    }

    fn collect(find: impl Fn(Peer) -> Result<Found>) -> Result<Found<Self>> {
        let mut programs = vec![];
        for peer in [Peer::Etcd, Peer::Apiserver, Peer::ControllerManager] {
            match find(peer)? {
                Found::Here(program) => programs.push(program),
                Found::Missing(why) => return Ok(Found::Missing(why)),
            }
        }
        let [etcd, apiserver, controller_manager] =
            <[PathBuf; 3]>::try_from(programs).unwrap_or_default();
        Ok(Found::Here(Self { etcd, apiserver, controller_manager }))
    }

    /// Keeps objects, for clients at one port and for others of its kind, of which there are
    /// none, at another.
    pub fn etcd(&self, folder: &Path, clients: u16, others: u16) -> Command {
        let (clients, others) =
            (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{others}"));
        let mut command = Command::new(&self.etcd);
        command
            .arg("--name=bed")
            .arg(format!("--data-dir={}", folder.join("etcd").display()))
            .arg(format!("--listen-client-urls={clients}"))
            .arg(format!("--advertise-client-urls={clients}"))
            .arg(format!("--listen-peer-urls={others}"))
            .arg(format!("--initial-advertise-peer-urls={others}"))
            .arg(format!("--initial-cluster=bed={others}"));
        command
    }

    /// Serves the API at a port.
    pub fn apiserver(&self, folder: &Path, etcd: u16, port: u16) -> Command {
        let file = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new(&self.apiserver);
        command
            .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            .arg(format!("--secure-port={port}"))
            // There is nobody whom an endpoint of this server would help.
            .arg("--endpoint-reconciler-type=none")
            .arg("--service-cluster-ip-range=10.0.0.0/16")
            .arg(format!("--cert-dir={}", file("apiserver")))
            .arg(format!("--tls-cert-file={}", file("server.crt")))
            .arg(format!("--tls-private-key-file={}", file("server.key")))
            .arg(format!("--client-ca-file={}", file("ca.crt")))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(format!("--service-account-signing-key-file={}", file("tokens.key")))
            .arg(format!("--service-account-key-file={}", file("tokens.pub")))
            .arg("--authorization-mode=RBAC")
            // Accounts would have to be made by a controller before any pod is let in.
            .arg("--disable-admission-plugins=ServiceAccount")
            .arg("--allow-privileged=true")
            .arg(format!("--audit-policy-file={}", file("audit-policy.json")))
            .arg(format!("--audit-log-path={}", file("audit.log")))
            // In megabytes; another file is begun where it is reached, and readers know of one.
            .args(["--audit-log-format=json", "--audit-log-maxsize=8192"]);
        command
    }

    /// Tidies up.
    pub fn controller_manager(&self, folder: &Path) -> Command {
        let file = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new(&self.controller_manager);
        command
            .arg(format!("--kubeconfig={}", file("controller-manager.kubeconfig")))
            .arg(format!("--controllers={CONTROLLERS}"))
            .args(["--leader-elect=false", "--secure-port=0", "--bind-address=127.0.0.1"])
            // A namespace goes when each kind in it was looked at, and suites delete many at once.
            .args(["--kube-api-qps=1000", "--kube-api-burst=2000"])
            .arg("--concurrent-namespace-syncs=40");
        command
    }
}
