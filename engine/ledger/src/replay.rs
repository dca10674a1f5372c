//! What the engine must remember, read back from the log.
//!
//! In: all entries in order. Out: what is known of every source, what was acknowledged, and the
//! intents that a crash left open. Nothing else keeps these, so nothing can disagree with the log.

use std::collections::{BTreeMap, BTreeSet};

use fixpoint_base::Digest;
use fixpoint_source::verdict::{Known, Position};

use crate::entry::{Body, Entry, Observe, Violation};
use crate::pin::Pins;

/// What is known of one source.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Accepted positions by store and name: another URL begins another history.
    pub known: BTreeMap<String, Known>,
    /// Acknowledged violations by id, with the index of the acknowledgement.
    pub acknowledged: BTreeMap<String, u64>,
    /// Violations by id, with the index of their entry.
    pub violations: BTreeMap<String, (u64, Violation)>,
    /// Index of the last admitted observation by store, name and commit.
    pub admitted: BTreeMap<(String, String, String), u64>,
    /// Versions that were refused for their signatures: store, name, commit and tag object.
    pub refused: BTreeSet<(String, String, String, Option<String>)>,
    /// Digest of the last artifact by store and name: one version may have several.
    pub artifacts: BTreeMap<(String, String), Digest>,
}

impl Source {
    /// The ids of all acknowledged violations.
    pub fn acknowledged_ids(&self) -> BTreeSet<String> {
        self.acknowledged.keys().cloned().collect()
    }
}

/// An intent without outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The delivery.
    pub subject: String,
    /// The target.
    pub target: String,
    /// Digest of the list of steps.
    pub plan: Digest,
}

/// The state that the entries read so far amount to.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Sources by subject.
    pub sources: BTreeMap<String, Source>,
    /// Open intents by index.
    pub open: BTreeMap<u64, Open>,
    /// Index of the last outcome that names an inventory, by subject.
    pub inventories: BTreeMap<String, u64>,
    /// Index of the last render, by subject.
    pub renders: BTreeMap<String, u64>,
    /// Where the last intent of each subject went.
    pub targets: BTreeMap<String, String>,
    /// The clusters that were met.
    pub pins: Pins,
}

impl Replay {
    /// Reads the entry at an index.
    pub fn entry(&mut self, index: u64, entry: &Entry) {
        let subject = entry.subject.clone();
        match &entry.body {
            Body::Observe(observe) => {
                let source = self.sources.entry(subject).or_default();
                let known = source.known.entry(observe.store.clone()).or_default();
                match &observe.position {
                    Some(position) if observe.admitted => {
                        accept(known, &observe.name, position);
                        if let Some(artifact) = observe.artifact {
                            let key = (observe.store.clone(), observe.name.clone());
                            source.artifacts.insert(key, artifact);
                        }
                        source.admitted.insert(
                            (observe.store.clone(), observe.name.clone(), position.commit.clone()),
                            index,
                        );
                    }
                    None => mark_gone(known, &observe.name),
                    Some(position) if is_unsigned(observe) => {
                        source.refused.insert((
                            observe.store.clone(),
                            observe.name.clone(),
                            position.commit.clone(),
                            position.tag_object.clone(),
                        ));
                    }
                    Some(_) => {}
                }
            }
            Body::Violation(violation) => {
                let source = self.sources.entry(subject).or_default();
                source.violations.insert(violation.id.clone(), (index, violation.clone()));
            }
            Body::Ack(ack) if self.pins.answer(index, &subject, &ack.id) => {}
            Body::Ack(ack) => {
                let source = self.sources.entry(subject).or_default();
                source.acknowledged.insert(ack.id.clone(), index);
            }
            Body::Render(_) => {
                self.renders.insert(subject, index);
            }
            Body::Meet(meet) => self.pins.met(index, entry, meet),
            Body::Intent(intent) => {
                self.targets.insert(subject.clone(), intent.target.clone());
                let open = Open { subject, target: intent.target.clone(), plan: intent.plan };
                self.open.insert(index, open);
            }
            Body::Outcome(outcome) => {
                self.open.remove(&outcome.intent);
                if outcome.inventory.is_some() {
                    self.inventories.insert(subject, index);
                }
            }
            Body::Resolve(resolve) => {
                self.open.remove(&resolve.intent);
            }
            Body::Genesis(_) | Body::Prune(_) | Body::Config(_) | Body::Approve(_) => {}
        }
    }
}

fn is_unsigned(observe: &Observe) -> bool {
    observe.signature.as_ref().is_some_and(|signature| signature.problem.is_some())
}

fn accept(known: &mut Known, name: &str, position: &Position) {
    if name.starts_with("semver ") {
        known.restore(format!("tag {}", position.name), position.clone());
    }
    known.restore(name.to_owned(), position.clone());
}

fn mark_gone(known: &mut Known, name: &str) {
    let found = known.positions().find(|(known, _)| *known == name);
    if let Some(position) = found.map(|(_, position)| position.clone()) {
        known.restore(name.to_owned(), Position { gone: true, ..position });
    }
}
