//! What a plan says to the ledger before it is carried out.

use fixpoint_ledger::{Action, Step};
use fixpoint_plan::{DesiredSet, Plan, Verb};

/// The action that a permit has to cover for a verb.
pub fn action(verb: Verb) -> Action {
    match verb {
        Verb::Create | Verb::Apply => Action::Apply,
        Verb::Replace => Action::Replace,
        Verb::Delete => Action::Delete,
    }
}

/// The steps of the intent that carries out a plan: every object that it touches, with the digest
/// of what it will be. A Secret's digest is keyed.
pub fn steps(plan: &Plan, desired: &DesiredSet) -> Vec<Step> {
    plan.steps
        .iter()
        .map(|step| Step {
            key: step.key.clone(),
            action: action(step.verb),
            digest: step.desired.and_then(|place| desired.at(place)).map(|wanted| wanted.digest),
        })
        .collect()
}
