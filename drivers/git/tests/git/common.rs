//! A driver, a repository and a server, with the shortest words for what tests do with them.

use std::path::PathBuf;
use std::time::Duration;

use fixpoint_base::{Classified as _, Limits, Secret};
use fixpoint_driver_git::{Git, GitOptions};
use fixpoint_fixture::{HttpBackend, Repo, SshKey, SshServer};
use fixpoint_source::{
    Ancestry, Content, Credentials, Location, Pointer, Reference, Selection, SshIdentity, Store,
    StoreError, Stores,
};

/// How the repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// `file://`.
    File,
    /// `http://`.
    Http,
    /// `http://`, from a server that can leave files out.
    HttpFilter,
    /// `http://`, from a server from before protocol version 2.
    HttpOld,
    /// `ssh://`.
    Ssh,
    /// `ssh://`, from a server that hears of no protocol version.
    SshOld,
}

pub const ALL: [Via; 6] =
    [Via::File, Via::Http, Via::HttpFilter, Via::HttpOld, Via::Ssh, Via::SshOld];

pub struct World {
    pub repo: Repo,
    pub server: HttpBackend,
    pub ssh: SshServer,
    pub git: Git,
    pub dir: tempfile::TempDir,
    pub via: Via,
}

impl World {
    pub fn new(via: Via) -> Self {
        Self::with_limits(via, Limits::default())
    }

    pub fn with_limits(via: Via, limits: Limits) -> Self {
        let repo = Repo::new();
        let server = HttpBackend::start(repo.root());
        let ssh = SshServer::start();
        match via {
            Via::File | Via::Http | Via::Ssh => {}
            Via::SshOld => {
                ssh.grow_old();
                ssh.set("uploadpack.allowAnySHA1InWant", "true");
            }
            Via::HttpFilter => server.set("uploadpack.allowFilter", "true"),
            Via::HttpOld => {
                server.grow_old();
                server.set("uploadpack.allowAnySHA1InWant", "true");
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let git = driver(dir.path().join("mirrors"), limits, vec![repo.root().to_owned()]);
        Self { repo, server, ssh, git, dir, via }
    }

    /// The same, as a new process would see it.
    pub fn restart(&mut self) {
        let allowed = vec![self.repo.root().to_owned()];
        self.git = driver(self.dir.path().join("mirrors"), Limits::default(), allowed);
    }

    pub fn url(&self) -> String {
        match self.via {
            Via::File => self.repo.url(),
            Via::Http | Via::HttpFilter | Via::HttpOld => self.server.url("repo"),
            Via::Ssh | Via::SshOld => self.ssh.url(self.repo.path()),
        }
    }

    pub fn location(&self) -> Location {
        let credentials = match self.via {
            Via::Ssh | Via::SshOld => identity(self.ssh.key(), &self.ssh.known_hosts()),
            _ => Credentials::Anonymous,
        };
        Location { credentials, ..location(&self.url()) }
    }

    pub fn store(&self) -> Box<dyn Store> {
        self.git.open(self.location()).unwrap()
    }

    pub fn pointer(&self, reference: &Reference) -> Result<Pointer, StoreError> {
        self.store().pointer(reference)
    }

    pub fn main(&self) -> Pointer {
        self.pointer(&branch("main")).unwrap()
    }

    pub fn content(&self) -> Result<Content, StoreError> {
        self.store().content(&self.main(), &Selection::default())
    }

    /// The paths of what is on `main`, and their texts when they are short.
    pub fn files(&self) -> String {
        listing(&self.content().unwrap())
    }

    pub fn ancestry(&self, old: &str, new: &str) -> Ancestry {
        let new = self.pointer(&commit(new)).unwrap();
        self.store().ancestry(old, &new).unwrap()
    }

    pub fn mirrors(&self) -> PathBuf {
        self.dir.path().join("mirrors")
    }
}

pub fn driver(dir: PathBuf, limits: Limits, allow_file: Vec<PathBuf>) -> Git {
    Git::new(GitOptions {
        dir,
        limits,
        allow_file,
        allow_loopback: true,
        user_agent: "fixpoint/test".to_owned(),
    })
}

pub fn location(url: &str) -> Location {
    Location { url: url.to_owned(), timeout: Duration::from_secs(60), ..Location::default() }
}

/// What a Secret for an ssh server holds.
pub fn identity(key: &SshKey, known_hosts: &str) -> Credentials {
    Credentials::Ssh(SshIdentity {
        key: Secret::new(key.private()),
        passphrase: None,
        known_hosts: known_hosts.to_owned(),
    })
}

pub fn branch(name: &str) -> Reference {
    Reference::Branch(name.to_owned())
}

pub fn tag(name: &str) -> Reference {
    Reference::Tag(name.to_owned())
}

pub fn semver(range: &str) -> Reference {
    Reference::Semver(range.to_owned())
}

pub fn commit(id: &str) -> Reference {
    Reference::Commit { id: id.to_owned(), branch: None }
}

pub fn listing(content: &Content) -> String {
    let file = |(path, file): (&str, &fixpoint_source::File)| {
        let mode = if file.executable { "*" } else { "" };
        match std::str::from_utf8(&file.bytes) {
            Ok(text) if text.len() < 20 => format!("{path}{mode}={text}"),
            _ => format!("{path}{mode}"),
        }
    };
    content.tree.files().map(file).collect::<Vec<_>>().join(" ")
}

/// An error as its reader sees it: `class: message [hint]`.
pub fn told(err: &StoreError) -> String {
    let hint = err.hint().map(|hint| format!(" [{hint}]")).unwrap_or_default();
    format!("{:?}: {}{hint}", err.class(), fixpoint_base::Chain(err))
}

/// The error of a result whose value cannot be printed.
pub fn refused<T>(result: Result<T, StoreError>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(err) => told(&err),
    }
}
