//! Keeps what was fetched of one repository on disk.
//!
//! In: packs as a server sends them. Out: objects. A mirror is a cache: it can be deleted at any
//! time, and is, when it is broken or has grown too large. Nothing in it is ever read as
//! configuration, run, or checked out.
//!
//! One mirror has two stores: `content`, whose commits have their files, and `history`, whose
//! commits have none. They are kept apart because a server that hears of a commit here assumes
//! that its files are here too.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use fixpoint_base::Limits;
use fixpoint_source::StoreError;
use gix_hash::ObjectId;

use crate::content::Blobs;
use crate::meter::{Meter, plain};
use crate::objects::max_object_bytes;
use crate::protocol::Boundary;

/// Packs of one store; with more, looking an object up gets slow.
const MAX_PACKS: usize = 50;

/// Bytes of one store; what is no longer pointed to is never removed singly.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// Tips that are told to the server; it needs one that is close, not all.
const MAX_TIPS: usize = 32;

/// Where the boundary is written down.
const STATE: &str = "state";

/// The two stores of one repository.
#[derive(Debug)]
pub(crate) struct Mirror {
    dir: PathBuf,
    /// Commits with their files.
    pub(crate) content: Shelf,
    /// Commits only.
    pub(crate) history: Shelf,
    /// Files of the version read last.
    pub(crate) blobs: Blobs,
    /// A commit that was found to be on a branch, and the tip that the branch had.
    pub(crate) on_branch: Option<(ObjectId, ObjectId)>,
}

impl Mirror {
    /// Opens the mirror in a folder; makes nothing yet.
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self {
            content: Shelf::at(dir.join("content")),
            history: Shelf::at(dir.join("history")),
            blobs: Blobs::default(),
            on_branch: None,
            dir,
        }
    }

    /// Whether nothing was fetched yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.content.tips.is_empty() && self.history.tips.is_empty()
    }

    /// Deletes everything.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        remove(&self.dir)?;
        *self = Self::at(std::mem::take(&mut self.dir));
        Ok(())
    }
}

/// Packs, and up to where their history reaches.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    /// Commits that were asked for, latest last: everything they need is here, up to the boundary.
    tips: Vec<ObjectId>,
    /// Commits whose parents are not here.
    shallow: BTreeSet<ObjectId>,
}

impl Shelf {
    fn at(dir: PathBuf) -> Self {
        let text = fs::read_to_string(dir.join(STATE)).unwrap_or_default();
        let ids = |word: &str| {
            text.lines()
                .filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '))
                .filter_map(|hex| ObjectId::from_hex(hex.as_bytes()).ok())
                .collect::<Vec<_>>()
        };
        let (tips, shallow) = (ids("tip"), ids("shallow").into_iter().collect());
        Self { dir, tips, shallow }
    }

    /// The folder of the objects, if anything was fetched.
    pub(crate) fn objects(&self) -> Option<&Path> {
        self.dir.join("pack").is_dir().then_some(self.dir.as_path())
    }

    /// Whether a commit was fetched with all that belongs to it.
    pub(crate) fn has(&self, id: &ObjectId) -> bool {
        self.tips.contains(id)
    }

    /// Commits to tell the server of.
    pub(crate) fn tips(&self) -> &[ObjectId] {
        &self.tips
    }

    /// Where the history ends.
    pub(crate) fn shallow(&self) -> Vec<ObjectId> {
        self.shallow.iter().copied().collect()
    }

    /// Deletes everything when there is too much of it.
    pub(crate) fn make_room(&mut self) -> io::Result<()> {
        let (mut packs, mut bytes) = (0, 0);
        for entry in fs::read_dir(self.dir.join("pack")).into_iter().flatten() {
            let entry = entry?;
            bytes += entry.metadata()?.len();
            packs += usize::from(entry.path().extension().is_some_and(|ext| ext == "pack"));
        }
        if packs > MAX_PACKS || bytes > MAX_BYTES {
            tracing::debug!(packs, bytes, dir = %self.dir.display(), "starting the mirror anew");
            remove(&self.dir)?;
            *self = Self::at(std::mem::take(&mut self.dir));
        }
        Ok(())
    }

    /// Takes a pack in, checks every object in it against its id, and remembers what came.
    ///
    /// # Errors
    /// When it is broken, an object in it is too large, or the time is over.
    pub(crate) fn receive(
        &mut self,
        pack: impl Read,
        boundary: &Boundary,
        wanted: &[ObjectId],
        limits: &Limits,
        meter: &Meter,
    ) -> Result<(), StoreError> {
        store_pack(pack, &self.dir, limits, meter)?;
        // A tip that is fetched again moves to the end.
        self.tips.retain(|tip| !wanted.contains(tip));
        self.tips.extend(wanted);
        self.tips.drain(..self.tips.len().saturating_sub(MAX_TIPS));
        self.shallow.extend(&boundary.shallow);
        for id in &boundary.unshallow {
            self.shallow.remove(id);
        }
        self.write_state().map_err(|err| meter.local(err))
    }

    /// Written after the pack: a crash between the two costs a second fetch and nothing else.
    fn write_state(&self) -> io::Result<()> {
        let mut text = String::new();
        for id in &self.tips {
            text.push_str(&format!("tip {id}\n"));
        }
        for id in &self.shallow {
            text.push_str(&format!("shallow {id}\n"));
        }
        let new = self.dir.join("state.new");
        fs::write(&new, text)?;
        fs::rename(new, self.dir.join(STATE))
    }
}

/// Writes a pack with an index. What it is a difference to must be in the same folder, and is
/// copied into it, so that each pack stands alone.
fn store_pack(
    pack: impl Read,
    dir: &Path,
    limits: &Limits,
    meter: &Meter,
) -> Result<(), StoreError> {
    let packs = dir.join("pack");
    fs::create_dir_all(&packs).map_err(|err| meter.local(err))?;
    let here = gix_odb::at(dir, gix_hash::Kind::Sha1).map_err(|err| meter.local(err))?;
    let options = gix_pack::bundle::write::Options {
        alloc_limit_bytes: Some(max_object_bytes(limits)),
        thread_limit: Some(2),
        ..Default::default()
    };
    let over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let (done, wait) = mpsc::channel::<()>();
        let over = &over;
        let watch = move || {
            if wait.recv_timeout(meter.remaining()) == Err(mpsc::RecvTimeoutError::Timeout) {
                over.store(true, Ordering::Relaxed);
            }
        };
        // Unpacking deltas can outlast the download and looks at no clock; this does.
        let _watch = scope.spawn(watch);
        let written = gix_pack::Bundle::write_to_directory(
            &mut BufReader::with_capacity(64 * 1024, pack),
            Some(&packs),
            &mut gix_utils::progress::Discard,
            over,
            Some(here),
            gix_hash::Kind::Sha1,
            options,
        );
        drop(done);
        written
    });
    let written = written.map_err(|err| {
        let text = plain(&err.to_string(), 200);
        match meter.kept() {
            Some(reason) => reason,
            None if over.load(Ordering::Relaxed) => meter.timeout(),
            None if err.is_resource_exhausted() => {
                meter.limit(format!("one object unpacks to {} bytes", max_object_bytes(limits)))
            }
            None => meter.corrupt(format!("the pack is broken: {text}")),
        }
    })?;
    if let Some(keep) = written.keep_path {
        fs::remove_file(keep).map_err(|err| meter.local(err))?;
    }
    Ok(())
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}
