//! What each delivery wants, as of its last rendering, so that an object can move from one to
//! another without being deleted on the way.
//!
//! The deliveries of one source look at a new revision at the same time and in any order. One that
//! no longer renders an object asks here, before it prunes, whether another one does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use fixpoint_plan::{DesiredSet, Id};

use crate::looper::Named;

/// What one delivery wants.
#[derive(Debug, Clone)]
struct Want {
    target: String,
    source: Named,
    /// Digest of the source's artifact: one revision may have several.
    artifact: String,
    /// Digest of the artifact that was applied last; unknown after a start.
    applied: Option<String>,
    objects: BTreeSet<Id>,
}

/// What all deliveries want.
#[derive(Debug, Default)]
pub struct Wanted(Mutex<BTreeMap<Named, Want>>);

impl Wanted {
    /// Says what a delivery wants of an artifact.
    pub fn rendered(
        &self,
        delivery: &Named,
        target: &str,
        source: Named,
        artifact: &str,
        set: &DesiredSet,
    ) {
        let objects = set.objects().iter().map(|wanted| Id::from(&wanted.key)).collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before =
            all.get(delivery).filter(|before| before.source == source && before.target == target);
        let applied = before.and_then(|before| before.applied.clone());
        let target = target.to_owned();
        let want = Want { target, source, artifact: artifact.to_owned(), applied, objects };
        all.insert(delivery.clone(), want);
    }

    /// Says that a delivery has applied an artifact; tells whether that is news.
    pub fn applied(&self, delivery: &Named, artifact: &str) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(want) = all.get_mut(delivery) else { return false };
        let before = want.applied.replace(artifact.to_owned());
        before.as_deref() != Some(artifact)
    }

    /// Whether the last artifact that a delivery is known to have applied is another one.
    pub fn has_applied_another(&self, delivery: &Named, artifact: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let applied = all.get(delivery).and_then(|want| want.applied.as_deref());
        applied.is_some_and(|applied| applied != artifact)
    }

    /// Says that a delivery has looked at an artifact and could not render it; what it wanted
    /// before still counts.
    pub fn refused(&self, delivery: &Named, artifact: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(want) = all.get_mut(delivery) {
            want.artifact = artifact.to_owned();
        }
    }

    /// Forgets a delivery that is gone.
    pub fn forget(&self, delivery: &Named) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(delivery);
    }

    /// The other deliveries of a source to the same target that have not looked at its artifact
    /// yet.
    pub fn behind(&self, us: &Named, target: &str, source: &Named, artifact: &str) -> Vec<Named> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .filter(|(name, want)| {
                *name != us
                    && want.target == target
                    && want.source == *source
                    && want.artifact != artifact
            })
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Whether a delivery is known to want an object no longer, whatever its inventory still says:
    /// it may be waiting for the very delivery that takes the object over.
    pub fn has_let_go(&self, delivery: &Named, object: &Id) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(delivery).is_some_and(|want| !want.objects.contains(object))
    }

    /// Who else wants these objects at the same target.
    pub fn others(&self, us: &Named, target: &str, objects: &BTreeSet<Id>) -> BTreeMap<Id, Named> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = BTreeMap::new();
        let others = all.iter().filter(|(name, want)| *name != us && want.target == target);
        for (name, want) in others {
            for id in objects.intersection(&want.objects) {
                found.insert(id.clone(), name.clone());
            }
        }
        found
    }
}
