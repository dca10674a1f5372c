//! Names of objects, as the ledger has them and as an audit log has them.
//!
//! In: a kind on the one side, a resource on the other. Out: whether they are the same. A log says
//! `networkpolicies` where an intent says `NetworkPolicy`, and nobody who reads both later can ask
//! the server any more.

/// An object as an intent names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// API group; empty for the core group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty where it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.namespace.is_empty() {
            write!(f, " {}/{}", self.namespace, self.name)
        } else {
            write!(f, " {}", self.name)
        }
    }
}

/// An object as a request names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requested {
    /// API group; empty for the core group.
    pub group: String,
    /// The plural in the path.
    pub resource: String,
    /// The part of the object, such as `status`; empty for the whole.
    pub subresource: String,
    /// Its namespace; empty where it has none.
    pub namespace: String,
    /// Its name; empty where the request is about a collection.
    pub name: String,
}

impl std::fmt::Display for Requested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.resource)?;
        for (mark, part) in [(".", &self.group), ("/", &self.subresource)] {
            if !part.is_empty() {
                write!(f, "{mark}{part}")?;
            }
        }
        f.write_str(" ")?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

impl Requested {
    /// Whether this is a request for the whole of that object.
    pub fn is(&self, object: &Named) -> bool {
        self.subresource.is_empty()
            && self.name == object.name
            && self.group == object.group
            // A server says that a namespace is in itself.
            && (self.namespace == object.namespace || self.resource == "namespaces")
            && is_plural(&self.resource, &object.kind)
    }
}

/// Whether a resource may be the plural of a kind. Definitions choose their plurals freely, but
/// every form in use is one of these; a coincidence would need a second kind of the same group.
fn is_plural(resource: &str, kind: &str) -> bool {
    let kind = kind.to_lowercase();
    let Some(end) = resource.strip_prefix(kind.as_str()) else {
        return kind
            .strip_suffix('y')
            .is_some_and(|stem| resource.strip_prefix(stem).is_some_and(|end| end == "ies"));
    };
    matches!(end, "" | "s" | "es")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_in_use_are_known() {
        for (resource, kind) in [
            ("configmaps", "ConfigMap"),
            ("networkpolicies", "NetworkPolicy"),
            ("gateways", "Gateway"),
            ("ingresses", "Ingress"),
            ("endpoints", "Endpoints"),
            ("storageclasses", "StorageClass"),
        ] {
            assert!(is_plural(resource, kind), "{resource} {kind}");
        }
        for (resource, kind) in
            [("configmaps", "Config"), ("pods", "PodDisruptionBudget"), ("policies", "Policeman")]
        {
            assert!(!is_plural(resource, kind), "{resource} {kind}");
        }
    }
}
