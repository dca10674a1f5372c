//! The one task that writes.
//!
//! In: writes that say which revision they were computed from. Out: a batch in the log, then the
//! same batch in the state, then the answers. Many writers share one sync; a batch is durable as
//! a whole or refused as a whole; nobody sees a change before it is durable.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fixpoint_driver_store::log::{Log, LogError};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::object::{Meta, Name, Object, Resource};
use super::persist;
use super::state::{EventKind, State};
use crate::options::{Clock, ServerLimits};

/// What to do to an object.
#[derive(Debug)]
pub enum Change {
    /// Store this.
    Put(Value),
    /// Delete it; the value is its last state.
    Remove(Value),
}

/// What must hold when a write is decided, besides the revision of the object itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// This object is there and is not being deleted: the namespace of a new object, the
    /// definition of a new custom resource.
    Alive(Resource, Name),
    /// No object lives in this namespace.
    Empty(String),
}

/// One write.
#[derive(Debug)]
pub struct Write {
    /// Table.
    pub resource: Resource,
    /// Object.
    pub name: Name,
    /// The revision it was computed from; absent when the object must not exist.
    pub expect: Option<u64>,
    /// What to do.
    pub change: Change,
    /// The metadata of the value in `change`.
    pub meta: Meta,
    /// What else must hold.
    pub guards: Vec<Guard>,
}

/// Why a write was not made.
#[derive(Debug, Clone)]
pub enum Refused {
    /// The object is no longer at the expected revision: read it again and decide anew.
    Stale,
    /// Something that the write depends on is missing or on its way out.
    Guard {
        /// What must hold.
        guard: Guard,
        /// Whether the object is there at all.
        exists: bool,
    },
    /// The disk did not take it.
    Storage(LogError),
    /// The server is closing.
    Closed,
}

type Asked = (Box<Write>, Answer);
type Answer = oneshot::Sender<Result<Arc<Object>, Refused>>;

enum Command {
    Write(Box<Write>, Answer),
    Close(oneshot::Sender<()>),
}

/// What the rest of the server is told after each batch.
pub type Observer = Box<dyn Fn(&State, &[Applied]) + Send>;

/// One change that was taken in.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Table.
    pub resource: Resource,
    /// What happened.
    pub kind: EventKind,
    /// The object after it; for a deletion, its last state.
    pub object: Arc<Object>,
}

/// Handle to the state and its writer.
#[derive(Clone)]
pub struct Store {
    state: Arc<RwLock<State>>,
    commands: mpsc::Sender<Command>,
    log_bytes: Arc<AtomicU64>,
}

/// Writes that wait for the writer; more than that wait in front of it.
const QUEUE: usize = 1024;

impl Store {
    /// Starts the writer on a replayed state.
    ///
    /// `observer` runs on the writer's task after each batch, before anyone is answered.
    pub fn start(
        state: State,
        log: Log,
        clock: Clock,
        limits: ServerLimits,
        observer: Observer,
    ) -> Self {
        let (commands, queue) = mpsc::channel(QUEUE);
        let state = Arc::new(RwLock::new(state));
        let log_bytes = Arc::new(AtomicU64::new(log.size()));
        let writer = Writer {
            state: Arc::clone(&state),
            log,
            clock,
            limits,
            observer,
            log_bytes: Arc::clone(&log_bytes),
            compaction: None,
            compacting: Arc::default(),
        };
        tokio::spawn(writer.run(queue));
        Self { state, commands, log_bytes }
    }

    /// The state as it is now. Hold it for a moment only, and never across an await.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Wakes whenever the table changes.
    pub fn subscribe(&self, resource: &Resource) -> watch::Receiver<u64> {
        lock(&self.state).subscribe(resource)
    }

    /// Makes a write; returns when it is durable.
    pub async fn write(&self, write: Write) -> Result<Arc<Object>, Refused> {
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(Command::Write(Box::new(write), answer))
            .await
            .map_err(|_| Refused::Closed)?;
        answered.await.unwrap_or(Err(Refused::Closed))
    }

    /// Bytes that the log takes.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// Finishes what was asked before, and closes the log.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

fn lock(state: &RwLock<State>) -> RwLockWriteGuard<'_, State> {
    // A panic while applying is impossible to repair from here; what is there is still whole,
    // because objects are replaced one at a time.
    state.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}

struct Writer {
    state: Arc<RwLock<State>>,
    log: Log,
    clock: Clock,
    limits: ServerLimits,
    observer: Observer,
    log_bytes: Arc<AtomicU64>,
    compaction: Option<Compaction>,
    /// Whether the log is still busy with the snapshot that it was handed.
    compacting: Arc<AtomicBool>,
}

/// A snapshot on its way to the log: being encoded, or handed over.
struct Compaction {
    encoded: oneshot::Receiver<Vec<Vec<u8>>>,
    /// Batches that were appended after the snapshot was taken and so belong behind it.
    since: Vec<Vec<u8>>,
}

/// A batch that was decided but is not durable yet.
#[derive(Default)]
struct Batch {
    applied: Vec<Applied>,
    answers: Vec<Answer>,
    refused: Vec<(Answer, Refused)>,
    bytes: usize,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        while let Some(first) = queue.recv().await {
            let (writes, close) = self.collect(first, &mut queue);
            self.commit(writes).await;
            if let Some(done) = close {
                queue.close();
                let log = self.log;
                // Closing waits for the disk; the runtime must not.
                let _ = tokio::task::spawn_blocking(move || log.close()).await;
                let _ = done.send(());
                return;
            }
            self.compact_when_due();
        }
    }

    /// Takes everything that already waits, up to the limits of a batch.
    fn collect(
        &self,
        first: Command,
        queue: &mut mpsc::Receiver<Command>,
    ) -> (Vec<Asked>, Option<oneshot::Sender<()>>) {
        let mut writes = Vec::new();
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Write(write, answer) => writes.push((write, answer)),
                Command::Close(done) => return (writes, Some(done)),
            }
            if writes.len() >= self.limits.batch_writes {
                break;
            }
            next = queue.try_recv().ok();
        }
        (writes, None)
    }

    async fn commit(&mut self, mut writes: Vec<Asked>) {
        while !writes.is_empty() {
            let batch = self.decide(&mut writes);
            self.commit_batch(batch).await;
        }
    }

    /// Decides writes until the batch is large enough; what is left waits for the next one.
    fn decide(&self, writes: &mut Vec<Asked>) -> Batch {
        let state = self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut head = Head { state: &state, changed: HashMap::new() };
        let mut batch = Batch::default();
        let mut revision = state.revision();
        let mut taken = 0;
        for (write, answer) in writes.iter_mut().map(|(write, answer)| (write, answer)) {
            if batch.bytes > self.limits.batch_bytes {
                break;
            }
            taken += 1;
            let answer = std::mem::replace(answer, oneshot::channel().0);
            match head.decide(write, revision + 1) {
                Ok(applied) => {
                    revision += 1;
                    batch.bytes += applied.object.size();
                    batch.applied.push(applied);
                    batch.answers.push(answer);
                }
                Err(refused) => batch.refused.push((answer, refused)),
            }
        }
        writes.drain(..taken);
        batch
    }

    async fn commit_batch(&mut self, batch: Batch) {
        let Batch { applied, answers, refused, bytes: _ } = batch;
        let outcome = self.store(&applied).await;
        if outcome.is_ok() && !applied.is_empty() {
            self.publish(&applied);
        }
        for (answer, object) in answers.into_iter().zip(applied) {
            let _ = answer.send(outcome.clone().map(|()| object.object));
        }
        // After publishing, so that a stale writer reads what overtook it.
        for (answer, refused) in refused {
            let _ = answer.send(Err(refused));
        }
    }

    async fn store(&mut self, applied: &[Applied]) -> Result<(), Refused> {
        if applied.is_empty() {
            return Ok(());
        }
        let second = (self.clock)().as_second();
        let record = persist::batch(
            second,
            applied.iter().map(|applied| persist::Entry {
                resource: &applied.resource,
                kind: applied.kind,
                object: &applied.object,
            }),
        );
        let kept = self.compaction.is_some().then(|| record.clone());
        self.log.append(record).await.map_err(|err| {
            tracing::warn!(error = %fixpoint_base::Chain(&err), "a batch of writes was refused");
            Refused::Storage(err)
        })?;
        if let (Some(compaction), Some(record)) = (&mut self.compaction, kept) {
            compaction.since.push(record);
        }
        Ok(())
    }

    fn publish(&self, applied: &[Applied]) {
        let second = (self.clock)().as_second();
        {
            let mut state = lock(&self.state);
            for Applied { resource, kind, object } in applied {
                state.apply(resource, *kind, Arc::clone(object), second);
            }
            state.forget(
                self.limits.history_revisions,
                second.saturating_sub(self.limits.history_seconds),
            );
        }
        let state = self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        (self.observer)(&state, applied);
        let touched: BTreeSet<&Resource> =
            applied.iter().map(|applied| &applied.resource).collect();
        state.announce(touched);
    }

    /// Starts a snapshot when the log is mostly history, and hands a finished one over.
    ///
    /// Objects are encoded away from this task, so that writes go on meanwhile; the batches since
    /// then are appended to the snapshot, which together is what the log held.
    fn compact_when_due(&mut self) {
        let bytes = self.log.size();
        self.log_bytes.store(bytes, Ordering::Relaxed);
        match &mut self.compaction {
            None if self.compacting.load(Ordering::Acquire) => {}
            None => {
                let state = self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner());
                // Twice the live bytes: each byte is then rewritten about once per write of it.
                if bytes > self.limits.compact_bytes.max(state.bytes().saturating_mul(2)) {
                    let (send, encoded) = oneshot::channel();
                    let revision = state.revision();
                    let objects: Vec<_> = state
                        .all()
                        .map(|(resource, object)| (resource.clone(), Arc::clone(object)))
                        .collect();
                    drop(state);
                    tokio::task::spawn_blocking(move || {
                        let _ = send.send(persist::snapshot(revision, &objects));
                    });
                    self.compaction = Some(Compaction { encoded, since: Vec::new() });
                }
            }
            Some(compaction) => match compaction.encoded.try_recv() {
                Ok(mut records) => {
                    records.append(&mut compaction.since);
                    let ticket = self.log.compact(records);
                    self.compaction = None;
                    self.compacting.store(true, Ordering::Release);
                    let compacting = Arc::clone(&self.compacting);
                    tokio::spawn(async move {
                        if let Err(err) = ticket.await {
                            let error = fixpoint_base::Chain(&err).to_string();
                            tracing::warn!(error, "the log could not be compacted");
                        }
                        compacting.store(false, Ordering::Release);
                    });
                }
                Err(oneshot::error::TryRecvError::Empty) => {}
                Err(oneshot::error::TryRecvError::Closed) => self.compaction = None,
            },
        }
    }
}

/// The state with the batch that is being decided on top of it.
struct Head<'a> {
    state: &'a State,
    changed: HashMap<(Resource, Name), Option<Arc<Object>>>,
}

impl Head<'_> {
    fn get(&self, resource: &Resource, name: &Name) -> Option<&Arc<Object>> {
        match self.changed.get(&(resource.clone(), name.clone())) {
            Some(changed) => changed.as_ref(),
            None => self.state.get(resource, name),
        }
    }

    fn decide(&mut self, write: &mut Write, revision: u64) -> Result<Applied, Refused> {
        let Write { resource, name, expect, change, meta, guards } = write;
        let found = self.get(resource, name).map(|object| object.revision);
        if found != *expect {
            return Err(Refused::Stale);
        }
        for guard in guards.iter() {
            self.check(guard)?;
        }
        let (kind, value) = match change {
            Change::Put(value) if expect.is_none() => (EventKind::Added, value),
            Change::Put(value) => (EventKind::Modified, value),
            Change::Remove(value) => (EventKind::Deleted, value),
        };
        let object = Arc::new(seal(kind, revision, name.clone(), meta.clone(), value));
        let after = (kind != EventKind::Deleted).then(|| Arc::clone(&object));
        self.changed.insert((resource.clone(), name.clone()), after);
        Ok(Applied { resource: resource.clone(), kind, object })
    }

    fn check(&self, guard: &Guard) -> Result<(), Refused> {
        let exists = match guard {
            Guard::Alive(resource, name) => match self.get(resource, name) {
                Some(object) if !object.deleting => return Ok(()),
                found => found.is_some(),
            },
            Guard::Empty(namespace) => {
                let in_batch = self
                    .changed
                    .iter()
                    .any(|((_, name), object)| name.namespace == *namespace && object.is_some());
                let gone = |resource: &Resource, name: &Name| {
                    matches!(self.changed.get(&(resource.clone(), name.clone())), Some(None))
                };
                let page = super::state::Page { namespace: Some(namespace.clone()), after: None };
                let in_state = self.state.tables().any(|(resource, count)| {
                    count > 0 && self.state.range(resource, &page).any(|o| !gone(resource, &o.name))
                });
                if !in_batch && !in_state {
                    return Ok(());
                }
                true
            }
        };
        Err(Refused::Guard { guard: guard.clone(), exists })
    }
}

/// Writes the revision into an object and turns it into bytes.
fn seal(kind: EventKind, revision: u64, name: Name, meta: Meta, value: &mut Value) -> Object {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), revision.to_string().into());
    }
    let json = serde_json::to_vec(value).expect("a JSON value has string keys");
    Object::new(kind, revision, name, meta, &json)
}
