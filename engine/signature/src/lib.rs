//! Who signed a version.
//!
//! In: the bytes of a commit or tag object as the store holds them, trusted public keys, and a
//! moment. Out: the key that signed, or the first reason not to believe it. Verified are the very
//! bytes that the object's id is the hash of; nothing is put in order first, and what can be read
//! in two ways is refused (negative suite B4). What must never happen: that a check which could
//! not be made counts as passed (C2).

mod keys;
mod object;
mod openpgp;
mod openssh;

use fixpoint_base::{Class, Classified};

pub use keys::{Keys, KeysProblem, MAX_BYTES, MAX_KEYS};

use crate::object::Signed;

/// Bytes of a commit or tag object that is looked at.
pub const OBJECT_BYTES: u64 = 1024 * 1024;

/// A moment: seconds since 1970.
pub type Seconds = i64;

/// The key that signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Id of the PGP key as Git shows it, or the fingerprint of the SSH key.
    pub key: String,
}

/// Why a signature is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureProblem {
    /// There is none.
    #[error("it is not signed")]
    Unsigned,
    /// The object can be read in more than one way, or in none.
    #[error("the object is malformed: {0}")]
    Object(&'static str),
    /// The signature cannot be read.
    #[error("the signature cannot be read: {0}")]
    Unreadable(&'static str),
    /// The signature is of a kind that is not looked at.
    #[error("the signature is not accepted: {0}")]
    Unaccepted(&'static str),
    /// None of the trusted keys made it.
    #[error("it is signed with key {key}, which is not among the trusted ones")]
    Untrusted {
        /// What the signature says of its key.
        key: String,
    },
    /// It is of something else.
    #[error("the signature of key {key} is not of this content")]
    Bad {
        /// The key.
        key: String,
    },
    /// The key is trusted but must not be used.
    #[error("key {key} cannot be believed: {reason}")]
    Unfit {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The tag object is signed, and of another tag or commit.
    #[error("the tag object is of {is}, not of {wanted}")]
    Elsewhere {
        /// What it is of.
        is: String,
        /// What was asked for.
        wanted: String,
    },
}

impl Classified for SignatureProblem {
    fn class(&self) -> Class {
        match self {
            Self::Unsigned
            | Self::Object(_)
            | Self::Unreadable(_)
            | Self::Unaccepted(_)
            | Self::Untrusted { .. }
            | Self::Bad { .. }
            | Self::Unfit { .. }
            | Self::Elsewhere { .. } => Class::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Untrusted { .. } => Some(
                "if the key is to be trusted, add it to the Secret that spec.verify names"
                    .to_owned(),
            ),
            Self::Unfit { .. } => {
                Some("replace the key in the Secret that spec.verify names".to_owned())
            }
            Self::Unsigned
            | Self::Object(_)
            | Self::Unreadable(_)
            | Self::Unaccepted(_)
            | Self::Bad { .. }
            | Self::Elsewhere { .. } => None,
        }
    }
}

/// Verifies the signature of a commit object. `at` is when it counts: keys that have expired by
/// then are not believed.
///
/// # Errors
/// With the first reason not to believe it.
pub fn verify_commit(keys: &Keys, object: &[u8], at: Seconds) -> Result<Signer, SignatureProblem> {
    verify(keys, &object::commit(object)?, at)
}

/// Verifies the signature of a tag object, which must be of the tag and the commit that it was
/// found at: a genuine tag object under another name vouches for nothing.
///
/// # Errors
/// With the first reason not to believe it.
pub fn verify_tag(
    keys: &Keys,
    object: &[u8],
    tag: &str,
    commit: &str,
    at: Seconds,
) -> Result<Signer, SignatureProblem> {
    let found = object::tag(object)?;
    for (is, wanted, what) in [(&found.name, tag, "tag"), (&found.commit, commit, "commit")] {
        if is != wanted {
            let (is, wanted) = (format!("{what} {is}"), format!("{what} {wanted}"));
            return Err(SignatureProblem::Elsewhere { is, wanted });
        }
    }
    verify(keys, &found.signed, at)
}

fn verify(keys: &Keys, signed: &Signed, at: Seconds) -> Result<Signer, SignatureProblem> {
    let Signed { payload, signature } = signed;
    let begins = |mark: &str| signature.starts_with(mark.as_bytes());
    if begins(openpgp::BEGIN) {
        openpgp::verify(&keys.pgp, signature, payload, at)
    } else if begins(openssh::BEGIN) {
        openssh::verify(&keys.ssh, signature, payload)
    } else if begins("-----BEGIN SIGNED MESSAGE-----") {
        Err(SignatureProblem::Unaccepted("it is an X.509 signature"))
    } else {
        Err(SignatureProblem::Unaccepted("it is neither a PGP nor an SSH signature"))
    }
}

#[cfg(test)]
mod tests;
