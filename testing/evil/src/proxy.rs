//! An [`Evil`] that listens on loopback, before a server elsewhere.
//!
//! In: connections, with or without TLS. Out: what the script and the real server say. A broken
//! connection is really reset. It has threads of its own and ends with its value.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as Turn, Poll};

use anyhow::{Context as _, Result};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::body::Body;
use crate::evil::{Evil, Upstream};

/// The longest request that is passed on.
const REQUEST_BYTES: usize = 64 << 20;

/// A certificate for loopback, signed by a CA that was made for it.
pub struct Secured {
    config: Arc<rustls::ServerConfig>,
    ca: String,
}

impl Secured {
    /// Makes one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        let ca_key = rcgen::KeyPair::generate()?;
        let mut ca = rcgen::CertificateParams::new(Vec::<String>::new())?;
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        ca.distinguished_name.push(rcgen::DnType::CommonName, "evil CA");
        let text = ca.self_signed(&ca_key)?.pem();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = rcgen::CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|reason| anyhow::anyhow!("{reason}"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;
        Ok(Self { config: Arc::new(config), ca: text })
    }

    /// Who signed it, as PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }
}

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    evil: Evil,
    /// Taken when it ends: a runtime must not be waited for where another one may run.
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(
        evil: Evil,
        upstream: impl Upstream + 'static,
        secured: Option<&Secured>,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("no threads for a proxy")?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
        listener.set_nonblocking(true).context("the port cannot be waited for")?;
        let address = listener.local_addr().context("the port has no number")?;
        let acceptor = secured.map(|secured| TlsAcceptor::from(Arc::clone(&secured.config)));
        let shared = Shared { evil: evil.clone(), upstream: Arc::new(upstream), acceptor };
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener).context("the port cannot be waited for")?
        };
        runtime.spawn(accept(listener, shared));
        Ok(Self { address, evil, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it plays.
    pub fn evil(&self) -> &Evil {
        &self.evil
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Clone)]
struct Shared {
    evil: Evil,
    upstream: Arc<dyn Upstream>,
    acceptor: Option<TlsAcceptor>,
}

async fn accept(listener: TcpListener, shared: Shared) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let broken = Arc::new(AtomicBool::new(false));
            let line = Line { stream, broken: Arc::clone(&broken) };
            match shared.acceptor.clone() {
                // Who does not shake hands is not let in.
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(line).await {
                        shared.serve(stream, broken).await;
                    }
                }
                None => shared.serve(line, broken).await,
            }
        });
    }
}

impl Shared {
    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        broken: Arc<AtomicBool>,
    ) {
        let service = service_fn(move |request: Request<Incoming>| {
            let (shared, broken) = (self.clone(), Arc::clone(&broken));
            async move {
                let answer = shared.answer(request).await;
                if answer.is_err() {
                    broken.store(true, Ordering::SeqCst);
                }
                answer.map(|response| response.map(|body| breaking(body, broken)))
            }
        });
        // An error is a client that went, or a connection that was to break.
        let _ended = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, REQUEST_BYTES).collect().await.map_err(io::Error::other)?;
        let request = Request::from_parts(head, body.to_bytes());
        self.evil.answer(request, &*self.upstream).await
    }
}

/// A body that breaks has the connection reset.
fn breaking(body: Body, broken: Arc<AtomicBool>) -> Body {
    body.map_err(move |err| {
        broken.store(true, Ordering::SeqCst);
        err
    })
    .boxed_unsync()
}

/// A connection that ends with a reset where it was broken on purpose.
struct Line {
    stream: TcpStream,
    broken: Arc<AtomicBool>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.broken.load(Ordering::SeqCst) {
            // Without it the connection ends politely, which the client minds as well.
            let _set = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        turn: &mut Turn<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(turn, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        turn: &mut Turn<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(turn, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, turn: &mut Turn<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(turn)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, turn: &mut Turn<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(turn)
    }
}
