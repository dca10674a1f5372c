//! The rules that the crate's page lists.
//!
//! In: intents and mutations. Out: what breaks a rule. Each rule looks at all there is, so that
//! one finding does not hide another.

use std::collections::{BTreeMap, BTreeSet};

use fixpoint_base::canonical;
use fixpoint_ledger::Action;
use jiff::{SignedDuration, Timestamp};

use crate::exempt;
use crate::intents::{Intent, Intents, Step};
use crate::log::{Log, Mutation, Verb};
use crate::object::Named;
use crate::report::{Report, Rule};

/// The ledger's times are cut to whole seconds: what ended in a second may have ended at its end.
const GRAIN: SignedDuration = SignedDuration::from_secs(1);

/// What is known besides.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The target that the log is of; without it, intents for any target count.
    pub target: Option<String>,
    /// How far the clocks of engine and server may be apart.
    pub skew: SignedDuration,
}

/// Checks every rule.
pub fn check(intents: &Intents, log: &Log, options: &Options) -> Report {
    let mut report = Report::default();
    for problem in &intents.problems {
        report.breaks(Rule::Readable, format!("entry {}: {}", problem.index, problem.what));
    }
    let chosen: Vec<&Intent> = intents
        .all
        .iter()
        .filter(|intent| options.target.as_ref().is_none_or(|target| intent.target == *target))
        .collect();
    report.intents = chosen.len();
    report.open = chosen.iter().filter(|intent| intent.end.is_none()).count();
    let plans = Plans::new(&chosen, options.skew);
    let mut granted = Granted::default();
    for mutation in &log.mutations {
        match exempt::reason(mutation) {
            Some(exempt::DEFINITIONS) if !plans.of(mutation).is_empty() => {
                judge(&plans, mutation, &mut granted, &mut report);
            }
            Some(reason) => *report.exempt.entry(reason).or_default() += 1,
            None => judge(&plans, mutation, &mut granted, &mut report),
        }
    }
    settled(&chosen, &mut report);
    owned(&chosen, &intents.older, &mut report);
    happened(&chosen, &granted, &mut report);
    report
}

/// What the server granted, by intent and step.
#[derive(Default)]
struct Granted(BTreeSet<(usize, usize)>);

/// The steps that there are for an object.
struct Plans<'a> {
    intents: &'a [&'a Intent],
    /// By group and name, which ledger and log spell alike.
    places: BTreeMap<(&'a str, &'a str), Vec<(usize, usize)>>,
    skew: SignedDuration,
}

impl<'a> Plans<'a> {
    fn new(intents: &'a [&'a Intent], skew: SignedDuration) -> Self {
        let mut places: BTreeMap<(&str, &str), Vec<(usize, usize)>> = BTreeMap::new();
        for (at, intent) in intents.iter().enumerate() {
            for (step, Step { object: Named { group, name, .. }, .. }) in
                intent.steps.iter().enumerate()
            {
                places.entry((group, name)).or_default().push((at, step));
            }
        }
        Self { intents, places, skew }
    }

    fn step(&self, (intent, step): (usize, usize)) -> &'a Step {
        &self.intents[intent].steps[step]
    }

    /// Every step that names the object, oldest first.
    fn of(&self, mutation: &Mutation) -> Vec<(usize, usize)> {
        let object = &mutation.object;
        let places = self.places.get(&(object.group.as_str(), object.name.as_str()));
        let places = places.map(Vec::as_slice).unwrap_or_default();
        places.iter().copied().filter(|place| object.is(&self.step(*place).object)).collect()
    }

    fn began(&self, place: (usize, usize), at: Timestamp) -> bool {
        self.intents[place.0].time <= at + self.skew
    }

    fn open(&self, place: (usize, usize), at: Timestamp) -> bool {
        let end = self.intents[place.0].end.as_ref();
        end.is_none_or(|end| at <= end.time + GRAIN + self.skew)
    }
}

fn judge(plans: &Plans<'_>, mutation: &Mutation, granted: &mut Granted, report: &mut Report) {
    report.mutations += 1;
    let Mutation { line, verb, object, .. } = mutation;
    let what = format!("line {line}: {verb} {object}");
    if *verb == Verb::DeleteCollection {
        report.breaks(Rule::NoSweep, what);
        return;
    }
    let named = plans.of(mutation);
    let mut places = named.clone();
    places.retain(|place| allows(plans.step(*place).action, *verb));
    if places.is_empty() {
        let why = if named.is_empty() { "no intent names it" } else { "no intent is for that" };
        report.breaks(Rule::Planned, format!("{what}: {why}"));
        return;
    }
    places.retain(|place| plans.began(*place, mutation.received));
    if places.is_empty() {
        report.breaks(Rule::IntentFirst, format!("{what}: the intent came later"));
        return;
    }
    places.retain(|place| plans.open(*place, mutation.received));
    let Some(last) = places.last().copied() else {
        report.breaks(Rule::IntentOpen, format!("{what}: the intent was over"));
        return;
    };
    content(plans, mutation, &places, &what, report);
    if plans.step(last).action == Action::Delete {
        complete(plans, last.0, granted, &what, report);
    }
    if mutation.granted() {
        granted.0.extend(places);
    }
}

fn allows(action: Action, verb: Verb) -> bool {
    match action {
        Action::Apply => matches!(verb, Verb::Create | Verb::Update | Verb::Patch),
        Action::Replace => verb != Verb::DeleteCollection,
        Action::Delete => verb == Verb::Delete,
    }
}

/// Only what was applied is digested; other patches are parts of an apply.
fn content(
    plans: &Plans<'_>,
    mutation: &Mutation,
    places: &[(usize, usize)],
    what: &str,
    report: &mut Report,
) {
    let secret = mutation.object.resource == "secrets" && mutation.object.group.is_empty();
    let Some(body) = mutation.body.as_ref().filter(|_| mutation.asks("force=true") && !secret)
    else {
        return;
    };
    report.compared += 1;
    let digest = canonical::digest(body);
    if !places.iter().any(|place| plans.step(*place).digest == Some(digest)) {
        report.breaks(Rule::Content, format!("{what}: {digest} is not what was meant"));
    }
}

/// A deletion starts when all that its intent applies was granted.
fn complete(plans: &Plans<'_>, intent: usize, granted: &Granted, what: &str, report: &mut Report) {
    let open =
        plans.intents[intent].steps.iter().enumerate().find(|(at, step)| {
            step.action != Action::Delete && !granted.0.contains(&(intent, *at))
        });
    if let Some((_, step)) = open {
        report.breaks(Rule::Complete, format!("{what}: before {} was applied", step.object));
    }
}

fn settled(intents: &[&Intent], report: &mut Report) {
    let mut last: BTreeMap<&str, &Intent> = BTreeMap::new();
    for intent in intents {
        if let Some(before) = last.insert(&intent.subject, intent)
            && before.end.is_none()
        {
            let Intent { index, subject, .. } = before;
            let what = format!("the intent at {index} of {subject} was left open");
            report.breaks(Rule::Settled, format!("{what} when another began"));
        }
    }
}

fn owned(intents: &[&Intent], older: &BTreeSet<String>, report: &mut Report) {
    let mut applied: BTreeMap<(&str, &Named), &str> = BTreeMap::new();
    for intent in intents {
        for Step { object, action, .. } in &intent.steps {
            let place = (intent.target.as_str(), object);
            let owner = applied.get(&place).copied();
            match action {
                Action::Apply | Action::Replace => drop(applied.insert(place, &intent.subject)),
                Action::Delete if owner == Some(intent.subject.as_str()) => {}
                Action::Delete if owner.is_none() && older.contains(&intent.subject) => {
                    report.unjudged += 1;
                }
                Action::Delete => {
                    let Intent { index, subject, .. } = intent;
                    let owner = owner.unwrap_or("nobody");
                    let what = format!("the intent at {index} of {subject} deletes {object}");
                    report.breaks(Rule::Owned, format!("{what}, which {owner} applied last"));
                }
            }
        }
    }
}

fn happened(intents: &[&Intent], granted: &Granted, report: &mut Report) {
    for (at, intent) in intents.iter().enumerate() {
        let Some(outcome) = intent.end.as_ref().and_then(|end| end.outcome.as_ref()) else {
            continue;
        };
        let applies = |step: &usize| intent.steps[*step].action != Action::Delete;
        let done = granted.0.iter().filter(|(of, step)| *of == at && applies(step)).count() as u64;
        let claimed = outcome.created + outcome.configured;
        if claimed > done {
            let Intent { index, subject, .. } = intent;
            let what = format!("the outcome of the intent at {index} of {subject}");
            let what = format!("{what} claims {claimed} applies, and {done} were granted");
            report.breaks(Rule::Happened, what);
        }
    }
}
