//! Whether the entries of a log make sense together.
//!
//! In: all entries in order. Out: every problem found, each at its index. The tree proves that
//! nothing was changed afterwards; this proves that what was done was allowed when it was done.

use std::collections::BTreeMap;
use std::fmt;

use fixpoint_base::Digest;
use fixpoint_source::verdict::{History, Position, Verdict};

use crate::entry::{
    Ack, Approve, Body, Config, Entry, Genesis, Included, Intent, Meet, Observe, Outcome, Prune,
    Render, Resolve, Violation,
};

/// Something that does not make sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Index of the entry.
    pub index: u64,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}: {}", self.index, self.what)
    }
}

/// An observation, as far as later entries refer to it.
struct Admitted {
    admitted: bool,
    tree: Option<Digest>,
}

struct Planned {
    subject: String,
    deletes: u64,
    inventory: Option<u64>,
    settled: bool,
}

/// Reads entries one after the other; [`Audit::finish`] gives what is wrong.
#[derive(Default)]
pub struct Audit {
    next: u64,
    problems: Vec<Problem>,
    subjects: BTreeMap<String, u64>,
    /// The last admitted position by subject, store and name.
    accepted: BTreeMap<(String, String, String), Position>,
    observed: BTreeMap<u64, Admitted>,
    violations: BTreeMap<u64, (String, Violation)>,
    acks: BTreeMap<u64, u64>,
    /// Clusters that were not let in, by index.
    strangers: BTreeMap<u64, (String, Meet)>,
    /// The cluster on record by subject and server.
    pins: BTreeMap<(String, String), String>,
    renders: BTreeMap<u64, String>,
    intents: BTreeMap<u64, Planned>,
    /// Outcomes that name an inventory, by subject.
    inventories: BTreeMap<u64, String>,
}

impl Audit {
    /// Reads the next entry.
    pub fn entry(&mut self, entry: &Entry) {
        let index = self.next;
        self.next += 1;
        let mut problems = Vec::new();
        if (index == 0) != matches!(entry.body, Body::Genesis(_)) {
            problems.push("genesis is the first entry, and only that".to_owned());
        }
        let prev = self.subjects.insert(entry.subject.clone(), index);
        if prev != entry.prev {
            problems.push(format!("its subject's previous entry is {}", or_none(prev)));
        }
        let subject = &entry.subject;
        problems.extend(match &entry.body {
            Body::Genesis(Genesis { .. })
            | Body::Config(Config { .. })
            | Body::Approve(Approve { .. }) => None,
            Body::Observe(observe) => self.observe(index, subject, observe),
            Body::Violation(violation) => {
                self.violations.insert(index, (subject.clone(), violation.clone()));
                None
            }
            Body::Ack(ack) => self.ack(index, subject, ack),
            Body::Meet(meet) => self.meet(index, subject, meet),
            Body::Render(render) => self.render(index, subject, render),
            Body::Intent(intent) => self.intent(index, subject, intent),
            Body::Outcome(outcome) => self.outcome(index, subject, outcome),
            Body::Prune(prune) => self.prune(subject, prune),
            Body::Resolve(Resolve { intent, .. }) => self.settle(subject, *intent),
        });
        self.problems.extend(problems.into_iter().map(|what| Problem { index, what }));
    }

    /// How many entries were read.
    pub fn read(&self) -> u64 {
        self.next
    }

    /// Intents that have no outcome yet, oldest first.
    pub fn open_intents(&self) -> impl Iterator<Item = u64> {
        self.intents.iter().filter(|(_, planned)| !planned.settled).map(|(index, _)| *index)
    }

    /// All problems in order.
    pub fn finish(self) -> Vec<Problem> {
        self.problems
    }

    fn observe(&mut self, index: u64, subject: &str, observe: &Observe) -> Option<String> {
        let key = (subject.to_owned(), observe.store.clone(), observe.name.clone());
        let before = self.accepted.get(&key);
        let problem = contradiction(before, observe)
            .or_else(|| self.unallowed(subject, observe))
            .or_else(|| self.unobserved(observe))
            .or_else(|| unsigned(observe));
        if observe.admitted
            && let Some(position) = &observe.position
        {
            self.accepted.insert(key, position.clone());
        }
        let own = observe.position.as_ref().and_then(|position| position.tree);
        let tree = observe.whole.or(own);
        self.observed.insert(index, Admitted { admitted: observe.admitted, tree });
        problem
    }

    /// What it includes must have been admitted itself.
    fn unobserved(&self, observe: &Observe) -> Option<String> {
        observe.included.iter().find_map(|Included { observe: at, source, .. }| {
            match self.observed.get(at) {
                None => Some(format!("there is no observation of {source} at {at}")),
                Some(Admitted { admitted: false, .. }) => {
                    Some(format!("it includes {source}, which was held at {at}"))
                }
                Some(_) => None,
            }
        })
    }

    /// Why an observation must not have been admitted.
    fn unallowed(&self, subject: &str, observe: &Observe) -> Option<String> {
        if !observe.admitted || observe.verdict.is_honest() {
            return None;
        }
        let Some(position) = &observe.position else {
            return Some("it admits a name that is gone".to_owned());
        };
        if observe.history != History::Enforce {
            return None;
        }
        let Some(ack) = observe.ack else {
            return Some(format!("it admits a {} without acknowledgement", observe.verdict));
        };
        let answered = self.acks.get(&ack).and_then(|violation| self.violations.get(violation));
        match answered {
            Some((of, violation))
                if of == subject
                    && violation.name == observe.name
                    && violation.new.as_ref().map(|new| &new.commit) == Some(&position.commit) =>
            {
                None
            }
            Some(_) => Some(format!("the acknowledgement at {ack} is of something else")),
            None => Some(format!("there is no acknowledgement at {ack}")),
        }
    }

    fn ack(&mut self, index: u64, subject: &str, ack: &Ack) -> Option<String> {
        self.acks.insert(index, ack.violation);
        if let Some((of, meet)) = self.strangers.get(&ack.violation) {
            let right = of == subject && meet.id.as_ref() == Some(&ack.id);
            return (!right).then(|| format!("the meeting at {} is another one", ack.violation));
        }
        match self.violations.get(&ack.violation) {
            Some((of, violation)) if of == subject && violation.id == ack.id => None,
            Some(_) => Some(format!("the violation at {} is another one", ack.violation)),
            None => Some(format!("there is no violation at {}", ack.violation)),
        }
    }

    fn meet(&mut self, index: u64, subject: &str, meet: &Meet) -> Option<String> {
        let at = (subject.to_owned(), meet.server.clone());
        let pinned = self.pins.get(&at).cloned();
        if pinned != meet.before {
            return Some(format!(
                "the cluster on record is {}",
                pinned.as_deref().unwrap_or("none")
            ));
        }
        if !meet.admitted {
            self.strangers.insert(index, (subject.to_owned(), meet.clone()));
            return None;
        }
        self.pins.insert(at, meet.cluster.clone());
        pinned.as_ref()?;
        let Some(ack) = meet.ack else {
            return Some("it puts another cluster on record without acknowledgement".to_owned());
        };
        let answered = self.acks.get(&ack).and_then(|held| self.strangers.get(held));
        match answered {
            Some((of, held)) if of == subject && held.cluster == meet.cluster => None,
            Some(_) => Some(format!("the acknowledgement at {ack} is of another cluster")),
            None => Some(format!("there is no acknowledgement at {ack}")),
        }
    }

    fn render(&mut self, index: u64, subject: &str, render: &Render) -> Option<String> {
        self.renders.insert(index, subject.to_owned());
        render.inputs.iter().find_map(|input| {
            let at = input.observe;
            match self.observed.get(&at) {
                None => Some(format!("there is no observation at {at}")),
                Some(Admitted { admitted: false, .. }) => {
                    Some(format!("the observation at {at} was held"))
                }
                Some(Admitted { tree: Some(tree), .. }) if *tree != input.tree => {
                    Some(format!("the observation at {at} is of other content"))
                }
                Some(_) => None,
            }
        })
    }

    fn intent(&mut self, index: u64, subject: &str, intent: &Intent) -> Option<String> {
        let Intent { render, inventory, deletes, applies, .. } = intent;
        self.intents.insert(
            index,
            Planned {
                subject: subject.to_owned(),
                deletes: *deletes,
                inventory: *inventory,
                settled: false,
            },
        );
        match render {
            None if *applies > 0 => return Some("it applies what was not rendered".to_owned()),
            Some(render) if self.renders.get(render).map(String::as_str) != Some(subject) => {
                return Some(format!("its subject has no render at {render}"));
            }
            _ => {}
        }
        match inventory {
            Some(inventory) => self.unowned(subject, *inventory),
            None if *deletes > 0 => Some("it deletes what no inventory names".to_owned()),
            None => None,
        }
    }

    fn unowned(&self, subject: &str, inventory: u64) -> Option<String> {
        let owner = self.inventories.get(&inventory).map(String::as_str);
        (owner != Some(subject)).then(|| format!("its subject has no inventory at {inventory}"))
    }

    fn outcome(&mut self, index: u64, subject: &str, outcome: &Outcome) -> Option<String> {
        if outcome.inventory.is_some() {
            self.inventories.insert(index, subject.to_owned());
        }
        if let Some(planned) = self.intents.get(&outcome.intent)
            && outcome.deleted > planned.deletes
        {
            return Some("it deleted more than its intent names".to_owned());
        }
        self.settle(subject, outcome.intent)
    }

    fn settle(&mut self, subject: &str, intent: u64) -> Option<String> {
        match self.intents.get_mut(&intent) {
            Some(planned) if planned.subject != subject => {
                Some(format!("the intent at {intent} is of {}", planned.subject))
            }
            Some(planned) if planned.settled => {
                Some(format!("the intent at {intent} has an outcome already"))
            }
            Some(planned) => {
                planned.settled = true;
                None
            }
            None => Some(format!("there is no intent at {intent}")),
        }
    }

    fn prune(&self, subject: &str, prune: &Prune) -> Option<String> {
        let Some(planned) = self.intents.get(&prune.intent) else {
            return Some(format!("there is no intent at {}", prune.intent));
        };
        if planned.subject != subject {
            return Some(format!("the intent at {} is of {}", prune.intent, planned.subject));
        }
        if planned.inventory != Some(prune.inventory) {
            return Some("its intent goes by another inventory".to_owned());
        }
        if prune.count > planned.deletes {
            return Some("it deleted more than its intent names".to_owned());
        }
        self.unowned(subject, prune.inventory)
    }
}

/// Why an observation must not have been admitted, given its signature.
fn unsigned(observe: &Observe) -> Option<String> {
    let problem = observe.signature.as_ref()?.problem.as_ref()?;
    observe.admitted.then(|| format!("it admits what was refused for its signature: {problem}"))
}

/// Why a verdict cannot be right, given the last admitted position.
fn contradiction(before: Option<&Position>, observe: &Observe) -> Option<String> {
    let now = observe.position.as_ref();
    let same = before.zip(now).is_some_and(|(before, now)| {
        (&before.name, &before.commit, &before.tag_object)
            == (&now.name, &now.commit, &now.tag_object)
    });
    let right = match observe.verdict {
        Verdict::First => before.is_none() && now.is_some(),
        Verdict::Same => same,
        Verdict::Vanished => now.is_none(),
        Verdict::Forward => before.is_some() && now.is_some() && !same,
        Verdict::Rollback
        | Verdict::Fork
        | Verdict::Moved
        | Verdict::Reappeared
        | Verdict::Unknown => true,
    };
    (!right).then(|| format!("its verdict {} contradicts what came before", observe.verdict))
}

fn or_none(index: Option<u64>) -> String {
    index.map_or("none".to_owned(), |index| index.to_string())
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
