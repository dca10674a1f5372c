//! What a ledger's folder holds after whatever happened to it.
//!
//! In: tail, checkpoint and the right edge of the tiles. Out: a writer that goes on where the last
//! acknowledged entry was. The tail is what counts; what it has, tiles and bundles are made from
//! again. A checkpoint that says more than there is, or other than there is, is never overwritten.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use fixpoint_base::{Digest, Secret};
use fixpoint_ledger::entry::Entry;
use fixpoint_ledger::merkle;
use fixpoint_ledger::note::Checkpoint;
use fixpoint_ledger::tiles::{Edge, WIDTH};

use super::tail::{self, Head, Record};
use super::worker::Worker;
use super::{LEDGER, LedgerError, Shared, Shelf, TAIL, View, keys, short};
use crate::disk::{Below, Disk};
use crate::log::{Log, LogOptions};

/// Opens the ledger on a disk.
pub fn open(disk: Arc<dyn Disk>, name: &str) -> Result<(Worker, Secret<[u8; 32]>), LedgerError> {
    disk.make_dir(TAIL).map_err(|err| LedgerError::io(name, err))?;
    let below = Below::new(Arc::clone(&disk), TAIL);
    let tail_name = format!("{name}/tail");
    let (log, records) = Log::open_on(Arc::new(below), &tail_name, LogOptions::default())?;
    let shelf = Shelf::new(Arc::clone(&disk));
    let note = shelf.checkpoint()?;
    let is_new = records.is_empty() && note.is_none();
    let keys = keys::open(&*disk, is_new)?;
    let checkpoint = note
        .map(|note| Checkpoint::open(&note, keys.signer.verifier()))
        .transpose()
        .map_err(|err| LedgerError::tampered(err.to_string()))?;
    let view = load(&shelf, &records, checkpoint.as_ref())?;
    disk.sync_dir(LEDGER).map_err(|err| LedgerError::io(LEDGER, err))?;
    let shared = Arc::new(Shared { shelf, signer: keys.signer, view: RwLock::new(view) });
    Ok((Worker::new(shared, log), keys.realm))
}

/// The entries and bodies of a tail, and where it begins.
pub struct Tail {
    pub head: Head,
    pub texts: Vec<Vec<u8>>,
    pub bodies: Vec<Vec<u8>>,
}

/// Reads the records of a tail.
pub fn read_tail(records: &[Vec<u8>]) -> Result<Tail, LedgerError> {
    let head = Head { size: 0, root: merkle::empty_root(), subjects: Default::default() };
    let mut tail = Tail { head, texts: Vec::new(), bodies: Vec::new() };
    for (at, record) in records.iter().enumerate() {
        match tail::read(record) {
            Some(Record::Head(head)) if at == 0 => tail.head = head,
            Some(Record::Entries { first, texts, bodies })
                if first == tail.head.size + tail.texts.len() as u64 =>
            {
                tail.texts.extend(texts);
                tail.bodies.extend(bodies);
            }
            _ => return Err(LedgerError::tampered(format!("record {at} of the tail is strange"))),
        }
    }
    Ok(tail)
}

fn load(
    shelf: &Shelf,
    records: &[Vec<u8>],
    checkpoint: Option<&Checkpoint>,
) -> Result<View, LedgerError> {
    let Tail { head, texts, bodies } = read_tail(records)?;
    let mut edge = Edge::load(head.size, |level, tile, width| shelf.tile(level, tile, width))?;
    if edge.root() != head.root {
        return Err(LedgerError::tampered("the tiles do not have the root that the tail says"));
    }
    let covered = checkpoint.map_or(0, |checkpoint| checkpoint.size);
    if covered < head.size {
        return Err(LedgerError::tampered(format!(
            "the checkpoint covers {covered} entries and there were {} once",
            head.size
        )));
    }
    let recent_from = head.size / WIDTH * WIDTH;
    let mut recent = match head.size - recent_from {
        0 => Vec::new(),
        width => shelf.bundle(recent_from / WIDTH, width)?,
    };
    check_bundle(&edge, &recent)?;
    check_root(checkpoint, &edge)?;
    let mut subjects = head.subjects;
    for text in &texts {
        let index = edge.size();
        let entry = Entry::read(text)
            .map_err(|err| LedgerError::tampered(format!("entry {index}: {err}")))?;
        subjects.insert(entry.subject, index);
        edge.push(merkle::leaf(text));
        check_root(checkpoint, &edge)?;
    }
    if covered > edge.size() {
        return Err(LedgerError::tampered(format!(
            "the checkpoint covers {covered} entries and only {} are there",
            edge.size()
        )));
    }
    recent.extend(texts);
    let bodies: HashMap<Digest, Arc<[u8]>> =
        bodies.into_iter().map(|body| (Digest::of(&body), body.into())).collect();
    Ok(View { edge, recent_from, recent, published: head.size, subjects, bodies })
}

/// The entries of an unfinished bundle are those that the unfinished tile has hashes of.
fn check_bundle(edge: &Edge, texts: &[Vec<u8>]) -> Result<(), LedgerError> {
    let tile = edge.partial().find(|tile| tile.level == 0);
    let hashes = tile.map(|tile| tile.hashes).unwrap_or_default();
    let same = hashes.iter().zip(texts).all(|(hash, text)| *hash == merkle::leaf(text));
    if same && hashes.len() == texts.len() {
        Ok(())
    } else {
        Err(LedgerError::tampered("the last bundle does not have the entries of the last tile"))
    }
}

fn check_root(checkpoint: Option<&Checkpoint>, edge: &Edge) -> Result<(), LedgerError> {
    match checkpoint {
        Some(Checkpoint { size, root, .. }) if *size == edge.size() && *root != edge.root() => {
            Err(LedgerError::tampered(format!(
                "the checkpoint over {size} entries has root {} and the entries have {}",
                short(root),
                short(&edge.root())
            )))
        }
        _ => Ok(()),
    }
}
