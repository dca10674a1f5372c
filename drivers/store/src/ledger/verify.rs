//! Whether a ledger on disk is what it was when it was written.
//!
//! In: a folder, which may be in use. Out: a report; nothing is changed. Every byte counts: each
//! entry is hashed, each tile compared, the checkpoint's signature checked, and then the entries
//! are read for what they say together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fixpoint_base::{Chain, Digest, digest::hex};
use fixpoint_ledger::audit::Audit;
use fixpoint_ledger::entry::{Body, Entry};
use fixpoint_ledger::merkle;
use fixpoint_ledger::note::{Checkpoint, VerifierKey};
use fixpoint_ledger::tiles::{self, Edge, Tile, WIDTH};

use super::open::{Tail, read_tail};
use super::{CHECKPOINT, Indexed, LedgerError, Shelf, TAIL};
use crate::disk::{Below, Disk, Folder};
use crate::log::Log;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Which log.
    pub origin: String,
    /// The key that its checkpoints are signed with, as its first entry has it. To be sure of
    /// the log, compare it with what you wrote down.
    pub key: String,
    /// Entries found.
    pub size: u64,
    /// The root over all of them, in hex.
    pub root: String,
    /// Entries that the signed checkpoint covers.
    pub signed: u64,
    /// Entries by kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Intents without outcome: runs that go on, or that a crash cut off.
    pub open: Vec<u64>,
    /// A file whose end is not whole: being written just now, or torn by a crash.
    pub unfinished: Option<String>,
    /// Everything that is wrong.
    pub problems: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks the ledger below a data directory; `key` is what its checkpoints must be signed with,
/// where that is known from elsewhere.
///
/// # Errors
/// When the disk cannot be read. What is wrong with the ledger is in the report.
pub fn verify(dir: &Path, key: Option<&VerifierKey>) -> Result<Report, LedgerError> {
    verify_on(Arc::new(Folder::existing(dir)), key)
}

/// Reads the entries of the ledger below a data directory as they are: nothing is locked, mended or
/// written, so that evidence stays what it is.
///
/// # Errors
/// When the disk cannot be read, or the ledger is not sound: entries of such a one prove nothing.
pub fn read(dir: &Path) -> Result<Vec<Indexed>, LedgerError> {
    read_whole(dir).map(|whole| whole.entries)
}

/// All that a ledger says.
#[derive(Debug, Clone, Default)]
pub struct Whole {
    /// Its entries in order.
    pub entries: Vec<Indexed>,
    /// The list of steps of each intent, by its digest.
    pub bodies: BTreeMap<Digest, Vec<u8>>,
}

/// As [`read`], with the bodies that the entries name.
///
/// # Errors
/// As [`read`].
pub fn read_whole(dir: &Path) -> Result<Whole, LedgerError> {
    let mut check = Check::new(Arc::new(Folder::existing(dir)), true);
    check.kept = Some(Whole::default());
    let (report, whole) = check.run_keeping(None)?;
    match report.problems.first() {
        None => Ok(whole),
        Some(problem) => Err(LedgerError::tampered(problem.clone())),
    }
}

/// How often a ledger that grows meanwhile is looked at again.
const LOOKS: usize = 3;

/// As [`verify`], on any disk.
///
/// # Errors
/// As [`verify`].
pub fn verify_on(disk: Arc<dyn Disk>, key: Option<&VerifierKey>) -> Result<Report, LedgerError> {
    look(disk, key, true)
}

/// `has_tail` is whether there must be a tail: a ledger in memory keeps none.
pub fn look(
    disk: Arc<dyn Disk>,
    key: Option<&VerifierKey>,
    has_tail: bool,
) -> Result<Report, LedgerError> {
    let mut look = 1;
    loop {
        let before = Shelf::new(Arc::clone(&disk)).checkpoint();
        let report = Check::new(Arc::clone(&disk), has_tail).run(key);
        let after = Shelf::new(Arc::clone(&disk)).checkpoint();
        let moved = before.ok() != after.ok();
        match report {
            Ok(report) if report.is_sound() || !moved || look == LOOKS => return Ok(report),
            Err(err) if !moved || look == LOOKS => return Err(err),
            _ => look += 1,
        }
    }
}

struct Check {
    disk: Arc<dyn Disk>,
    has_tail: bool,
    shelf: Shelf,
    report: Report,
    audit: Audit,
    edge: Edge,
    /// The root at the size of the checkpoint.
    signed: Option<Checkpoint>,
    plans: BTreeSet<Digest>,
    /// What was read so far, where somebody wants it.
    kept: Option<Whole>,
}

impl Check {
    fn new(disk: Arc<dyn Disk>, has_tail: bool) -> Self {
        Self {
            has_tail,
            shelf: Shelf::new(Arc::clone(&disk)),
            disk,
            report: Report::default(),
            audit: Audit::default(),
            edge: Edge::default(),
            signed: None,
            plans: BTreeSet::new(),
            kept: None,
        }
    }

    fn problem(&mut self, what: impl Into<String>) {
        self.report.problems.push(what.into());
    }

    fn run(self, key: Option<&VerifierKey>) -> Result<Report, LedgerError> {
        self.run_keeping(key).map(|(report, _)| report)
    }

    fn run_keeping(mut self, key: Option<&VerifierKey>) -> Result<(Report, Whole), LedgerError> {
        let tail = self.tail()?;
        let size = tail.head.size + tail.texts.len() as u64;
        self.checkpoint(&tail, key)?;
        let signed = self.signed.as_ref().map_or(0, |checkpoint| checkpoint.size);
        if signed > size && self.has_tail {
            self.problem(format!("the checkpoint covers {signed} entries, and {size} are there"));
        }
        let size = size.max(signed);
        for bundle in 0..size.div_ceil(WIDTH) {
            let width = tiles::width(0, bundle, size);
            let texts = self.bundle(bundle, width, signed.max(tail.head.size), &tail)?;
            for text in &texts {
                self.entry(text, &tail)?;
            }
        }
        self.partial_tiles(signed)?;
        self.bodies(&tail)?;
        let Self { mut report, audit, edge, kept, .. } = self;
        report.size = edge.size();
        report.root = hex(&edge.root());
        report.open = audit.open_intents().collect();
        report.problems.extend(audit.finish().iter().map(ToString::to_string));
        Ok((report, kept.unwrap_or_default()))
    }

    fn tail(&mut self) -> Result<Tail, LedgerError> {
        let below = Below::new(Arc::clone(&self.disk), TAIL);
        let records = match Log::read(&below, TAIL) {
            Ok((records, torn)) => {
                self.report.unfinished = torn;
                records
            }
            Err(err) => {
                self.problem(Chain(&err).to_string());
                Vec::new()
            }
        };
        match read_tail(&records) {
            Ok(tail) => Ok(tail),
            Err(err) => {
                self.problem(err.to_string());
                read_tail(&[])
            }
        }
    }

    /// The key is that of the first entry; one that is given must be the same.
    fn checkpoint(&mut self, tail: &Tail, key: Option<&VerifierKey>) -> Result<(), LedgerError> {
        let first = match self.shelf.bundle(0, 1) {
            Ok(mut texts) => texts.pop(),
            Err(_) if tail.head.size == 0 => tail.texts.first().cloned(),
            Err(_) => None,
        };
        let genesis = first.and_then(|text| match Entry::read(&text).ok()?.body {
            Body::Genesis(genesis) => Some(genesis),
            _ => None,
        });
        let note = match self.shelf.checkpoint() {
            Ok(note) => note,
            Err(err) => {
                self.problem(err.to_string());
                return Ok(());
            }
        };
        let Some(genesis) = genesis else {
            if note.is_some() || tail.head.size > 0 || !tail.texts.is_empty() {
                self.problem("there is no first entry that names the key");
            }
            return Ok(());
        };
        self.report.origin = genesis.origin.clone();
        self.report.key = genesis.key.clone();
        let own = match genesis.key.parse::<VerifierKey>() {
            Ok(own) => own,
            Err(err) => {
                self.problem(format!("the first entry: {err}"));
                return Ok(());
            }
        };
        if key.is_some_and(|key| *key != own) {
            self.problem("the log is signed with another key than the one that was given");
        }
        match note.map(|note| Checkpoint::open(&note, key.unwrap_or(&own))) {
            None if tail.head.size > 0 => self.problem("the checkpoint is missing"),
            None => {}
            Some(Err(err)) => self.problem(err.to_string()),
            Some(Ok(checkpoint)) => {
                self.report.signed = checkpoint.size;
                self.signed = Some(checkpoint);
            }
        }
        Ok(())
    }

    /// The entries of a bundle: from the files as far as they must be there, else from the tail.
    /// Every file there is must say the same.
    fn bundle(
        &mut self,
        bundle: u64,
        width: u64,
        filed: u64,
        tail: &Tail,
    ) -> Result<Vec<Vec<u8>>, LedgerError> {
        let from = bundle * WIDTH;
        let covered = tiles::width(0, bundle, filed);
        let mut texts = match self.shelf.bundle(bundle, covered) {
            Ok(texts) => texts,
            Err(err) => {
                self.problem(err.to_string());
                Vec::new()
            }
        };
        for index in from + texts.len() as u64..from + width {
            let Some(text) = in_tail(tail, index) else {
                self.problem(format!("entry {index} is missing"));
                break;
            };
            texts.push(text.clone());
        }
        self.compare_bundles(bundle, &texts)?;
        Ok(texts)
    }

    fn compare_bundles(&mut self, bundle: u64, texts: &[Vec<u8>]) -> Result<(), LedgerError> {
        let full = tiles::bundle_path(bundle, WIDTH);
        for width in self.shelf.widths(&full)?.into_iter().chain([WIDTH]) {
            let path = tiles::bundle_path(bundle, width);
            let Some(bytes) = self.shelf.raw(&path)? else { continue };
            let mut expected = Vec::new();
            for text in texts.iter().take(width as usize) {
                tiles::push_entry(&mut expected, text);
            }
            if bytes != expected || width > texts.len() as u64 {
                self.problem(format!("{path} does not have the entries of the log"));
            }
        }
        Ok(())
    }

    fn entry(&mut self, text: &[u8], tail: &Tail) -> Result<(), LedgerError> {
        let index = self.edge.size();
        if index == tail.head.size && self.edge.root() != tail.head.root {
            self.problem("the entries before the tail are not those that it follows");
        }
        if in_tail(tail, index).is_some_and(|other| other != text) {
            self.problem(format!("entry {index} differs between the tail and its bundle"));
        }
        match Entry::read(text) {
            Ok(entry) => {
                *self.report.kinds.entry(entry.body.kind()).or_default() += 1;
                if let Body::Intent(intent) = &entry.body {
                    self.plans.insert(intent.plan);
                }
                self.audit.entry(&entry);
                if let Some(kept) = &mut self.kept {
                    kept.entries.push(Indexed { index, entry });
                }
            }
            Err(err) => self.problem(format!("entry {index}: {}", Chain(&err))),
        }
        for tile in self.edge.push(merkle::leaf(text)) {
            self.compare_tile(&tile)?;
        }
        if let Some(Checkpoint { size, root, .. }) = &self.signed
            && *size == self.edge.size()
            && *root != self.edge.root()
        {
            self.problem(format!("the {size} entries do not have the root that was signed"));
        }
        Ok(())
    }

    /// Each file of a tile must have the hashes of the tree, as many as its name says.
    fn compare_tile(&mut self, tile: &Tile) -> Result<(), LedgerError> {
        let Tile { level, index, hashes } = tile;
        let full = tiles::tile_path(*level, *index, WIDTH);
        for width in self.shelf.widths(&full)?.into_iter().chain([WIDTH]) {
            let path = tiles::tile_path(*level, *index, width);
            let Some(bytes) = self.shelf.raw(&path)? else { continue };
            let expected = hashes.iter().take(width as usize).copied().collect::<Vec<_>>();
            if bytes != tiles::join_tile(&expected) || width > hashes.len() as u64 {
                self.problem(format!("{path} does not have the hashes of the entries"));
            }
        }
        let signed = self.signed.as_ref().map_or(0, |checkpoint| checkpoint.size);
        let needed = tiles::width(*level, *index, signed);
        if needed > 0 && self.shelf.tile(*level, *index, needed).is_err() {
            self.problem(format!("{} is missing", tiles::tile_path(*level, *index, needed)));
        }
        Ok(())
    }

    fn partial_tiles(&mut self, signed: u64) -> Result<(), LedgerError> {
        let partial: Vec<Tile> = self.edge.partial().collect();
        for tile in &partial {
            self.compare_tile(tile)?;
        }
        if self.signed.is_some() && signed == 0 {
            self.problem(format!("{CHECKPOINT} covers nothing"));
        }
        Ok(())
    }

    /// The list of steps of each intent must be there: in a file, or still in the tail.
    fn bodies(&mut self, tail: &Tail) -> Result<(), LedgerError> {
        let waiting: BTreeMap<Digest, &[u8]> =
            tail.bodies.iter().map(|body| (Digest::of(body), body.as_slice())).collect();
        for plan in std::mem::take(&mut self.plans) {
            let filed = match self.shelf.blob(&plan) {
                Ok(filed) => filed,
                Err(err) => {
                    self.problem(err.to_string());
                    continue;
                }
            };
            match (filed.or_else(|| waiting.get(&plan).map(|body| body.to_vec())), &mut self.kept) {
                (None, _) => self.problem(format!("the plan {plan} is missing")),
                (Some(body), Some(kept)) => drop(kept.bodies.insert(plan, body)),
                (Some(_), None) => {}
            }
        }
        Ok(())
    }
}

fn in_tail(tail: &Tail, index: u64) -> Option<&Vec<u8>> {
    tail.texts.get(index.checked_sub(tail.head.size)? as usize)
}
