//! How a command finds the engine: a kubeconfig, the data directory's by default.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::report::{Advice, advice};

/// Where the engine is and which namespace is meant.
#[derive(Debug, Clone, clap::Args)]
pub struct Connection {
    /// Kubeconfig to use [default: $KUBECONFIG, then the data directory's]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub context: Option<String>,
    /// Namespace [default: the context's]
    #[arg(short, long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub namespace: Option<String>,
    /// Where the engine keeps its state
    /// [default: $XDG_STATE_HOME/fixpoint or ~/.local/state/fixpoint]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Connection")]
    pub data_dir: Option<PathBuf>,
    /// Where to reach the API of an engine in a cluster, such as a forwarded port; its certificate
    /// is checked all the same [default: where it says it is]
    #[arg(long, global = true, value_name = "HOST:PORT", help_heading = "Connection")]
    pub engine: Option<String>,
}

impl Connection {
    /// The data directory, given or by default.
    pub fn data_dir(&self) -> Result<PathBuf> {
        if let Some(dir) = &self.data_dir {
            return Ok(dir.clone());
        }
        if let Some(state) = std::env::var_os("XDG_STATE_HOME").filter(|dir| !dir.is_empty()) {
            return Ok(Path::new(&state).join("fixpoint"));
        }
        let home = std::env::var_os("HOME").filter(|dir| !dir.is_empty()).ok_or_else(|| {
            advice("there is no home directory to keep state in", "name one with --data-dir")
        })?;
        Ok(Path::new(&home).join(".local/state/fixpoint"))
    }

    /// Connects to the engine; never looks at `~/.kube/config`.
    pub async fn client(&self) -> Result<Client> {
        self.connect(self.kubeconfig_file()?).await
    }

    /// Connects to a cluster that was named, with `--kubeconfig` or `$KUBECONFIG`.
    pub async fn named_client(&self) -> Result<Client> {
        let file = self.named_file().ok_or_else(|| {
            advice(
                "no cluster is named",
                "name a kubeconfig with --kubeconfig or $KUBECONFIG; ~/.kube/config is not read",
            )
        })?;
        self.connect(file).await
    }

    async fn connect(&self, file: PathBuf) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(&file)
            .with_context(|| format!("could not read kubeconfig {}", file.display()))?;
        let options = KubeConfigOptions { context: self.context.clone(), ..Default::default() };
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .with_context(|| format!("kubeconfig {} cannot be used", file.display()))?;
        config.connect_timeout = Some(std::time::Duration::from_secs(5));
        config.read_timeout = Some(std::time::Duration::from_secs(300));
        let server = config.cluster_url.to_string();
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let kube = kube::Client::try_from(config)
            .with_context(|| format!("kubeconfig {} cannot be used", file.display()))?;
        Ok(Client { kube, namespace, server, engine: self.engine.clone() })
    }

    fn named_file(&self) -> Option<PathBuf> {
        let from_environment =
            || std::env::var_os("KUBECONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
        self.kubeconfig.clone().or_else(from_environment)
    }

    fn kubeconfig_file(&self) -> Result<PathBuf> {
        if let Some(file) = self.named_file() {
            return Ok(file);
        }
        let file = self.data_dir()?.join("kubeconfig");
        if !file.exists() {
            return Err(advice(
                format!("there is no kubeconfig at {}", file.display()),
                "start the engine with `fixpoint up`, or name a kubeconfig with --kubeconfig",
            ));
        }
        Ok(file)
    }
}

/// A connection to the engine.
pub struct Client {
    /// The Kubernetes client.
    pub kube: kube::Client,
    /// The namespace meant by commands that name none.
    pub namespace: String,
    /// Where the engine is.
    pub server: String,
    /// Where the API of an engine in a cluster is reached, if not where it says it is.
    pub engine: Option<String>,
}

impl Client {
    /// Says in one sentence what a failed request means.
    pub fn explain(&self, err: kube::Error) -> anyhow::Error {
        match err {
            kube::Error::Api(status) if status.code == 401 => advice(
                format!("{} does not know these credentials", self.server),
                "use the kubeconfig that the engine wrote to its data directory",
            ),
            err @ (kube::Error::Service(_) | kube::Error::HyperError(_)) => {
                anyhow::anyhow!("{}", root(&err)).context(Advice {
                    message: format!("could not reach the engine at {}", self.server),
                    hint: "is `fixpoint up` running?".to_owned(),
                })
            }
            err => plain(err),
        }
    }
}

/// What lies at the bottom of an error: the layers above it only say that something failed.
pub fn root<'a>(
    err: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    let mut root = err;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

/// What an API server said, in its own words and without the client's.
pub fn plain(err: kube::Error) -> anyhow::Error {
    match err {
        kube::Error::Api(status) => anyhow::anyhow!("{}", status.message),
        err => err.into(),
    }
}
