//! Requests through `kubectl proxy`.
//!
//! In: methods, paths and text. Out: answers. One connection per request, in HTTP/1.0, so that an
//! answer ends where its connection does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Answer;
use crate::e2e::process::{PATIENCE, Process};

/// What kubectl prints before its address.
const GREETING: &str = "Starting to serve on ";

/// A running proxy.
pub struct Proxy {
    address: String,
    _process: Process,
}

impl Proxy {
    /// Starts a proxy to the server of a kubeconfig.
    pub fn start(kubectl: &Path, kubeconfig: &Path, folder: &Path) -> Result<Self> {
        let mut command = Command::new(kubectl);
        command.args(["proxy", "--port=0"]).env("KUBECONFIG", kubeconfig).env("HOME", folder);
        let mut process = Process::start(&mut command, "", folder.join("proxy.log"))?;
        let printed =
            process.wait_for(|printed| printed.contains(GREETING) && printed.ends_with('\n'))?;
        let address = printed
            .lines()
            .find_map(|line| line.strip_prefix(GREETING))
            .with_context(|| format!("kubectl proxy does not serve:\n{printed}"))?;
        Ok(Self { address: address.trim().to_owned(), _process: process })
    }

    /// Asks for anything.
    pub fn send(&self, method: &str, path: &str, content: &str, body: &str) -> Result<Answer> {
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: {content}\r\n\
             Accept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
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
