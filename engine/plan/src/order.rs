//! In which order kinds are applied: what others stand on first.

use std::cmp::Ordering;

use fixpoint_base::{Gvk, Key};

/// A group of objects that are applied together, before the next group is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// What other objects are made of: definitions, namespaces, cluster roles.
    Definitions,
    /// Kinds whose name ends in `Class`.
    Classes,
    /// Everything else.
    Objects,
    /// Webhooks: once registered they may refuse everything before them.
    Webhooks,
}

impl Stage {
    /// The stage of a kind.
    pub fn of(gvk: &Gvk) -> Self {
        match gvk.kind.as_str() {
            "CustomResourceDefinition" | "Namespace" | "ClusterRole" => Self::Definitions,
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => Self::Webhooks,
            kind if kind.ends_with("Class") => Self::Classes,
            _ => Self::Objects,
        }
    }
}

/// Within a stage, these first and in this order; then all other kinds.
const FIRST: [&str; 23] = [
    "CustomResourceDefinition",
    "Namespace",
    "ClusterRole",
    "ClusterClass",
    "RuntimeClass",
    "PriorityClass",
    "StorageClass",
    "VolumeSnapshotClass",
    "IngressClass",
    "GatewayClass",
    "ClusterRoleBinding",
    "ResourceQuota",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "Service",
    "LimitRange",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

fn rank(kind: &str) -> usize {
    FIRST.iter().position(|first| *first == kind).unwrap_or(FIRST.len())
}

/// Compares two objects in apply order: stage, kind, namespace, name. Deletion goes the other way.
pub fn compare(a: &Key, b: &Key) -> Ordering {
    (Stage::of(&a.gvk), rank(&a.gvk.kind), &a.namespace, &a.name)
        .cmp(&(Stage::of(&b.gvk), rank(&b.gvk.kind), &b.namespace, &b.name))
        .then_with(|| a.gvk.cmp(&b.gvk))
}

/// Whether this is the kind that defines other kinds.
pub fn is_definition(gvk: &Gvk) -> bool {
    gvk.kind == "CustomResourceDefinition" && gvk.group == "apiextensions.k8s.io"
}

/// Whether this is a namespace.
pub fn is_namespace(gvk: &Gvk) -> bool {
    gvk.kind == "Namespace" && gvk.group.is_empty()
}

/// Whether this is a core Secret, whose data must not be seen.
pub fn is_secret(gvk: &Gvk) -> bool {
    gvk.kind == "Secret" && gvk.group.is_empty()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_others_stand_on_comes_first() {
        let key = |kind: &str, namespace: &str, name: &str| {
            Key::new(Gvk::new("", "v1", kind), namespace, name)
        };
        let mut keys = vec![
            key("ValidatingWebhookConfiguration", "", "hook"),
            key("Deployment", "b", "a"),
            key("Deployment", "a", "b"),
            key("Widget", "a", "a"),
            key("ConfigMap", "z", "z"),
            key("StorageClass", "", "fast"),
            key("OddClass", "", "a"),
            key("ClusterRoleBinding", "", "x"),
            key("ClusterRole", "", "x"),
            key("Namespace", "", "z"),
            key("Namespace", "", "a"),
            key("CustomResourceDefinition", "", "widgets"),
        ];
        keys.sort_by(compare);
        let lines: Vec<String> =
            keys.iter().map(|key| format!("{:?} {key}", Stage::of(&key.gvk))).collect();
        expect![[r#"
            Definitions CustomResourceDefinition/widgets
            Definitions Namespace/a
            Definitions Namespace/z
            Definitions ClusterRole/x
            Classes StorageClass/fast
            Classes OddClass/a
            Objects ClusterRoleBinding/x
            Objects ConfigMap/z/z
            Objects Deployment/a/b
            Objects Deployment/b/a
            Objects Widget/a/a
            Webhooks ValidatingWebhookConfiguration/hook"#]]
        .assert_eq(&lines.join("\n"));
    }
}
