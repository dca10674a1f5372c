//! Opens private keys.
//!
//! In: the text of a Secret. Out: a key that can sign, or why there is none. No error carries a
//! part of the key; what it costs to open one is bounded (a key's own file says how often its
//! passphrase is hashed). It takes a while: never on a thread that drives an async runtime.

use fixpoint_base::Secret;
use fixpoint_source::SshIdentity;
use russh::keys::ssh_key::{Kdf, private::KeypairData};
use russh::keys::{Algorithm, PrivateKey};

/// Bytes of a private key that are looked at; RSA with 16,384 bits takes 13,000.
const MAX_BYTES: usize = 32 * 1024;

/// Rounds of a passphrase's hash: ten times what `ssh-keygen` does when nobody asks for more.
const MAX_ROUNDS: u32 = 256;

/// Shortest RSA key that is used or believed.
pub(super) const MIN_RSA_BITS: u32 = 2048;

/// Why a key cannot be used, and what would help.
pub(super) type Problem = (&'static str, Option<&'static str>);

const REWRITE: Option<&str> = Some("write it anew with ssh-keygen -p -f KEY");

/// Opens a private key.
pub(super) fn open(identity: &SshIdentity) -> Result<PrivateKey, Problem> {
    let text = identity.key.expose("parsed to sign for the declared server").trim();
    if text.len() > MAX_BYTES {
        return Err(("identity is too long for a private key", None));
    }
    let key = match label(text) {
        Some("OPENSSH PRIVATE KEY") => openssh(text, identity.passphrase.as_ref())?,
        Some("ENCRYPTED PRIVATE KEY") => {
            return Err(("identity is encrypted in PKCS#8", REWRITE));
        }
        Some(_) if text.contains("DEK-Info:") => {
            return Err(("identity is encrypted in the weak way of old PEM files", REWRITE));
        }
        Some("PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY") => {
            russh::keys::decode_secret_key(text, None)
                .map_err(|_| ("identity is a broken or unknown private key", None))?
        }
        _ => {
            let hint = "put the file that ssh-keygen wrote under identity";
            return Err(("identity is no private key in OpenSSH's form or PEM", Some(hint)));
        }
    };
    check_strength(&key)?;
    Ok(key)
}

/// What a PEM file says it holds.
fn label(text: &str) -> Option<&str> {
    text.lines().next()?.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----")
}

fn openssh(text: &str, passphrase: Option<&Secret<String>>) -> Result<PrivateKey, Problem> {
    let key = PrivateKey::from_openssh(text)
        .map_err(|_| ("identity is a broken or unknown private key", None))?;
    if !key.is_encrypted() {
        return Ok(key);
    }
    match key.kdf() {
        Kdf::Bcrypt { rounds, .. } if *rounds > MAX_ROUNDS => {
            return Err(("identity takes more than 256 rounds to open", REWRITE));
        }
        _ => {}
    }
    let Some(passphrase) = passphrase else {
        return Err(("identity is encrypted", Some("put its passphrase under password")));
    };
    key.decrypt(passphrase.expose("opens the private key"))
        .map_err(|_| ("password does not open identity", None))
}

fn check_strength(key: &PrivateKey) -> Result<(), Problem> {
    let other = "make one with ssh-keygen -t ed25519";
    match (key.algorithm(), key.key_data()) {
        (Algorithm::Ed25519 | Algorithm::Ecdsa { .. }, _) => Ok(()),
        (Algorithm::Rsa { .. }, KeypairData::Rsa(pair))
            if pair.public().key_size() >= MIN_RSA_BITS =>
        {
            Ok(())
        }
        (Algorithm::Rsa { .. }, _) => {
            Err(("identity is an RSA key of less than 2048 bits", Some(other)))
        }
        _ => Err(("identity is of a kind other than Ed25519, ECDSA and RSA", Some(other))),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa;
    use base64::Engine as _;
    use russh::keys::key::safe_rng;
    use russh::keys::ssh_key::{Cipher, LineEnding};

    use super::*;

    const PASSPHRASE: &str = "open sesame";

    fn identity(key: &str, passphrase: Option<&str>) -> SshIdentity {
        SshIdentity {
            key: Secret::new(key.to_owned()),
            passphrase: passphrase.map(|text| Secret::new(text.to_owned())),
            known_hosts: String::new(),
        }
    }

    fn refusal(key: &str, passphrase: Option<&str>) -> &'static str {
        open(&identity(key, passphrase)).unwrap_err().0
    }

    fn new() -> PrivateKey {
        PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()
    }

    fn text(key: &PrivateKey) -> String {
        key.to_openssh(LineEnding::LF).unwrap().to_string()
    }

    fn encrypted(rounds: u32) -> String {
        let kdf = Kdf::Bcrypt { salt: vec![7; 16], rounds };
        let key = new().encrypt_with(Cipher::Aes256Ctr, kdf, 1, PASSPHRASE).unwrap();
        text(&key)
    }

    fn rsa_pem() -> String {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let body = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
    }

    #[test]
    fn keys_are_opened() {
        let key = new();
        // A passphrase that nothing needs does no harm.
        for passphrase in [None, Some(PASSPHRASE)] {
            let opened = open(&identity(&text(&key), passphrase)).unwrap();
            assert_eq!(opened.public_key().key_data(), key.public_key().key_data());
            assert!(open(&identity(&rsa_pem(), passphrase)).is_ok());
        }
        assert!(open(&identity(&encrypted(1), Some(PASSPHRASE))).is_ok());
        assert_eq!(refusal(&encrypted(1), Some("wrong")), "password does not open identity");
        assert_eq!(refusal(&encrypted(1), None), "identity is encrypted");
    }

    #[test]
    fn weak_and_costly_keys_are_refused() {
        let short = include_str!("testdata/rsa-1024.pem");
        assert_eq!(refusal(short, None), "identity is an RSA key of less than 2048 bits");
        // As it would be with so many rounds, without the time to make one.
        let costly = with_rounds(&encrypted(1), MAX_ROUNDS + 1);
        let refused = refusal(&costly, Some(PASSPHRASE));
        assert_eq!(refused, "identity takes more than 256 rounds to open");
        let old =
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00";
        assert!(refusal(old, Some(PASSPHRASE)).contains("old PEM files"));
        assert!(refusal("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", None).contains("PKCS#8"));
    }

    /// The same file with another number of rounds in it.
    fn with_rounds(text: &str, rounds: u32) -> String {
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let standard = base64::engine::general_purpose::STANDARD;
        let mut bytes = standard.decode(body).unwrap();
        // The salt of sixteen bytes, and the rounds after it.
        let salt = bytes.windows(16).position(|sixteen| sixteen == [7; 16]).unwrap();
        bytes[salt + 16..salt + 20].copy_from_slice(&rounds.to_be_bytes());
        let body = standard.encode(bytes);
        let lines: Vec<&str> =
            body.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
            lines.join("\n")
        )
    }

    #[test]
    fn other_texts_are_no_keys() {
        let texts =
            ["", "ssh-ed25519 AAAA", "-----BEGIN CERTIFICATE-----\nAA", "PuTTY-User-Key-File-3: x"];
        for text in texts {
            assert!(refusal(text, None).contains("no private key"), "{text}");
        }
        let broken = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----";
        assert!(refusal(broken, None).contains("broken"));
        assert!(refusal(&"x".repeat(MAX_BYTES + 1), None).contains("too long"));
    }
}
