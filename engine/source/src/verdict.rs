//! What a new observation of a name means for its history, and whether it may be delivered.
//!
//! In: what was accepted before, what the store says now, how the two relate. Out: a verdict, and
//! under a policy either a delivery or a hold with its evidence. A hold never unpicks what is
//! delivered already, and no verdict depends on anything but its arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use fixpoint_base::{Class, Classified, Digest};
use serde::{Deserialize, Serialize};

use crate::store::{Ancestry, NameClass, Pointer, Reference};

/// What a new observation of a name means for its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The name was never seen before: it is trusted and recorded.
    First,
    /// Nothing changed.
    Same,
    /// The new version descends from the old one.
    Forward,
    /// The new version is older than the one accepted before.
    Rollback,
    /// The history was rewritten: the accepted version is no longer part of it.
    Fork,
    /// A name that never moves points to something else.
    Moved,
    /// The name is gone.
    Vanished,
    /// The name was gone and is back with something else.
    Reappeared,
    /// How old and new relate could not be told.
    Unknown,
}

impl Verdict {
    /// Whether history was kept.
    pub const fn is_honest(self) -> bool {
        match self {
            Self::First | Self::Same | Self::Forward => true,
            Self::Rollback
            | Self::Fork
            | Self::Moved
            | Self::Vanished
            | Self::Reappeared
            | Self::Unknown => false,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Same => "same",
            Self::Forward => "forward",
            Self::Rollback => "rollback",
            Self::Fork => "fork",
            Self::Moved => "moved",
            Self::Vanished => "vanished",
            Self::Reappeared => "reappeared",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The name that a reference follows, as a person would say it: `branch main`, `tag v1.2`,
/// `semver 6.x`.
///
/// Two references to one name have one text, however they are written.
pub fn name_of(reference: &Reference) -> String {
    match reference {
        Reference::Commit { id, .. } => format!("commit {id}"),
        Reference::Name(full) => name_of_ref(full),
        Reference::Semver(range) => format!("semver {range}"),
        Reference::Tag(tag) => format!("tag {tag}"),
        Reference::Branch(branch) => format!("branch {branch}"),
    }
}

fn name_of_ref(full: &str) -> String {
    if let Some(branch) = full.strip_prefix("refs/heads/") {
        format!("branch {branch}")
    } else if let Some(tag) = full.strip_prefix("refs/tags/") {
        format!("tag {tag}")
    } else {
        format!("ref {full}")
    }
}

/// The last version of a name that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The tag that a range chose; otherwise the name without its kind.
    pub name: String,
    /// The commit.
    pub commit: String,
    /// The tag object of an annotated tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_object: Option<String>,
    /// Digest of its tree, once its content was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Digest>,
    /// Digest of what was selected of the content; absent where nothing was declared. Trees are
    /// compared only where the same was selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Digest>,
    /// Whether the name was gone when it was last looked for.
    #[serde(default)]
    pub gone: bool,
}

impl Position {
    /// The position that accepting a pointer leads to.
    pub fn of(pointer: &Pointer, read: Option<Read>) -> Self {
        Self {
            name: pointer.name.clone(),
            commit: pointer.commit.clone(),
            tag_object: pointer.tag_object.clone(),
            tree: read.map(|read| read.tree),
            selection: read.and_then(|read| read.selection),
            gone: false,
        }
    }

    /// What its content was found to be.
    fn read(&self) -> Option<Read> {
        self.tree.map(|tree| Read { tree, selection: self.selection })
    }

    /// Whether a pointer leads to the very same objects.
    fn is_at(&self, pointer: &Pointer) -> bool {
        self.commit == pointer.commit && self.tag_object == pointer.tag_object
    }
}

/// What the content of a version was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Digest of the tree.
    pub tree: Digest,
    /// Digest of what was selected of it.
    pub selection: Option<Digest>,
}

/// What a store says about a name now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// It leads here; what its content is where it was read.
    At(&'a Pointer, Option<Read>),
    /// It is not there.
    Gone,
}

/// Tells which old commit to ask the store about, if the verdict depends on ancestry.
pub fn asks_about<'a>(known: Option<&'a Position>, pointer: &Pointer) -> Option<&'a str> {
    match pointer.class {
        NameClass::Branch => {
            known.filter(|known| known.commit != pointer.commit).map(|known| known.commit.as_str())
        }
        NameClass::Tag | NameClass::Semver | NameClass::Commit => None,
    }
}

/// Judges what is seen of a name against what was accepted before.
///
/// `ancestry` is the store's answer to [`asks_about`]; where that asks nothing it does not matter.
/// A name that is gone and was never seen is [`Verdict::Unknown`]: there is nothing to judge.
pub fn classify(known: Option<&Position>, seen: &Seen<'_>, ancestry: Ancestry) -> Verdict {
    match (known, seen) {
        (None, Seen::Gone) => Verdict::Unknown,
        (None, Seen::At(..)) => Verdict::First,
        (Some(_), Seen::Gone) => Verdict::Vanished,
        (Some(known), Seen::At(pointer, read)) => {
            // One id, two contents: a collision, or a store that lies.
            let other_tree = known
                .tree
                .zip(*read)
                .is_some_and(|(old, new)| known.selection == new.selection && old != new.tree);
            if known.commit == pointer.commit && other_tree {
                return Verdict::Moved;
            }
            let verdict = match pointer.class {
                NameClass::Branch => classify_branch(known, pointer, ancestry),
                NameClass::Tag | NameClass::Commit => classify_fixed(known, pointer),
                NameClass::Semver => classify_range(known, pointer),
            };
            match verdict {
                Verdict::Fork | Verdict::Moved | Verdict::Unknown if known.gone => {
                    Verdict::Reappeared
                }
                verdict => verdict,
            }
        }
    }
}

fn classify_branch(known: &Position, pointer: &Pointer, ancestry: Ancestry) -> Verdict {
    if known.commit == pointer.commit {
        return Verdict::Same;
    }
    match ancestry {
        Ancestry::Same => Verdict::Same,
        Ancestry::Forward => Verdict::Forward,
        Ancestry::Backward => Verdict::Rollback,
        Ancestry::Diverged => Verdict::Fork,
        Ancestry::Unknown => Verdict::Unknown,
    }
}

fn classify_fixed(known: &Position, pointer: &Pointer) -> Verdict {
    if known.is_at(pointer) { Verdict::Same } else { Verdict::Moved }
}

/// A range takes the highest tag: it may rise, and falls only when a higher tag was taken away.
fn classify_range(known: &Position, pointer: &Pointer) -> Verdict {
    if known.name == pointer.name {
        return classify_fixed(known, pointer);
    }
    match (version(&known.name), version(&pointer.name)) {
        (Some(old), Some(new)) if new >= old => Verdict::Forward,
        (Some(_), Some(_)) => Verdict::Rollback,
        _ => Verdict::Unknown,
    }
}

fn version(tag: &str) -> Option<semver::Version> {
    let plain = tag.strip_prefix('v').unwrap_or(tag);
    // Tags such as `1.2` count as `1.2.0`, as Flux has it.
    let (numbers, suffix) = match plain.find(['-', '+']) {
        Some(at) => plain.split_at(at),
        None => (plain, ""),
    };
    let missing = 3usize.saturating_sub(numbers.split('.').count());
    semver::Version::parse(&format!("{numbers}{}{suffix}", ".0".repeat(missing))).ok()
}

/// Everything that was accepted of one source, by name.
///
/// Following another branch or range begins a history of its own; what is known of the old one
/// stays, so coming back to it is judged against it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Known {
    positions: BTreeMap<String, Position>,
}

impl Known {
    /// What was accepted for the name that a reference follows.
    pub fn position(&self, reference: &Reference) -> Option<&Position> {
        self.positions.get(&name_of(reference))
    }

    /// All names with their positions.
    pub fn positions(&self) -> impl Iterator<Item = (&str, &Position)> {
        self.positions.iter().map(|(name, position)| (name.as_str(), position))
    }

    /// Puts a position back, as read from a record.
    pub fn restore(&mut self, name: String, position: Position) {
        self.positions.insert(name, position);
    }

    /// Judges what is seen of a reference.
    ///
    /// For a range, the tag that it chose is judged too: one that was seen before, through
    /// whichever reference, must still be where it was.
    pub fn judge(&self, reference: &Reference, seen: &Seen<'_>, ancestry: Ancestry) -> Finding {
        let known = self.position(reference);
        let mut verdict = classify(known, seen, ancestry);
        let mut old = known.cloned();
        if let Seen::At(pointer, read) = seen
            && pointer.class == NameClass::Semver
            && verdict.is_honest()
            && let Some(tag) = self.positions.get(&format!("tag {}", pointer.name))
        {
            let fixed = Pointer { class: NameClass::Tag, ..(*pointer).clone() };
            let judged = classify(Some(tag), &Seen::At(&fixed, *read), ancestry);
            if !judged.is_honest() {
                verdict = judged;
                old = Some(tag.clone());
            }
        }
        let new = match seen {
            Seen::At(pointer, read) => Some(Position::of(pointer, *read)),
            Seen::Gone => None,
        };
        Finding { name: name_of(reference), verdict, old, new }
    }

    /// Records that a version was accepted: delivered under its policy, or acknowledged.
    ///
    /// Without the digest of its content, one that is known for the same commit stays.
    pub fn accept(&mut self, reference: &Reference, pointer: &Pointer, read: Option<Read>) {
        let before = self.position(reference).filter(|before| before.commit == pointer.commit);
        let position = Position::of(pointer, read.or(before.and_then(Position::read)));
        if pointer.class == NameClass::Semver {
            self.leave_behind(reference, pointer);
            self.positions.insert(format!("tag {}", pointer.name), position.clone());
        }
        self.positions.insert(name_of(reference), position);
    }

    /// A range that fell lost its higher tag.
    fn leave_behind(&mut self, reference: &Reference, pointer: &Pointer) {
        let Some(before) = self.position(reference) else { return };
        if classify_range(before, pointer) == Verdict::Rollback {
            let tag = format!("tag {}", before.name);
            if let Some(tag) = self.positions.get_mut(&tag) {
                tag.gone = true;
            }
        }
    }

    /// Records that a name was not there; only one that was accepted before can be gone.
    pub fn mark_gone(&mut self, reference: &Reference) {
        if let Some(position) = self.positions.get_mut(&name_of(reference)) {
            position.gone = true;
        }
    }
}

/// A verdict with what it was reached from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name, such as `branch main`.
    pub name: String,
    /// What the observation means.
    pub verdict: Verdict,
    /// What was accepted before.
    pub old: Option<Position>,
    /// What is there now.
    pub new: Option<Position>,
}

/// What a broken promise does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum History {
    /// It holds the last good version until someone acknowledges it.
    Enforce,
    /// It is delivered and reported.
    Warn,
    /// It is no promise: moves are legal, and recorded.
    Mutable,
}

/// A word that is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("history policy {0:?} does not exist")]
pub struct UnknownHistory(String);

impl Classified for UnknownHistory {
    fn class(&self) -> Class {
        Class::User
    }

    fn hint(&self) -> Option<String> {
        Some("use enforce, warn or mutable".to_owned())
    }
}

impl FromStr for History {
    type Err = UnknownHistory;

    fn from_str(text: &str) -> Result<Self, UnknownHistory> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "warn" => Ok(Self::Warn),
            "mutable" => Ok(Self::Mutable),
            _ => Err(UnknownHistory(text.chars().take(60).collect())),
        }
    }
}

impl History {
    /// The policy of a class of names where none is declared.
    pub const fn default_for(class: NameClass) -> Self {
        match class {
            NameClass::Branch | NameClass::Tag | NameClass::Semver | NameClass::Commit => {
                Self::Enforce
            }
        }
    }
}

/// A promise that a store broke, with the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Twelve hex digits that stand for this source, name, old and new version and verdict, and for
    /// where the old version is on record: what `fixpoint ack` refers to. Any further move is
    /// another violation, also the very same one made again after the store was right meanwhile.
    pub id: String,
    /// The source, such as `GitRepository/shop/web`.
    pub source: String,
    /// The name, such as `branch main`.
    pub name: String,
    /// What happened to it.
    pub verdict: Verdict,
    /// What was accepted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Position>,
    /// What is there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Position>,
}

impl Violation {
    /// The violation that a finding amounts to; `None` where history was kept. `since` is where the
    /// acceptance of the old version is on record.
    pub fn of(source: &str, finding: &Finding, since: Option<u64>) -> Option<Self> {
        let Finding { name, verdict, old, new } = finding;
        if verdict.is_honest() {
            return None;
        }
        let since = since.map(|index| index.to_string()).unwrap_or_default();
        let mut parts = vec![source.to_owned(), name.clone(), verdict.word().to_owned(), since];
        for position in [old, new] {
            parts.extend(position.iter().flat_map(identity));
            parts.push("|".to_owned());
        }
        // Content is evidence only where nothing else differs; it is read after the verdict, and
        // the id must not change when it is.
        if let (Some(old), Some(new)) = (old, new)
            && old.commit == new.commit
        {
            parts.extend([old.tree, new.tree].iter().flatten().map(Digest::to_string));
        }
        let id = Digest::of_parts(parts.iter().map(String::as_bytes)).short();
        Some(Self {
            id,
            source: source.to_owned(),
            name: name.clone(),
            verdict: *verdict,
            old: old.clone(),
            new: new.clone(),
        })
    }

    /// What happened, without what is done about it: `branch main was rewritten: …`.
    pub fn fact(&self) -> String {
        let Self { name, verdict, old, new, .. } = self;
        let (was, is) = (short(old.as_ref()), short(new.as_ref()));
        match verdict {
            Verdict::First | Verdict::Same | Verdict::Forward => format!("{name} is at {is}"),
            Verdict::Rollback => match name.strip_prefix("semver ") {
                Some(range) => format!(
                    "the highest tag within {range} went back from {} to {}",
                    label(old.as_ref()),
                    label(new.as_ref())
                ),
                None => format!("{name} went back: {is} is an ancestor of {was}"),
            },
            Verdict::Fork => {
                format!("{name} was rewritten: {was} is no longer an ancestor of {is}")
            }
            Verdict::Moved => self.fact_of_move(&was, &is),
            Verdict::Vanished => format!("{name} is gone: it was at {was}"),
            Verdict::Reappeared => {
                format!("{name} was deleted and came back at {is} instead of {was}")
            }
            Verdict::Unknown => format!(
                "{name} went from {was} to {is}, and it could not be told whether the one \
                 descends from the other"
            ),
        }
    }

    fn fact_of_move(&self, was: &str, is: &str) -> String {
        // A range breaks its promise through the tag that it chose.
        let name = match &self.new {
            Some(new) if self.name.starts_with("semver ") => format!("tag {}", new.name),
            _ => self.name.clone(),
        };
        let objects = |position: &Option<Position>| {
            position.as_ref().map(|position| position.tag_object.clone())
        };
        if was != is {
            format!("{name} was moved from {was} to {is}")
        } else if objects(&self.old) != objects(&self.new) {
            format!("{name} was made anew: its tag object is another one for the same {was}")
        } else {
            format!("{name} has other content than before under the same {was}")
        }
    }

    /// One sentence for a status that holds the last good version.
    pub fn held(&self) -> String {
        format!("{}; the last good version stays", self.fact())
    }

    /// One sentence for a status that delivers all the same.
    pub fn warned(&self) -> String {
        format!("{}; it is delivered all the same", self.fact())
    }
}

/// What tells one position from another, as text.
fn identity(position: &Position) -> Vec<String> {
    let Position { name, commit, tag_object, tree: _, selection: _, gone: _ } = position;
    vec![name.clone(), commit.clone(), tag_object.clone().unwrap_or_default()]
}

/// Seven digits, as Git prints them.
fn short(position: Option<&Position>) -> String {
    position.map_or("nothing".to_owned(), |position| position.commit.chars().take(7).collect())
}

fn label(position: Option<&Position>) -> &str {
    position.map_or("nothing", |position| position.name.as_str())
}

/// What is done with what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It goes on to be rendered; the violation, if any, is reported all the same.
    Deliver {
        /// What is wrong with it, under a policy that only warns.
        warning: Option<Violation>,
    },
    /// The last good version stays.
    Hold {
        /// Why.
        violation: Violation,
    },
}

/// Decides whether what was found may be delivered.
///
/// `since` is where the acceptance of the old version is on record; `acknowledged` holds the ids of
/// violations that someone answered for. A name that is gone is
/// held under every policy: there is nothing to deliver.
pub fn decide(
    source: &str,
    finding: &Finding,
    since: Option<u64>,
    history: History,
    acknowledged: &BTreeSet<String>,
) -> Delivery {
    let Some(violation) = Violation::of(source, finding, since) else {
        return Delivery::Deliver { warning: None };
    };
    match history {
        _ if finding.new.is_none() => Delivery::Hold { violation },
        History::Mutable => Delivery::Deliver { warning: None },
        History::Warn => Delivery::Deliver { warning: Some(violation) },
        History::Enforce if acknowledged.contains(&violation.id) => {
            Delivery::Deliver { warning: None }
        }
        History::Enforce => Delivery::Hold { violation },
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
