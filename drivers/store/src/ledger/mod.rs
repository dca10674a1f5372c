//! The ledger on disk: a Merkle log in tlog-tiles layout behind a tail that makes it durable.
//!
//! In: drafts of entries. Out: receipts and permits, each after its entry is on disk. An entry is
//! first durable in the tail (one sync for all that wait) and only then in bundles, tiles and the
//! signed checkpoint, which may lag: whatever they lack is made again from the tail. What neither
//! a crash nor a full disk can explain is refused as tampering, never mended.

mod keys;
mod open;
mod shelf;
mod tail;
mod verify;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::thread::JoinHandle;

use fixpoint_base::{Class, Classified, Digest, Secret, digest::hex};
use fixpoint_ledger::entry::{Draft, Entry, EntryError};
use fixpoint_ledger::merkle::Hash;
use fixpoint_ledger::note::{Checkpoint, NoteError, Signer, VerifierKey};
use fixpoint_ledger::permit::{Intent, Permit, Receipt};
use fixpoint_ledger::tiles::{Edge, Tiles, WIDTH};
use fixpoint_ledger::{Replay, merkle};
use tokio::sync::oneshot;

pub use verify::{Report, Whole, read, read_whole, verify, verify_on};

use crate::disk::{Disk, Folder, Memory};
use crate::log::{Log, LogError};
use shelf::Shelf;
use worker::{Request, Worker};

/// Why the ledger cannot be opened, extended or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The tail failed.
    #[error("the ledger could not be written or read")]
    Log(#[from] LogError),
    /// The entry is not one.
    #[error("the ledger does not take the entry")]
    Entry(#[source] Arc<EntryError>),
    /// A body is larger than the ledger keeps.
    #[error("a body of {bytes} bytes is over the ledger's limit of {limit} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Something is other than it was when the ledger wrote it.
    #[error("the ledger was changed from outside: {what}")]
    Tampered {
        /// What does not fit.
        what: String,
    },
    /// The key cannot be used.
    #[error("the ledger's key in {file} cannot be used: {reason}")]
    Key {
        /// Its file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The system refused.
    #[error("could not access {file}")]
    Io {
        /// The file.
        file: String,
        /// What it said.
        #[source]
        source: Arc<io::Error>,
    },
    /// There is no such entry.
    #[error("the ledger has no entry {0}")]
    NoSuchEntry(u64),
    /// The ledger was closed.
    #[error("the ledger is closed")]
    Closed,
}

impl LedgerError {
    fn io(file: &str, source: io::Error) -> Self {
        Self::Io { file: file.to_owned(), source: Arc::new(source) }
    }

    fn tampered(what: impl Into<String>) -> Self {
        Self::Tampered { what: what.into() }
    }
}

impl From<EntryError> for LedgerError {
    fn from(err: EntryError) -> Self {
        Self::Entry(Arc::new(err))
    }
}

impl Classified for LedgerError {
    fn class(&self) -> Class {
        match self {
            Self::Log(err) => err.class(),
            Self::Entry(err) => err.class(),
            Self::Io { .. } | Self::Closed => Class::Transient,
            Self::TooLarge { .. } | Self::Tampered { .. } | Self::Key { .. } => Class::Refused,
            Self::NoSuchEntry(_) => Class::User,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Log(err) => err.hint(),
            Self::Tampered { .. } => Some(
                "run `fixpoint ledger verify` on it, keep it as evidence, and restore a backup"
                    .to_owned(),
            ),
            Self::Key { .. } => Some("restore the key from a backup".to_owned()),
            Self::Entry(_)
            | Self::TooLarge { .. }
            | Self::Io { .. }
            | Self::NoSuchEntry(_)
            | Self::Closed => None,
        }
    }
}

/// Folders below the data directory.
const LEDGER: &str = "ledger";
const TAIL: &str = "ledger/tail";
const CHECKPOINT: &str = "checkpoint";
/// Bytes of the list of steps of one intent: more than 100,000 of them.
const BODY_BYTES: usize = 32 << 20;

/// One entry with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// Where it is.
    pub index: u64,
    /// What it says.
    pub entry: Entry,
}

/// Proof that an entry is in the log that a checkpoint describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Where the entry is.
    pub index: u64,
    /// Its canonical text.
    pub text: Vec<u8>,
    /// The hashes beside its way to the root.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl Proof {
    /// Whether it holds under a key.
    ///
    /// # Errors
    /// When the checkpoint is not what the key signs.
    pub fn check(&self, key: &VerifierKey) -> Result<bool, NoteError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        let leaf = merkle::leaf(&self.text);
        let Checkpoint { size, root, .. } = checkpoint;
        Ok(merkle::verify_inclusion(&leaf, self.index, size, &self.path, &root))
    }
}

/// What is durable, as readers see it.
struct View {
    edge: Edge,
    /// Index of the first entry in `recent`; a multiple of 256, and all before it is in bundles.
    recent_from: u64,
    recent: Vec<Vec<u8>>,
    /// How many entries the checkpoint on disk covers.
    published: u64,
    subjects: BTreeMap<String, u64>,
    /// Bodies that are durable in the tail only.
    bodies: HashMap<Digest, Arc<[u8]>>,
}

struct Shared {
    shelf: Shelf,
    signer: Signer,
    view: RwLock<View>,
}

impl Shared {
    fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn checkpoint(&self, edge: &Edge) -> Checkpoint {
        let origin = self.signer.verifier().name().to_owned();
        Checkpoint { origin, size: edge.size(), root: edge.root() }
    }
}

enum Sequencer {
    /// One thread owns the tail; requests that wait share its next write.
    Thread { requests: Mutex<Option<mpsc::Sender<Request>>>, thread: Mutex<Option<JoinHandle<()>>> },
    /// No thread and no disk: for the simulation.
    Inline(Mutex<Worker>),
}

struct Inner {
    shared: Arc<Shared>,
    sequencer: Sequencer,
    realm_key: Secret<[u8; 32]>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Sequencer::Thread { requests, thread } = &self.sequencer {
            requests.lock().unwrap_or_else(PoisonError::into_inner).take();
            let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if thread.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("the ledger's writer ended in a panic");
            }
        }
    }
}

/// The ledger; clones are the same one, and dropping the last writes the checkpoint.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({} entries)", self.size())
    }
}

impl Ledger {
    /// Opens or makes the ledger below a data directory; its keys are in `keys/` there.
    ///
    /// # Errors
    /// When another process has it, the disk fails, or it is other than it was left.
    pub async fn open(dir: &Path) -> Result<Self, LedgerError> {
        let dir = dir.to_owned();
        let name = dir.join(LEDGER).display().to_string();
        tokio::task::spawn_blocking(move || {
            let disk = Folder::open(&dir).map_err(|err| LedgerError::io(&name, err))?;
            Self::open_on(Arc::new(disk), &name)
        })
        .await
        .unwrap_or(Err(LedgerError::Closed))
    }

    /// As [`Ledger::open`], on any disk; blocks.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_on(disk: Arc<dyn Disk>, name: &str) -> Result<Self, LedgerError> {
        let (worker, realm_key) = open::open(disk, name)?;
        let shared = Arc::clone(&worker.shared);
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || worker.run(&receiver))
            .map_err(|err| LedgerError::io(name, err))?;
        let sequencer = Sequencer::Thread {
            requests: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
        };
        Ok(Self { inner: Arc::new(Inner { shared, sequencer, realm_key }) })
    }

    /// A ledger that is gone with the process, for the simulation: no thread, no disk, and the
    /// same keys for the same seed.
    pub fn in_memory(seed: [u8; 32]) -> Self {
        let signer = Signer::new("fixpoint/00000000-0000-4000-8000-000000000000/1", seed)
            .expect("the name is fit for a key and 32 bytes make a seed");
        let shared = Arc::new(Shared {
            shelf: Shelf::new(Arc::new(Memory::default())),
            signer,
            view: RwLock::new(View::empty()),
        });
        let worker = Worker::new(Arc::clone(&shared), Log::in_memory());
        let realm_key = Secret::new(*Digest::of(&seed).as_bytes());
        let sequencer = Sequencer::Inline(Mutex::new(worker));
        Self { inner: Arc::new(Inner { shared, sequencer, realm_key }) }
    }

    /// Appends an entry; returns when it is durable.
    ///
    /// Before the first entry goes `genesis`, with the same time. Cancel-safe in that the entry
    /// may be in the log even if nobody waits for the receipt any more.
    ///
    /// # Errors
    /// When the entry is malformed or could not be made durable; nothing is recorded then.
    pub async fn append(&self, draft: Draft) -> Result<Receipt, LedgerError> {
        self.send(draft, None).await
    }

    /// Appends an entry together with a body that it names by its digest.
    ///
    /// # Errors
    /// As [`Ledger::append`], and when the body is too large.
    pub async fn append_with(&self, draft: Draft, body: Vec<u8>) -> Result<Receipt, LedgerError> {
        let (bytes, limit) = (body.len(), BODY_BYTES);
        if bytes > limit {
            return Err(LedgerError::TooLarge { bytes, limit });
        }
        self.send(draft, Some(body)).await
    }

    /// Makes an intent durable, with its list of steps, and gives the permit to carry it out.
    ///
    /// # Errors
    /// When it could not be made durable; there is no permit then.
    pub async fn commit(&self, intent: Intent) -> Result<Permit, LedgerError> {
        let receipt = self.append_with(intent.draft(), intent.body()).await?;
        Ok(Permit::issue(intent, receipt))
    }

    /// Writes bundles, tiles and the checkpoint for all that is durable; they lag otherwise.
    ///
    /// # Errors
    /// When the disk refuses; the entries are durable all the same.
    pub async fn publish(&self) -> Result<(), LedgerError> {
        let (done, answer) = oneshot::channel();
        self.request(Request::Publish { done })?;
        answer.await.unwrap_or(Err(LedgerError::Closed))
    }

    async fn send(&self, draft: Draft, body: Option<Vec<u8>>) -> Result<Receipt, LedgerError> {
        let (done, answer) = oneshot::channel();
        self.request(Request::Append { draft, body, done })?;
        answer.await.unwrap_or(Err(LedgerError::Closed))
    }

    fn request(&self, request: Request) -> Result<(), LedgerError> {
        match &self.inner.sequencer {
            Sequencer::Thread { requests, .. } => requests
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_ref()
                .and_then(|requests| requests.send(request).ok())
                .ok_or(LedgerError::Closed),
            Sequencer::Inline(worker) => {
                worker.lock().unwrap_or_else(PoisonError::into_inner).process(vec![request]);
                Ok(())
            }
        }
    }

    /// How many entries are durable.
    pub fn size(&self) -> u64 {
        self.inner.shared.view().edge.size()
    }

    /// The key that checks the checkpoints.
    pub fn key(&self) -> &VerifierKey {
        self.inner.shared.signer.verifier()
    }

    /// Keys the digests of secrets, so that they cannot be guessed from the log.
    pub fn realm_key(&self) -> &[u8; 32] {
        self.inner.realm_key.expose("the digests of secrets are keyed with it")
    }

    /// A signed checkpoint of all that is durable.
    pub fn checkpoint(&self) -> String {
        let shared = &self.inner.shared;
        let checkpoint = shared.checkpoint(&shared.view().edge);
        checkpoint.sign(&shared.signer)
    }

    /// The entries of a range, as far as there are any.
    ///
    /// # Errors
    /// When a bundle cannot be read.
    pub fn entries(&self, range: Range<u64>) -> Result<Vec<Indexed>, LedgerError> {
        let to = range.end.min(self.size());
        let texts = self.texts(range.start..to)?;
        (range.start..to).zip(texts).map(|(index, text)| indexed(index, &text)).collect()
    }

    /// The last entries, oldest first.
    ///
    /// # Errors
    /// When a bundle cannot be read.
    pub fn tail(&self, count: u64) -> Result<Vec<Indexed>, LedgerError> {
        let size = self.size();
        self.entries(size.saturating_sub(count)..size)
    }

    /// The last entries of one subject, oldest first, by walking its chain.
    ///
    /// # Errors
    /// When a bundle cannot be read.
    pub fn subject(&self, subject: &str, count: usize) -> Result<Vec<Indexed>, LedgerError> {
        let mut next = self.inner.shared.view().subjects.get(subject).copied();
        let mut found = Vec::new();
        while let Some(index) = next
            && found.len() < count
        {
            let text = self.texts(index..index + 1)?;
            let text = text.first().ok_or(LedgerError::NoSuchEntry(index))?;
            let one = indexed(index, text)?;
            // A chain only leads back: one that does not would go round for ever.
            next = one.entry.prev.filter(|prev| *prev < index);
            found.push(one);
        }
        found.reverse();
        Ok(found)
    }

    /// What the engine must remember, from all entries.
    ///
    /// # Errors
    /// When a bundle cannot be read.
    pub fn replay(&self) -> Result<Replay, LedgerError> {
        let mut replay = Replay::default();
        let size = self.size();
        let mut from = 0;
        while from < size {
            let to = (from + WIDTH).min(size);
            for Indexed { index, entry } in self.entries(from..to)? {
                replay.entry(index, &entry);
            }
            from = to;
        }
        Ok(replay)
    }

    /// The body that an entry names by its digest.
    ///
    /// # Errors
    /// When it cannot be read or is not what its digest says.
    pub fn body(&self, digest: &Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        if let Some(body) = self.inner.shared.view().bodies.get(digest) {
            return Ok(Some(body.to_vec()));
        }
        self.inner.shared.shelf.blob(digest)
    }

    /// Proves that an entry is in the log; writes the checkpoint that it refers to first.
    ///
    /// # Errors
    /// When there is no such entry, or the disk refuses.
    pub async fn prove(&self, index: u64) -> Result<Proof, LedgerError> {
        self.publish().await?;
        let shelf = &self.inner.shared.shelf;
        // The one on disk, not one of now: the tiles may not have what came since.
        let checkpoint = shelf.checkpoint()?.ok_or(LedgerError::NoSuchEntry(index))?;
        let size = Checkpoint::open(&checkpoint, self.key())
            .map_err(|err| LedgerError::tampered(err.to_string()))?
            .size;
        if index >= size {
            return Err(LedgerError::NoSuchEntry(index));
        }
        let text = self.texts(index..index + 1)?.pop();
        let text = text.ok_or(LedgerError::NoSuchEntry(index))?;
        let nodes = Tiles::new(size, |level, tile, width| shelf.tile(level, tile, width));
        let path = merkle::inclusion(&nodes, index, size)?;
        Ok(Proof { index, text, path, checkpoint })
    }

    /// Writes the checkpoint and checks all that is on disk against it, byte by byte, while the
    /// ledger goes on.
    ///
    /// # Errors
    /// When the disk refuses. What is wrong with the ledger is in the report.
    pub async fn verify(&self) -> Result<Report, LedgerError> {
        self.publish().await?;
        let (disk, key) = (self.inner.shared.shelf.disk(), self.key().clone());
        let has_tail = matches!(self.inner.sequencer, Sequencer::Thread { .. });
        tokio::task::spawn_blocking(move || verify::look(disk, Some(&key), has_tail))
            .await
            .unwrap_or(Err(LedgerError::Closed))
    }

    /// Canonical texts of a range that is within the log.
    fn texts(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, LedgerError> {
        let shared = &self.inner.shared;
        let mut texts = Vec::new();
        let mut at = range.start;
        while at < range.end {
            {
                let view = shared.view();
                if at >= view.recent_from {
                    let from = (at - view.recent_from) as usize;
                    let count = (range.end - at) as usize;
                    texts.extend(view.recent.iter().skip(from).take(count).cloned());
                    break;
                }
            }
            let bundle = shared.shelf.bundle(at / WIDTH, WIDTH)?;
            let end = (at / WIDTH * WIDTH + WIDTH).min(range.end);
            let from = (at % WIDTH) as usize;
            texts.extend(bundle.into_iter().skip(from).take((end - at) as usize));
            at = end;
        }
        Ok(texts)
    }
}

impl View {
    fn empty() -> Self {
        Self {
            edge: Edge::default(),
            recent_from: 0,
            recent: Vec::new(),
            published: 0,
            subjects: BTreeMap::new(),
            bodies: HashMap::new(),
        }
    }
}

fn indexed(index: u64, text: &[u8]) -> Result<Indexed, LedgerError> {
    let entry = Entry::read(text)
        .map_err(|err| LedgerError::tampered(format!("entry {index} cannot be read: {err}")))?;
    Ok(Indexed { index, entry })
}

/// A hash for a person: its first twelve digits.
fn short(hash: &Hash) -> String {
    hex(&hash[..6])
}
