//! What a path means.

use std::sync::Arc;

use fixpoint_api_machinery::status;

use crate::kinds::{Kind, Registry};
use crate::store::Name;
use crate::wire::Failure;

/// The kind, namespace, object and subresource that a path names.
#[derive(Debug, Clone)]
pub struct Target {
    /// Kind in the version of the path.
    pub kind: Arc<Kind>,
    /// Namespace; absent for cluster-scoped kinds and for all namespaces at once.
    pub namespace: Option<String>,
    /// Object; absent for collections.
    pub name: Option<String>,
    /// Subresource such as `status`.
    pub subresource: Option<String>,
}

impl Target {
    /// Finds what the segments of a path name; `None` when they are not those of an object or a
    /// collection.
    ///
    /// # Errors
    /// 404 when there is no such kind.
    pub fn find(registry: &Registry, segments: &[String]) -> Result<Self, Failure> {
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(status::no_such_resource().into()),
        };
        let (namespace, plural, rest) = match rest {
            ["namespaces", _, "status" | "finalize"] => (None, "namespaces", &rest[1..]),
            ["namespaces", namespace, plural, rest @ ..] => (Some(*namespace), *plural, rest),
            [plural, rest @ ..] => (None, *plural, rest),
            [] => return Err(status::no_such_resource().into()),
        };
        let (name, subresource) = match rest {
            [] => (None, None),
            [name] => (Some(*name), None),
            [name, subresource] => (Some(*name), Some(*subresource)),
            _ => return Err(status::no_such_resource().into()),
        };
        let kind = registry.find(group, version, plural);
        let kind = kind.filter(|kind| kind.namespaced || namespace.is_none());
        let kind = kind.filter(|kind| !kind.namespaced || namespace.is_some() || name.is_none());
        let kind = kind.ok_or_else(status::no_such_resource)?;
        Ok(Self {
            kind: Arc::clone(kind),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            subresource: subresource.map(str::to_owned),
        })
    }

    /// The name in the table. Empty where the target is a collection.
    pub fn key(&self) -> Name {
        Name::new(self.namespace.clone().unwrap_or_default(), self.name.clone().unwrap_or_default())
    }

    /// 404 for this object.
    pub fn not_found(&self) -> Failure {
        let name = self.name.as_deref().unwrap_or("");
        status::not_found(&self.kind.group, &self.kind.plural, name).into()
    }
}
