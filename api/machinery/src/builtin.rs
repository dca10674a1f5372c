//! The built-in kinds of Kubernetes, as a table.

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

/// All built-in kinds.
pub fn kinds() -> &'static [Kind] {
    &[]
}

/// The built-in kind with this group and plural.
pub fn by_plural(group: &str, plural: &str) -> Option<&'static Kind> {
    kinds().iter().find(|kind| kind.group == group && kind.plural == plural)
}

/// The built-in kind with this group and kind.
pub fn by_kind(group: &str, kind: &str) -> Option<&'static Kind> {
    kinds().iter().find(|known| known.group == group && known.kind == kind)
}
