//! Answers the four questions for a repository on another machine.
//!
//! In: references and ids. Out: names, pointers, content and ancestry. What was fetched stays in
//! the mirror; the server is asked for what is missing only.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fixpoint_base::Limits;
use fixpoint_source::{Ancestry, Content, Name, Pointer, Reference, Selection, Store, StoreError};
use gix_hash::ObjectId;

use crate::conversation::Conversation;
use crate::history::{Facts, relate};
use crate::http::{self, Http, HttpAccess};
use crate::location::{Place, SshPlace, shown};
use crate::meter::Meter;
use crate::mirror::{Mirror, Shelf};
use crate::names;
use crate::objects::Objects;
use crate::protocol::{self, Capabilities, Fault, MAX_NAMES, Want};
use crate::proxy::Gate;
use crate::ssh::{self, Keys, Ssh};
use crate::submodules::{Mounts, Nested};
use crate::{classic, content};

/// How far the history is looked back, step by step.
const DEPTHS: [u32; 3] = [50, 500, 5000];

/// Commits looked at to tell how two relate.
const MAX_COMMITS: usize = 100_000;

/// Bytes that telling how two commits relate may cost. Servers that can leave files out send a
/// few hundred bytes per commit; the others send the files too.
const MAX_ANCESTRY_BYTES: u64 = 64 * 1024 * 1024;

/// A repository on another machine.
pub(crate) struct Remote {
    /// As messages show it.
    pub(crate) url: String,
    pub(crate) way: Way,
    pub(crate) agent: Arc<str>,
    pub(crate) timeout: Duration,
    pub(crate) mirror: Arc<Mutex<Mirror>>,
    pub(crate) limits: Arc<Limits>,
    /// How its submodules are fetched; a submodule's own are the source's affair.
    pub(crate) nested: Option<Nested>,
}

/// How to get there.
#[derive(Clone)]
pub(crate) enum Way {
    /// By HTTP.
    Http(HttpAccess),
    /// By ssh.
    Ssh {
        /// What is behind all connections.
        ssh: Arc<Ssh>,
        /// Where.
        place: SshPlace,
        /// Who we are.
        keys: Arc<Keys>,
        /// What to go through.
        gate: Option<Arc<Gate>>,
    },
}

/// A conversation whose server has said what it can do.
struct Talk<'a> {
    session: Box<dyn Conversation + 'a>,
    can: Capabilities,
    meter: &'a Meter,
    limits: &'a Limits,
    agent: &'a str,
}

impl Store for Remote {
    fn names(&self) -> Result<Vec<Name>, StoreError> {
        let meter = self.meter(self.limits.fetch_bytes);
        self.talk(&meter)?.names("")
    }

    fn pointer(&self, reference: &Reference) -> Result<Pointer, StoreError> {
        names::check(reference)?;
        let meter = self.meter(self.limits.fetch_bytes);
        if let Reference::Commit { id, branch } = reference {
            if let Some(branch) = branch {
                self.check_branch(&meter, reference, id, branch)?;
            }
            return names::choose(reference, &[])
                .ok_or_else(|| no_such_name(&meter, reference, &[]));
        }
        let mut talk = self.talk(&meter)?;
        let listed = talk.names(&names::prefix(reference))?;
        if let Some(pointer) = names::choose(reference, &listed) {
            return Ok(pointer);
        }
        let known = talk.names(names::neighbours(reference))?;
        Err(no_such_name(&meter, reference, &known))
    }

    fn content(&self, pointer: &Pointer, selection: &Selection) -> Result<Content, StoreError> {
        let meter = self.meter(self.limits.fetch_bytes);
        let commit = parse_id(&pointer.commit)?;
        let mounts = match &self.nested {
            Some(nested) if selection.submodules() => {
                let dir = self.with_mirror(&meter, |mirror| self.have(mirror, &commit, &meter))?;
                nested.gather(self, dir, commit, selection, &meter)?
            }
            _ => Mounts::default(),
        };
        let read = self.with_mirror(&meter, |mirror| {
            let dir = self.have(mirror, &commit, &meter)?;
            let objects =
                Objects::open(&dir, &self.limits, &meter)?.mount(&mounts, &self.limits)?;
            content::read(&objects, &commit, selection, &self.limits, &mut mirror.blobs)
        });
        if let Err(StoreError::Corrupt { .. }) = &read {
            mounts.clear();
        }
        Ok(Content { submodules: mounts.origins, ..read? })
    }

    fn objects(&self, pointer: &Pointer) -> Result<fixpoint_source::Objects, StoreError> {
        let meter = self.meter(self.limits.fetch_bytes);
        let commit = parse_id(&pointer.commit)?;
        let tag = pointer.tag_object.as_deref().map(parse_id).transpose()?;
        self.with_mirror(&meter, |mirror| {
            let wanted = [Some(commit), tag];
            let missing: Vec<ObjectId> =
                wanted.into_iter().flatten().filter(|id| !mirror.content.has(id)).collect();
            self.bring(mirror, &missing, &pointer.commit, &meter)?;
            let dir = mirror.content.objects().ok_or_else(|| meter.corrupt("nothing came"))?;
            Objects::open(dir, &self.limits, &meter)?.raw(&commit, tag.as_ref())
        })
    }

    fn ancestry(&self, old: &str, new: &Pointer) -> Result<Ancestry, StoreError> {
        let (old, new) = (parse_id(old)?, parse_id(&new.commit)?);
        let meter = self.meter(self.limits.fetch_bytes.min(MAX_ANCESTRY_BYTES));
        self.with_mirror(&meter, |mirror| self.relate(mirror, old, new, &meter))
    }
}

impl Remote {
    fn meter(&self, bytes: u64) -> Meter {
        Meter::start(&self.url, self.timeout, bytes)
    }

    fn talk<'a>(&'a self, meter: &'a Meter) -> Result<Talk<'a>, StoreError> {
        let mut session: Box<dyn Conversation + 'a> = match &self.way {
            Way::Http(access) => Box::new(http::Session::new(access, meter)),
            Way::Ssh { ssh, place, keys, gate } => {
                Box::new(ssh::Session::new(ssh, meter, place, keys, gate.as_deref()))
            }
        };
        let body = session.discover()?;
        let can = protocol::read_capabilities(body).map_err(|fault| explain(meter, fault))?;
        Ok(Talk { session, can, meter, limits: &self.limits, agent: &self.agent })
    }

    /// Fetches what is missing, without its history.
    fn bring(
        &self,
        mirror: &mut Mirror,
        missing: &[ObjectId],
        commit: &str,
        meter: &Meter,
    ) -> Result<(), StoreError> {
        if missing.is_empty() {
            return Ok(());
        }
        mirror.content.make_room().map_err(|err| meter.local(err))?;
        let mut talk = self.talk(meter)?;
        talk.fetch(&mut mirror.content, missing, 1, false).map_err(|err| match err {
            Refused::Missing => StoreError::NoSuchName {
                wanted: format!("commit {commit}"),
                url: meter.url().to_owned(),
                known: Vec::new(),
            },
            Refused::Failed(err) => err,
        })
    }

    /// The folder of the objects of a commit, which is fetched if it is not here.
    pub(crate) fn have(
        &self,
        mirror: &mut Mirror,
        commit: &ObjectId,
        meter: &Meter,
    ) -> Result<PathBuf, StoreError> {
        if !mirror.content.has(commit) {
            self.bring(mirror, &[*commit], &commit.to_string(), meter)?;
        }
        let dir = mirror.content.objects().ok_or_else(|| meter.corrupt("nothing came"))?;
        Ok(dir.to_owned())
    }

    /// Another repository on the same server, as the same person; `None` where it is not there.
    pub(crate) fn at(&self, place: Place, url: &str, mirror: Arc<Mutex<Mirror>>) -> Option<Self> {
        let way = match (self.way.clone(), place) {
            (Way::Http(access), Place::Http(url)) => Way::Http(HttpAccess { url, ..access }),
            (Way::Ssh { ssh, keys, gate, .. }, Place::Ssh(place)) => {
                Way::Ssh { ssh, place, keys, gate }
            }
            _ => return None,
        };
        Some(self.beside(way, url, mirror))
    }

    /// A repository on another server, as nobody; `None` where only a key opens.
    pub(crate) fn stranger(
        &self,
        place: Place,
        url: &str,
        mirror: Arc<Mutex<Mirror>>,
        http: &Arc<Http>,
    ) -> Option<Self> {
        let Place::Http(there) = place else { return None };
        let gate = match &self.way {
            Way::Http(access) => access.gate.clone(),
            Way::Ssh { gate, .. } => gate.clone(),
        };
        let http = Arc::clone(http);
        let way = Way::Http(HttpAccess {
            http,
            url: there,
            authorization: None,
            ca: None,
            certificate: None,
            gate,
        });
        Some(self.beside(way, url, mirror))
    }

    fn beside(&self, way: Way, url: &str, mirror: Arc<Mutex<Mirror>>) -> Self {
        let (agent, limits) = (Arc::clone(&self.agent), Arc::clone(&self.limits));
        let timeout = self.timeout;
        Self { url: shown(url), way, agent, timeout, mirror, limits, nested: None }
    }

    /// Works on the mirror, alone; a mirror that turns out broken is fetched anew, once.
    pub(crate) fn with_mirror<T>(
        &self,
        meter: &Meter,
        mut work: impl FnMut(&mut Mirror) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Whoever panicked with it left files that are checked on every read anyway.
        let mut mirror: MutexGuard<'_, Mirror> =
            self.mirror.lock().unwrap_or_else(PoisonError::into_inner);
        let had_something = !mirror.is_empty();
        match work(&mut mirror) {
            Err(StoreError::Corrupt { reason, .. }) if had_something => {
                tracing::warn!(url = meter.url(), reason, "the mirror is broken; fetching it anew");
                mirror.clear().map_err(|err| meter.local(err))?;
                work(&mut mirror)
            }
            done => done,
        }
    }

    /// Fails unless a commit is on a branch. What cannot be told within the bounds is let pass:
    /// the id alone says what is delivered, the branch only where to look for it.
    fn check_branch(
        &self,
        meter: &Meter,
        reference: &Reference,
        id: &str,
        branch: &str,
    ) -> Result<(), StoreError> {
        let wanted = Reference::Branch(branch.to_owned());
        let mut talk = self.talk(meter)?;
        let listed = talk.names(&names::prefix(&wanted))?;
        let Some(tip) = names::choose(&wanted, &listed) else {
            let known = talk.names(names::neighbours(&wanted))?;
            return Err(no_such_name(meter, &wanted, &known));
        };
        let (commit, tip) = (parse_id(id)?, parse_id(&tip.commit)?);
        self.with_mirror(meter, |mirror| {
            if mirror.on_branch == Some((commit, tip)) {
                return Ok(());
            }
            match self.relate(mirror, commit, tip, meter)? {
                Ancestry::Same | Ancestry::Forward | Ancestry::Unknown => {
                    mirror.on_branch = Some((commit, tip));
                    Ok(())
                }
                Ancestry::Backward | Ancestry::Diverged => Err(no_such_name(meter, reference, &[])),
            }
        })
    }

    fn relate(
        &self,
        mirror: &mut Mirror,
        old: ObjectId,
        new: ObjectId,
        meter: &Meter,
    ) -> Result<Ancestry, StoreError> {
        let found = look(mirror, old, new, &self.limits, meter)?;
        if found != Ancestry::Unknown {
            return Ok(found);
        }
        let mut talk = self.talk(meter)?;
        let mut wanted = vec![new, old];
        for (step, depth) in DEPTHS.into_iter().enumerate() {
            let commits_only = talk.can.filter;
            let shelf = if commits_only { &mut mirror.history } else { &mut mirror.content };
            if step == 0 {
                shelf.make_room().map_err(|err| meter.local(err))?;
            }
            let mut fetched = talk.fetch(shelf, &wanted, depth, commits_only);
            if matches!(fetched, Err(Refused::Missing)) && wanted.len() > 1 {
                // A rewritten branch leaves its old tip behind, and the server may drop it.
                wanted.truncate(1);
                fetched = talk.fetch(shelf, &wanted, depth, commits_only);
            }
            match fetched {
                Ok(()) => {}
                Err(Refused::Missing) => return Ok(Ancestry::Unknown),
                Err(Refused::Failed(StoreError::Limit { .. })) => return Ok(Ancestry::Unknown),
                // The first step must work: it is no more than any fetch. That the whole history
                // takes too long is an answer.
                Err(Refused::Failed(StoreError::Timeout { .. })) if step > 0 => {
                    return Ok(Ancestry::Unknown);
                }
                Err(Refused::Failed(err)) => return Err(err),
            }
            let found = look(mirror, old, new, &self.limits, meter)?;
            if found != Ancestry::Unknown {
                return Ok(found);
            }
        }
        Ok(Ancestry::Unknown)
    }
}

/// Tells how two commits relate from what is here.
fn look(
    mirror: &Mirror,
    old: ObjectId,
    new: ObjectId,
    limits: &Limits,
    meter: &Meter,
) -> Result<Ancestry, StoreError> {
    let open =
        |shelf: &Shelf| shelf.objects().map(|dir| Objects::open(dir, limits, meter)).transpose();
    let shelves = [open(&mirror.history)?, open(&mirror.content)?];
    relate(old, new, MAX_COMMITS, &mut |id| {
        for objects in shelves.iter().flatten() {
            if let Some(facts) = facts(objects, id)? {
                return Ok(Some(facts));
            }
        }
        Ok(None)
    })
}

/// What the walk needs to know of a commit; `None` when it is not here.
pub(crate) fn facts(objects: &Objects<'_>, id: &ObjectId) -> Result<Option<Facts>, StoreError> {
    match objects.read(id)? {
        None => Ok(None),
        Some((gix_object::Kind::Commit, data)) => Facts::parse(&data)
            .map(Some)
            .ok_or_else(|| objects.meter().corrupt(format!("commit {id} is malformed"))),
        Some((kind, _)) => {
            Err(objects.meter().corrupt(format!("object {id} is a {kind} where a commit belongs")))
        }
    }
}

/// Why a fetch brought nothing.
enum Refused {
    /// The server does not have the commit, or does not show it.
    Missing,
    /// Anything else.
    Failed(StoreError),
}

impl From<StoreError> for Refused {
    fn from(err: StoreError) -> Self {
        Self::Failed(err)
    }
}

impl Talk<'_> {
    fn names(&mut self, prefix: &str) -> Result<Vec<Name>, StoreError> {
        if let Some(names) = &self.can.names {
            return Ok(names
                .iter()
                .filter(|name| name.full.starts_with(prefix))
                .cloned()
                .collect());
        }
        let body = self.session.command(protocol::list_names(self.agent, prefix))?;
        protocol::read_names(body).map_err(|fault| explain(self.meter, fault))
    }

    fn fetch(
        &mut self,
        shelf: &mut Shelf,
        ids: &[ObjectId],
        depth: u32,
        commits_only: bool,
    ) -> Result<(), Refused> {
        let shallow = shelf.shallow();
        let depth = self.can.shallow.then_some(depth);
        let want = Want { ids, depth, commits_only, haves: shelf.tips(), shallow: &shallow };
        let answer = if self.can.names.is_some() {
            let body = self.session.command(classic::fetch(self.agent, &want))?;
            protocol::read_classic_fetch(body)
        } else {
            let body = self.session.command(protocol::fetch(self.agent, &want))?;
            protocol::read_fetch(body)
        };
        let (boundary, pack) = match answer {
            Err(Fault::Said(reason)) if is_missing(&reason) => return Err(Refused::Missing),
            Err(fault) => return Err(explain(self.meter, fault).into()),
            Ok(answer) => answer,
        };
        Ok(shelf.receive(pack, &boundary, ids, self.limits, self.meter)?)
    }
}

/// How servers say that they do not have what is wanted: Git, then JGit.
fn is_missing(reason: &str) -> bool {
    reason.contains("not our ref") || (reason.contains("want ") && reason.contains("not valid"))
}

pub(crate) fn explain(meter: &Meter, fault: Fault) -> StoreError {
    match fault {
        Fault::Io(err) => meter.reason(&err),
        Fault::Said(reason) => meter.unreachable(format!("the server says: {reason}")),
        Fault::TooManyNames => meter.limit(format!("it lists more than {MAX_NAMES} names")),
        Fault::Unsupported(what) => StoreError::Unsupported { what },
    }
}

/// The error for a reference that no name answers to.
pub(crate) fn no_such_name(meter: &Meter, reference: &Reference, known: &[Name]) -> StoreError {
    StoreError::NoSuchName {
        wanted: names::wanted(reference),
        url: meter.url().to_owned(),
        known: names::closest(reference, known),
    }
}

/// Reads the id of a commit.
pub(crate) fn parse_id(text: &str) -> Result<ObjectId, StoreError> {
    let bad = |reason: String| StoreError::Reference {
        what: format!("commit {}", crate::meter::plain(text, 64)),
        reason,
    };
    names::check_id(text).map_err(bad)?;
    ObjectId::from_hex(text.as_bytes()).map_err(|err| bad(err.to_string()))
}
