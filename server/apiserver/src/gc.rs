//! What is deleted because something else is: dependents of owners, contents of namespaces,
//! objects of definitions, and events that are old.
//!
//! The writer says what changed, this task looks at what that may mean, and everything it does is
//! an ordinary write. It keeps nothing that the state does not say, so a restart loses nothing.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use fixpoint_api_machinery::status;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::kinds::{DEFINITIONS, EVENTS, Kind, NAMESPACES};
use crate::server::Server;
use crate::store::state::{Page, Ref};
use crate::store::writer::Applied;
use crate::store::{Change, EventKind, Guard, Meta, Name, Object, Refused, Resource, State, Write};
use crate::verbs::commit::{Committed, current, refusal};
use crate::verbs::delete::{CLEANUP, FOREGROUND, ORPHAN};
use crate::verbs::options::{DeleteOptions, Propagation};
use crate::verbs::update::is_finished;
use crate::wire::Failure;

/// How long events are kept, as kube-apiserver does.
const EVENT_SECONDS: i64 = 3600;
/// How often old events are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// How long to wait when the disk did not take a write.
const PAUSE: Duration = Duration::from_secs(5);
/// Items looked at together, so that their writes share a sync.
const TOGETHER: usize = 256;

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    /// The dependents of an owner that is gone.
    Orphaned(String),
    /// An object that is being deleted, or whose owners may be gone.
    Check(Resource, Name),
}

/// What waits to be looked at.
#[derive(Debug, Default)]
pub struct Collector {
    work: Mutex<BTreeSet<Work>>,
    /// When each event was last written, oldest first.
    events: Mutex<VecDeque<(i64, Name, u64)>>,
    wake: Notify,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Collector {
    /// Finds what a restart interrupted.
    pub fn begin_with(&self, state: &State) {
        let mut work = BTreeSet::new();
        for (resource, object) in state.all() {
            let ownerless = object.owners.iter().any(|owner| !state.has_uid(&owner.uid));
            if object.deleting || ownerless {
                work.insert(Work::Check(resource.clone(), object.name.clone()));
            }
        }
        let mut events: Vec<(i64, Name, u64)> = state
            .range(&EVENTS, &Page::default())
            .map(|event| (created(event), event.name.clone(), event.revision))
            .collect();
        events.sort();
        locked(&self.events).extend(events);
        self.add(work);
    }

    /// Looks at what was just written.
    pub fn observe(&self, state: &State, applied: &[Applied], second: i64) {
        let mut work = BTreeSet::new();
        for Applied { resource, kind, object } in applied {
            if *kind == EventKind::Deleted {
                after_deletion(state, resource, object, &mut work);
                continue;
            }
            if *resource == *EVENTS {
                locked(&self.events).push_back((second, object.name.clone(), object.revision));
            }
            let mut look = object.deleting;
            for owner in &object.owners {
                match state.find_uid(&owner.uid) {
                    None => look = true,
                    Some(found) => add_if_deleting(state, found, &mut work),
                }
            }
            if look {
                work.insert(Work::Check(resource.clone(), object.name.clone()));
            }
        }
        self.add(work);
    }

    fn add(&self, mut more: BTreeSet<Work>) {
        if !more.is_empty() {
            locked(&self.work).append(&mut more);
            self.wake.notify_one();
        }
    }

    fn take(&self) -> Vec<Work> {
        let mut work = locked(&self.work);
        let taken: Vec<Work> = work.iter().take(TOGETHER).cloned().collect();
        for item in &taken {
            work.remove(item);
        }
        taken
    }

    fn take_events(&self, before: i64) -> Vec<(Name, u64)> {
        let mut events = locked(&self.events);
        let mut due = Vec::new();
        while events.front().is_some_and(|(second, _, _)| *second < before) {
            let Some((_, name, revision)) = events.pop_front() else { break };
            due.push((name, revision));
        }
        due
    }

    /// Collects until the server closes or is dropped.
    pub async fn run(self: Arc<Self>, server: Weak<Server>, mut closing: watch::Receiver<bool>) {
        loop {
            let Some(alive) = server.upgrade() else { return };
            self.sweep_events(&alive).await;
            loop {
                let work = self.take();
                if work.is_empty() {
                    break;
                }
                if let Err(failure) = self.look_at(&alive, &work).await {
                    tracing::warn!(why = failure.message(), "deletions wait");
                    self.add(work.into_iter().collect());
                    break;
                }
            }
            let retry = !locked(&self.work).is_empty();
            drop(alive);
            // Each arm only waits, so dropping the others loses nothing.
            tokio::select! {
                () = self.wake.notified(), if !retry => {}
                () = tokio::time::sleep(if retry { PAUSE } else { SWEEP }) => {}
                _ = closing.wait_for(|closing| *closing) => return,
            }
        }
    }

    async fn look_at(&self, server: &Server, work: &[Work]) -> Result<(), Failure> {
        let looks = work.iter().map(|item| async move {
            match item {
                Work::Orphaned(uid) => {
                    let dependents = server.store.read().dependents(uid);
                    let checks = dependents.iter().map(|item| check_owners(server, item));
                    futures::future::try_join_all(checks).await.map(|_| ())
                }
                Work::Check(resource, name) => {
                    check(server, &(resource.clone(), name.clone())).await
                }
            }
        });
        futures::future::join_all(looks).await.into_iter().collect()
    }

    /// Deletes events that nobody has written to for a while.
    async fn sweep_events(&self, server: &Server) {
        let before = server.now().as_second() - EVENT_SECONDS;
        let due = self.take_events(before);
        // Looked up after the queue is let go: the writer takes both locks the other way round.
        let old: Vec<Arc<Object>> = {
            let state = server.store.read();
            let still = |(name, revision): &(Name, u64)| {
                state.get(&EVENTS, name).filter(|event| event.revision == *revision).cloned()
            };
            due.iter().filter_map(still).collect()
        };
        if old.is_empty() {
            return;
        }
        let Some(kind) = server.registry().stored(&EVENTS).cloned() else { return };
        if let Err(failure) = server.delete_all(&kind, &old, &DeleteOptions::default()).await {
            tracing::warn!(why = failure.message(), "old events stay for now");
        }
    }
}

/// When an object was made, in seconds; long ago if it does not say.
fn created(object: &Object) -> i64 {
    let value = object.value();
    let text = value["metadata"]["creationTimestamp"].as_str().unwrap_or("");
    text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_second).unwrap_or(0)
}

fn after_deletion(state: &State, resource: &Resource, object: &Object, work: &mut BTreeSet<Work>) {
    if !state.dependents(&object.uid).is_empty() {
        work.insert(Work::Orphaned(object.uid.clone()));
    }
    for owner in &object.owners {
        if let Some(found) = state.find_uid(&owner.uid) {
            add_if_deleting(state, found, work);
        }
    }
    if !object.name.namespace.is_empty() {
        let namespace = (NAMESPACES.clone(), Name::new("", &*object.name.namespace));
        add_if_deleting(state, &namespace, work);
    }
    let definition = format!("{}.{}", resource.plural, resource.group);
    add_if_deleting(state, &(DEFINITIONS.clone(), Name::new("", definition)), work);
}

fn add_if_deleting(state: &State, item: &Ref, work: &mut BTreeSet<Work>) {
    if state.get(&item.0, &item.1).is_some_and(|object| object.deleting) {
        work.insert(Work::Check(item.0.clone(), item.1.clone()));
    }
}

async fn check(server: &Server, item: &Ref) -> Result<(), Failure> {
    let found = server.store.read().get(&item.0, &item.1).cloned();
    let Some(object) = found else { return Ok(()) };
    if !object.owners.is_empty() {
        check_owners(server, item).await?;
    }
    if !object.deleting {
        return Ok(());
    }
    let has = |name: &str| object.finalizers.iter().any(|finalizer| finalizer == name);
    if has(ORPHAN) {
        orphan_dependents(server, item, &object.uid).await?;
    } else if has(FOREGROUND) {
        delete_dependents(server, item, &object.uid).await?;
    }
    if item.0 == *NAMESPACES {
        empty_namespace(server, &item.1).await?;
    } else if item.0 == *DEFINITIONS && has(CLEANUP) {
        empty_definition(server, item).await?;
    }
    Ok(())
}

/// What an owner reference stands for.
#[derive(PartialEq, Eq)]
enum Standing {
    /// The owner is there to stay.
    Solid,
    /// The owner is being deleted and waits for its dependents.
    Waiting,
    /// The owner is gone.
    Absent,
}

fn standing(server: &Server, owner: &Value) -> Standing {
    let uid = owner["uid"].as_str().unwrap_or("");
    let state = server.store.read();
    match state.by_uid(uid) {
        Some(found) if found.deleting && found.finalizers.iter().any(|f| f == FOREGROUND) => {
            Standing::Waiting
        }
        Some(_) => Standing::Solid,
        None if !is_served(server, owner) => Standing::Solid,
        None => Standing::Absent,
    }
}

/// An owner of a kind that is not served here may exist: its dependents are left alone.
fn is_served(server: &Server, owner: &Value) -> bool {
    let text = |field: &str| owner[field].as_str().unwrap_or("");
    let (group, _) = text("apiVersion").split_once('/').unwrap_or(("", ""));
    server.registry().groups().any(|(found, versions)| {
        found == group && versions.iter().any(|v| v.kinds.values().any(|k| k.kind == text("kind")))
    })
}

/// Deletes an object whose owners are gone; one that still has an owner forgets the others.
async fn check_owners(server: &Server, item: &Ref) -> Result<(), Failure> {
    let Some((kind, object)) = look_up(server, item) else { return Ok(()) };
    let value = object.value();
    let owners = value["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let standings: Vec<Standing> = owners.iter().map(|owner| standing(server, owner)).collect();
    if owners.is_empty() || standings.iter().all(|standing| *standing == Standing::Solid) {
        return Ok(());
    }
    if standings.contains(&Standing::Solid) {
        let keep: Vec<Value> = owners
            .into_iter()
            .zip(&standings)
            .filter(|(_, standing)| **standing == Standing::Solid)
            .map(|(owner, _)| owner)
            .collect();
        return edit(server, item, |metadata| {
            metadata["ownerReferences"] = keep.clone().into();
        })
        .await;
    }
    if object.deleting {
        return Ok(());
    }
    let has = |name: &str| object.finalizers.iter().any(|finalizer| finalizer == name);
    let has_dependents = !server.store.read().dependents(&object.uid).is_empty();
    let propagation = if has(ORPHAN) {
        Propagation::Orphan
    } else if has(FOREGROUND) || (standings.contains(&Standing::Waiting) && has_dependents) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    let options = DeleteOptions {
        propagation: Some(propagation),
        uid: Some(object.uid.clone()),
        // Owners that were added since make it another decision.
        revision: Some(object.revision.to_string()),
        ..DeleteOptions::default()
    };
    match server.delete_object(&kind, &item.1, &options).await {
        // Changed meanwhile: the change is looked at in its own right.
        Err(failure) if failure.code() == 409 => {
            server.collector.add([Work::Check(item.0.clone(), item.1.clone())].into());
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

async fn orphan_dependents(server: &Server, item: &Ref, uid: &str) -> Result<(), Failure> {
    let dependents = server.store.read().dependents(uid);
    let edits = dependents.iter().map(|dependent| {
        edit(server, dependent, |metadata| {
            if let Some(owners) = metadata["ownerReferences"].as_array_mut() {
                owners.retain(|owner| owner["uid"] != uid);
            }
        })
    });
    futures::future::try_join_all(edits).await?;
    drop_finalizer(server, item, ORPHAN).await
}

async fn delete_dependents(server: &Server, item: &Ref, uid: &str) -> Result<(), Failure> {
    let blocking: Vec<Ref> = {
        let state = server.store.read();
        let blocks = |dependent: &Ref| {
            let found = state.get(&dependent.0, &dependent.1);
            found.is_some_and(|o| o.owners.iter().any(|owner| owner.uid == uid && owner.blocks))
        };
        state.dependents(uid).into_iter().filter(blocks).collect()
    };
    if blocking.is_empty() {
        return drop_finalizer(server, item, FOREGROUND).await;
    }
    let checks = blocking.iter().map(|dependent| check_owners(server, dependent));
    futures::future::try_join_all(checks).await.map(|_| ())
}

/// Deletes what is in a namespace, and then the namespace.
async fn empty_namespace(server: &Server, name: &Name) -> Result<(), Failure> {
    let page = Page { namespace: Some(name.name.clone()), after: None };
    let contents: Vec<(Resource, Vec<Arc<Object>>)> = {
        let state = server.store.read();
        let tables: Vec<Resource> = state.tables().map(|(resource, _)| resource.clone()).collect();
        let within = |resource: Resource| {
            let objects: Vec<_> = state.range(&resource, &page).cloned().collect();
            (resource, objects)
        };
        tables.into_iter().map(within).filter(|(_, objects)| !objects.is_empty()).collect()
    };
    if contents.is_empty() {
        return remove_namespace(server, name).await;
    }
    let options =
        DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    for (resource, objects) in contents {
        let going: Vec<_> = objects.into_iter().filter(|object| !object.deleting).collect();
        let Some(kind) = server.registry().stored(&resource).cloned() else { continue };
        server.delete_all(&kind, &going, &options).await?;
    }
    // Each deletion that finishes brings the namespace back here.
    Ok(())
}

async fn remove_namespace(server: &Server, name: &Name) -> Result<(), Failure> {
    let item = (NAMESPACES.clone(), name.clone());
    let Some((kind, object)) = look_up(server, &item) else { return Ok(()) };
    let mut value = object.value();
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("finalizers");
    }
    let finished = is_finished(&kind, &value);
    let already = object.value() == value;
    if already && !finished {
        return Ok(()); // waits for finalizers of others
    }
    let meta = Meta::of(&value)
        .map_err(|err| status::internal(format!("metadata of {}: {err}", name.name)))?;
    let write = Write {
        resource: item.0.clone(),
        name: name.clone(),
        expect: Some(object.revision),
        meta,
        change: if finished { Change::Remove(value) } else { Change::Put(value) },
        guards: vec![Guard::Empty(name.name.clone())],
    };
    match server.store.write(write).await {
        Ok(_) => Ok(()),
        Err(Refused::Stale | Refused::Guard { .. }) => {
            server.collector.add([Work::Check(item.0, item.1)].into());
            Ok(())
        }
        Err(refused) => Err(refusal(&refused, "", "namespaces", &name.name)),
    }
}

/// Deletes the objects of a definition, and lets the definition go when there are none.
async fn empty_definition(server: &Server, item: &Ref) -> Result<(), Failure> {
    let Some((plural, group)) = item.1.name.split_once('.') else { return Ok(()) };
    let resource = Resource::new(group, plural);
    let objects: Vec<Arc<Object>> =
        server.store.read().range(&resource, &Page::default()).cloned().collect();
    if objects.is_empty() {
        return drop_finalizer(server, item, CLEANUP).await;
    }
    let Some(kind) = server.registry().stored(&resource).cloned() else {
        // Never served, so nothing knows what these are; they are not deleted unasked.
        return drop_finalizer(server, item, CLEANUP).await;
    };
    let going: Vec<_> = objects.into_iter().filter(|object| !object.deleting).collect();
    server.delete_all(&kind, &going, &DeleteOptions::default()).await
}

async fn drop_finalizer(server: &Server, item: &Ref, name: &str) -> Result<(), Failure> {
    edit(server, item, |metadata| {
        if let Some(finalizers) = metadata["finalizers"].as_array_mut() {
            finalizers.retain(|finalizer| finalizer != name);
        }
    })
    .await
}

fn look_up(server: &Server, item: &Ref) -> Option<(Arc<Kind>, Arc<Object>)> {
    let kind = server.registry().stored(&item.0).cloned()?;
    let object = current(&server.store, &kind, &item.1)?;
    Some((kind, object))
}

/// Changes the metadata of an object, however often others change it meanwhile.
async fn edit(server: &Server, item: &Ref, change: impl Fn(&mut Value)) -> Result<(), Failure> {
    const TRIES: usize = 50;
    for _ in 0..TRIES {
        let Some((kind, object)) = look_up(server, item) else { return Ok(()) };
        let old = object.value();
        let mut new = old.clone();
        change(&mut new["metadata"]);
        for field in ["finalizers", "ownerReferences"] {
            let metadata = new["metadata"].as_object_mut();
            if let Some(metadata) = metadata
                && metadata
                    .get(field)
                    .is_some_and(|v| v.is_null() || v.as_array().is_some_and(Vec::is_empty))
            {
                metadata.remove(field);
            }
        }
        if new == old {
            return Ok(());
        }
        let change = if is_finished(&kind, &new) { Change::Remove(new) } else { Change::Put(new) };
        match server.commit(&kind, item.1.clone(), Some(object.revision), change).await? {
            Committed::Done(_) => return Ok(()),
            Committed::Stale => {}
        }
    }
    Err(status::conflict(&item.0.group, &item.0.plural, &item.1.name, status::MODIFIED).into())
}
