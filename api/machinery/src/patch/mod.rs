//! The three ways to change an object by a patch.
//!
//! In: the object as stored and a patch. Out: the object as it would be, not yet defaulted or
//! validated. A patch that does not fit changes nothing.

mod strategic;

use fixpoint_base::{Class, Classified};
use json_patch::PatchOperation;
use serde_json::Value;

pub use strategic::strategic_merge;

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

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unprocessable { cause } => Some(cause.clone()),
            Self::Malformed(_) | Self::TooLarge(_) => None,
        }
    }
}

/// What kube-apiserver allows.
const MAX_OPERATIONS: usize = 10_000;

/// `copy` can double an object with each operation; this is what one object may weigh.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// Applies an RFC 6902 patch.
///
/// # Errors
/// When the patch is malformed, too large, or does not fit the object.
pub fn json_patch(object: &Value, patch: &Value) -> Result<Value, PatchError> {
    let count = patch.as_array().map_or(0, Vec::len);
    if count > MAX_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"
        )));
    }
    let operations: Vec<PatchOperation> = serde::Deserialize::deserialize(patch)
        .map_err(|err: serde_json::Error| PatchError::Malformed(err.to_string()))?;
    let mut out = object.clone();
    let mut copied = 0;
    for operation in operations {
        if let PatchOperation::Copy(copy) = &operation {
            copied += copy.from.resolve(&out).map_or(0, |from| from.to_string().len());
            if copied > MAX_COPIED_BYTES {
                let message =
                    format!("the copies of a JSON patch may make at most {MAX_COPIED_BYTES} bytes");
                return Err(PatchError::TooLarge(message));
            }
        }
        json_patch::patch(&mut out, &[operation])
            .map_err(|err| PatchError::Unprocessable { cause: err.to_string() })?;
    }
    Ok(out)
}

/// Applies an RFC 7386 merge patch in place.
pub fn merge_patch(object: &mut Value, patch: &Value) {
    json_patch::merge(object, patch);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn json_case(object: Value, patch: Value, want: Result<Value, &str>) {
        let got = json_patch(&object, &patch).map_err(|err| match err {
            PatchError::Unprocessable { cause } => cause,
            other => other.to_string(),
        });
        match (got, want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want),
            (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
            (got, want) => panic!("{got:?}, not {want:?}"),
        }
    }

    #[test]
    fn json_patches() {
        let op =
            |op: &str, path: &str, value: Value| json!([{"op": op, "path": path, "value": value}]);
        json_case(json!({"a": 1}), op("add", "/b", json!(2)), Ok(json!({"a": 1, "b": 2})));
        json_case(json!({"a": [1, 3]}), op("add", "/a/1", json!(2)), Ok(json!({"a": [1, 2, 3]})));
        json_case(json!({"a": [1]}), op("add", "/a/-", json!(2)), Ok(json!({"a": [1, 2]})));
        json_case(json!({"a": 1}), op("replace", "/a", json!(2)), Ok(json!({"a": 2})));
        json_case(json!({"a": 1}), op("test", "/a", json!(1)), Ok(json!({"a": 1})));
        json_case(json!({"a": 1}), op("test", "/a", json!(2)), Err("/a"));
        json_case(json!({"a": 1}), op("replace", "/b", json!(2)), Err("/b"));
        json_case(json!({}), op("add", "/a/b", json!(2)), Err("/a/b"));
        json_case(json!({}), op("rub", "/a", json!(2)), Err("error decoding patch"));
        json_case(json!({}), json!({"a": 1}), Err("error decoding patch"));
        json_case(json!({"a": 1}), json!([{"op": "remove", "path": "/a"}]), Ok(json!({})));
        json_case(json!({"a": 1}), json!([{"op": "remove", "path": "/b"}]), Err("/b"));
        json_case(
            json!({"a/b": 1, "c~d": 2}),
            json!([{"op": "move", "from": "/a~1b", "path": "/x"},
                {"op": "copy", "from": "/c~0d", "path": "/y"}]),
            Ok(json!({"x": 1, "c~d": 2, "y": 2})),
        );
    }

    #[test]
    fn a_patch_that_fails_half_way_changes_nothing() {
        let object = json!({"a": 1});
        let patch = json!([{"op": "remove", "path": "/a"}, {"op": "remove", "path": "/a"}]);
        assert!(json_patch(&object, &patch).is_err());
        assert_eq!(object, json!({"a": 1}));
    }

    #[test]
    fn copies_cannot_explode() {
        let operations: Vec<Value> = (0..40)
            .map(|at| json!({"op": "copy", "from": "/a", "path": format!("/a/x{at}")}))
            .collect();
        let got = json_patch(&json!({"a": {"k": "0123456789"}}), &Value::Array(operations));
        assert!(matches!(got, Err(PatchError::TooLarge(_))), "{got:?}");
        let many = vec![json!({"op": "test", "path": "", "value": {}}); MAX_OPERATIONS + 1];
        let got = json_patch(&json!({}), &Value::Array(many)).unwrap_err();
        assert_eq!(
            got.to_string(),
            "The allowed maximum operations in a JSON patch is 10000, got 10001"
        );
    }

    #[test]
    fn merge_patches() {
        for (mut object, patch, want) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            (json!(["a"]), json!({"a": "b"}), json!({"a": "b"})),
        ] {
            merge_patch(&mut object, &patch);
            assert_eq!(object, want);
        }
    }
}
