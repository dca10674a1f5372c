//! What a check found.

use std::collections::BTreeMap;
use std::fmt;

/// A rule; the crate's page says what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The ledger can be read.
    Readable,
    /// Every mutation is one of an intent's.
    Planned,
    /// The intent was there before.
    IntentFirst,
    /// The intent was not over.
    IntentOpen,
    /// What was written is what was meant.
    Content,
    /// No collection is deleted.
    NoSweep,
    /// Intents do not stay open.
    Settled,
    /// Deletions are of the delivery's own objects.
    Owned,
    /// Deletions wait until everything else is done.
    Complete,
    /// What is claimed was granted.
    Happened,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Readable => "readable",
            Self::Planned => "planned",
            Self::IntentFirst => "intent-first",
            Self::IntentOpen => "intent-open",
            Self::Content => "content",
            Self::NoSweep => "no-sweep",
            Self::Settled => "settled",
            Self::Owned => "owned",
            Self::Complete => "complete",
            Self::Happened => "happened",
        })
    }
}

/// A rule that was broken, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// By what.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// What was looked at, and what was wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Mutations that an intent had to cover.
    pub mutations: usize,
    /// The engine's bookkeeping, by the reason why it needs no intent.
    pub exempt: BTreeMap<&'static str, usize>,
    /// Intents in the ledger for that target.
    pub intents: usize,
    /// Intents that are still open: a crash that nobody came back from, or a run that goes on.
    pub open: usize,
    /// Bodies that were compared with a digest.
    pub compared: usize,
    /// Deletions that go by an inventory older than the ledger.
    pub unjudged: usize,
    /// Everything that is wrong.
    pub broken: Vec<Broken>,
}

impl Report {
    /// Whether every rule holds.
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    /// Notes a broken rule.
    pub fn breaks(&mut self, rule: Rule, what: impl Into<String>) {
        self.broken.push(Broken { rule, what: what.into() });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for broken in &self.broken {
            writeln!(f, "! {broken}")?;
        }
        let exempt: usize = self.exempt.values().sum();
        write!(
            f,
            "{} mutations by {} intents ({} open), {} bodies compared, {} deletions not judged, \
             {exempt} of bookkeeping",
            self.mutations, self.intents, self.open, self.compared, self.unjudged
        )?;
        write!(f, ": {} rules broken", self.broken.len())
    }
}
