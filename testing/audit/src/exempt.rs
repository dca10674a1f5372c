//! The engine's own bookkeeping, which needs no intent.
//!
//! In: a mutation. Out: the one rule that lets it pass, or none. Each rule is as narrow as the
//! request it is for: a delivered object must never pass as bookkeeping.

use crate::log::{Mutation, Verb};

/// Groups of the engine's own kinds.
const OWN_GROUPS: [&str; 2] = ["source.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io"];

/// The rule for the definitions of the engine's own kinds. They are also what others deliver, and
/// then there is an intent, which counts.
pub const DEFINITIONS: &str = "own definitions";

/// Why a mutation needs no intent.
pub fn reason(mutation: &Mutation) -> Option<&'static str> {
    let object = &mutation.object;
    let (resource, group) = (object.resource.as_str(), object.group.as_str());
    // Deliveries are applied by force; bookkeeping never is.
    let applied = mutation.asks("force=true");
    let own = OWN_GROUPS.contains(&group);
    match mutation.verb {
        _ if mutation.asks("dryRun=All") => Some("dry run"),
        Verb::Patch | Verb::Update if own && object.subresource == "status" => Some("own status"),
        Verb::Patch if own && object.subresource.is_empty() && !applied => Some("own finalizers"),
        Verb::Create | Verb::Patch
            if resource == "events" && matches!(group, "" | "events.k8s.io") && !applied =>
        {
            Some("own events")
        }
        Verb::Create | Verb::Update | Verb::Patch
            if resource == "leases" && group == "coordination.k8s.io" && !applied =>
        {
            Some("own lease")
        }
        // Where a cluster's engine is found; it is one object, and applied by force.
        Verb::Patch
            if (resource, group) == ("configmaps", "")
                && object.namespace == "fixpoint-system"
                && object.name == "fixpoint-engine"
                && object.subresource.is_empty() =>
        {
            Some("own address")
        }
        Verb::Create if group == "authorization.k8s.io" || group == "authentication.k8s.io" => {
            Some("review")
        }
        Verb::Create | Verb::Patch | Verb::Update
            if resource == "customresourcedefinitions" && is_own_definition(&object.name) =>
        {
            Some(DEFINITIONS)
        }
        _ => None,
    }
}

fn is_own_definition(name: &str) -> bool {
    name.split_once('.').is_some_and(|(_, group)| OWN_GROUPS.contains(&group))
}
