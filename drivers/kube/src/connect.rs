//! Opens connections to clusters.
//!
//! In: where a cluster is and who we are there. Out: a client whose connections are made with
//! limits, to allowed addresses only. Never here: the environment's proxies, files or programs; a
//! kubeconfig of this machine.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, vec};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fixpoint_base::address::forbidden;
use fixpoint_base::{Class, Classified};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::AuthInfo;
use kube::{Client, Config};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tower::ServiceBuilder;

use crate::kubeconfig::{Access, Identity};
use crate::rest::Rest;

/// Longest wait for the name service, a connection and its handshake together.
const CONNECT: Duration = Duration::from_secs(15);

/// Longest silence on a connection. Calls have a shorter limit of their own; a watch is ended by
/// the server after 290 s at the latest, so one that is silent for longer hangs.
const SILENCE: Duration = Duration::from_secs(310);

/// Connections that are kept open for the next call.
const IDLE_CONNECTIONS: usize = 16;

/// Opens connections over the network.
#[derive(Debug, Clone, Copy)]
pub struct Dialer {
    /// Whether a cluster on this machine's loopback may be a target; never in a cluster.
    pub allow_loopback: bool,
}

/// A client for one cluster.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// How many connections were made so far; another cluster can only answer on a new one.
    pub dials: Dials,
    /// When the server is left alone.
    pub rest: Rest,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("dials", &self.dials).finish_non_exhaustive()
    }
}

/// Counts the connections that were made. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Dials(Arc<AtomicU64>);

impl Dials {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Counts one more.
    pub fn dialled(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Why no connection can be made. Never carries a credential.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server is where nobody may connect to.
    #[error("the server {server} of the kubeconfig is not connected to: {reason}")]
    Forbidden {
        /// The server.
        server: String,
        /// Why.
        reason: &'static str,
    },
    /// A certificate cannot be read.
    #[error("{field} of the kubeconfig holds no certificate that can be used")]
    Certificate {
        /// The field.
        field: &'static str,
    },
    /// The credentials cannot be used.
    #[error("the credentials of the kubeconfig cannot be used")]
    Credentials,
}

impl Classified for ConnectError {
    fn class(&self) -> Class {
        match self {
            Self::Forbidden { .. } => Class::Refused,
            Self::Certificate { .. } | Self::Credentials => Class::User,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Forbidden { .. } => "name the cluster by an address that others reach".to_owned(),
            Self::Certificate { .. } => "it has to be PEM, in base64".to_owned(),
            Self::Credentials => {
                "a client certificate needs its own key, both as PEM in base64".to_owned()
            }
        })
    }
}

impl Dialer {
    /// Makes a client; it connects when it is first used.
    ///
    /// # Errors
    /// When the server is one that nobody may connect to, or certificates or credentials cannot be
    /// used.
    pub fn open(&self, access: &Access) -> Result<Connection, ConnectError> {
        self.check_literal(access)?;
        install_crypto();
        let config = config(access)?;
        let dials = Dials::default();
        let mut tcp =
            HttpConnector::new_with_resolver(Resolver { allow_loopback: self.allow_loopback });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        tcp.set_connect_timeout(Some(CONNECT));
        let counted = Counted { inner: tcp, dials: dials.clone() };
        let credentials = |_| ConnectError::Credentials;
        let tls = config.rustls_https_connector_with_connector(counted).map_err(credentials)?;
        let mut timed = TimeoutConnector::new(tls);
        timed.set_connect_timeout(Some(CONNECT));
        timed.set_read_timeout(Some(SILENCE));
        timed.set_write_timeout(Some(SILENCE));
        let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(timed);
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer().map_err(credentials)?)
            .map_err(tower::BoxError::from)
            .service(http);
        let client = ClientBuilder::new(service, "default").build();
        Ok(Connection { client, dials, rest: Rest::default() })
    }

    /// The connector does not resolve what is an address already.
    fn check_literal(&self, access: &Access) -> Result<(), ConnectError> {
        let host = access.server.host().unwrap_or_default();
        let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() else { return Ok(()) };
        match forbidden(address, self.allow_loopback) {
            Some(reason) => Err(ConnectError::Forbidden { server: access.shown(), reason }),
            None => Ok(()),
        }
    }
}

fn config(access: &Access) -> Result<Config, ConnectError> {
    let Access { server, ca, tls_server_name, identity, .. } = access;
    let mut config = Config::new(server.clone());
    config.tls_server_name.clone_from(tls_server_name);
    config.root_cert = ca.as_deref().map(certificates).transpose()?;
    config.auth_info = auth_info(identity);
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, ConnectError> {
    let unusable = || ConnectError::Certificate { field: "cluster.certificate-authority-data" };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| unusable())?;
    let mut trusted = rustls::RootCertStore::empty();
    if found.is_empty() || !found.iter().all(|der| trusted.add(der.clone()).is_ok()) {
        return Err(unusable());
    }
    Ok(found.into_iter().map(|der| der.to_vec()).collect())
}

fn auth_info(identity: &Identity) -> AuthInfo {
    const WHY: &str = "shown to the cluster that the kubeconfig names";
    let Identity { certificate, token, basic } = identity;
    let mut info = AuthInfo::default();
    if let Some((chain, key)) = certificate {
        info.client_certificate_data = Some(BASE64.encode(chain));
        info.client_key_data = Some(BASE64.encode(key.expose(WHY)).into());
    }
    info.token = token.as_ref().map(|token| token.expose(WHY).clone().into());
    if let Some((user, password)) = basic {
        info.username = Some(user.clone());
        info.password = Some(password.expose(WHY).clone().into());
    }
    info
}

/// TLS needs one provider in the process; whoever came first has chosen the same one.
fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster: as good.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

/// Resolves names to addresses that may be connected to, all of them.
#[derive(Debug, Clone, Copy)]
struct Resolver {
    allow_loopback: bool,
}

type Resolving = Pin<Box<dyn Future<Output = io::Result<vec::IntoIter<SocketAddr>>> + Send>>;

impl tower::Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Resolving;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Resolving {
        let allow_loopback = self.allow_loopback;
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &found {
                if let Some(reason) = forbidden(address.ip(), allow_loopback) {
                    let text = format!("{} is where {name} leads, and {reason}", address.ip());
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
                }
            }
            Ok(found.into_iter())
        })
    }
}

/// Counts the connections that are made.
#[derive(Debug, Clone)]
struct Counted<C> {
    inner: C,
    dials: Dials,
}

impl<C: tower::Service<http::Uri>> tower::Service<http::Uri> for Counted<C> {
    type Response = C::Response;
    type Error = C::Error;
    type Future = C::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, to: http::Uri) -> C::Future {
        self.dials.dialled();
        self.inner.call(to)
    }
}

#[cfg(test)]
mod tests {
    use fixpoint_base::Chain;

    use super::*;

    fn access(server: &str, cluster: &str, user: &str) -> Access {
        let text = format!(
            "current-context: a\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n\
             clusters: [{{name: a, cluster: {{server: '{server}'{cluster}}}}}]\n\
             users: [{{name: a, user: {{{user}}}}}]\n"
        );
        Access::read(text.as_bytes()).unwrap()
    }

    fn opened(allow_loopback: bool, access: &Access) -> String {
        match (Dialer { allow_loopback }).open(access) {
            Ok(_) => "open".to_owned(),
            Err(err) => Chain(&err).to_string(),
        }
    }

    #[tokio::test]
    async fn addresses_that_nobody_connects_to() {
        for server in ["https://169.254.169.254", "https://[fe80::1]:6443", "https://0.0.0.0"] {
            let said = opened(true, &access(server, "", ""));
            assert!(said.contains("is not connected to"), "{said}");
        }
        for server in ["https://127.0.0.1:6443", "https://[::1]:6443"] {
            let access = access(server, "", "");
            assert!(opened(false, &access).contains("it is a loopback address"));
            assert_eq!(opened(true, &access), "open");
        }
    }

    /// A name says where it leads only when it is used.
    #[tokio::test]
    async fn names_that_lead_to_such_addresses() {
        let access = access("https://localhost:1", "", "");
        let connection = Dialer { allow_loopback: false }.open(&access).unwrap();
        let err = crate::cluster_of(&connection.client, &connection.rest).await.unwrap_err();
        let said = Chain(&err).to_string();
        assert!(said.contains("is where localhost leads, and it is a loopback address"), "{said}");
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_told_without_its_text() {
        let pem = |text: &str| {
            let text = format!("-----BEGIN {text}-----\ncanary\n-----END {text}-----\n");
            BASE64.encode(text)
        };
        let (cert, key) = (pem("CERTIFICATE"), pem("PRIVATE KEY"));
        let ca = format!(", certificate-authority-data: {cert}");
        let said = opened(true, &access("https://a", &ca, ""));
        assert_eq!(
            said,
            "cluster.certificate-authority-data of the kubeconfig holds no certificate that can be \
             used"
        );
        let user = format!("client-certificate-data: {cert}, client-key-data: {key}");
        let said = opened(true, &access("https://a", "", &user));
        assert_eq!(said, "the credentials of the kubeconfig cannot be used");
    }
}
