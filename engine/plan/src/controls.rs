//! What an object says about how it wants to be treated, in labels or annotations.

use fixpoint_base::object::{annotation, label};
use serde_json::Value;

const PREFIX: &str = "kustomize.toolkit.fluxcd.io";

/// How server-side apply treats an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ssa {
    /// Apply, and take back the fields that people edited by hand.
    #[default]
    Override,
    /// Apply, and leave the fields that people added by hand.
    Merge,
    /// Create, and never touch again.
    IfNotPresent,
    /// Leave alone.
    Ignore,
}

/// The per-object controls, read from a manifest or from a live object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Controls {
    /// `reconcile: disabled`.
    pub reconcile_disabled: bool,
    /// `ssa: …`; an unknown value is the default.
    pub ssa: Ssa,
    /// `force: enabled`.
    pub force: bool,
    /// `prune: disabled`.
    pub prune_disabled: bool,
}

impl Controls {
    /// Reads the controls of an object. Values are compared without regard to case; a label and
    /// an annotation count the same, and either is enough.
    pub fn of(object: &Value) -> Self {
        let says = |key: &str, value: &str| {
            let key = format!("{PREFIX}/{key}");
            [label(object, &key), annotation(object, &key)]
                .into_iter()
                .flatten()
                .any(|found| found.eq_ignore_ascii_case(value))
        };
        let ssa =
            [("Ignore", Ssa::Ignore), ("IfNotPresent", Ssa::IfNotPresent), ("Merge", Ssa::Merge)]
                .into_iter()
                .find(|(value, _)| says("ssa", value))
                .map_or(Ssa::Override, |(_, ssa)| ssa);
        Self {
            reconcile_disabled: says("reconcile", "disabled"),
            ssa,
            force: says("force", "enabled"),
            prune_disabled: says("prune", "disabled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_and_annotations_count_the_same_in_any_case() {
        let object = json!({"metadata": {
            "labels": {"kustomize.toolkit.fluxcd.io/reconcile": "Disabled"},
            "annotations": {
                "kustomize.toolkit.fluxcd.io/ssa": "ifnotpresent",
                "kustomize.toolkit.fluxcd.io/force": "ENABLED",
                "kustomize.toolkit.fluxcd.io/prune": "disabled",
            },
        }});
        assert_eq!(
            Controls::of(&object),
            Controls {
                reconcile_disabled: true,
                ssa: Ssa::IfNotPresent,
                force: true,
                prune_disabled: true
            }
        );
    }

    #[test]
    fn other_values_change_nothing() {
        let object = json!({"metadata": {"annotations": {
            "kustomize.toolkit.fluxcd.io/ssa": "sometimes",
            "kustomize.toolkit.fluxcd.io/reconcile": "enabled",
            "kustomize.toolkit.fluxcd.io/prune": true,
        }}});
        assert_eq!(Controls::of(&object), Controls::default());
    }
}
