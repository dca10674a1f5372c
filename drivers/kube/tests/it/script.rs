//! A server that answers by script, and writes down what it was asked.
//!
//! A line of a script is `METHOD PATH -> CODE JSON`; the path is compared without its query, and
//! each line answers once, the first that fits, unless it ends in `…` (again and again). `hang`
//! in place of a code never answers, `break` breaks the connection, `429:7` asks for seven seconds.
//! `/api/v1` and `/apis/…/v1` are answered by themselves with a few kinds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fixpoint_base::{Digest, Gvk, Key, Secret};
use fixpoint_driver_kube::{KubeTarget, Settings};
use fixpoint_ledger::{Action, Intent, Permit, Receipt};
use fixpoint_plan::{LiveObject, Owner, Stage, Step, Verb, Why};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};

#[derive(Debug, Clone)]
struct Line {
    method: String,
    path: String,
    answer: String,
    body: String,
    forever: bool,
}

/// What the server knows and heard.
#[derive(Clone, Default)]
pub struct Server {
    lines: Arc<Mutex<Vec<Line>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn new(script: &str) -> Self {
        let lines = script.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
            let (line, forever) = match line.strip_suffix('…') {
                Some(line) => (line.trim(), true),
                None => (line, false),
            };
            let (call, answer) = line.split_once(" -> ").expect("METHOD PATH -> CODE JSON");
            let (method, path) = call.split_once(' ').expect("METHOD PATH");
            let (answer, body) = answer.split_once(' ').unwrap_or((answer, "{}"));
            Line {
                method: method.to_owned(),
                path: path.to_owned(),
                answer: answer.to_owned(),
                body: body.to_owned(),
                forever,
            }
        });
        Self { lines: Arc::new(Mutex::new(lines.collect())), heard: Arc::default() }
    }

    /// The requests so far, one a line.
    pub fn heard(&self) -> String {
        let mut heard = self.heard.lock().unwrap().join("\n");
        heard.push('\n');
        heard
    }

    pub fn target(&self) -> KubeTarget {
        let key = Arc::new(Secret::new(b"key".to_vec()));
        let settings = Settings {
            call_limit: Duration::from_secs(5),
            establish_limit: Duration::from_secs(3),
            replace_limit: Duration::from_secs(3),
            ..Settings::new("test", key)
        };
        KubeTarget::new(self.client(), settings)
    }

    fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { server.answer(request).await }
        });
        kube::Client::new(service, "default")
    }

    async fn answer(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Full<Bytes>>, tower::BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let line = self.take(head.method.as_str(), head.uri.path());
        if line.is_none()
            && let Some(kinds) = kinds(head.uri.path())
        {
            return Ok(respond(200, &kinds.to_string(), None));
        }
        let said = format!("{} {}", head.method, head.uri);
        let said = match body.len() {
            0 => said,
            1..=200 => format!("{said} {}", String::from_utf8_lossy(&body)),
            length => format!("{said} ({length} bytes)"),
        };
        self.heard.lock().unwrap().push(said);
        let Some(line) = line else {
            return Ok(respond(500, r#"{"message":"not in the script"}"#, None));
        };
        match line.answer.split_once(':').unwrap_or((&line.answer, "")) {
            ("hang", _) => std::future::pending().await,
            ("break", _) => Err("the connection broke".into()),
            (code, after) => Ok(respond(code.parse()?, &line.body, after.parse().ok())),
        }
    }

    fn take(&self, method: &str, path: &str) -> Option<Line> {
        let mut lines = self.lines.lock().unwrap();
        let at = lines.iter().position(|line| line.method == method && line.path == path)?;
        Some(if lines[at].forever { lines[at].clone() } else { lines.remove(at) })
    }
}

fn respond(code: u16, body: &str, retry_after: Option<u64>) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(code);
    if let Some(seconds) = retry_after {
        response = response.header("Retry-After", seconds);
    }
    response.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

fn kinds(path: &str) -> Option<Value> {
    let kind = |kind: &str, name: &str, namespaced: bool| json!({"kind": kind, "name": name, "namespaced": namespaced});
    let resources = match path {
        "/api/v1" => vec![
            kind("ConfigMap", "configmaps", true),
            kind("Secret", "secrets", true),
            kind("Namespace", "namespaces", false),
        ],
        "/apis/apps/v1" => {
            vec![kind("Deployment", "deployments", true), kind("Scale", "deployments/scale", true)]
        }
        "/apis/apiextensions.k8s.io/v1" => {
            vec![kind("CustomResourceDefinition", "customresourcedefinitions", false)]
        }
        _ => return None,
    };
    Some(json!({"resources": resources}))
}

pub fn key(kind: &str, name: &str) -> Key {
    let (group, namespace) = match kind {
        "Deployment" => ("apps", "shop"),
        "Widget" => ("example.org", "shop"),
        "CustomResourceDefinition" => ("apiextensions.k8s.io", ""),
        "Namespace" => ("", ""),
        _ => ("", "shop"),
    };
    Key::new(Gvk::new(group, "v1", kind), namespace, name)
}

pub fn object(key: &Key) -> Value {
    json!({"apiVersion": key.gvk.api_version(), "kind": key.gvk.kind,
        "metadata": {"name": key.name, "namespace": key.namespace}})
}

/// A live object, applied by us.
pub fn live(key: &Key, uid: &str, version: &str) -> Value {
    let mut object = object(key);
    object["metadata"]["uid"] = uid.into();
    object["metadata"]["resourceVersion"] = version.into();
    object["metadata"]["managedFields"] = json!([{
        "manager": "kustomize-controller", "operation": "Apply", "apiVersion": "v1",
        "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}}}]);
    object
}

pub fn step(verb: Verb, key: &Key, seen: Option<&Value>) -> Step {
    Step {
        key: key.clone(),
        verb,
        why: Why::Changed,
        stage: Stage::of(&key.gvk),
        desired: None,
        needs: Vec::new(),
        seen: seen.map(|seen| LiveObject::of(seen, "kustomize-controller", b"key")),
        merge: false,
    }
}

pub fn permit(steps: &[(&Key, Action)]) -> Permit {
    let steps = steps.iter().map(|(key, action)| fixpoint_ledger::Step {
        key: (*key).clone(),
        action: *action,
        digest: None,
    });
    let intent = Intent {
        time: "2026-01-01T00:00:00Z".to_owned(),
        actor: "engine".to_owned(),
        subject: Owner::kustomization("flux-system", "apps").to_string(),
        target: "test".to_owned(),
        identity: "engine".to_owned(),
        render: None,
        inventory: None,
        basis: Digest::of(b""),
        steps: steps.collect(),
    };
    Permit::issue(intent, Receipt::after_sync(0, [0; 32]))
}
