//! Certificates of the installation: its own authority, the server's certificate, and client
//! certificates that say who a user is.
//!
//! Keys are ECDSA P-256, made once and kept in files that only their owner can read. The
//! authority's key never leaves this module.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fixpoint_base::{Class, Classified};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::user::User;

/// Ten years: longer than an installation is kept without being rebuilt.
const AUTHORITY_DAYS: i32 = 3653;
/// A year for everything the authority signs, as kubeadm does.
const LEAF_DAYS: i32 = 365;
/// Renewed in the last month, so that a monthly restart is enough.
const RENEW_DAYS: i32 = 30;

/// Why certificates could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("could not use the certificate file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A certificate cannot be made.
    #[error("could not make the certificate for {name}")]
    Make {
        /// Whom it is for.
        name: String,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// A file does not hold what its name says.
    #[error("the certificate file {} is damaged", .0.display())]
    Damaged(PathBuf),
    /// A certificate names one group at most.
    #[error("a client certificate names one group, and {0} has more")]
    TooManyGroups(String),
    /// TLS refuses the certificates.
    #[error("could not set up TLS: {0}")]
    Tls(String),
}

impl Classified for PkiError {
    fn class(&self) -> Class {
        match self {
            Self::Io { .. } => Class::Transient,
            Self::Damaged(_) | Self::TooManyGroups(_) => Class::User,
            Self::Make { .. } | Self::Tls(_) => Class::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged(path) => Some(format!(
                "restore {} from a backup; removing the folder makes a new authority and voids every kubeconfig",
                path.display()
            )),
            Self::Io { .. } | Self::Make { .. } | Self::TooManyGroups(_) | Self::Tls(_) => None,
        }
    }
}

/// The certificates of one installation.
pub struct Pki {
    dir: PathBuf,
    authority: Issuer<'static, KeyPair>,
    authority_pem: String,
    server: Identity,
}

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    key: String,
}

impl Identity {
    /// The private key, which must reach no log.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Pki {
    /// Opens the certificates below `dir`, making what is missing and renewing what is due.
    ///
    /// The server's certificate is good for `localhost`, the loopback addresses and `names`.
    pub fn open(dir: &Path, names: &[String], now: Timestamp) -> Result<Self, PkiError> {
        make_dir(dir)?;
        let authority_pair = match Identity::load(dir, "ca")? {
            Some(pair) => pair,
            None => Identity::make_authority(now)?.store(dir, "ca")?,
        };
        let damaged = || PkiError::Damaged(dir.join("ca.crt"));
        let key = KeyPair::from_pem(&authority_pair.key).map_err(|_| damaged())?;
        let authority =
            Issuer::from_ca_cert_pem(&authority_pair.certificate, key).map_err(|_| damaged())?;
        let wanted = server_names(names);
        let server = match Identity::load(dir, "server")? {
            Some(pair) if pair.is_good(now) && covers(&pair.certificate, &wanted) => pair,
            _ => Identity::make_server(&authority, &wanted, now)?.store(dir, "server")?,
        };
        Ok(Self {
            dir: dir.to_owned(),
            authority,
            authority_pem: authority_pair.certificate,
            server,
        })
    }

    /// The authority's certificate, PEM.
    pub fn authority(&self) -> &str {
        &self.authority_pem
    }

    /// A new client certificate: the common name is the user, the organization the group.
    pub fn client(&self, user: &User, now: Timestamp) -> Result<Identity, PkiError> {
        Identity::make_client(&self.authority, user, now)
    }

    /// The administrator's client certificate, kept below the folder and renewed when due.
    pub fn admin(&self, now: Timestamp) -> Result<Identity, PkiError> {
        match Identity::load(&self.dir, "admin")? {
            Some(pair) if pair.is_good(now) => Ok(pair),
            _ => self.client(&User::admin(), now)?.store(&self.dir, "admin"),
        }
    }

    /// TLS for the listener. Client certificates of the authority are checked; connections
    /// without one are let in for the health paths, and refused everywhere else by the server.
    pub fn server_config(&self) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        let tls = |err: &dyn std::fmt::Display| PkiError::Tls(err.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.authority_pem) {
            roots.add(certificate).map_err(|err| tls(&err))?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()
                .map_err(|err| tls(&err))?;
        let key =
            PrivateKeyDer::from_pem_slice(self.server.key.as_bytes()).map_err(|err| tls(&err))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|err| tls(&err))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates(&self.server.certificate), key)
            .map_err(|err| tls(&err))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// A kubeconfig with everything embedded. It holds a private key: keep its file at 0600.
    pub fn kubeconfig(&self, server_url: &str, context: &str, client: &Identity) -> String {
        // JSON strings are YAML strings, whatever the values hold.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let (url, context) = (quoted(server_url), quoted(context));
        let authority = BASE64.encode(&self.authority_pem);
        let certificate = BASE64.encode(&client.certificate);
        let key = BASE64.encode(&client.key);
        format!(
            "apiVersion: v1
kind: Config
clusters:
- name: {context}
  cluster:
    server: {url}
    certificate-authority-data: {authority}
users:
- name: {context}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: {context}
  context:
    cluster: {context}
    user: {context}
    namespace: default
current-context: {context}
preferences: {{}}
"
        )
    }
}

impl Identity {
    fn load(dir: &Path, name: &str) -> Result<Option<Self>, PkiError> {
        let read = |path: PathBuf| match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PkiError::Io { path, source }),
        };
        // The key is written first: a certificate without its key never exists.
        let Some(certificate) = read(dir.join(format!("{name}.crt")))? else { return Ok(None) };
        let Some(key) = read(dir.join(format!("{name}.key")))? else { return Ok(None) };
        Ok(Some(Self { certificate, key }))
    }

    fn store(self, dir: &Path, name: &str) -> Result<Self, PkiError> {
        write_private(&dir.join(format!("{name}.key")), &self.key)?;
        write_private(&dir.join(format!("{name}.crt")), &self.certificate)?;
        Ok(self)
    }

    /// Whether the certificate is valid for a while yet.
    fn is_good(&self, now: Timestamp) -> bool {
        let Some(der) = certificates(&self.certificate).into_iter().next() else { return false };
        let Ok((_, parsed)) = X509Certificate::from_der(&der) else { return false };
        let until = parsed.validity().not_after.timestamp();
        until - now.as_second() > i64::from(RENEW_DAYS) * 86_400
    }

    fn make_authority(now: Timestamp) -> Result<Self, PkiError> {
        let name = "fixpoint-ca";
        let mut params = params(name, now, AUTHORITY_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let made = |source| PkiError::Make { name: name.to_owned(), source };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(made)?;
        let certificate = params.self_signed(&key).map_err(made)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    fn make_server(
        authority: &Issuer<'static, KeyPair>,
        names: &[String],
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        let name = "fixpoint-server";
        let mut params = params(name, now, LEAF_DAYS);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for wanted in names {
            params.subject_alt_names.push(match wanted.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(wanted.as_str().try_into().map_err(|source| {
                    PkiError::Make { name: format!("the host name {wanted}"), source }
                })?),
            });
        }
        sign(params, authority, name)
    }

    fn make_client(
        authority: &Issuer<'static, KeyPair>,
        user: &User,
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        let mut params = params(&user.name, now, LEAF_DAYS);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        match user.groups.as_slice() {
            [] => {}
            [group] => {
                params.distinguished_name.push(DnType::OrganizationName, group.as_str());
            }
            _ => return Err(PkiError::TooManyGroups(user.name.clone())),
        }
        sign(params, authority, &user.name)
    }
}

/// Reads the user from a verified client certificate.
pub(crate) fn user_of(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
    let mut groups: Vec<String> = parsed
        .subject()
        .iter_organization()
        .filter_map(|group| group.as_str().ok().map(str::to_owned))
        .collect();
    groups.push("system:authenticated".to_owned());
    Some(User { name, groups })
}

fn params(common_name: &str, now: Timestamp, days: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    // A day early, so that a clock that is a little behind accepts it.
    let (year, month, day) = date(now, -1);
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = date(now, days);
    params.not_after = rcgen::date_time_ymd(year, month, day);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn date(now: Timestamp, days: i32) -> (i32, u8, u8) {
    let day = now.to_zoned(TimeZone::UTC).date().saturating_add(days.days());
    (i32::from(day.year()), day.month().unsigned_abs(), day.day().unsigned_abs())
}

fn sign(
    params: CertificateParams,
    authority: &Issuer<'static, KeyPair>,
    name: &str,
) -> Result<Identity, PkiError> {
    let made = |source| PkiError::Make { name: name.to_owned(), source };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(made)?;
    let certificate = params.signed_by(&key, authority).map_err(made)?;
    Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn server_names(extra: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    names.extend(extra.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    names
}

fn covers(certificate: &str, wanted: &[String]) -> bool {
    let Some(der) = certificates(certificate).into_iter().next() else { return false };
    let Ok((_, parsed)) = X509Certificate::from_der(&der) else { return false };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return false };
    wanted.iter().all(|wanted| {
        names.value.general_names.iter().any(|name| match name {
            GeneralName::DNSName(name) => name == wanted,
            GeneralName::IPAddress(bytes) => wanted.parse().is_ok_and(|address| match address {
                IpAddr::V4(address) => address.octets() == **bytes,
                IpAddr::V6(address) => address.octets() == **bytes,
            }),
            _ => false,
        })
    })
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect()
}

fn make_dir(dir: &Path) -> Result<(), PkiError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| PkiError::Io { path: dir.to_owned(), source })
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, text: &str) -> Result<(), PkiError> {
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let _ = fs::remove_file(&temporary); // left by a crash, perhaps with another mode
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
    };
    write().map_err(|source| PkiError::Io { path: path.to_owned(), source })
}
