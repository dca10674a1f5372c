//! Watches what deliveries put there, and says which objects somebody changed.
//!
//! In: the kinds and namespaces that inventories name. Out: keys of objects that are not as they
//! were last seen. A watch carries metadata only, of objects with our label only; what an object is
//! now is for the next run to read. Never here: a decision, or a list of values.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use fixpoint_base::{Chain, Digest, Gvk, Key};
use fixpoint_plan::{Owner, fingerprint};
use futures::{Stream, StreamExt};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ObjectMeta, PartialObjectMeta};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::TargetError;
use crate::problems::{Problem, Problems};
use crate::target::KubeTarget;

/// One watch: a kind, everywhere or in one namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId {
    /// The kind.
    pub gvk: Gvk,
    /// The namespace; `None` watches all of them, or a kind that has none.
    pub namespace: Option<String>,
}

impl WatchId {
    /// The watches that see these objects, each kind everywhere.
    pub fn everywhere<'a>(keys: impl IntoIterator<Item = &'a Key>) -> BTreeSet<Self> {
        keys.into_iter().map(|key| Self { gvk: key.gvk.clone(), namespace: None }).collect()
    }

    /// The watches that see these objects, each kind in the namespaces where it is: for an
    /// identity that may not look further.
    pub fn by_namespace<'a>(keys: impl IntoIterator<Item = &'a Key>) -> BTreeSet<Self> {
        keys.into_iter()
            .map(|key| Self {
                gvk: key.gvk.clone(),
                namespace: (!key.namespace.is_empty()).then(|| key.namespace.clone()),
            })
            .collect()
    }
}

/// An object that is not as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The object.
    pub key: Key,
    /// Whose labels it carried, where that is known.
    pub owner: Option<Owner>,
    /// Whether it is gone, or lost our label.
    pub gone: bool,
}

/// Pause before a watch that was denied is tried again: permissions change seldom.
const DENIED_PAUSE: Duration = Duration::from_secs(300);

/// Pause before a kind that is not served is asked for again; its definition may come back.
const UNSERVED_PAUSE: Duration = Duration::from_secs(60);

/// Pause after a server could not say whether it serves a kind.
const UNSURE_PAUSE: Duration = Duration::from_secs(10);

/// Keeps one watch for each kind that is asked for, no more and no fewer.
#[derive(Debug)]
pub struct DriftWatches {
    target: KubeTarget,
    selector: String,
    drifts: mpsc::Sender<Drift>,
    watches: BTreeMap<WatchId, JoinHandle<()>>,
    problems: Problems,
}

impl DriftWatches {
    /// Watches objects that the label selector selects, and sends what drifts. A full channel holds
    /// the watches back; a closed one ends them.
    pub fn new(target: KubeTarget, selector: &str, drifts: mpsc::Sender<Drift>) -> Self {
        Self {
            target,
            selector: selector.to_owned(),
            drifts,
            watches: BTreeMap::new(),
            problems: Problems::default(),
        }
    }

    /// Watches exactly these from now on. A kind that is not served, or may not be watched, is
    /// tried again after a while.
    pub fn keep(&mut self, wanted: &BTreeSet<WatchId>) {
        self.watches.retain(|id, task| {
            let stays = wanted.contains(id) && !task.is_finished();
            if !stays {
                task.abort();
                self.problems.solved(id);
            }
            stays
        });
        for id in wanted {
            if !self.watches.contains_key(id) {
                let task = self.begin(id.clone());
                self.watches.insert(id.clone(), task);
            }
        }
    }

    /// How many watches are kept.
    pub fn len(&self) -> usize {
        self.watches.len()
    }

    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// The watches that cannot be kept: their objects are looked at by interval only.
    pub fn problems(&self) -> Problems {
        self.problems.clone()
    }

    fn begin(&self, id: WatchId) -> JoinHandle<()> {
        let (target, selector) = (self.target.clone(), self.selector.clone());
        let (drifts, problems) = (self.drifts.clone(), self.problems.clone());
        tokio::spawn(async move {
            let mut follower = Follower { target, id, drifts, last: HashMap::new() };
            loop {
                match follower.follow(&selector, &problems).await {
                    End::Unheard => return,
                    End::Unserved => tokio::time::sleep(UNSERVED_PAUSE).await,
                    End::Denied(reason) => {
                        problems.met(&follower.id, Problem { denied: true, reason });
                        tokio::time::sleep(DENIED_PAUSE).await;
                    }
                }
            }
        })
    }
}

impl Drop for DriftWatches {
    fn drop(&mut self) {
        self.watches.values().for_each(JoinHandle::abort);
    }
}

/// Why a watch ended.
enum End {
    /// Nobody listens any more.
    Unheard,
    /// The kind is not served.
    Unserved,
    /// It may not be watched.
    Denied(String),
}

type Event = Result<watcher::Event<PartialObjectMeta<DynamicObject>>, watcher::Error>;

struct Follower {
    target: KubeTarget,
    id: WatchId,
    drifts: mpsc::Sender<Drift>,
    /// What each object looked like when it was last seen by this watch.
    last: HashMap<(String, String), Digest>,
}

impl Follower {
    async fn follow(&mut self, selector: &str, problems: &Problems) -> End {
        loop {
            let kind = match self.target.kind(&self.id.gvk).await {
                Ok(kind) => kind,
                Err(TargetError::UnknownKind { .. }) => {
                    problems.solved(&self.id);
                    return End::Unserved;
                }
                Err(err @ TargetError::Refused { .. }) => {
                    return End::Denied(Chain(&err).to_string());
                }
                Err(err) => {
                    let reason = Chain(&err).to_string();
                    problems.met(&self.id, Problem { denied: false, reason });
                    tokio::time::sleep(UNSURE_PAUSE).await;
                    continue;
                }
            };
            let api = self.api(&kind.plural, kind.namespaced);
            let config = watcher::Config::default().labels(selector);
            let events = watcher(api, config).default_backoff();
            if let Some(end) = self.listen(events, problems).await {
                return end;
            }
            self.target.forget_kind(&self.id.gvk).await;
        }
    }

    fn api(&self, plural: &str, namespaced: bool) -> Api<PartialObjectMeta<DynamicObject>> {
        let Gvk { group, version, kind } = &self.id.gvk;
        let resource = ApiResource {
            group: group.clone(),
            version: version.clone(),
            api_version: self.id.gvk.api_version(),
            kind: kind.clone(),
            plural: plural.to_owned(),
        };
        let client = self.target.client.clone();
        match &self.id.namespace {
            Some(namespace) if namespaced => Api::namespaced_with(client, namespace, &resource),
            _ => Api::all_with(client, &resource),
        }
    }

    /// Listens until the watch ends for good; `None` where the kind has to be looked up again.
    async fn listen(
        &mut self,
        events: impl Stream<Item = Event>,
        problems: &Problems,
    ) -> Option<End> {
        let mut events = std::pin::pin!(events);
        let mut listed: HashMap<(String, String), Digest> = HashMap::new();
        while let Some(event) = events.next().await {
            let drifts = match event {
                Ok(watcher::Event::Init) => {
                    listed.clear();
                    Vec::new()
                }
                Ok(watcher::Event::InitApply(object)) => {
                    let name = name(&object);
                    let seen = look(&object.metadata);
                    let drift = self.compare(&object, &name, seen);
                    listed.insert(name, seen);
                    drift.into_iter().collect()
                }
                Ok(watcher::Event::InitDone) => {
                    problems.solved(&self.id);
                    self.settle(std::mem::take(&mut listed))
                }
                Ok(watcher::Event::Apply(object)) => {
                    let name = name(&object);
                    let seen = look(&object.metadata);
                    let drift = self.compare(&object, &name, seen);
                    self.last.insert(name, seen);
                    drift.into_iter().collect()
                }
                Ok(watcher::Event::Delete(object)) => {
                    let name = name(&object);
                    self.last.remove(&name);
                    vec![self.missed(&name, owner(&object))]
                }
                // The watcher goes on by itself; a closed door or a vanished kind does not open.
                Err(err) => match status_code(&err) {
                    Some(404) => return None,
                    Some(401 | 403) => return Some(End::Denied(Chain(&err).to_string())),
                    _ => {
                        tracing::debug!(kind = %self.id.gvk.kind, error = %Chain(&err), "watch interrupted");
                        Vec::new()
                    }
                },
            };
            for drift in drifts {
                if self.drifts.send(drift).await.is_err() {
                    return Some(End::Unheard);
                }
            }
        }
        None
    }

    /// Says whether an object is other than when it was last seen by anybody here.
    fn compare(
        &self,
        object: &PartialObjectMeta<DynamicObject>,
        name: &(String, String),
        look: Digest,
    ) -> Option<Drift> {
        let key = self.key(name);
        if self.last.get(name) == Some(&look) || self.target.look(&key) == Some(look) {
            return None;
        }
        Some(Drift { key, owner: owner(object), gone: false })
    }

    /// After a new list: what was there before and is not listed went away unseen.
    fn settle(&mut self, listed: HashMap<(String, String), Digest>) -> Vec<Drift> {
        let before = std::mem::replace(&mut self.last, listed);
        before
            .keys()
            .filter(|name| !self.last.contains_key(*name))
            .map(|name| self.missed(name, None))
            .collect()
    }

    /// An object that is gone. Our own deletions are told too: who keeps it no longer names it.
    fn missed(&self, name: &(String, String), owner: Option<Owner>) -> Drift {
        let key = self.key(name);
        self.target.lost(&key);
        Drift { key, owner, gone: true }
    }

    fn key(&self, (namespace, name): &(String, String)) -> Key {
        Key::new(self.id.gvk.clone(), namespace, name)
    }
}

fn look(meta: &ObjectMeta) -> Digest {
    fingerprint::look(&json!({
        "uid": meta.uid,
        "generation": meta.generation,
        "resourceVersion": meta.resource_version,
        "labels": meta.labels,
        "annotations": meta.annotations,
        "deletionTimestamp": meta.deletion_timestamp.as_ref().map(|_| true),
    }))
}

fn name(object: &PartialObjectMeta<DynamicObject>) -> (String, String) {
    let ObjectMeta { namespace, name, .. } = &object.metadata;
    (namespace.clone().unwrap_or_default(), name.clone().unwrap_or_default())
}

fn owner(object: &PartialObjectMeta<DynamicObject>) -> Option<Owner> {
    Owner::of(&json!({"metadata": {"labels": object.metadata.labels}}))
}

fn status_code(err: &watcher::Error) -> Option<u16> {
    match err {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}
