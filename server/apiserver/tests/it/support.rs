//! Conversations with a server, written as text: one request a line, one answer a line.
//!
//! ```text
//! POST /api/v1/namespaces {"metadata":{"name":"shop"}}
//! PATCH merge /api/v1/namespaces/shop {"metadata":{"labels":{"a":"b"}}}
//! GET /api/v1/namespaces/shop
//! ```
//!
//! `$rv` and `$uid` stand for those of the last object, `$continue` for the token of the last
//! list. `gone PATH` waits until there is nothing at a path, `going PATH` until it is being deleted. Answers lose what differs from run
//! to run: UIDs, times, who owns which field, and versions.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use expect_test::Expect;
use fixpoint_apiserver::{ApiServer, Options, User};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tower::Service;

/// A server in memory, and a client that remembers what it was told last.
pub struct World {
    pub server: ApiServer,
    pub clock: Arc<AtomicI64>,
    pub user: User,
    last: Last,
}

#[derive(Default)]
struct Last {
    rv: String,
    uid: String,
    token: String,
}

/// 2026-01-01T00:00:00Z.
pub const BEGIN: i64 = 1_767_225_600;

pub fn options(clock: &Arc<AtomicI64>) -> Options {
    let clock = Arc::clone(clock);
    let now = move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap();
    Options { clock: Arc::new(now), ..Options::memory() }
}

impl World {
    pub async fn new() -> Self {
        let clock = Arc::new(AtomicI64::new(BEGIN));
        Self::with(options(&clock), clock).await
    }

    pub async fn with(options: Options, clock: Arc<AtomicI64>) -> Self {
        Self::of(ApiServer::open(options).await.unwrap(), clock)
    }

    pub fn of(server: ApiServer, clock: Arc<AtomicI64>) -> Self {
        Self { server, clock, user: User::admin(), last: Last::default() }
    }

    /// Has a conversation; gives the answers.
    pub async fn run(&mut self, script: &str) -> String {
        let mut out = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(path) = line.strip_prefix("gone ") {
                self.wait_until_gone(path).await;
                continue;
            }
            if let Some(path) = line.strip_prefix("going ") {
                self.wait_until_going(path).await;
                continue;
            }
            let asked = Asked::parse(&self.fill(line));
            let response = self.ask(&asked).await;
            out.push_str(&without_uuids(&self.tell(response).await));
            out.push('\n');
        }
        out
    }

    fn fill(&self, line: &str) -> String {
        let Last { rv, uid, token } = &self.last;
        line.replace("$rv", rv).replace("$uid", uid).replace("$continue", token)
    }

    async fn wait_until_gone(&mut self, path: &str) {
        for _ in 0..10_000 {
            let response = self.ask(&Asked::parse(&format!("GET {path}"))).await;
            if response.status() == 404 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        panic!("{path} did not go");
    }

    async fn wait_until_going(&mut self, path: &str) {
        for _ in 0..10_000 {
            let response = self.ask(&Asked::parse(&format!("GET {path}"))).await;
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let object: Value = serde_json::from_slice(&body).unwrap();
            if object["metadata"]["deletionTimestamp"].is_string() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        panic!("{path} is not going");
    }

    pub async fn ask(&self, asked: &Asked) -> Response<fixpoint_apiserver::Body> {
        let mut request = Request::builder().method(asked.method.as_str()).uri(&asked.path);
        if let Some(headers) = request.headers_mut() {
            headers.extend(asked.headers.clone());
        }
        let request = request.body(Full::new(asked.body.clone())).unwrap();
        self.server.service(self.user.clone()).call(request).await.unwrap()
    }

    /// Asks and gives the whole object that is answered.
    pub async fn object(&mut self, line: &str) -> Value {
        let asked = Asked::parse(&self.fill(line));
        let response = self.ask(&asked).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    async fn tell(&mut self, response: Response<fixpoint_apiserver::Body>) -> String {
        let code = response.status().as_u16();
        let warnings: Vec<String> = response
            .headers()
            .get_all("warning")
            .iter()
            .map(|warning| format!("\n  warning: {}", warning.to_str().unwrap()))
            .collect();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = match serde_json::from_slice::<Value>(&body) {
            Ok(value) => {
                self.remember(&value);
                describe(&value)
            }
            Err(_) => String::from_utf8_lossy(&body).trim_end().to_owned(),
        };
        format!("{code} {text}{}", warnings.concat())
    }

    fn remember(&mut self, value: &Value) {
        let text = |field: &str| value["metadata"][field].as_str().map(str::to_owned);
        if let Some(rv) = text("resourceVersion") {
            self.last.rv = rv;
        }
        if let Some(uid) = text("uid") {
            self.last.uid = uid;
        }
        if let Some(token) = text("continue") {
            self.last.token = token;
        }
    }
}

/// One request.
pub struct Asked {
    method: String,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    /// Reads `METHOD [kind of patch] path [accept=…] [as=…] body`.
    pub fn parse(line: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", "test/1.0".parse().unwrap());
        let (method, mut rest) = line.split_once(' ').unwrap();
        if method == "PATCH" {
            let (flavor, after) = rest.split_once(' ').unwrap();
            let media = match flavor {
                "json" => "application/json-patch+json",
                "merge" => "application/merge-patch+json",
                "strategic" => "application/strategic-merge-patch+json",
                "apply" => "application/apply-patch+yaml",
                other => other,
            };
            headers.insert("content-type", media.parse().unwrap());
            rest = after;
        }
        let (path, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        while let Some((name, after)) =
            rest.split_once('=').filter(|_| !rest.starts_with(['{', '[']))
        {
            let (value, after) = after.split_once(' ').unwrap_or((after, ""));
            headers.insert(
                http::HeaderName::try_from(name).unwrap(),
                value.replace('+', " ").parse().unwrap(),
            );
            rest = after;
        }
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            body: Bytes::from(rest.to_owned()),
        }
    }
}

/// An answer in one line.
pub fn describe(value: &Value) -> String {
    if value["kind"] == "Status" && value["status"] == "Failure" {
        let reason = value["reason"].as_str().unwrap_or("");
        return format!("{reason}: {}", value["message"].as_str().unwrap_or(""));
    }
    if let Some(items) = value["items"].as_array() {
        let names: Vec<&str> =
            items.iter().map(|item| item["metadata"]["name"].as_str().unwrap_or("?")).collect();
        let more = match value["metadata"]["remainingItemCount"].as_u64() {
            Some(count) => format!(" and {count} more"),
            None if value["metadata"]["continue"].is_string() => " and more".to_owned(),
            None => String::new(),
        };
        return format!("{} [{}]{more}", value["kind"].as_str().unwrap_or(""), names.join(" "));
    }
    pruned(value).to_string()
}

/// An object without what differs from run to run.
pub fn pruned(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["uid", "creationTimestamp", "resourceVersion", "managedFields"] {
            metadata.remove(field);
        }
    }
    if let Some(details) = value.get_mut("details").and_then(Value::as_object_mut) {
        details.remove("uid");
    }
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, field| *field != Value::Object(Map::new()));
    }
    value
}

/// Replaces what looks like a UUID.
fn without_uuids(text: &str) -> String {
    let is_uuid = |text: &str| {
        text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match rest.get(..36) {
            Some(uuid) if is_uuid(uuid) => {
                out.push_str("<uid>");
                rest = &rest[36..];
            }
            _ => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

/// Has a conversation with a new server.
pub fn check(script: &str, answers: Expect) {
    let said = block_on(async {
        let mut world = World::new().await;
        world.run(script).await
    });
    answers.assert_eq(&said);
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// A definition of `Widget`s in `example.com`, as one line of JSON.
pub fn widgets() -> String {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1},
                    "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                    "replicas": {"type": "integer"},
                    "parts": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {"type": "object", "required": ["name"], "properties": {
                            "name": {"type": "string"}, "count": {"type": "integer"}}}
                    }
                }
            },
            "status": {"type": "object", "properties": {
                "ready": {"type": "boolean"}, "replicas": {"type": "integer"}}}
        }
    });
    let version = |name: &str, storage: bool| {
        serde_json::json!({"name": name, "served": true, "storage": storage,
            "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas"}},
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]})
    };
    serde_json::json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget",
                "shortNames": ["wd"], "categories": ["all"]},
            "versions": [version("v1", true), version("v1beta1", false)]}
    })
    .to_string()
}

/// A new server that knows widgets.
pub async fn with_widgets() -> World {
    let mut world = World::new().await;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let made = world.object(&format!("POST {path} {}", widgets())).await;
    assert_eq!(made["kind"], "CustomResourceDefinition", "{made}");
    world
}

/// Has a conversation with a new server that knows widgets.
pub fn check_widgets(script: &str, answers: Expect) {
    let said = block_on(async { with_widgets().await.run(script).await });
    answers.assert_eq(&said);
}
