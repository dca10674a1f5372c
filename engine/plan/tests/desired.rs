//! Rendered objects in, a desired set and its problems out.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use fixpoint_base::{Chain, Classified, Limits};
use fixpoint_plan::{DesiredSet, Options, Owner, Problem, Scopes};
use serde_json::{Value, json};

fn make(objects: Vec<Value>, limits: &Limits) -> (DesiredSet, Vec<Problem>) {
    let map = |key: &str| BTreeMap::from([(key.to_owned(), "common".to_owned())]);
    let (labels, annotations) = (map("team"), map("note"));
    let options = Options {
        revision: "main",
        common_labels: &labels,
        common_annotations: &annotations,
        limits,
        secret_key: b"key",
        scopes: &Scopes::default(),
    };
    DesiredSet::new(&Owner::kustomization("flux-system", "apps"), objects, options)
}

fn check(objects: Vec<Value>, want: Expect) {
    let (set, problems) = make(objects, &Limits::default());
    let mut out = String::new();
    for wanted in set.objects() {
        out += &format!("{}\n", serde_json::to_string(&wanted.object).unwrap());
    }
    for problem in problems {
        out += &format!("error: {}\n", Chain(&problem));
        out += &format!("hint: {}\n", problem.hint().unwrap());
    }
    want.assert_eq(&out);
}

#[test]
fn what_only_a_server_says_is_dropped_and_the_owner_is_marked() {
    check(
        vec![json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "a", "namespace": "b", "uid": "u", "resourceVersion": "7",
                "generation": 3, "creationTimestamp": null, "managedFields": [], "selfLink": "/x",
                "labels": {"team": "mine", "app": "x"}, "annotations": null,
            },
            "data": {"k": "v"}, "status": {"x": 1},
        })],
        expect![[r#"
            {"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"annotations":{"note":"common"},"labels":{"app":"x","kustomize.toolkit.fluxcd.io/name":"apps","kustomize.toolkit.fluxcd.io/namespace":"flux-system","team":"common"},"name":"a","namespace":"b"}}
        "#]],
    );
}

#[test]
fn a_bad_object_does_not_stop_its_neighbours() {
    let config = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}});
    let mut newer = config("twice");
    newer["apiVersion"] = "v2".into();
    check(
        vec![
            json!("text"),
            json!({"kind": "ConfigMap", "metadata": {"name": "x"}}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}}),
            config("twice"),
            newer,
            config("../../etc"),
        ],
        expect![[r#"
            {"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{"note":"common"},"labels":{"kustomize.toolkit.fluxcd.io/name":"apps","kustomize.toolkit.fluxcd.io/namespace":"flux-system","team":"common"},"name":"twice","namespace":"n"}}
            error: rendered document 1 is not an object with apiVersion and kind
            hint: write apiVersion and kind, or remove the document
            error: rendered document 2 is not an object with apiVersion and kind
            hint: write apiVersion and kind, or remove the document
            error: rendered document 3, a Pod, has no metadata.name
            hint: set metadata.name; generateName cannot be kept equal
            error: ConfigMap/n/twice is rendered twice, as documents 4 and 5
            hint: remove one of the two from the source
            error: rendered document 6 has a name that cannot be used: the name "../../etc" cannot be part of a path
            hint: use a DNS name
        "#]],
    );
}

#[test]
fn too_much_is_an_error() {
    let config = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "x".repeat(300)}});
    let limits = Limits { objects: 2, object_bytes: 400, ..Limits::default() };
    let (set, problems) = make(vec![config("a"), config("b"), config("c")], &limits);
    assert!(set.is_empty() && !set.is_complete());
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    expect![[r#"
        ConfigMap/a has 533 bytes, more than the 400 that one object may have
        ConfigMap/b has 533 bytes, more than the 400 that one object may have
        3 objects are rendered, more than the 2 that one delivery may have"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn string_data_becomes_data() {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"},
        "data": {"a": "QQ==", "b": "Qg=="}, "stringData": {"b": "beta", "c": 7}});
    let (set, _) = make(vec![secret], &Limits::default());
    let object = &set.objects()[0].object;
    assert_eq!(object["data"], json!({"a": "QQ==", "b": "YmV0YQ==", "c": 7}));
    assert_eq!(object.get("stringData"), None);
}

#[test]
fn a_placeholder_for_a_certificate_is_dropped() {
    let definition = |bundle: &str| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "w"}, "spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": bundle, "url": "u"}}}}})
    };
    let config = |bundle: &str| {
        let (set, _) = make(vec![definition(bundle)], &Limits::default());
        set.objects()[0].object["spec"]["conversion"]["webhook"]["clientConfig"].clone()
    };
    assert_eq!(config("Cg=="), json!({"url": "u"}));
    assert_eq!(config("not base64"), json!({"url": "u"}));
    let pem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==";
    assert_eq!(config(pem), json!({"url": "u", "caBundle": pem}));
}

#[test]
fn objects_of_odd_shapes_are_kept_or_refused_without_panic() {
    for metadata in [
        json!({"name": "a", "labels": [1], "annotations": "x"}),
        json!({"name": "a", "labels": {"x": 1}}),
        json!({"name": "a", "namespace": 7}),
    ] {
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": 7, "stringData": {"a": "b"}});
        let (set, problems) = make(vec![object], &Limits::default());
        assert_eq!(set.len() + problems.len(), 1);
    }
}

#[test]
fn order_of_rendering_does_not_matter() {
    let objects: Vec<Value> = ["Deployment", "ConfigMap", "Namespace", "Service"]
        .into_iter()
        .map(|kind| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}}))
        .collect();
    let reversed = objects.iter().rev().cloned().collect();
    let (one, two) = (make(objects, &Limits::default()).0, make(reversed, &Limits::default()).0);
    assert_eq!(one, two);
    assert_eq!(one.digest(), two.digest());
}

#[test]
fn a_kind_without_namespace_has_one_name_however_it_is_written() {
    use fixpoint_base::{Gvk, Key};
    use fixpoint_plan::Inventory;
    let mut scopes = Scopes::default();
    scopes.learn(&[serde_json::json!({
        "kind": "CustomResourceDefinition",
        "spec": {"scope": "Cluster", "group": "x.example", "names": {"kind": "Wide"}},
    })]);
    let wide = |namespace| Key::new(Gvk::new("x.example", "v1", "Wide"), namespace, "one");
    let near = Key::new(Gvk::new("x.example", "v1", "Near"), "default", "one");
    let mut inventory = Inventory::new();
    inventory.insert(&wide("default"));
    inventory.insert(&near);
    let settled = inventory.settled(&scopes);
    assert!(settled.contains(&wide("")) && !settled.contains(&wide("default")));
    assert!(settled.contains(&near));

    let object = serde_json::json!({"apiVersion": "x.example/v1", "kind": "Wide",
        "metadata": {"name": "one", "namespace": "default"}});
    let (none, limits) = (Default::default(), fixpoint_base::Limits::default());
    let options = fixpoint_plan::Options {
        revision: "r",
        common_labels: &none,
        common_annotations: &none,
        limits: &limits,
        secret_key: b"key",
        scopes: &scopes,
    };
    let owner = fixpoint_plan::Owner::kustomization("a", "b");
    let (desired, problems) = fixpoint_plan::DesiredSet::new(&owner, vec![object], options);
    assert!(problems.is_empty());
    assert_eq!(desired.objects()[0].key, wide(""));
    assert!(desired.objects()[0].object["metadata"].get("namespace").is_none());
}
