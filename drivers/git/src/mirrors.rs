//! Finds the mirror of a repository.
//!
//! In: a URL and credentials. Out: the one mirror for them, behind a lock, so that two
//! reconciles of one repository never write at once. Whoever has other credentials has another
//! mirror: what one tenant may read is not in reach of the next.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use fixpoint_base::Digest;
use fixpoint_source::{Credentials, Location};

use crate::mirror::Mirror;

/// Mirrors kept: short-lived credentials leave one behind each time they change.
const MAX_MIRRORS: usize = 512;

/// Bytes of the salt.
const SALT: usize = 32;

/// All mirrors below one folder.
#[derive(Debug)]
pub(crate) struct Mirrors {
    dir: PathBuf,
    /// Empty until it is needed. Behind a lock: two that make it at once would make two.
    salt: Mutex<Vec<u8>>,
    open: Mutex<BTreeMap<String, Arc<Mutex<Mirror>>>>,
}

impl Mirrors {
    /// Opens the folder; makes nothing yet.
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self { dir, salt: Mutex::default(), open: Mutex::default() }
    }

    /// The mirror for a location, and its name.
    pub(crate) fn find(&self, location: &Location) -> io::Result<(String, Arc<Mutex<Mirror>>)> {
        let key = key(&self.salt()?, location);
        let mirror = self.named(&key)?;
        Ok((key, mirror))
    }

    /// The mirror for a submodule of the repository whose mirror has a name.
    pub(crate) fn below(&self, name: &str, url: &str) -> io::Result<Arc<Mutex<Mirror>>> {
        let salt = self.salt()?;
        let parts = [salt.as_slice(), b"submodule", name.as_bytes(), url.as_bytes()];
        self.named(&short(&Digest::of_parts(parts)))
    }

    fn salt(&self) -> io::Result<Vec<u8>> {
        let mut known = self.salt.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            *known = salt(&self.dir)?;
        }
        Ok(known.clone())
    }

    fn named(&self, key: &str) -> io::Result<Arc<Mutex<Mirror>>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mirror) = open.get(key) {
            return Ok(Arc::clone(mirror));
        }
        let dir = self.dir.join(key);
        if !dir.exists() {
            self.make_room(&mut open)?;
        }
        fs::create_dir_all(&dir)?;
        let mirror = Arc::new(Mutex::new(Mirror::at(dir)));
        open.insert(key.to_owned(), Arc::clone(&mirror));
        Ok(mirror)
    }

    /// Deletes the mirrors that were changed longest ago and that nobody uses now.
    fn make_room(&self, open: &mut BTreeMap<String, Arc<Mutex<Mirror>>>) -> io::Result<()> {
        // Nobody has a second handle on it, so nobody is within it.
        open.retain(|_, mirror| Arc::strong_count(mirror) > 1);
        let mut idle: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() && !open.contains_key(&name) {
                idle.push((last_change(&entry.path()), entry.path()));
            }
        }
        idle.sort();
        let most = MAX_MIRRORS.saturating_sub(open.len() + 1);
        for (_, dir) in idle.iter().take(idle.len().saturating_sub(most)) {
            fs::remove_dir_all(dir)?;
        }
        Ok(())
    }
}

fn last_change(dir: &Path) -> SystemTime {
    ["content/state", "history/state", ""]
        .iter()
        .filter_map(|name| fs::metadata(dir.join(name)).ok()?.modified().ok())
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The name of a mirror's folder. Salted: without the salt, a name would let anybody who sees
/// it try passwords.
fn key(salt: &[u8], location: &Location) -> String {
    let reason = "hashed with a salt to keep mirrors apart";
    let (kind, user, secret) = match &location.credentials {
        Credentials::Anonymous => ("anonymous", "", ""),
        Credentials::Basic { username, password } => {
            ("basic", username.as_str(), password.expose(reason).as_str())
        }
        Credentials::Bearer(token) => ("bearer", "", token.expose(reason).as_str()),
        Credentials::Ssh(identity) => {
            ("ssh", identity.known_hosts.as_str(), identity.key.expose(reason).as_str())
        }
    };
    let ca = location.ca.as_deref().unwrap_or_default();
    let (chain, private): (&[u8], &[u8]) = match &location.certificate {
        Some(certificate) => (&certificate.chain, certificate.key.expose(reason)),
        None => (&[], &[]),
    };
    let proxy = location.proxy.as_ref().map_or("", |proxy| proxy.address.as_str());
    let parts = [
        salt,
        location.url.trim_end_matches('/').as_bytes(),
        kind.as_bytes(),
        user.as_bytes(),
        secret.as_bytes(),
        ca,
        chain,
        private,
        // Names may mean other machines beyond it.
        proxy.as_bytes(),
    ];
    short(&Digest::of_parts(parts))
}

fn short(digest: &Digest) -> String {
    digest.as_bytes()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The salt of this folder, made at first use.
fn salt(dir: &Path) -> io::Result<Vec<u8>> {
    let path = dir.join("salt");
    match fs::read(&path) {
        Ok(salt) if salt.len() == SALT => return Ok(salt),
        Ok(_) => {}
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(err),
    }
    fs::create_dir_all(dir)?;
    let mut salt = vec![0; SALT];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut salt)
        .map_err(|_| io::Error::other("there is no randomness for a salt"))?;
    let new = dir.join("salt.new");
    write_private(&new, &salt)?;
    fs::rename(new, path)?;
    Ok(salt)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}
