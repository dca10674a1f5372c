//! Facts about the built-in kinds: which are cluster-scoped, and which lists merge by key.
//!
//! The facts are those of the OpenAPI document that kustomize 5.5 carries (Kubernetes 1.21), so
//! that a build gives what `kustomize build` gives. Kinds that are not listed are taken to be
//! namespaced, and their lists are replaced as a whole.

/// Whether a kind is known to have no namespace.
pub(crate) fn is_cluster_scoped(api_version: &str, kind: &str) -> bool {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let versions: &[&str] = match (group, kind) {
        ("", "Namespace" | "Node" | "PersistentVolume" | "ComponentStatus") => &["v1"],
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        )
        | ("apiextensions.k8s.io", "CustomResourceDefinition")
        | ("apiregistration.k8s.io", "APIService")
        | ("certificates.k8s.io", "CertificateSigningRequest")
        | ("networking.k8s.io", "IngressClass")
        | ("node.k8s.io", "RuntimeClass")
        | ("rbac.authorization.k8s.io", "ClusterRole" | "ClusterRoleBinding")
        | ("scheduling.k8s.io", "PriorityClass")
        | ("storage.k8s.io", "CSIDriver" | "CSINode" | "StorageClass" | "VolumeAttachment") => {
            &["v1", "v1beta1"]
        }
        ("flowcontrol.apiserver.k8s.io", "FlowSchema" | "PriorityLevelConfiguration")
        | ("policy", "PodSecurityPolicy") => &["v1beta1"],
        _ => &[],
    };
    versions.contains(&version)
}

/// A type of which some field, at some depth, is a list that merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// A top-level object of a kind with nothing of its own to merge.
    Object,
    Metadata,
    Pod,
    PodTemplate,
    Workload,
    WorkloadSpec,
    Template,
    CronJob,
    CronJobSpec,
    JobTemplate,
    PodSpec,
    Container,
    Service,
    ServiceSpec,
    ServiceAccount,
    Webhooks,
    Node,
    NodeSpec,
    CsiNode,
    CsiNodeSpec,
    WithStatus,
    Status,
    /// A type without fields that merge.
    Leaf,
}

/// How a field merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A mapping.
    One(Type),
    /// A list whose items are matched by these keys.
    Keyed(&'static [&'static str], Type),
    /// A list of scalars that is a set.
    Scalars,
}

impl Type {
    /// The type of a built-in kind; `None` for all others.
    pub(crate) fn of(api_version: &str, kind: &str) -> Option<Self> {
        Some(match (api_version, kind) {
            ("v1", "Pod") => Self::Pod,
            ("v1", "PodTemplate") => Self::PodTemplate,
            ("v1", "ReplicationController")
            | ("apps/v1", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet")
            | ("batch/v1", "Job") => Self::Workload,
            ("batch/v1" | "batch/v1beta1", "CronJob") => Self::CronJob,
            ("v1", "Service") => Self::Service,
            ("v1", "ServiceAccount") => Self::ServiceAccount,
            ("v1", "Node") => Self::Node,
            ("v1", "Namespace" | "PersistentVolumeClaim" | "ComponentStatus")
            | ("policy/v1" | "policy/v1beta1", "PodDisruptionBudget")
            | ("apiregistration.k8s.io/v1" | "apiregistration.k8s.io/v1beta1", "APIService") => {
                Self::WithStatus
            }
            (
                "admissionregistration.k8s.io/v1" | "admissionregistration.k8s.io/v1beta1",
                "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
            ) => Self::Webhooks,
            ("storage.k8s.io/v1" | "storage.k8s.io/v1beta1", "CSINode") => Self::CsiNode,
            _ if is_plain_built_in(api_version, kind) => Self::Object,
            _ => return None,
        })
    }

    /// How a field of this type merges; `None` where lists below it are replaced.
    pub(crate) fn field(self, name: &str) -> Option<Shape> {
        use Shape::{Keyed, One, Scalars};
        Some(match (self, name) {
            (
                Self::Object
                | Self::Pod
                | Self::PodTemplate
                | Self::Workload
                | Self::Template
                | Self::CronJob
                | Self::JobTemplate
                | Self::Service
                | Self::ServiceAccount
                | Self::Webhooks
                | Self::Node
                | Self::CsiNode
                | Self::WithStatus,
                "metadata",
            ) => One(Self::Metadata),
            (Self::Metadata, "finalizers") | (Self::NodeSpec, "podCIDRs") => Scalars,
            (Self::Metadata, "ownerReferences") => Keyed(&["uid"], Self::Leaf),
            (Self::Pod | Self::Template, "spec") => One(Self::PodSpec),
            (Self::PodTemplate | Self::WorkloadSpec, "template") => One(Self::Template),
            (Self::Workload | Self::JobTemplate, "spec") => One(Self::WorkloadSpec),
            (Self::CronJob, "spec") => One(Self::CronJobSpec),
            (Self::CronJobSpec, "jobTemplate") => One(Self::JobTemplate),
            (Self::PodSpec, "containers" | "initContainers" | "ephemeralContainers") => {
                Keyed(&["name"], Self::Container)
            }
            (Self::PodSpec, "volumes" | "imagePullSecrets") => Keyed(&["name"], Self::Leaf),
            (Self::PodSpec, "hostAliases") => Keyed(&["ip"], Self::Leaf),
            (Self::PodSpec, "topologySpreadConstraints") => {
                Keyed(&["topologyKey", "whenUnsatisfiable"], Self::Leaf)
            }
            (Self::Container, "env") => Keyed(&["name"], Self::Leaf),
            (Self::Container, "ports") => Keyed(&["containerPort", "protocol"], Self::Leaf),
            (Self::Container, "volumeMounts") => Keyed(&["mountPath"], Self::Leaf),
            (Self::Container, "volumeDevices") => Keyed(&["devicePath"], Self::Leaf),
            (Self::Service, "spec") => One(Self::ServiceSpec),
            (Self::ServiceSpec, "ports") => Keyed(&["port", "protocol"], Self::Leaf),
            (Self::ServiceAccount, "secrets") => Keyed(&["name"], Self::Leaf),
            (Self::Webhooks, "webhooks") => Keyed(&["name"], Self::Leaf),
            (Self::Node, "spec") => One(Self::NodeSpec),
            (Self::CsiNode, "spec") => One(Self::CsiNodeSpec),
            (Self::CsiNodeSpec, "drivers") => Keyed(&["name"], Self::Leaf),
            (
                Self::Pod | Self::Workload | Self::Service | Self::Node | Self::WithStatus,
                "status",
            ) => One(Self::Status),
            (Self::Status, "conditions" | "addresses") => Keyed(&["type"], Self::Leaf),
            (Self::Status, "podIPs") => Keyed(&["ip"], Self::Leaf),
            _ => return None,
        })
    }
}

/// Built-in kinds of which only the metadata merges.
fn is_plain_built_in(api_version: &str, kind: &str) -> bool {
    let kinds: &[&str] = match api_version {
        "v1" => &[
            "Binding",
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "PersistentVolume",
            "ResourceQuota",
            "Secret",
        ],
        "apiextensions.k8s.io/v1" | "apiextensions.k8s.io/v1beta1" => &["CustomResourceDefinition"],
        "apps/v1" => &["ControllerRevision"],
        "autoscaling/v1" | "autoscaling/v2beta1" | "autoscaling/v2beta2" => {
            &["HorizontalPodAutoscaler", "Scale"]
        }
        "certificates.k8s.io/v1" | "certificates.k8s.io/v1beta1" => &["CertificateSigningRequest"],
        "coordination.k8s.io/v1" | "coordination.k8s.io/v1beta1" => &["Lease"],
        "discovery.k8s.io/v1" | "discovery.k8s.io/v1beta1" => &["EndpointSlice"],
        "events.k8s.io/v1" | "events.k8s.io/v1beta1" => &["Event"],
        "extensions/v1beta1" => &["Ingress"],
        "flowcontrol.apiserver.k8s.io/v1beta1" => &["FlowSchema", "PriorityLevelConfiguration"],
        "networking.k8s.io/v1" | "networking.k8s.io/v1beta1" => {
            &["Ingress", "IngressClass", "NetworkPolicy"]
        }
        "node.k8s.io/v1" | "node.k8s.io/v1beta1" => &["RuntimeClass"],
        "policy/v1beta1" => &["PodSecurityPolicy"],
        "rbac.authorization.k8s.io/v1" | "rbac.authorization.k8s.io/v1beta1" => {
            &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]
        }
        "scheduling.k8s.io/v1" | "scheduling.k8s.io/v1beta1" => &["PriorityClass"],
        "storage.k8s.io/v1" | "storage.k8s.io/v1beta1" => {
            &["CSIDriver", "CSIStorageCapacity", "StorageClass", "VolumeAttachment"]
        }
        _ => &[],
    };
    kinds.contains(&kind)
}
