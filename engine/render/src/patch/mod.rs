//! Patches: read once, then laid over the objects they are for.

mod json;
mod select;
mod strategic;

use fixpoint_base::Limits;
use fixpoint_yaml::Dialect;
use serde_json::Value;

pub(crate) use select::{Matcher, whole};

use crate::manifest;
use crate::resource::{Id, Resource, field_text, metadata, text};
use crate::set::Set;

/// A patch that has been read.
pub(crate) enum Loaded {
    /// Strategic merge patches, each of which names an object.
    Merge(Vec<Value>),
    /// A JSON patch.
    Json(json_patch::Patch),
}

/// What a merge patch may change besides the fields of an object.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allowed {
    pub(crate) name: bool,
    pub(crate) kind: bool,
}

/// Reads a patch: a list is a JSON patch, anything else a strategic merge patch.
pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Loaded, String> {
    let plain = fixpoint_yaml::parse(bytes, limits).map_err(|err| format!("is no YAML: {err}"))?;
    match plain.into_iter().next() {
        None => Err("is empty".to_owned()),
        Some(list @ Value::Array(_)) => serde_json::from_value(list)
            .map(Loaded::Json)
            .map_err(|err| format!("is no JSON patch: {err}")),
        Some(_) => read_merge(bytes, limits).map(Loaded::Merge),
    }
}

/// Reads strategic merge patches.
pub(crate) fn read_merge(bytes: &[u8], limits: &Limits) -> Result<Vec<Value>, String> {
    let values = fixpoint_yaml::parse_as(bytes, Dialect::Kustomize, limits)
        .map_err(|err| format!("is no YAML: {err}"))?;
    let values = manifest::expand_lists(values)?;
    for value in &values {
        manifest::check(value)?;
    }
    Ok(values)
}

/// Lays a merge patch over one object.
///
/// Returns whether the object is still there.
pub(crate) fn merge_into(
    resource: &mut Resource,
    patch: &Value,
    allowed: Allowed,
) -> Result<bool, String> {
    let kind = resource.value.get("kind").cloned();
    let name = resource.value.pointer("/metadata/name").cloned();
    let namespace = resource.value.pointer("/metadata/namespace").cloned();
    if allowed.name || allowed.kind {
        resource.remember();
    }
    let Some(mut merged) = strategic::merge(resource.value.take(), patch)? else {
        return Ok(false);
    };
    if let (false, Some(kind), Some(fields)) = (allowed.kind, kind, merged.as_object_mut()) {
        fields.insert("kind".to_owned(), kind);
    }
    if let Some(metadata) = metadata(&mut merged) {
        if let (false, Some(name)) = (allowed.name, name) {
            metadata.insert("name".to_owned(), name);
        }
        match namespace.filter(|namespace| text(namespace).is_some_and(|text| !text.is_empty())) {
            Some(namespace) => metadata.insert("namespace".to_owned(), namespace),
            None => metadata.remove("namespace"),
        };
    }
    resource.value = merged;
    resource.refresh();
    Ok(true)
}

/// Lays a merge patch over the one object that it names.
pub(crate) fn merge_named(set: &mut Set, patch: &Value, allowed: Allowed) -> Result<(), String> {
    let id = Id::of(patch);
    let found = set.by_any_id(&id);
    let at = match found.as_slice() {
        [at] => *at,
        [] => return Err(format!("is for {id}, which is not among the objects")),
        _ => return Err(format!("is for {id}, which several objects are called")),
    };
    merge_at(set, &[at], patch, allowed)
}

/// Lays a merge patch over the objects at these places.
pub(crate) fn merge_at(
    set: &mut Set,
    places: &[usize],
    patch: &Value,
    allowed: Allowed,
) -> Result<(), String> {
    let mut gone = false;
    for at in places {
        let taken = set.change(*at, |resource| {
            let id = resource.id.clone();
            // Chosen by a selector, an object keeps its own version.
            let patch = with_version_of(patch, &resource.value);
            gone |= !merge_into(resource, &patch, allowed)
                .map_err(|reason| format!("does not fit {id}: {reason}"))?;
            Ok::<(), String>(())
        })?;
        if taken {
            return Err("gives two objects one name".to_owned());
        }
    }
    if gone {
        set.retain(|resource| !resource.value.is_null());
    }
    Ok(())
}

fn with_version_of<'a>(patch: &'a Value, object: &Value) -> std::borrow::Cow<'a, Value> {
    let version = field_text(object, "apiVersion").unwrap_or_default();
    if field_text(patch, "apiVersion").is_some_and(|own| own == version) {
        return std::borrow::Cow::Borrowed(patch);
    }
    let mut patch = patch.clone();
    if let Some(fields) = patch.as_object_mut() {
        fields.insert("apiVersion".to_owned(), Value::String(version.into_owned()));
    }
    std::borrow::Cow::Owned(patch)
}

/// Carries a JSON patch out on the objects that are chosen.
pub(crate) fn apply_json(
    set: &mut Set,
    places: &[usize],
    patch: &json_patch::Patch,
    remember: bool,
    limits: &Limits,
) -> Result<(), String> {
    for at in places {
        let taken = set.change(*at, |resource| {
            let id = resource.id.clone();
            if remember {
                resource.remember();
            }
            json::apply(&mut resource.value, patch, limits)
                .map_err(|reason| format!("does not fit {id}: {reason}"))?;
            manifest::check(&resource.value)
                .map_err(|reason| format!("spoils {id}, which then {reason}"))?;
            resource.refresh();
            Ok::<(), String>(())
        })?;
        if taken {
            return Err("gives two objects one name".to_owned());
        }
    }
    Ok(())
}

/// The places of all objects that a selector chooses.
pub(crate) fn selected(set: &Set, matcher: &Matcher) -> Vec<usize> {
    let items = set.items().iter().enumerate();
    items.filter(|(_, resource)| matcher.matches(resource)).map(|(at, _)| at).collect()
}
