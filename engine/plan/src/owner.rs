//! Whom an object belongs to, as its labels say.

use std::fmt;

use fixpoint_base::object::label;
use serde_json::Value;

/// The delivery that put an object where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Kind of the delivery, such as `Kustomization`.
    pub kind: String,
    /// Namespace of the delivery.
    pub namespace: String,
    /// Name of the delivery.
    pub name: String,
}

/// The label prefixes of the kinds of deliveries that label what they own.
const PREFIXES: [(&str, &str); 2] =
    [("Kustomization", "kustomize.toolkit.fluxcd.io"), ("HelmRelease", "helm.toolkit.fluxcd.io")];

impl Owner {
    /// Names a delivery.
    pub fn new(
        kind: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    /// Names a Kustomization.
    pub fn kustomization(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new("Kustomization", namespace, name)
    }

    /// The two labels that mark an object as this delivery's.
    pub fn labels(&self) -> [(String, String); 2] {
        let prefix = self.prefix();
        [
            (format!("{prefix}/name"), self.name.clone()),
            (format!("{prefix}/namespace"), self.namespace.clone()),
        ]
    }

    /// Reads the owner from an object's labels; both must be there.
    ///
    /// An object that carries the labels of several kinds of deliveries belongs to the first kind
    /// in the order Kustomization, HelmRelease.
    pub fn of(object: &Value) -> Option<Self> {
        PREFIXES.iter().find_map(|(kind, prefix)| {
            let name = label(object, &format!("{prefix}/name"))?;
            let namespace = label(object, &format!("{prefix}/namespace"))?;
            Some(Self::new(*kind, namespace, name))
        })
    }

    fn prefix(&self) -> &'static str {
        PREFIXES.iter().find(|(kind, _)| *kind == self.kind).map_or(PREFIXES[0].1, |(_, p)| p)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        write!(f, "{kind}/{namespace}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_go_both_ways() {
        for owner in
            [Owner::kustomization("flux-system", "apps"), Owner::new("HelmRelease", "shop", "db")]
        {
            let labels: serde_json::Map<_, _> =
                owner.labels().into_iter().map(|(k, v)| (k, Value::String(v))).collect();
            assert_eq!(Owner::of(&json!({"metadata": {"labels": labels}})), Some(owner));
        }
    }

    #[test]
    fn half_a_label_pair_is_nobody() {
        let object = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}});
        assert_eq!(Owner::of(&object), None);
    }
}
