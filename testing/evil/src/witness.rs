//! An audit log for a server that keeps none: what it was asked, as Kubernetes writes it.
//!
//! In: requests on their way to the server, and the codes of its answers. Out: lines of
//! `audit.k8s.io/v1` events. A request is written down before it is sent, and again with its
//! answer. Never the body of a Secret.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::script::Asked;

type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Writes down the mutations that one user asks for.
#[derive(Clone)]
pub struct Witness {
    user: String,
    clock: Clock,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    next: usize,
    text: String,
    file: Option<File>,
}

/// A request that was written down.
#[derive(Debug, Clone)]
pub struct Seen(Value);

impl Witness {
    /// A witness that remembers.
    pub fn new(user: &str, clock: Clock) -> Self {
        Self { user: user.to_owned(), clock, notes: Arc::default() }
    }

    /// Has the lines in a file besides.
    ///
    /// # Errors
    /// When there can be no such file.
    pub fn writing_to(self, path: &Path) -> Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).file = Some(file);
        Ok(self)
    }

    /// Every line so far.
    pub fn log(&self) -> String {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).text.clone()
    }

    /// Takes note of a request; `None` where it only reads.
    pub fn received(&self, request: &Request<Bytes>) -> Option<Seen> {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let asked = Asked { method: request.method().as_str(), path, query };
        let about = asked.is_write().then(|| object(path)).flatten()?;
        let verb = match asked.method {
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            _ if about["name"] == "" => "deletecollection",
            _ => "delete",
        };
        let mut event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Request",
            "stage": "RequestReceived", "verb": verb, "user": {"username": self.user},
            "requestURI": request.uri().path_and_query().map_or(path, |uri| uri.as_str()),
            "requestReceivedTimestamp": (self.clock)().to_string(),
            "objectRef": about,
        });
        let secret = event["objectRef"]["resource"] == "secrets";
        if let Some(body) = serde_json::from_slice(request.body()).ok().filter(|_| !secret) {
            event["requestObject"] = body;
        }
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.next += 1;
        event["auditID"] = format!("witness-{}", notes.next).into();
        notes.write(&event);
        Some(Seen(event))
    }

    /// Takes note of the answer.
    pub fn answered(&self, seen: Seen, code: u16) {
        let Seen(mut event) = seen;
        event["stage"] = "ResponseComplete".into();
        event["responseStatus"] = json!({"code": code});
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).write(&event);
    }
}

impl Notes {
    fn write(&mut self, event: &Value) {
        let line = format!("{event}\n");
        if let Some(file) = &mut self.file {
            // A hole in the file is found by whoever reads it: a mutation without its line.
            let _written = file.write_all(line.as_bytes());
        }
        self.text.push_str(&line);
    }
}

/// What a path names; `None` where it is no resource's.
fn object(path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if rest.len() > 1 || is_plural(rest) => {
            (*namespace, rest)
        }
        rest => ("", rest),
    };
    let part = |at: usize| rest.get(at).copied().unwrap_or_default();
    (!part(0).is_empty()).then(|| {
        json!({
            "apiGroup": group, "apiVersion": version, "namespace": namespace,
            "resource": part(0), "name": part(1), "subresource": part(2),
        })
    })
}

/// What follows the name of a namespace is a resource, unless it is a part of the namespace.
fn is_plural(rest: &[&str]) -> bool {
    matches!(rest, [word] if !matches!(*word, "status" | "finalize"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_objects() {
        for (path, expected) in [
            ("/api/v1/namespaces/d/configmaps/a", " v1 d configmaps a "),
            ("/api/v1/namespaces/d/configmaps", " v1 d configmaps  "),
            ("/api/v1/namespaces/d", " v1  namespaces d "),
            ("/api/v1/namespaces/d/finalize", " v1  namespaces d finalize"),
            ("/apis/apps/v1/namespaces/d/deployments/a/scale", "apps v1 d deployments a scale"),
            ("/apis/x.org/v1/things/a", "x.org v1  things a "),
        ] {
            let about = object(path).unwrap();
            let fields = ["apiGroup", "apiVersion", "namespace", "resource", "name", "subresource"];
            let found = fields.map(|field| about[field].as_str().unwrap()).join(" ");
            assert_eq!(found, expected, "{path}");
        }
        assert!(object("/version").is_none());
    }

    #[test]
    fn secrets_are_not_written_down() {
        let witness = Witness::new("fixpoint", Arc::new(|| Timestamp::UNIX_EPOCH));
        for resource in ["secrets", "configmaps"] {
            let request = Request::patch(format!("/api/v1/namespaces/d/{resource}/a?force=true"));
            let request = request.body(Bytes::from_static(br#"{"data":{"v":"c2VjcmV0"}}"#));
            let seen = witness.received(&request.unwrap()).unwrap();
            witness.answered(seen, 201);
        }
        let log = witness.log();
        assert_eq!(log.lines().count(), 4);
        assert_eq!(log.matches("c2VjcmV0").count(), 2, "{log}");
        assert!(!log.lines().take(2).any(|line| line.contains("requestObject")), "{log}");
    }
}
