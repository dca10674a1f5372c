//! How values of each type merge.
//!
//! In: the OpenAPI schema of a CRD version, or the name of a built-in kind. Out: a [`TypeSchema`],
//! what server-side apply and strategic merge patch walk along. It says nothing about which values
//! are allowed; that is [`crate::schema`]. Any value can be walked along any type: where they do
//! not fit, the value counts as one leaf.

mod builtin;

use std::borrow::Cow;
use std::collections::BTreeMap;

use fixpoint_base::Gvk;
use serde_json::Value;

/// How values of one type merge: what server-side apply and strategic merge patch walk along.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum TypeSchema {
    /// Nothing is known: maps merge key by key, lists and scalars are replaced as a whole.
    #[default]
    Deduced,
    /// Like [`TypeSchema::Deduced`], but the keys of maps are fields of a type that is known
    /// elsewhere: nobody owns such a map, only what is in it.
    DeducedStruct,
    /// Replaced as a whole, whatever it is.
    Atomic,
    /// A struct or a map that merges field by field.
    Object(ObjectType),
    /// A list of scalars in which each value is an item of its own.
    Set,
    /// A list whose items are told apart by the values of some of their fields.
    Map(ListMapType),
}

/// A struct or a map.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObjectType {
    /// The fields that the type declares and that need more than [`ObjectType::other`] says.
    pub fields: BTreeMap<Cow<'static, str>, TypeSchema>,
    /// The type of every other key.
    pub other: Box<TypeSchema>,
    /// Whether other keys are declared fields too, only not listed.
    pub open: bool,
    /// Strategic merge drops the fields that a patch's `$retainKeys` does not name.
    pub retain_keys: bool,
}

/// A list whose items have keys.
#[derive(Debug, Clone, PartialEq)]
pub struct ListMapType {
    /// The fields that tell items apart, sorted by name.
    pub keys: Vec<MapKey>,
    /// The type of the items.
    pub items: Box<TypeSchema>,
    /// The one field by which strategic merge tells items apart.
    pub patch_key: Cow<'static, str>,
}

/// One field that tells the items of a list apart.
#[derive(Debug, Clone, PartialEq)]
pub struct MapKey {
    /// Name of the field.
    pub name: Cow<'static, str>,
    /// The value an item has that does not write the field.
    pub default: Option<Value>,
}

static DEDUCED: TypeSchema = TypeSchema::Deduced;
static DEDUCED_STRUCT: TypeSchema = TypeSchema::DeducedStruct;

impl TypeSchema {
    /// Reads merge semantics from the OpenAPI v3 schema of a CRD version.
    pub fn from_crd(openapi_v3_schema: &Value) -> Self {
        with_metadata(read(openapi_v3_schema, MAX_DEPTH))
    }

    /// The merge semantics of a built-in kind; kinds that are not in the table have typed metadata
    /// and a deduced rest.
    pub fn builtin(gvk: &Gvk) -> &'static Self {
        builtin::find(&gvk.group, &gvk.kind)
    }

    /// The type of one key of a map, and whether the key is a declared field.
    pub(crate) fn child(&self, key: &str) -> (&Self, bool) {
        match self {
            Self::Object(object) => match object.fields.get(key) {
                Some(field) => (field, true),
                None => (&object.other, object.open),
            },
            Self::DeducedStruct => (&DEDUCED_STRUCT, true),
            Self::Deduced | Self::Atomic | Self::Set | Self::Map(_) => (&DEDUCED, false),
        }
    }

    /// The type of the items of a list.
    pub(crate) fn items(&self) -> &Self {
        match self {
            Self::Map(list) => &list.items,
            Self::Deduced | Self::DeducedStruct | Self::Atomic | Self::Object(_) | Self::Set => {
                &DEDUCED
            }
        }
    }
}

/// Schemas nest at most as deep as documents may.
const MAX_DEPTH: usize = 64;

fn read(schema: &Value, depth: usize) -> TypeSchema {
    if depth == 0 {
        return TypeSchema::Atomic;
    }
    let merged = if schema.get("items").is_some() {
        read_list(schema, depth)
    } else if schema["x-kubernetes-map-type"] == "atomic" {
        TypeSchema::Atomic
    } else if schema.get("properties").is_some() || schema.get("additionalProperties").is_some() {
        read_map(schema, depth)
    } else {
        TypeSchema::Deduced
    };
    if schema["x-kubernetes-embedded-resource"] == true { with_metadata(merged) } else { merged }
}

fn read_list(schema: &Value, depth: usize) -> TypeSchema {
    let items = &schema["items"];
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => TypeSchema::Set,
        Some("map") => {
            let names = schema["x-kubernetes-list-map-keys"].as_array();
            let mut keys: Vec<MapKey> = names
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(|name| MapKey {
                    name: Cow::Owned(name.to_owned()),
                    default: items["properties"][name].get("default").cloned(),
                })
                .collect();
            let Some(first) = keys.first() else { return TypeSchema::Atomic };
            let patch_key = first.name.clone();
            keys.sort_by(|a, b| a.name.cmp(&b.name));
            TypeSchema::Map(ListMapType {
                keys,
                items: Box::new(read(items, depth - 1)),
                patch_key,
            })
        }
        Some(_) | None => TypeSchema::Atomic,
    }
}

fn read_map(schema: &Value, depth: usize) -> TypeSchema {
    let fields = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, field)| (Cow::Owned(name.clone()), read(field, depth - 1)))
        .collect();
    let other = match schema.get("additionalProperties") {
        Some(other @ Value::Object(_)) => read(other, depth - 1),
        Some(_) | None => TypeSchema::Deduced,
    };
    TypeSchema::Object(ObjectType {
        fields,
        other: Box::new(other),
        open: false,
        retain_keys: false,
    })
}

/// Gives a type the metadata that every object has, whatever its schema says of it.
fn with_metadata(merged: TypeSchema) -> TypeSchema {
    let mut object = match merged {
        TypeSchema::Object(object) => object,
        TypeSchema::Deduced
        | TypeSchema::DeducedStruct
        | TypeSchema::Atomic
        | TypeSchema::Set
        | TypeSchema::Map(_) => ObjectType::default(),
    };
    object.fields.insert("metadata".into(), builtin::metadata());
    object.fields.insert("apiVersion".into(), TypeSchema::Deduced);
    object.fields.insert("kind".into(), TypeSchema::Deduced);
    TypeSchema::Object(object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn crd_lists_and_maps() {
        let schema = TypeSchema::from_crd(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "ports": {"type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "items": {"type": "object", "properties": {
                        "port": {"type": "integer"},
                        "protocol": {"type": "string", "default": "TCP"}}}},
                "names": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "args": {"type": "array", "items": {"type": "string"}},
                "ref": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}));
        let spec = schema.child("spec").0;
        let TypeSchema::Map(ports) = spec.child("ports").0 else { panic!("{spec:?}") };
        assert_eq!(ports.keys[1].default, Some(json!("TCP")));
        assert_eq!(spec.child("names"), (&TypeSchema::Set, true));
        assert_eq!(spec.child("args"), (&TypeSchema::Atomic, true));
        assert_eq!(spec.child("ref"), (&TypeSchema::Atomic, true));
        assert_eq!(spec.child("free"), (&TypeSchema::Deduced, true));
        assert_eq!(spec.child("unknown"), (&TypeSchema::Deduced, false));
        assert_eq!(schema.child("metadata").0.child("finalizers").0, &TypeSchema::Set);
    }
}
