//! The keys of the realm: files that only we can read.
//!
//! In: a folder. Out: the key that signs checkpoints and the one that keys digests of secrets.
//! They are made once; a ledger whose key is gone is not given a new one.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use fixpoint_base::{Secret, digest::hex};
use fixpoint_ledger::note::Signer;

use super::LedgerError;
use crate::disk::{self, Disk};

const SIGNER: &str = "keys/ledger.key";
const REALM: &str = "keys/realm.key";
/// A key is a line of text.
const KEY_BYTES: u64 = 4096;

/// The keys of one realm.
pub struct Keys {
    pub signer: Signer,
    pub realm: Secret<[u8; 32]>,
}

/// Reads the keys, or makes them where the ledger is new.
pub fn open(disk: &dyn Disk, is_new: bool) -> Result<Keys, LedgerError> {
    let signer = match read(disk, SIGNER)? {
        Some(text) => Signer::parse(text.trim_end()).map_err(|err| bad(SIGNER, err))?,
        None if is_new => make_signer(disk)?,
        None => return Err(bad(SIGNER, "it is missing")),
    };
    let realm = match read(disk, REALM)? {
        Some(text) => {
            unhex(text.trim_end()).ok_or_else(|| bad(REALM, "it is not 64 hex digits"))?
        }
        None if is_new => {
            let key = random()?;
            write(disk, REALM, &hex(&key))?;
            key
        }
        None => return Err(bad(REALM, "it is missing")),
    };
    Ok(Keys { signer, realm: Secret::new(realm) })
}

fn bad(file: &str, reason: impl ToString) -> LedgerError {
    LedgerError::Key { file: file.to_owned(), reason: reason.to_string() }
}

fn make_signer(disk: &dyn Disk) -> Result<Signer, LedgerError> {
    let name = format!("fixpoint/{}/1", uuid(random()?));
    let signer = Signer::new(&name, random()?).map_err(|err| bad(SIGNER, err))?;
    write(disk, SIGNER, signer.to_text().expose("it is written to its own file"))?;
    Ok(signer)
}

/// A version 4 UUID.
fn uuid(random: [u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&random[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    parts.join("-")
}

fn random() -> Result<[u8; 32], LedgerError> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| bad("keys", "the system has no random numbers"))?;
    Ok(bytes)
}

fn read(disk: &dyn Disk, file: &str) -> Result<Option<String>, LedgerError> {
    let bytes = disk::read(disk, file, KEY_BYTES).map_err(|err| LedgerError::io(file, err))?;
    bytes.map(|bytes| String::from_utf8(bytes).map_err(|_| bad(file, "it is not text"))).transpose()
}

fn write(disk: &dyn Disk, file: &str, text: &str) -> Result<(), LedgerError> {
    disk.make_dir(disk::parent(file))
        .and_then(|()| disk::replace(disk, file, format!("{text}\n").as_bytes()))
        .map_err(|err| LedgerError::io(file, err))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digest: fixpoint_base::Digest = format!("sha256:{text}").parse().ok()?;
    Some(*digest.as_bytes())
}
