//! What a kustomization does to every object below it: namespace, names, labels, annotations,
//! counts and images.
//!
//! In: a set and one field of the kustomization. Out: the same set, changed in place. Each
//! transformer walks the objects once.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::fields::{Create, FieldSpec, split};
use crate::generate;
use crate::kustomization::{Image, Label, Replica};
use crate::patch::whole;
use crate::resource::{Id, Resource, metadata, text};
use crate::set::Set;
use crate::tables;

/// Why a transformer cannot do its work; the sentence goes on after the field's name.
pub(crate) type Reason = String;

/// Moves all namespaced objects to a namespace.
pub(crate) fn namespace(set: &mut Set, namespace: &str) -> Result<(), Reason> {
    if namespace.is_empty() {
        return Ok(());
    }
    let taken = set.change_all(|resource| {
        resource.remember();
        let id = resource.id.clone();
        move_to(resource, namespace).map_err(|reason| format!("does not fit {id}: {reason}"))?;
        resource.refresh();
        Ok::<(), Reason>(())
    })?;
    match taken {
        None => Ok(()),
        Some(at) => Err(format!("gives two objects the name {}", set.items()[at].id)),
    }
}

fn move_to(resource: &mut Resource, namespace: &str) -> Result<(), Reason> {
    if !resource.id.is_cluster_scoped() {
        let metadata = metadata(&mut resource.value).ok_or("its metadata is no mapping")?;
        metadata.insert("namespace".to_owned(), Value::String(namespace.to_owned()));
    }
    if matches!(resource.id.kind.as_str(), "RoleBinding" | "ClusterRoleBinding") {
        let subjects = resource.value.get_mut("subjects").and_then(Value::as_array_mut);
        for subject in subjects.into_iter().flatten().filter_map(Value::as_object_mut) {
            if subject.get("name").is_some_and(|name| name == "default") {
                subject.insert("namespace".to_owned(), Value::String(namespace.to_owned()));
            }
        }
    }
    // Another group's Namespace keeps its name.
    let foreign = resource.id.kind == "Namespace" && !resource.id.group.is_empty();
    for field in tables::NAMESPACES.iter().filter(|_| !foreign) {
        field.visit(resource, Create::Scalar, &mut |node| set_scalar(node, namespace))?;
    }
    Ok(())
}

fn set_scalar(node: &mut Value, text: &str) -> Result<(), Reason> {
    if node.is_array() || node.is_object() {
        return Err("there is no scalar".to_owned());
    }
    *node = Value::String(text.to_owned());
    Ok(())
}

/// Whether the name of a kind is never prefixed or suffixed.
fn keeps_name(id: &Id) -> bool {
    matches!(id.kind.as_str(), "CustomResourceDefinition" | "Namespace")
        || (id.kind == "APIService" && id.group == "apiregistration.k8s.io")
}

/// Puts a text before every name.
pub(crate) fn prefix(set: &mut Set, prefix: &str) {
    rename(set, prefix, |resource| {
        resource.prefixes.push(prefix.to_owned());
        format!("{prefix}{}", resource.id.name)
    });
}

/// Puts a text after every name.
pub(crate) fn suffix(set: &mut Set, suffix: &str) {
    rename(set, suffix, |resource| {
        resource.suffixes.push(suffix.to_owned());
        format!("{}{suffix}", resource.id.name)
    });
}

fn rename(set: &mut Set, affix: &str, mut name: impl FnMut(&mut Resource) -> String) {
    if affix.is_empty() {
        return;
    }
    let Ok(_) = set.change_all(|resource| {
        if !keeps_name(resource.original()) {
            resource.remember();
            let name = name(resource);
            resource.set_name(name);
        }
        Ok::<(), std::convert::Infallible>(())
    });
}

/// Ends the names of generated objects with the hash of their content.
pub(crate) fn hashes(set: &mut Set) {
    let Ok(_) = set.change_all(|resource| {
        if resource.hashed {
            resource.remember();
            let hash = generate::hash(&resource.value);
            let name = format!("{}-{hash}", resource.id.name);
            resource.set_name(name);
        }
        Ok::<(), std::convert::Infallible>(())
    });
}

/// The fields that an entry of `labels` sets.
pub(crate) fn label_fields(label: &Label) -> Result<Vec<FieldSpec>, Reason> {
    let mut all: Vec<FieldSpec> = label
        .fields
        .iter()
        .map(|field| FieldSpec {
            group: field.group.clone().into(),
            version: field.version.clone().into(),
            kind: field.kind.clone().into(),
            path: split(&field.path),
            create: field.create,
        })
        .collect();
    let built_in: &[FieldSpec] = match (label.include_selectors, label.include_templates) {
        (true, _) => &tables::SELECTOR_LABELS,
        (false, true) => &tables::METADATA_LABELS,
        (false, false) => &tables::METADATA_LABELS[..1],
    };
    for field in built_in {
        let covered = |own: &&FieldSpec| {
            let part = |wide: &str, own: &str| wide.is_empty() || wide == own;
            own.path == field.path
                && part(&field.group, &own.group)
                && part(&field.version, &own.version)
                && part(&field.kind, &own.kind)
        };
        match all.iter().find(covered) {
            None => all.push(field.clone()),
            Some(own) if own.create == field.create => {}
            Some(_) => {
                return Err(format!(
                    "sets {} with another create than the built-in field",
                    field.path.join("/")
                ));
            }
        }
    }
    Ok(all)
}

/// Sets labels or annotations in fields of every object.
pub(crate) fn pairs(
    set: &mut Set,
    pairs: &BTreeMap<String, String>,
    fields: &[FieldSpec],
) -> Result<(), Reason> {
    if pairs.is_empty() {
        return Ok(());
    }
    let set_all = |resource: &mut Resource| {
        fields.iter().try_for_each(|field| {
            field.visit(resource, Create::Mapping, &mut |node| set_pairs(node, pairs))
        })
    };
    set.edit_all(set_all).map_err(|(id, reason)| format!("does not fit {id}: {reason}"))?;
    // A field that the user chose may be the name itself.
    if fields.iter().any(|field| field.path.len() < 2) {
        let Ok(_) = set.change_all(|resource| {
            resource.refresh();
            Ok::<(), std::convert::Infallible>(())
        });
    }
    Ok(())
}

fn set_pairs(node: &mut Value, pairs: &BTreeMap<String, String>) -> Result<(), Reason> {
    if node.is_null() {
        *node = Value::Object(Map::new());
    }
    let map = node.as_object_mut().ok_or("there is no mapping")?;
    for (key, value) in pairs {
        map.insert(key.clone(), Value::String(value.clone()));
    }
    Ok(())
}

/// Sets the count of the workloads that have or had a name.
pub(crate) fn replicas(set: &mut Set, replica: &Replica) -> Result<(), Reason> {
    let mut found = false;
    set.edit_all(|resource| {
        for field in tables::REPLICAS.iter() {
            let named = |id: &Id| id.name == replica.name && field.covers(id);
            if !named(&resource.id) && !resource.previous.iter().any(named) {
                continue;
            }
            found = true;
            field.visit(resource, Create::Scalar, &mut |node| {
                set_scalar(node, "")?;
                *node = Value::from(replica.count);
                Ok(())
            })?;
        }
        Ok(())
    })
    .map_err(|(id, reason)| format!("does not fit {id}: {reason}"))?;
    if found { Ok(()) } else { Err(format!("names {:?}, which is no workload", replica.name)) }
}

/// Replaces the name, tag or digest of an image wherever it is used.
pub(crate) fn image(set: &mut Set, image: &Image) -> Result<(), Reason> {
    let suffix = "(:[a-zA-Z0-9_.{}-]*)?(@sha256:[a-zA-Z0-9_.{}-]*)?";
    whole(&image.name)?;
    let pattern = whole(&format!("(?:{}){suffix}", image.name))?;
    let matches = |text: &str| pattern.as_ref().is_some_and(|pattern| pattern.is_match(text));
    let set_image = &mut |node: &mut Value| match text(node) {
        Some(current) if matches(&current) => {
            let new = replaced(&current, image);
            *node = Value::String(new);
            Ok(())
        }
        None if !node.is_null() => Err("there is no scalar".to_owned()),
        Some(_) | None => Ok(()),
    };
    set.edit_all(|resource| {
        if resource.id.kind == "CustomResourceDefinition" {
            return Ok(());
        }
        in_containers(&mut resource.value, set_image)?;
        let mut fields = tables::IMAGES.iter();
        fields.try_for_each(|field| field.visit(resource, Create::Nothing, set_image))
    })
    .map_err(|(id, reason)| format!("does not fit {id}: {reason}"))
}

/// Images of whatever is called containers, wherever it stands: custom kinds hold pods too.
fn in_containers(
    node: &mut Value,
    visit: &mut dyn FnMut(&mut Value) -> Result<(), Reason>,
) -> Result<(), Reason> {
    match node {
        Value::Object(fields) => {
            for (name, field) in fields {
                in_containers(field, visit)?;
                if !matches!(name.as_str(), "containers" | "initContainers") {
                    continue;
                }
                let containers = field.as_array_mut().into_iter().flatten();
                containers.filter_map(|item| item.get_mut("image")).try_for_each(&mut *visit)?;
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| in_containers(item, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn replaced(current: &str, image: &Image) -> String {
    let Image { name: _, new_name, tag_suffix, new_tag, digest: new_digest } = image;
    let (name, tag, digest) = split_image(current);
    let mut out = if new_name.is_empty() { name } else { new_name.as_str() }.to_owned();
    // A new tag or digest replaces both of the old.
    let (tag, digest) = match (new_tag.as_str(), new_digest.as_str()) {
        ("", "") if tag_suffix.is_empty() => (tag.to_owned(), digest),
        ("", "") => (format!("{tag}{tag_suffix}"), ""),
        (tag, digest) => (tag.to_owned(), digest),
    };
    for (mark, part) in [(':', tag.as_str()), ('@', digest)] {
        if !part.is_empty() {
            out.push(mark);
            out.push_str(part);
        }
    }
    out
}

/// Splits `[host[:port]/]name[:tag][@digest]`.
fn split_image(image: &str) -> (&str, &str, &str) {
    let start = image.find('/').unwrap_or(0);
    let (rest, digest) = match image[start..].find('@') {
        Some(at) => (&image[..start + at], &image[start + at + 1..]),
        None => (image, ""),
    };
    match rest[start..].find(':') {
        Some(at) => (&rest[..start + at], &rest[start + at + 1..], digest),
        None => (rest, "", digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_split_and_join() {
        for (image, parts) in [
            ("nginx", ("nginx", "", "")),
            ("nginx:1.2", ("nginx", "1.2", "")),
            ("host:5000/a/b:1@sha256:ff", ("host:5000/a/b", "1", "sha256:ff")),
            ("host:5000/a", ("host:5000/a", "", "")),
            ("a@sha256:ff", ("a", "", "sha256:ff")),
        ] {
            assert_eq!(split_image(image), parts, "{image}");
        }
        let image = |new_name: &str, new_tag: &str, digest: &str| Image {
            new_name: new_name.to_owned(),
            new_tag: new_tag.to_owned(),
            digest: digest.to_owned(),
            ..Image::default()
        };
        assert_eq!(replaced("a:1@sha256:f", &image("b", "", "")), "b:1@sha256:f");
        assert_eq!(replaced("a:1@sha256:f", &image("", "2", "")), "a:2");
        assert_eq!(replaced("a:1", &image("", "", "sha256:e")), "a@sha256:e");
        assert_eq!(replaced("a:1", &image("", "2", "sha256:e")), "a:2@sha256:e");
    }
}
