//! The built-in kinds of Kubernetes, as a table.
//!
//! In: a group and a plural or kind. Out: what discovery says of it. Objects of these kinds are
//! stored as they are; nothing here knows their fields.

/// One built-in kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API versions, the preferred one first.
    pub versions: &'static [&'static str],
    /// Kind, such as `Deployment`.
    pub kind: &'static str,
    /// Plural, as in paths.
    pub plural: &'static str,
    /// Singular.
    pub singular: &'static str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Short names for `kubectl get`.
    pub short_names: &'static [&'static str],
    /// Categories such as `all`.
    pub categories: &'static [&'static str],
    /// Whether it has a status subresource.
    pub status: bool,
    /// Whether something must run for it to mean anything: stored here, run nowhere.
    pub workload: bool,
}

/// Flags: `n` namespaced, `s` status subresource, `w` workload.
const fn kind(
    group: &'static str,
    versions: &'static [&'static str],
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    flags: &'static str,
    short_names: &'static [&'static str],
    categories: &'static [&'static str],
) -> Kind {
    let (mut namespaced, mut status, mut workload) = (false, false, false);
    let flags = flags.as_bytes();
    let mut at = 0;
    while at < flags.len() {
        match flags[at] {
            b'n' => namespaced = true,
            b's' => status = true,
            b'w' => workload = true,
            _ => panic!("a flag is one of n, s, w"),
        }
        at += 1;
    }
    Kind {
        group,
        versions,
        kind,
        plural,
        singular,
        namespaced,
        short_names,
        categories,
        status,
        workload,
    }
}

#[rustfmt::skip]
static KINDS: &[Kind] = &[
    kind("", &["v1"], "ConfigMap", "configmaps", "configmap", "n", &["cm"], &[]),
    kind("", &["v1"], "Secret", "secrets", "secret", "n", &[], &[]),
    kind("", &["v1"], "Namespace", "namespaces", "namespace", "s", &["ns"], &[]),
    kind("", &["v1"], "ServiceAccount", "serviceaccounts", "serviceaccount", "n", &["sa"], &[]),
    kind("", &["v1"], "Event", "events", "event", "n", &["ev"], &[]),
    kind("", &["v1"], "Service", "services", "service", "ns", &["svc"], &["all"]),
    kind("", &["v1"], "Endpoints", "endpoints", "endpoints", "n", &["ep"], &[]),
    kind("", &["v1"], "Pod", "pods", "pod", "nsw", &["po"], &["all"]),
    kind("", &["v1"], "PodTemplate", "podtemplates", "podtemplate", "nw", &[], &[]),
    kind("", &["v1"], "ReplicationController", "replicationcontrollers", "replicationcontroller", "nsw", &["rc"], &["all"]),
    kind("", &["v1"], "Node", "nodes", "node", "sw", &["no"], &[]),
    kind("", &["v1"], "PersistentVolume", "persistentvolumes", "persistentvolume", "sw", &["pv"], &[]),
    kind("", &["v1"], "PersistentVolumeClaim", "persistentvolumeclaims", "persistentvolumeclaim", "nsw", &["pvc"], &[]),
    kind("", &["v1"], "LimitRange", "limitranges", "limitrange", "n", &["limits"], &[]),
    kind("", &["v1"], "ResourceQuota", "resourcequotas", "resourcequota", "ns", &["quota"], &[]),
    kind("apps", &["v1"], "ControllerRevision", "controllerrevisions", "controllerrevision", "nw", &[], &[]),
    kind("apps", &["v1"], "DaemonSet", "daemonsets", "daemonset", "nsw", &["ds"], &["all"]),
    kind("apps", &["v1"], "Deployment", "deployments", "deployment", "nsw", &["deploy"], &["all"]),
    kind("apps", &["v1"], "ReplicaSet", "replicasets", "replicaset", "nsw", &["rs"], &["all"]),
    kind("apps", &["v1"], "StatefulSet", "statefulsets", "statefulset", "nsw", &["sts"], &["all"]),
    kind("batch", &["v1"], "CronJob", "cronjobs", "cronjob", "nsw", &["cj"], &["all"]),
    kind("batch", &["v1"], "Job", "jobs", "job", "nsw", &[], &["all"]),
    kind("autoscaling", &["v2", "v1"], "HorizontalPodAutoscaler", "horizontalpodautoscalers", "horizontalpodautoscaler", "nsw", &["hpa"], &["all"]),
    kind("networking.k8s.io", &["v1"], "Ingress", "ingresses", "ingress", "nsw", &["ing"], &[]),
    kind("networking.k8s.io", &["v1"], "IngressClass", "ingressclasses", "ingressclass", "", &[], &[]),
    kind("networking.k8s.io", &["v1"], "NetworkPolicy", "networkpolicies", "networkpolicy", "nw", &["netpol"], &[]),
    kind("networking.k8s.io", &["v1"], "IPAddress", "ipaddresses", "ipaddress", "", &["ip"], &[]),
    kind("networking.k8s.io", &["v1"], "ServiceCIDR", "servicecidrs", "servicecidr", "s", &[], &[]),
    kind("policy", &["v1"], "PodDisruptionBudget", "poddisruptionbudgets", "poddisruptionbudget", "nsw", &["pdb"], &[]),
    kind("rbac.authorization.k8s.io", &["v1"], "ClusterRole", "clusterroles", "clusterrole", "", &[], &[]),
    kind("rbac.authorization.k8s.io", &["v1"], "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding", "", &[], &[]),
    kind("rbac.authorization.k8s.io", &["v1"], "Role", "roles", "role", "n", &[], &[]),
    kind("rbac.authorization.k8s.io", &["v1"], "RoleBinding", "rolebindings", "rolebinding", "n", &[], &[]),
    kind("storage.k8s.io", &["v1"], "CSIDriver", "csidrivers", "csidriver", "", &[], &[]),
    kind("storage.k8s.io", &["v1"], "CSINode", "csinodes", "csinode", "", &[], &[]),
    kind("storage.k8s.io", &["v1"], "CSIStorageCapacity", "csistoragecapacities", "csistoragecapacity", "n", &[], &[]),
    kind("storage.k8s.io", &["v1"], "StorageClass", "storageclasses", "storageclass", "", &["sc"], &[]),
    kind("storage.k8s.io", &["v1"], "VolumeAttachment", "volumeattachments", "volumeattachment", "sw", &[], &[]),
    kind("storage.k8s.io", &["v1"], "VolumeAttributesClass", "volumeattributesclasses", "volumeattributesclass", "", &["vac"], &[]),
    kind("scheduling.k8s.io", &["v1"], "PriorityClass", "priorityclasses", "priorityclass", "", &["pc"], &[]),
    kind("coordination.k8s.io", &["v1"], "Lease", "leases", "lease", "n", &[], &[]),
    kind("discovery.k8s.io", &["v1"], "EndpointSlice", "endpointslices", "endpointslice", "n", &[], &[]),
    kind("events.k8s.io", &["v1"], "Event", "events", "event", "n", &["ev"], &[]),
    kind("node.k8s.io", &["v1"], "RuntimeClass", "runtimeclasses", "runtimeclass", "", &[], &[]),
    kind("admissionregistration.k8s.io", &["v1"], "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "mutatingwebhookconfiguration", "", &[], &["api-extensions"]),
    kind("admissionregistration.k8s.io", &["v1"], "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "validatingwebhookconfiguration", "", &[], &["api-extensions"]),
    kind("admissionregistration.k8s.io", &["v1"], "ValidatingAdmissionPolicy", "validatingadmissionpolicies", "validatingadmissionpolicy", "s", &[], &["api-extensions"]),
    kind("admissionregistration.k8s.io", &["v1"], "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", "validatingadmissionpolicybinding", "", &[], &["api-extensions"]),
    kind("apiextensions.k8s.io", &["v1"], "CustomResourceDefinition", "customresourcedefinitions", "customresourcedefinition", "s", &["crd", "crds"], &["api-extensions"]),
    kind("apiregistration.k8s.io", &["v1"], "APIService", "apiservices", "apiservice", "s", &[], &["api-extensions"]),
    kind("certificates.k8s.io", &["v1"], "CertificateSigningRequest", "certificatesigningrequests", "certificatesigningrequest", "s", &["csr"], &[]),
    kind("flowcontrol.apiserver.k8s.io", &["v1"], "FlowSchema", "flowschemas", "flowschema", "s", &[], &[]),
    kind("flowcontrol.apiserver.k8s.io", &["v1"], "PriorityLevelConfiguration", "prioritylevelconfigurations", "prioritylevelconfiguration", "s", &[], &[]),
];

/// All built-in kinds.
pub fn kinds() -> &'static [Kind] {
    KINDS
}

/// The built-in kind with this group and plural.
pub fn by_plural(group: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.group == group && kind.plural == plural)
}

/// The built-in kind with this group and kind.
pub fn by_kind(group: &str, kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|known| known.group == group && known.kind == kind)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_kind_is_there_twice() {
        let plurals: BTreeSet<_> = KINDS.iter().map(|kind| (kind.group, kind.plural)).collect();
        let names: BTreeSet<_> = KINDS.iter().map(|kind| (kind.group, kind.kind)).collect();
        assert_eq!((plurals.len(), names.len()), (KINDS.len(), KINDS.len()));
    }

    #[test]
    fn a_row_reads_as_discovery_does() {
        let deployment = by_plural("apps", "deployments").unwrap();
        assert_eq!(deployment.short_names, ["deploy"]);
        assert!(deployment.namespaced && deployment.status && deployment.workload);
        assert!(!by_kind("", "Namespace").unwrap().namespaced);
    }
}
