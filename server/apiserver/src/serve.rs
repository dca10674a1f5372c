//! The listener: TLS in, requests of authenticated users out.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fixpoint_api_machinery::status;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::body::Body;
use crate::pki;
use crate::server::ApiServer;
use crate::user::User;
use crate::wire::{Failure, Request as Whole};

/// A request to something that is mounted beside the Kubernetes API.
#[derive(Debug, Clone)]
pub struct MountRequest {
    /// HTTP method.
    pub method: http::Method,
    /// Path, prefix included.
    pub path: String,
    /// Query string without the question mark; empty where there is none.
    pub query: String,
    /// The whole body.
    pub body: Bytes,
    /// Who asks.
    pub user: User,
}

/// Answers requests below a prefix.
pub type Handler =
    Arc<dyn Fn(MountRequest) -> BoxFuture<'static, http::Response<Bytes>> + Send + Sync>;

/// Something that is served beside the Kubernetes API, behind the same authentication.
#[derive(Clone)]
pub struct Mount {
    /// Paths that start with this are the handler's.
    pub prefix: String,
    /// Answers them.
    pub handler: Handler,
}

/// A client that takes longer to shake hands is not one.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long requests that were begun may take to finish when the listener shuts down.
const DRAIN: Duration = Duration::from_secs(30);
/// How long to wait when the system has no descriptors left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Listener {
    server: ApiServer,
    mounts: Arc<[Mount]>,
    stopping: watch::Receiver<bool>,
}

/// Serves until `shutdown` resolves, then drains.
///
/// # Errors
/// Never at present: a listener that cannot accept is tried again.
pub async fn serve(
    server: ApiServer,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    mounts: Vec<Mount>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(server.limits().connections));
    let shared = Listener { server, mounts: mounts.into(), stopping };
    let acceptor = TlsAcceptor::from(tls);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        // Cancel-safe: `accept` loses no connection, and a reaped task is finished anyway.
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = accept(&listener, &slots) => match accepted {
                Ok((stream, slot)) => {
                    let (shared, acceptor) = (shared.clone(), acceptor.clone());
                    connections.spawn(async move {
                        shared.connection(stream, acceptor).await;
                        drop(slot);
                    });
                }
                Err(err) => {
                    tracing::warn!(error = %err, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

impl Listener {
    async fn connection(&self, stream: TcpStream, acceptor: TlsAcceptor) {
        let _ = stream.set_nodelay(true); // a watch line must not wait for the next one
        let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(err)) => {
                tracing::debug!(error = %err, "a client did not complete the TLS handshake");
                return;
            }
            Err(_) => return,
        };
        let certificates = stream.get_ref().1.peer_certificates();
        let user = certificates.and_then(|all| all.first()).and_then(pki::user_of);
        let service = service_fn(|request| {
            let (this, user) = (self.clone(), user.clone());
            async move { Ok::<_, std::convert::Infallible>(this.answer(request, user).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(1000);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut stopping = self.stopping.clone();
        // Cancel-safe: the connection is pinned outside and polled again below.
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            _ = stopping.wait_for(|stop| *stop) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(err) = ended {
            tracing::debug!(error = %err, "a connection broke off");
        }
    }

    async fn answer(&self, request: Request<Incoming>, user: Option<User>) -> Response<Body> {
        let path = request.uri().path();
        let mount = self.mounts.iter().find(|mount| path.starts_with(&mount.prefix)).cloned();
        let response = match mount {
            Some(mount) => match self.mounted(&mount, request, user).await {
                Ok(response) => response.map(Body::whole),
                Err(failure) => failure.into_response(),
            },
            None => self.server.answer(request, user).await,
        };
        response.map(|body| body.until(self.stopping.clone()))
    }

    async fn mounted(
        &self,
        mount: &Mount,
        request: Request<Incoming>,
        user: Option<User>,
    ) -> Result<Response<Bytes>, Failure> {
        let user = user.ok_or_else(status::unauthorized)?;
        let limit = self.server.limits().body_bytes;
        let Whole { method, path, query_text, body, user, .. } =
            Whole::read(request, user, limit).await?;
        let request = MountRequest { method, path, query: query_text, body, user };
        Ok((mount.handler)(request).await)
    }
}
