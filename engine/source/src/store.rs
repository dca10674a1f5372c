//! The five questions that every store with Git semantics answers.
//!
//! A driver implements [`Store`] for one kind of store; the answers are facts, without policy.
//! The calls block: whoever loops over sources runs them where blocking is allowed.

use std::time::Duration;

use fixpoint_base::{Class, Classified, Secret};

use crate::ignore::{IgnoreProblem, Sieve};
use crate::selection::Selection;
use crate::tree::{Tree, TreeProblem};

/// Where a store is and how to be let in.
#[derive(Debug, Default)]
pub struct Location {
    /// URL as declared, without credentials.
    pub url: String,
    /// Who we say we are.
    pub credentials: Credentials,
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// What a TLS server may know us by.
    pub certificate: Option<ClientCertificate>,
    /// What every connection goes through.
    pub proxy: Option<Proxy>,
    /// Other servers that submodules may come from; they are told nothing of ours.
    pub submodule_hosts: Vec<String>,
    /// How long one operation may take.
    pub timeout: Duration,
}

/// Who we say we are to a store.
#[derive(Debug, Default)]
pub enum Credentials {
    /// Nobody.
    #[default]
    Anonymous,
    /// HTTP basic authentication.
    Basic {
        /// User name.
        username: String,
        /// Password or token.
        password: Secret<String>,
    },
    /// An HTTP bearer token.
    Bearer(Secret<String>),
    /// An ssh key, and the host keys of the servers that it may be shown to.
    Ssh(SshIdentity),
}

/// Who we are to an ssh server, and how it proves who it is.
#[derive(Debug)]
pub struct SshIdentity {
    /// Private key as a file of OpenSSH or in PEM.
    pub key: Secret<String>,
    /// What opens the private key.
    pub passphrase: Option<Secret<String>>,
    /// Host keys in the form of OpenSSH's `known_hosts`; no other is ever believed.
    pub known_hosts: String,
}

/// A certificate of ours, for servers that ask for one.
#[derive(Debug)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority, as PEM.
    pub chain: Vec<u8>,
    /// Its private key, as PEM.
    pub key: Secret<Vec<u8>>,
}

/// A machine that makes our connections for us.
#[derive(Debug)]
pub struct Proxy {
    /// Its URL, without credentials.
    pub address: String,
    /// A name and a password for it.
    pub login: Option<(String, Secret<String>)>,
}

/// Which version is wanted, in Flux's order of precedence: commit, name, semver, tag, branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A commit by its full id, optionally looked for on one branch only.
    Commit {
        /// 40 hex digits.
        id: String,
        /// The branch it is on.
        branch: Option<String>,
    },
    /// A full ref name such as `refs/pull/7/head`.
    Name(String),
    /// The highest tag within a range.
    Semver(String),
    /// A tag.
    Tag(String),
    /// A branch.
    Branch(String),
}

/// What kind of promise a name carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameClass {
    /// Moves, but only forward.
    Branch,
    /// Never moves.
    Tag,
    /// A set of tags of which the highest is taken; each tag never moves.
    Semver,
    /// A content id: it cannot move.
    Commit,
}

/// One name that a store lists, and what it points to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Full name, such as `refs/heads/main`.
    pub full: String,
    /// The object it points to (for an annotated tag, the tag object).
    pub target: String,
    /// The commit behind an annotated tag.
    pub peeled: Option<String>,
}

/// What a reference resolves to now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// How the revision names it: `main`, `6.3.5`, `refs/pull/7/head`; empty for a bare commit.
    pub name: String,
    /// Full ref name; empty for a bare commit.
    pub full: String,
    /// The promise that the name carries.
    pub class: NameClass,
    /// The commit, 40 hex digits.
    pub commit: String,
    /// The tag object of an annotated tag.
    pub tag_object: Option<String>,
}

impl Pointer {
    /// The revision as Flux writes it: `main@sha1:…`, or `sha1:…` for a bare commit.
    pub fn revision(&self) -> String {
        if self.name.is_empty() {
            format!("sha1:{}", self.commit)
        } else {
            format!("{}@sha1:{}", self.name, self.commit)
        }
    }
}

/// The content of one version.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its files, as far as they were selected and are not ignored.
    pub tree: Tree,
    /// What is ignored: holds for what is copied into the tree later too.
    pub sieve: Sieve,
    /// First line of the commit message, control characters removed, at most 200 characters.
    pub subject: String,
    /// Who made it: name and address as the commit says, unverified.
    pub author: String,
    /// When it was committed, in seconds since 1970.
    pub committed: i64,
    /// The repositories within it that were read too.
    pub submodules: Vec<Submodule>,
}

/// A repository within another, at the commit that the other one names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submodule {
    /// Where it is in the tree.
    pub path: String,
    /// Where it came from, without credentials.
    pub url: String,
    /// The commit, 40 hex digits.
    pub commit: String,
}

/// Bytes of a commit or tag object; real ones have a few hundred.
pub const OBJECT_BYTES: u64 = 1024 * 1024;

/// The objects of a version as the store holds them: each one's id is the hash of these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objects {
    /// The commit.
    pub commit: Vec<u8>,
    /// The tag object of an annotated tag.
    pub tag: Option<Vec<u8>>,
}

/// How a new version relates to an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// They are the same.
    Same,
    /// The new one descends from the old one.
    Forward,
    /// The new one is an ancestor of the old one.
    Backward,
    /// Neither descends from the other.
    Diverged,
    /// It could not be told within the bounds.
    Unknown,
}

/// A store opened at one location.
pub trait Store: Send + Sync {
    /// What names exist?
    ///
    /// # Errors
    /// When the store cannot be asked, or lists more than the limits allow.
    fn names(&self) -> Result<Vec<Name>, StoreError>;

    /// What does a reference point to now?
    ///
    /// # Errors
    /// When the store cannot be asked or nothing answers to the reference.
    fn pointer(&self, reference: &Reference) -> Result<Pointer, StoreError>;

    /// What is the content of a version, as far as it is wanted? Fetches what is not here yet.
    ///
    /// # Errors
    /// When the store cannot be asked, the content is not what its id says, a selected folder is
    /// not there, or a limit is hit.
    fn content(&self, pointer: &Pointer, selection: &Selection) -> Result<Content, StoreError>;

    /// What are the very objects of a version? Who checks signatures asks this.
    ///
    /// # Errors
    /// When the store cannot be asked, an object is not what its id says, or a limit is hit.
    fn objects(&self, pointer: &Pointer) -> Result<Objects, StoreError>;

    /// Is the old version an ancestor of the new one?
    ///
    /// # Errors
    /// When the store cannot be asked. What cannot be told is [`Ancestry::Unknown`], not an error.
    fn ancestry(&self, old: &str, new: &Pointer) -> Result<Ancestry, StoreError>;
}

/// Opens stores.
pub trait Stores: Send + Sync {
    /// Opens the store at a location; touches no network yet.
    ///
    /// # Errors
    /// When the location is malformed, refused by policy, or of a kind that is not supported.
    fn open(&self, location: Location) -> Result<Box<dyn Store>, StoreError>;
}

/// Why a store did not answer.
///
/// URLs in it never carry credentials.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL cannot be read.
    #[error("URL {url:?} is malformed: {reason}")]
    Url {
        /// What was given, without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The URL is one that we do not go to.
    #[error("{url} is not allowed: {reason}")]
    NotAllowed {
        /// What was given, without credentials.
        url: String,
        /// Which rule it breaks.
        reason: String,
        /// What would allow it.
        hint: Option<String>,
    },
    /// A feature that is not there.
    #[error("{what} is not supported yet")]
    Unsupported {
        /// The feature.
        what: String,
    },
    /// Nobody answered, or not with what was asked.
    #[error("could not reach {url}: {reason}")]
    Unreachable {
        /// The store.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It took too long.
    #[error("{url} did not answer within {seconds} s")]
    Timeout {
        /// The store.
        url: String,
        /// The time given.
        seconds: u64,
    },
    /// The store wants other credentials.
    #[error("{url} refused the credentials")]
    Unauthorised {
        /// The store.
        url: String,
    },
    /// The credentials are of no use there, and were not sent.
    #[error("the credentials for {url} cannot be used: {reason}")]
    Credentials {
        /// The store.
        url: String,
        /// What is wrong with them; never a part of them.
        reason: String,
        /// What would mend it.
        hint: Option<String>,
    },
    /// Who answers is not who was declared, so nothing was sent.
    #[error("{url} is not trusted: {reason}")]
    Untrusted {
        /// The store.
        url: String,
        /// What does not fit.
        reason: String,
        /// What would make it trusted.
        hint: Option<String>,
    },
    /// There is no repository there.
    #[error("there is no repository at {url}")]
    NotFound {
        /// The store.
        url: String,
    },
    /// No name answers to the reference.
    #[error("{wanted} does not exist in {url}")]
    NoSuchName {
        /// What was asked for, such as `branch mian`.
        wanted: String,
        /// The store.
        url: String,
        /// Up to ten names that do exist.
        known: Vec<String>,
    },
    /// The reference itself cannot be read.
    #[error("{what} is malformed: {reason}")]
    Reference {
        /// The reference.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// More than the limits allow.
    #[error("{url} is over a limit: {what}")]
    Limit {
        /// The store.
        url: String,
        /// Which limit, with its value.
        what: String,
    },
    /// The content is not what it claims to be.
    #[error("content of {url} is broken: {reason}")]
    Corrupt {
        /// The store.
        url: String,
        /// What does not fit.
        reason: String,
    },
    /// The version holds something that no tree may hold.
    #[error("the version is refused")]
    Tree(#[from] TreeProblem),
    /// The version holds patterns that cannot be used.
    #[error("the version is refused")]
    Ignore(#[from] IgnoreProblem),
    /// A folder that was selected is not in the version.
    #[error("folder {folder} of spec.sparseCheckout does not exist in {url}")]
    NoSuchFolder {
        /// The folder.
        folder: String,
        /// The store.
        url: String,
    },
    /// Our own disk failed us.
    #[error("could not keep what {url} sent")]
    Local {
        /// The store.
        url: String,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
}

impl Classified for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::Url { .. }
            | Self::Reference { .. }
            | Self::NoSuchName { .. }
            | Self::NoSuchFolder { .. }
            | Self::Credentials { .. } => Class::User,
            Self::NotAllowed { .. }
            | Self::Unsupported { .. }
            | Self::Unauthorised { .. }
            | Self::Untrusted { .. }
            | Self::Limit { .. } => Class::Refused,
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::NotFound { .. }
            | Self::Corrupt { .. }
            | Self::Local { .. } => Class::Transient,
            Self::Tree(problem) => problem.class(),
            Self::Ignore(problem) => problem.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotAllowed { hint, .. }
            | Self::Credentials { hint, .. }
            | Self::Untrusted { hint, .. } => hint.clone(),
            Self::NoSuchName { known, .. } if !known.is_empty() => {
                Some(format!("there are: {}", known.join(", ")))
            }
            Self::Unauthorised { .. } => {
                Some("check the Secret that spec.secretRef names".to_owned())
            }
            Self::NotFound { .. } => {
                Some("check spec.url, and that the credentials may read it".to_owned())
            }
            Self::NoSuchFolder { .. } => {
                Some("name folders that every followed version has".to_owned())
            }
            Self::Tree(problem) => problem.hint(),
            Self::Ignore(problem) => problem.hint(),
            _ => None,
        }
    }
}
