//! The listener: TLS, client certificates, mounts, shutdown.

use std::sync::Arc;

use bytes::Bytes;
use fixpoint_apiserver::pki::{Identity, Pki};
use fixpoint_apiserver::{ApiServer, Mount, Options, User};
use futures::FutureExt;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::support::block_on;

struct Running {
    server: ApiServer,
    pki: Pki,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<std::io::Result<()>>,
    _dir: tempfile::TempDir,
}

async fn start() -> Running {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(&dir.path().join("pki"), &[], jiff::Timestamp::now()).unwrap();
    let server = ApiServer::open(Options::memory()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mount = Mount {
        prefix: "/fixpoint/v1/".to_owned(),
        handler: Arc::new(|request| {
            let text = format!("{} {} {}", request.user.name, request.path, request.query);
            async move { http::Response::new(Bytes::from(text)) }.boxed()
        }),
    };
    let (stop, stopped) = oneshot::channel();
    let (serving, tls) = (server.clone(), pki.server_config().unwrap());
    let done = tokio::spawn(async move {
        serving.serve(listener, tls, vec![mount], async move { drop(stopped.await) }).await
    });
    Running { server, pki, address, stop, done, _dir: dir }
}

impl Running {
    async fn connect(
        &self,
        identity: Option<&Identity>,
    ) -> hyper::client::conn::http1::SendRequest<Full<Bytes>> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pki.authority().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(identity.key().as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn get(&self, identity: Option<&Identity>, path: &str) -> (StatusCode, String) {
        let mut sender = self.connect(identity).await;
        let request = Request::get(path).header("host", "localhost").body(Full::default()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let code = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[test]
fn only_certificates_of_the_authority_are_somebody() {
    block_on(async {
        let running = start().await;
        let now = jiff::Timestamp::now();
        let admin = running.pki.admin(now).unwrap();
        let (code, text) = running.get(Some(&admin), "/api/v1/namespaces/default").await;
        assert_eq!(code, 200, "{text}");
        assert_eq!(running.get(None, "/api/v1/namespaces/default").await.0, 401);
        assert_eq!(running.get(None, "/fixpoint/v1/ledger").await.0, 401);
        assert_eq!(running.get(None, "/metrics").await.0, 401);
        assert_eq!(running.get(None, "/healthz").await, (StatusCode::OK, "ok".to_owned()));
        let bob = running.pki.client(&User::new("bob", ["readers".to_owned()]), now).unwrap();
        assert_eq!(running.get(Some(&bob), "/api/v1/namespaces/default").await.0, 403);
        assert_eq!(running.get(Some(&bob), "/api").await.0, 200);
        let (_, text) = running.get(Some(&admin), "/fixpoint/v1/ledger?n=3").await;
        assert_eq!(text, "fixpoint-admin /fixpoint/v1/ledger n=3");
    });
}

#[test]
fn shutting_down_ends_watches_and_finishes_requests() {
    block_on(async {
        let running = start().await;
        let admin = running.pki.admin(jiff::Timestamp::now()).unwrap();
        let mut sender = running.connect(Some(&admin)).await;
        let request = Request::get("/api/v1/namespaces?watch=1")
            .header("host", "localhost")
            .body(Full::<Bytes>::default())
            .unwrap();
        let mut watch = sender.send_request(request).await.unwrap().into_body();
        let first = watch.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(first.starts_with(b"{\"type\":\"ADDED\""));
        running.stop.send(()).unwrap();
        running.done.await.unwrap().unwrap();
        while let Some(frame) = watch.frame().await {
            frame.unwrap();
        }
        running.server.close().await;
    });
}

#[test]
fn certificates_are_kept_and_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (path, now) = (dir.path().join("pki"), jiff::Timestamp::now());
    let first = Pki::open(&path, &[], now).unwrap();
    let admin = first.admin(now).unwrap();
    let again = Pki::open(&path, &[], now).unwrap();
    assert_eq!(first.authority(), again.authority());
    assert_eq!(admin.certificate, again.admin(now).unwrap().certificate);
    let server = || std::fs::read_to_string(path.join("server.crt")).unwrap();
    let before = server();
    drop(Pki::open(&path, &["engine.example".to_owned()], now).unwrap());
    let renamed = server();
    assert_ne!(before, renamed, "a new name needs a new certificate");
    let year = jiff::Span::new().hours(24 * 340);
    drop(Pki::open(&path, &["engine.example".to_owned()], now.checked_add(year).unwrap()).unwrap());
    assert_ne!(renamed, server(), "a certificate that is about to expire is renewed");
    for entry in std::fs::read_dir(&path).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let shown = format!("{admin:?}");
    assert!(!shown.contains("PRIVATE"), "keys are not shown");
}
