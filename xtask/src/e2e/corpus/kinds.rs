//! Kinds: which the server knows, and definitions for those it does not.
//!
//! In: what the server lists, and objects. Out: paths of objects, and definitions that let
//! everything through. What a kind's own definition would say is guessed from its name.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::e2e::client::Client;

/// Kinds of real projects that have no namespace and whose name does not say so.
const CLUSTER_WIDE: &[(&str, &str)] = &[
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("config.openshift.io", "OAuth"),
    ("console.openshift.io", "ConsoleLink"),
    ("console.openshift.io", "ConsolePlugin"),
    ("datasciencecluster.opendatahub.io", "DataScienceCluster"),
    ("dscinitialization.opendatahub.io", "DSCInitialization"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("imageregistry.operator.openshift.io", "Config"),
    ("kataconfiguration.openshift.io", "KataConfig"),
    ("kueue.openshift.io", "Kueue"),
    ("nmstate.io", "NMState"),
    ("observability.open-cluster-management.io", "MultiClusterObservability"),
    ("operator.openshift.io", "LeaderWorkerSetOperator"),
    ("operator.openshift.io", "SpiffeCSIDriver"),
    ("operator.openshift.io", "SpireAgent"),
    ("operator.openshift.io", "SpireOIDCDiscoveryProvider"),
    ("operator.openshift.io", "SpireServer"),
    ("operator.openshift.io", "ZeroTrustWorkloadIdentityManager"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("", "Namespace"),
    ("user.openshift.io", "Group"),
    ("cert-manager.io", "ClusterIssuer"),
    ("kyverno.io", "ClusterPolicy"),
];

/// Kinds that the engine itself acts upon, and keeps the status of.
const OURS: &[(&str, &str)] = &[
    ("source.toolkit.fluxcd.io", "GitRepository"),
    ("kustomize.toolkit.fluxcd.io", "Kustomization"),
];

/// A kind in its group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The group; empty for the first one.
    pub group: String,
    /// The kind.
    pub kind: String,
}

impl Kind {
    /// The kind of an object, and the version it is written in.
    pub fn of(object: &Value) -> (Self, String) {
        let api = object["apiVersion"].as_str().unwrap_or_default();
        let (group, version) = api.rsplit_once('/').unwrap_or(("", api));
        let kind = object["kind"].as_str().unwrap_or_default();
        (Self { group: group.to_owned(), kind: kind.to_owned() }, version.to_owned())
    }

    /// The kind that the spec of a definition defines.
    pub fn defined_by(spec: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self { group: text(&spec["group"]), kind: text(&spec["names"]["kind"]) }
    }

    /// Whether the engine acts upon it.
    pub fn is_ours(&self) -> bool {
        is_in(OURS, self)
    }
}

/// Whether objects of a kind have no namespace.
pub fn is_cluster_wide(kind: &Kind) -> bool {
    is_in(CLUSTER_WIDE, kind)
}

fn is_in(list: &[(&str, &str)], kind: &Kind) -> bool {
    list.iter().any(|(group, name)| *group == kind.group && *name == kind.kind)
}

/// How a kind is served.
#[derive(Debug)]
struct Served {
    plural: String,
    namespaced: bool,
    versions: BTreeSet<String>,
}

/// What a server serves.
#[derive(Debug, Default)]
pub struct Kinds(BTreeMap<Kind, Served>);

impl Kinds {
    /// Asks a server.
    pub fn discover(client: &Client) -> Result<Self> {
        let mut kinds = Self::default();
        kinds.read(client, "", "v1")?;
        let groups = client.get("/apis")?.context("the server lists no groups")?;
        for group in groups["groups"].as_array().into_iter().flatten() {
            let name = group["name"].as_str().unwrap_or_default();
            for version in group["versions"].as_array().into_iter().flatten() {
                kinds.read(client, name, version["version"].as_str().unwrap_or_default())?;
            }
        }
        Ok(kinds)
    }

    fn read(&mut self, client: &Client, group: &str, version: &str) -> Result<()> {
        // A definition may go between the list of groups and this.
        let list = client.get(&root(group, version))?.unwrap_or_default();
        for resource in list["resources"].as_array().into_iter().flatten() {
            let (Some(plural), Some(kind)) = (resource["name"].as_str(), resource["kind"].as_str())
            else {
                continue;
            };
            if plural.contains('/') {
                continue;
            }
            let key = Kind { group: group.to_owned(), kind: kind.to_owned() };
            let served = self.0.entry(key).or_insert_with(|| Served {
                plural: plural.to_owned(),
                namespaced: resource["namespaced"] == true,
                versions: BTreeSet::new(),
            });
            served.versions.insert(version.to_owned());
        }
        Ok(())
    }

    /// Whether a kind is served in all of these versions.
    pub fn serve(&self, kind: &Kind, versions: &BTreeSet<String>) -> bool {
        self.0.get(kind).is_some_and(|served| served.versions.is_superset(versions))
    }

    /// Whether objects of a kind are known to have no namespace.
    pub fn has_no_namespace(&self, kind: &Kind) -> bool {
        self.0.get(kind).is_some_and(|served| !served.namespaced)
    }

    /// Where an object is; `None` where its kind is not served.
    pub fn path(&self, kind: &Kind, version: &str, namespace: &str, name: &str) -> Option<String> {
        let served = self.0.get(kind)?;
        let root = root(&kind.group, version);
        let plural = &served.plural;
        Some(if served.namespaced {
            format!("{root}/namespaces/{namespace}/{plural}/{}", escaped(name))
        } else {
            format!("{root}/{plural}/{}", escaped(name))
        })
    }
}

fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// Names of roles may hold what a path may not.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace(':', "%3A").replace(' ', "%20")
}

/// A definition that lets everything through.
pub fn definition(kind: &Kind, versions: &BTreeSet<String>) -> Value {
    let singular = kind.kind.to_lowercase();
    let plural = plural(&singular);
    let last = versions.last();
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| {
            json!({"name": version, "served": true, "storage": Some(version) == last,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema":
                    {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
        })
        .collect();
    let mut definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{}", kind.group)},
        "spec": {
            "group": kind.group,
            "scope": if is_cluster_wide(kind) { "Cluster" } else { "Namespaced" },
            "names": {"kind": kind.kind, "listKind": format!("{}List", kind.kind),
                "plural": plural, "singular": singular},
            "versions": versions,
        },
    });
    if kind.group.ends_with(".k8s.io") {
        // Groups of Kubernetes itself ask for a word on where the API was agreed upon.
        definition["metadata"]["annotations"] =
            json!({"api-approved.kubernetes.io": "unapproved, made for a test"});
    }
    definition
}

fn plural(singular: &str) -> String {
    let ends = |ending: &str| singular.ends_with(ending);
    match singular.strip_suffix('y') {
        Some(stem) if !ends("ay") && !ends("ey") && !ends("oy") => format!("{stem}ies"),
        _ if ends("s") || ends("x") || ends("ch") || ends("sh") => format!("{singular}es"),
        _ => format!("{singular}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_are_guessed() {
        let cases =
            [("route", "routes"), ("clusterpolicy", "clusterpolicies"), ("gateway", "gateways")];
        for (singular, plurals) in cases {
            assert_eq!(plural(singular), plurals);
        }
        assert_eq!(plural("gatewayclass"), "gatewayclasses");
    }

    #[test]
    fn objects_have_kinds() {
        let (kind, version) = Kind::of(&json!({"apiVersion": "apps/v1", "kind": "Deployment"}));
        assert_eq!(
            (kind.group.as_str(), kind.kind.as_str(), version.as_str()),
            ("apps", "Deployment", "v1")
        );
        let (kind, version) = Kind::of(&json!({"apiVersion": "v1", "kind": "Secret"}));
        assert_eq!((kind.group.as_str(), version.as_str()), ("", "v1"));
    }
}
