//! The static layout of the log: C2SP tlog-tiles.
//!
//! In: leaf hashes in order. Out: tiles of 256 hashes and bundles of 256 entries, and the paths at
//! which anybody can fetch them. A tile that is full never changes.

use crate::merkle::{self, Hash, Nodes, node, perfect};

/// Hashes in a full tile, and entries in a full bundle.
pub const WIDTH: u64 = 256;
/// Levels of the tree that one level of tiles spans.
const HEIGHT: u32 = 8;
/// Longest entry that a bundle can hold.
pub const ENTRY_BYTES: usize = 65_535;

/// Where a tile of hashes is; a partial one says how wide it is.
pub fn tile_path(level: u32, index: u64, width: u64) -> String {
    format!("tile/{level}/{}", with_width(index, width))
}

/// Where a bundle of entries is.
pub fn bundle_path(index: u64, width: u64) -> String {
    format!("tile/entries/{}", with_width(index, width))
}

fn with_width(index: u64, width: u64) -> String {
    let number = number(index);
    if width == WIDTH { number } else { format!("{number}.p/{width}") }
}

/// Three digits a folder, all but the last marked with an `x`: `x001/x234/067`.
fn number(mut index: u64) -> String {
    let mut text = format!("{:03}", index % 1000);
    while index >= 1000 {
        index /= 1000;
        text = format!("x{:03}/{text}", index % 1000);
    }
    text
}

/// How wide the tile at `(level, index)` is in a tree of `size` leaves; 0 where it has none.
pub fn width(level: u32, index: u64, size: u64) -> u64 {
    let hashes = size.checked_shr(HEIGHT * level).unwrap_or(0);
    hashes.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH)
}

/// Appends an entry to a bundle; entries are at most [`ENTRY_BYTES`] long.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) {
    bundle.extend_from_slice(&(entry.len() as u16).to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// Takes a bundle apart; `None` when it is not made of whole entries.
pub fn split_bundle(mut bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bundle.is_empty() {
        let (len, rest) = bundle.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        entries.push(entry);
        bundle = rest;
    }
    Some(entries)
}

/// Writes the hashes of a tile.
pub fn join_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

/// Reads the hashes of a tile; `None` when it is not made of whole hashes.
pub fn split_tile(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| hashes.to_vec())
}

/// A full tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Its level: 0 holds the leaves.
    pub level: u32,
    /// Its place in the level.
    pub index: u64,
    /// Its 256 hashes.
    pub hashes: Vec<Hash>,
}

/// The right edge of the tree: all that is needed to append and to know the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edge {
    size: u64,
    /// The unfinished tile of each level, possibly empty.
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// Reads the edge of a tree of `size` leaves; `read` gives the first `width` hashes of a tile.
    ///
    /// # Errors
    /// What `read` gives.
    pub fn load<E>(
        size: u64,
        mut read: impl FnMut(u32, u64, u64) -> Result<Vec<Hash>, E>,
    ) -> Result<Self, E> {
        let mut levels = Vec::new();
        let mut hashes = size;
        while hashes > 0 {
            let level = levels.len() as u32;
            let width = hashes % WIDTH;
            levels.push(if width == 0 { Vec::new() } else { read(level, hashes / WIDTH, width)? });
            hashes /= WIDTH;
        }
        Ok(Self { size, levels })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf and gives the tiles that became full.
    pub fn push(&mut self, leaf: Hash) -> Vec<Tile> {
        let mut full = Vec::new();
        let mut carried = Some(leaf);
        let mut level = 0;
        self.size += 1;
        while let Some(hash) = carried.take() {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(hash);
            if self.levels[level].len() as u64 == WIDTH {
                let hashes = std::mem::take(&mut self.levels[level]);
                carried = Some(perfect(&hashes));
                let index = (self.size >> (HEIGHT * (level as u32 + 1))) - 1;
                full.push(Tile { level: level as u32, index, hashes });
            }
            level += 1;
        }
        full
    }

    /// The unfinished tiles, lowest level first.
    pub fn partial(&self) -> impl Iterator<Item = Tile> {
        self.levels.iter().enumerate().filter(|(_, hashes)| !hashes.is_empty()).map(
            |(level, hashes)| Tile {
                level: level as u32,
                index: self.size >> (HEIGHT * (level as u32 + 1)),
                hashes: hashes.clone(),
            },
        )
    }

    /// The root.
    pub fn root(&self) -> Hash {
        let mut complete = Vec::new();
        for hashes in self.levels.iter().rev() {
            let mut rest = &hashes[..];
            while let Some(bits) = rest.len().checked_ilog2() {
                let (subtree, more) = rest.split_at(1 << bits);
                complete.push(perfect(subtree));
                rest = more;
            }
        }
        complete
            .into_iter()
            .rev()
            .reduce(|right, left| node(&left, &right))
            .unwrap_or_else(merkle::empty_root)
    }
}

/// Finds complete subtrees in tiles; `F` gives the first `width` hashes of a tile.
pub struct Tiles<F> {
    size: u64,
    read: F,
}

impl<F> Tiles<F> {
    /// Reads the tiles of a tree of `size` leaves.
    pub fn new(size: u64, read: F) -> Self {
        Self { size, read }
    }
}

impl<F, E> Nodes for Tiles<F>
where
    F: Fn(u32, u64, u64) -> Result<Vec<Hash>, E>,
{
    type Error = E;

    fn subtree(&self, level: u32, index: u64) -> Result<Hash, E> {
        let (tile_level, inner) = (level / HEIGHT, level % HEIGHT);
        let first = index << inner;
        let tile = first / WIDTH;
        let hashes = (self.read)(tile_level, tile, width(tile_level, tile, self.size))?;
        let from = (first % WIDTH) as usize;
        let subtree = hashes.get(from..from + (1 << inner)).unwrap_or_default();
        Ok(perfect(subtree))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;
    use crate::merkle::{Leaves, leaf};

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path(0, 5, 256), "tile/0/005");
        assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile_path(1, 1234, 5), "tile/1/x001/234.p/5");
        assert_eq!(tile_path(0, 1000, 256), "tile/0/x001/000");
        assert_eq!(bundle_path(273, 112), "tile/entries/273.p/112");
        assert_eq!(bundle_path(999_000, 256), "tile/entries/x999/000");
    }

    /// The example of the specification: 70 000 leaves.
    #[test]
    fn widths_are_those_of_the_specification() {
        let size = 70_000;
        assert_eq!((width(0, 272, size), width(0, 273, size), width(0, 274, size)), (256, 112, 0));
        assert_eq!((width(1, 0, size), width(1, 1, size)), (256, 17));
        assert_eq!((width(2, 0, size), width(3, 0, size)), (1, 0));
    }

    #[test]
    fn the_edge_agrees_with_the_tree() {
        let all: Vec<Hash> = (0..65_540_u32).map(|n| leaf(&n.to_be_bytes())).collect();
        let mut edge = Edge::default();
        let mut tiles = BTreeMap::new();
        let probes = [0, 1, 2, 255, 256, 257, 511, 513, 65_540];
        for size in 0..=all.len() {
            if probes.contains(&size) {
                let Ok(root) = merkle::root(&Leaves(&all), size as u64);
                assert_eq!(edge.root(), root, "{size}");
                let mut now = tiles.clone();
                now.extend(edge.partial().map(|tile| ((tile.level, tile.index), tile.hashes)));
                check_tiles(&edge, &now, root);
            }
            if let Some(hash) = all.get(size) {
                let full = edge.push(*hash);
                tiles.extend(full.into_iter().map(|t| ((t.level, t.index), t.hashes)));
            }
        }
    }

    fn check_tiles(edge: &Edge, tiles: &BTreeMap<(u32, u64), Vec<Hash>>, root: Hash) {
        let read = |level, index, width| {
            let hashes: &Vec<Hash> = &tiles[&(level, index)];
            Ok::<_, Infallible>(hashes[..width as usize].to_vec())
        };
        let Ok(loaded) = Edge::load(edge.size(), read);
        assert_eq!(loaded.root(), root);
        assert_eq!(loaded.size(), edge.size());
        if edge.size() > 0 {
            let nodes = Tiles::new(edge.size(), read);
            assert_eq!(merkle::root(&nodes, edge.size()), Ok(root));
            let Ok(path) = merkle::inclusion(&nodes, edge.size() / 2, edge.size());
            let leaf = leaf(&((edge.size() / 2) as u32).to_be_bytes());
            let (index, size) = (edge.size() / 2, edge.size());
            assert!(merkle::verify_inclusion(&leaf, index, size, &path, &root));
        }
    }

    #[test]
    fn bundles_go_both_ways() {
        let mut bundle = Vec::new();
        for entry in [&b"one"[..], b"", b"three"] {
            push_entry(&mut bundle, entry);
        }
        assert_eq!(bundle, b"\x00\x03one\x00\x00\x00\x05three");
        assert_eq!(split_bundle(&bundle).unwrap(), [&b"one"[..], b"", b"three"]);
        for len in [1, 3, 4, 6, 8, 11] {
            assert_eq!(split_bundle(&bundle[..len]), None, "{len}");
        }
    }
}
