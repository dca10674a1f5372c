//! Requests to a server through `kubectl proxy`, which does what TLS and credentials need.
//!
//! In: methods, paths and JSON. Out: status codes and JSON. One connection per request, in
//! HTTP/1.0, so that an answer ends where its connection does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::server::{PATIENCE, Process};

/// What kubectl prints before its address.
const GREETING: &str = "Starting to serve on ";

/// A way to ask a server.
pub struct Client {
    address: String,
    _proxy: Process,
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
        let mut command = Command::new(kubectl);
        command.args(["proxy", "--port=0"]).env("KUBECONFIG", kubeconfig).env("HOME", folder);
        let mut proxy = Process::start(&mut command, "", folder.join("proxy.log"))?;
        let printed =
            proxy.wait_for(|printed| printed.contains(GREETING) && printed.ends_with('\n'))?;
        let address = printed
            .lines()
            .find_map(|line| line.strip_prefix(GREETING))
            .with_context(|| format!("kubectl proxy does not serve:\n{printed}"))?;
        Ok(Self { address: address.trim().to_owned(), _proxy: proxy })
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
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: {content}\r\n\
             Accept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.exchange(&request).with_context(|| format!("cannot {method} {path}"))
    }

    fn exchange(&self, request: &str) -> Result<Answer> {
        let mut stream = TcpStream::connect(&self.address).context("the proxy is gone")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut bytes = vec![];
        stream.read_to_end(&mut bytes)?;
        read(&String::from_utf8_lossy(&bytes)).context("the answer is no HTTP")
    }
}

fn read(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
    Some(Answer { code, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let answer = read("HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n{\"message\":\"gone\"}").unwrap();
        assert_eq!((answer.code, answer.is_granted()), (404, false));
        assert_eq!(answer.granted().unwrap_err().to_string(), "404: gone");
        let answer = read("HTTP/1.0 200 OK\r\n\r\nok").unwrap();
        assert_eq!(answer.granted().unwrap(), "ok");
        assert!(read("nonsense").is_none());
    }
}
