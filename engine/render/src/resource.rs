//! One object on its way through the kustomizations: its value, and the names it has had.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::schema;

/// What names an object within one build. Two objects with one id cannot both be there.
///
/// Copied often and changed never, so copies share their text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Id(Arc<Parts>);

/// The parts of an [`Id`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Parts {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    /// `default` where none is given; [`NO_NAMESPACE`] where there can be none.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl std::ops::Deref for Id {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Stands in for the namespace of objects that are known to be cluster-scoped.
pub(crate) const NO_NAMESPACE: &str = "_non_namespaceable_";

/// The parts of an id as an object has them.
struct Named<'a> {
    api_version: Cow<'a, str>,
    kind: Cow<'a, str>,
    namespace: Cow<'a, str>,
    name: Cow<'a, str>,
}

impl<'a> Named<'a> {
    fn of(value: &'a Value) -> Self {
        let api_version = field_text(value, "apiVersion").unwrap_or_default();
        let kind = field_text(value, "kind").unwrap_or_default();
        let namespace = if schema::is_cluster_scoped(&api_version, &kind) {
            Cow::Borrowed(NO_NAMESPACE)
        } else {
            let written = meta_text(value, "namespace").unwrap_or_default();
            if written.is_empty() { Cow::Borrowed("default") } else { written }
        };
        let name = meta_text(value, "name").unwrap_or_default();
        Self { api_version, kind, namespace, name }
    }

    fn group_version(&self) -> (&str, &str) {
        self.api_version.split_once('/').unwrap_or(("", &self.api_version))
    }
}

impl Id {
    pub(crate) fn of(value: &Value) -> Self {
        let named = Named::of(value);
        let (group, version) = named.group_version();
        let (group, version) = (group.to_owned(), version.to_owned());
        let Named { api_version: _, kind, namespace, name } = named;
        Self(Arc::new(Parts {
            group,
            version,
            kind: kind.into_owned(),
            namespace: namespace.into_owned(),
            name: name.into_owned(),
        }))
    }

    /// Whether an object still has this id.
    fn is_of(&self, value: &Value) -> bool {
        let named = Named::of(value);
        (self.group.as_str(), self.version.as_str()) == named.group_version()
            && self.kind == named.kind
            && self.namespace == named.namespace
            && self.name == named.name
    }

    /// The same names in another group and version.
    fn in_version_of(&self, other: &Self) -> Self {
        Self(Arc::new(Parts {
            group: other.group.clone(),
            version: other.version.clone(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }))
    }

    pub(crate) fn is_cluster_scoped(&self) -> bool {
        self.namespace == NO_NAMESPACE
    }

    /// Whether a kind with blanks covers this one.
    pub(crate) fn matches(&self, group: &str, version: &str, kind: &str) -> bool {
        (group.is_empty() || group == self.group)
            && (version.is_empty() || version == self.version)
            && (kind.is_empty() || kind == self.kind)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Parts { group: _, version: _, kind, namespace, name } = &**self;
        match namespace.as_str() {
            NO_NAMESPACE => write!(f, "{kind}/{name}"),
            namespace => write!(f, "{kind}/{namespace}/{name}"),
        }
    }
}

/// What a generated object does to one that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behavior {
    Create,
    Replace,
    Merge,
}

/// One object, with what later steps need to know of earlier ones.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) value: Value,
    /// What it is called now; kept equal to the value by [`Resource::refresh`].
    pub(crate) id: Id,
    /// What it was called before each change, oldest first.
    pub(crate) previous: Vec<Id>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    /// Whether its name ends with a hash of its content.
    pub(crate) hashed: bool,
    /// Where it comes from.
    pub(crate) file: Arc<str>,
}

impl Resource {
    pub(crate) fn new(value: Value, file: Arc<str>) -> Self {
        let id = Id::of(&value);
        Self {
            value,
            id,
            previous: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            hashed: false,
            file,
        }
    }

    /// The oldest id.
    pub(crate) fn original(&self) -> &Id {
        self.previous.first().unwrap_or(&self.id)
    }

    /// Remembers the current id before it may change.
    pub(crate) fn remember(&mut self) {
        self.previous.push(self.id.clone());
    }

    /// Reads the id again after the value has changed.
    pub(crate) fn refresh(&mut self) {
        if self.id.is_of(&self.value) {
            return;
        }
        self.id = Id::of(&self.value);
        // Earlier ids carry the group and version of now: only kind and names are tracked.
        for previous in &mut self.previous {
            if previous.group != self.id.group || previous.version != self.id.version {
                *previous = previous.in_version_of(&self.id);
            }
        }
    }

    /// `metadata.namespace` as written; empty where there is none.
    pub(crate) fn namespace(&self) -> Cow<'_, str> {
        meta_text(&self.value, "namespace").unwrap_or_default()
    }

    pub(crate) fn set_name(&mut self, name: String) {
        if let Some(metadata) = metadata(&mut self.value) {
            metadata.insert("name".to_owned(), Value::String(name));
        }
        self.refresh();
    }
}

/// A scalar as the text it was written as, as far as that is known.
pub(crate) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A scalar field as text.
pub(crate) fn field_text<'a>(value: &'a Value, field: &str) -> Option<Cow<'a, str>> {
    value.get(field).and_then(text)
}

/// A scalar field of `metadata` as text.
pub(crate) fn meta_text<'a>(value: &'a Value, field: &str) -> Option<Cow<'a, str>> {
    value.get("metadata")?.get(field).and_then(text)
}

/// `metadata`, made where it is missing; `None` where it is something else than a mapping.
pub(crate) fn metadata(value: &mut Value) -> Option<&mut Map<String, Value>> {
    let object = value.as_object_mut()?;
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    metadata.as_object_mut()
}
