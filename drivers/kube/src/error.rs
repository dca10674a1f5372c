//! What can go wrong between us and an API server.

use std::fmt;
use std::time::Duration;

use fixpoint_base::{Class, Classified, Key};
use kube::core::Status;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Reading an object.
    Read,
    /// Applying an object.
    Apply,
    /// Deleting an object.
    Delete,
    /// Asking which kinds are served.
    Discover,
    /// Asking which cluster it is.
    Identify,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Apply => "apply",
            Self::Delete => "delete",
            Self::Discover => "discover",
            Self::Identify => "tell the cluster by",
        })
    }
}

/// Why a call did not do what it was for. `what` names the object.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The server does not serve the kind.
    #[error("the server does not know the kind {kind}")]
    UnknownKind {
        /// Such as `Widget.example.org/v1`.
        kind: String,
    },
    /// A namespaced object without a namespace.
    #[error("{what} needs a namespace")]
    NoNamespace {
        /// The object.
        what: String,
    },
    /// A name that cannot be part of a path.
    #[error("{what} has a name that cannot be asked for")]
    BadName {
        /// The object.
        what: String,
    },
    /// The server did not answer in time.
    #[error("could not {act} {what} within {} s", .limit.as_secs())]
    Timeout {
        /// What was being done.
        act: Act,
        /// The object.
        what: String,
        /// The time it had.
        limit: Duration,
    },
    /// The connection failed.
    #[error("could not {act} {what}: the API server cannot be reached")]
    Unreachable {
        /// What was being done.
        act: Act,
        /// The object.
        what: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The server is busy or failing.
    #[error("could not {act} {what}: the server answered {code}{}", because(.message))]
    Busy {
        /// What was being done.
        act: Act,
        /// The object.
        what: String,
        /// The HTTP status.
        code: u16,
        /// Its words, where they may be shown.
        message: String,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The server asked to be left alone a moment ago.
    #[error("did not {act} {what}: the server asked to be left alone for {} s more", .left.as_secs())]
    LeftAlone {
        /// What was to be done.
        act: Act,
        /// The object.
        what: String,
        /// How long it is left alone yet.
        left: Duration,
    },
    /// The server has not answered for a while.
    #[error("did not {act} {what}: the server does not answer")]
    Silent {
        /// What was to be done.
        act: Act,
        /// The object.
        what: String,
    },
    /// The identity may not.
    #[error("may not {act} {what}{}", because(.message))]
    Refused {
        /// What was being done.
        act: Act,
        /// The object.
        what: String,
        /// The server's words, where they may be shown.
        message: String,
    },
    /// The object is wrong.
    #[error("could not {act} {what}: it is not valid{}", because(.message))]
    Invalid {
        /// What was being done.
        act: Act,
        /// The object.
        what: String,
        /// The server's words, where they may be shown.
        message: String,
    },
    /// Something that the object needs, most often its namespace, is not there.
    #[error("could not {act} {what}: something it needs is not there{}", because(.message))]
    Missing {
        /// What was being done.
        act: Act,
        /// The object.
        what: String,
        /// The server's words, where they may be shown.
        message: String,
    },
    /// The change is one that the kind does not allow.
    #[error("could not apply {what}: {} cannot be changed", list(.fields))]
    Immutable {
        /// The object.
        what: String,
        /// The fields that stand in the way.
        fields: Vec<String>,
    },
    /// Somebody changed the object at the same moment.
    #[error("could not {act} {what}: somebody changed it at the same moment")]
    Conflict {
        /// What was being done.
        act: Act,
        /// The object.
        what: String,
    },
    /// Another object has the name now.
    #[error("did not delete {what}: it is not the object that was planned for any more")]
    Changed {
        /// The object.
        what: String,
    },
    /// A replaced object does not go away.
    #[error("could not replace {what}: the old object is still there after {} s", .limit.as_secs())]
    StillThere {
        /// The object.
        what: String,
        /// How long it had.
        limit: Duration,
    },
    /// A definition is not served.
    #[error("{what} is not established{}", because(.message))]
    NotEstablished {
        /// The definition.
        what: String,
        /// Why, where the server says.
        message: String,
        /// Whether it will not get there by itself.
        failed: bool,
    },
    /// The server's answer makes no sense.
    #[error("could not {act} {what}: the answer of the server makes no sense: {fault}")]
    Answer {
        /// What was being done.
        act: Act,
        /// The object.
        what: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The permit is for something else.
    #[error("no permit to {act} {what}")]
    NotPermitted {
        /// What was to be done.
        act: Act,
        /// The object.
        what: String,
    },
    /// A step without its object.
    #[error("there is no object to apply for {what}")]
    NoObject {
        /// The object.
        what: String,
    },
}

fn because(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn list(fields: &[String]) -> String {
    if fields.is_empty() { "a field".to_owned() } else { fields.join(", ") }
}

impl TargetError {
    /// How long the server asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            Self::LeftAlone { left, .. } => Some(*left),
            _ => None,
        }
    }

    /// Makes an error of the server's refusal. The server's words are dropped where the object is
    /// a Secret: they may quote it.
    pub(crate) fn refusal(act: Act, what: &What, code: u16, status: &Status) -> Self {
        let message = what.words(status);
        let what = what.name.clone();
        match code {
            401 | 403 => Self::Refused { act, what, message },
            404 => Self::Missing { act, what, message },
            409 => Self::Conflict { act, what },
            408 | 429 | 500..=599 => {
                let seconds = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
                let retry_after = (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)));
                Self::Busy { act, what, code, message, retry_after }
            }
            _ => Self::Invalid { act, what, message },
        }
    }
}

impl Classified for TargetError {
    fn class(&self) -> Class {
        match self {
            Self::UnknownKind { .. }
            | Self::NoNamespace { .. }
            | Self::BadName { .. }
            | Self::Invalid { .. }
            | Self::Immutable { .. }
            | Self::NotEstablished { failed: true, .. } => Class::User,
            Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::Busy { .. }
            | Self::LeftAlone { .. }
            | Self::Silent { .. }
            | Self::Conflict { .. }
            | Self::StillThere { .. }
            | Self::Missing { .. }
            | Self::NotEstablished { failed: false, .. }
            | Self::Answer { .. } => Class::Transient,
            Self::Refused { .. } | Self::Changed { .. } => Class::Refused,
            Self::NotPermitted { .. } | Self::NoObject { .. } => Class::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKind { .. } => {
                Some("install its CustomResourceDefinition first, or deliver it with this".into())
            }
            Self::NoNamespace { .. } => {
                Some("set metadata.namespace, or spec.targetNamespace of the delivery".into())
            }
            Self::BadName { .. } => Some("use a DNS name".into()),
            Self::Refused { act: Act::Identify, .. } => Some(
                "see that the cluster knows the credentials, and allow the identity of the \
                     kubeconfig to get the namespace kube-system"
                    .into(),
            ),
            Self::Refused { .. } => {
                Some("grant this to the identity of the delivery, or change its identity".into())
            }
            Self::Immutable { .. } => Some(
                "annotate it with kustomize.toolkit.fluxcd.io/force: enabled to replace it".into(),
            ),
            Self::Missing { .. } => {
                Some("create the namespace first, or deliver it with this".into())
            }
            Self::StillThere { .. } => Some("look at its finalizers".into()),
            Self::Invalid { .. } => Some("correct the manifest in the source".into()),
            Self::NotEstablished { failed: true, .. } => {
                Some("look at the conditions of the definition".into())
            }
            Self::Changed { .. }
            | Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::Busy { .. }
            | Self::LeftAlone { .. }
            | Self::Silent { .. }
            | Self::Conflict { .. }
            | Self::NotEstablished { failed: false, .. }
            | Self::Answer { .. }
            | Self::NotPermitted { .. }
            | Self::NoObject { .. } => None,
        }
    }
}

/// As long as a server's words may be in an error.
const MAX_WORDS: usize = 2000;

/// Names what a call is about, and knows whether its content may be spoken of.
#[derive(Debug, Clone)]
pub(crate) struct What {
    pub name: String,
    secret: bool,
}

impl What {
    pub fn object(key: &Key) -> Self {
        let secret = key.gvk.group.is_empty() && key.gvk.kind == "Secret";
        Self { name: key.to_string(), secret }
    }

    pub fn plain(name: impl Into<String>) -> Self {
        Self { name: name.into(), secret: false }
    }

    /// Asked of a server that may be any: what it says of itself is not repeated, so that nobody
    /// reads through us what they cannot reach.
    pub fn of_a_stranger(name: impl Into<String>) -> Self {
        Self { name: name.into(), secret: true }
    }

    fn words(&self, status: &Status) -> String {
        if self.secret {
            return secret_words(status);
        }
        status.message.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect()
    }
}

/// What may be said of a refused Secret: which fields, and the word for what is wrong with each.
/// Names of fields are no values; anything that does not look like one is left out.
fn secret_words(status: &Status) -> String {
    let word = |text: &str| text.chars().filter(char::is_ascii_alphabetic).take(60).collect();
    let reason: String = word(&status.reason);
    let causes = status.details.iter().flat_map(|details| &details.causes).take(5);
    let fields: Vec<String> = causes
        .filter(|cause| is_field_path(&cause.field))
        .map(|cause| {
            let why: String = word(&cause.reason);
            format!("{} ({why})", cause.field)
        })
        .collect();
    if fields.is_empty() { reason } else { format!("{reason}: {}", fields.join(", ")) }
}

/// `data[key]`, `metadata.name`: letters, digits and the signs of a path, of a sensible length.
fn is_field_path(text: &str) -> bool {
    let sign =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '[' | ']' | '-' | '_' | '/');
    !text.is_empty() && text.len() <= 120 && text.chars().all(sign)
}
