//! The way from the engine to the API server, which a scenario can block.
//!
//! In: requests. Out: the server's answers, or what the scenario's faults make of them; or none at
//! all, because the server cannot be reached or because the scenario stops the engine before one
//! comes. A witness writes down what the server saw.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use fixpoint_apiserver::LocalService;
use fixpoint_evil::{Body, Evil, Upstream};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::Service;

/// What the door lets through; clones are the same rules.
#[derive(Clone, Default)]
pub struct Rules(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    refusals: usize,
    frozen: BTreeSet<String>,
    silent: bool,
    /// Every write that was asked for.
    writes: BTreeSet<String>,
}

impl Rules {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses as many requests from now on.
    pub fn refuse(&self, count: usize) {
        self.state().refusals = count;
    }

    /// Never answers a write to this path again, and does not pass it on either.
    pub fn freeze(&self, path: &str) {
        self.state().frozen.insert(path.to_owned());
    }

    /// Never answers anything again.
    pub fn silence(&self) {
        self.state().silent = true;
    }

    /// Lets everything through.
    pub fn open(&self) {
        let mut state = self.state();
        state.refusals = 0;
        state.silent = false;
        state.frozen.clear();
    }

    /// Every write that was asked for so far, each once. How often and in which order depends on
    /// how quickly threads answer; what is written does not.
    pub fn writes(&self) -> BTreeSet<String> {
        self.state().writes.clone()
    }

    fn judge<B>(&self, request: &Request<B>) -> Way {
        let mut state = self.state();
        if request.method() != Method::GET {
            state.writes.insert(format!("{} {}", request.method(), request.uri().path()));
        }
        if state.silent {
            Way::Frozen
        } else if state.refusals > 0 {
            state.refusals -= 1;
            Way::Refused
        } else if request.method() != Method::GET && state.frozen.contains(request.uri().path()) {
            Way::Frozen
        } else {
            Way::Open
        }
    }
}

enum Way {
    Open,
    Refused,
    Frozen,
}

/// The transport of the engine's client.
#[derive(Clone)]
pub struct Door {
    server: Server,
    rules: Rules,
    evil: Evil,
}

impl Door {
    /// Puts a door before a server, and faults behind the door.
    pub fn new(server: LocalService, rules: Rules, evil: Evil) -> Self {
        Self { server: Server(server), rules, evil }
    }
}

impl Service<Request<kube::client::Body>> for Door {
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        match self.rules.judge(&request) {
            Way::Open => {
                let (server, evil) = (self.server.clone(), self.evil.clone());
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
                    evil.answer(Request::from_parts(head, body), &server).await
                }
                .boxed()
            }
            Way::Refused => async { Err(io::ErrorKind::ConnectionRefused.into()) }.boxed(),
            Way::Frozen => std::future::pending().boxed(),
        }
    }
}

/// The API server as what faults are played before.
#[derive(Clone)]
struct Server(LocalService);

impl Upstream for Server {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, io::Result<Response<Body>>> {
        let mut server = self.0.clone();
        // The server's own service has no errors of its own.
        async move {
            let answer =
                server.call(request.map(Full::new)).await.unwrap_or_else(|never| match never {});
            Ok(answer.map(|body| body.map_err(io::Error::other).boxed_unsync()))
        }
        .boxed()
    }
}
