//! Bundles, tiles, checkpoint and bodies as files.
//!
//! In: what is durable in the tail already. Out: files that anybody can fetch and check. Each is
//! put in place whole, so a reader sees an old file or a new one and nothing between.

use std::io;
use std::sync::Arc;

use fixpoint_base::Digest;
use fixpoint_ledger::merkle::Hash;
use fixpoint_ledger::note::NOTE_BYTES;
use fixpoint_ledger::tiles::{self, ENTRY_BYTES, Tile, WIDTH};

use super::{BODY_BYTES, CHECKPOINT, LEDGER, LedgerError};
use crate::disk::{self, Disk};

/// The files of one ledger.
#[derive(Clone)]
pub struct Shelf {
    disk: Arc<dyn Disk>,
}

const TILE_BYTES: u64 = 32 * WIDTH;
const BUNDLE_BYTES: u64 = (2 + ENTRY_BYTES as u64) * WIDTH;

impl Shelf {
    /// Takes the files below `ledger/` and `blobs/` of a disk.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    /// The disk itself.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), LedgerError> {
        let put = || -> io::Result<()> {
            self.disk.make_dir(disk::parent(path))?;
            disk::replace(&*self.disk, path, bytes)
        };
        put().map_err(|err| LedgerError::io(path, err))
    }

    fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, LedgerError> {
        disk::read(&*self.disk, path, limit).map_err(|err| LedgerError::io(path, err))
    }

    /// Writes a tile.
    pub fn put_tile(&self, tile: &Tile) -> Result<(), LedgerError> {
        let Tile { level, index, hashes } = tile;
        let path = tiles::tile_path(*level, *index, hashes.len() as u64);
        self.put(&in_ledger(&path), &tiles::join_tile(hashes))
    }

    /// Writes a bundle.
    pub fn put_bundle(&self, index: u64, texts: &[Vec<u8>]) -> Result<(), LedgerError> {
        let mut bundle = Vec::new();
        for text in texts {
            tiles::push_entry(&mut bundle, text);
        }
        self.put(&in_ledger(&tiles::bundle_path(index, texts.len() as u64)), &bundle)
    }

    /// Writes the checkpoint.
    pub fn put_checkpoint(&self, note: &str) -> Result<(), LedgerError> {
        self.put(&in_ledger(CHECKPOINT), note.as_bytes())
    }

    /// Reads the checkpoint; `None` where there is none.
    pub fn checkpoint(&self) -> Result<Option<String>, LedgerError> {
        let Some(bytes) = self.get(&in_ledger(CHECKPOINT), NOTE_BYTES as u64)? else {
            return Ok(None);
        };
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| LedgerError::tampered("the checkpoint is not text"))
    }

    /// Writes a body.
    pub fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), LedgerError> {
        self.put(&blob_path(digest), bytes)
    }

    /// Reads a body and checks it; `None` where there is none.
    pub fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        let found = self.get(&blob_path(digest), BODY_BYTES as u64)?;
        match found {
            Some(bytes) if Digest::of(&bytes) != *digest => {
                Err(LedgerError::tampered(format!("the body {digest} has other content")))
            }
            found => Ok(found),
        }
    }

    /// The first `width` hashes of a tile, from any file that has as many.
    pub fn tile(&self, level: u32, index: u64, width: u64) -> Result<Vec<Hash>, LedgerError> {
        let path = |width| tiles::tile_path(level, index, width);
        let bytes = self.widest(path, width, TILE_BYTES)?;
        let mut hashes = bytes.and_then(|bytes| tiles::split_tile(&bytes)).unwrap_or_default();
        if (hashes.len() as u64) < width {
            return Err(LedgerError::tampered(format!("{} is missing or short", path(width))));
        }
        hashes.truncate(width as usize);
        Ok(hashes)
    }

    /// The first `width` entries of a bundle, from any file that has as many.
    pub fn bundle(&self, index: u64, width: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        let path = |width| tiles::bundle_path(index, width);
        let bytes = self.widest(path, width, BUNDLE_BYTES)?.unwrap_or_default();
        let mut texts: Vec<Vec<u8>> = tiles::split_bundle(&bytes)
            .unwrap_or_default()
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect();
        if (texts.len() as u64) < width {
            return Err(LedgerError::tampered(format!("{} is missing or short", path(width))));
        }
        texts.truncate(width as usize);
        Ok(texts)
    }

    fn widest(
        &self,
        path: impl Fn(u64) -> String,
        width: u64,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        if let Some(bytes) = self.get(&in_ledger(&path(WIDTH)), limit)? {
            return Ok(Some(bytes));
        }
        match self.widths(&path(WIDTH))?.last() {
            Some(widest) if *widest >= width => self.get(&in_ledger(&path(*widest)), limit),
            _ => Ok(None),
        }
    }

    /// How wide the partial files of a tile or bundle are, narrowest first.
    pub fn widths(&self, full: &str) -> Result<Vec<u64>, LedgerError> {
        let dir = in_ledger(&format!("{full}.p"));
        let files = self.disk.list(&dir).map_err(|err| LedgerError::io(&dir, err))?;
        let mut widths: Vec<u64> = files.iter().filter_map(|(name, _)| name.parse().ok()).collect();
        widths.sort_unstable();
        Ok(widths)
    }

    /// A file of the ledger as it is.
    pub fn raw(&self, path: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.get(&in_ledger(path), BUNDLE_BYTES)
    }

    /// Removes the partial files of a tile or bundle that are narrower than what there is now.
    ///
    /// They cost space only: failing to remove them is no failure.
    pub fn forget_narrower(&self, full: &str, width: u64) {
        let Ok(widths) = self.widths(full) else { return };
        for old in widths.into_iter().filter(|old| *old < width) {
            self.disk.remove(&in_ledger(&format!("{full}.p/{old}"))).ok();
        }
        if width == WIDTH {
            self.disk.remove_dir(&in_ledger(&format!("{full}.p"))).ok();
        }
    }
}

fn in_ledger(path: &str) -> String {
    format!("{LEDGER}/{path}")
}

fn blob_path(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("blobs/sha256/{}/{hex}", &hex[..2])
}
