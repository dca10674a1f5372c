//! Reads the keys that are trusted.
//!
//! In: the values of a Secret by their names: PGP keys as armored text, SSH keys (`*.sshpub`) as
//! `authorized_keys`. Out: keys, or which value cannot be used and why. No error holds anything of a
//! value, and a private key is refused: it has no business there.

use fixpoint_base::{Class, Classified};
use pgp::composed::{Deserializable as _, SignedPublicKey};
use ssh_key::PublicKey;
use ssh_key::authorized_keys::AuthorizedKeys;

use crate::openssh;

/// Keys that one source may trust.
pub const MAX_KEYS: usize = 64;
/// Bytes of all of them; what a Secret may hold.
pub const MAX_BYTES: usize = 1024 * 1024;
/// How an armored PGP key begins.
const PGP_KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// The keys that are trusted.
#[derive(Debug, Default)]
pub struct Keys {
    pub(crate) pgp: Vec<SignedPublicKey>,
    pub(crate) ssh: Vec<PublicKey>,
}

/// Why a value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysProblem {
    /// There is no key at all.
    #[error("there is no public key")]
    None,
    /// There are too many, or too much of them.
    #[error("there are more than {MAX_KEYS} keys or {MAX_BYTES} bytes of them")]
    TooMany,
    /// A value is no key.
    #[error("value {name} cannot be used: {reason}")]
    Unusable {
        /// The name of the value.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Classified for KeysProblem {
    fn class(&self) -> Class {
        match self {
            Self::None | Self::Unusable { .. } => Class::User,
            Self::TooMany => Class::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::None | Self::Unusable { .. } => Some(
                "armored PGP public keys go under names that end in .asc, lines of \
                 authorized_keys under names that end in .sshpub"
                    .to_owned(),
            ),
            Self::TooMany => None,
        }
    }
}

impl Keys {
    /// Reads the values of a Secret.
    ///
    /// # Errors
    /// When one of them cannot be used: a key that is meant to be trusted is not left out silently.
    pub fn read<'a>(
        values: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, KeysProblem> {
        let mut keys = Self::default();
        let mut bytes = 0usize;
        for (name, value) in values {
            bytes = bytes.saturating_add(value.len());
            if bytes > MAX_BYTES {
                return Err(KeysProblem::TooMany);
            }
            let added = match name.ends_with(".sshpub") {
                true => keys.add_ssh(value),
                false => keys.add_pgp(value),
            };
            added.map_err(|reason| KeysProblem::Unusable { name: name.to_owned(), reason })?;
            if keys.len() > MAX_KEYS {
                return Err(KeysProblem::TooMany);
            }
        }
        if keys.len() == 0 { Err(KeysProblem::None) } else { Ok(keys) }
    }

    fn len(&self) -> usize {
        self.pgp.len() + self.ssh.len()
    }

    fn add_ssh(&mut self, value: &[u8]) -> Result<(), &'static str> {
        let text = std::str::from_utf8(value).map_err(|_| "it is not UTF-8 text")?;
        if text.contains("PRIVATE KEY-----") {
            return Err("it holds a private key");
        }
        for entry in AuthorizedKeys::new(text).take(MAX_KEYS + 1) {
            let entry = entry.map_err(|_| "it holds a line that is no SSH public key")?;
            if !entry.config_opts().is_empty() {
                return Err("options before a key are not acted upon");
            }
            let key = entry.public_key().clone();
            if let Some(weakness) = openssh::weakness(&key) {
                return Err(weakness);
            }
            self.ssh.push(key);
        }
        Ok(())
    }

    fn add_pgp(&mut self, value: &[u8]) -> Result<(), &'static str> {
        let text = std::str::from_utf8(value).map_err(|_| "it is not armored text")?;
        if text.contains("PRIVATE KEY BLOCK-----") {
            return Err("it holds a private key");
        }
        let starts: Vec<usize> =
            text.match_indices(PGP_KEY).map(|(at, _)| at).take(MAX_KEYS + 1).collect();
        if starts.is_empty() {
            return Err("it holds no armored PGP public key");
        }
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(text.len());
            let unreadable = "it holds a PGP key that cannot be read";
            let (found, _) =
                SignedPublicKey::from_string_many(&text[*start..end]).map_err(|_| unreadable)?;
            for key in found.take(MAX_KEYS + 1) {
                self.pgp.push(key.map_err(|_| unreadable)?);
            }
        }
        Ok(())
    }
}
