//! SSH signatures (`SSHSIG`), as `git commit -S` makes them with `gpg.format=ssh`.
//!
//! In: trusted keys, an armored signature, what it is of. Out: the key that made it. The signature
//! must be made for Git (namespace `git`), and its key must be one of the trusted ones as it is:
//! certificates are not followed.

use ssh_key::{Algorithm, HashAlg, PublicKey, SshSig};

use crate::SignatureProblem::{self, Bad, Unaccepted, Unreadable, Untrusted};
use crate::Signer;

/// How it begins.
pub(crate) const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
/// What Git signs for.
const NAMESPACE: &str = "git";
/// Bits of an RSA key at the least.
pub(crate) const RSA_BITS: u32 = 2048;

pub(crate) fn verify(
    keys: &[PublicKey],
    signature: &[u8],
    payload: &[u8],
) -> Result<Signer, SignatureProblem> {
    let signature = SshSig::from_pem(signature.trim_ascii())
        .map_err(|_| Unreadable("it is no SSH signature"))?;
    let key = signature.public_key().fingerprint(HashAlg::Sha256).to_string();
    if signature.namespace() != NAMESPACE {
        return Err(Unaccepted("it is made for something else than Git"));
    }
    if matches!(signature.algorithm(), Algorithm::Rsa { hash: None }) {
        return Err(Unaccepted("it uses SHA-1"));
    }
    let Some(trusted) = keys.iter().find(|trusted| trusted.key_data() == signature.public_key())
    else {
        return Err(Untrusted { key });
    };
    match trusted.verify(NAMESPACE, payload, &signature) {
        Ok(()) => Ok(Signer { key }),
        Err(_) => Err(Bad { key }),
    }
}

/// Why a key must not be trusted, whoever says so.
pub(crate) fn weakness(key: &PublicKey) -> Option<&'static str> {
    match key.algorithm() {
        Algorithm::Ed25519
        | Algorithm::SkEd25519
        | Algorithm::SkEcdsaSha2NistP256
        | Algorithm::Ecdsa { .. } => None,
        Algorithm::Rsa { .. } => match key.key_data().rsa() {
            Some(rsa) if rsa.key_size() >= RSA_BITS => None,
            _ => Some("an RSA key needs 2048 bits at the least"),
        },
        _ => Some("keys of its kind are not accepted"),
    }
}
