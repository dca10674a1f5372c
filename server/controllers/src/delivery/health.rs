//! Asks how the delivered objects are doing.

use fixpoint_api_types::KustomizationSpec;
use fixpoint_base::{Gvk, Key};
use fixpoint_driver_kube::KubeTarget;
use fixpoint_health::{Health, State, assess};
use fixpoint_plan::{DesiredSet, Ssa};
use futures::StreamExt as _;

/// How a delivery's objects are doing, all together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// Nothing was to be checked.
    NotAsked,
    /// All are well.
    Well(usize),
    /// Some are on their way.
    Waiting(Vec<String>),
    /// Some will not become well by themselves.
    Failed(Vec<String>),
}

/// Reads at once; one slow answer must not make a large delivery slow.
const CONCURRENCY: usize = 16;

/// The objects that the delivery wants to be checked: with `wait` all that it keeps, else those
/// it lists.
pub fn subjects(spec: &KustomizationSpec, namespace: &str, desired: &DesiredSet) -> Vec<Key> {
    if spec.wait {
        return desired
            .objects()
            .iter()
            .filter(|wanted| !wanted.controls.reconcile_disabled)
            .filter(|wanted| wanted.controls.ssa != Ssa::Ignore)
            .map(|wanted| wanted.key.clone())
            .collect();
    }
    spec.health_checks
        .iter()
        .map(|check| {
            let api_version = check.api_version.as_deref().unwrap_or("v1");
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let namespace = check.namespace.as_deref().unwrap_or(namespace);
            Key::new(Gvk::new(group, version, &check.kind), namespace, &check.name)
        })
        .collect()
}

/// Assesses the objects.
pub async fn check(target: &KubeTarget, subjects: &[Key]) -> Checked {
    if subjects.is_empty() {
        return Checked::NotAsked;
    }
    judge(&states(target, subjects).await)
}

/// Reads objects and assesses each.
pub async fn states(target: &KubeTarget, subjects: &[Key]) -> Vec<(Key, Health)> {
    futures::stream::iter(subjects.iter().cloned())
        .map(|key| async move {
            let health = match target.get(&key).await {
                Ok(Some(object)) => assess(&object),
                Ok(None) => Health::not_found(),
                Err(err) => Health::unknown(err.to_string()),
            };
            (key, health)
        })
        .buffered(CONCURRENCY)
        .collect()
        .await
}

fn judge(states: &[(Key, Health)]) -> Checked {
    let mut waiting = Vec::new();
    let mut failed = Vec::new();
    for (key, health) in states {
        let Health { state, message } = health;
        match state {
            State::Current => {}
            State::Failed => failed.push(format!("{key} failed: {message}")),
            State::Terminating => waiting.push(format!("{key} is being deleted")),
            State::NotFound => waiting.push(format!("{key} is not there")),
            State::InProgress | State::Unknown => waiting.push(format!("{key}: {message}")),
        }
    }
    if !failed.is_empty() {
        Checked::Failed(failed)
    } else if !waiting.is_empty() {
        Checked::Waiting(waiting)
    } else {
        Checked::Well(states.len())
    }
}
