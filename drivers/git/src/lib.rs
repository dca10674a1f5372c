//! Git repositories as stores.
//!
//! In: a location. Out: the four answers of [`fixpoint_source::Store`]: names, pointers, content,
//! ancestry. Over `https://` and `http://` it speaks Git's protocol itself; `file://` repositories are
//! read in place. There is never a worktree, a hook, a filter, a credential
//! helper or a program: a repository is objects and names, and nothing in it is an instruction.
//!
//! The calls block. Do not call them on a thread that drives an async runtime.

mod address;
mod bases;
mod classic;
mod content;
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
pub mod range;
mod remote;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fixpoint_base::Limits;
use fixpoint_source::{Location, Store, StoreError, Stores};

use crate::content::Blobs;
use crate::http::{Http, authorization};
use crate::local::Local;
use crate::location::{Place, shown_path};
use crate::meter::Meter;
use crate::mirrors::Mirrors;
use crate::remote::Remote;

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

/// Opens Git repositories.
pub struct Git {
    mirrors: Mirrors,
    limits: Arc<Limits>,
    allowed: Arc<[PathBuf]>,
    http: Arc<Http>,
    /// Files of the versions read last, by the folder of their repository.
    blobs: Mutex<BTreeMap<PathBuf, Arc<Mutex<Blobs>>>>,
}

impl Git {
    /// Opens the driver; touches neither disk nor network yet.
    pub fn new(options: GitOptions) -> Self {
        let GitOptions { dir, limits, allow_file, allow_loopback, user_agent } = options;
        Self {
            mirrors: Mirrors::at(dir),
            limits: Arc::new(limits),
            allowed: allow_file.into(),
            http: Arc::new(Http::new(user_agent, allow_loopback)),
            blobs: Mutex::default(),
        }
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
        match location::parse(&location.url)? {
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
                    .map_err(|reason| StoreError::Url { url: url.to_string(), reason })?;
                let mirror = self
                    .mirrors
                    .find(&location)
                    .map_err(|source| StoreError::Local { url: url.to_string(), source })?;
                Ok(Box::new(Remote {
                    url,
                    authorization,
                    ca: location.ca,
                    timeout: location.timeout,
                    http: Arc::clone(&self.http),
                    mirror,
                    limits: Arc::clone(&self.limits),
                }))
            }
        }
    }
}
