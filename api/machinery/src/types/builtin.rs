//! The merge semantics of built-in types, read from the table beside this file.
//!
//! In: `builtin.txt`. Out: one type per kind. The table is part of the program: a mistake in it is
//! found by the test below, not by a user.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::{ListMapType, MapKey, ObjectType, TypeSchema};

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(include_str!("builtin.txt")));

static UNKNOWN: LazyLock<TypeSchema> =
    LazyLock::new(|| super::with_metadata(TypeSchema::Object(ObjectType::default())));

/// The type of a kind, or of any kind that the table does not name.
pub(super) fn find(group: &str, kind: &str) -> &'static TypeSchema {
    TABLE.kinds.get(group).and_then(|kinds| kinds.get(kind)).unwrap_or(&UNKNOWN)
}

/// `ObjectMeta`.
pub(super) fn metadata() -> TypeSchema {
    TABLE.metadata.clone()
}

struct Table {
    kinds: HashMap<&'static str, HashMap<&'static str, TypeSchema>>,
    metadata: TypeSchema,
}

/// The lines of each type, by its name.
type Types = HashMap<&'static str, Vec<&'static str>>;

impl Table {
    fn read(text: &'static str) -> Self {
        let mut types = Types::new();
        let mut open = "";
        for line in text.lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            if line.starts_with(' ') {
                types.entry(open).or_default().push(trimmed);
            } else {
                open = trimmed;
                types.entry(open).or_default();
            }
        }
        let metadata = build("Metadata", &types);
        let mut kinds = HashMap::<_, HashMap<_, _>>::new();
        for name in types.keys() {
            if let Some((group, kind)) = name.split_once('/') {
                let built = with_metadata(build(name, &types), &metadata);
                kinds.entry(group).or_default().insert(kind, built);
            }
        }
        Self { kinds, metadata }
    }
}

fn with_metadata(kind: TypeSchema, metadata: &TypeSchema) -> TypeSchema {
    let TypeSchema::Object(mut object) = kind else { return kind };
    object.fields.insert("metadata".into(), metadata.clone());
    TypeSchema::Object(object)
}

/// Builds a type by name; one that the table does not list has nothing to say.
fn build(name: &str, types: &Types) -> TypeSchema {
    if name == "Atomic" {
        return TypeSchema::Atomic;
    }
    let mut object = ObjectType {
        other: Box::new(TypeSchema::DeducedStruct),
        open: true,
        ..ObjectType::default()
    };
    for line in types.get(name).into_iter().flatten() {
        if *line == "!retainKeys" {
            object.retain_keys = true;
            continue;
        }
        let mut words = line.split_whitespace();
        let field = words.next().unwrap_or_default();
        let what = words.next().unwrap_or_default();
        object.fields.insert(Cow::Borrowed(field), build_field(what, words.next(), types));
    }
    if object.fields.is_empty() && !object.retain_keys {
        return TypeSchema::DeducedStruct;
    }
    TypeSchema::Object(object)
}

fn build_field(what: &'static str, of: Option<&'static str>, types: &Types) -> TypeSchema {
    match (what, of) {
        ("atomic", _) => TypeSchema::Atomic,
        ("set", _) => TypeSchema::Set,
        ("map", of) => TypeSchema::Object(ObjectType {
            other: Box::new(of.map_or(TypeSchema::Deduced, |of| build(of, types))),
            ..ObjectType::default()
        }),
        (name, None) => build(name, types),
        (keys, Some(of)) => TypeSchema::Map(build_list(keys, of, types)),
    }
}

fn build_list(keys: &'static str, of: &str, types: &Types) -> ListMapType {
    let mut keys: Vec<MapKey> = keys
        .split(',')
        .map(|key| match key.split_once('=') {
            Some((name, default)) => {
                MapKey { name: name.into(), default: Some(Value::String(default.to_owned())) }
            }
            None => MapKey { name: key.into(), default: None },
        })
        .collect();
    // Where a type has several keys, strategic merge has always used the first alone.
    let patch_key = keys[0].name.clone();
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    ListMapType { keys, items: Box::new(build(of, types)), patch_key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_is_used_is_listed() {
        let text = include_str!("builtin.txt");
        let types: Vec<&str> = text.lines().filter(|line| !line.starts_with([' ', '#'])).collect();
        for line in text.lines().filter(|line| line.starts_with(' ')) {
            for word in line.split_whitespace().skip(1) {
                let is_type = word.starts_with(char::is_uppercase);
                assert!(
                    !is_type || ["Atomic", "Struct"].contains(&word) || types.contains(&word),
                    "{line}: {word} is not listed"
                );
            }
        }
    }

    #[test]
    fn containers_have_names_and_ports_a_default_protocol() {
        let spec = find("apps", "Deployment").child("spec").0;
        let containers = spec.child("template").0.child("spec").0.child("containers").0;
        let TypeSchema::Map(ports) = containers.items().child("ports").0 else { panic!() };
        assert_eq!(ports.keys[1].default, Some(Value::String("TCP".to_owned())));
        assert_eq!(ports.patch_key, "containerPort");
        assert_eq!(spec.child("selector").0, &TypeSchema::Atomic);
    }
}
