//! Reads the kubeconfig that leads to a cluster, strictly.
//!
//! In: the bytes of a Secret. Out: where the cluster is and who we are there; nothing else of the
//! file. A kubeconfig from a Secret was written by whoever may write Secrets, so what would run a
//! program, read a file of this machine or trust just anybody is refused, by name. Never here: a
//! value of the file in an error.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fixpoint_base::{Class, Classified, Digest, Limits, Secret};
use fixpoint_yaml::YamlError;
use http::Uri;
use rustls_pki_types::ServerName;
use serde_json::{Map, Value};

/// Longest kubeconfig; a Secret cannot hold more anyway.
const MAX_BYTES: u64 = 1 << 20;

/// Where a cluster is and who we are there.
#[derive(Debug)]
pub struct Access {
    /// URL of the API server: `https`, without credentials, query or fragment.
    pub server: Uri,
    /// Certificates that the server's may be signed by, as PEM; the system's where there are none.
    pub ca: Option<Vec<u8>>,
    /// The name that the server's certificate has to carry, where it is not the URL's.
    pub tls_server_name: Option<String>,
    /// What we show of ourselves.
    pub identity: Identity,
    digest: Digest,
}

/// What we show of ourselves to a server.
#[derive(Debug, Default)]
pub struct Identity {
    /// A certificate as PEM and its key.
    pub certificate: Option<(Vec<u8>, Secret<Vec<u8>>)>,
    /// A bearer token.
    pub token: Option<Secret<String>>,
    /// A user and a password.
    pub basic: Option<(String, Secret<String>)>,
}

impl Identity {
    /// How the server is going to see us, without a secret in it: for the record.
    pub fn described(&self) -> &'static str {
        match self {
            Self { token: Some(_), .. } => "kubeconfig token",
            Self { basic: Some(_), .. } => "kubeconfig user and password",
            Self { certificate: Some(_), .. } => "kubeconfig certificate",
            Self { certificate: None, token: None, basic: None } => "anonymous",
        }
    }
}

/// Why a kubeconfig is not used. Names fields, never values.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// It is too long.
    #[error("the kubeconfig has {bytes} bytes, over the limit of {MAX_BYTES}")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// It is not YAML.
    #[error("the kubeconfig cannot be read")]
    NotYaml(#[source] YamlError),
    /// It is not one document with fields.
    #[error("the kubeconfig is not one YAML object")]
    NotAnObject,
    /// Something that is needed is not there.
    #[error("{field} of the kubeconfig is not set")]
    Missing {
        /// The field.
        field: String,
    },
    /// A name leads nowhere.
    #[error("{field} of the kubeconfig names something that {list} does not have")]
    Dangling {
        /// The field with the name.
        field: String,
        /// The list that was looked through.
        list: &'static str,
    },
    /// A name is there twice.
    #[error("{list} of the kubeconfig has two entries with the name that {field} asks for")]
    Twice {
        /// The field with the name.
        field: String,
        /// The list.
        list: &'static str,
    },
    /// A value is of the wrong form.
    #[error("{field} of the kubeconfig {fault}")]
    Wrong {
        /// The field.
        field: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A field that is not acted on, on purpose.
    #[error("{field} of the kubeconfig is refused: {why}")]
    Refused {
        /// The field.
        field: String,
        /// Why.
        why: &'static str,
    },
    /// A field that nobody knows.
    #[error("{field} of the kubeconfig is not a known field")]
    Unknown {
        /// The field.
        field: String,
    },
}

impl Classified for KubeconfigError {
    fn class(&self) -> Class {
        match self {
            Self::TooLong { .. } | Self::Refused { .. } => Class::Refused,
            Self::NotYaml(_)
            | Self::NotAnObject
            | Self::Missing { .. }
            | Self::Dangling { .. }
            | Self::Twice { .. }
            | Self::Wrong { .. }
            | Self::Unknown { .. } => Class::User,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused { .. } | Self::Unknown { .. } => {
                "put into the Secret a kubeconfig that holds everything itself: server, \
                 certificate-authority-data, and a token or a client certificate"
                    .to_owned()
            }
            Self::TooLong { .. } => "keep one cluster and one user in it".to_owned(),
            Self::Missing { .. }
            | Self::Dangling { .. }
            | Self::Twice { .. }
            | Self::Wrong { .. }
            | Self::NotYaml(_)
            | Self::NotAnObject => {
                "`kubectl config view --raw --flatten --minify` prints one that can be used"
                    .to_owned()
            }
        })
    }
}

/// What is known of a field.
#[derive(Clone, Copy)]
enum Rule {
    /// It is acted on.
    Used,
    /// It changes nothing for us.
    Idle,
    /// It is refused where it says anything, for this reason.
    Refused(&'static str),
}

use Rule::{Idle, Refused, Used};

const READS_A_FILE: &str = "it would read a file of the engine's machine";
const RUNS_A_PROGRAM: &str = "it would run a program on the engine's machine";
const IMPERSONATES: &str = "impersonation is not supported yet";

const TOP: &[(&str, Rule)] = &[
    ("apiVersion", Used),
    ("kind", Used),
    ("preferences", Idle),
    ("clusters", Used),
    ("users", Used),
    ("contexts", Used),
    ("current-context", Used),
    ("extensions", Idle),
];

const CLUSTER: &[(&str, Rule)] = &[
    ("server", Used),
    ("certificate-authority-data", Used),
    ("tls-server-name", Used),
    ("certificate-authority", Refused(READS_A_FILE)),
    ("insecure-skip-tls-verify", Refused("anybody could pass for the cluster")),
    ("proxy-url", Refused("proxies on the way to a cluster are not supported yet")),
    ("disable-compression", Idle),
    ("extensions", Idle),
];

const USER: &[(&str, Rule)] = &[
    ("client-certificate-data", Used),
    ("client-key-data", Used),
    ("token", Used),
    ("username", Used),
    ("password", Used),
    ("client-certificate", Refused(READS_A_FILE)),
    ("client-key", Refused(READS_A_FILE)),
    ("tokenFile", Refused(READS_A_FILE)),
    ("exec", Refused(RUNS_A_PROGRAM)),
    ("auth-provider", Refused(RUNS_A_PROGRAM)),
    ("as", Refused(IMPERSONATES)),
    ("as-uid", Refused(IMPERSONATES)),
    ("as-groups", Refused(IMPERSONATES)),
    ("as-user-extra", Refused(IMPERSONATES)),
    ("extensions", Idle),
];

const CONTEXT: &[(&str, Rule)] =
    &[("cluster", Used), ("user", Used), ("namespace", Idle), ("extensions", Idle)];

impl Access {
    /// Reads what the current context of a kubeconfig says. What other contexts use is not looked
    /// at.
    ///
    /// # Errors
    /// When it is no kubeconfig, is too long, or says something that is refused.
    pub fn read(text: &[u8]) -> Result<Self, KubeconfigError> {
        let file = parse(text)?;
        let top = Part::new("", &file, TOP)?;
        for (field, wanted) in [("apiVersion", "v1"), ("kind", "Config")] {
            if top.text(field)?.is_some_and(|found| found != wanted) {
                return Err(top.wrong(field, "is not the one of a kubeconfig"));
            }
        }
        let current = top.needed("current-context")?;
        let context = named(&file, "contexts", "context", current, "current-context")?;
        let context = Part::new("context", context, CONTEXT)?;
        let cluster = context.needed("cluster")?;
        let cluster = named(&file, "clusters", "cluster", cluster, "context.cluster")?;
        let cluster = Part::new("cluster", cluster, CLUSTER)?;
        let user = match context.text("user")? {
            Some(user) => named(&file, "users", "user", user, "context.user")?,
            None => &Value::Null,
        };
        let user = Part::new("user", user, USER)?;
        let server = server(&cluster)?;
        let ca = cluster.data("certificate-authority-data")?;
        let tls_server_name = cluster.text("tls-server-name")?;
        if tls_server_name.is_some_and(|name| ServerName::try_from(name).is_err()) {
            return Err(cluster.wrong("tls-server-name", "is no name that a server can have"));
        }
        let tls_server_name = tls_server_name.map(str::to_owned);
        let identity = identity(&user)?;
        let digest = digest(&server, ca.as_deref(), tls_server_name.as_deref(), &identity);
        Ok(Self { server, ca, tls_server_name, identity, digest })
    }

    /// Equal where server, trust and credentials are: one connection serves them all. Keep it to
    /// this process: it is made of the credentials.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The server as it is named to people and on record.
    pub fn shown(&self) -> String {
        self.server.to_string().trim_end_matches('/').to_owned()
    }
}

fn parse(text: &[u8]) -> Result<Value, KubeconfigError> {
    if text.len() as u64 > MAX_BYTES {
        return Err(KubeconfigError::TooLong { bytes: text.len() });
    }
    let limits = Limits { manifest_bytes: MAX_BYTES, yaml_documents: 1, ..Limits::default() };
    let mut found = fixpoint_yaml::parse(text, &limits).map_err(KubeconfigError::NotYaml)?;
    match found.pop() {
        Some(file @ Value::Object(_)) if found.is_empty() => Ok(file),
        _ => Err(KubeconfigError::NotAnObject),
    }
}

/// The entry of a list that has a name.
fn named<'a>(
    file: &'a Value,
    list: &'static str,
    part: &str,
    name: &str,
    field: &str,
) -> Result<&'a Value, KubeconfigError> {
    let entries = file.get(list).and_then(Value::as_array).into_iter().flatten();
    let mut found = entries.filter(|entry| entry.get("name").and_then(Value::as_str) == Some(name));
    let field = field.to_owned();
    match (found.next(), found.next()) {
        (Some(entry), None) => match entry.get(part) {
            Some(found) => Ok(found),
            None => Err(KubeconfigError::Missing { field: format!("{list}[].{part}") }),
        },
        (Some(_), Some(_)) => Err(KubeconfigError::Twice { field, list }),
        (None, _) => Err(KubeconfigError::Dangling { field, list }),
    }
}

/// One object of the file, whose fields were all found to be known.
struct Part<'a> {
    place: &'static str,
    /// None where the object is written as nothing at all.
    fields: Option<&'a Map<String, Value>>,
}

impl<'a> Part<'a> {
    fn new(
        place: &'static str,
        value: &'a Value,
        rules: &[(&str, Rule)],
    ) -> Result<Self, KubeconfigError> {
        let fields = match value {
            Value::Object(fields) => Some(fields),
            Value::Null => None,
            _ => return Err(KubeconfigError::NotAnObject),
        };
        let part = Self { place, fields };
        for (field, value) in fields.into_iter().flatten() {
            let rule = rules.iter().find(|(known, _)| known == field).map(|(_, rule)| rule);
            match rule {
                Some(Used | Idle) => {}
                Some(Refused(_)) if says_nothing(value) => {}
                Some(Refused(why)) => {
                    return Err(KubeconfigError::Refused { field: part.field(field), why });
                }
                None => return Err(KubeconfigError::Unknown { field: part.field(&shown(field)) }),
            }
        }
        Ok(part)
    }

    fn field(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    fn wrong(&self, name: &str, fault: &'static str) -> KubeconfigError {
        KubeconfigError::Wrong { field: self.field(name), fault }
    }

    /// A text; an empty one counts as not set.
    fn text(&self, name: &str) -> Result<Option<&'a str>, KubeconfigError> {
        match self.fields.and_then(|fields| fields.get(name)) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "is not text")),
        }
    }

    fn needed(&self, name: &str) -> Result<&'a str, KubeconfigError> {
        let missing = || KubeconfigError::Missing { field: self.field(name) };
        self.text(name)?.ok_or_else(missing)
    }

    /// PEM in base64.
    fn data(&self, name: &str) -> Result<Option<Vec<u8>>, KubeconfigError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let compact: String = text.split_whitespace().collect();
        let bytes = BASE64.decode(compact).map_err(|_| self.wrong(name, "is not base64"))?;
        if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
            Ok(Some(bytes))
        } else {
            Err(self.wrong(name, "holds no PEM"))
        }
    }
}

/// `false`, an empty text or list: set, but to nothing.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// A field's name, short enough for an error and without what a mistake may have put there.
fn shown(name: &str) -> String {
    let fine = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.chars().take(40).filter(fine).collect()
}

fn server(cluster: &Part<'_>) -> Result<Uri, KubeconfigError> {
    let text = cluster.needed("server")?;
    let wrong = |fault| cluster.wrong("server", fault);
    let uri: Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
    let authority = uri.authority().ok_or_else(|| wrong("is not a URL"))?;
    if uri.scheme_str() != Some("https") {
        return Err(wrong("does not begin with https://"));
    }
    if authority.as_str().contains('@') {
        return Err(wrong("has credentials in it"));
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(wrong("has a query or a fragment"));
    }
    if authority.host().is_empty() {
        return Err(wrong("has no host"));
    }
    if authority.as_str().len() > authority.host().len() && authority.port_u16().is_none() {
        return Err(wrong("has a port that there is not"));
    }
    Ok(uri)
}

fn identity(user: &Part<'_>) -> Result<Identity, KubeconfigError> {
    let certificate = user.data("client-certificate-data")?;
    let key = user.data("client-key-data")?.map(Secret::new);
    let certificate = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(KubeconfigError::Missing { field: "user.client-key-data".to_owned() });
        }
        (None, Some(_)) => {
            let field = "user.client-certificate-data".to_owned();
            return Err(KubeconfigError::Missing { field });
        }
    };
    let token = user.text("token")?.map(str::trim);
    if token.is_some_and(|token| !token.chars().all(|sign| sign.is_ascii_graphic())) {
        return Err(user.wrong("token", "has signs in it that no token has"));
    }
    let token = token.map(|token| Secret::new(token.to_owned()));
    let basic = match (user.text("username")?, user.text("password")?) {
        (Some(name), Some(password)) => Some((name.to_owned(), Secret::new(password.to_owned()))),
        _ => None,
    };
    if token.is_some() && basic.is_some() {
        return Err(user.wrong("token", "stands beside a password; only one of them can be shown"));
    }
    Ok(Identity { certificate, token, basic })
}

fn digest(server: &Uri, ca: Option<&[u8]>, name: Option<&str>, identity: &Identity) -> Digest {
    const WHY: &str = "tells connections of one process apart";
    let Identity { certificate, token, basic } = identity;
    let server = server.to_string();
    let (chain, key) = match certificate {
        Some((chain, key)) => (chain.as_slice(), key.expose(WHY).as_slice()),
        None => (&[][..], &[][..]),
    };
    let token = token.as_ref().map_or("", |token| token.expose(WHY));
    let (user, password) = match basic {
        Some((user, password)) => (user.as_str(), password.expose(WHY).as_str()),
        None => ("", ""),
    };
    Digest::of_parts([
        server.as_bytes(),
        ca.unwrap_or_default(),
        name.unwrap_or_default().as_bytes(),
        chain,
        key,
        token.as_bytes(),
        user.as_bytes(),
        password.as_bytes(),
    ])
}

#[cfg(test)]
#[path = "kubeconfig_tests.rs"]
mod tests;
