//! Requests to a server.
//!
//! In: methods, paths and JSON. Out: status codes and JSON. A server of whom there is nothing but
//! a kubeconfig is asked through `kubectl proxy`, which does what TLS and credentials need; one
//! whose keys are at hand is asked directly, over connections that are kept.

mod https;
mod proxy;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

pub use self::https::Https;
use self::proxy::Proxy;

/// A way to ask a server.
pub struct Client(Way);

enum Way {
    Proxy(Proxy),
    Https(Https),
}

/// What a server said.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub code: u16,
    /// The object, the list, or the `Status`; null where the body is no JSON.
    pub body: Value,
}

impl Answer {
    /// Whether it was granted.
    pub fn is_granted(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Its body, or why there is none.
    pub fn granted(self) -> Result<Value> {
        if !self.is_granted() {
            bail!("{}: {}", self.code, self.body["message"].as_str().unwrap_or("no reason given"));
        }
        Ok(self.body)
    }
}

impl Client {
    /// Starts a proxy to the server of a kubeconfig.
    pub fn start(kubectl: &Path, kubeconfig: &Path, folder: &Path) -> Result<Self> {
        Ok(Self(Way::Proxy(Proxy::start(kubectl, kubeconfig, folder)?)))
    }

    /// Asks directly.
    pub fn direct(https: Https) -> Self {
        Self(Way::Https(https))
    }

    /// Reads; `None` where nothing is there.
    pub fn get(&self, path: &str) -> Result<Option<Value>> {
        let answer = self.send("GET", path, "application/json", None)?;
        if answer.code == 404 {
            return Ok(None);
        }
        answer.granted().map(Some).with_context(|| format!("cannot read {path}"))
    }

    /// Creates, in a collection.
    pub fn create(&self, path: &str, object: &Value) -> Result<Answer> {
        self.send("POST", path, "application/json", Some(object))
    }

    /// Merges into what is there.
    pub fn merge(&self, path: &str, patch: &Value) -> Result<Answer> {
        self.send("PATCH", path, "application/merge-patch+json", Some(patch))
    }

    /// Deletes.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        self.send("DELETE", path, "application/json", None)
    }

    /// Asks for anything.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        content: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = match &self.0 {
            Way::Proxy(proxy) => proxy.send(method, path, content, &body),
            Way::Https(https) => https.send(method, path, content, body),
        };
        answer.with_context(|| format!("cannot {method} {path}"))
    }
}
