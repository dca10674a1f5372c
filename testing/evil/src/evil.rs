//! A service that plays a script before another one.
//!
//! In: a request. Out: the real answer, a spoilt one, none at all, or an error that stands for a
//! connection that breaks. What the real service saw is written down by a witness; a request that
//! met its fault before is not among it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::json;

use crate::body::{self, Body, Twist};
use crate::fault::Fault;
use crate::script::{Asked, Played, Rule, Script};
use crate::witness::Witness;

/// The real thing.
pub trait Upstream: Send + Sync {
    /// Answers a request.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, io::Result<Response<Body>>>;
}

/// Plays a script; clones play the same one.
#[derive(Clone, Default)]
pub struct Evil {
    state: Arc<Mutex<State>>,
    witness: Option<Witness>,
}

#[derive(Default)]
struct State {
    script: Script,
    /// The first good answer to each question.
    oldest: BTreeMap<String, (HeaderValue, Bytes)>,
}

impl Evil {
    /// Plays a script.
    pub fn new(script: Script) -> Self {
        Self { state: Arc::new(Mutex::new(State { script, ..State::default() })), witness: None }
    }

    /// Has what the server sees written down.
    #[must_use]
    pub fn watched_by(mut self, witness: Witness) -> Self {
        self.witness = Some(witness);
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule, which counts from now on.
    pub fn add(&self, rule: Rule) {
        self.state().script.add(rule);
    }

    /// Lets everything through from now on.
    pub fn heal(&self) {
        self.state().script.end();
    }

    /// Every fault that was really met.
    pub fn played(&self) -> Vec<Played> {
        self.state().script.played().to_vec()
    }

    /// How many requests came.
    pub fn asked(&self) -> usize {
        self.state().script.asked()
    }

    /// Makes sure that every rule was met by a request: a scenario whose fault never came shows
    /// nothing.
    ///
    /// # Errors
    /// When one was not.
    pub fn all_played(&self) -> Result<()> {
        match self.state().script.unplayed().as_slice() {
            [] => Ok(()),
            rules => bail!("no request met {}", rules.join(" | ")),
        }
    }

    /// Answers a request, or lets the client down.
    ///
    /// # Errors
    /// When the connection to the client is to break.
    pub async fn answer(
        &self,
        request: Request<Bytes>,
        upstream: &dyn Upstream,
    ) -> io::Result<Response<Body>> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let asked = Asked {
            method: method.as_str(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
        };
        let Some(fault) = self.state().script.judge(asked) else {
            return self.pass(request, upstream).await;
        };
        let is_watch = asked.is_watch();
        match fault {
            Fault::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            Fault::Hang => std::future::pending().await,
            Fault::Status { code, retry_after, text } => status(code, retry_after, &text),
            Fault::Gone if is_watch => Ok(watch(body::whole(format!("{}\n", gone_event())))),
            Fault::Gone => status(410, None, "the provided resource version is too old"),
            Fault::End => Ok(watch(body::whole(""))),
            Fault::Silent => Ok(watch(body::silent())),
            Fault::Stale => self.stale(request, upstream).await,
            Fault::Delay(by) => {
                tokio::time::sleep(by).await;
                self.pass(request, upstream).await
            }
            fault => {
                let response = self.pass(request, upstream).await?;
                spoil(response, fault).await
            }
        }
    }

    /// Lets a request through; the witness hears of it before the server does, so that a client
    /// that goes away meanwhile cannot hide it.
    async fn pass(
        &self,
        request: Request<Bytes>,
        upstream: &dyn Upstream,
    ) -> io::Result<Response<Body>> {
        let question = question(&request);
        let seen = self.witness.as_ref().and_then(|witness| witness.received(&request));
        let response = upstream.send(request).await?;
        if let (Some(witness), Some(seen)) = (&self.witness, seen) {
            witness.answered(seen, response.status().as_u16());
        }
        match question {
            Some(question) if response.status() == StatusCode::OK => {
                self.remember(question, response).await
            }
            _ => Ok(response),
        }
    }

    async fn remember(
        &self,
        question: String,
        response: Response<Body>,
    ) -> io::Result<Response<Body>> {
        let Some(kind) = response.headers().get(header::CONTENT_TYPE).cloned() else {
            return Ok(response);
        };
        let (head, body) = response.into_parts();
        let bytes = body.collect().await?.to_bytes();
        self.state().oldest.entry(question).or_insert_with(|| (kind, bytes.clone()));
        Ok(Response::from_parts(head, body::whole(bytes)))
    }

    async fn stale(
        &self,
        request: Request<Bytes>,
        upstream: &dyn Upstream,
    ) -> io::Result<Response<Body>> {
        let known = question(&request).and_then(|key| self.state().oldest.get(&key).cloned());
        let Some((kind, bytes)) = known else { return self.pass(request, upstream).await };
        let mut response = Response::new(body::whole(bytes));
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(response)
    }
}

/// What a request asks, whatever its parameters; `None` where it is no plain reading.
fn question<B>(request: &Request<B>) -> Option<String> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let asked = Asked { method: request.method().as_str(), path, query };
    // Packs of Git are asked for by POST, and its lists of names are no lists of objects.
    let is_kubernetes = path.starts_with("/api");
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    (is_kubernetes && asked.method == "GET" && !asked.is_watch())
        .then(|| format!("{path} {}", accept.unwrap_or_default()))
}

async fn spoil(response: Response<Body>, fault: Fault) -> io::Result<Response<Body>> {
    if fault == Fault::Mute {
        return std::future::pending().await;
    }
    if fault == Fault::Lose {
        // All of it is taken, so that the server is done before the client hears anything.
        drop(response.into_body().collect().await?);
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let (mut head, body) = response.into_parts();
    let body = match fault {
        Fault::Cut(bytes) => body::cut(body, bytes),
        Fault::Truncate(bytes) => {
            head.headers.remove(header::CONTENT_LENGTH);
            body::truncate(body, bytes)
        }
        Fault::Drip(bytes, pause) => body::drip(body, bytes, pause),
        Fault::Skip(nth) => body::twist(body, nth, Twist::Skip),
        Fault::Double(nth) => body::twist(body, nth, Twist::Double),
        Fault::Swap(nth) => body::twist(body, nth, Twist::Swap),
        _ => body,
    };
    Ok(Response::from_parts(head, body))
}

/// A refusal as Kubernetes words it; other clients look at the code alone.
fn status(code: u16, retry_after: Option<u32>, text: &str) -> io::Result<Response<Body>> {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    };
    let text = if text.is_empty() { "this fault is on script" } else { text };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": text, "reason": reason, "code": code,
    });
    let mut response = Response::builder()
        .status(code)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    response.body(body::whole(body.to_string())).map_err(io::Error::other)
}

fn gone_event() -> serde_json::Value {
    json!({"type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version", "reason": "Expired", "code": 410,
    }})
}

fn watch(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
