//! What a plan is.

use std::collections::BTreeMap;
use std::fmt;

use fixpoint_base::{Digest, Key};

use crate::guard::Guard;
use crate::live::LiveObject;
use crate::order::Stage;
use crate::owner::Owner;

/// What to do to one target, and why the rest is left alone.
///
/// A plan is complete: carrying it out needs no further choices. It is a value; making one touches
/// nothing, so that preview, approval and apply use the same one.
#[must_use = "a plan changes nothing until it is applied"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Whose plan it is.
    pub owner: Owner,
    /// The revision that it brings about.
    pub revision: String,
    /// What it was computed from: the uid, the owned and the wanted digest of every object
    /// considered. A world with another basis needs another plan.
    pub basis: Digest,
    /// What to do, in order: applies by stage, then deletions the other way round.
    pub steps: Vec<Step>,
    /// What is left alone, and why.
    pub left: BTreeMap<Key, Hold>,
    /// The deletions that wait for somebody to agree.
    pub guard: Option<Guard>,
}

/// One thing to do to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The object.
    pub key: Key,
    /// What to do.
    pub verb: Verb,
    /// Why it is done.
    pub why: Why,
    /// With which others it may go.
    pub stage: Stage,
    /// Its place in the [`crate::DesiredSet`]; `None` for a deletion.
    pub desired: Option<usize>,
    /// Steps of this plan that must succeed first: its definition, its namespace.
    pub needs: Vec<Key>,
    /// The object that was seen: a deletion refuses any other, and an apply that leaves its fields
    /// as they were changed nothing.
    pub seen: Option<LiveObject>,
    /// Whether fields that people edited by hand stay theirs (`ssa: Merge`).
    pub merge: bool,
}

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Apply where nothing is.
    Create,
    /// Apply to what is there.
    Apply,
    /// Apply to what is there; where a field that cannot change has to, delete and create.
    Replace,
    /// Delete.
    Delete,
}

impl Verb {
    /// The mark of the verb in a printed plan.
    pub fn mark(self) -> char {
        match self {
            Self::Create => '+',
            Self::Apply => '~',
            Self::Replace => '±',
            Self::Delete => '-',
        }
    }
}

/// Why something is done to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It is not there.
    Missing,
    /// What is wanted changed.
    Changed,
    /// Nothing is remembered of an earlier apply, so this one finds out.
    FirstSight,
    /// It was deleted and made again by somebody else.
    Recreated,
    /// Somebody changed fields that are ours; the managers that people's edits go by, where any.
    Drifted {
        /// Such as `kubectl-edit`.
        by: Vec<String>,
    },
    /// Another delivery let go of it.
    TakenOver {
        /// The delivery whose labels it carries.
        from: Owner,
    },
    /// It is recorded as ours and no longer wanted.
    Unwanted,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is not there"),
            Self::Changed => f.write_str("changed in the source"),
            Self::FirstSight => f.write_str("not applied by this engine yet"),
            Self::Recreated => f.write_str("was made again by somebody else"),
            Self::Drifted { by } if by.is_empty() => f.write_str("live differs"),
            Self::Drifted { by } => write!(f, "live differs: edited by {}", by.join(", ")),
            Self::TakenOver { from } => write!(f, "taken over from {from}"),
            Self::Unwanted => f.write_str("no longer in the source"),
        }
    }
}

/// Why an object is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// It is what it should be.
    UpToDate,
    /// `reconcile: disabled`, in the manifest or on the live object.
    Disabled,
    /// `ssa: Ignore`, in the manifest or on the live object.
    IgnoredBySsa,
    /// `ssa: IfNotPresent`, and it is present.
    CreateOnly,
    /// Another delivery put it there and still claims it.
    OwnedByOther {
        /// The other delivery.
        owner: Owner,
    },
    /// The engine itself keeps it; no delivery may change or delete it.
    EngineOwned,
    /// It is no longer wanted, and `prune: disabled` keeps it.
    DeletionProtected,
    /// It is no longer wanted, and the delivery does not prune.
    PruneOff,
    /// It is no longer wanted, and its labels say that it is not ours any more.
    NotOurs {
        /// Whose it is, where its labels say.
        owner: Option<Owner>,
    },
    /// It is no longer wanted here, and another delivery takes it over.
    HandedOver {
        /// The delivery that takes it.
        to: Owner,
    },
    /// The target could not be asked.
    Unreadable {
        /// Why.
        reason: String,
    },
    /// It is being deleted; what comes after is decided once it is gone.
    Terminating,
    /// It is no longer wanted, and already gone.
    Gone,
    /// It is no longer wanted, but what is wanted is not completely known.
    RenderIncomplete,
    /// Its deletion waits for somebody to agree.
    GuardedDeletion {
        /// What to acknowledge.
        guard: String,
    },
    /// The target does not know its kind, and this delivery does not bring the definition.
    WaitsForCrd {
        /// Such as `Widget.example.org/v1`.
        kind: String,
    },
    /// What it needs first could not be applied.
    DependsOnFailed {
        /// What failed.
        on: Key,
    },
    /// Deletions wait until everything else has been applied.
    PartialApply,
}

impl Hold {
    /// Whether the delivery is not finished because of this: somebody or something has to act, or
    /// it has to be looked at again.
    pub fn is_unfinished(&self) -> bool {
        match self {
            Self::UpToDate
            | Self::Disabled
            | Self::IgnoredBySsa
            | Self::CreateOnly
            | Self::EngineOwned
            | Self::DeletionProtected
            | Self::PruneOff
            | Self::NotOurs { .. }
            | Self::HandedOver { .. }
            | Self::Gone => false,
            Self::OwnedByOther { .. }
            | Self::Unreadable { .. }
            | Self::Terminating
            | Self::RenderIncomplete
            | Self::GuardedDeletion { .. }
            | Self::WaitsForCrd { .. }
            | Self::DependsOnFailed { .. }
            | Self::PartialApply => true,
        }
    }

    /// The name of the variant, as the wire form has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::Disabled => "Disabled",
            Self::IgnoredBySsa => "IgnoredBySsa",
            Self::CreateOnly => "CreateOnly",
            Self::OwnedByOther { .. } => "OwnedByOther",
            Self::EngineOwned => "EngineOwned",
            Self::DeletionProtected => "DeletionProtected",
            Self::PruneOff => "PruneOff",
            Self::NotOurs { .. } => "NotOurs",
            Self::HandedOver { .. } => "HandedOver",
            Self::Unreadable { .. } => "Unreadable",
            Self::Terminating => "Terminating",
            Self::Gone => "Gone",
            Self::RenderIncomplete => "RenderIncomplete",
            Self::GuardedDeletion { .. } => "GuardedDeletion",
            Self::WaitsForCrd { .. } => "WaitsForCrd",
            Self::DependsOnFailed { .. } => "DependsOnFailed",
            Self::PartialApply => "PartialApply",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpToDate => f.write_str("up to date"),
            Self::Disabled => f.write_str("reconciliation is disabled"),
            Self::IgnoredBySsa => f.write_str("apply is set to Ignore"),
            Self::CreateOnly => f.write_str("apply is set to IfNotPresent"),
            Self::OwnedByOther { owner } => write!(f, "belongs to {owner}"),
            Self::EngineOwned => f.write_str("belongs to the engine itself"),
            Self::DeletionProtected => f.write_str("deletion is protected"),
            Self::PruneOff => f.write_str("pruning is off"),
            Self::NotOurs { owner: None } => f.write_str("not ours"),
            Self::NotOurs { owner: Some(owner) } => write!(f, "not ours but {owner}'s"),
            Self::HandedOver { to } => write!(f, "{to} takes it over"),
            Self::Unreadable { reason } => write!(f, "could not be read: {reason}"),
            Self::Terminating => f.write_str("is being deleted"),
            Self::Gone => f.write_str("already gone"),
            Self::RenderIncomplete => f.write_str("not everything could be rendered"),
            Self::GuardedDeletion { guard } => write!(f, "deletion waits for {guard}"),
            Self::WaitsForCrd { kind } => write!(f, "waits for the definition of {kind}"),
            Self::DependsOnFailed { on } => write!(f, "needs {on}, which failed"),
            Self::PartialApply => f.write_str("not everything could be applied"),
        }
    }
}

impl Plan {
    /// Names the plan by what it does and by the world it saw; the revision does not count, so
    /// that an approval outlives a commit that changes nothing here.
    pub fn id(&self) -> Digest {
        let owner = self.owner.to_string();
        let steps: Vec<String> = self
            .steps
            .iter()
            .map(|step| format!("{} {} {}", step.verb.mark(), step.key.gvk.api_version(), step.key))
            .collect();
        let head = [owner.as_bytes(), self.basis.as_bytes().as_slice()];
        Digest::of_parts(head.into_iter().chain(steps.iter().map(|step| step.as_bytes())))
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many steps have this verb.
    pub fn count(&self, verb: Verb) -> usize {
        self.steps.iter().filter(|step| step.verb == verb).count()
    }

    /// The objects that are left alone although the delivery is not finished with them.
    pub fn unfinished(&self) -> impl Iterator<Item = (&Key, &Hold)> {
        self.left.iter().filter(|(_, hold)| hold.is_unfinished())
    }
}

/// One line for each step and for each hold that is worth a line.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner: _, revision: _, basis: _, steps, left, guard } = self;
        for step in steps {
            let mark = step.verb.mark();
            match &step.why {
                Why::Missing | Why::Unwanted | Why::Changed => writeln!(f, "{mark} {}", step.key)?,
                why => writeln!(f, "{mark} {}  {why}", step.key)?,
            }
        }
        for (key, hold) in left {
            if !matches!(hold, Hold::UpToDate | Hold::Gone) {
                writeln!(f, "! {key}  held: {hold}")?;
            }
        }
        match guard {
            Some(guard) => writeln!(f, "{guard}"),
            None => Ok(()),
        }
    }
}
