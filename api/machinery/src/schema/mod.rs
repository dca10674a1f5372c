//! Structural schemas.
mod error;

use serde_json::Value;

pub(crate) use error::go_quote;
pub use error::{FieldError, FieldErrorKind};

/// A compiled structural schema.
#[derive(Debug, Clone)]
pub struct Schema {}

impl Schema {
    /// Compiles the `openAPIV3Schema` of a CRD version.
    ///
    /// # Errors
    /// Every place where the schema is not structural.
    pub fn parse(_schema: &Value) -> Result<Self, Vec<FieldError>> {
        Ok(Self {})
    }

    /// Drops the fields that the schema does not name; returns their paths (`spec.foo[0].bar`).
    pub fn prune(&self, _object: &mut Value) -> Vec<String> {
        Vec::new()
    }

    /// Sets the defaults of missing fields.
    pub fn default(&self, _object: &mut Value) {}

    /// Lists everything about an object that the schema does not allow.
    pub fn validate(&self, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// Like [`Schema::validate`], with the rules that compare with the old object.
    pub fn validate_update(&self, object: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(object)
    }
}
