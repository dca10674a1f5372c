//! The one that gives entries their places.
//!
//! In: requests, many at a time. Out: one write to the tail for all of them, then their receipts,
//! then, when there is leisure or enough, bundles, tiles and checkpoint. Nothing is visible to
//! readers before it is durable; when the write fails nothing has happened.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, mpsc};
use std::time::{Duration, Instant};

use fixpoint_base::{Chain, Digest};
use fixpoint_ledger::entry::{Body, Draft, Entry, Genesis};
use fixpoint_ledger::merkle;
use fixpoint_ledger::permit::Receipt;
use fixpoint_ledger::tiles::{self, Edge, WIDTH};
use tokio::sync::oneshot;

use super::tail::{self, Head};
use super::{LedgerError, Shared};
use crate::log::Log;

/// What is asked of the writer.
pub enum Request {
    /// Record an entry, with the body that it names.
    Append { draft: Draft, body: Option<Vec<u8>>, done: oneshot::Sender<Answer> },
    /// Write bundles, tiles and checkpoint.
    Publish { done: oneshot::Sender<Result<(), LedgerError>> },
}

type Answer = Result<Receipt, LedgerError>;

/// Bundles and checkpoint follow after this much quiet.
const LEISURE: Duration = Duration::from_secs(1);
/// Without any quiet they follow after this long, or after this many entries. Writing them costs
/// a few dozen syncs in which no entry is taken, so a burst is let through first.
const LATEST: Duration = Duration::from_secs(10);
const MOST: u64 = 16 * WIDTH;
/// One write takes at most this many entries, usually of half a kilobyte, never over 64.
const BATCH: usize = 256;
/// Once one write has this many bytes of bodies it takes no more. With the last body (32 MiB) and
/// the entries (16 MiB) it stays below the 64 MiB of a record.
const BATCH_BYTES: usize = 8 << 20;
/// The tail forgets what is published once it is this long.
const TAIL_BYTES: u64 = 8 << 20;
/// Whose entry `genesis` is.
const REALM: &str = "ledger";

/// Owns the tail.
pub struct Worker {
    pub shared: Arc<Shared>,
    log: Log,
    tail_bytes: u64,
}

/// Entries that wait for one write.
#[derive(Default)]
struct Staged {
    texts: Vec<Vec<u8>>,
    bodies: Vec<Vec<u8>>,
    subjects: BTreeMap<String, u64>,
    waiting: Vec<(u64, oneshot::Sender<Answer>)>,
}

impl Worker {
    /// Goes on where the view ends.
    pub fn new(shared: Arc<Shared>, log: Log) -> Self {
        Self { shared, log, tail_bytes: TAIL_BYTES }
    }

    /// Lets the tail forget earlier or later than usual.
    #[cfg(test)]
    pub fn with_tail_bytes(self, tail_bytes: u64) -> Self {
        Self { tail_bytes, ..self }
    }

    /// Works until nobody can ask any more; publishes at the end.
    pub fn run(mut self, requests: &mpsc::Receiver<Request>) {
        let mut behind_since = None;
        loop {
            // With nothing to publish there is nothing to wake up for.
            let request = match self.lag() {
                0 => requests.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                _ => requests.recv_timeout(LEISURE),
            };
            match request {
                Ok(first) => {
                    let mut bytes = first.body_bytes();
                    let mut batch = vec![first];
                    while batch.len() < BATCH
                        && bytes < BATCH_BYTES
                        && let Ok(request) = requests.try_recv()
                    {
                        bytes += request.body_bytes();
                        batch.push(request);
                    }
                    self.process(batch);
                    let since = *behind_since.get_or_insert_with(Instant::now);
                    if self.lag() >= MOST || since.elapsed() >= LATEST {
                        self.publish_or_say();
                        behind_since = None;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.publish_or_say();
                    behind_since = None;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        self.publish_or_say();
    }

    /// Entries that the checkpoint on disk does not cover.
    fn lag(&self) -> u64 {
        let view = self.shared.view();
        view.edge.size() - view.published
    }

    fn publish_or_say(&mut self) {
        if self.lag() > 0
            && let Err(err) = self.publish()
        {
            tracing::warn!(error = %Chain(&err), "checkpoint not written; the entries are safe");
        }
    }

    /// Makes a batch durable and answers everybody in it.
    pub fn process(&mut self, batch: Vec<Request>) {
        let mut staged = Staged::default();
        let mut publish = Vec::new();
        for request in batch {
            match request {
                Request::Append { draft, body, done } => {
                    match self.stage(&mut staged, draft) {
                        Ok(index) => {
                            staged.bodies.extend(body);
                            staged.waiting.push((index, done));
                        }
                        // Nobody waits any more: nothing to tell. So below.
                        Err(err) => drop(done.send(Err(err))),
                    }
                }
                Request::Publish { done } => publish.push(done),
            }
        }
        if !staged.texts.is_empty() {
            self.commit(staged);
        }
        for done in publish {
            let result = self.publish();
            done.send(result).ok();
        }
    }

    /// Gives a draft its place behind what is staged already.
    fn stage(&self, staged: &mut Staged, draft: Draft) -> Result<u64, LedgerError> {
        let base = self.shared.view().edge.size();
        if base == 0 && staged.texts.is_empty() {
            let genesis = self.genesis(&draft.time);
            self.place(staged, genesis, 0)?;
        }
        self.place(staged, draft, base)
    }

    fn place(&self, staged: &mut Staged, draft: Draft, base: u64) -> Result<u64, LedgerError> {
        let index = base + staged.texts.len() as u64;
        let prev = match staged.subjects.get(&draft.subject) {
            Some(prev) => Some(*prev),
            None => self.shared.view().subjects.get(&draft.subject).copied(),
        };
        let (entry, text) = Entry::seal(draft, prev)?;
        staged.texts.push(text);
        staged.subjects.insert(entry.subject, index);
        Ok(index)
    }

    fn genesis(&self, time: &str) -> Draft {
        let key = self.shared.signer.verifier();
        Draft {
            time: time.to_owned(),
            actor: "engine".to_owned(),
            subject: REALM.to_owned(),
            body: Body::Genesis(Genesis {
                origin: key.name().to_owned(),
                key: key.to_string(),
                predecessor: None,
            }),
        }
    }

    fn commit(&mut self, staged: Staged) {
        let Staged { texts, bodies, subjects, waiting } = staged;
        let base = self.shared.view().edge.size();
        let record = tail::write_entries(base, &texts, &bodies);
        if let Err(err) = self.log.append(record).wait() {
            for (_, done) in waiting {
                done.send(Err(err.clone().into())).ok();
            }
            return;
        }
        let leaves: Vec<merkle::Hash> = texts.iter().map(|text| merkle::leaf(text)).collect();
        {
            let mut view = self.shared.view.write().unwrap_or_else(PoisonError::into_inner);
            for leaf in &leaves {
                view.edge.push(*leaf);
            }
            view.recent.extend(texts);
            view.subjects.extend(subjects);
            view.bodies.extend(bodies.into_iter().map(|body| (Digest::of(&body), body.into())));
        }
        for (index, done) in waiting {
            let leaf = leaves[(index - base) as usize];
            done.send(Ok(Receipt::after_sync(index, leaf))).ok();
        }
    }

    /// Writes bundles, tiles, bodies and, when all of those are durable, the checkpoint.
    fn publish(&mut self) -> Result<(), LedgerError> {
        let (edge, from, bodies) = {
            let view = self.shared.view();
            if view.published == view.edge.size() {
                return Ok(());
            }
            (view.edge.clone(), view.recent_from, view.bodies.clone())
        };
        let shelf = &self.shared.shelf;
        for (digest, body) in &bodies {
            shelf.put_blob(digest, body)?;
        }
        self.put_bundles(from, edge.size())?;
        self.put_tiles(from, &edge)?;
        let note = self.shared.checkpoint(&edge).sign(&self.shared.signer);
        shelf.put_checkpoint(&note)?;
        self.settle(&edge, &bodies.into_keys().collect::<Vec<_>>());
        self.forget_narrower(from, edge.size());
        self.shorten_tail(&edge)
    }

    fn put_bundles(&self, from: u64, size: u64) -> Result<(), LedgerError> {
        for bundle in from / WIDTH..size.div_ceil(WIDTH) {
            let first = (bundle * WIDTH - from) as usize;
            let width = tiles::width(0, bundle, size) as usize;
            let texts: Vec<Vec<u8>> = self.shared.view().recent[first..first + width].to_vec();
            self.shared.shelf.put_bundle(bundle, &texts)?;
        }
        Ok(())
    }

    /// Tiles that became full since `from`, and those that are unfinished.
    fn put_tiles(&self, from: u64, edge: &Edge) -> Result<(), LedgerError> {
        let shelf = &self.shared.shelf;
        let mut behind = Edge::load(from, |level, tile, width| shelf.tile(level, tile, width))?;
        let leaves: Vec<merkle::Hash> =
            self.shared.view().recent.iter().map(|text| merkle::leaf(text)).collect();
        for leaf in leaves.into_iter().take((edge.size() - from) as usize) {
            for tile in behind.push(leaf) {
                shelf.put_tile(&tile)?;
            }
        }
        if behind != *edge {
            return Err(LedgerError::tampered("the tiles on disk are not those that were written"));
        }
        for tile in edge.partial() {
            shelf.put_tile(&tile)?;
        }
        Ok(())
    }

    /// Lets readers go to the files for what is in them now.
    fn settle(&self, edge: &Edge, bodies: &[Digest]) {
        let mut view = self.shared.view.write().unwrap_or_else(PoisonError::into_inner);
        let from = edge.size() / WIDTH * WIDTH;
        let gone = (from - view.recent_from) as usize;
        view.recent.drain(..gone);
        view.recent_from = from;
        view.published = edge.size();
        view.bodies.retain(|digest, _| !bodies.contains(digest));
    }

    fn forget_narrower(&self, from: u64, size: u64) {
        let shelf = &self.shared.shelf;
        for bundle in from / WIDTH..size.div_ceil(WIDTH) {
            let width = tiles::width(0, bundle, size);
            shelf.forget_narrower(&tiles::bundle_path(bundle, WIDTH), width);
        }
        let (mut level, mut first) = (0, from / WIDTH);
        while tiles::width(level, 0, size) > 0 {
            let mut tile = first;
            loop {
                let width = tiles::width(level, tile, size);
                if width == 0 {
                    break;
                }
                shelf.forget_narrower(&tiles::tile_path(level, tile, WIDTH), width);
                tile += 1;
            }
            level += 1;
            first /= WIDTH;
        }
    }

    /// Once everything is in files the tail may begin anew.
    fn shorten_tail(&self, edge: &Edge) -> Result<(), LedgerError> {
        if self.log.size() <= self.tail_bytes {
            return Ok(());
        }
        let subjects = self.shared.view().subjects.clone();
        let head = Head { size: edge.size(), root: edge.root(), subjects };
        let record =
            tail::write_head(&head).map_err(|err| LedgerError::io("ledger/tail", err.into()))?;
        self.log.compact(vec![record]).wait()?;
        Ok(())
    }
}

impl Request {
    fn body_bytes(&self) -> usize {
        match self {
            Self::Append { body: Some(body), .. } => body.len(),
            Self::Append { body: None, .. } | Self::Publish { .. } => 0,
        }
    }
}
