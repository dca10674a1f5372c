//! Label and field selectors.
use fixpoint_base::{Class, Classified};
use serde_json::Value;

/// Says what is wrong with a selector; the text is what the API server answers with 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub(crate) String);

impl Classified for SelectorError {
    fn class(&self) -> Class {
        Class::User
    }
}

/// A label selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    _private: (),
}

impl LabelSelector {
    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
    ///
    /// # Errors
    /// When the text is not a selector.
    pub fn parse(_text: &str) -> Result<Self, SelectorError> {
        Ok(Self::default())
    }

    /// Reads a `LabelSelector` object: `matchLabels` and `matchExpressions`.
    ///
    /// # Errors
    /// When an operator is unknown or a value is malformed.
    pub fn from_json(_selector: &Value) -> Result<Self, SelectorError> {
        Ok(Self::default())
    }

    /// Says whether it selects everything.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Says whether the labels of an object satisfy it.
    pub fn matches(&self, object: &Value) -> bool {
        self.matches_labels(object.pointer("/metadata/labels").unwrap_or(&Value::Null))
    }

    /// Says whether some labels (a JSON object) satisfy it.
    pub fn matches_labels(&self, _labels: &Value) -> bool {
        true
    }
}

/// A field selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    _private: (),
}

impl FieldSelector {
    /// Reads `metadata.name=a,type!=b`. Only `metadata.name`, `metadata.namespace` and the fields
    /// in `extra` may be named.
    ///
    /// # Errors
    /// When the text is not a selector or names another field.
    pub fn parse(_text: &str, _extra: &[&str]) -> Result<Self, SelectorError> {
        Ok(Self::default())
    }

    /// Says whether it selects everything.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// The one name it asks for, if it asks for `metadata.name=…`.
    pub fn name(&self) -> Option<&str> {
        None
    }

    /// Says whether an object satisfies it; a missing field is the empty string.
    pub fn matches(&self, _object: &Value) -> bool {
        true
    }
}
