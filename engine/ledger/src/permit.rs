//! The right to change a target, which only a durable intent gives.
//!
//! In: an intent and the receipt of its entry. Out: a permit that names every object it covers. No
//! permit exists whose intent is not in the ledger, and none can be copied.

use std::collections::BTreeMap;

use fixpoint_base::{Digest, Key, canonical};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::entry;
use crate::merkle::Hash;

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is created or changed.
    Apply,
    /// It is changed, and where a field cannot change, deleted and created.
    Replace,
    /// It is deleted.
    Delete,
}

/// One object of an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The object.
    pub key: Key,
    /// What is done to it.
    pub action: Action,
    /// Digest of what it will be; keyed where it holds a secret. `None` for a deletion.
    pub digest: Option<Digest>,
}

/// What one run is about to do to one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// When, in RFC 3339.
    pub time: String,
    /// On whose authority: `engine`, or the user that approved.
    pub actor: String,
    /// The delivery, such as `Kustomization/shop/web`.
    pub subject: String,
    /// The target, such as `in-process` or the name of a kubeconfig Secret.
    pub target: String,
    /// The identity that the target sees.
    pub identity: String,
    /// Index of the render that it carries out; `None` only when everything is deleted.
    pub render: Option<u64>,
    /// Index of the outcome whose inventory names what is pruned, if anything is.
    pub inventory: Option<u64>,
    /// Fingerprint of what the plan was computed from.
    pub basis: Digest,
    /// Every object that is touched.
    pub steps: Vec<Step>,
}

impl Intent {
    /// The list of steps in canonical form: the body that the entry names by its digest.
    pub fn body(&self) -> Vec<u8> {
        let steps: Vec<_> = self
            .steps
            .iter()
            .map(|Step { key, action, digest }| {
                json!({
                    "object": {
                        "apiVersion": key.gvk.api_version(),
                        "kind": key.gvk.kind,
                        "namespace": key.namespace,
                        "name": key.name,
                    },
                    "action": action,
                    "digest": digest,
                })
            })
            .collect();
        canonical::to_string(&json!({ "steps": steps })).into_bytes()
    }

    /// The entry that records it.
    pub fn draft(&self) -> entry::Draft {
        let deletes = self.steps.iter().filter(|step| step.action == Action::Delete).count() as u64;
        entry::Draft {
            time: self.time.clone(),
            actor: self.actor.clone(),
            subject: self.subject.clone(),
            body: entry::Body::Intent(entry::Intent {
                target: self.target.clone(),
                identity: self.identity.clone(),
                render: self.render,
                inventory: self.inventory,
                basis: self.basis,
                plan: Digest::of(&self.body()),
                applies: self.steps.len() as u64 - deletes,
                deletes,
            }),
        }
    }
}

/// Proof that an entry is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    index: u64,
    leaf: Hash,
}

impl Receipt {
    /// States that an entry is on disk, synced. Only `drivers/store` may say so.
    pub fn after_sync(index: u64, leaf: Hash) -> Self {
        Self { index, leaf }
    }

    /// Where the entry is.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Hash of the entry as a leaf of the tree.
    pub fn leaf(&self) -> &Hash {
        &self.leaf
    }
}

/// The right to carry an intent out, once.
///
/// ```compile_fail
/// fn twice(permit: fixpoint_ledger::Permit) -> [fixpoint_ledger::Permit; 2] {
///     [permit.clone(), permit]
/// }
/// ```
///
/// ```compile_fail
/// let permit = fixpoint_ledger::Permit { index: 1 };
/// ```
#[derive(Debug)]
pub struct Permit {
    index: u64,
    target: String,
    identity: String,
    objects: BTreeMap<(String, String, String, String), Action>,
}

impl Permit {
    /// Issues the permit of an intent whose entry is durable.
    pub fn issue(intent: Intent, receipt: Receipt) -> Self {
        let Intent { target, identity, steps, .. } = intent;
        let objects = steps.into_iter().map(|step| (owned(&step.key), step.action)).collect();
        Self { index: receipt.index, target, identity, objects }
    }

    /// Index of the intent; its outcome refers to it.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The target that it is for.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The identity that it is for.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether something may be done to an object, in whatever version it is written.
    ///
    /// Replacing covers its parts: applying and deleting.
    pub fn covers(&self, key: &Key, action: Action) -> bool {
        match self.objects.get(&owned(key)) {
            Some(Action::Replace) => true,
            Some(planned) => *planned == action,
            None => false,
        }
    }
}

fn owned(key: &Key) -> (String, String, String, String) {
    let (group, kind, namespace, name) = key.identity();
    (group.to_owned(), kind.to_owned(), namespace.to_owned(), name.to_owned())
}

#[cfg(test)]
mod tests {
    use fixpoint_base::Gvk;

    use super::*;

    fn key(version: &str, name: &str) -> Key {
        Key::new(Gvk::new("apps", version, "Deployment"), "shop", name)
    }

    fn intent() -> Intent {
        let step = |name: &str, action| Step { key: key("v1", name), action, digest: None };
        Intent {
            time: "2026-11-22T10:00:00Z".to_owned(),
            actor: "engine".to_owned(),
            subject: "Kustomization/shop/web".to_owned(),
            target: "local".to_owned(),
            identity: "engine".to_owned(),
            render: Some(3),
            inventory: None,
            basis: Digest::of(b"basis"),
            steps: vec![
                step("web", Action::Apply),
                step("job", Action::Replace),
                step("old", Action::Delete),
            ],
        }
    }

    #[test]
    fn a_permit_covers_its_plan_and_nothing_else() {
        let permit = Permit::issue(intent(), Receipt::after_sync(4, [0; 32]));
        let covers = |name: &str, action| permit.covers(&key("v1beta1", name), action);
        assert!(covers("web", Action::Apply) && !covers("web", Action::Delete));
        assert!(covers("old", Action::Delete) && !covers("old", Action::Apply));
        assert!(covers("job", Action::Apply) && covers("job", Action::Delete));
        assert!(!covers("other", Action::Apply));
        assert_eq!(permit.index(), 4);
    }

    #[test]
    fn the_entry_names_the_body_and_counts_it() {
        let entry::Body::Intent(body) = intent().draft().body else { panic!() };
        assert_eq!(body.plan, Digest::of(&intent().body()));
        assert_eq!((body.applies, body.deletes), (2, 1));
    }
}
