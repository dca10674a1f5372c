//! The Merkle tree of RFC 6962: roots, proofs and their verification.
//!
//! In: hashes of leaves, or a way to look up complete subtrees. Out: hashes. No proof is accepted
//! that is longer or shorter than its tree demands.

use sha2::{Digest as _, Sha256};

/// A hash of a leaf or a subtree.
pub type Hash = [u8; 32];

/// Hashes an entry as a leaf.
pub fn leaf(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// Hashes two subtrees as one.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Root of the tree without leaves.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Looks up complete subtrees: the one at `(level, index)` covers the leaves from
/// `index << level` to `(index + 1) << level`.
pub trait Nodes {
    /// Why a subtree cannot be had.
    type Error;

    /// The root of a complete subtree.
    ///
    /// # Errors
    /// When it cannot be had.
    fn subtree(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Leaves in memory.
#[derive(Debug, Clone, Copy)]
pub struct Leaves<'a>(pub &'a [Hash]);

impl Nodes for Leaves<'_> {
    type Error = std::convert::Infallible;

    fn subtree(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
        let from = (index << level) as usize;
        Ok(perfect(&self.0[from..from + (1 << level)]))
    }
}

/// Root of a number of leaves that is a power of two.
pub(crate) fn perfect(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => empty_root(),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node(&perfect(left), &perfect(right))
        }
    }
}

/// Root of the first `size` leaves.
///
/// # Errors
/// When a subtree cannot be had.
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(empty_root()) } else { range(nodes, 0, size) }
}

/// Root of the leaves in `from..to`, where `from` is a multiple of the power of two that is not
/// less than the width.
fn range<N: Nodes>(nodes: &N, from: u64, to: u64) -> Result<Hash, N::Error> {
    let width = to - from;
    if width.is_power_of_two() {
        let level = width.trailing_zeros();
        return nodes.subtree(level, from >> level);
    }
    let middle = from + split(width);
    Ok(node(&range(nodes, from, middle)?, &range(nodes, middle, to)?))
}

/// The largest power of two below a width of at least two.
fn split(width: u64) -> u64 {
    1 << (u64::BITS - 1 - (width - 1).leading_zeros())
}

/// Proves that the leaf at `index` is in the tree of `size` leaves; `index` is less than `size`.
///
/// # Errors
/// When a subtree cannot be had.
pub fn inclusion<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(range(nodes, middle, to)?);
            to = middle;
        } else {
            path.push(range(nodes, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// Proves that the tree of `new` leaves begins with that of `old` ones; `old` is at most `new`.
///
/// # Errors
/// When a subtree cannot be had.
pub fn consistency<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut from, mut to) = (0, new);
    // Whether the old tree is the whole left part so far: then its verifier knows that root.
    let mut whole = true;
    while to != old {
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(range(nodes, middle, to)?);
            to = middle;
        } else {
            proof.push(range(nodes, from, middle)?);
            from = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(range(nodes, from, to)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that a leaf is where a proof says it is.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for step in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(step, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Checks that the tree of `new` leaves begins with that of `old` ones.
pub fn verify_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> bool {
    match (old, new) {
        _ if old > new => return false,
        _ if old == new => return proof.is_empty() && old_root == new_root,
        (0, _) => return proof.is_empty() && *old_root == empty_root(),
        _ => {}
    }
    let mut steps = proof.iter();
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let first = if old.is_power_of_two() { Some(old_root) } else { steps.next() };
    let Some(first) = first else { return false };
    let (mut left, mut right) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            left = node(step, &left);
            right = node(step, &right);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            right = node(&right, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && left == *old_root && right == *new_root
}

#[cfg(test)]
mod tests {
    use fixpoint_base::digest::hex;

    use super::*;

    /// The leaves that implementations of Certificate Transparency are tested with.
    fn known_leaves() -> Vec<Hash> {
        let texts: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        texts.map(leaf).to_vec()
    }

    #[test]
    fn known_roots() {
        let leaves = known_leaves();
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (size, expected) in roots.iter().enumerate() {
            let Ok(found) = root(&Leaves(&leaves), size as u64);
            assert_eq!(hex(&found), *expected, "{size}");
        }
    }

    #[test]
    fn known_proofs() {
        let leaves = known_leaves();
        let texts = |proof: Vec<Hash>| proof.iter().map(|h| hex(&h[..4])).collect::<Vec<_>>();
        let Ok(path) = inclusion(&Leaves(&leaves), 0, 8);
        assert_eq!(texts(path), ["96a296d2", "5f083f0a", "6b47aaf2"]);
        let Ok(proof) = consistency(&Leaves(&leaves), 6, 8);
        assert_eq!(texts(proof), ["0ebc5d34", "ca854ea1", "d37ee418"]);
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf(&number.to_be_bytes())).collect()
    }

    #[test]
    fn every_leaf_is_proved_and_nothing_else() {
        let all = leaves(40);
        for size in 1..=40 {
            let Ok(top) = root(&Leaves(&all), size);
            for index in 0..size {
                let Ok(path) = inclusion(&Leaves(&all), index, size);
                let this = &all[index as usize];
                assert!(verify_inclusion(this, index, size, &path, &top), "{index} of {size}");
                assert!(!verify_inclusion(this, index + 1, size, &path, &top));
                assert!(!verify_inclusion(&[0; 32], index, size, &path, &top));
                let longer = [&path[..], &[top]].concat();
                assert!(!verify_inclusion(this, index, size, &longer, &top));
                if let Some((_, shorter)) = path.split_last() {
                    assert!(!verify_inclusion(this, index, size, shorter, &top));
                }
            }
        }
    }

    #[test]
    fn every_prefix_is_consistent_and_nothing_else() {
        let all = leaves(40);
        for new in 0..=40 {
            let Ok(new_root) = root(&Leaves(&all), new);
            for old in 0..=new {
                let Ok(old_root) = root(&Leaves(&all), old);
                let Ok(proof) = consistency(&Leaves(&all), old, new);
                let check =
                    |proof: &[Hash]| verify_consistency((old, &old_root), (new, &new_root), proof);
                assert!(check(&proof), "{old} to {new}");
                assert!(!check(&[&proof[..], &[[0; 32]]].concat()));
                if old != 0 && old != new {
                    assert!(!verify_consistency((old, &[0; 32]), (new, &new_root), &proof));
                    assert!(!verify_consistency((old, &old_root), (new, &[0; 32]), &proof));
                    assert!(!check(&proof[..proof.len() - 1]));
                }
            }
        }
    }
}
