//! How much may be deleted unasked.

use std::fmt;

use fixpoint_base::{Digest, Key};

use crate::order;
use crate::owner::Owner;

/// How much one run may delete without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// As many objects.
    pub count: usize,
    /// As large a share of the inventory, in percent …
    pub percent: usize,
    /// … of a delivery that has more objects than this; in a smaller one a share says little.
    pub percent_above: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { count: 20, percent: 10, percent_above: 20 }
    }
}

/// Why a deletion waits for somebody to agree to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardReason {
    /// More objects than may go at once.
    Count {
        /// How many may.
        limit: usize,
    },
    /// A larger share of the delivery than may go at once.
    Share {
        /// Percent that may.
        limit: usize,
        /// Objects in the inventory.
        of: usize,
    },
    /// Nothing was rendered at all: an anomaly, not an instruction.
    EmptyRender,
    /// A definition goes, and with it every object of its kind.
    Definition(Key),
    /// A namespace goes, and with it everything inside.
    Namespace(Key),
}

impl fmt::Display for GuardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { limit } => write!(f, "more than {limit} objects"),
            Self::Share { limit, of } => write!(f, "more than {limit} % of {of} objects"),
            Self::EmptyRender => f.write_str("the rendering is empty"),
            Self::Definition(key) => write!(f, "{key} takes every object of its kind with it"),
            Self::Namespace(key) => write!(f, "{key} takes everything inside with it"),
        }
    }
}

/// A deletion that waits for somebody to agree to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// What to acknowledge; names exactly this set of objects, whatever revision asks for it.
    pub id: String,
    /// Why it waits.
    pub reasons: Vec<GuardReason>,
    /// How many objects would go.
    pub count: usize,
}

/// `22 deletions held: more than 20 objects; acknowledge 0123456789ab`.
impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, reasons, count } = self;
        let plural = if *count == 1 { "" } else { "s" };
        write!(f, "{count} deletion{plural} held: ")?;
        for (at, reason) in reasons.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{reason}")?;
        }
        write!(f, "; acknowledge {id}")
    }
}

/// What a deletion is judged by.
pub(crate) struct Deletion<'a> {
    pub owner: &'a Owner,
    /// The objects that would go, each with its uid.
    pub objects: &'a [(&'a Key, &'a str)],
    pub inventory: usize,
    pub desired: usize,
}

/// Judges a deletion; `None` where it is within the budget.
pub(crate) fn judge(deletion: &Deletion<'_>, budget: &Budget) -> Option<Guard> {
    let Deletion { owner, objects, inventory, desired } = deletion;
    let Budget { count, percent, percent_above } = *budget;
    if objects.is_empty() {
        return None;
    }
    let mut reasons = Vec::new();
    if *desired == 0 {
        reasons.push(GuardReason::EmptyRender);
    }
    if objects.len() > count {
        reasons.push(GuardReason::Count { limit: count });
    }
    if *inventory > percent_above && objects.len() * 100 > inventory * percent {
        reasons.push(GuardReason::Share { limit: percent, of: *inventory });
    }
    for (key, _) in *objects {
        if order::is_definition(&key.gvk) {
            reasons.push(GuardReason::Definition((*key).clone()));
        } else if order::is_namespace(&key.gvk) {
            reasons.push(GuardReason::Namespace((*key).clone()));
        }
    }
    (!reasons.is_empty()).then(|| Guard { id: id(owner, objects), reasons, count: objects.len() })
}

fn id(owner: &Owner, objects: &[(&Key, &str)]) -> String {
    let mut lines: Vec<String> =
        objects.iter().map(|(key, uid)| format!("{} {key} {uid}", key.gvk.group)).collect();
    lines.sort();
    let owner = owner.to_string();
    let parts = std::iter::once(owner.as_bytes()).chain(lines.iter().map(|line| line.as_bytes()));
    Digest::of_parts(parts).short()
}
