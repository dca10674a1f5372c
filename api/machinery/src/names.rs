//! Names, labels and annotations.
use serde_json::Value;

use crate::schema::FieldError;

/// Says what is wrong with a DNS-1123 label; empty when nothing is.
pub fn dns1123_label(_text: &str) -> Vec<String> {
    Vec::new()
}

/// Says what is wrong with a DNS-1123 subdomain; empty when nothing is.
pub fn dns1123_subdomain(_text: &str) -> Vec<String> {
    Vec::new()
}

/// Says what is wrong with a DNS-1035 label; empty when nothing is.
pub fn dns1035_label(_text: &str) -> Vec<String> {
    Vec::new()
}

/// Says what is wrong with a name that becomes a path segment; empty when nothing is.
pub fn path_segment(_text: &str) -> Vec<String> {
    Vec::new()
}

/// Says what is wrong with the key of a label, annotation or finalizer; empty when nothing is.
pub fn qualified_name(_text: &str) -> Vec<String> {
    Vec::new()
}

/// Says what is wrong with the value of a label; empty when nothing is.
pub fn label_value(_text: &str) -> Vec<String> {
    Vec::new()
}

/// What the name of an object may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// A DNS-1123 label: namespaces.
    Label,
    /// A DNS-1123 subdomain: most kinds and all custom resources.
    Subdomain,
    /// A DNS-1035 label: services.
    Dns1035,
    /// Anything that can stand between two slashes: RBAC.
    PathSegment,
}

impl NameRule {
    /// The rule of a kind.
    pub fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Namespace") => Self::Label,
            ("", "Service") => Self::Dns1035,
            ("rbac.authorization.k8s.io", _) => Self::PathSegment,
            _ => Self::Subdomain,
        }
    }
}

/// Makes a name of `generateName` and a random suffix, cutting the base to what fits.
pub fn generate_name(base: &str, random: &str) -> String {
    format!("{base}{random}")
}

/// Lists everything wrong with `metadata` of an object that is about to be stored.
pub fn validate_metadata(_object: &Value, _namespaced: bool, _rule: NameRule) -> Vec<FieldError> {
    Vec::new()
}

/// Lists what an update may not change in `metadata`.
pub fn validate_metadata_update(_object: &Value, _old: &Value) -> Vec<FieldError> {
    Vec::new()
}
