//! The kinds that are served: the built-in ones and those that definitions add.
//!
//! In: the stored CustomResourceDefinitions. Out: for each path the kind it means, with its
//! schema, merge semantics and columns. A registry is a value; a change of definitions makes a
//! new one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use bytes::Bytes;
use fixpoint_api_machinery::names::NameRule;
use fixpoint_api_machinery::table::Column;
use fixpoint_api_machinery::{Crd, Schema, TypeSchema, builtin, crd};
use fixpoint_base::Gvk;
use serde_json::Value;

use crate::store::{Name, Object, Resource, State, state::Page};

/// API group of the definitions themselves.
pub const APIEXTENSIONS: &str = "apiextensions.k8s.io";

/// The table of definitions.
pub static DEFINITIONS: LazyLock<Resource> =
    LazyLock::new(|| Resource::new(APIEXTENSIONS, "customresourcedefinitions"));
/// The table of namespaces.
pub static NAMESPACES: LazyLock<Resource> = LazyLock::new(|| Resource::new("", "namespaces"));
/// The table of events, in both of their groups.
pub static EVENTS: LazyLock<Resource> = LazyLock::new(|| Resource::new("", "events"));

/// One kind in one version.
#[derive(Debug)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Kind of lists.
    pub list_kind: String,
    /// Plural.
    pub plural: String,
    /// Singular.
    pub singular: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether it has a status subresource.
    pub status: bool,
    /// The scale subresource, where it has one.
    pub scale: Option<Scale>,
    /// The table that its objects are in.
    pub resource: Resource,
    /// The `apiVersion` that its objects are stored with.
    pub stored_as: String,
    /// How the text of an object in this version begins.
    pub head: Vec<u8>,
    /// The warning that its use brings, if it is deprecated.
    pub deprecation: Option<String>,
    /// Fields besides `metadata` that field selectors may name.
    pub selectable: Vec<String>,
    /// What names of objects may look like.
    pub rule: NameRule,
    /// What a definition adds; absent for built-in kinds.
    pub custom: Option<Custom>,
    types: Types,
    columns: OnceLock<Vec<Column>>,
}

/// Where the scale subresource finds its fields, as JSON pointers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// Wanted replicas.
    pub spec: String,
    /// Actual replicas.
    pub status: String,
    /// Selector, as text.
    pub selector: Option<String>,
}

#[derive(Debug)]
enum Types {
    Builtin(&'static TypeSchema),
    Custom(Box<OnceLock<TypeSchema>>),
}

/// What a definition says of a kind.
#[derive(Debug)]
pub struct Custom {
    /// Name of the definition.
    pub definition: Name,
    /// `openAPIV3Schema`.
    pub schema: Value,
    printer_columns: Vec<Value>,
    compiled: OnceLock<Option<Schema>>,
}

impl Custom {
    /// The compiled schema. Compiling waits for the first use: many definitions are installed and
    /// few are used. A definition is checked when it is stored, so only one that an older version
    /// let in can fail here, and then its objects are taken as they are.
    pub fn schema(&self) -> Option<&Schema> {
        let compile = || match Schema::parse(&self.schema) {
            Ok(schema) => Some(schema),
            Err(errors) => {
                let definition = &self.definition.name;
                let problems = errors.len();
                tracing::warn!(%definition, problems, "a stored schema is not structural");
                None
            }
        };
        self.compiled.get_or_init(compile).as_ref()
    }
}

impl Kind {
    /// `group/version`, or only the version for the core group.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// Whether objects are stored in this version.
    pub fn is_stored(&self) -> bool {
        self.stored_as == self.api_version()
    }

    /// How objects merge.
    pub fn types(&self) -> &TypeSchema {
        match &self.types {
            Types::Builtin(types) => types,
            Types::Custom(types) => types.get_or_init(|| {
                self.custom.as_ref().map_or_else(
                    || TypeSchema::from_crd(&Value::Null),
                    |custom| TypeSchema::from_crd(&custom.schema),
                )
            }),
        }
    }

    /// What `kubectl get` shows.
    pub fn columns(&self) -> &[Column] {
        self.columns.get_or_init(|| match &self.custom {
            Some(custom) => Column::from_crd(&custom.printer_columns),
            None => Column::builtin(&self.group, &self.kind),
        })
    }

    /// Whether the server counts generations of its objects.
    pub fn counts_generations(&self) -> bool {
        const COUNTED: [&str; 4] = [
            "networkpolicies",
            "validatingwebhookconfigurations",
            "mutatingwebhookconfigurations",
            "runtimeclasses",
        ];
        self.custom.is_some()
            || (self.status && !self.group.is_empty())
            || COUNTED.contains(&self.plural.as_str())
    }

    /// Whether an update must say which version of the object it was made from.
    pub fn needs_revision(&self) -> bool {
        self.custom.is_some() || self.group == APIEXTENSIONS || self.group == "coordination.k8s.io"
    }

    /// Whether `PUT` makes an object that does not exist.
    pub fn creates_on_update(&self) -> bool {
        matches!(self.plural.as_str(), "events" | "endpoints" | "endpointslices" | "leases")
            || self.group == "rbac.authorization.k8s.io"
    }
}

/// `group/version`, or only the version for the core group.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn head(group: &str, version: &str) -> Vec<u8> {
    format!("{{\"apiVersion\":\"{}\"", api_version(group, version)).into_bytes()
}

/// Group, version, plural.
type Path = (String, String, String);

/// The kinds of one version of a group.
#[derive(Debug)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// Its kinds, by plural.
    pub kinds: BTreeMap<String, Arc<Kind>>,
}

/// All kinds that are served.
#[derive(Debug, Default)]
pub struct Registry {
    by_path: HashMap<Path, Arc<Kind>>,
    /// The versions of each group, the preferred one first.
    groups: BTreeMap<String, Vec<Version>>,
    /// What each definition made, and the revision it was made from.
    definitions: HashMap<String, (u64, Vec<Arc<Kind>>)>,
    /// Documents by path, made when they are first asked for.
    documents: Mutex<HashMap<String, Bytes>>,
}

impl Registry {
    /// The built-in kinds and those of the stored definitions. Kinds of definitions that did not
    /// change since `before` are taken over.
    pub fn build(state: &State, before: &Registry) -> Self {
        let mut registry = Self::default();
        for kind in builtin_kinds() {
            registry.add(Arc::clone(kind));
        }
        for object in state.range(&DEFINITIONS, &Page::default()) {
            let name = &object.name.name;
            let kinds = match before.definitions.get(name) {
                Some((revision, kinds)) if *revision == object.revision => kinds.clone(),
                _ => custom_kinds(object),
            };
            for kind in &kinds {
                registry.add(Arc::clone(kind));
            }
            registry.definitions.insert(name.clone(), (object.revision, kinds));
        }
        registry
    }

    fn add(&mut self, kind: Arc<Kind>) {
        let path = (kind.group.clone(), kind.version.clone(), kind.plural.clone());
        if self.by_path.contains_key(&path) {
            return; // a definition cannot replace a built-in kind
        }
        let versions = self.groups.entry(kind.group.clone()).or_default();
        let at = versions.iter().position(|version| version.name == kind.version);
        let at = at.unwrap_or_else(|| {
            versions.push(Version { name: kind.version.clone(), kinds: BTreeMap::new() });
            versions.len() - 1
        });
        versions[at].kinds.insert(kind.plural.clone(), Arc::clone(&kind));
        versions.sort_by_key(|version| std::cmp::Reverse(priority(&version.name)));
        self.by_path.insert(path, kind);
    }

    /// The kind that a path means.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.by_path.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// The kind whose version a table's objects are stored in.
    pub fn stored(&self, resource: &Resource) -> Option<&Arc<Kind>> {
        let versions = self.groups.get(&*resource.group)?;
        let mut kinds = versions.iter().filter_map(|version| version.kinds.get(&*resource.plural));
        let first = kinds.clone().next();
        kinds.find(|kind| kind.is_stored()).or(first)
    }

    /// Groups with their versions, the preferred one first.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &[Version])> {
        self.groups.iter().map(|(group, versions)| (group.as_str(), versions.as_slice()))
    }

    /// The kinds of one group and version, by plural.
    pub fn version(&self, group: &str, version: &str) -> Option<&BTreeMap<String, Arc<Kind>>> {
        let versions = self.groups.get(group)?;
        versions.iter().find(|found| found.name == version).map(|found| &found.kinds)
    }

    /// The versions of one group, the preferred one first.
    pub fn versions(&self, group: &str) -> Vec<&str> {
        let versions = self.groups.get(group).map(Vec::as_slice).unwrap_or_default();
        versions.iter().map(|version| version.name.as_str()).collect()
    }

    /// The revision of the newest definition among the kinds of a group and version.
    pub fn stamp(&self, group: &str, version: &str) -> u64 {
        let made = self.definitions.values().filter(|(_, kinds)| {
            kinds.iter().any(|kind| kind.group == group && kind.version == version)
        });
        // The number of kinds notices a definition that went away.
        let kinds = self.version(group, version).map_or(0, BTreeMap::len) as u64;
        made.map(|(revision, _)| *revision).max().unwrap_or(0) * 1000 + kinds
    }

    /// A document that lives as long as this registry.
    pub fn document(&self, path: &str, make: impl FnOnce() -> Vec<u8>) -> Bytes {
        let lock = || self.documents.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(found) = lock().get(path) {
            return found.clone();
        }
        let made = Bytes::from(make());
        lock().insert(path.to_owned(), made.clone());
        made
    }
}

/// Orders versions as kube-apiserver does: `v2`, `v1`, `v2beta1`, `v1beta2`, `v1alpha1`, others.
fn priority(version: &str) -> (u8, u32, u32) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u32 = rest[..digits].parse().ok()?;
        let (stage, minor) = match &rest[digits..] {
            "" => return Some((3, major, 0)),
            stage if stage.starts_with("beta") => (2, &stage[4..]),
            stage if stage.starts_with("alpha") => (1, &stage[5..]),
            _ => return None,
        };
        Some((stage, major, minor.parse().ok()?))
    };
    parse().unwrap_or((0, 0, 0))
}

fn builtin_kinds() -> &'static [Arc<Kind>] {
    static KINDS: LazyLock<Vec<Arc<Kind>>> = LazyLock::new(|| {
        let kinds = builtin::kinds().iter();
        kinds
            .flat_map(|kind| {
                kind.versions.iter().map(|version| Arc::new(builtin_kind(kind, version)))
            })
            .collect()
    });
    &KINDS
}

fn builtin_kind(kind: &builtin::Kind, version: &str) -> Kind {
    let group = kind.group;
    let gvk = Gvk::new(group, version, kind.kind);
    // Events have two groups and one table, in the form of the core group.
    let (resource, stored_as) = if kind.plural == "events" {
        (EVENTS.clone(), "v1".to_owned())
    } else {
        (Resource::new(group, kind.plural), api_version(group, kind.versions[0]))
    };
    Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.kind.to_owned(),
        list_kind: format!("{}List", kind.kind),
        plural: kind.plural.to_owned(),
        singular: kind.singular.to_owned(),
        short_names: kind.short_names.iter().map(|name| (*name).to_owned()).collect(),
        categories: kind.categories.iter().map(|name| (*name).to_owned()).collect(),
        namespaced: kind.namespaced,
        status: kind.status,
        scale: builtin_scale(group, kind.plural),
        resource,
        stored_as,
        head: head(group, version),
        deprecation: None,
        selectable: selectable(kind.plural).iter().map(|field| (*field).to_owned()).collect(),
        rule: NameRule::of(group, kind.kind),
        custom: None,
        types: Types::Builtin(TypeSchema::builtin(&gvk)),
        columns: OnceLock::new(),
    }
}

fn builtin_scale(group: &str, plural: &str) -> Option<Scale> {
    let scaled = matches!(
        (group, plural),
        ("apps", "deployments" | "replicasets" | "statefulsets") | ("", "replicationcontrollers")
    );
    scaled.then(|| Scale {
        spec: "/spec/replicas".to_owned(),
        status: "/status/replicas".to_owned(),
        selector: None,
    })
}

fn selectable(plural: &str) -> &'static [&'static str] {
    match plural {
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "secrets" => &["type"],
        "namespaces" => &["status.phase"],
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "nodes" => &["spec.unschedulable"],
        "jobs" => &["status.successful"],
        "replicasets" | "replicationcontrollers" => &["status.replicas"],
        "services" => &["spec.clusterIP", "spec.type"],
        _ => &[],
    }
}

/// The kinds of one stored definition; none where its names are taken.
fn custom_kinds(object: &Object) -> Vec<Arc<Kind>> {
    let value = object.value();
    if !is_accepted(&value) {
        return Vec::new();
    }
    let definition = match Crd::read(&value) {
        Ok(definition) => definition,
        Err(errors) => {
            let name = &object.name.name;
            tracing::warn!(definition = %name, problems = errors.len(), "a stored definition is not served");
            return Vec::new();
        }
    };
    let stored = definition.storage().map(|version| version.name.clone()).unwrap_or_default();
    let stored_as = api_version(&definition.group, &stored);
    let kind = |version: &crd::Version| {
        Arc::new(custom_kind(&definition, version, &stored_as, &object.name))
    };
    definition.served().into_iter().map(kind).collect()
}

fn is_accepted(definition: &Value) -> bool {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

fn custom_kind(definition: &Crd, version: &crd::Version, stored_as: &str, name: &Name) -> Kind {
    Kind {
        group: definition.group.clone(),
        version: version.name.clone(),
        kind: definition.kind.clone(),
        list_kind: definition.list_kind.clone(),
        plural: definition.plural.clone(),
        singular: definition.singular.clone(),
        short_names: definition.short_names.clone(),
        categories: definition.categories.clone(),
        namespaced: definition.namespaced,
        status: version.status,
        scale: version.scale.as_ref().and_then(custom_scale),
        resource: Resource::new(&definition.group, &definition.plural),
        stored_as: stored_as.to_owned(),
        head: head(&definition.group, &version.name),
        deprecation: version.deprecation.clone(),
        selectable: version.selectable_fields.clone(),
        rule: NameRule::of(&definition.group, &definition.kind),
        custom: Some(Custom {
            definition: name.clone(),
            schema: version.schema.clone(),
            printer_columns: version.printer_columns.clone(),
            compiled: OnceLock::new(),
        }),
        types: Types::Custom(Box::default()),
        columns: OnceLock::new(),
    }
}

fn custom_scale(scale: &Value) -> Option<Scale> {
    let pointer = |field: &str| scale[field].as_str().map(|path| path.replace('.', "/"));
    Some(Scale {
        spec: pointer("specReplicasPath")?,
        status: pointer("statusReplicasPath")?,
        selector: pointer("labelSelectorPath"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_stability() {
        let mut versions = ["v1alpha1", "v1", "foo", "v2beta1", "v2", "v1beta2", "v11"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(versions, ["v11", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo"]);
    }
}
