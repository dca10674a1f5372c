//! What became of a plan.

use std::fmt;

use fixpoint_base::{Class, Digest, Key};
use fixpoint_plan::{Applied, DesiredSet, Hold, Inventory, Memory, Plan, Step, Verb};

use crate::outcome::{Change, Done, Failure};

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It succeeded.
    Done(Done),
    /// It failed; its neighbours went on.
    Failed(Failure),
    /// It was not tried.
    Skipped(Hold),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(done) => write!(f, "{}", done.change),
            Self::Failed(failure) => write!(f, "failed: {}", failure.error),
            Self::Skipped(hold) => write!(f, "skipped: {hold}"),
        }
    }
}

/// How many steps ended in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Objects that were made.
    pub created: usize,
    /// Objects that are different now.
    pub configured: usize,
    /// Objects that were applied and stayed the same.
    pub unchanged: usize,
    /// Objects that are gone, or going.
    pub deleted: usize,
    /// Steps that failed.
    pub failed: usize,
    /// Steps that were not tried.
    pub skipped: usize,
}

/// What became of every step of a plan, in plan order.
#[must_use = "what failed has to be told"]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    fates: Vec<(Step, Fate)>,
}

impl Report {
    pub(crate) fn new(fates: Vec<(Step, Fate)>) -> Self {
        Self { fates }
    }

    /// Every step and what became of it.
    pub fn fates(&self) -> impl Iterator<Item = (&Step, &Fate)> {
        self.fates.iter().map(|(step, fate)| (step, fate))
    }

    /// What became of one object's step.
    pub fn get(&self, key: &Key) -> Option<&Fate> {
        self.fates.iter().find(|(step, _)| step.key == *key).map(|(_, fate)| fate)
    }

    /// The steps that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&Key, &Failure)> {
        self.fates.iter().filter_map(|(step, fate)| match fate {
            Fate::Failed(failure) => Some((&step.key, failure)),
            Fate::Done(_) | Fate::Skipped(_) => None,
        })
    }

    /// Whether every step succeeded.
    pub fn is_complete(&self) -> bool {
        self.fates.iter().all(|(_, fate)| matches!(fate, Fate::Done(_)))
    }

    /// Whether every failure may mend itself, and there is one.
    pub fn is_transient(&self) -> bool {
        let mut failures = self.failures().peekable();
        failures.peek().is_some() && failures.all(|(_, failure)| failure.class == Class::Transient)
    }

    /// Whether anything in the target is different now.
    pub fn changed(&self) -> bool {
        let Counts { created, configured, unchanged: _, deleted, failed: _, skipped: _ } =
            self.counts();
        created + configured + deleted > 0
    }

    /// How many steps ended in which way.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (_, fate) in &self.fates {
            let count = match fate {
                Fate::Done(Done { change: Change::Created, .. }) => &mut counts.created,
                Fate::Done(Done { change: Change::Configured, .. }) => &mut counts.configured,
                Fate::Done(Done { change: Change::Unchanged, .. }) => &mut counts.unchanged,
                Fate::Done(Done { change: Change::Deleted, .. }) => &mut counts.deleted,
                Fate::Failed(_) => &mut counts.failed,
                Fate::Skipped(_) => &mut counts.skipped,
            };
            *count += 1;
        }
        counts
    }

    /// What changed, a line for each object, as Flux's events list it: `ConfigMap/ns/name created`.
    pub fn changes(&self) -> Vec<String> {
        let changed = |fate: &Fate| match fate {
            Fate::Done(done) => done.change != Change::Unchanged,
            Fate::Failed(_) | Fate::Skipped(_) => false,
        };
        self.fates
            .iter()
            .filter(|(_, fate)| changed(fate))
            .map(|(step, fate)| format!("{} {fate}", step.key))
            .collect()
    }

    /// Digest of what became of every object, for the ledger: two equal runs have equal digests,
    /// whatever words their errors used.
    pub fn digest(&self) -> Digest {
        let lines: Vec<String> = self
            .fates
            .iter()
            .map(|(step, fate)| {
                let word = match fate {
                    Fate::Done(done) => format!("{} {}", done.change, done.uid),
                    Fate::Failed(failure) => format!("failed {:?}", failure.class),
                    Fate::Skipped(hold) => format!("skipped {}", hold.name()),
                };
                format!("{} {} {word}", step.key.gvk.api_version(), step.key)
            })
            .collect();
        Digest::of_parts(lines.iter().map(|line| line.as_bytes()))
    }

    /// The inventory after the run.
    ///
    /// It names what is there by this delivery's hand or may be: a failed apply may have arrived,
    /// so it counts; an object that had to go and did not stays named, so that a later run still
    /// knows. A partial run never loses an entry.
    pub fn inventory(&self, plan: &Plan, old: &Inventory) -> Inventory {
        let mut new = old.clone();
        for (key, hold) in &plan.left {
            match keeping(hold) {
                Keeping::Name => new.insert(key),
                Keeping::LetGo => new.remove(key),
                Keeping::AsItWas => {}
            }
        }
        for (step, fate) in &self.fates {
            match (step.verb, fate) {
                (Verb::Delete, Fate::Done(_)) => new.remove(&step.key),
                (Verb::Delete, Fate::Failed(_) | Fate::Skipped(_)) => {}
                (_, Fate::Done(_) | Fate::Failed(_)) => new.insert(&step.key),
                (_, Fate::Skipped(_)) => {}
            }
        }
        new
    }

    /// Remembers what was applied, so that the next run can leave it alone.
    pub fn remember(&self, desired: &DesiredSet, memory: &mut Memory) {
        for (step, fate) in &self.fates {
            let Fate::Done(done) = fate else { continue };
            match step.desired.and_then(|place| desired.at(place)) {
                Some(wanted) => memory.insert(
                    &step.key,
                    Applied { rendered: wanted.digest, owned: done.owned, uid: done.uid.clone() },
                ),
                None => memory.remove(&step.key),
            }
        }
    }
}

/// What a hold means for the inventory.
enum Keeping {
    /// The object is there, and ours.
    Name,
    /// The object is not ours, not there, or left to itself.
    LetGo,
    /// This run neither made nor let go of it.
    AsItWas,
}

fn keeping(hold: &Hold) -> Keeping {
    match hold {
        Hold::UpToDate | Hold::CreateOnly => Keeping::Name,
        Hold::OwnedByOther { .. }
        | Hold::EngineOwned
        | Hold::DeletionProtected
        | Hold::PruneOff
        | Hold::NotOurs { .. }
        | Hold::HandedOver { .. }
        | Hold::Gone => Keeping::LetGo,
        Hold::Disabled
        | Hold::IgnoredBySsa
        | Hold::Unreadable { .. }
        | Hold::Terminating
        | Hold::RenderIncomplete
        | Hold::GuardedDeletion { .. }
        | Hold::WaitsForCrd { .. }
        | Hold::DependsOnFailed { .. }
        | Hold::PartialApply => Keeping::AsItWas,
    }
}

/// A line for each step.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fates } = self;
        for (step, fate) in fates {
            writeln!(f, "{} {fate}", step.key)?;
        }
        Ok(())
    }
}
