//! What the ledger says was meant to be done.
//!
//! In: its entries in order, with the lists of steps that they name. Out: each intent with its
//! steps, when it began and when it was over.

use std::collections::{BTreeMap, BTreeSet};

use fixpoint_base::Digest;
use fixpoint_driver_store::Indexed;
use fixpoint_ledger::Action;
use fixpoint_ledger::entry::{Body, Entry, Outcome};
use jiff::Timestamp;
use serde_json::Value;

use crate::object::Named;

/// One object of an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The object.
    pub object: Named,
    /// What may be done to it.
    pub action: Action,
    /// Digest of what it will be.
    pub digest: Option<Digest>,
}

/// How an intent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// When, in the ledger's whole seconds.
    pub time: Timestamp,
    /// What was claimed; `None` after a crash.
    pub outcome: Option<Outcome>,
}

/// One intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Index of its entry.
    pub index: u64,
    /// The delivery.
    pub subject: String,
    /// Which target it is for.
    pub target: String,
    /// When it was on record, in the ledger's whole seconds.
    pub time: Timestamp,
    /// What it covers.
    pub steps: Vec<Step>,
    /// How it ended.
    pub end: Option<End>,
}

/// Something in the ledger that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Index of the entry.
    pub index: u64,
    /// What is wrong.
    pub what: String,
}

/// All intents of a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intents {
    /// In order.
    pub all: Vec<Intent>,
    /// Deliveries whose inventory is older than this ledger.
    pub older: BTreeSet<String>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

impl Intents {
    /// Reads entries; `body` gives the text that a digest names.
    pub fn read(entries: &[Indexed], mut body: impl FnMut(&Digest) -> Option<Vec<u8>>) -> Self {
        let mut read = Self::default();
        let mut places: BTreeMap<u64, usize> = BTreeMap::new();
        for Indexed { index, entry } in entries {
            if let Err(what) = read.entry(*index, entry, &mut places, &mut body) {
                read.problems.push(Problem { index: *index, what });
            }
        }
        read
    }

    fn entry(
        &mut self,
        index: u64,
        entry: &Entry,
        places: &mut BTreeMap<u64, usize>,
        body: &mut impl FnMut(&Digest) -> Option<Vec<u8>>,
    ) -> Result<(), String> {
        let time: Timestamp = entry.time.parse().map_err(|_| "its time is none".to_owned())?;
        match &entry.body {
            Body::Intent(intent) => {
                let text = body(&intent.plan).ok_or("its steps are missing")?;
                let steps = steps(&text).ok_or("its steps cannot be read")?;
                places.insert(index, self.all.len());
                self.all.push(Intent {
                    index,
                    subject: entry.subject.clone(),
                    target: intent.target.clone(),
                    time,
                    steps,
                    end: None,
                });
            }
            Body::Outcome(outcome) => {
                if let Some(intent) = self.at(places, outcome.intent) {
                    // An inventory that no step led to was put on record as it was found.
                    let found = intent.steps.is_empty() && outcome.inventory.is_some();
                    intent.end = Some(End { time, outcome: Some(outcome.clone()) });
                    if found {
                        self.older.insert(entry.subject.clone());
                    }
                }
            }
            Body::Resolve(resolve) => {
                if let Some(intent) = self.at(places, resolve.intent) {
                    intent.end = Some(End { time, outcome: None });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn at(&mut self, places: &BTreeMap<u64, usize>, index: u64) -> Option<&mut Intent> {
        self.all.get_mut(*places.get(&index)?)
    }
}

fn steps(text: &[u8]) -> Option<Vec<Step>> {
    let body: Value = serde_json::from_slice(text).ok()?;
    body["steps"].as_array()?.iter().map(step).collect()
}

fn step(step: &Value) -> Option<Step> {
    let object = &step["object"];
    let text = |field: &str| object[field].as_str().map(str::to_owned);
    let version = text("apiVersion")?;
    let group = version.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
    Some(Step {
        object: Named {
            group,
            kind: text("kind")?,
            namespace: text("namespace")?,
            name: text("name")?,
        },
        action: serde_json::from_value(step["action"].clone()).ok()?,
        digest: serde_json::from_value(step["digest"].clone()).ok()?,
    })
}
