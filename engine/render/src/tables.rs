//! Which fields hold names, labels, images and counts in the built-in kinds, as kustomize has it.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::fields::FieldSpec;

/// A kind that is referred to by name, and a field that refers to it.
#[derive(Debug)]
pub(crate) struct Reference {
    /// Group, version and kind of what is referred to; blank parts cover all.
    pub(crate) target: Target,
    /// The field that holds the name, or the mapping that holds name and namespace.
    pub(crate) field: FieldSpec,
}

/// Group, version and kind.
type Target = (&'static str, &'static str, &'static str);

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

/// Kinds that hold a pod's specification: kind, version, where.
const PODS: &[(&str, &str, &str)] = &[
    ("Pod", "v1", "spec"),
    ("PodTemplate", "", "template/spec"),
    ("Deployment", "", "spec/template/spec"),
    ("ReplicaSet", "", "spec/template/spec"),
    ("DaemonSet", "", "spec/template/spec"),
    ("StatefulSet", "", "spec/template/spec"),
    ("Job", "", "spec/template/spec"),
    ("CronJob", "", "spec/jobTemplate/spec/template/spec"),
];

/// The same for claims, accounts and priorities, where kustomize knows other kinds.
const RUNNERS: &[(&str, &str, &str)] = &[
    ("Pod", "", "spec"),
    ("StatefulSet", "", "spec/template/spec"),
    ("Deployment", "", "spec/template/spec"),
    ("ReplicationController", "", "spec/template/spec"),
    ("CronJob", "", "spec/jobTemplate/spec/template/spec"),
    ("Job", "", "spec/template/spec"),
    ("DaemonSet", "", "spec/template/spec"),
];

const CONFIG_MAP: Target = ("", "v1", "ConfigMap");
const SECRET: Target = ("", "v1", "Secret");
const SERVICE: Target = ("", "v1", "Service");
const ACCOUNT: Target = ("", "v1", "ServiceAccount");
const CLAIM: Target = ("", "v1", "PersistentVolumeClaim");
const PRIORITY: Target = ("scheduling.k8s.io", "v1", "PriorityClass");
const VOLUME: Target = ("", "v1", "PersistentVolume");
const STORAGE: Target = ("storage.k8s.io", "v1", "StorageClass");

/// Fields of a pod's specification.
const IN_PODS: &[(Target, &[&str])] = &[
    (
        CONFIG_MAP,
        &[
            "volumes/configMap/name",
            "containers/env/valueFrom/configMapKeyRef/name",
            "initContainers/env/valueFrom/configMapKeyRef/name",
            "containers/envFrom/configMapRef/name",
            "initContainers/envFrom/configMapRef/name",
            "volumes/projected/sources/configMap/name",
        ],
    ),
    (
        SECRET,
        &[
            "volumes/secret/secretName",
            "containers/env/valueFrom/secretKeyRef/name",
            "initContainers/env/valueFrom/secretKeyRef/name",
            "containers/envFrom/secretRef/name",
            "initContainers/envFrom/secretRef/name",
            "imagePullSecrets/name",
            "volumes/projected/sources/secret/name",
        ],
    ),
];

const IN_RUNNERS: &[(Target, &str)] = &[
    (ACCOUNT, "serviceAccountName"),
    (CLAIM, "volumes/persistentVolumeClaim/claimName"),
    (PRIORITY, "priorityClassName"),
];

/// All other references: target, then group and kind of the referrer, then the field.
const OTHERS: &[(Target, &str, &str, &str)] = &[
    (("", "", "Deployment"), "", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name"),
    (("", "", "ReplicationController"), "", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name"),
    (("", "", "ReplicaSet"), "", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name"),
    (("", "", "StatefulSet"), "", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name"),
    (CONFIG_MAP, "", "Node", "spec/configSource/configMap"),
    (CONFIG_MAP, "", "Role", "rules/resourceNames"),
    (CONFIG_MAP, "", "ClusterRole", "rules/resourceNames"),
    (
        CONFIG_MAP,
        "",
        "Ingress",
        r"metadata/annotations/nginx.ingress.kubernetes.io\/fastcgi-params-configmap",
    ),
    (SECRET, "", "Ingress", "spec/tls/secretName"),
    (SECRET, "", "Ingress", r"metadata/annotations/ingress.kubernetes.io\/auth-secret"),
    (SECRET, "", "Ingress", r"metadata/annotations/nginx.ingress.kubernetes.io\/auth-secret"),
    (SECRET, "", "Ingress", r"metadata/annotations/nginx.ingress.kubernetes.io\/auth-tls-secret"),
    (SECRET, "", "ServiceAccount", "imagePullSecrets/name"),
    (SECRET, "", "StorageClass", "parameters/secretName"),
    (SECRET, "", "StorageClass", "parameters/adminSecretName"),
    (SECRET, "", "StorageClass", "parameters/userSecretName"),
    (SECRET, "", "StorageClass", "parameters/secretRef"),
    (SECRET, "", "Role", "rules/resourceNames"),
    (SECRET, "", "ClusterRole", "rules/resourceNames"),
    (SECRET, "", "PersistentVolume", "spec/azureFile/secretName"),
    (SERVICE, "apps", "StatefulSet", "spec/serviceName"),
    (SERVICE, "", "Ingress", "spec/rules/http/paths/backend/serviceName"),
    (SERVICE, "", "Ingress", "spec/backend/serviceName"),
    (SERVICE, "", "Ingress", "spec/rules/http/paths/backend/service/name"),
    (SERVICE, "", "Ingress", "spec/defaultBackend/service/name"),
    (SERVICE, "apiregistration.k8s.io", "APIService", "spec/service/name"),
    (SERVICE, ADMISSION, "ValidatingWebhookConfiguration", "webhooks/clientConfig/service"),
    (SERVICE, ADMISSION, "MutatingWebhookConfiguration", "webhooks/clientConfig/service"),
    ((RBAC, "", "Role"), RBAC, "RoleBinding", "roleRef/name"),
    ((RBAC, "", "ClusterRole"), RBAC, "RoleBinding", "roleRef/name"),
    ((RBAC, "", "ClusterRole"), RBAC, "ClusterRoleBinding", "roleRef/name"),
    (ACCOUNT, RBAC, "RoleBinding", "subjects"),
    (ACCOUNT, RBAC, "ClusterRoleBinding", "subjects"),
    (VOLUME, "", "PersistentVolumeClaim", "spec/volumeName"),
    (VOLUME, "", "ClusterRole", "rules/resourceNames"),
    (STORAGE, "", "PersistentVolume", "spec/storageClassName"),
    (STORAGE, "", "PersistentVolumeClaim", "spec/storageClassName"),
    (STORAGE, "", "StatefulSet", "spec/volumeClaimTemplates/spec/storageClassName"),
    (
        (ADMISSION, "", "ValidatingAdmissionPolicy"),
        ADMISSION,
        "ValidatingAdmissionPolicyBinding",
        "spec/policyName",
    ),
];

/// Every field that holds the name of another object, by the kind that it is a field of.
pub(crate) static REFERENCES: LazyLock<HashMap<&str, Vec<Reference>>> = LazyLock::new(|| {
    let mut all: HashMap<&str, Vec<Reference>> = HashMap::new();
    let mut add = |target, group, version, kind: &'static str, path: &str| {
        let field = FieldSpec::fixed(group, version, kind, path, false);
        all.entry(kind).or_default().push(Reference { target, field });
    };
    for (target, group, kind, path) in OTHERS {
        add(*target, group, "", kind, path);
    }
    for (target, paths) in IN_PODS {
        for (kind, version, place) in PODS {
            for path in *paths {
                add(*target, "", version, kind, &format!("{place}/{path}"));
            }
        }
    }
    for (target, path) in IN_RUNNERS {
        for (kind, version, place) in RUNNERS {
            add(*target, "", version, kind, &format!("{place}/{path}"));
        }
    }
    let env = "spec/template/spec/containers/env/valueFrom/secretKeyRef/name";
    add(SECRET, "serving.knative.dev", "v1", "Service", env);
    all
});

fn specs(rows: &[(&'static str, &'static str, &'static str, &str, bool)]) -> Vec<FieldSpec> {
    rows.iter()
        .map(|(group, version, kind, path, create)| {
            FieldSpec::fixed(group, version, kind, path, *create)
        })
        .collect()
}

/// Labels of objects and of the templates within them.
pub(crate) static METADATA_LABELS: LazyLock<Vec<FieldSpec>> = LazyLock::new(|| {
    let template = "spec/template/metadata/labels";
    specs(&[
        ("", "", "", "metadata/labels", true),
        ("", "v1", "ReplicationController", template, true),
        ("", "", "Deployment", template, true),
        ("", "", "ReplicaSet", template, true),
        ("", "", "DaemonSet", template, true),
        ("apps", "", "StatefulSet", template, true),
        ("apps", "", "StatefulSet", "spec/volumeClaimTemplates[]/metadata/labels", true),
        ("batch", "", "Job", template, true),
        ("batch", "", "CronJob", "spec/jobTemplate/metadata/labels", true),
        ("batch", "", "CronJob", "spec/jobTemplate/spec/template/metadata/labels", true),
    ])
});

/// Selectors, and then all of [`METADATA_LABELS`].
pub(crate) static SELECTOR_LABELS: LazyLock<Vec<FieldSpec>> = LazyLock::new(|| {
    let selector = "spec/selector/matchLabels";
    let mut all = specs(&[
        ("", "v1", "Service", "spec/selector", true),
        ("", "v1", "ReplicationController", "spec/selector", true),
        ("", "", "Deployment", selector, true),
        ("", "", "ReplicaSet", selector, true),
        ("", "", "DaemonSet", selector, true),
        ("apps", "", "StatefulSet", selector, true),
        ("batch", "", "Job", selector, false),
        ("batch", "", "CronJob", "spec/jobTemplate/spec/selector/matchLabels", false),
        ("policy", "", "PodDisruptionBudget", selector, false),
        ("networking.k8s.io", "", "NetworkPolicy", "spec/podSelector/matchLabels", false),
        (
            "networking.k8s.io",
            "",
            "NetworkPolicy",
            "spec/ingress/from/podSelector/matchLabels",
            false,
        ),
        ("networking.k8s.io", "", "NetworkPolicy", "spec/egress/to/podSelector/matchLabels", false),
    ]);
    for kind in ["Deployment", "StatefulSet"] {
        for affinity in ["podAffinity", "podAntiAffinity"] {
            for term in [
                "preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm",
                "requiredDuringSchedulingIgnoredDuringExecution",
            ] {
                let path = format!(
                    "spec/template/spec/affinity/{affinity}/{term}/labelSelector/matchLabels"
                );
                all.push(FieldSpec::fixed("apps", "", kind, &path, false));
            }
        }
        let path = "spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels";
        all.push(FieldSpec::fixed("apps", "", kind, path, false));
    }
    all.extend(METADATA_LABELS.iter().cloned());
    all
});

/// Annotations of objects and of the templates within them.
pub(crate) static ANNOTATIONS: LazyLock<Vec<FieldSpec>> = LazyLock::new(|| {
    let template = "spec/template/metadata/annotations";
    specs(&[
        ("", "", "", "metadata/annotations", true),
        ("", "v1", "ReplicationController", template, true),
        ("", "", "Deployment", template, true),
        ("", "", "ReplicaSet", template, true),
        ("", "", "DaemonSet", template, true),
        ("", "", "StatefulSet", template, true),
        ("batch", "", "Job", template, true),
        ("batch", "", "CronJob", "spec/jobTemplate/metadata/annotations", true),
        ("batch", "", "CronJob", "spec/jobTemplate/spec/template/metadata/annotations", true),
    ])
});

/// Image names.
pub(crate) static IMAGES: LazyLock<Vec<FieldSpec>> = LazyLock::new(|| {
    specs(&[
        ("", "", "", "spec/containers[]/image", false),
        ("", "", "", "spec/initContainers[]/image", false),
        ("", "", "", "spec/template/spec/containers[]/image", false),
        ("", "", "", "spec/template/spec/initContainers[]/image", false),
    ])
});

/// Replica counts.
pub(crate) static REPLICAS: LazyLock<Vec<FieldSpec>> = LazyLock::new(|| {
    specs(&[
        ("", "", "Deployment", "spec/replicas", true),
        ("", "", "ReplicationController", "spec/replicas", true),
        ("", "", "ReplicaSet", "spec/replicas", true),
        ("", "", "StatefulSet", "spec/replicas", true),
    ])
});

/// Namespaces that are not the object's own.
pub(crate) static NAMESPACES: LazyLock<Vec<FieldSpec>> = LazyLock::new(|| {
    let conversion = "spec/conversion/webhook/clientConfig/service/namespace";
    specs(&[
        ("", "v1", "Namespace", "metadata/name", true),
        ("apiregistration.k8s.io", "", "APIService", "spec/service/namespace", true),
        ("apiextensions.k8s.io", "", "CustomResourceDefinition", conversion, false),
    ])
});
