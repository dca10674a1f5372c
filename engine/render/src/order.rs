//! The order of the output.

use std::collections::HashMap;

use crate::kustomization::{LegacySortOptions, SortOptions};
use crate::resource::{Resource, meta_text};

const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Puts objects into the order that is asked for; without options into the one that
/// `kustomize build` prints.
pub(crate) fn sort(items: &mut [Resource], options: Option<&SortOptions>) -> Result<(), String> {
    let lists = match options.map(|options| (options.order.as_str(), &options.legacy_sort_options))
    {
        Some(("fifo", None)) => return Ok(()),
        Some(("fifo", Some(_))) => {
            return Err("has legacySortOptions, but its order is fifo".to_owned());
        }
        Some(("legacy", lists)) => lists.as_ref(),
        None => None,
        Some(_) => return Err("has an order that is neither legacy nor fifo".to_owned()),
    };
    let ranks = ranks(lists);
    items.sort_by_cached_key(|resource| key(resource, &ranks));
    Ok(())
}

fn ranks(lists: Option<&LegacySortOptions>) -> HashMap<String, i64> {
    let (first, last): (Vec<&str>, Vec<&str>) = match lists {
        Some(lists) => (
            lists.order_first.iter().map(String::as_str).collect(),
            lists.order_last.iter().map(String::as_str).collect(),
        ),
        None => (FIRST.to_vec(), LAST.to_vec()),
    };
    let before = first.len() as i64;
    let first = first.into_iter().zip(-before..);
    first.chain(last.into_iter().zip(1..)).map(|(kind, rank)| (kind.to_owned(), rank)).collect()
}

/// Kinds by rank, then by group, version and kind, then objects by namespace and name.
fn key(resource: &Resource, ranks: &HashMap<String, i64>) -> (i64, bool, String, String) {
    let id = &resource.id;
    let or =
        |text: &str, blank: &str| if text.is_empty() { blank.to_owned() } else { text.to_owned() };
    let kind = format!("{}_{}_{}", or(&id.group, "~G"), or(&id.version, "~V"), or(&id.kind, "~K"));
    let namespace = meta_text(&resource.value, "namespace").unwrap_or_default();
    let object = format!("{}|{}", or(&namespace, "~X"), or(&id.name, "~N"));
    // Of kinds called Namespace that of the core group comes first.
    let foreign = id.kind == "Namespace" && !id.group.is_empty();
    (ranks.get(&id.kind).copied().unwrap_or(0), foreign, kind, object)
}
