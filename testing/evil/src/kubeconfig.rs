//! Kubeconfigs, as far as a proxy needs them.
//!
//! In: one that leads to the real server. Out: where that is and how to sign in; and another one
//! that leads to the proxy.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fixpoint_base::Limits;
use serde_json::{Value, json};

use crate::upstream::Trust;

/// The parts of a kubeconfig with one cluster and one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    /// Where the server is, such as `127.0.0.1:6443`.
    pub address: String,
    /// Whom it trusts, and how to sign in there.
    pub trust: Trust,
}

impl Kubeconfig {
    /// Reads one.
    ///
    /// # Errors
    /// When something that is needed is missing, or not in the file itself.
    pub fn read(text: &[u8]) -> Result<Self> {
        let documents = fixpoint_yaml::parse(text, &Limits::default())?;
        let config = documents.first().context("it is empty")?;
        let cluster = &config["clusters"][0]["cluster"];
        let user = &config["users"][0]["user"];
        let server = cluster["server"].as_str().context("it names no server")?;
        let address = server.strip_prefix("https://").context("the server is not https")?;
        Ok(Self {
            address: address.trim_end_matches('/').to_owned(),
            trust: Trust {
                ca: pem(cluster, "certificate-authority-data")?,
                certificate: pem(user, "client-certificate-data")?,
                key: pem(user, "client-key-data")?,
            },
        })
    }

    /// One for whoever goes through a proxy, which does not ask who they are.
    pub fn through(address: &str, ca: &str) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "evil",
            "clusters": [{"name": "evil", "cluster": {
                "server": format!("https://{address}"),
                "certificate-authority-data": STANDARD.encode(ca),
            }}],
            "users": [{"name": "evil", "user": {"token": "nobody-asks"}}],
            "contexts": [{"name": "evil", "context": {"cluster": "evil", "user": "evil"}}],
        })
        .to_string()
    }
}

fn pem(of: &Value, field: &str) -> Result<String> {
    let text = of[field].as_str().with_context(|| format!("it has no {field}"))?;
    let bytes = STANDARD.decode(text).with_context(|| format!("{field} is no base64"))?;
    String::from_utf8(bytes).with_context(|| format!("{field} is no text"))
}
