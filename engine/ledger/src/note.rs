//! Signed checkpoints: C2SP signed notes with Ed25519.
//!
//! In: a log's size and root. Out: a text that anybody with the key can check. A note is accepted
//! only when the key that is asked for signed it; unknown signatures are passed over.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fixpoint_base::{Class, Classified, Secret, digest::hex};
use sha2::{Digest as _, Sha256};

use crate::merkle::Hash;

/// The signature type of Ed25519 in keys.
const ED25519_TYPE: u8 = 1;
/// Bytes of a note at most; ours have three lines and a few signatures.
pub const NOTE_BYTES: usize = 64 << 10;

/// Why a note or a key is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text of a key cannot be read.
    #[error("the key is malformed: {0}")]
    Key(&'static str),
    /// The text of a note or checkpoint cannot be read.
    #[error("the checkpoint is malformed: {0}")]
    Malformed(&'static str),
    /// The checkpoint is that of another log.
    #[error("the checkpoint is that of {found:?}, not of {wanted:?}")]
    Origin {
        /// The log that it should be of.
        wanted: String,
        /// The log that it is of.
        found: String,
    },
    /// The key did not sign.
    #[error("the checkpoint is not signed by {0}")]
    NotSigned(String),
}

impl Classified for NoteError {
    fn class(&self) -> Class {
        Class::Refused
    }
}

/// Makes a key name fit for a note: no spaces, no plus.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('+') && !name.contains(char::is_whitespace)
}

fn key_hash(name: &str, public: &[u8]) -> [u8; 4] {
    let digest = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ED25519_TYPE])
        .chain_update(public)
        .finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Splits `NAME+HASH+BASE64(TYPE || KEY)` and checks all but the hash.
fn split_key(text: &str) -> Result<(&str, &str, [u8; 32]), NoteError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::Key("it does not have the form name+hash+key"));
    };
    if !is_name(name) {
        return Err(NoteError::Key("its name is empty or has a space"));
    }
    let key = STANDARD.decode(key).map_err(|_| NoteError::Key("it is not base64"))?;
    match key.split_first() {
        Some((&ED25519_TYPE, key)) => {
            let key = key.try_into().map_err(|_| NoteError::Key("it is not 32 bytes long"))?;
            Ok((name, hash, key))
        }
        _ => Err(NoteError::Key("it is not an Ed25519 key")),
    }
}

/// The public half: what checks a log's checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// Name of the key, which is the origin of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the text of a note if this key signed it.
    ///
    /// # Errors
    /// When the note is malformed or the key did not sign it.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        if note.len() > NOTE_BYTES {
            return Err(NoteError::Malformed("it is too long"));
        }
        let at = note.rfind("\n\n").ok_or(NoteError::Malformed("it has no signatures"))?;
        let (text, signatures) = (&note[..=at], &note[at + 2..]);
        let Some(lines) = signatures.strip_suffix('\n') else {
            return Err(NoteError::Malformed("its last line is not whole"));
        };
        let mut signed = false;
        for line in lines.split('\n') {
            signed |= self.check_line(text, line)?;
        }
        if signed { Ok(text) } else { Err(NoteError::NotSigned(self.name.clone())) }
    }

    /// Whether a line is this key's signature; an error when it pretends to be and is not.
    fn check_line(&self, text: &str, line: &str) -> Result<bool, NoteError> {
        let malformed = NoteError::Malformed("a signature line is not whole");
        let (name, signature) = line
            .strip_prefix("— ")
            .and_then(|rest| rest.split_once(' '))
            .ok_or(malformed.clone())?;
        let signature = STANDARD.decode(signature).map_err(|_| malformed.clone())?;
        let Some((hash, signature)) = signature.split_first_chunk::<4>() else {
            return Err(malformed);
        };
        if name != self.name || *hash != key_hash(&self.name, &self.public) {
            return Ok(false);
        }
        UnparsedPublicKey::new(&ED25519, &self.public)
            .verify(text.as_bytes(), signature)
            .map(|()| true)
            .map_err(|_| NoteError::NotSigned(self.name.clone()))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519_TYPE][..], &self.public].concat();
        let hash = hex(&key_hash(&self.name, &self.public));
        write!(f, "{}+{hash}+{}", self.name, STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, hash, public) = split_key(text)?;
        if hash != hex(&key_hash(name, &public)) {
            return Err(NoteError::Key("its hash does not match"));
        }
        Ok(Self { name: name.to_owned(), public })
    }
}

/// The private half: what signs a log's checkpoints.
#[derive(Debug)]
pub struct Signer {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
    seed: Secret<[u8; 32]>,
}

const PRIVATE: &str = "PRIVATE+KEY+";

impl Signer {
    /// Makes a key from 32 random bytes.
    ///
    /// # Errors
    /// When the name has a space or a plus, or the bytes make no key.
    pub fn new(name: &str, seed: [u8; 32]) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::Key("its name is empty or has a space or a plus"));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|_| NoteError::Key("it is no Ed25519 seed"))?;
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| NoteError::Key("its public half is not 32 bytes long"))?;
        let verifier = VerifierKey { name: name.to_owned(), public };
        Ok(Self { verifier, pair, seed: Secret::new(seed) })
    }

    /// Reads a key from its text form, `PRIVATE+KEY+NAME+HASH+BASE64`.
    ///
    /// # Errors
    /// When the text is malformed.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let rest = text.strip_prefix(PRIVATE).ok_or(NoteError::Key("it is not a private key"))?;
        let (name, hash, seed) = split_key(rest)?;
        let signer = Self::new(name, seed)?;
        if hash != hex(&key_hash(name, &signer.verifier.public)) {
            return Err(NoteError::Key("its hash does not match"));
        }
        Ok(signer)
    }

    /// The text form, for the file that only we can read.
    pub fn to_text(&self) -> Secret<String> {
        let seed = self.seed.expose("the key file holds it");
        let key = [&[ED25519_TYPE][..], seed].concat();
        let VerifierKey { name, public } = &self.verifier;
        let hash = hex(&key_hash(name, public));
        Secret::new(format!("{PRIVATE}{name}+{hash}+{}", STANDARD.encode(key)))
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text that ends in a newline.
    pub fn sign(&self, text: &str) -> String {
        let VerifierKey { name, public } = &self.verifier;
        let signature = self.pair.sign(text.as_bytes());
        let line = [&key_hash(name, public)[..], signature.as_ref()].concat();
        format!("{text}\n— {name} {}\n", STANDARD.encode(line))
    }
}

/// The size and root of a log at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: `fixpoint/<realm>/<epoch>`.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// Signs it; the signer's name is the origin.
    pub fn sign(&self, signer: &Signer) -> String {
        let Self { origin, size, root } = self;
        signer.sign(&format!("{origin}\n{size}\n{}\n", STANDARD.encode(root)))
    }

    /// Reads a checkpoint that a key signed; it must be of the log that the key is named for.
    ///
    /// # Errors
    /// When it is malformed, of another log, or not signed.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let text = key.open(note)?;
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::Malformed("it does not have three lines"));
        };
        if origin != key.name() {
            return Err(NoteError::Origin {
                wanted: key.name().to_owned(),
                found: origin.chars().take(100).collect(),
            });
        }
        let number: u64 =
            size.parse().map_err(|_| NoteError::Malformed("its size is no number"))?;
        if number.to_string() != size {
            return Err(NoteError::Malformed("its size is not written as a plain number"));
        }
        let root = STANDARD
            .decode(root)
            .ok()
            .and_then(|root| root.try_into().ok())
            .ok_or(NoteError::Malformed("its root is not a hash"))?;
        Ok(Self { origin: origin.to_owned(), size: number, root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PRIVATE: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                        then you don't know what your problem is.\n";
    const SIGNATURE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1\
                             FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn the_example_that_everybody_uses() {
        let signer = Signer::parse(PRIVATE).unwrap();
        assert_eq!(signer.verifier().to_string(), PUBLIC);
        assert_eq!(signer.to_text().expose("test"), PRIVATE);
        let note = format!("{TEXT}\n{SIGNATURE}");
        assert_eq!(signer.sign(TEXT), note);
        assert_eq!(PUBLIC.parse::<VerifierKey>().unwrap().open(&note), Ok(TEXT));
    }

    fn signer() -> Signer {
        Signer::new("fixpoint/8f14e45f-ceea-467f-a1b2-000000000000/1", [7; 32]).unwrap()
    }

    #[test]
    fn checkpoints_go_both_ways() {
        let signer = signer();
        let checkpoint =
            Checkpoint { origin: signer.verifier().name().to_owned(), size: 42, root: [9; 32] };
        let note = checkpoint.sign(&signer);
        expect_test::expect![[r#"
            fixpoint/8f14e45f-ceea-467f-a1b2-000000000000/1
            42
            CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=
        "#]]
        .assert_eq(signer.verifier().open(&note).unwrap());
        assert_eq!(Checkpoint::open(&note, signer.verifier()), Ok(checkpoint));
    }

    #[test]
    fn a_checkpoint_with_any_byte_changed_is_refused() {
        let signer = signer();
        let name = signer.verifier().name().to_owned();
        let note = Checkpoint { origin: name, size: 42, root: [9; 32] }.sign(&signer);
        for at in 0..note.len() {
            for bit in [1, 0x20, 0x80] {
                let mut bytes = note.clone().into_bytes();
                bytes[at] ^= bit;
                let Ok(text) = String::from_utf8(bytes) else { continue };
                assert!(Checkpoint::open(&text, signer.verifier()).is_err(), "{at} {bit}: {text}");
            }
        }
        assert!(Checkpoint::open(&note[..note.len() - 1], signer.verifier()).is_err());
    }

    #[test]
    fn keys_that_do_not_fit_are_refused() {
        for text in ["", "a+b", "a b+00000000+AQ==", &PUBLIC.replace("c74f", "c74e")] {
            assert!(text.parse::<VerifierKey>().is_err(), "{text}");
        }
        let other = Signer::new("other", [1; 32]).unwrap();
        let note = format!("{TEXT}\n{SIGNATURE}");
        let err = other.verifier().open(&note).unwrap_err();
        assert_eq!(err.to_string(), "the checkpoint is not signed by other");
    }

    #[test]
    fn private_keys_are_not_shown() {
        assert!(!format!("{:?}", signer()).contains("7, 7"));
    }
}
