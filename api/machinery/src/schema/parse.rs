//! Reading schemas, and refusing those that are not structural.
//!
//! In: JSON. Out: a tree of nodes, or every place where the rules of structural schemas are broken,
//! in the words of kube-apiserver.

use regex::Regex;
use serde_json::Value;

use super::rules::Rules;
use super::{Additional, Checks, FieldError, FieldErrorKind, ListType, Node, Type, pattern};

/// As deep as a document may be.
const MAX_DEPTH: usize = 64;

pub(super) fn parse(schema: &Value) -> Result<(Node, Vec<String>), Vec<FieldError>> {
    let mut reader = Reader { errors: Vec::new(), warnings: Vec::new() };
    let mut root = reader.node(schema, "", Place::Root, MAX_DEPTH);
    if root.kind.is_some_and(|kind| kind != Type::Object) {
        let found = schema["type"].clone();
        reader.add(FieldError::invalid("type", found, "must be object at the root"));
    }
    // The root is a resource, whatever else it is.
    root.embedded = true;
    reader.check_defaults(&root, "");
    if reader.errors.is_empty() { Ok((root, reader.warnings)) } else { Err(reader.errors) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Field,
    Items,
    /// Inside `allOf`, `anyOf`, `oneOf` or `not`: may check values and nothing else.
    Junctor,
}

struct Reader {
    errors: Vec<FieldError>,
    warnings: Vec<String>,
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

impl Reader {
    fn add(&mut self, err: FieldError) {
        // One bad schema should not answer with megabytes.
        if self.errors.len() < 100 {
            self.errors.push(err);
        }
    }

    fn node(&mut self, schema: &Value, path: &str, place: Place, depth: usize) -> Node {
        if depth == 0 {
            self.add(FieldError::forbidden(path, "schemas may nest 64 levels deep at most"));
            return Node::default();
        }
        if !schema.is_object() {
            self.add(FieldError::invalid(path, schema.clone(), "must be an object"));
            return Node::default();
        }
        if schema.get("$ref").is_some_and(|at| !at.is_null()) {
            self.add(FieldError::forbidden(join(path, "$ref"), "$ref is not supported"));
        }
        let flag = |key: &str| schema[key] == true;
        let mut node = Node {
            nullable: flag("nullable"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            default: schema.get("default").cloned(),
            checks: self.checks(schema, path, depth),
            ..Node::default()
        };
        node.kind = self.kind(schema, &node, path, place);
        self.children(schema, &mut node, path, place, depth);
        self.list(schema, &mut node, path);
        if place == Place::Junctor {
            self.check_junctor(schema, path);
        } else {
            self.rules(schema, &mut node, path);
        }
        node
    }

    fn kind(&mut self, schema: &Value, node: &Node, path: &str, place: Place) -> Option<Type> {
        let at = join(path, "type");
        let text = schema["type"].as_str().unwrap_or_default();
        let kind = match text {
            "" => None,
            "array" => Some(Type::Array),
            "boolean" => Some(Type::Boolean),
            "integer" => Some(Type::Integer),
            "number" => Some(Type::Number),
            "object" => Some(Type::Object),
            "string" => Some(Type::String),
            other => {
                let names = ["array", "boolean", "integer", "number", "object", "string"];
                self.add(FieldError::not_supported(at, other.into(), &names));
                return None;
            }
        };
        if place == Place::Junctor {
            return kind;
        }
        if node.int_or_string && kind.is_some() {
            let detail = "must be empty if x-kubernetes-int-or-string is true";
            self.add(FieldError::invalid(at, text.into(), detail));
        } else if kind.is_none()
            && (place == Place::Root || !(node.int_or_string || node.preserve_unknown))
        {
            let detail = match place {
                Place::Root => "must not be empty at the root",
                Place::Items => "must not be empty for specified array items",
                Place::Field | Place::Junctor => "must not be empty for specified object fields",
            };
            self.add(FieldError::required(at, detail));
        } else if node.embedded && kind != Some(Type::Object) {
            let detail = "must be object if x-kubernetes-embedded-resource is true";
            self.add(FieldError::invalid(at, text.into(), detail));
        }
        kind
    }

    fn children(
        &mut self,
        schema: &Value,
        node: &mut Node,
        path: &str,
        place: Place,
        depth: usize,
    ) {
        let (field, items) = match place {
            Place::Junctor => (Place::Junctor, Place::Junctor),
            Place::Root | Place::Field | Place::Items => (Place::Field, Place::Items),
        };
        for (name, child) in schema["properties"].as_object().into_iter().flatten() {
            let at = join(path, &format!("properties[{name}]"));
            // Metadata is typed by the API server; a schema may only narrow names.
            let child = self.node(child, &at, field, depth - 1);
            node.properties.insert(name.clone(), child);
        }
        let at = join(path, "additionalProperties");
        match schema.get("additionalProperties") {
            None | Some(Value::Null | Value::Bool(false)) => {}
            Some(Value::Bool(true)) => node.additional = Some(Additional::Any),
            Some(other) => {
                if !node.properties.is_empty() {
                    let detail = "additionalProperties and properties are mutual exclusive";
                    self.add(FieldError::forbidden(at.clone(), detail));
                }
                let other = self.node(other, &at, field, depth - 1);
                node.additional = Some(Additional::Only(Box::new(other)));
            }
        }
        let at = join(path, "items");
        match schema.get("items") {
            None | Some(Value::Null)
                if node.kind == Some(Type::Array) && place != Place::Junctor =>
            {
                self.add(FieldError::required(at, "must be specified"));
            }
            None | Some(Value::Null) => {}
            Some(Value::Array(_)) => {
                let detail = "items must be a schema object and not an array";
                self.add(FieldError::forbidden(at, detail));
            }
            Some(of) => node.items = Some(Box::new(self.node(of, &at, items, depth - 1))),
        }
    }

    fn list(&mut self, schema: &Value, node: &mut Node, path: &str) {
        let at = join(path, "x-kubernetes-list-type");
        node.list = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            None | Some("atomic") => ListType::Atomic,
            Some("set") => ListType::Set,
            Some("map") => {
                let keys: Vec<String> = schema["x-kubernetes-list-map-keys"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|key| key.as_str().map(str::to_owned))
                    .collect();
                let at = join(path, "x-kubernetes-list-map-keys");
                if keys.is_empty() {
                    let detail = "must not be empty if x-kubernetes-list-type is map";
                    self.add(FieldError::required(at, detail));
                } else if let Some(items) = &node.items {
                    for (place, key) in keys.iter().enumerate() {
                        if !items.properties.contains_key(key) {
                            let detail = "entries must all be names of item properties";
                            self.add(FieldError::invalid(
                                format!("{at}[{place}]"),
                                key.as_str().into(),
                                detail,
                            ));
                        }
                    }
                }
                ListType::Map(keys)
            }
            Some(other) => {
                let names = ["atomic", "map", "set"];
                self.add(FieldError::not_supported(at.clone(), other.into(), &names));
                ListType::Atomic
            }
        };
        if schema.get("x-kubernetes-list-type").is_some() && node.kind != Some(Type::Array) {
            let found = schema["type"].as_str().unwrap_or_default();
            let detail = "must be array if x-kubernetes-list-type is specified";
            self.add(FieldError::invalid(join(path, "type"), found.into(), detail));
        }
    }

    fn checks(&mut self, schema: &Value, path: &str, depth: usize) -> Checks {
        if schema["uniqueItems"] == true {
            let detail =
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.add(FieldError::forbidden(join(path, "uniqueItems"), detail));
        }
        let number = |key: &str| schema[key].as_f64();
        let count = |key: &str| schema[key].as_u64();
        let strings = |key: &str| -> Vec<String> {
            let list = schema[key].as_array().into_iter().flatten();
            list.filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let all = |reader: &mut Self, key: &str| -> Vec<Node> {
            let list = schema[key].as_array().into_iter().flatten().enumerate();
            list.map(|(at, of)| {
                let at = join(path, &format!("{key}[{at}]"));
                reader.node(of, &at, Place::Junctor, depth - 1)
            })
            .collect()
        };
        let not = schema.get("not").filter(|not| !not.is_null());
        Checks {
            required: strings("required"),
            allowed: schema.get("enum").and_then(Value::as_array).cloned(),
            pattern: self.pattern(schema, path),
            format: schema["format"].as_str().map(str::to_owned),
            minimum: number("minimum").map(|min| (min, schema["exclusiveMinimum"] == true)),
            maximum: number("maximum").map(|max| (max, schema["exclusiveMaximum"] == true)),
            multiple_of: number("multipleOf").filter(|of| *of > 0.0),
            length: (count("minLength"), count("maxLength")),
            items: (count("minItems"), count("maxItems")),
            properties: (count("minProperties"), count("maxProperties")),
            all_of: all(self, "allOf"),
            any_of: all(self, "anyOf"),
            one_of: all(self, "oneOf"),
            not: not
                .map(|not| Box::new(self.node(not, &join(path, "not"), Place::Junctor, depth - 1))),
        }
    }

    fn pattern(&mut self, schema: &Value, path: &str) -> Option<(String, Regex)> {
        let text = schema["pattern"].as_str().filter(|text| !text.is_empty())?;
        match pattern::compile(text) {
            Ok(regex) => Some((text.to_owned(), regex)),
            Err(why) => {
                let detail = format!("must be a valid regular expression, but isn't: {why}");
                self.add(FieldError::invalid(join(path, "pattern"), text.into(), detail));
                None
            }
        }
    }

    fn rules(&mut self, schema: &Value, node: &mut Node, path: &str) {
        let (rules, refused) = Rules::compile(schema);
        let path = join(path, "x-kubernetes-validations");
        self.warnings.extend(
            refused.into_iter().map(|(at, why)| format!("{path}[{at}] is not enforced: {why}")),
        );
        let below = node.properties.values().any(|child| child.has_rules)
            || node.items.as_ref().is_some_and(|items| items.has_rules)
            || matches!(&node.additional, Some(Additional::Only(child)) if child.has_rules);
        node.has_rules = rules.is_some() || below;
        node.rules = rules;
    }

    fn check_junctor(&mut self, schema: &Value, path: &str) {
        for key in ["description", "type", "default", "additionalProperties"] {
            // `anyOf: [{type: integer}, {type: string}]` is how int-or-string is written out.
            let allowed =
                key == "type" && matches!(schema[key].as_str(), Some("integer" | "string"));
            if schema.get(key).is_some() && !allowed {
                let detail = "must be empty to be structural";
                self.add(FieldError::forbidden(join(path, key), detail));
            }
        }
        for key in ["nullable", "x-kubernetes-preserve-unknown-fields"] {
            if schema[key] == true {
                let detail = "must be false to be structural";
                self.add(FieldError::forbidden(join(path, key), detail));
            }
        }
    }

    /// Defaults must be what the schema itself allows, and nothing that it would drop.
    fn check_defaults(&mut self, node: &Node, path: &str) {
        if let Some(default) = &node.default {
            let at = join(path, "default");
            let mut pruned = default.clone();
            let dropped = super::shape::prune(node, &mut pruned);
            if !dropped.is_empty() {
                let detail = "must not have unspecified fields";
                self.add(FieldError::invalid(at.clone(), default.clone(), detail));
            }
            super::shape::default(node, &mut pruned);
            for err in super::validate::validate(node, &pruned) {
                let path = join(&at, &err.path);
                let path = path.trim_end_matches('.').to_owned();
                self.add(FieldError { path, kind: FieldErrorKind::Invalid, ..err });
            }
        }
        for (name, child) in &node.properties {
            self.check_defaults(child, &join(path, &format!("properties[{name}]")));
        }
        if let Some(Additional::Only(child)) = &node.additional {
            self.check_defaults(child, &join(path, "additionalProperties"));
        }
        if let Some(items) = &node.items {
            self.check_defaults(items, &join(path, "items"));
        }
    }
}
