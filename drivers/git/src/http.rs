//! Speaks HTTP to Git servers.
//!
//! In: a repository's URL, credentials and a request. Out: the body of the answer, metered, or
//! a typed error. Credentials go to the scheme, host and port that were declared and nowhere else
//! (negative suite B6), and so is a certificate of ours; no proxy, netrc, cookie or helper of the
//! environment is used.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use fixpoint_base::Digest;
use fixpoint_source::{ClientCertificate, Credentials, StoreError};
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{StatusCode, Url, redirect};

use crate::address::{self, Checked};
use crate::conversation::{Body, Conversation};
use crate::location::{parse_http, shown};
use crate::meter::{Meter, plain};
use crate::proxy::{self, Gate};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Redirects followed.
const MAX_HOPS: usize = 3;

/// Clients kept, one for every set of trusted certificates.
const MAX_CLIENTS: usize = 64;

/// Idle connections are closed after this time.
const IDLE: Duration = Duration::from_secs(30);

const INFO: &str = "/info/refs";
const QUERY: &str = "service=git-upload-pack";

/// What is behind all sessions: clients with their connections, and the addresses they may use.
pub(crate) struct Http {
    /// By all that makes one different from another.
    clients: Mutex<BTreeMap<Digest, Client>>,
    checked: Arc<Checked>,
    user_agent: String,
    allow_loopback: bool,
}

/// What makes one client different from another.
#[derive(Clone, Copy)]
struct Make<'a> {
    trust: Trust<'a>,
    certificate: Option<&'a ClientCertificate>,
    gate: Option<&'a Gate>,
}

/// Whose certificates are believed.
#[derive(Clone, Copy)]
enum Trust<'a> {
    /// Nobody's: plain HTTP only.
    Nobody,
    /// The system's.
    System,
    /// The given ones only, as PEM.
    Given(&'a [u8]),
}

impl Make<'_> {
    /// Two clients with one key are the same. Never shown: secrets are in it.
    fn key(&self) -> Digest {
        let reason = "hashed to keep connections apart";
        let (kind, pem): (&[u8], &[u8]) = match self.trust {
            Trust::Nobody => (b"nobody", &[]),
            Trust::System => (b"system", &[]),
            Trust::Given(pem) => (b"given", pem),
        };
        let (chain, key): (&[u8], &[u8]) = match self.certificate {
            Some(certificate) => (&certificate.chain, certificate.key.expose(reason)),
            None => (&[], &[]),
        };
        let url = self.gate.map_or("", |gate| gate.url.as_str());
        let (user, password) = match self.gate.and_then(|gate| gate.login.as_ref()) {
            Some((user, password)) => (user.as_str(), password.expose(reason).as_str()),
            None => ("", ""),
        };
        Digest::of_parts([
            kind,
            pem,
            chain,
            key,
            url.as_bytes(),
            user.as_bytes(),
            password.as_bytes(),
        ])
    }
}

impl Http {
    /// Makes no connection yet.
    pub(crate) fn new(user_agent: String, allow_loopback: bool) -> Self {
        Self {
            clients: Mutex::default(),
            checked: Arc::new(Checked::default()),
            user_agent,
            allow_loopback,
        }
    }

    fn client(&self, make: &Make<'_>) -> Result<Client, String> {
        let key = make.key();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(make)?;
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn build(&self, make: &Make<'_>) -> Result<Client, String> {
        // Somebody else in the process may have been first, which is as good.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(self.user_agent.clone())
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(None)
            .pool_idle_timeout(IDLE)
            .dns_resolver(Arc::clone(&self.checked));
        builder = match make.trust {
            Trust::Given(pem) => {
                let certificates = reqwest::Certificate::from_pem_bundle(pem)
                    .map_err(|_| "the given CA certificates are not PEM".to_owned())?;
                if certificates.is_empty() {
                    return Err("the given CA has no certificate in it".to_owned());
                }
                builder.tls_certs_only(certificates)
            }
            // A machine without certificates can still speak plain HTTP.
            Trust::Nobody => builder.tls_backend_preconfigured(trusting_nobody()),
            Trust::System => builder,
        };
        if let Some(certificate) = make.certificate {
            builder = builder.identity(identity(certificate)?);
        }
        if let Some(gate) = make.gate {
            builder = builder.proxy(through(gate)?);
        }
        builder.build().map_err(|err| deepest(&err))
    }
}

fn identity(certificate: &ClientCertificate) -> Result<reqwest::Identity, String> {
    let key = certificate.key.expose("proves to a TLS server who we are");
    let pem = [certificate.chain.as_slice(), b"\n", key].concat();
    reqwest::Identity::from_pem(&pem)
        .map_err(|_| "tls.crt and tls.key are not a certificate and its key in PEM".to_owned())
}

fn through(gate: &Gate) -> Result<reqwest::Proxy, String> {
    // Names are resolved beyond the proxy, which is what it is for.
    let url = gate.url.as_str().replacen("socks5://", "socks5h://", 1);
    let proxy = reqwest::Proxy::all(url).map_err(|err| deepest(&err))?;
    Ok(match &gate.login {
        Some((user, password)) => {
            proxy.basic_auth(user, password.expose("sent to the declared proxy"))
        }
        None => proxy,
    })
}

fn trusting_nobody() -> rustls::ClientConfig {
    rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

/// Credentials as a header. Its `Debug` shows nothing.
pub(crate) fn authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, String> {
    let text = match credentials {
        Credentials::Anonymous => return Ok(None),
        Credentials::Basic { username, password } => {
            let pair = format!("{username}:{}", password.expose("sent to the declared server"));
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        }
        Credentials::Bearer(token) => {
            format!("Bearer {}", token.expose("sent to the declared server").trim())
        }
        Credentials::Ssh(_) => return Err("an ssh key is of no use over HTTP".to_owned()),
    };
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| "the credentials have characters that HTTP cannot carry".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// One repository, and who we are there.
#[derive(Clone)]
pub(crate) struct HttpAccess {
    /// What is behind all sessions.
    pub(crate) http: Arc<Http>,
    /// The declared URL: what credentials are for.
    pub(crate) url: Url,
    /// Credentials.
    pub(crate) authorization: Option<HeaderValue>,
    /// Whom to trust instead of the system's authorities.
    pub(crate) ca: Option<Vec<u8>>,
    /// What the server may know us by.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// What to go through.
    pub(crate) gate: Option<Arc<Gate>>,
}

/// One conversation with one server.
pub(crate) struct Session<'a> {
    access: &'a HttpAccess,
    meter: &'a Meter,
    /// Where the server sent us: the declared URL unless it redirects.
    base: Url,
}

impl Conversation for Session<'_> {
    /// Asks what the server can do, following redirects as Git does: for this first request only.
    fn discover(&mut self) -> Result<Body<'_>, StoreError> {
        for _hop in 0..=MAX_HOPS {
            let mut url = self.at(INFO);
            url.set_query(Some(QUERY));
            let client = self.connect(&url)?;
            let response = self.send(client.get(url))?;
            if !is_redirect(response.status()) {
                let wanted = "application/x-git-upload-pack-advertisement";
                return self.accept(response, wanted);
            }
            self.base = self.redirected(&response)?;
        }
        Err(self.meter.unreachable(format!("it redirects more than {MAX_HOPS} times")))
    }

    /// Sends a command.
    fn command(&mut self, body: Vec<u8>) -> Result<Body<'_>, StoreError> {
        let url = self.at("/git-upload-pack");
        let client = self.connect(&url)?;
        let request = client
            .post(url)
            .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
            .header("Accept", "application/x-git-upload-pack-result")
            .body(body);
        let response = self.send(request)?;
        if is_redirect(response.status()) {
            return Err(self.meter.unreachable("it redirects a command"));
        }
        self.accept(response, "application/x-git-upload-pack-result")
    }
}

impl<'a> Session<'a> {
    /// Starts a conversation; nothing is sent yet.
    pub(crate) fn new(access: &'a HttpAccess, meter: &'a Meter) -> Self {
        Self { access, meter, base: access.url.clone() }
    }

    fn at(&self, tail: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{tail}", self.base.path().trim_end_matches('/')));
        url
    }

    fn connect(&self, url: &Url) -> Result<Client, StoreError> {
        self.meter.check()?;
        let HttpAccess { http, ca, certificate, gate, url: declared, .. } = self.access;
        let allow = http.allow_loopback;
        match gate {
            None => http.checked.check(url, allow, self.meter)?,
            Some(gate) => {
                address::allowed_beyond(
                    &shown(url.as_str()),
                    url.host_str().unwrap_or_default(),
                    allow,
                )?;
                http.checked.check(&gate.url, allow, self.meter)?;
            }
        }
        let is_plain = |url: &Url| url.scheme() != "https";
        let trust = match ca {
            _ if is_plain(url) && gate.as_ref().is_none_or(|gate| is_plain(&gate.url)) => {
                Trust::Nobody
            }
            None => Trust::System,
            Some(pem) => Trust::Given(pem),
        };
        // Shown where it was declared, and nowhere else.
        let wanted = !is_plain(url) && same_origin(url, declared);
        let certificate = certificate.as_deref().filter(|_| wanted);
        let made = http.client(&Make { trust, certificate, gate: gate.as_deref() });
        made.map_err(|reason| StoreError::Credentials {
            url: self.meter.url().to_owned(),
            reason,
            hint: None,
        })
    }

    fn send(&self, request: RequestBuilder) -> Result<Response, StoreError> {
        let mut request =
            request.header("Git-Protocol", "version=2").timeout(self.meter.remaining());
        if let (Some(value), true) =
            (&self.access.authorization, same_origin(&self.base, &self.access.url))
        {
            request = request.header(AUTHORIZATION, value.clone());
        }
        request.send().map_err(|err| self.failed(&err))
    }

    fn failed(&self, err: &reqwest::Error) -> StoreError {
        if self.meter.remaining().is_zero() {
            self.meter.timeout()
        } else if err.is_timeout() && err.is_connect() {
            self.meter.unreachable(format!("no connection within {} s", CONNECT.as_secs()))
        } else if err.is_timeout() {
            self.meter.timeout()
        } else {
            self.explain(&deepest(err))
        }
    }

    /// What a failed connection means; TLS and proxies say it in words only.
    fn explain(&self, reason: &str) -> StoreError {
        // DecryptError: the signature of one of ours does not hold.
        let certificate = ["Certificate", "UnknownCA", "AccessDenied", "DecryptError"];
        match &self.access.gate {
            Some(_) if reason.contains("proxy authorization required") => {
                self.meter.unreachable(proxy::REFUSED)
            }
            _ if reason.contains("received fatal alert")
                && certificate.iter().any(|alert| reason.contains(alert)) =>
            {
                StoreError::Unauthorised { url: self.meter.url().to_owned() }
            }
            Some(gate) => self.meter.unreachable(format!("by {}: {reason}", gate.shown())),
            None => self.meter.unreachable(reason),
        }
    }

    /// Where a redirect leads, as the new base URL.
    fn redirected(&self, response: &Response) -> Result<Url, StoreError> {
        let refuse = |reason: &str| self.meter.unreachable(format!("its redirect {reason}"));
        let target = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|location| response.url().join(location).ok())
            .ok_or_else(|| refuse("names no place"))?;
        let mut base = target.clone();
        base.set_query(None);
        let path = base.path().strip_suffix(INFO).map(ToOwned::to_owned);
        let (Some(path), Some(QUERY)) = (path, target.query()) else {
            return Err(refuse("does not lead to a Git repository"));
        };
        if response.url().scheme() == "https" && base.scheme() != "https" {
            return Err(StoreError::NotAllowed {
                url: shown(target.as_str()),
                reason: "it is where an https URL redirects to, and not https".to_owned(),
                hint: None,
            });
        }
        let mut base = parse_http(base.as_str())?;
        base.set_path(&path);
        tracing::debug!(from = self.meter.url(), to = %shown(base.as_str()), "redirected");
        Ok(base)
    }

    fn accept(&self, response: Response, wanted: &str) -> Result<Body<'a>, StoreError> {
        let url = self.meter.url().to_owned();
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(StoreError::Unauthorised { url });
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                return Err(self.meter.unreachable(proxy::REFUSED));
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(StoreError::NotFound { url }),
            status => {
                return Err(self.meter.unreachable(format!("it answers HTTP {}", status.as_u16())));
            }
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if kind != wanted {
            let kind = plain(kind, 60);
            return Err(self.meter.unreachable(format!("it is no Git server (it sends {kind:?})")));
        }
        let body = Metered { response, meter: self.meter };
        Ok(Box::new(BufReader::with_capacity(64 * 1024, body)))
    }
}

/// A body whose bytes and time are counted.
pub(crate) struct Metered<'a> {
    response: Response,
    meter: &'a Meter,
}

impl Read for Metered<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.meter.check().map_err(|err| self.meter.fail(err))?;
        let read = self.response.read(out).map_err(|err| {
            let over = self.meter.remaining().is_zero() || err.kind() == io::ErrorKind::TimedOut;
            self.meter.fail(if over {
                self.meter.timeout()
            } else {
                self.meter.unreachable(format!("the connection closed half way: {}", deepest(&err)))
            })
        })?;
        self.meter.spend(read as u64).map_err(|err| self.meter.fail(err))?;
        Ok(read)
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// The innermost cause: the outer ones repeat the URL and say "error sending request".
fn deepest(err: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = err;
    while let Some(source) = cause.source() {
        cause = source;
    }
    plain(&cause.to_string(), 200)
}

#[cfg(test)]
mod tests {
    use fixpoint_base::Secret;

    use super::*;

    #[test]
    fn origins() {
        let same = |a: &str, b: &str| same_origin(&Url::parse(a).unwrap(), &Url::parse(b).unwrap());
        assert!(same("https://a/x", "https://a:443/y"));
        assert!(!same("https://a/x", "http://a/x"));
        assert!(!same("https://a/x", "https://a:8443/x"));
        assert!(!same("https://a/x", "https://b.a/x"));
    }

    #[test]
    fn credentials_do_not_show() {
        let basic = Credentials::Basic {
            username: "ann".to_owned(),
            password: Secret::new("hunter2".to_owned()),
        };
        let value = authorization(&basic).unwrap().unwrap();
        assert_eq!(value.to_str().unwrap(), "Basic YW5uOmh1bnRlcjI=");
        assert_eq!(format!("{value:?}"), "Sensitive");
        let broken = Credentials::Bearer(Secret::new("hunter2\nx: y".to_owned()));
        assert!(!authorization(&broken).unwrap_err().contains("hunter2"));
    }
}
