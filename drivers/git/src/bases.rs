//! Keeps objects that others are differences to.
//!
//! In: objects as they are unpacked, by their place in a pack. Out: the same bytes, for those used
//! lately. It never holds more than its room, whatever a pack has in it.

use std::collections::BTreeMap;

use gix_object::Kind;
use gix_pack::cache::DecodeEntry;

/// Bytes kept unpacked.
pub(crate) const ROOM: usize = 64 * 1024 * 1024;

/// What an entry takes beside its content, about: many small objects need room too.
const ENTRY: usize = 128;

/// Which pack, and where in it.
type Place = (u32, u64);

/// Objects used lately, in two halves: when the young one is full it becomes the old one, and
/// what nobody asked for meanwhile is dropped.
pub(crate) struct Bases {
    young: BTreeMap<Place, Base>,
    old: BTreeMap<Place, Base>,
    /// What the young half takes.
    taken: usize,
    half: usize,
}

struct Base {
    kind: Kind,
    packed: usize,
    data: Box<[u8]>,
}

impl Bases {
    /// Holds nothing yet.
    pub(crate) fn new(room: usize) -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new(), taken: 0, half: room / 2 }
    }

    fn keep(&mut self, place: Place, base: Base) {
        let size = base.data.len() + ENTRY;
        if self.taken + size > self.half {
            self.old = std::mem::take(&mut self.young);
            self.taken = 0;
        }
        if self.young.insert(place, base).is_none() {
            self.taken += size;
        }
    }
}

impl Base {
    fn copy(&self, out: &mut Vec<u8>) -> (Kind, usize) {
        out.clear();
        out.extend_from_slice(&self.data);
        (self.kind, self.packed)
    }
}

impl DecodeEntry for Bases {
    fn put(&mut self, pack_id: u32, offset: u64, data: &[u8], kind: Kind, compressed_size: usize) {
        if data.len() + ENTRY <= self.half {
            let base = Base { kind, packed: compressed_size, data: data.into() };
            self.keep((pack_id, offset), base);
        }
    }

    fn get(&mut self, pack_id: u32, offset: u64, out: &mut Vec<u8>) -> Option<(Kind, usize)> {
        let place = (pack_id, offset);
        if let Some(base) = self.young.get(&place) {
            return Some(base.copy(out));
        }
        let base = self.old.remove(&place)?;
        let found = base.copy(out);
        self.keep(place, base);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room for four objects of [`SIZE`] bytes, two in each half.
    fn four() -> Bases {
        Bases::new(4 * (SIZE + ENTRY))
    }

    const SIZE: usize = 1000;

    fn put(bases: &mut Bases, offset: u64) {
        bases.put(7, offset, &[offset as u8; SIZE], Kind::Blob, 10);
    }

    fn has(bases: &mut Bases, offset: u64) -> bool {
        let mut out = b"left over".to_vec();
        match bases.get(7, offset, &mut out) {
            Some(found) => {
                assert_eq!(found, (Kind::Blob, 10));
                assert_eq!(out, [offset as u8; SIZE]);
                true
            }
            None => false,
        }
    }

    #[test]
    fn what_was_put_comes_back_from_its_place_only() {
        let mut bases = four();
        put(&mut bases, 1);
        assert!(has(&mut bases, 1));
        assert!(!has(&mut bases, 2));
        assert_eq!(bases.get(8, 1, &mut Vec::new()), None, "another pack");
    }

    #[test]
    fn what_is_used_outlives_what_is_not() {
        let mut bases = four();
        for offset in 1..=9 {
            put(&mut bases, offset);
            assert!(has(&mut bases, 1), "after {offset}");
        }
        assert!(!has(&mut bases, 2));
        assert!(has(&mut bases, 9));
    }

    #[test]
    fn never_more_than_the_room_is_held() {
        let mut bases = four();
        for offset in 0..100 {
            put(&mut bases, offset);
            put(&mut bases, offset / 2);
            has(&mut bases, offset / 3);
            assert!(bases.young.len() <= 2 && bases.old.len() <= 2, "after {offset}");
        }
    }

    #[test]
    fn an_object_larger_than_half_the_room_is_not_kept() {
        let mut bases = four();
        put(&mut bases, 1);
        bases.put(7, 2, &[0; 3 * SIZE], Kind::Blob, 10);
        assert!(!has(&mut bases, 2));
        assert!(has(&mut bases, 1), "and drops nothing");
    }

    #[test]
    fn many_empty_objects_take_room_too() {
        let mut bases = four();
        for offset in 0..10_000 {
            bases.put(7, offset, &[], Kind::Blob, 1);
        }
        assert!(bases.young.len() + bases.old.len() <= 4 * (SIZE + ENTRY) / ENTRY);
    }
}
