//! Requests to a server whose keys are at hand.
//!
//! In: methods, paths and text. Out: answers. Connections are kept and may be shared by threads.

use anyhow::{Context as _, Result};
use reqwest::blocking::Client;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Certificate, Identity, Method};
use serde_json::Value;

use super::Answer;
use crate::e2e::process::PATIENCE;

/// A server, and who asks it.
pub struct Https {
    address: String,
    client: Client,
}

impl Https {
    /// Trusts the authority, and shows the certificate; all as PEM.
    pub fn new(address: &str, authority: &str, certificate: &str, key: &str) -> Result<Self> {
        // Another client of this process may have been first, which is as good.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let identity = Identity::from_pem(format!("{certificate}{key}").as_bytes())
            .context("a certificate cannot be shown")?;
        let authority = Certificate::from_pem(authority.as_bytes())
            .context("an authority cannot be trusted")?;
        let client = Client::builder()
            .tls_certs_only([authority])
            .identity(identity)
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .context("cannot make an HTTPS client")?;
        Ok(Self { address: address.to_owned(), client })
    }

    /// Asks for anything.
    pub fn send(&self, method: &str, path: &str, content: &str, body: String) -> Result<Answer> {
        let method = Method::from_bytes(method.as_bytes()).context("it is no method")?;
        let response = self
            .client
            .request(method, format!("{}{path}", self.address))
            .header(CONTENT_TYPE, content)
            .header(ACCEPT, "application/json")
            .body(body)
            .send()?;
        let code = response.status().as_u16();
        let body = response.text()?;
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        Ok(Answer { code, body })
    }
}
