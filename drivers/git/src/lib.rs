//! Git repositories as stores.
//!
//! In: a location. Out: the four answers of [`fixpoint_source::Store`]: names, pointers, content,
//! ancestry. Over `https://`, `http://` and `ssh://` it speaks Git's protocol itself; `file://`
//! repositories are read in place. There is never a worktree, a hook, a filter, a credential
//! helper or a program: a repository is objects and names, and nothing in it is an instruction.
//!
//! The calls block. Do not call them on a thread that drives an async runtime.

mod address;
mod background;
mod bases;
mod classic;
mod content;
mod conversation;
mod history;
mod http;
mod local;
mod location;
mod meter;
mod mirror;
mod mirrors;
mod names;
mod objects;
mod protocol;
mod proxy;
pub mod range;
mod remote;
mod ssh;
mod submodules;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fixpoint_base::Limits;
use fixpoint_source::{Credentials, Location, Proxy, Store, StoreError, Stores};

use crate::content::Blobs;
use crate::http::{Http, HttpAccess, authorization};
use crate::local::Local;
use crate::location::{Place, SshPlace, shown, shown_path};
use crate::meter::Meter;
use crate::mirror::Mirror;
use crate::mirrors::Mirrors;
use crate::proxy::Gate;
use crate::remote::{Remote, Way};
use crate::ssh::{Keys, Ssh};
use crate::submodules::{Nested, Rule};

/// Folders whose files are remembered; when there are more, all are forgotten and read anew.
const MAX_FOLDERS: usize = 256;

/// How Git repositories are opened.
#[derive(Debug, Clone)]
pub struct GitOptions {
    /// Where mirrors are kept; made when it is needed.
    pub dir: PathBuf,
    /// What binds every fetch and every tree.
    pub limits: Limits,
    /// Folders in which `file://` repositories are allowed; none by default.
    pub allow_file: Vec<PathBuf>,
    /// Whether servers on this machine's loopback may be asked; never in a cluster.
    pub allow_loopback: bool,
    /// How we call ourselves to servers.
    pub user_agent: String,
}

/// A mirror, and its name.
type Own = (String, Arc<Mutex<Mirror>>);

/// What was asked for, but for secrets.
struct Asked {
    url: String,
    place: Place,
    hosts: Vec<String>,
    timeout: Duration,
}

/// Opens Git repositories.
pub struct Git {
    mirrors: Arc<Mirrors>,
    limits: Arc<Limits>,
    allowed: Arc<[PathBuf]>,
    http: Arc<Http>,
    ssh: Arc<Ssh>,
    agent: Arc<str>,
    /// Files of the versions read last, by the folder of their repository.
    blobs: Mutex<BTreeMap<PathBuf, Arc<Mutex<Blobs>>>>,
}

impl Git {
    /// Opens the driver; touches neither disk nor network yet.
    pub fn new(options: GitOptions) -> Self {
        let GitOptions { dir, limits, allow_file, allow_loopback, user_agent } = options;
        Self {
            mirrors: Arc::new(Mirrors::at(dir)),
            limits: Arc::new(limits),
            allowed: allow_file.into(),
            ssh: Arc::new(Ssh::new(&user_agent, allow_loopback)),
            agent: user_agent.as_str().into(),
            http: Arc::new(Http::new(user_agent, allow_loopback)),
            blobs: Mutex::default(),
        }
    }

    fn mirror(&self, location: &Location) -> Result<Own, StoreError> {
        let found = self.mirrors.find(location);
        found.map_err(|source| StoreError::Local { url: shown(&location.url), source })
    }

    fn remote(&self, shown: String, way: Way, asked: Asked, (key, mirror): Own) -> Remote {
        let Asked { url, place, hosts, timeout } = asked;
        let (agent, limits) = (Arc::clone(&self.agent), Arc::clone(&self.limits));
        let nested = Some(Nested {
            url,
            rule: Rule { source: place, hosts },
            key,
            mirrors: Arc::clone(&self.mirrors),
            http: Arc::clone(&self.http),
        });
        Remote { url: shown, way, agent, timeout, mirror, limits, nested }
    }

    fn blobs(&self, path: &Path) -> Arc<Mutex<Blobs>> {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        if blobs.len() >= MAX_FOLDERS && !blobs.contains_key(path) {
            blobs.clear();
        }
        Arc::clone(blobs.entry(path.to_owned()).or_default())
    }
}

impl Stores for Git {
    fn open(&self, location: Location) -> Result<Box<dyn Store>, StoreError> {
        let place = location::parse(&location.url)?;
        let asked = Asked {
            url: location.url.clone(),
            place: place.clone(),
            hosts: location.submodule_hosts.clone(),
            timeout: location.timeout,
        };
        match place {
            Place::File(path) => {
                let url = shown_path(&path);
                let meter = Meter::start(&url, location.timeout, u64::MAX);
                // Said now when it is a matter of policy; whether it is there is asked later.
                let found = local::git_dir(&path, &self.allowed, &meter);
                if let Err(err @ StoreError::NotAllowed { .. }) = found {
                    return Err(err);
                }
                let blobs = self.blobs(&path);
                Ok(Box::new(Local {
                    url,
                    path,
                    allowed: Arc::clone(&self.allowed),
                    timeout: location.timeout,
                    limits: Arc::clone(&self.limits),
                    blobs,
                }))
            }
            Place::Http(url) => {
                let authorization = authorization(&location.credentials)
                    .map_err(|reason| unusable(&location.url, reason, None))?;
                let mirror = self.mirror(&location)?;
                let way = Way::Http(HttpAccess {
                    http: Arc::clone(&self.http),
                    url: url.clone(),
                    authorization,
                    ca: location.ca,
                    certificate: location.certificate.map(Arc::new),
                    gate: gate(location.proxy, &location.url)?,
                });
                Ok(Box::new(self.remote(url.to_string(), way, asked, mirror)))
            }
            Place::Ssh(place) => {
                let mirror = self.mirror(&location)?;
                let keys = Arc::new(ssh_keys(&location.url, &place, location.credentials)?);
                let gate = gate(location.proxy, &location.url)?;
                let way = Way::Ssh { ssh: Arc::clone(&self.ssh), place, keys, gate };
                Ok(Box::new(self.remote(shown(&location.url), way, asked, mirror)))
            }
        }
    }
}

fn ssh_keys(url: &str, place: &SshPlace, credentials: Credentials) -> Result<Keys, StoreError> {
    let Credentials::Ssh(identity) = credentials else {
        let hint = "name a Secret with identity and known_hosts in spec.secretRef";
        let reason = "an ssh:// URL needs a private key".to_owned();
        return Err(unusable(url, reason, Some(hint.to_owned())));
    };
    if identity.known_hosts.trim().is_empty() {
        let hint = format!(
            "put what ssh-keyscan {} prints under known_hosts, once its owner confirms it",
            place.host
        );
        return Err(unusable(url, "the Secret has no known_hosts".to_owned(), Some(hint)));
    }
    Keys::new(identity).map_err(|reason| unusable(url, reason, None))
}

fn gate(proxy: Option<Proxy>, url: &str) -> Result<Option<Arc<Gate>>, StoreError> {
    proxy.map(|proxy| Gate::new(proxy, url).map(Arc::new)).transpose()
}

fn unusable(url: &str, reason: String, hint: Option<String>) -> StoreError {
    StoreError::Credentials { url: shown(url), reason, hint }
}
