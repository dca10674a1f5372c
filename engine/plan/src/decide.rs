//! The decision: what is done to each object, and what is not.

use std::collections::BTreeMap;

use fixpoint_base::{Digest, Key};

use crate::controls::Ssa;
use crate::desired::{DesiredSet, Wanted};
use crate::guard::{self, Deletion, Guard};
use crate::inventory::{Id, Inventory};
use crate::live::{Live, LiveObject, LiveSet};
use crate::order::{self, Stage};
use crate::owner::Owner;
use crate::plan::{Hold, Plan, Step, Verb, Why};
use crate::policy::{Memory, Policy};

/// Plans how to bring what is live to what is wanted.
///
/// `live` must have been asked for every object that `desired` or `inventory` names; one that was
/// not asked for is held as unreadable. Deletions come from the inventory alone: an object that
/// merely carries our labels is never listed.
pub fn plan(
    owner: &Owner,
    desired: &DesiredSet,
    live: &LiveSet,
    inventory: &Inventory,
    policy: &Policy,
    memory: &Memory,
) -> Plan {
    let scene = Scene { owner, desired, live, inventory, policy, memory };
    let mut left = BTreeMap::new();
    let mut steps = scene.applies(&mut left);
    let (deletions, guard) = scene.deletions(is_partial(&left), &mut left);
    steps.extend(deletions);
    keep_needs_within(&mut steps);
    Plan {
        owner: owner.clone(),
        revision: desired.revision.clone(),
        basis: scene.basis(),
        steps,
        left,
        guard,
    }
}

/// Whether something wanted cannot even be tried: then nothing is deleted either.
fn is_partial(wanted_left: &BTreeMap<Key, Hold>) -> bool {
    wanted_left
        .values()
        .any(|hold| matches!(hold, Hold::Unreadable { .. } | Hold::WaitsForCrd { .. }))
}

/// What is done to one object.
enum Decision {
    Act(Verb, Why),
    Leave(Hold),
}

struct Scene<'a> {
    owner: &'a Owner,
    desired: &'a DesiredSet,
    live: &'a LiveSet,
    inventory: &'a Inventory,
    policy: &'a Policy,
    memory: &'a Memory,
}

impl Scene<'_> {
    fn applies(&self, left: &mut BTreeMap<Key, Hold>) -> Vec<Step> {
        let mut steps = Vec::new();
        for (place, wanted) in self.desired.objects().iter().enumerate() {
            let live = self.live.get(&wanted.key);
            match self.decide_wanted(wanted, live) {
                Decision::Act(verb, why) => steps.push(Step {
                    key: wanted.key.clone(),
                    verb,
                    why,
                    stage: wanted.stage,
                    desired: Some(place),
                    needs: wanted.needs.clone(),
                    seen: object(live).cloned(),
                    merge: is_merge(wanted, object(live)),
                }),
                Decision::Leave(hold) => {
                    left.insert(wanted.key.clone(), hold);
                }
            }
        }
        steps
    }

    fn decide_wanted(&self, wanted: &Wanted, live: Option<&Live>) -> Decision {
        use Decision::{Act, Leave};
        if self.policy.engine.contains(&Id::from(&wanted.key)) {
            return Leave(Hold::EngineOwned);
        }
        if wanted.controls.reconcile_disabled {
            return Leave(Hold::Disabled);
        }
        if wanted.controls.ssa == Ssa::Ignore {
            return Leave(Hold::IgnoredBySsa);
        }
        match live {
            None => Leave(Hold::Unreadable { reason: "it was not looked at".to_owned() }),
            Some(Live::Unreadable { reason }) => Leave(Hold::Unreadable { reason: reason.clone() }),
            Some(Live::Absent) => Act(Verb::Create, Why::Missing),
            Some(Live::UnknownKind) if brings_definition(wanted) => Act(Verb::Create, Why::Missing),
            Some(Live::UnknownKind) => Leave(Hold::WaitsForCrd { kind: spell(&wanted.key) }),
            Some(Live::Object(live)) => self.decide_present(wanted, live),
        }
    }

    fn decide_present(&self, wanted: &Wanted, live: &LiveObject) -> Decision {
        use Decision::{Act, Leave};
        if live.controls.reconcile_disabled {
            return Leave(Hold::Disabled);
        }
        if live.controls.ssa == Ssa::Ignore {
            return Leave(Hold::IgnoredBySsa);
        }
        if live.deleting {
            return Leave(Hold::Terminating);
        }
        let other = live.owner.as_ref().filter(|owner| *owner != self.owner);
        if let Some(owner) = other
            && self.policy.claims.get(&Id::from(&wanted.key)) == Some(owner)
        {
            return Leave(Hold::OwnedByOther { owner: owner.clone() });
        }
        if wanted.controls.ssa == Ssa::IfNotPresent {
            return Leave(Hold::CreateOnly);
        }
        let force = self.policy.force || wanted.controls.force || live.controls.force;
        let verb = if force { Verb::Replace } else { Verb::Apply };
        match (self.why(wanted, live), other) {
            (_, Some(from)) => Act(verb, Why::TakenOver { from: from.clone() }),
            (Some(why), None) => Act(verb, why),
            (None, None) => Leave(Hold::UpToDate),
        }
    }

    /// Why the object has to be applied; `None` where it is what its last apply left.
    fn why(&self, wanted: &Wanted, live: &LiveObject) -> Option<Why> {
        let edited_by =
            if is_merge(wanted, Some(live)) { Vec::new() } else { live.edited_by.clone() };
        let Some(last) = self.memory.get(&wanted.key) else { return Some(Why::FirstSight) };
        if last.uid != live.uid {
            return Some(Why::Recreated);
        }
        if last.rendered != wanted.digest {
            return Some(Why::Changed);
        }
        // Where the target does not say which fields are ours, only another apply can tell.
        let same = live.owned.is_some() && last.owned == live.owned;
        (!same || !edited_by.is_empty()).then_some(Why::Drifted { by: edited_by })
    }

    fn deletions(
        &self,
        partial: bool,
        left: &mut BTreeMap<Key, Hold>,
    ) -> (Vec<Step>, Option<Guard>) {
        let mut unwanted: Vec<Key> =
            self.inventory.keys().filter(|key| self.desired.get(key).is_none()).collect();
        unwanted.sort_by(|a, b| order::compare(b, a));
        let mut doomed: Vec<(Key, LiveObject)> = Vec::new();
        for key in unwanted {
            match self.decide_unwanted(&key) {
                Ok(_) if partial => {
                    left.insert(key, Hold::PartialApply);
                }
                Ok(live) => doomed.push((key, live)),
                Err(hold) => {
                    left.insert(key, hold);
                }
            }
        }
        let guard = self.guard(&doomed);
        if let Some(Guard { id, .. }) = &guard {
            for (key, _) in doomed {
                left.insert(key, Hold::GuardedDeletion { guard: id.clone() });
            }
            return (Vec::new(), guard);
        }
        (doomed.into_iter().map(|(key, live)| deletion(key, live)).collect(), None)
    }

    /// The object that goes, or why it does not.
    fn decide_unwanted(&self, key: &Key) -> Result<LiveObject, Hold> {
        if self.policy.engine.contains(&Id::from(key)) {
            return Err(Hold::EngineOwned);
        }
        if !self.desired.is_complete() && !self.policy.finalizing {
            return Err(Hold::RenderIncomplete);
        }
        if !self.policy.prune {
            return Err(Hold::PruneOff);
        }
        let live = match self.live.get(key) {
            None => return Err(Hold::Unreadable { reason: "it was not looked at".to_owned() }),
            Some(Live::Unreadable { reason }) => {
                return Err(Hold::Unreadable { reason: reason.clone() });
            }
            Some(Live::Absent | Live::UnknownKind) => return Err(Hold::Gone),
            Some(Live::Object(live)) => live,
        };
        if live.owner.as_ref() != Some(self.owner) {
            return Err(Hold::NotOurs { owner: live.owner.clone() });
        }
        if live.controls.prune_disabled {
            return Err(Hold::DeletionProtected);
        }
        if live.controls.reconcile_disabled {
            return Err(Hold::Disabled);
        }
        if live.controls.ssa == Ssa::Ignore {
            return Err(Hold::IgnoredBySsa);
        }
        if let Some(to) = self.policy.awaited.get(&Id::from(key)).filter(|to| *to != self.owner) {
            return Err(Hold::HandedOver { to: to.clone() });
        }
        if live.deleting {
            return Err(Hold::Terminating);
        }
        Ok(live.clone())
    }

    fn guard(&self, doomed: &[(Key, LiveObject)]) -> Option<Guard> {
        if self.policy.finalizing {
            return None;
        }
        let objects: Vec<(&Key, &str)> =
            doomed.iter().map(|(key, live)| (key, live.uid.as_str())).collect();
        let deletion = Deletion {
            owner: self.owner,
            objects: &objects,
            inventory: self.inventory.len(),
            desired: self.desired.len(),
        };
        let guard = guard::judge(&deletion, &self.policy.budget)?;
        (self.policy.acknowledged.as_ref() != Some(&guard.id)).then_some(guard)
    }

    fn basis(&self) -> Digest {
        let mut lines: BTreeMap<Id, String> = BTreeMap::new();
        for key in self.inventory.keys() {
            lines.insert(Id::from(&key), format!("{}  -", self.seen(&key)));
        }
        for wanted in self.desired.objects() {
            let line = format!("{} {}", self.seen(&wanted.key), wanted.digest);
            lines.insert(Id::from(&wanted.key), line);
        }
        let lines: Vec<String> =
            lines.into_iter().map(|(id, line)| format!("{id} {line}")).collect();
        Digest::of_parts(lines.iter().map(|line| line.as_bytes()))
    }

    fn seen(&self, key: &Key) -> String {
        match self.live.get(key) {
            None | Some(Live::Unreadable { .. }) => "?".to_owned(),
            Some(Live::Absent | Live::UnknownKind) => "-".to_owned(),
            Some(Live::Object(live)) => {
                let owned = live.owned.map(|digest| digest.to_string()).unwrap_or_default();
                format!("{} {owned}", live.uid)
            }
        }
    }
}

fn object(live: Option<&Live>) -> Option<&LiveObject> {
    match live {
        Some(Live::Object(live)) => Some(live),
        Some(Live::Absent | Live::UnknownKind | Live::Unreadable { .. }) | None => None,
    }
}

fn is_merge(wanted: &Wanted, live: Option<&LiveObject>) -> bool {
    wanted.controls.ssa == Ssa::Merge || live.is_some_and(|live| live.controls.ssa == Ssa::Merge)
}

fn brings_definition(wanted: &Wanted) -> bool {
    wanted.needs.iter().any(|key| order::is_definition(&key.gvk))
}

fn spell(key: &Key) -> String {
    let gvk = &key.gvk;
    if gvk.group.is_empty() {
        format!("{}/{}", gvk.kind, gvk.version)
    } else {
        format!("{}.{}/{}", gvk.kind, gvk.group, gvk.version)
    }
}

fn deletion(key: Key, seen: LiveObject) -> Step {
    Step {
        stage: Stage::of(&key.gvk),
        key,
        verb: Verb::Delete,
        why: Why::Unwanted,
        desired: None,
        needs: Vec::new(),
        seen: Some(seen),
        merge: false,
    }
}

/// A need that is left alone is there already, or its own reason to wait: only steps can fail.
fn keep_needs_within(steps: &mut [Step]) {
    let keys: std::collections::BTreeSet<Key> =
        steps.iter().filter(|step| step.desired.is_some()).map(|step| step.key.clone()).collect();
    for step in steps {
        step.needs.retain(|need| keys.contains(need) && *need != step.key);
    }
}
