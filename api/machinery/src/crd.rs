//! CustomResourceDefinitions.
use serde_json::Value;

use crate::schema::FieldError;

/// A CustomResourceDefinition that was read and found good.
#[derive(Debug, Clone)]
pub struct Crd {
    /// API group.
    pub group: String,
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
    /// Versions, as listed.
    pub versions: Vec<Version>,
}

/// One version of a CustomResourceDefinition.
#[derive(Debug, Clone)]
pub struct Version {
    /// Name, such as `v1beta1`.
    pub name: String,
    /// Whether it can be asked for.
    pub served: bool,
    /// Whether objects are stored in it.
    pub storage: bool,
    /// The warning that its use brings, if it is deprecated.
    pub deprecation: Option<String>,
    /// `openAPIV3Schema`.
    pub schema: Value,
    /// Whether it has a status subresource.
    pub status: bool,
    /// The scale subresource: `specReplicasPath`, `statusReplicasPath`, `labelSelectorPath`.
    pub scale: Option<Value>,
    /// `additionalPrinterColumns`.
    pub printer_columns: Vec<Value>,
    /// `selectableFields`, as dotted paths without the leading dot.
    pub selectable_fields: Vec<String>,
}

impl Crd {
    /// Reads a CustomResourceDefinition (defaulted or not).
    ///
    /// # Errors
    /// Everything that kube-apiserver would refuse.
    pub fn read(_object: &Value) -> Result<Self, Vec<FieldError>> {
        Err(vec![FieldError::required("spec", "")])
    }

    /// The version that is stored.
    pub fn storage(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.storage)
    }

    /// The served versions, the preferred one first (`v1`, `v2beta1`, `v1alpha1`, others).
    pub fn served(&self) -> Vec<&Version> {
        self.versions.iter().filter(|version| version.served).collect()
    }
}

/// Sets the defaults of a CustomResourceDefinition: `singular`, `listKind`, conversion strategy.
pub fn default(_object: &mut Value) {}

/// Sets `status`: accepted names, stored versions, `NamesAccepted` and `Established`. `now` is an
/// RFC 3339 time. `taken` says why the names cannot be had, if they cannot.
pub fn set_status(_object: &mut Value, _taken: Option<&str>, _now: &str) {}
