//! The real server behind a proxy.
//!
//! In: a request. Out: its answer, streamed. Every request has a connection of its own, so that
//! what happens to one happens to no other.

use std::io;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::body::Body;
use crate::evil::Upstream;

/// Whom a server is trusted by, and how to sign in there; all of it PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Who signed the server's certificate.
    pub ca: String,
    /// The client's certificate.
    pub certificate: String,
    /// The client's key.
    pub key: String,
}

/// A server at an address.
#[derive(Clone)]
pub struct Remote {
    address: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Remote {
    /// A server that speaks plain HTTP at `HOST:PORT`.
    pub fn plain(address: &str) -> Self {
        Self { address: address.to_owned(), tls: None }
    }

    /// A server that speaks TLS at `HOST:PORT`.
    ///
    /// # Errors
    /// When the certificates are none.
    pub fn secured(address: &str, trust: &Trust) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(trust.ca.as_bytes()) {
            roots.add(certificate.context("the CA is no PEM")?).context("the CA is none")?;
        }
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(trust.certificate.as_bytes())
                .collect::<std::result::Result<_, _>>()
                .context("the client's certificate is no PEM")?;
        let key = PrivateKeyDer::from_pem_slice(trust.key.as_bytes())
            .context("the client's key is no PEM")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = ServerName::try_from(host.to_owned()).context("the host has no good name")?;
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { address: address.to_owned(), tls: Some((connector, name)) })
    }

    async fn ask(self, mut request: Request<Bytes>) -> io::Result<Response<Body>> {
        let headers = request.headers_mut();
        // The proxy spoils text, and says itself how long a body is and how a connection ends.
        let own = [
            header::CONNECTION,
            header::TRANSFER_ENCODING,
            header::CONTENT_LENGTH,
            header::ACCEPT_ENCODING,
        ];
        for name in own {
            headers.remove(name);
        }
        if self.tls.is_some() {
            // Who asks is known by the certificate of the proxy.
            headers.remove(header::AUTHORIZATION);
        }
        let host = HeaderValue::from_str(&self.address).map_err(io::Error::other)?;
        headers.insert(header::HOST, host);
        let stream = TcpStream::connect(&self.address).await?;
        match self.tls {
            Some((connector, name)) => {
                exchange(connector.connect(name, stream).await?, request).await
            }
            None => exchange(stream, request).await,
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Bytes>,
) -> io::Result<Response<Body>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // Ends with the body of the answer, or when nobody reads it any more.
    tokio::spawn(connection);
    let response = sender.send_request(request.map(Full::new)).await.map_err(io::Error::other)?;
    let mut response = response.map(|body| body.map_err(io::Error::other).boxed_unsync());
    for name in [header::CONNECTION, header::TRANSFER_ENCODING] {
        response.headers_mut().remove(name);
    }
    Ok(response)
}

impl Upstream for Remote {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, io::Result<Response<Body>>> {
        self.clone().ask(request).boxed()
    }
}
