//! The audit log of an API server: what it was asked, and by whom.
//!
//! In: lines of JSON. Out: the requests in them.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asked.
    pub user: String,
    /// What for, such as `patch`.
    pub verb: String,
    /// Where, with what was asked after a question mark.
    pub path: String,
    /// How it was answered.
    pub code: u64,
}

impl Request {
    /// Reads a line; `None` where it is none of a request that was answered.
    fn parse(line: &str) -> Option<Self> {
        let event: Value = serde_json::from_str(line).ok()?;
        if event["stage"] != "ResponseComplete" {
            return None;
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            user: text(&event["user"]["username"])?,
            verb: text(&event["verb"])?,
            path: text(&event["requestURI"])?,
            code: event["responseStatus"]["code"].as_u64()?,
        })
    }

    /// Whether it changed something, or would have.
    pub fn is_mutation(&self) -> bool {
        let verbs = ["create", "update", "patch", "delete", "deletecollection"];
        verbs.contains(&self.verb.as_str()) && !self.path.contains("dryRun=")
    }
}

/// The requests of a user in a log, from a line on.
pub fn read(log: &Path, user: &str, from: usize) -> Result<Vec<Request>> {
    let file = File::open(log).context("there is no audit log")?;
    let mut requests = vec![];
    for line in BufReader::new(file).lines().skip(from) {
        let line = line.context("cannot read the audit log")?;
        // Most lines are of others; the test is cheaper than reading them.
        if line.contains(user) {
            requests.extend(Request::parse(&line).filter(|request| request.user == user));
        }
    }
    Ok(requests)
}

/// How many lines a log has.
pub fn length(log: &Path) -> Result<usize> {
    let file = File::open(log).context("there is no audit log")?;
    Ok(BufReader::new(file).lines().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        let line = |verb: &str, uri: &str| {
            format!(
                r#"{{"stage":"ResponseComplete","verb":"{verb}","requestURI":"{uri}",
                "user":{{"username":"fixpoint"}},"responseStatus":{{"code":200}}}}"#
            )
        };
        let request = Request::parse(&line("patch", "/api/v1/x?fieldManager=fixpoint")).unwrap();
        assert_eq!((request.user.as_str(), request.code), ("fixpoint", 200));
        assert!(request.is_mutation());
        assert!(!Request::parse(&line("patch", "/api/v1/x?dryRun=All")).unwrap().is_mutation());
        assert!(!Request::parse(&line("get", "/api/v1/x")).unwrap().is_mutation());
        assert_eq!(Request::parse(r#"{"stage":"RequestReceived"}"#), None);
    }
}
