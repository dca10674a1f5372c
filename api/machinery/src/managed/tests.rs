//! Stories of server-side apply: who writes what, and who owns what afterwards.

use fixpoint_base::Gvk;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Manager, Operation, apply, track_update};
use crate::types::TypeSchema;

/// An object under the hands of several managers.
struct World {
    live: Option<Value>,
    schema: &'static TypeSchema,
    head: Value,
    clock: u32,
}

impl World {
    fn new(api_version: &str, kind: &str) -> Self {
        let head = json!({"apiVersion": api_version, "kind": kind});
        let gvk = Gvk::of(&head).unwrap();
        Self { live: None, schema: TypeSchema::builtin(&gvk), head, clock: 0 }
    }

    fn config(&self, body: Value) -> Value {
        let mut config = self.head.clone();
        config["metadata"] = json!({"name": "x"});
        for (key, value) in body.as_object().unwrap() {
            if key == "metadata" {
                for (key, value) in value.as_object().unwrap() {
                    config["metadata"][key] = value.clone();
                }
            } else {
                config[key] = value.clone();
            }
        }
        config
    }

    fn try_apply(&mut self, name: &str, body: Value, force: bool) -> Result<(), String> {
        self.clock += 1;
        let now = format!("2030-01-01T00:00:{:02}Z", self.clock);
        let api_version = self.head["apiVersion"].as_str().unwrap().to_owned();
        let manager = Manager {
            name,
            operation: Operation::Apply,
            subresource: "",
            api_version: &api_version,
            now: &now,
        };
        let config = self.config(body);
        let after = apply(self.live.as_ref(), &config, &manager, force, self.schema)
            .map_err(|err| err.to_string())?;
        let again = apply(Some(&after), &config, &manager, force, self.schema).unwrap();
        assert_eq!(again, after, "the second apply does nothing");
        self.live = Some(after);
        Ok(())
    }

    fn apply(&mut self, name: &str, body: Value) -> &mut Self {
        self.try_apply(name, body, false).unwrap();
        self
    }

    fn force(&mut self, name: &str, body: Value) -> &mut Self {
        self.try_apply(name, body, true).unwrap();
        self
    }

    fn update(&mut self, name: &str, change: impl FnOnce(&mut Value)) -> &mut Self {
        self.clock += 1;
        let now = format!("2030-01-01T00:00:{:02}Z", self.clock);
        let api_version = self.head["apiVersion"].as_str().unwrap().to_owned();
        let manager = Manager {
            name,
            operation: Operation::Update,
            subresource: "",
            api_version: &api_version,
            now: &now,
        };
        let mut after = self.live.clone().unwrap_or_else(|| self.config(json!({})));
        change(&mut after);
        track_update(self.live.as_ref(), &mut after, &manager, self.schema);
        self.live = Some(after);
        self
    }

    #[track_caller]
    fn has(&mut self, pointer: &str, want: Value) -> &mut Self {
        let live = self.live.as_ref().unwrap();
        assert_eq!(live.pointer(pointer).cloned().unwrap_or(Value::Null), want, "{live:#}");
        self
    }

    /// Checks who owns what, as `manager: fieldsV1`.
    #[track_caller]
    fn owned(&mut self, want: Value) -> &mut Self {
        let mut got = json!({});
        for entry in self.live.as_ref().unwrap()["metadata"]["managedFields"]
            .as_array()
            .into_iter()
            .flatten()
        {
            got[entry["manager"].as_str().unwrap()] = entry["fieldsV1"].clone();
        }
        assert_eq!(got, want, "{got:#}");
        self
    }
}

fn config_map() -> World {
    World::new("v1", "ConfigMap")
}

#[test]
fn a_first_apply_owns_what_it_says() {
    let mut world = config_map();
    world.apply("a", json!({"data": {"k": "1"}, "metadata": {"labels": {"l": "x"}}}));
    world.owned(json!({"a": {"f:data": {"f:k": {}}, "f:metadata": {"f:labels": {"f:l": {}}}}}));
    let entry = &world.live.as_ref().unwrap()["metadata"]["managedFields"][0];
    assert_eq!(
        *entry,
        json!({"manager": "a", "operation": "Apply", "apiVersion": "v1",
            "time": "2030-01-01T00:00:01Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:k": {}}, "f:metadata": {"f:labels": {"f:l": {}}}}})
    );
}

#[test]
fn giving_up_a_field_removes_it() {
    config_map()
        .apply("a", json!({"data": {"k": "1", "l": "2"}}))
        .apply("a", json!({"data": {"k": "1"}}))
        .has("/data", json!({"k": "1"}))
        .apply("a", json!({}))
        .has("/data", Value::Null)
        .owned(json!({}));
}

#[test]
fn a_field_that_somebody_else_owns_stays() {
    config_map()
        .apply("a", json!({"data": {"k": "1"}}))
        .apply("b", json!({"data": {"k": "1", "b": "2"}}))
        .apply("a", json!({}))
        .has("/data", json!({"k": "1", "b": "2"}))
        .owned(json!({"b": {"f:data": {"f:b": {}, "f:k": {}}}}));
}

#[test]
fn conflicts_name_the_field_and_the_owner() {
    let mut world = config_map();
    world.apply("a", json!({"data": {"k": "1"}}));
    assert_eq!(
        world.try_apply("b", json!({"data": {"k": "2"}}), false).unwrap_err(),
        "Apply failed with 1 conflict: conflict with \"a\": .data.k"
    );
    world.update("kubectl-edit", |live| live["data"]["k"] = json!("3"));
    assert_eq!(
        world.try_apply("a", json!({"data": {"k": "1"}}), false).unwrap_err(),
        "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.k"
    );
    world.update("kubectl-edit", |live| live["data"]["l"] = json!("3"));
    assert_eq!(
        world.try_apply("a", json!({"data": {"k": "1", "l": "1"}}), false).unwrap_err(),
        "Apply failed with 2 conflicts: conflicts with \"kubectl-edit\" using v1:\n- .data.k\n- .data.l"
    );
}

#[test]
fn force_takes_over() {
    config_map()
        .apply("a", json!({"data": {"k": "1", "l": "1"}}))
        .force("b", json!({"data": {"k": "2"}}))
        .has("/data", json!({"k": "2", "l": "1"}))
        .owned(json!({"a": {"f:data": {"f:l": {}}}, "b": {"f:data": {"f:k": {}}}}));
}

#[test]
fn the_same_value_is_shared() {
    config_map()
        .apply("a", json!({"data": {"k": "1"}}))
        .apply("b", json!({"data": {"k": "1"}}))
        .owned(json!({"a": {"f:data": {"f:k": {}}}, "b": {"f:data": {"f:k": {}}}}));
}

#[test]
fn updates_take_what_they_change() {
    config_map()
        .apply("a", json!({"data": {"k": "1", "l": "1"}}))
        .update("e", |live| live["data"]["k"] = json!("2"))
        .owned(json!({"a": {"f:data": {"f:l": {}}}, "e": {"f:data": {"f:k": {}}}}))
        .update("e", |live| live["data"] = json!({"k": "2"}))
        .owned(json!({"e": {"f:data": {"f:k": {}}}}))
        .update("e", |live| live["data"]["k"] = json!("2"))
        .owned(json!({"e": {"f:data": {"f:k": {}}}}));
}

#[test]
fn an_update_that_creates_owns_the_containers() {
    config_map()
        .update("c", |live| live["data"] = json!({"k": "1"}))
        .owned(json!({"c": {"f:data": {".": {}, "f:k": {}}}}));
}

#[test]
fn time_stays_where_nothing_changes() {
    let mut world = config_map();
    world.apply("a", json!({"data": {"k": "1"}})).apply("a", json!({"data": {"k": "1"}}));
    world.has("/metadata/managedFields/0/time", json!("2030-01-01T00:00:01Z"));
    world.apply("a", json!({"data": {"k": "2"}}));
    world.has("/metadata/managedFields/0/time", json!("2030-01-01T00:00:03Z"));
}

#[test]
fn objects_that_nobody_tracked() {
    let mut world = config_map();
    world.live = Some(world.config(json!({"data": {"k": "1", "l": "1"}})));
    world.apply("a", json!({"data": {"k": "1"}})).owned(json!({
        "a": {"f:data": {"f:k": {}}},
        "before-first-apply": {"f:data": {"f:k": {}, "f:l": {}}}}));
    assert_eq!(
        world.try_apply("a", json!({"data": {"k": "2"}}), false).unwrap_err(),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.k"
    );
}

#[test]
fn kubectl_takes_over_from_its_former_self() {
    let mut world = config_map();
    let last = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "1"},
        "metadata": {"name": "x"}})
    .to_string();
    let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": last});
    world.update("kubectl-client-side-apply", |live| {
        live["data"] = json!({"k": "1", "l": "1"});
        live["metadata"]["annotations"] = annotations;
    });
    assert!(world.try_apply("other", json!({"data": {"k": "2"}}), false).is_err());
    assert!(world.try_apply("kubectl", json!({"data": {"k": "2", "l": "2"}}), false).is_err());
    world.apply("kubectl", json!({"data": {"k": "2"}})).has("/data/k", json!("2"));
}

#[test]
fn identity_is_owned_by_nobody() {
    config_map()
        .apply("a", json!({"metadata": {"uid": "1", "namespace": "n", "generation": 2}}))
        .owned(json!({}));
}

#[test]
fn generated_manifests_change_no_bookkeeping() {
    let mut world = config_map();
    world.apply("a", json!({"data": {"k": "1"}}));
    let live = world.live.as_mut().unwrap();
    live["metadata"]["creationTimestamp"] = json!("2030-01-01T00:00:00Z");
    live["metadata"]["resourceVersion"] = json!("7");
    let before = live.clone();
    world.apply(
        "a",
        json!({"data": {"k": "1"}, "metadata": {"creationTimestamp": null,
        "annotations": null, "resourceVersion": "7", "generation": 3}}),
    );
    assert_eq!(world.live, Some(before));
}

#[test]
fn fields_of_a_crd() {
    let schema = TypeSchema::from_crd(&json!({"type": "object", "properties": {"spec": {
        "type": "object", "properties": {
            "ref": {"type": "object", "x-kubernetes-map-type": "atomic",
                "properties": {"name": {"type": "string"}}},
            "values": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "patches": {"type": "array", "items": {"type": "object"}},
            "checks": {"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object",
                    "properties": {"name": {"type": "string"}, "on": {"type": "boolean"}}}}}}}}));
    let manager = Manager {
        name: "a",
        operation: Operation::Apply,
        subresource: "",
        api_version: "x.example/v1",
        now: "2030-01-01T00:00:00Z",
    };
    let config = json!({"apiVersion": "x.example/v1", "kind": "X", "metadata": {"name": "x"},
        "spec": {"ref": {"name": "r"}, "values": {"a": {"b": 1}}, "patches": [{"p": 1}],
            "checks": [{"name": "c", "on": true}]}});
    let live = apply(None, &config, &manager, false, &schema).unwrap();
    assert_eq!(
        live["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:spec": {"f:ref": {}, "f:patches": {},
            "f:values": {"f:a": {".": {}, "f:b": {}}},
            "f:checks": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:on": {}}}}})
    );
}

fn deployment(containers: Value) -> Value {
    json!({"spec": {"template": {"spec": {"containers": containers}}}})
}

#[test]
fn containers_merge_by_name() {
    World::new("apps/v1", "Deployment")
        .apply("a", deployment(json!([{"name": "app", "image": "1"}])))
        .apply("b", deployment(json!([{"name": "side", "image": "1"}])))
        .has(
            "/spec/template/spec/containers",
            json!([{"name": "app", "image": "1"}, {"name": "side", "image": "1"}]),
        )
        .owned(json!({
            "a": {"f:spec": {"f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"app\"}": {".": {}, "f:image": {}, "f:name": {}}}}}}},
            "b": {"f:spec": {"f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"side\"}": {".": {}, "f:image": {}, "f:name": {}}}}}}}}))
        .apply("a", deployment(json!([])))
        .has("/spec/template/spec/containers", json!([{"name": "side", "image": "1"}]))
        .apply("b", json!({}))
        .has("/spec", Value::Null);
}

#[test]
fn the_order_of_the_configuration_wins() {
    let names = |names: &[&str]| -> Value {
        names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>().into()
    };
    for (live, config, want) in [
        (vec!["a", "b", "c"], vec!["c", "x", "a"], vec!["b", "c", "x", "a"]),
        (vec!["a"], vec!["x", "a"], vec!["x", "a"]),
        (vec!["a", "b"], vec!["x", "y"], vec!["a", "b", "x", "y"]),
        (
            vec!["a", "b", "c", "d", "e"],
            vec!["c", "x", "a", "d"],
            vec!["b", "c", "e", "x", "a", "d"],
        ),
    ] {
        World::new("apps/v1", "Deployment")
            .apply("a", deployment(names(&live)))
            .apply("b", deployment(names(&config)))
            .has("/spec/template/spec/containers", names(&want));
    }
}

#[test]
fn default_keys_tell_ports_apart() {
    let ports = |ports: Value| json!({"spec": {"ports": ports}});
    World::new("v1", "Service")
        .apply("a", ports(json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "name": "t"}])))
        .has("/spec/ports/1/name", json!("t"))
        .owned(json!({"a": {"f:spec": {"f:ports": {
            "k:{\"port\":53,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}},
            "k:{\"port\":53,\"protocol\":\"UDP\"}": {".": {}, "f:port": {}, "f:protocol": {}}}}}}));
}

#[test]
fn sets_merge_by_value() {
    let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
    config_map()
        .apply("a", finalizers(json!(["a/x", "a/y"])))
        .apply("b", finalizers(json!(["a/y", "b/z"])))
        .apply("a", finalizers(json!(["a/x"])))
        .has("/metadata/finalizers", json!(["a/x", "a/y", "b/z"]))
        .apply("b", finalizers(json!(["b/z"])))
        .has("/metadata/finalizers", json!(["a/x", "b/z"]));
}

#[test]
fn atomic_fields_conflict_as_a_whole() {
    let selector = |labels: Value| json!({"spec": {"selector": {"matchLabels": labels}}});
    let mut world = World::new("apps/v1", "Deployment");
    world.apply("a", selector(json!({"x": "1"})));
    assert_eq!(
        world.try_apply("b", selector(json!({"y": "1"})), false).unwrap_err(),
        "Apply failed with 1 conflict: conflict with \"a\": .spec.selector"
    );
    world.force("b", selector(json!({"y": "1"})));
    world.has("/spec/selector", json!({"matchLabels": {"y": "1"}}));
}

#[test]
fn lists_without_keys_are_atomic() {
    let mut world = World::new("apps/v1", "Deployment");
    world.apply("a", deployment(json!([{"name": "app", "args": ["1", "2"]}])));
    assert_eq!(
        world
            .try_apply("b", deployment(json!([{"name": "app", "args": ["1"]}])), false)
            .unwrap_err(),
        "Apply failed with 1 conflict: conflict with \"a\": \
         .spec.template.spec.containers[name=\"app\"].args"
    );
}

#[test]
fn what_defaults_put_there_stays_with_its_siblings() {
    World::new("apps/v1", "Deployment")
        .apply("a", json!({"spec": {"replicas": 1, "paused": true}}))
        .update("scaler", |live| live["spec"]["replicas"] = json!(3))
        .apply("a", json!({"spec": {"paused": true}}))
        .has("/spec/replicas", json!(3))
        .owned(json!({"a": {"f:spec": {"f:paused": {}}},
            "scaler": {"f:spec": {"f:replicas": {}}}}));
}

#[test]
fn the_same_key_twice_is_refused() {
    let mut world = World::new("apps/v1", "Deployment");
    let twice = deployment(json!([{"name": "a"}, {"name": "a"}]));
    assert_eq!(
        world.try_apply("a", twice, false).unwrap_err(),
        ".spec.template.spec.containers: duplicate entries for key [name=\"a\"]"
    );
    assert!(world.try_apply("a", deployment(json!([{"image": "x"}])), false).is_err());
}

#[test]
fn managed_fields_can_be_reset() {
    config_map()
        .apply("a", json!({"data": {"k": "1"}}))
        .update("e", |live| live["metadata"]["managedFields"] = json!([]))
        .owned(json!({}))
        .apply("a", json!({"data": {"k": "1"}}))
        .update("e", |live| live["metadata"]["managedFields"] = json!("rubbish"))
        .owned(
            json!({"a": {"f:data": {"f:k": {}}}, "before-first-apply": {"f:data": {"f:k": {}}}}),
        );
}

#[test]
fn old_updaters_are_merged() {
    let mut world = config_map();
    for at in 0..12 {
        world.update(&format!("u{at:02}"), |live| live["data"][format!("k{at:02}")] = json!("1"));
    }
    let entries = world.live.as_ref().unwrap()["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 10);
    assert!(entries.iter().any(|entry| entry["manager"] == "ancient-changes"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        Just("metadata"),
        Just("spec"),
        Just("containers"),
        Just("name"),
        Just("ports"),
        Just("finalizers"),
        Just("labels"),
        Just("managedFields"),
        Just("template"),
        Just("$patch")
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key.clone(), inner, 0..4).prop_map(|map| {
                Value::Object(map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics_and_second_applies_do_nothing(
        live in any_json(), config in any_json(), force in any::<bool>()
    ) {
        let manager = Manager {
            name: "a", operation: Operation::Apply, subresource: "", api_version: "v1",
            now: "2030-01-01T00:00:00Z",
        };
        for kind in ["Pod", "Other"] {
            let schema = TypeSchema::builtin(&Gvk::new("", "v1", kind));
            let _ = crate::patch::strategic_merge(&live, &config, schema);
            let _ = crate::patch::json_patch(&live, &config);
            let mut after = config.clone();
            track_update(Some(&live), &mut after, &manager, schema);
            if let Ok(once) = apply(Some(&live), &config, &manager, force, schema) {
                let twice = apply(Some(&once), &config, &manager, force, schema);
                prop_assert_eq!(twice, Ok(once));
            }
        }
    }
}
