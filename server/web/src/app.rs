//! The page as one service: its state, its routes, and what every request passes.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, Uri, header};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::engine::Engine;
use crate::guard::{self, Hosts};
use crate::page::{Page, Trouble};
use crate::sessions::{Sessions, Visit};
use crate::throttle::Throttle;
use crate::tokens::{self, Tokens};
use crate::view::shell;
use crate::{assets, door, live, serve};

/// Bytes of a form; ours has one token in it.
const FORM_BYTES: usize = 4 * 1024;
/// Live pages at once, of all sessions together.
const STREAMS: usize = 64;

/// The page. Clones are handles to the same one.
#[derive(Clone)]
pub struct Web(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    address: SocketAddr,
    hosts: Hosts,
    tokens: Tokens,
    sessions: Sessions,
    throttle: Throttle,
    streams: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

/// What somebody signs in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Where to go; good once.
    pub url: String,
    /// For how long.
    pub seconds: u64,
}

impl Web {
    /// A page that is reached at an address.
    pub fn new(engine: Arc<dyn Engine>, address: SocketAddr) -> Self {
        Self(Arc::new(Inner {
            engine,
            address,
            hosts: Hosts::of(address),
            tokens: Tokens::default(),
            sessions: Sessions::default(),
            throttle: Throttle::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            closing: watch::Sender::new(false),
        }))
    }

    /// Where the page is.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Lets somebody in once; `None` where the system gives no randomness. Whoever calls this
    /// must know that they may see everything the engine knows.
    pub fn sign_in(&self) -> Option<SignIn> {
        let token = self.0.tokens.issue(Instant::now())?;
        let url = format!("{}{}/{token}", self.url(), door::PATH);
        Some(SignIn { url, seconds: tokens::LIFE.as_secs() })
    }

    /// Serves until `shutdown` resolves, then ends live pages and lets requests finish.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) {
        let serving = serve::serve(listener, self.router(), self.0.closing.subscribe());
        let stop = async {
            shutdown.await;
            self.0.closing.send_replace(true);
        };
        futures::future::join(serving, stop).await;
    }

    /// All of it as one service.
    pub fn router(&self) -> Router {
        Router::new()
            .route(
                "/assets/{name}",
                get(|Path(name): Path<String>| async move { assets::file(&name) }),
            )
            .route("/sign-in/{token}", get(door::open))
            .route(door::PATH, post(door::sign_in))
            .route("/sign-out", post(door::sign_out))
            .route("/live", get(live::live))
            .fallback(show)
            .layer(DefaultBodyLimit::max(FORM_BYTES))
            .layer(middleware::from_fn_with_state(self.clone(), pass))
            .with_state(self.clone())
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.0.engine
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.0.streams
    }

    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.0.closing.subscribe()
    }

    /// Cookies do not know ports, so two engines on one machine have two names for theirs.
    pub(crate) fn cookie_name(&self) -> String {
        format!("fixpoint-{}", self.0.address.port())
    }

    /// The session that a request belongs to.
    pub(crate) fn visit(&self, headers: &HeaderMap) -> Option<Visit> {
        self.0.sessions.find(self.cookie(headers)?, Instant::now())
    }

    /// The text of our cookie.
    pub(crate) fn cookie<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let name = self.cookie_name();
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// What every request passes, and what every answer gets.
async fn pass(State(web): State<Web>, request: Request, next: Next) -> Response {
    let checked = guard::check(&web.0.hosts, request.method(), request.headers());
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => (refusal.status(), refusal.message()).into_response(),
    };
    guard::seal(response.headers_mut());
    response
}

/// Shows a page to who is signed in.
async fn show(State(web): State<Web>, headers: HeaderMap, uri: Uri) -> Response {
    if web.visit(&headers).is_none() {
        return door::closed();
    }
    let Some(page) = Page::of(&uri) else {
        return trouble(Trouble::NotFound(format!("There is no page at {}", uri.path())));
    };
    match page.render(web.engine()).await {
        Ok(content) => {
            shell::page(StatusCode::OK, &content, page.is_live().then(|| live::at(&uri)))
        }
        Err(trouble_found) => trouble(trouble_found),
    }
}

fn trouble(trouble: Trouble) -> Response {
    let (status, content) = trouble.content();
    shell::page(status, &content, None)
}
