//! Reads the engine's own API, wherever the engine runs.
//!
//! In: a connection to an API server. Out: answers. A standalone engine serves its own API beside
//! the Kubernetes one. An engine in a cluster says in a ConfigMap where it is and who signed its
//! certificate; it is sent a token that the API server made for it and that is of no use
//! elsewhere, and only over a connection with that certificate. Never sent: the caller's own
//! credentials.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use fixpoint_cluster::announce::{self, Announcement};
use fixpoint_cluster::names::{AUDIENCE, ENGINE, NAMESPACE, READER};
use kube::config::AuthInfo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::client::Client;
use crate::report::{Advice, advice};

/// The shortest that the API server makes.
const TOKEN_SECONDS: u64 = 600;
/// Verifying a long ledger takes a while.
const ANSWER: Duration = Duration::from_secs(300);
/// A place that does not answer is not worth a person's patience.
const CONNECT: Duration = Duration::from_secs(5);

impl Client {
    /// Reads from the engine's own API.
    pub async fn engine(&self, path: &str) -> Result<Value> {
        self.ask(http::Request::get(path)).await
    }

    /// Asks the engine's own API for something that it makes.
    pub async fn engine_make(&self, path: &str) -> Result<Value> {
        self.ask(http::Request::post(path)).await
    }

    async fn ask(&self, request: http::request::Builder) -> Result<Value> {
        let request = request.body(Vec::new())?;
        let text = if self.is_standalone().await? {
            self.kube.request_text(request).await.map_err(|err| self.explain(err))?
        } else {
            let said = self.announced().await?;
            let engine = self.in_cluster(&said).await?;
            engine.request_text(request).await.map_err(|err| unreached(err, &said, self))?
        };
        serde_json::from_str(&text).context("the engine's answer is not JSON")
    }

    /// Whether the API server is the one that a standalone engine has in it.
    pub async fn is_standalone(&self) -> Result<bool> {
        let version = self.kube.apiserver_version().await.map_err(|err| self.explain(err))?;
        Ok(version.git_version.ends_with("+fixpoint"))
    }

    async fn announced(&self) -> Result<Announcement> {
        let found = announce::find(&self.kube).await.map_err(|err| self.explain(err))?;
        found.ok_or_else(|| {
            advice(
                format!("no engine has said in {} where it is", self.server),
                format!(
                    "install one with `fixpoint install`, or see why it does not start: \
                     kubectl -n {NAMESPACE} logs deploy/fixpoint"
                ),
            )
        })
    }

    async fn in_cluster(&self, said: &Announcement) -> Result<kube::Client> {
        let at = self.engine.as_deref().unwrap_or(&said.address);
        let url = format!("https://{at}");
        let url = url.parse().with_context(|| format!("{at:?} is no address of an engine"))?;
        let authority: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(said.authority.as_bytes())
            .filter_map(|found| Some(found.ok()?.to_vec()))
            .collect();
        if authority.is_empty() || said.server_name.is_empty() {
            // Without them any server would do.
            bail!("the ConfigMap {NAMESPACE}/{ENGINE} names no authority for the engine");
        }
        let mut config = kube::Config::new(url);
        config.root_cert = Some(authority);
        config.tls_server_name = Some(said.server_name.clone());
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(ANSWER);
        // A proxy of the environment is for other places.
        config.proxy_url = None;
        let token = self.token().await?;
        config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        kube::Client::try_from(config).context("the engine's certificate cannot be used")
    }

    /// A token for the engine alone, made by the API server for who may have one.
    async fn token(&self) -> Result<String> {
        let wanted = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [AUDIENCE], "expirationSeconds": TOKEN_SECONDS},
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{READER}/token");
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(wanted.to_string().into_bytes())?;
        let made: Value = self.kube.request(request).await.map_err(|err| {
            self.explain(err).context(Advice {
                message: "the API server made no token for the engine's own API".to_owned(),
                hint: format!(
                    "whoever reads it must be allowed to create serviceaccounts/token of \
                     {NAMESPACE}/{READER}"
                ),
            })
        })?;
        let token = made["status"]["token"].as_str().filter(|token| !token.is_empty());
        token.map(str::to_owned).context("the API server's answer holds no token")
    }
}

fn unreached(err: kube::Error, said: &Announcement, client: &Client) -> anyhow::Error {
    match err {
        err @ kube::Error::Api(_) => crate::client::plain(err),
        err => {
            let at = client.engine.as_deref().unwrap_or(&said.address);
            anyhow::anyhow!("{}", crate::client::root(&err)).context(Advice {
                message: format!("could not reach the engine at {at}"),
                hint: format!(
                    "from outside of the cluster: kubectl -n {NAMESPACE} port-forward svc/fixpoint \
                     9443, and add --engine 127.0.0.1:9443"
                ),
            })
        }
    }
}
