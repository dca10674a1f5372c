//! Tells how two commits relate.
//!
//! In: two ids and a way to look commits up, some of which may be missing because the history
//! here is shallow. Out: forward, backward, diverged, or unknown. What is answered is proved: a
//! missing commit never counts as "no".

use std::collections::{BTreeMap, BinaryHeap};

use fixpoint_source::{Ancestry, StoreError};
use gix_hash::ObjectId;
use gix_object::CommitRefIter;

/// What the walk needs to know of a commit.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Its parents.
    pub(crate) parents: Vec<ObjectId>,
    /// When it was committed. It only orders the walk: a lie makes it slower, not wrong.
    pub(crate) committed: i64,
}

impl Facts {
    /// Reads a commit object.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        let commit = || CommitRefIter::from_bytes(data, gix_hash::Kind::Sha1);
        let committed = commit().committer().ok()?.seconds();
        Some(Self { parents: commit().parent_ids().collect(), committed })
    }
}

const NEW: u8 = 1;
const OLD: u8 = 2;
const BOTH: u8 = NEW | OLD;

#[derive(Default)]
struct Node {
    /// From which of the two commits it can be reached.
    paint: u8,
    /// Waits in the queue.
    queued: bool,
    /// `Some(None)` when it was looked up and is missing.
    facts: Option<Option<Facts>>,
}

/// How `new` relates to `old`, looking at no more than `bound` commits.
///
/// Walks back from both commits, newest first, and paints what it reaches. What both reach lies
/// behind both (unless it is one of them, which decides), so it can hold neither: once everything
/// that waits is painted twice, neither descends from the other. That is why a fork is usually
/// told after a few commits, and why missing history matters only where one side alone reaches.
///
/// # Errors
/// When a lookup fails.
pub(crate) fn relate(
    old: ObjectId,
    new: ObjectId,
    bound: usize,
    lookup: &mut dyn FnMut(&ObjectId) -> Result<Option<Facts>, StoreError>,
) -> Result<Ancestry, StoreError> {
    if old == new {
        return Ok(Ancestry::Same);
    }
    let mut walk =
        Walk { nodes: BTreeMap::new(), queue: BinaryHeap::new(), open: 0, looked: 0, lookup };
    walk.paint(new, NEW)?;
    walk.paint(old, OLD)?;
    while walk.open > 0 {
        let Some((_, id)) = walk.queue.pop() else {
            return Ok(Ancestry::Unknown);
        };
        if walk.looked > bound {
            return Ok(Ancestry::Unknown);
        }
        for (parent, paint) in walk.step(&id) {
            match parent {
                id if id == old && paint & NEW != 0 => return Ok(Ancestry::Forward),
                id if id == new && paint & OLD != 0 => return Ok(Ancestry::Backward),
                id => walk.paint(id, paint)?,
            }
        }
    }
    Ok(Ancestry::Diverged)
}

struct Walk<'a> {
    nodes: BTreeMap<ObjectId, Node>,
    queue: BinaryHeap<(i64, ObjectId)>,
    /// Commits that wait or are missing and that only one side reaches: as long as there is
    /// one, the answer may hide behind it.
    open: usize,
    looked: usize,
    lookup: &'a mut dyn FnMut(&ObjectId) -> Result<Option<Facts>, StoreError>,
}

impl Walk<'_> {
    fn paint(&mut self, id: ObjectId, paint: u8) -> Result<(), StoreError> {
        let node = self.nodes.entry(id).or_default();
        if node.paint | paint == node.paint {
            return Ok(());
        }
        let was_open = is_open(node);
        node.paint |= paint;
        if node.facts.is_none() {
            node.facts = Some((self.lookup)(&id)?);
            self.looked += 1;
        }
        if let (Some(Some(facts)), false) = (&node.facts, node.queued) {
            node.queued = true;
            self.queue.push((facts.committed, id));
        }
        self.open = self.open + usize::from(is_open(node)) - usize::from(was_open);
        Ok(())
    }

    /// Takes a commit off the queue and hands out its parents with what to paint them.
    fn step(&mut self, id: &ObjectId) -> Vec<(ObjectId, u8)> {
        let Some(node) = self.nodes.get_mut(id) else {
            return Vec::new();
        };
        self.open -= usize::from(is_open(node));
        node.queued = false;
        let Some(Some(facts)) = &node.facts else {
            return Vec::new();
        };
        facts.parents.iter().map(|parent| (*parent, node.paint)).collect()
    }
}

fn is_open(node: &Node) -> bool {
    let missing = matches!(node.facts, Some(None));
    (node.queued || missing) && node.paint != 0 && node.paint != BOTH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: char) -> ObjectId {
        ObjectId::from_bytes_or_panic(&[name as u8; 20])
    }

    /// History in text: `child: parents`, newest first; who is a parent only is missing.
    fn check(history: &str, old: char, new: char, expected: Ancestry) {
        let mut commits = BTreeMap::new();
        for (line, committed) in history.split(';').zip((0..).map(|n: i64| -n)) {
            let (child, parents) = line.trim().split_once(':').unwrap();
            let parents = parents.chars().filter(|c| *c != ' ').map(id).collect();
            commits.insert(id(child.chars().next().unwrap()), Facts { parents, committed });
        }
        let mut lookup = |id: &ObjectId| Ok(commits.get(id).cloned());
        let found = relate(id(old), id(new), 100, &mut lookup).unwrap();
        assert_eq!(found, expected, "{old} to {new} in {history}");
    }

    #[test]
    fn whole_histories() {
        let line = "d: c; c: b; b: a; a:";
        check(line, 'a', 'a', Ancestry::Same);
        check(line, 'a', 'd', Ancestry::Forward);
        check(line, 'c', 'd', Ancestry::Forward);
        check(line, 'd', 'a', Ancestry::Backward);
        let fork = "d: b; c: b; b: a; a:";
        check(fork, 'c', 'd', Ancestry::Diverged);
        check(fork, 'd', 'c', Ancestry::Diverged);
        let merge = "e: d c; d: b; c: b; b: a; a:";
        check(merge, 'c', 'e', Ancestry::Forward);
        check(merge, 'd', 'e', Ancestry::Forward);
        check("d: c; c:; b: a; a:", 'b', 'd', Ancestry::Diverged);
    }

    #[test]
    fn shallow_histories() {
        // The parent's name is known although the commit is not here.
        check("d: c; c: b", 'b', 'd', Ancestry::Forward);
        check("d: c; c: b", 'a', 'd', Ancestry::Unknown);
        check("d: c; c: b", 'd', 'b', Ancestry::Backward);
        // Both end at one missing commit: nothing behind it can matter.
        check("d: b; c: b", 'c', 'd', Ancestry::Diverged);
        check("d: b x; c: b", 'c', 'd', Ancestry::Unknown);
        check("d: c; b: a", 'b', 'd', Ancestry::Unknown);
        // What one side alone reached first and found missing is settled when the other arrives.
        check("e: d b; d: x; c: b; b: x", 'c', 'e', Ancestry::Diverged);
    }

    #[test]
    fn dates_that_lie_change_nothing() {
        check("a:; b: a; c: b; d: b", 'c', 'd', Ancestry::Diverged);
        check("a:; b: a; c: b; d: c", 'b', 'd', Ancestry::Forward);
    }

    #[test]
    fn bounds_bind() {
        let mut endless = |id: &ObjectId| {
            let mut parent = id.as_bytes().to_vec();
            let n = u32::from_be_bytes(parent[..4].try_into().unwrap()).wrapping_add(1);
            parent[..4].copy_from_slice(&n.to_be_bytes());
            let parents = vec![ObjectId::from_bytes_or_panic(&parent)];
            Ok(Some(Facts { parents, committed: 0 }))
        };
        let found = relate(id('a'), id('b'), 1000, &mut endless).unwrap();
        assert_eq!(found, Ancestry::Unknown);
    }
}
