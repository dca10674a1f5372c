//! The rules that hold for every kind, in the order in which they are asked.

use fixpoint_base::Gvk;
use serde_json::Value;

use crate::builtin;
use crate::read::{condition, current, failed, in_progress};
use crate::{Health, State};

/// Assesses a live object.
///
/// First what every kind can say (being deleted, not yet observed, `Reconciling`, `Stalled`), then
/// the rules of a built-in kind, then `Ready`. An object that says nothing is current.
pub fn assess(object: &Value) -> Health {
    let Some(gvk) = Gvk::of(object) else {
        return Health::unknown("the object has no apiVersion and kind");
    };
    said_by_all(object, &gvk)
        .or_else(|| builtin::assess(object, &gvk))
        .or_else(|| said_by_ready(object))
        .unwrap_or_else(|| current("Resource is current"))
}

fn said_by_all(object: &Value, gvk: &Gvk) -> Option<Health> {
    if object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null()) {
        return Some(Health::new(State::Terminating, "Resource scheduled for deletion"));
    }
    if let Some(behind) = behind(object, gvk) {
        return Some(behind);
    }
    if let Some(reconciling) = condition(object, "Reconciling")
        && reconciling.is_true()
    {
        return Some(in_progress(reconciling.says("Reconciliation in progress")));
    }
    if let Some(stalled) = condition(object, "Stalled")
        && stalled.is_true()
    {
        return Some(failed(stalled.says("Resource is stalled")));
    }
    None
}

/// A controller that has not seen the newest generation speaks of an older one.
fn behind(object: &Value, gvk: &Gvk) -> Option<Health> {
    let observed = object.pointer("/status/observedGeneration")?.as_i64()?;
    let generation = object.pointer("/metadata/generation")?.as_i64()?;
    (observed != generation).then(|| {
        in_progress(format!(
            "{} generation is {generation}, but latest observed generation is {observed}",
            gvk.kind
        ))
    })
}

fn said_by_ready(object: &Value) -> Option<Health> {
    let ready = condition(object, "Ready")?;
    match ready.status {
        "True" => Some(current(ready.says("Resource is Ready"))),
        "False" => Some(in_progress(ready.says("Resource is not Ready"))),
        "Unknown" => Some(in_progress(ready.says("Ready condition is Unknown"))),
        _ => None,
    }
}
