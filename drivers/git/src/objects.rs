//! Reads Git objects from a folder of packs and loose objects.
//!
//! In: an id. Out: the object's bytes, checked against the id on every read, so that a flipped bit
//! on disk is an error and never content. Sizes are known before anything is unpacked. No
//! configuration is read, and no folder is looked into but those of submodules that were fetched.

use std::collections::BTreeMap;
use std::path::Path;

use fixpoint_base::Limits;
use fixpoint_source::StoreError;
use fixpoint_source::store::OBJECT_BYTES;
use gix_hash::ObjectId;
use gix_object::{Find as _, Kind};
use gix_odb::Header as _;

use crate::bases::{self, Bases};
use crate::meter::Meter;
use crate::submodules::Mounts;

/// Every object may be this large, whatever the limits: trees and commits need room too.
const MIN_OBJECT_BYTES: u64 = 16 * 1024 * 1024;

/// The objects of one folder.
pub(crate) struct Objects<'a> {
    odb: gix_odb::Handle,
    /// Other folders: those of submodules.
    others: Vec<gix_odb::Handle>,
    /// The folder that stands for each commit of a submodule.
    mounted: BTreeMap<ObjectId, ObjectId>,
    meter: &'a Meter,
}

/// Bytes that one object may unpack to: one that is larger than a whole tree may be can never be
/// part of one.
pub(crate) fn max_object_bytes(limits: &Limits) -> usize {
    usize::try_from(limits.tree_bytes.max(MIN_OBJECT_BYTES)).unwrap_or(usize::MAX)
}

impl<'a> Objects<'a> {
    /// Opens the folder that holds `pack/` and the loose objects.
    ///
    /// # Errors
    /// When it is no such folder, or borrows objects from another one.
    pub(crate) fn open(dir: &Path, limits: &Limits, meter: &'a Meter) -> Result<Self, StoreError> {
        let odb = Self::folder(dir, limits, meter)?;
        Ok(Self { odb, others: Vec::new(), mounted: BTreeMap::new(), meter })
    }

    /// Puts submodules where their commits are named. An id is that of one content only, whatever
    /// folder it is found in.
    pub(crate) fn mount(mut self, mounts: &Mounts, limits: &Limits) -> Result<Self, StoreError> {
        for dir in &mounts.dirs {
            self.others.push(Self::folder(dir, limits, self.meter)?);
        }
        self.mounted.clone_from(&mounts.trees);
        Ok(self)
    }

    /// The folder that stands for the commit of a submodule, if it was put there.
    pub(crate) fn mounted(&self, commit: &ObjectId) -> Option<ObjectId> {
        self.mounted.get(commit).copied()
    }

    fn folder(dir: &Path, limits: &Limits, meter: &Meter) -> Result<gix_odb::Handle, StoreError> {
        let options = gix_odb::store::init::Options {
            alloc_limit_bytes: Some(max_object_bytes(limits)),
            ..Default::default()
        };
        // Checked first: opening already looks into the folders that are borrowed from.
        if dir.join("info/alternates").exists() {
            return Err(StoreError::Unsupported {
                what: "a repository that borrows objects (objects/info/alternates)".to_owned(),
            });
        }
        let mut odb = gix_odb::at_opts(dir, gix_hash::Kind::Sha1, None, options)
            .map_err(|err| meter.local(err))?;
        odb.set_pack_cache(|| Box::new(Bases::new(bases::ROOM)));
        Ok(odb)
    }

    fn all(&self) -> impl Iterator<Item = &gix_odb::Handle> {
        std::iter::once(&self.odb).chain(&self.others)
    }

    /// The kind and size of an object, without unpacking it.
    pub(crate) fn header(&self, id: &ObjectId) -> Result<Option<(Kind, u64)>, StoreError> {
        for odb in self.all() {
            if let Some(found) = odb.try_header(id).map_err(|err| self.broken(id, &err))? {
                return Ok(Some((found.kind(), found.size())));
            }
        }
        Ok(None)
    }

    /// The content of an object; `None` when it is not here.
    pub(crate) fn read(&self, id: &ObjectId) -> Result<Option<(Kind, Vec<u8>)>, StoreError> {
        self.meter.check()?;
        for odb in self.all() {
            let mut buffer = Vec::new();
            let found = odb.try_find(id, &mut buffer).map_err(|err| self.broken(id, &err))?;
            if let Some(data) = found {
                let kind = data.kind;
                self.check(id, kind, data.data)?;
                return Ok(Some((kind, buffer)));
            }
        }
        Ok(None)
    }

    fn check(&self, id: &ObjectId, kind: Kind, data: &[u8]) -> Result<(), StoreError> {
        let actual = gix_object::compute_hash(gix_hash::Kind::Sha1, kind, data)
            .map_err(|err| self.broken(id, &err))?;
        if actual != *id {
            return Err(self.meter.corrupt(format!("object {id} has the content of {actual}")));
        }
        Ok(())
    }

    /// The content of an object that must be here and of one kind.
    pub(crate) fn require(&self, id: &ObjectId, wanted: Kind) -> Result<Vec<u8>, StoreError> {
        match self.read(id)? {
            Some((kind, data)) if kind == wanted => Ok(data),
            Some((kind, _)) => {
                Err(self.meter.corrupt(format!("object {id} is a {kind} where a {wanted} belongs")))
            }
            None => Err(self.meter.corrupt(format!("object {id} is missing"))),
        }
    }

    /// A commit or tag object, which must be here and no longer than any real one.
    pub(crate) fn small(&self, id: &ObjectId, wanted: Kind) -> Result<Vec<u8>, StoreError> {
        match self.header(id)? {
            Some((_, size)) if size > OBJECT_BYTES => {
                Err(self.meter.limit(format!("{wanted} {id} has more than {OBJECT_BYTES} bytes")))
            }
            _ => self.require(id, wanted),
        }
    }

    /// The objects of a version, byte for byte.
    pub(crate) fn raw(
        &self,
        commit: &ObjectId,
        tag: Option<&ObjectId>,
    ) -> Result<fixpoint_source::Objects, StoreError> {
        Ok(fixpoint_source::Objects {
            commit: self.small(commit, Kind::Commit)?,
            tag: tag.map(|tag| self.small(tag, Kind::Tag)).transpose()?,
        })
    }

    /// The meter of the operation.
    pub(crate) fn meter(&self) -> &'a Meter {
        self.meter
    }

    fn broken(&self, id: &ObjectId, err: &impl std::fmt::Display) -> StoreError {
        let reason = crate::meter::plain(&err.to_string(), 200);
        self.meter.corrupt(format!("object {id} cannot be read: {reason}"))
    }
}
