//! What the ledger records, as typed entries with one canonical text each.
//!
//! In: facts of the other stages. Out: canonical JSON of at most 65,535 bytes. No field takes
//! content, only digests, names and counts; secrets enter as keyed digests or not at all.

use fixpoint_base::{Class, Classified, Digest, canonical};
use fixpoint_source::verdict::{History, Position, Verdict};
use serde::{Deserialize, Serialize};

use crate::merkle::{self, Hash};
use crate::tiles::ENTRY_BYTES;

/// Version of the form of entries.
pub const VERSION: u64 = 1;
/// Longest text in a draft that is not of our own making, such as a reason.
const TEXT_BYTES: usize = 4096;

/// An entry before it has its place: the ledger adds version and `prev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// When, in RFC 3339.
    pub time: String,
    /// Who: `engine`, or the authenticated user.
    pub actor: String,
    /// Whose history this belongs to, such as `GitRepository/shop/web`.
    pub subject: String,
    /// What happened.
    pub body: Body,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of the form.
    pub v: u64,
    /// When, in RFC 3339, as the clock of the engine had it.
    pub time: String,
    /// Who.
    pub actor: String,
    /// Whose history this belongs to.
    pub subject: String,
    /// Index of the subject's previous entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Body {
    /// The log began.
    Genesis(Genesis),
    /// A store was seen to say something new about a name.
    Observe(Observe),
    /// A store broke its promise.
    Violation(Violation),
    /// Someone answered for a violation.
    Ack(Ack),
    /// Someone agreed to deletions that were held.
    Approve(Approve),
    /// Versions were rendered.
    Render(Render),
    /// A target is about to be changed.
    Intent(Intent),
    /// A target was changed, as far as we know.
    Outcome(Outcome),
    /// Objects were deleted because the source no longer asks for them.
    Prune(Prune),
    /// After a crash, an open intent was settled by looking at the target.
    Resolve(Resolve),
    /// A setting was changed.
    Config(Config),
    /// A cluster answered at an address.
    Meet(Meet),
}

impl Body {
    /// The word for the kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "genesis",
            Self::Observe(_) => "observe",
            Self::Violation(_) => "violation",
            Self::Ack(_) => "ack",
            Self::Approve(_) => "approve",
            Self::Render(_) => "render",
            Self::Intent(_) => "intent",
            Self::Outcome(_) => "outcome",
            Self::Prune(_) => "prune",
            Self::Resolve(_) => "resolve",
            Self::Config(_) => "config",
            Self::Meet(_) => "meet",
        }
    }
}

/// The first entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Which log: `fixpoint/<realm>/<epoch>`.
    pub origin: String,
    /// The key that signs its checkpoints.
    pub key: String,
    /// Digest of the last checkpoint of the log before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<Digest>,
}

/// What a store said about a name, and what that means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observe {
    /// URL of the store, without credentials.
    pub store: String,
    /// The name, such as `branch main`.
    pub name: String,
    /// The revision as Flux writes it.
    pub revision: String,
    /// Where the name leads; absent where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// What that means.
    pub verdict: Verdict,
    /// The policy in force.
    pub history: History,
    /// Whether it was delivered.
    pub admitted: bool,
    /// Index of the acknowledgement under which it was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<u64>,
    /// Digest of the artifact made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Digest>,
    /// Files in it.
    #[serde(default)]
    pub files: u64,
    /// Bytes in it.
    #[serde(default)]
    pub bytes: u64,
    /// Artifacts of other sources that were copied in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<Included>,
    /// Digest of the tree with what was copied in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Digest>,
    /// What came of checking its signature, where one is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// The repositories within it, and where they came from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub submodules: Vec<Submodule>,
}

/// What came of checking a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// What had to be signed: `HEAD`, `Tag` or `TagAndHEAD`.
    pub mode: String,
    /// The keys that signed it: ids of PGP keys, fingerprints of SSH keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// An artifact of another source that is part of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Included {
    /// The other source.
    pub source: String,
    /// Index of the observation that admitted its version.
    pub observe: u64,
    /// Its revision.
    pub revision: String,
    /// Digest of its artifact.
    pub artifact: Digest,
}

/// A repository within another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submodule {
    /// Where it is in the tree.
    pub path: String,
    /// URL of its store, without credentials.
    pub store: String,
    /// Its commit.
    pub commit: String,
}

/// A promise that a store broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// What an acknowledgement refers to.
    pub id: String,
    /// URL of the store, without credentials.
    pub store: String,
    /// The name.
    pub name: String,
    /// What happened to it.
    pub verdict: Verdict,
    /// What was accepted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Position>,
    /// What is there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Position>,
    /// Whether the last good version was held.
    pub held: bool,
}

/// An answer to a violation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Id of the violation.
    pub id: String,
    /// Index of its entry.
    pub violation: u64,
    /// What the person said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// An agreement to deletions that were held because they are many, or take much along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approve {
    /// Id of the held set: exactly these objects and no others.
    pub id: String,
    /// How many objects it lets go.
    pub count: u64,
    /// What the person said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// One version that went into a render.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Index of the observation that admitted it.
    pub observe: u64,
    /// Its revision.
    pub revision: String,
    /// Digest of its tree.
    pub tree: Digest,
}

/// What a render took and gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Render {
    /// The versions, all from one pass.
    pub inputs: Vec<Input>,
    /// The renderer with its version.
    pub renderer: String,
    /// Digest of the options, keyed where they hold secrets.
    pub options: Digest,
    /// Digest of the rendered set.
    pub output: Digest,
    /// Objects in it.
    pub objects: u64,
}

/// What is about to be done to a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The target.
    pub target: String,
    /// The identity that the target sees.
    pub identity: String,
    /// Index of the render; absent only when everything is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render: Option<u64>,
    /// Index of the outcome whose inventory names what is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<u64>,
    /// Fingerprint of what the plan was computed from.
    pub basis: Digest,
    /// Digest of the list of steps, which is kept beside the log.
    pub plan: Digest,
    /// Objects that are applied.
    pub applies: u64,
    /// Objects that are deleted.
    pub deletes: u64,
}

/// What was done to a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Index of the intent.
    pub intent: u64,
    /// Objects created.
    pub created: u64,
    /// Objects changed.
    pub configured: u64,
    /// Objects that were as wanted already.
    pub unchanged: u64,
    /// Objects deleted.
    pub deleted: u64,
    /// Objects that failed.
    pub failed: u64,
    /// Objects left alone for a reason.
    pub held: u64,
    /// Digest of the result of each object.
    pub results: Digest,
    /// Digest of the inventory after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Digest>,
}

/// Objects deleted because nothing asks for them any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prune {
    /// Index of the intent.
    pub intent: u64,
    /// Index of the outcome whose inventory named them as ours.
    pub inventory: u64,
    /// Digest of the list of objects and their uids.
    pub objects: Digest,
    /// How many.
    pub count: u64,
}

/// What a look at the target showed of an intent that a crash left open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    /// Index of the intent.
    pub intent: u64,
    /// Steps found done.
    pub done: u64,
    /// Steps found not done; the next run plans them anew.
    pub open: u64,
}

/// A setting that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Which one.
    pub setting: String,
    /// Its value before; never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// Its value now; never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// Whether it makes anything less safe.
    pub weakens: bool,
}

/// A cluster that answered at an address for the first time, or where another one was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meet {
    /// URL of its API server.
    pub server: String,
    /// The uid of its namespace kube-system.
    pub cluster: String,
    /// The cluster that was on record for the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What an acknowledgement refers to, where another cluster was on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether it is the one on record from now on; nothing is delivered to another.
    pub admitted: bool,
    /// Index of the acknowledgement under which it came on record in place of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<u64>,
}

/// Why something cannot be an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// It is longer than a bundle can hold.
    #[error("the {kind} entry of {subject} has {bytes} bytes, over the limit of 65535")]
    TooLong {
        /// Its kind.
        kind: &'static str,
        /// Its subject.
        subject: String,
        /// Its size.
        bytes: usize,
    },
    /// A text in it is empty or too long.
    #[error("the {kind} entry has a bad {field}: {reason}")]
    Field {
        /// Its kind.
        kind: &'static str,
        /// Which text.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The text is no entry.
    #[error("the entry cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// The text is not the canonical one.
    #[error("the entry is not in its canonical form")]
    NotCanonical,
    /// The entry is of a version that we do not know.
    #[error("the entry has version {0}, and only version 1 is known")]
    Version(u64),
}

impl Classified for EntryError {
    fn class(&self) -> Class {
        match self {
            Self::TooLong { .. } | Self::Field { .. } => Class::Bug,
            Self::Unreadable(_) | Self::NotCanonical | Self::Version(_) => Class::Refused,
        }
    }
}

impl Draft {
    /// Gives the draft its place in its subject's history.
    pub fn placed(self, prev: Option<u64>) -> Entry {
        let Self { time, actor, subject, body } = self;
        Entry { v: VERSION, time, actor, subject, prev, body }
    }

    fn check(&self) -> Result<(), EntryError> {
        let kind = self.body.kind();
        let texts = [("time", &self.time), ("actor", &self.actor), ("subject", &self.subject)];
        for (field, text) in texts {
            let reason = match text.len() {
                0 => "it is empty",
                len if len > TEXT_BYTES => "it is longer than 4096 bytes",
                _ => continue,
            };
            return Err(EntryError::Field { kind, field, reason });
        }
        match &self.body {
            Body::Ack(Ack { reason, .. }) | Body::Approve(Approve { reason, .. })
                if reason.len() > TEXT_BYTES =>
            {
                let field = "reason";
                Err(EntryError::Field { kind, field, reason: "it is longer than 4096 bytes" })
            }
            _ => Ok(()),
        }
    }
}

impl Entry {
    /// Makes an entry of a draft and writes it; gives its canonical text.
    ///
    /// # Errors
    /// When a text in it is empty or too long, or all of it is.
    pub fn seal(draft: Draft, prev: Option<u64>) -> Result<(Self, Vec<u8>), EntryError> {
        draft.check()?;
        let entry = draft.placed(prev);
        let text = entry.text()?;
        if text.len() > ENTRY_BYTES {
            let (kind, subject) = (entry.body.kind(), entry.subject);
            return Err(EntryError::TooLong { kind, subject, bytes: text.len() });
        }
        Ok((entry, text))
    }

    fn text(&self) -> Result<Vec<u8>, EntryError> {
        let value = serde_json::to_value(self).map_err(EntryError::Unreadable)?;
        Ok(canonical::to_string(&value).into_bytes())
    }

    /// Reads an entry; only its canonical text is taken for one.
    ///
    /// # Errors
    /// When the text is no entry, of another version, or not canonical.
    pub fn read(text: &[u8]) -> Result<Self, EntryError> {
        let entry: Self = serde_json::from_slice(text).map_err(EntryError::Unreadable)?;
        if entry.v != VERSION {
            return Err(EntryError::Version(entry.v));
        }
        if entry.text()? != text {
            return Err(EntryError::NotCanonical);
        }
        Ok(entry)
    }
}

/// Hash of an entry's text as a leaf of the tree.
pub fn leaf(text: &[u8]) -> Hash {
    merkle::leaf(text)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn draft(body: Body) -> Draft {
        Draft {
            time: "2026-11-22T10:00:00Z".to_owned(),
            actor: "engine".to_owned(),
            subject: "GitRepository/shop/web".to_owned(),
            body,
        }
    }

    fn observe() -> Draft {
        draft(Body::Observe(Observe {
            store: "https://git.example/shop".to_owned(),
            name: "branch main".to_owned(),
            revision: "main@sha1:3f2a91c".to_owned(),
            position: Some(Position {
                name: "main".to_owned(),
                commit: "3f2a91c".to_owned(),
                tag_object: None,
                tree: Some(Digest::of(b"tree")),
                selection: None,
                gone: false,
            }),
            verdict: Verdict::Forward,
            history: History::Enforce,
            admitted: true,
            ack: None,
            artifact: None,
            files: 3,
            bytes: 1 << 40,
            included: Vec::new(),
            whole: None,
            signature: None,
            submodules: Vec::new(),
        }))
    }

    #[test]
    fn entries_have_one_text() {
        let (entry, text) = Entry::seal(observe(), Some(7)).unwrap();
        expect![[r#"{"actor":"engine","admitted":true,"bytes":1099511627776,"files":3,"history":"enforce","kind":"observe","name":"branch main","position":{"commit":"3f2a91c","gone":false,"name":"main","tree":"sha256:dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622"},"prev":7,"revision":"main@sha1:3f2a91c","store":"https://git.example/shop","subject":"GitRepository/shop/web","time":"2026-11-22T10:00:00Z","v":1,"verdict":"forward"}"#]]
            .assert_eq(std::str::from_utf8(&text).unwrap());
        assert_eq!(Entry::read(&text).unwrap(), entry);
    }

    #[test]
    fn a_meeting_has_one_text() {
        let meet = Meet {
            server: "https://prod.example:6443".to_owned(),
            cluster: "6ba7b810".to_owned(),
            before: None,
            id: None,
            admitted: true,
            ack: None,
        };
        let (entry, text) = Entry::seal(draft(Body::Meet(meet)), None).unwrap();
        expect![[r#"{"actor":"engine","admitted":true,"cluster":"6ba7b810","kind":"meet","server":"https://prod.example:6443","subject":"GitRepository/shop/web","time":"2026-11-22T10:00:00Z","v":1}"#]]
        .assert_eq(std::str::from_utf8(&text).unwrap());
        assert_eq!(Entry::read(&text).unwrap(), entry);
    }

    #[test]
    fn other_texts_of_the_same_are_refused() {
        let text = String::from_utf8(Entry::seal(observe(), None).unwrap().1).unwrap();
        for (from, to) in [
            ("{", "{ "),
            ("\"v\":1", "\"v\":1,\"x\":2"),
            ("\"files\":3,", ""),
            ("\"v\":1", "\"v\":1.0"),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text);
            assert!(Entry::read(other.as_bytes()).is_err(), "{other}");
        }
        let newer = text.replace("\"v\":1", "\"v\":2");
        let err = Entry::read(newer.as_bytes()).unwrap_err();
        assert_eq!(err.to_string(), "the entry has version 2, and only version 1 is known");
    }

    #[test]
    fn what_is_too_long_is_refused_at_the_limit() {
        let config = |len| {
            let body = Config { setting: "x".repeat(len), old: None, new: None, weakens: false };
            Entry::seal(draft(Body::Config(body)), None).map(|(_, text)| text.len())
        };
        let least = config(0).unwrap();
        assert_eq!(config(ENTRY_BYTES - least).unwrap(), ENTRY_BYTES);
        let err = config(ENTRY_BYTES - least + 1).unwrap_err();
        assert_eq!(
            err.to_string(),
            "the config entry of GitRepository/shop/web has 65536 bytes, over the limit of 65535"
        );
    }

    #[test]
    fn texts_have_bounds() {
        let mut draft = observe();
        draft.actor.clear();
        let err = Entry::seal(draft, None).unwrap_err();
        assert_eq!(err.to_string(), "the observe entry has a bad actor: it is empty");
    }
}
