//! Decides whether an ssh server is the one that was declared.
//!
//! In: the key that it showed, and what was negotiated with it. Out: go on, or the reason to hang
//! up. Until it says go on, nothing of ours is sent.

use std::borrow::Cow;
use std::sync::Arc;

use russh::client;
use russh::keys::{
    Algorithm, EcdsaCurve, HashAlg, PublicKey, PublicKeyBase64 as _, PublicKeyOrCertificate,
};
use russh::{Names, Preferred, cipher, compression, kex};

use super::key::MIN_RSA_BITS;
use super::known_hosts::{Judgement, KnownHosts};

/// Exchanges of keys that are good for years: none with SHA-1, none with a group that is short.
const EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// Kinds of host keys, and the signatures that each may make: none with SHA-1, no DSA.
const KINDS: &[(&str, &[Algorithm])] = &[
    ("ssh-ed25519", &[Algorithm::Ed25519]),
    ("ecdsa-sha2-nistp256", &[Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }]),
    ("ecdsa-sha2-nistp384", &[Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 }]),
    ("ecdsa-sha2-nistp521", &[Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 }]),
    (
        "ssh-rsa",
        &[
            Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
            Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
        ],
    ),
];

/// Ciphers, the ones first that a server from before 2024 can use safely.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

/// Why we hang up.
#[derive(Debug)]
pub(super) enum Stop {
    /// The server is not to be trusted: the reason, and what would help.
    Untrusted(String, Option<String>),
    /// The protocol failed.
    Failed(russh::Error),
}

impl From<russh::Error> for Stop {
    fn from(err: russh::Error) -> Self {
        Self::Failed(err)
    }
}

/// Watches over one connection.
pub(super) struct Guard {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) known: Arc<KnownHosts>,
}

impl Guard {
    /// What we offer: a server with several host keys then shows one that can be judged.
    pub(super) fn preferred(&self) -> Preferred {
        let known = self.known.kinds(&self.host, self.port);
        let offered = |kind: &&(&str, &'static [Algorithm])| known.contains(&kind.0);
        let mut keys: Vec<Algorithm> =
            KINDS.iter().filter(offered).flat_map(|(_, all)| all.iter().cloned()).collect();
        if keys.is_empty() {
            // It will be refused; with a key to name.
            keys = KINDS.iter().flat_map(|(_, all)| all.iter().cloned()).collect();
        }
        Preferred {
            kex: Cow::Borrowed(EXCHANGES),
            key: Cow::Owned(keys),
            cipher: Cow::Borrowed(CIPHERS),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        }
    }

    fn judge(&self, key: &PublicKey) -> Result<(), Stop> {
        let shown = key.fingerprint(HashAlg::Sha256);
        let kind = key.algorithm();
        let hint = |text: String| Some(text);
        let (reason, hint) = match self.known.judge(&self.host, self.port, &key.public_key_bytes())
        {
            Judgement::Known => return check_strength(key),
            Judgement::Unknown => (
                format!("its host key {kind} {shown} is not in known_hosts"),
                hint(self.how_to_know()),
            ),
            Judgement::Authority(line) => (
                format!(
                    "known_hosts names a certificate authority for it (line {line}), \
                     which is not supported"
                ),
                hint(self.how_to_know()),
            ),
            Judgement::Changed(line) => (
                format!(
                    "its host key has changed: it shows {kind} {shown}, \
                     and known_hosts has another (line {line})"
                ),
                hint(
                    "somebody may be in between; when its owner confirms the new key, \
                     replace the line"
                        .to_owned(),
                ),
            ),
            Judgement::Revoked(line) => (
                format!("its host key {kind} {shown} is revoked (line {line} of known_hosts)"),
                None,
            ),
        };
        Err(Stop::Untrusted(reason, hint))
    }

    fn how_to_know(&self) -> String {
        let port = if self.port == 22 { String::new() } else { format!("-p {} ", self.port) };
        format!(
            "compare the fingerprint with what its owner publishes, then put what \
             ssh-keyscan {port}{} prints under known_hosts",
            self.host
        )
    }
}

fn check_strength(key: &PublicKey) -> Result<(), Stop> {
    match key.key_data().rsa() {
        Some(rsa) if rsa.key_size() < MIN_RSA_BITS => Err(Stop::Untrusted(
            format!("its host key is an RSA key of {} bits", rsa.key_size()),
            None,
        )),
        _ => Ok(()),
    }
}

impl client::Handler for Guard {
    type Error = Stop;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Stop> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.judge(key).map(|()| true),
            // None is asked for, so an honest server shows none.
            PublicKeyOrCertificate::Certificate(_) => Ok(false),
        }
    }

    async fn kex_done(
        &mut self,
        _shared_secret: Option<&[u8]>,
        names: &Names,
        _session: &mut client::Session,
    ) -> Result<(), Stop> {
        // Without the strict exchange, this one cipher lets somebody in between cut messages out
        // (CVE-2023-48795).
        if names.cipher == cipher::CHACHA20_POLY1305 && !names.strict_kex() {
            let reason = "it has only a cipher that is not safe with a server so old".to_owned();
            return Err(Stop::Untrusted(reason, None));
        }
        Ok(())
    }
}
