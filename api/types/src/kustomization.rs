//! `Kustomization`: what to render from a source, and how to deliver it.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::interval::Interval;
use crate::inventory::{ResourceInventory, Snapshot};
use crate::meta::{LocalObjectReference, is_false};

/// How long one run may take where nothing is said and the interval is short.
const SHORTEST_DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// What to render, how to change it on the way, and how to deliver it.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kustomize.toolkit.fluxcd.io",
    version = "v1",
    kind = "Kustomization",
    plural = "kustomizations",
    shortname = "ks",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-appliers",
    doc = "A delivery: what to render from a source, and how to keep it applied.",
    namespaced,
    status = "KustomizationStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].message"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct KustomizationSpec {
    /// How often to apply again what should be there. Approximate: the moments are spread a
    /// little.
    pub interval: Interval,
    /// How long to wait after a failure; interval where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_interval: Option<Interval>,
    /// How long applying and checking health may take; a little less than interval where it is
    /// not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Interval>,
    /// The source to render from.
    pub source_ref: SourceRef,
    /// Directory in the source that is rendered; the root where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Deletes objects that are no longer in the source.
    pub prune: bool,
    /// What happens to the objects when this Kustomization is deleted; MirrorPrune where it is
    /// not set, which does as prune says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Waits until every object is healthy; healthChecks is not looked at then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub wait: bool,
    /// Objects whose health counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<ObjectRef>,
    /// How to tell the health of custom resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_check_exprs: Vec<HealthCheckExpr>,
    /// Recreates objects whose change is impossible because a field is immutable.
    #[serde(default)]
    pub force: bool,
    /// Kustomizations that must be ready first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// Stops all runs that have not begun.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// ServiceAccount to act as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// The cluster to deliver to; the one this object is in where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_config: Option<KubeConfigRef>,
    /// Namespace that all namespaced objects are put into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub target_namespace: Option<String>,
    /// Put before the name of every object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub name_prefix: Option<String>,
    /// Put after the name of every object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub name_suffix: Option<String>,
    /// Labels and annotations set on every object, over those it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_metadata: Option<CommonMetadata>,
    /// Patches, strategic merge or JSON6902.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
    /// Replacements of container images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// Relative paths of Kustomize components.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// Leaves out components whose path does not exist.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignore_missing_components: bool,
    /// Annotations to add that tell where an object came from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub build_metadata: Vec<BuildMetadata>,
    /// What to do with the rendered text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_build: Option<PostBuild>,
    /// How to decrypt secrets in the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decryption: Option<Decryption>,
    /// Fields whose changes are left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<IgnoreRule>,
}

impl KustomizationSpec {
    /// How long one run may take: what is written, else the interval less thirty seconds, and at
    /// least thirty. `None` where what is written is no duration.
    pub fn run_timeout(&self) -> Option<Duration> {
        match &self.timeout {
            Some(timeout) => timeout.duration(),
            None => {
                let interval = self.interval.duration()?;
                Some(
                    interval.saturating_sub(SHORTEST_DEFAULT_TIMEOUT).max(SHORTEST_DEFAULT_TIMEOUT),
                )
            }
        }
    }

    /// How long to wait after a failure: what is written, else the interval. `None` where what
    /// is written is no duration.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_interval.as_ref().unwrap_or(&self.interval).duration()
    }
}

/// Names a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceRef {
    /// API version of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind of the source.
    pub kind: SourceKind,
    /// Name of the source.
    pub name: String,
    /// Namespace of the source; this object's where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Kinds of sources that can be delivered from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SourceKind {
    /// An OCI artifact.
    #[serde(rename = "OCIRepository")]
    OciRepository,
    /// A Git repository.
    GitRepository,
    /// A bucket of an object store.
    Bucket,
    /// An artifact that somebody else provides.
    ExternalArtifact,
}

impl SourceKind {
    /// The kind as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OciRepository => "OCIRepository",
            Self::GitRepository => "GitRepository",
            Self::Bucket => "Bucket",
            Self::ExternalArtifact => "ExternalArtifact",
        }
    }
}

/// What happens to the objects when their Kustomization is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Delete them if prune is set, leave them otherwise.
    MirrorPrune,
    /// Delete them.
    Delete,
    /// Delete them and wait until they are gone.
    WaitForTermination,
    /// Leave them.
    Orphan,
}

/// Names an object of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// API version; the server's preferred one where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace; this object's where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// How to tell the health of a custom resource: CEL expressions over the object, asked in the
/// order inProgress, failed, current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheckExpr {
    /// API version of the custom resource; only its group counts.
    pub api_version: String,
    /// Kind of the custom resource; all of the group where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// True while the object is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_progress: Option<String>,
    /// True when the object cannot get there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// True when the object is what it should be.
    pub current: String,
}

/// A Kustomization that must be ready first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Name.
    pub name: String,
    /// Namespace; this object's where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// CEL expression over self and dep that replaces the usual test of readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_expr: Option<String>,
}

/// The cluster to deliver to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.configMapRef) || has(self.secretRef)",
        "message": "one of configMapRef and secretRef is needed"
    },
    {
        "rule": "!has(self.configMapRef) || !has(self.secretRef)",
        "message": "configMapRef and secretRef exclude each other"
    }
]))]
pub struct KubeConfigRef {
    /// ConfigMap that says how to reach the cluster without a stored credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<LocalObjectReference>,
    /// Secret with a kubeconfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
}

/// One key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: String,
    /// Key in the Secret; value, then value.yaml, where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Labels and annotations for every object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommonMetadata {
    /// Annotations to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A patch and the objects it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Patch {
    /// A strategic merge patch as an object, or a JSON6902 patch as a list.
    pub patch: String,
    /// The objects it is for; the one the patch itself names where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Selector>,
}

/// Selects objects; what is not set selects all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// API group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// API version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name, as a regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace, as a regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Selector over the annotations, in the notation of label selectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotation_selector: Option<String>,
    /// Selector over the labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
}

/// Replacement of a container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The image as it is written, without a tag.
    pub name: String,
    /// The image to use instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_name: Option<String>,
    /// The tag to use instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_tag: Option<String>,
    /// The digest to use instead; newTag is not looked at then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Annotations that tell where an object came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BuildMetadata {
    /// The file it was read from.
    OriginAnnotations,
    /// The transformers that changed it.
    TransformerAnnotations,
}

/// What to do with the rendered text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostBuild {
    /// Variables and their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub substitute: BTreeMap<String, String>,
    /// ConfigMaps and Secrets whose keys are variables; later ones win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub substitute_from: Vec<SubstituteFrom>,
    /// When to substitute at all; WithVariables where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub substitute_strategy: Option<SubstituteStrategy>,
}

/// A ConfigMap or Secret whose keys are variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubstituteFrom {
    /// Secret or ConfigMap.
    pub kind: SubstituteKind,
    /// Name, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Goes on where it does not exist.
    #[serde(default)]
    pub optional: bool,
}

/// Kinds that variables can come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SubstituteKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

/// When to substitute variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SubstituteStrategy {
    /// When there is at least one variable.
    WithVariables,
    /// Always.
    Always,
}

/// How to decrypt secrets in the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decryption {
    /// What they are encrypted with.
    pub provider: DecryptionProvider,
    /// Secret with the keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// ServiceAccount to authenticate as with a key service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
}

/// What secrets are encrypted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DecryptionProvider {
    /// SOPS.
    Sops,
}

/// Fields whose changes are left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IgnoreRule {
    /// JSON pointers of the fields.
    pub paths: Vec<String>,
    /// The objects this is for; all where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Selector>,
}

/// What was last delivered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct KustomizationStatus {
    /// The generation that was last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds for the delivery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The last outcomes, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Snapshot>,
    /// The objects that were applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<ResourceInventory>,
    /// The revision of the origin that the last applied artifact was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_origin_revision: Option<String>,
    /// The revision that was last applied with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_revision: Option<String>,
    /// The revision that was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,
    /// The request that was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(mut extra: serde_json::Value) -> KustomizationSpec {
        let mut spec = json!({"interval": "10m", "prune": true,
            "sourceRef": {"kind": "GitRepository", "name": "shop"}});
        let spec_fields = spec.as_object_mut().unwrap();
        spec_fields.append(extra.as_object_mut().unwrap());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn the_least_that_can_be_written() {
        assert_eq!(
            serde_json::to_string(&spec(json!({"unknown": true}))).unwrap(),
            r#"{"interval":"10m","sourceRef":{"kind":"GitRepository","name":"shop"},"prune":true,"force":false}"#
        );
        assert_eq!(serde_json::to_string(&KustomizationStatus::default()).unwrap(), "{}");
    }

    #[test]
    fn times_have_defaults() {
        let secs = Duration::from_secs;
        let check = |extra, timeout: Option<u64>, retry: Option<u64>| {
            let spec = spec(extra);
            assert_eq!(spec.run_timeout(), timeout.map(secs));
            assert_eq!(spec.retry_after(), retry.map(secs));
        };
        check(json!({}), Some(570), Some(600));
        check(json!({"interval": "40s"}), Some(30), Some(40));
        check(json!({"timeout": "2m", "retryInterval": "30s"}), Some(120), Some(30));
        check(json!({"timeout": "soon", "retryInterval": "later"}), None, None);
    }

    #[test]
    fn kinds_print_as_they_are_written() {
        for kind in [
            SourceKind::OciRepository,
            SourceKind::GitRepository,
            SourceKind::Bucket,
            SourceKind::ExternalArtifact,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
