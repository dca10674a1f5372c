//! A browser and an engine, as much of them as cases need.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use fixpoint_web::{Engine, Kind, Unread, Web};
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

/// Where the page thinks that it is.
pub const HOST: &str = "127.0.0.1:6441";

/// An engine that holds what it is given.
pub struct Fake {
    objects: Mutex<BTreeMap<(&'static str, String), Arc<Value>>>,
    answers: Mutex<BTreeMap<String, Value>>,
    version: watch::Sender<u64>,
}

impl Fake {
    /// An engine with nothing in it.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            objects: Mutex::default(),
            answers: Mutex::default(),
            version: watch::Sender::new(0),
        })
    }

    /// Declares or changes an object.
    pub fn put(&self, kind: Kind, object: Value) {
        let text = |field: &str| object["metadata"][field].as_str().unwrap().to_owned();
        let key = (kind.place(), format!("{}/{}", text("namespace"), text("name")));
        self.objects.lock().unwrap().insert(key, Arc::new(object));
        self.version.send_modify(|version| *version += 1);
    }

    /// Answers reads of a path.
    pub fn answers(&self, path: &str, answer: Value) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }
}

impl Engine for Fake {
    fn all(&self, kind: Kind) -> Vec<Arc<Value>> {
        let objects = self.objects.lock().unwrap();
        let of_kind = objects.iter().filter(|((place, _), _)| *place == kind.place());
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    fn one(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = (kind.place(), format!("{namespace}/{name}"));
        self.objects.lock().unwrap().get(&key).cloned()
    }

    fn read(&self, path: String, _query: String) -> BoxFuture<'_, Result<Value, Unread>> {
        let found = self.answers.lock().unwrap().get(&path).cloned();
        Box::pin(async move {
            match found {
                Some(answer) if answer["refused"].is_string() => {
                    Err(Unread::Refused(answer["refused"].as_str().unwrap().to_owned()))
                }
                Some(answer) => Ok(answer),
                None => Err(Unread::Missing),
            }
        })
    }

    fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

/// A browser at the page.
pub struct Browser {
    /// The page.
    pub web: Web,
    /// What it reads.
    pub engine: Arc<Fake>,
    router: Router,
    /// What it sends as `Cookie`.
    pub cookie: String,
}

/// What came back.
#[derive(Debug)]
pub struct Got {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Got {
    /// A header; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Fails unless the body has this in it.
    #[track_caller]
    pub fn has(&self, text: &str) -> &Self {
        assert!(self.text.contains(text), "{text:?} is missing in:\n{}", self.text);
        self
    }

    /// Fails if the body has this in it.
    #[track_caller]
    pub fn has_not(&self, text: &str) -> &Self {
        assert!(!self.text.contains(text), "{text:?} is in:\n{}", self.text);
        self
    }
}

impl Browser {
    /// A browser that nobody signed in.
    pub fn new() -> Self {
        let engine = Fake::new();
        let web = Web::new(engine.clone(), HOST.parse().unwrap());
        Self { router: web.router(), web, engine, cookie: String::new() }
    }

    /// A browser that is signed in.
    pub async fn signed_in() -> Self {
        let mut browser = Self::new();
        let token = browser.token();
        let got = browser.post("/sign-in", &format!("token={token}")).await;
        assert_eq!(got.status, StatusCode::SEE_OTHER, "{got:?}");
        browser.cookie = got.header("set-cookie").split(';').next().unwrap().to_owned();
        browser
    }

    /// A new one-time token.
    pub fn token(&self) -> String {
        let url = self.web.sign_in().unwrap().url;
        url.rsplit('/').next().unwrap().to_owned()
    }

    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(path).header("host", HOST);
        if self.cookie.is_empty() { request } else { request.header("cookie", &self.cookie) }
    }

    /// Sends a request and hands out the answer before its body.
    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn got(&self, request: Request<Body>) -> Got {
        let (head, body) = self.send(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Got { status: head.status, headers: head.headers, text }
    }

    /// Opens a page.
    pub async fn get(&self, path: &str) -> Got {
        self.got(self.request("GET", path).body(Body::empty()).unwrap()).await
    }

    /// Opens a page and reads no body, which may have no end.
    pub async fn open(&self, path: &str) -> Response<Body> {
        self.send(self.request("GET", path).body(Body::empty()).unwrap()).await
    }

    /// Sends one of our own forms.
    pub async fn post(&self, path: &str, form: &str) -> Got {
        self.post_as(path, form, &[("sec-fetch-site", "same-origin"), ("origin", "null")]).await
    }

    /// Sends a form with other headers.
    pub async fn post_as(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Got {
        let mut request =
            self.request("POST", path).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.got(request.body(Body::from(form.to_owned())).unwrap()).await
    }
}

/// A source at its fixpoint.
pub fn source(name: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "generation": 1},
        "spec": {"url": "https://bob:hunter2@git.example/shop", "interval": "1m",
            "ref": {"branch": "main"}},
        "status": {"observedGeneration": 1, "artifact": {"revision": "main@sha1:0123456789abcdef",
            "digest": "sha256:feedfacefeedface", "size": 1234,
            "lastUpdateTime": "2026-01-02T03:04:05Z"},
            "conditions": [condition("Ready", "True", "Succeeded", "stored artifact")]},
    })
}

/// A delivery at its fixpoint.
pub fn delivery(name: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "generation": 1},
        "spec": {"interval": "10m", "prune": true, "path": "./deploy",
            "sourceRef": {"kind": "GitRepository", "name": "shop"}},
        "status": {"observedGeneration": 1,
            "lastAppliedRevision": "main@sha1:0123456789abcdef",
            "conditions": [condition("Ready", "True", "ReconciliationSucceeded",
                "Applied revision: main@sha1:0123456789abcdef")]},
    })
}

/// A condition.
pub fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-02T03:04:05Z"})
}
