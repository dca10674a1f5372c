//! The inventory of a delivery, by which it knows what is its own, and its history.
//!
//! In: keys of objects. Out: the entries Flux stores, `<namespace>_<name>_<group>_<kind>` with the
//! version beside it, and back. An entry that cannot be read names nothing, so nothing is deleted
//! on its word.

use std::collections::BTreeMap;

use fixpoint_base::{Gvk, Key};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::meta::time_schema;

/// How many snapshots the history of a delivery keeps.
pub const HISTORY_LENGTH: usize = 5;

/// The objects a delivery has applied and answers for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInventory {
    /// One entry for each object.
    pub entries: Vec<ResourceRef>,
}

/// Names one object of an inventory.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRef {
    /// Namespace, name, group and kind of the object, joined by underscores.
    pub id: String,
    /// API version of the object.
    pub v: String,
}

impl ResourceRef {
    /// Names an object as Flux does.
    pub fn of(key: &Key) -> Self {
        let Key { gvk: Gvk { group, version, kind }, namespace, name } = key;
        // Only names of RBAC objects may hold a colon.
        let name = if is_rbac(group, kind) { name.replace(':', "__") } else { name.clone() };
        Self { id: format!("{namespace}_{name}_{group}_{kind}"), v: version.clone() }
    }

    /// The object it names; `None` where the id is not in Flux's form.
    pub fn key(&self) -> Option<Key> {
        let (namespace, rest) = self.id.split_once('_')?;
        let (rest, kind) = rest.rsplit_once('_')?;
        let (name, group) = rest.rsplit_once('_')?;
        if name.is_empty() || kind.is_empty() || self.v.is_empty() {
            return None;
        }
        let name = if is_rbac(group, kind) { name.replace("__", ":") } else { name.to_owned() };
        Some(Key::new(Gvk::new(group, self.v.clone(), kind), namespace, name))
    }
}

fn is_rbac(group: &str, kind: &str) -> bool {
    group == "rbac.authorization.k8s.io"
        && matches!(kind, "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding")
}

/// One outcome of a delivery, and how often it came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Digest of what was rendered: the algorithm, a colon and the checksum.
    pub digest: String,
    /// When this content was first delivered.
    #[schemars(schema_with = "time_schema")]
    pub first_reconciled: Time,
    /// When this content was last delivered.
    #[schemars(schema_with = "time_schema")]
    pub last_reconciled: Time,
    /// How long the last delivery took.
    pub last_reconciled_duration: String,
    /// How the last delivery ended, as the reason of the `Ready` condition.
    pub last_reconciled_status: String,
    /// How many times this content was delivered.
    pub total_reconciliations: i64,
    /// What else is known of this content, such as the revision it came from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Records an outcome: the newest is first, an outcome that equals an earlier one in digest and
/// status takes its place and counts it, and the oldest beyond [`HISTORY_LENGTH`] are dropped.
pub fn record(history: &mut Vec<Snapshot>, mut snapshot: Snapshot) {
    let same = history.iter().position(|old| {
        old.digest == snapshot.digest
            && old.last_reconciled_status == snapshot.last_reconciled_status
    });
    if let Some(at) = same {
        let old = history.remove(at);
        snapshot.first_reconciled = old.first_reconciled;
        snapshot.total_reconciliations =
            old.total_reconciliations.saturating_add(snapshot.total_reconciliations);
    }
    history.insert(0, snapshot);
    history.truncate(HISTORY_LENGTH);
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    #[track_caller]
    fn check(id: &str, v: &str, printed: &str) {
        let entry = ResourceRef { id: id.to_owned(), v: v.to_owned() };
        let key = entry.key().unwrap();
        assert_eq!(format!("{} {key}", key.gvk.api_version()), printed);
        assert_eq!(ResourceRef::of(&key), entry, "an entry reads back");
    }

    #[test]
    fn entries_name_objects() {
        check("shop_web_apps_Deployment", "v1", "apps/v1 Deployment/shop/web");
        check("default_cm__ConfigMap", "v1", "v1 ConfigMap/default/cm");
        check(
            "_widgets.example.org_apiextensions.k8s.io_CustomResourceDefinition",
            "v1",
            "apiextensions.k8s.io/v1 CustomResourceDefinition/widgets.example.org",
        );
        check(
            "_system__node_rbac.authorization.k8s.io_ClusterRole",
            "v1",
            "rbac.authorization.k8s.io/v1 ClusterRole/system:node",
        );
    }

    #[test]
    fn entries_in_another_form_name_nothing() {
        for (id, v) in
            [("", "v1"), ("a_b_c", "v1"), ("ns__apps_Deployment", "v1"), ("ns_a_b_C", "")]
        {
            assert_eq!(ResourceRef { id: id.to_owned(), v: v.to_owned() }.key(), None, "{id}");
        }
    }

    fn snapshot(digest: &str, status: &str, second: i64) -> Snapshot {
        let time = Time(Timestamp::from_second(second).unwrap());
        Snapshot {
            digest: digest.to_owned(),
            first_reconciled: time.clone(),
            last_reconciled: time,
            last_reconciled_duration: "1s".to_owned(),
            last_reconciled_status: status.to_owned(),
            total_reconciliations: 1,
            metadata: BTreeMap::new(),
        }
    }

    #[test]
    fn history_counts_what_repeats_and_forgets_the_oldest() {
        let mut history = vec![];
        for (second, digest) in [(1, "a"), (2, "b"), (3, "a")] {
            record(&mut history, snapshot(digest, "ReconciliationSucceeded", second));
        }
        let lines: Vec<String> = history
            .iter()
            .map(|s| {
                let (first, last) =
                    (s.first_reconciled.0.as_second(), s.last_reconciled.0.as_second());
                format!("{} {first}..{last} x{}", s.digest, s.total_reconciliations)
            })
            .collect();
        assert_eq!(lines, ["a 1..3 x2", "b 2..2 x1"]);

        record(&mut history, snapshot("a", "ReconciliationFailed", 4));
        assert_eq!(history.len(), 3, "another status is another outcome");
        for second in 5..20 {
            record(&mut history, snapshot(&second.to_string(), "ReconciliationSucceeded", second));
        }
        assert_eq!(history.len(), HISTORY_LENGTH);
        assert_eq!(history[0].digest, "19");
    }
}
