//! Objects against schemas, one case a line.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Schema;

/// A schema whose `spec.x` is the one given.
fn schema(of: Value) -> Schema {
    Schema::parse(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"x": of}}}}))
    .unwrap()
}

#[track_caller]
fn check(of: Value, x: Value, want: &[&str]) {
    let got: Vec<String> =
        schema(of).validate(&json!({"spec": {"x": x}})).iter().map(ToString::to_string).collect();
    assert_eq!(got, want);
}

#[test]
fn types() {
    let of = |kind: &str| json!({"type": kind});
    check(of("string"), json!("a"), &[]);
    check(
        of("string"),
        json!(1),
        &["spec.x: Invalid value: \"integer\": spec.x in body must be of type string: \"integer\""],
    );
    check(
        of("integer"),
        json!("a"),
        &["spec.x: Invalid value: \"string\": spec.x in body must be of type integer: \"string\""],
    );
    check(
        of("string"),
        json!(null),
        &["spec.x: Invalid value: \"null\": spec.x in body must be of type string: \"null\""],
    );
    check(json!({"type": "string", "nullable": true}), json!(null), &[]);
    check(of("integer"), json!(2.0), &[]);
    check(of("number"), json!(2), &[]);
    check(json!({"x-kubernetes-int-or-string": true}), json!("50%"), &[]);
    check(json!({"x-kubernetes-int-or-string": true}), json!(5), &[]);
    check(
        json!({"x-kubernetes-int-or-string": true}),
        json!(true),
        &[
            "spec.x: Invalid value: \"boolean\": spec.x in body must be of type integer,string: \"boolean\"",
        ],
    );
}

#[test]
fn texts() {
    check(
        json!({"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}),
        json!("soon"),
        &["spec.x: Invalid value: \"soon\": spec.x in body should match '^([0-9]+(ms|s|m|h))+$'"],
    );
    check(
        json!({"type": "string", "enum": ["A", "B"]}),
        json!("X"),
        &["spec.x: Unsupported value: \"X\": supported values: \"A\", \"B\""],
    );
    check(json!({"type": "string", "maxLength": 2}), json!("éé"), &[]);
    check(
        json!({"type": "string", "maxLength": 2}),
        json!("abc"),
        &["spec.x: Too long: may not be more than 2 bytes"],
    );
    check(
        json!({"type": "string", "minLength": 1}),
        json!(""),
        &["spec.x: Invalid value: \"\": spec.x in body should be at least 1 chars long"],
    );
    check(
        json!({"type": "string", "format": "date-time"}),
        json!("noon"),
        &["spec.x: Invalid value: \"noon\": spec.x in body must be of type date-time: \"noon\""],
    );
}

#[test]
fn numbers() {
    check(
        json!({"type": "integer", "minimum": 1}),
        json!(0),
        &["spec.x: Invalid value: 0: spec.x in body should be greater than or equal to 1"],
    );
    check(
        json!({"type": "number", "maximum": 1.5, "exclusiveMaximum": true}),
        json!(1.5),
        &["spec.x: Invalid value: 1.5: spec.x in body should be less than 1.5"],
    );
    check(
        json!({"type": "integer", "multipleOf": 5}),
        json!(7),
        &["spec.x: Invalid value: 7: spec.x in body should be a multiple of 5"],
    );
}

#[test]
fn lists_and_maps() {
    let list = json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2});
    check(
        list.clone(),
        json!([]),
        &["spec.x: Invalid value: 0: spec.x in body should have at least 1 items"],
    );
    check(
        list.clone(),
        json!(["a", "b", "c"]),
        &["spec.x: Too many: 3: must have at most 2 items"],
    );
    check(
        list,
        json!(["a", 1]),
        &[
            "spec.x[1]: Invalid value: \"integer\": spec.x[1] in body must be of type string: \"integer\"",
        ],
    );
    check(
        json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
        json!(["a", "b", "a"]),
        &["spec.x[2]: Duplicate value: \"a\""],
    );
    check(
        json!({"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"],
                "properties": {"name": {"type": "string"}}}}),
        json!([{"name": "a"}, {"name": "a"}, {}]),
        &["spec.x[2].name: Required value", "spec.x[1]: Duplicate value: {\"name\":\"a\"}"],
    );
    check(
        json!({"type": "object", "additionalProperties": {"type": "string"}}),
        json!({"k": 1}),
        &[
            "spec.x.k: Invalid value: \"integer\": spec.x.k in body must be of type string: \"integer\"",
        ],
    );
}

#[test]
fn alternatives() {
    let either = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    check(either.clone(), json!({"a": "1"}), &[]);
    check(
        either.clone(),
        json!({}),
        &[
            "<nil>: Invalid value: \"\": \"spec.x\" must validate one and only one schema (oneOf). \
             Found none valid",
            "spec.x.a: Required value",
        ],
    );
    check(
        either,
        json!({"a": "1", "b": "1"}),
        &["<nil>: Invalid value: \"\": \"spec.x\" must validate one and only one schema (oneOf). \
           Found 2 valid alternatives"],
    );
    check(
        json!({"type": "string", "not": {"enum": ["a"]}}),
        json!("a"),
        &["<nil>: Invalid value: \"\": \"spec.x\" must not validate the schema (not)"],
    );
}

#[test]
fn pruning() {
    let schema = Schema::parse(&json!({"type": "object", "properties": {"spec": {"type": "object",
        "properties": {
            "known": {"type": "string"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"strict": {"type": "object", "properties": {}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object",
                "properties": {"a": {"type": "string"}}}},
            "list": {"type": "array", "items": {"type": "object",
                "properties": {"a": {"type": "string"}}}},
            "object": {"type": "object", "x-kubernetes-embedded-resource": true,
                "properties": {"spec": {"type": "object", "properties": {}}}}}}}}))
    .unwrap();
    let mut object = json!({"apiVersion": "v1", "kind": "K",
        "metadata": {"name": "x", "labels": {"a": "b"}, "nonsense": 1},
        "status": {},
        "spec": {"known": "1", "unknown": 1, "free": {"a": 1, "strict": {"b": 1}},
            "map": {"k": {"a": "1", "b": 1}}, "list": [{"a": "1"}, {"b": 1}],
            "object": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "y"}, "data": {}}}});
    let mut dropped = schema.prune(&mut object);
    dropped.sort();
    assert_eq!(
        dropped,
        [
            "metadata.nonsense",
            "spec.free.strict.b",
            "spec.list[1].b",
            "spec.map.k.b",
            "spec.object.data",
            "spec.unknown",
            "status",
        ]
    );
    assert_eq!(object["spec"]["free"], json!({"a": 1, "strict": {}}));
    assert_eq!(schema.prune(&mut object), Vec::<String>::new());
}

#[test]
fn defaults() {
    let schema = Schema::parse(&json!({"type": "object", "properties": {"spec": {"type": "object",
        "default": {}, "properties": {
            "a": {"type": "string", "default": "1"},
            "n": {"type": "string", "default": "1", "nullable": true},
            "o": {"type": "object", "properties": {"b": {"type": "integer", "default": 2}}},
            "l": {"type": "array", "items": {"type": "object",
                "properties": {"c": {"type": "boolean", "default": true}}}}}}}}))
    .unwrap();
    for (mut object, want) in [
        (json!({}), json!({"spec": {"a": "1", "n": "1"}})),
        (
            json!({"spec": {"a": null, "n": null, "o": {}, "l": [{}, {"c": false}]}}),
            json!({"spec": {"a": "1", "n": null, "o": {"b": 2}, "l": [{"c": true}, {"c": false}]}}),
        ),
    ] {
        schema.default(&mut object);
        assert_eq!(object, want);
    }
}

#[test]
fn schemas_that_are_not_structural() {
    let parse = |schema: Value| -> Vec<String> {
        Schema::parse(&schema).unwrap_err().iter().map(ToString::to_string).collect()
    };
    let field = |of: Value| json!({"type": "object", "properties": {"a": of}});
    assert_eq!(parse(json!({})), ["type: Required value: must not be empty at the root"]);
    assert_eq!(
        parse(field(json!({}))),
        ["properties[a].type: Required value: must not be empty for specified object fields"]
    );
    assert_eq!(
        parse(field(json!({"type": "array"}))),
        ["properties[a].items: Required value: must be specified"]
    );
    assert_eq!(
        parse(field(json!({"type": "string", "pattern": "("}))),
        ["properties[a].pattern: Invalid value: \"(\": must be a valid regular expression, but \
          isn't: error: unclosed group"]
    );
    assert_eq!(
        parse(field(json!({"type": "string", "anyOf": [{"default": "x"}]}))),
        ["properties[a].anyOf[0].default: Forbidden: must be empty to be structural"]
    );
    assert_eq!(parse(field(json!({"type": "string", "default": 1}))).len(), 1);
    assert_eq!(
        parse(field(json!({"$ref": "#/x", "type": "string"}))),
        ["properties[a].$ref: Forbidden: $ref is not supported"]
    );
}

#[test]
fn what_was_wrong_before_may_stay() {
    let schema = schema(json!({"type": "string", "maxLength": 1}));
    let old = json!({"spec": {"x": "long"}});
    assert_eq!(schema.validate_update(&old, &old), []);
    assert_eq!(schema.validate_update(&json!({"spec": {"x": "other"}}), &old).len(), 1);
}

#[test]
fn schemas_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Schema>();
}

#[test]
fn rules() {
    let of = json!({"type": "object",
        "properties": {"kind": {"type": "string"}, "url": {"type": "string"},
            "size": {"type": "integer"},
            "ports": {"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"],
                    "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
                    "x-kubernetes-validations": [
                        {"rule": "self.port == oldSelf.port", "message": "ports do not change"}]}}},
        "x-kubernetes-validations": [
            {"rule": "self.kind == 'x' || has(self.url)", "message": "url is required here"},
            {"rule": "!has(self.size) || self.size * 2 < 10",
                "messageExpression": "'too big: ' + string(self.size)", "fieldPath": ".size",
                "reason": "FieldValueForbidden"}]});
    check(of.clone(), json!({"kind": "x"}), &[]);
    check(
        of.clone(),
        json!({"kind": "y"}),
        &["spec.x: Invalid value: \"object\": url is required here"],
    );
    check(of.clone(), json!({"kind": "x", "size": 5}), &["spec.x.size: Forbidden: too big: 5"]);
    check(
        of.clone(),
        json!({"kind": 1}),
        &[
            "spec.x.kind: Invalid value: \"integer\": spec.x.kind in body must be of type string: \
             \"integer\"",
            "<nil>: Invalid value: \"null\": some validation rules were not checked because the \
             object was invalid; correct the existing errors to complete validation",
        ],
    );
    let schema = schema(of);
    let with = |ports: Value| json!({"spec": {"x": {"kind": "x", "ports": ports}}});
    let old = with(json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}]));
    let moved = with(json!([{"name": "b", "port": 2}, {"name": "c", "port": 9}]));
    assert_eq!(schema.validate_update(&moved, &old), []);
    let changed = with(json!([{"name": "b", "port": 1}]));
    assert_eq!(
        schema.validate_update(&changed, &old)[0].to_string(),
        "spec.x.ports[0]: Invalid value: \"object\": ports do not change"
    );
}

#[test]
fn rules_that_would_take_too_long_are_not_run() {
    let schema = schema(json!({"type": "array", "items": {"type": "integer"},
        "x-kubernetes-validations": [
            {"rule": "self.all(a, self.exists_one(b, a == b))", "message": "must be unique"}]}));
    let list = |length: u64| json!({"spec": {"x": (0..length).collect::<Vec<_>>()}});
    assert_eq!(schema.validate(&list(20)), []);
    assert_eq!(
        schema.validate(&list(10_000))[0].to_string(),
        "spec.x: Invalid value: \"array\": validation failed due to running out of cost budget, \
         no further validation rules will be run"
    );
}

#[test]
fn rules_that_cannot_run_are_named_and_not_enforced() {
    let schema = schema(json!({"type": "object", "properties": {},
        "x-kubernetes-validations": [{"rule": "self.("}, {"rule": "false", "message": "never"}]}));
    assert_eq!(schema.warnings().len(), 1);
    let start = "properties[spec].properties[x].x-kubernetes-validations[0] is not enforced: ";
    assert!(schema.warnings()[0].starts_with(start), "{:?}", schema.warnings());
    assert_eq!(schema.validate(&json!({"spec": {"x": {}}})).len(), 1);
}

fn any_json() -> impl Strategy<Value = Value> {
    let keys = [
        "type",
        "properties",
        "items",
        "additionalProperties",
        "default",
        "enum",
        "required",
        "pattern",
        "anyOf",
        "not",
        "nullable",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "minimum",
        "maxLength",
        "spec",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        proptest::sample::select(vec!["object", "array", "string", "integer", "map", "a", "["])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(proptest::sample::select(keys.to_vec()), inner, 0..5)
                .prop_map(|map| Value::Object(
                    map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
                )),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics(mut schema in any_json(), object in any_json()) {
        if let Some(map) = schema.as_object_mut() {
            map.insert("type".to_owned(), "object".into());
        }
        let _ = crate::TypeSchema::from_crd(&schema);
        if let Ok(schema) = Schema::parse(&schema) {
            let mut object = object;
            schema.prune(&mut object);
            prop_assert_eq!(schema.prune(&mut object), Vec::<String>::new());
            schema.default(&mut object);
            let once = object.clone();
            schema.default(&mut object);
            prop_assert_eq!(once, object.clone());
            schema.validate(&object);
        }
    }
}
