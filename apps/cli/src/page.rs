//! Puts the page together: what it reads, where it listens, and how somebody is let in.
//!
//! In: an engine. Out: a page that reads what the commands read, and a way to a one-time token
//! for who is authenticated as an administrator. Nothing that the page gets lets it write.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use fixpoint_apiserver::{Mount, MountRequest};
use fixpoint_controllers::{Board, Engine, Routes, Shown};
use fixpoint_web::{Kind, Unread, Web};
use futures::future::BoxFuture;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::engine;

/// Where the page is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageAt {
    /// At the port after that of the API server, or a free one where that is taken.
    Beside,
    /// At an address.
    Address(SocketAddr),
    /// Nowhere.
    Off,
}

impl FromStr for PageAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "beside" => Ok(Self::Beside),
            address => match address.parse() {
                Ok(address) => Ok(Self::Address(address)),
                Err(_) => Err("it is neither `off` nor an address such as 127.0.0.1:6441".into()),
            },
        }
    }
}

/// Where one-time tokens are made; in the API that only administrators reach.
pub const SIGN_IN: &str = "/fixpoint/v1/web/sign-in";

/// Listens for the page; `None` where it is off.
///
/// # Errors
/// When the address that was asked for is taken or is not on loopback.
pub async fn bind(at: PageAt, api: SocketAddr) -> Result<Option<TcpListener>> {
    let address = match at {
        PageAt::Off => return Ok(None),
        PageAt::Address(address) => return engine::bind(address, "--web").await.map(Some),
        PageAt::Beside => SocketAddr::new(api.ip(), api.port().checked_add(1).unwrap_or(0)),
    };
    // The port after a free one is nobody's, and a page that nobody asked for by its address is
    // no reason not to start.
    if api.port() != 0
        && let Ok(listener) = TcpListener::bind(address).await
    {
        return Ok(Some(listener));
    }
    engine::bind(SocketAddr::new(api.ip(), 0), "--web").await.map(Some)
}

/// The page of an engine.
pub fn page(engine: &Engine, address: SocketAddr) -> Web {
    let window = Window { board: engine.board(), routes: engine.routes() };
    Web::new(Arc::new(window), address)
}

/// What the page sees of an engine.
struct Window {
    board: Board,
    routes: Routes,
}

impl fixpoint_web::Engine for Window {
    fn all(&self, kind: Kind) -> Vec<Arc<Value>> {
        self.board.all(shown(kind))
    }

    fn one(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.board.one(shown(kind), namespace, name)
    }

    fn read(&self, path: String, query: String) -> BoxFuture<'_, Result<Value, Unread>> {
        Box::pin(async move {
            // Whoever is signed in got the token as an administrator.
            let answer = self.routes.answer(&Method::GET, &path, &query, true).await;
            let body = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
            match answer.status() {
                StatusCode::OK => Ok(body),
                StatusCode::NOT_FOUND => Err(Unread::Missing),
                _ => Err(Unread::Refused(body["message"].as_str().unwrap_or_default().to_owned())),
            }
        })
    }

    fn version(&self) -> watch::Receiver<u64> {
        self.board.version()
    }
}

fn shown(kind: Kind) -> Shown {
    match kind {
        Kind::Source => Shown::Sources,
        Kind::Delivery => Shown::Deliveries,
    }
}

/// Lets administrators in: the API server has authenticated them by then.
pub fn mount(page: Option<Web>) -> Mount {
    Mount {
        prefix: "/fixpoint/v1/web/".to_owned(),
        handler: Arc::new(move |request: MountRequest| {
            let answer = sign_in(page.as_ref(), &request);
            Box::pin(async move { answer })
        }),
    }
}

fn sign_in(page: Option<&Web>, request: &MountRequest) -> Response<Bytes> {
    let MountRequest { method, path, query: _, body: _, user } = request;
    if !user.is_master() {
        return refuse(StatusCode::FORBIDDEN, "Forbidden", "only administrators may look yet");
    }
    if path != SIGN_IN {
        return refuse(StatusCode::NOT_FOUND, "NotFound", "there is nothing at this path");
    }
    if method != Method::POST {
        let message = "a token is made by POST";
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
    }
    let Some(page) = page else {
        return refuse(StatusCode::NOT_FOUND, "PageOff", "the page of this engine is off");
    };
    let Some(sign_in) = page.sign_in() else {
        let message = "the system gives no randomness";
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message);
    };
    tracing::info!(user = user.name, "a link to sign in to the page was made");
    answer(StatusCode::OK, &json!({"url": sign_in.url, "seconds": sign_in.seconds}))
}

/// Refusals have the shape that Kubernetes clients understand.
fn refuse(code: StatusCode, reason: &str, message: &str) -> Response<Bytes> {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code.as_u16(),
    });
    answer(code, &status)
}

fn answer(code: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = code;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_off_beside_or_somewhere() {
        assert_eq!("off".parse(), Ok(PageAt::Off));
        let address = PageAt::Address(SocketAddr::from(([127, 0, 0, 1], 80)));
        assert_eq!("127.0.0.1:80".parse(), Ok(address));
        assert!("localhost".parse::<PageAt>().unwrap_err().contains("127.0.0.1:6441"));
    }

    #[tokio::test]
    async fn the_page_is_served_on_loopback_only() {
        let api = SocketAddr::from(([127, 0, 0, 1], 0));
        assert!(bind(PageAt::Off, api).await.unwrap().is_none());
        let beside = bind(PageAt::Beside, api).await.unwrap().unwrap();
        assert!(beside.local_addr().unwrap().ip().is_loopback());
        let taken = beside.local_addr().unwrap();
        let before = SocketAddr::new(taken.ip(), taken.port() - 1);
        let other = bind(PageAt::Beside, before).await.unwrap().unwrap();
        assert_ne!(other.local_addr().unwrap(), taken, "the port beside is taken");
        let everywhere = PageAt::Address("0.0.0.0:0".parse().unwrap());
        let err = bind(everywhere, api).await.unwrap_err();
        assert_eq!(err.to_string(), "0.0.0.0:0 is not a loopback address");
        let err = bind(PageAt::Address(taken), api).await.unwrap_err();
        assert!(err.to_string().ends_with("is taken by another process"), "{err}");
    }
}
