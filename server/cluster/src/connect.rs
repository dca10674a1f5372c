//! Connects to the cluster that is home.
//!
//! In: a kubeconfig that the administrator named, or the ServiceAccount of the pod. Out: clients,
//! and the identity of the cluster. Never here: a program that a kubeconfig names is run; a
//! kubeconfig that nobody named is read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fixpoint_base::{Class, Classified};
use k8s_openapi::api::core::v1::Namespace;
use kube::client::ClientBuilder;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config};

use crate::guard::GuardLayer;
use crate::tenure::Tenure;

/// How the cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// As this kubeconfig says.
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// A context in it; the current one where there is none.
        context: Option<String>,
    },
    /// As the ServiceAccount of the pod that we run in.
    InCluster,
}

/// Why the cluster cannot be home.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file cannot be read, or is no kubeconfig.
    #[error("kubeconfig {} cannot be used", file.display())]
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// The cause.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// The user of the kubeconfig is who a program or a login page says.
    #[error("kubeconfig {} {how}, and the controller runs no program to log in", file.display())]
    Plugin {
        /// The file.
        file: PathBuf,
        /// What it asks for.
        how: String,
    },
    /// There is no ServiceAccount.
    #[error("this process does not run in a pod with a ServiceAccount")]
    NotInCluster(#[source] kube::config::InClusterError),
    /// No client can be made of it.
    #[error("no connection to {server} can be made")]
    Client {
        /// The address.
        server: String,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// It did not say which cluster it is.
    #[error("could not ask {server} which cluster it is: {why}")]
    Identity {
        /// The address.
        server: String,
        /// What it said instead.
        why: String,
        /// Whether it said no, rather than nothing.
        refused: bool,
    },
}

impl Classified for ConnectError {
    fn class(&self) -> Class {
        match self {
            Self::Kubeconfig { .. } | Self::NotInCluster(_) | Self::Client { .. } => Class::User,
            Self::Plugin { .. } => Class::Refused,
            Self::Identity { refused: true, .. } => Class::Refused,
            Self::Identity { refused: false, .. } => Class::Transient,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Kubeconfig { .. } => "name a kubeconfig with --kubeconfig",
            Self::Plugin { .. } => "make a kubeconfig with a certificate or a token of its own",
            Self::NotInCluster(_) => "outside of a cluster, name a kubeconfig with --kubeconfig",
            Self::Client { .. } => "check the certificates in the kubeconfig",
            Self::Identity { refused: true, .. } => {
                "let it read the namespace kube-system; `fixpoint install --export` prints the role"
            }
            Self::Identity { refused: false, .. } => {
                "check the address, and whether the API server runs"
            }
        };
        Some(hint.to_owned())
    }
}

/// A connection to the cluster that is home.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The address of its API server.
    pub server: String,
    /// The uid of its namespace kube-system, which is its identity.
    pub uid: String,
    config: Config,
}

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A watch brings at least a bookmark a minute; one that is silent for so long is dead.
const SILENCE: Duration = Duration::from_secs(290);

/// Connects, and asks which cluster it is.
///
/// # Errors
/// When it cannot be reached, or may not be used.
pub async fn connect(access: &Access) -> Result<Connection, ConnectError> {
    let mut config = config(access).await?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    let server = config.cluster_url.to_string();
    let mut connection = Connection { server, uid: String::new(), config };
    connection.uid = connection.identity().await?;
    Ok(connection)
}

impl Connection {
    /// A client that changes something only while the tenure holds.
    ///
    /// # Errors
    /// When TLS refuses what the kubeconfig says.
    pub fn guarded(&self, tenure: Tenure) -> Result<Client, ConnectError> {
        self.client_with(GuardLayer { tenure: Some(tenure) })
    }

    /// A client for the lease itself, and for questions.
    ///
    /// # Errors
    /// When TLS refuses what the kubeconfig says.
    pub fn client(&self) -> Result<Client, ConnectError> {
        self.client_with(GuardLayer { tenure: None })
    }

    fn client_with(&self, layer: GuardLayer) -> Result<Client, ConnectError> {
        let builder = ClientBuilder::try_from(self.config.clone()).map_err(|source| {
            ConnectError::Client { server: self.server.clone(), source: Box::new(source) }
        })?;
        Ok(builder.with_layer(&layer).build())
    }

    async fn identity(&self) -> Result<String, ConnectError> {
        let failed = |why: String, refused| ConnectError::Identity {
            server: self.server.clone(),
            why,
            refused,
        };
        let namespaces: Api<Namespace> = Api::all(self.client()?);
        let found = namespaces.get("kube-system").await.map_err(|err| {
            let refused = matches!(&err, kube::Error::Api(status) if status.code < 500);
            failed(crate::words(&err), refused)
        })?;
        let uid = found.metadata.uid.filter(|uid| !uid.is_empty());
        uid.ok_or_else(|| failed("its namespace kube-system has no uid".to_owned(), true))
    }
}

async fn config(access: &Access) -> Result<Config, ConnectError> {
    match access {
        Access::InCluster => Config::incluster().map_err(ConnectError::NotInCluster),
        Access::Kubeconfig { file, context } => {
            let failed =
                |source| ConnectError::Kubeconfig { file: file.clone(), source: Box::new(source) };
            let kubeconfig = Kubeconfig::read_from(file).map_err(failed)?;
            check_users(&kubeconfig, file)?;
            let options = KubeConfigOptions { context: context.clone(), ..Default::default() };
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failed)
        }
    }
}

/// A login program runs with our rights, and a login page waits for a person: neither belongs in a
/// controller. All users are looked at, since which one is meant is one edit away.
fn check_users(kubeconfig: &Kubeconfig, file: &Path) -> Result<(), ConnectError> {
    for named in &kubeconfig.auth_infos {
        let Some(AuthInfo { exec, auth_provider, .. }) = &named.auth_info else { continue };
        let how = match (exec, auth_provider) {
            (Some(_), _) => format!("runs a program to log {} in", named.name),
            (None, Some(provider)) => format!("logs {} in with {}", named.name, provider.name),
            (None, None) => continue,
        };
        return Err(ConnectError::Plugin { file: file.to_owned(), how });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(users: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
             contexts: [{{name: a, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}]\n\
             users: [{{name: u, user: {users}}}]\n"
        );
        std::fs::write(&file, text).unwrap();
        let access = Access::Kubeconfig { file, context: None };
        match config(&access).await {
            Ok(config) => config.cluster_url.to_string(),
            Err(err) => {
                let text = fixpoint_base::Chain(&err).to_string();
                text.replace(dir.path().to_str().unwrap(), "DIR")
            }
        }
    }

    #[tokio::test]
    async fn no_program_is_run_to_log_in() {
        assert_eq!(
            check("{exec: {command: /bin/true, apiVersion: client.authentication.k8s.io/v1}}")
                .await,
            "kubeconfig DIR/config runs a program to log u in, and the controller runs no program \
             to log in"
        );
        let provider = check("{auth-provider: {name: gcp, config: {}}}").await;
        assert!(provider.contains("logs u in with gcp"), "{provider}");
        assert_eq!(check("{token: abc}").await, "https://127.0.0.1:1/");
    }
}
