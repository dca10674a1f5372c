//! JSON patches (RFC 6902), one operation at a time, within limits.
//!
//! A patch can copy a value into itself and so double an object with every operation; depth and
//! size are bounded before that happens.

use fixpoint_base::Limits;
use json_patch::{AddOperation, Patch, PatchError, PatchOperation, ReplaceOperation};
use serde_json::Value;

/// Carries out the operations on an object, which is left half-changed where one fails.
pub(crate) fn apply(object: &mut Value, patch: &Patch, limits: &Limits) -> Result<(), String> {
    let mut bound = Size::of(object);
    for (at, operation) in patch.0.iter().enumerate() {
        bound = match operation {
            PatchOperation::Add(add) => bound.with(Size::of(&add.value)),
            PatchOperation::Replace(replace) => bound.with(Size::of(&replace.value)),
            PatchOperation::Copy(_) | PatchOperation::Move(_) => bound.with(bound),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => bound,
        };
        if !bound.fits(limits) {
            bound = Size::of(object);
            let grows = matches!(operation, PatchOperation::Copy(_));
            if !bound.with(if grows { bound } else { Size::default() }).fits(limits) {
                return Err(format!("operation {} makes the object too large", at + 1));
            }
        }
        carry_out(object, operation).map_err(|err| {
            format!("operation {} at {} fails: {}", at + 1, operation.path(), err.kind)
        })?;
    }
    if Size::of(object).fits(limits) {
        return Ok(());
    }
    Err("it makes the object too large".to_owned())
}

/// Carries one operation out. As kustomize has it, `replace` also makes a field that is missing.
fn carry_out(object: &mut Value, operation: &PatchOperation) -> Result<(), PatchError> {
    if let PatchOperation::Replace(replace) = operation
        && let Some((parent, _)) = replace.path.split_back()
        && parent.resolve(object).is_ok_and(Value::is_object)
    {
        let ReplaceOperation { path, value } = replace.clone();
        let add = PatchOperation::Add(AddOperation { path, value });
        return json_patch::patch(object, &[add]);
    }
    json_patch::patch(object, std::slice::from_ref(operation))
}

/// How deep and how large a value is.
#[derive(Clone, Copy, Default)]
struct Size {
    depth: usize,
    nodes: usize,
}

impl Size {
    fn of(value: &Value) -> Self {
        match value {
            Value::Array(items) => items.iter().map(Self::of).fold(Self::one(), Self::holding),
            Value::Object(fields) => fields.values().map(Self::of).fold(Self::one(), Self::holding),
            _ => Self::one(),
        }
    }

    const fn one() -> Self {
        Self { depth: 1, nodes: 1 }
    }

    fn holding(self, inner: Self) -> Self {
        Self { depth: self.depth.max(inner.depth + 1), nodes: self.nodes + inner.nodes }
    }

    fn with(self, other: Self) -> Self {
        Self {
            depth: self.depth.saturating_add(other.depth),
            nodes: self.nodes.saturating_add(other.nodes),
        }
    }

    fn fits(self, limits: &Limits) -> bool {
        // A few levels more than one document may have: a patch may put a document into one.
        self.depth <= limits.yaml_depth.saturating_mul(2) && self.nodes <= limits.yaml_nodes
    }
}
