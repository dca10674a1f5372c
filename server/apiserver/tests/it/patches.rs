//! The four kinds of patches, and who owns which field.

use expect_test::expect;

use crate::support::{block_on, check, check_widgets, with_widgets};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

fn maps(script: &str, answers: expect_test::Expect) {
    check(&script.replace("MAPS", MAPS), answers);
}

fn widgets(script: &str, answers: expect_test::Expect) {
    check_widgets(&script.replace("WIDGETS", WIDGETS), answers);
}

#[test]
fn json_patches() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a"},"data":{"k":"v"}}
        PATCH json MAPS/a [{"op":"test","path":"/data/k","value":"v"},{"op":"add","path":"/data/l","value":"w"}]
        PATCH json MAPS/a [{"op":"test","path":"/data/k","value":"other"}]
        PATCH json MAPS/a [{"op":"remove","path":"/data/none"}]
        PATCH json MAPS/a {"not":"a list"}
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            200 {"apiVersion":"v1","data":{"k":"v","l":"w"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            422 Invalid: the server rejected our request due to an error in our request
            422 Invalid: the server rejected our request due to an error in our request
            400 BadRequest: error decoding patch: invalid type: map, expected a sequence
        "#]],
    );
}

#[test]
fn merge_patches() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a"},"data":{"k":"v","l":"w"}}
        PATCH merge MAPS/a {"data":{"k":null,"m":"x"}}
        PATCH merge MAPS/a {"metadata":{"name":"b"}}
        PATCH merge MAPS/a 7
        PATCH merge MAPS/none {"data":{"k":"v"}}
        PATCH merge MAPS/a?dryRun=All {"data":{"dry":"run"}}
        GET MAPS/a
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","data":{"k":"v","l":"w"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            200 {"apiVersion":"v1","data":{"l":"w","m":"x"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            422 Invalid: ConfigMap "a" is invalid: metadata.name: Invalid value: "b": field is immutable
            400 BadRequest: a merge patch must be an object
            404 NotFound: configmaps "none" not found
            200 {"apiVersion":"v1","data":{"dry":"run","l":"w","m":"x"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            200 {"apiVersion":"v1","data":{"l":"w","m":"x"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
        "#]],
    );
}

#[test]
fn strategic_patches_know_lists() {
    check(
        r#"
        POST /apis/apps/v1/namespaces/default/deployments {"metadata":{"name":"d"},"spec":{"template":{"spec":{"containers":[{"name":"a","image":"one"},{"name":"b","image":"two"}]}}}}
        PATCH strategic /apis/apps/v1/namespaces/default/deployments/d {"spec":{"template":{"spec":{"containers":[{"name":"b","image":"three"}]}}}}
        "#,
        expect![[r#"
            201 {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generation":1,"name":"d","namespace":"default"},"spec":{"template":{"spec":{"containers":[{"image":"one","name":"a"},{"image":"two","name":"b"}]}}}}
            200 {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generation":2,"name":"d","namespace":"default"},"spec":{"template":{"spec":{"containers":[{"image":"one","name":"a"},{"image":"three","name":"b"}]}}}}
        "#]],
    );
}

#[test]
fn media_types_are_checked() {
    widgets(
        r#"
        POST WIDGETS {"metadata":{"name":"w"},"spec":{"size":1}}
        PATCH strategic WIDGETS/w {"spec":{"size":2}}
        PATCH application/nonsense WIDGETS/w {"spec":{"size":2}}
        PATCH merge WIDGETS {"spec":{"size":2}}
        "#,
        expect![[r#"
            201 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"w","namespace":"default"},"spec":{"color":"red","size":1}}
            415 UnsupportedMediaType: the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml
            415 UnsupportedMediaType: the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml
            405 MethodNotAllowed: patch is not supported on resources of kind "widgets.example.com"
        "#]],
    );
}

#[test]
fn apply_makes_and_changes() {
    maps(
        r#"
        PATCH apply MAPS/a?fieldManager=one {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}
        PATCH apply MAPS/a?fieldManager=two {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"l":"w"}}
        PATCH apply MAPS/a?fieldManager=two {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"mine","l":"w"}}
        PATCH apply MAPS/a?fieldManager=two&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"mine"}}
        PATCH apply MAPS/a {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}
        PATCH apply MAPS/a?fieldManager=two {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","managedFields":[]}}
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            200 {"apiVersion":"v1","data":{"k":"v","l":"w"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            409 Conflict: Apply failed with 1 conflict: conflict with "one": .data.k
            200 {"apiVersion":"v1","data":{"k":"mine"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            422 Invalid: PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch
            400 BadRequest: metadata.managedFields must be nil
        "#]],
    );
}

#[test]
fn the_same_apply_twice_writes_once() {
    block_on(async {
        let mut world = with_widgets().await;
        let line = format!(
            r#"PATCH apply {WIDGETS}/w?fieldManager=m {{"apiVersion":"example.com/v1","kind":"Widget","metadata":{{"name":"w"}},"spec":{{"size":1,"parts":[{{"name":"p","count":1}}]}}}}"#
        );
        let first = world.object(&line).await;
        world.clock.fetch_add(60, std::sync::atomic::Ordering::Relaxed);
        let second = world.object(&line).await;
        assert_eq!(first, second);
    });
}

#[test]
fn apply_owns_items_of_lists() {
    widgets(
        r#"
        PATCH apply WIDGETS/w?fieldManager=one {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"size":1,"parts":[{"name":"a"}]}}
        PATCH apply WIDGETS/w?fieldManager=two {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"parts":[{"name":"b","count":2}]}}
        PATCH apply WIDGETS/w?fieldManager=one {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"size":1}}
        PATCH apply WIDGETS/w/status?fieldManager=ctl {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"status":{"ready":true}}
        PATCH apply WIDGETS/none/status?fieldManager=ctl {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"none"},"status":{"ready":true}}
        "#,
        expect![[r#"
            201 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"w","namespace":"default"},"spec":{"color":"red","parts":[{"name":"a"}],"size":1}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":2,"name":"w","namespace":"default"},"spec":{"color":"red","parts":[{"name":"a"},{"count":2,"name":"b"}],"size":1}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":3,"name":"w","namespace":"default"},"spec":{"color":"red","parts":[{"count":2,"name":"b"}],"size":1}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":3,"name":"w","namespace":"default"},"spec":{"color":"red","parts":[{"count":2,"name":"b"}],"size":1},"status":{"ready":true}}
            404 NotFound: widgets.example.com "none" not found
        "#]],
    );
}

#[test]
fn every_writer_is_recorded() {
    block_on(async {
        let mut world = with_widgets().await;
        let post = r#"POST WIDGETS {"metadata":{"name":"w"},"spec":{"size":1}}"#;
        world.object(&post.replace("WIDGETS", WIDGETS)).await;
        let patch = r#"PATCH merge WIDGETS/w/status?fieldManager=ctl {"status":{"ready":true}}"#;
        let seen = world.object(&patch.replace("WIDGETS", WIDGETS)).await;
        let managers: Vec<String> = seen["metadata"]["managedFields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| format!("{} {} {}", m["manager"], m["operation"], m["fieldsV1"]))
            .collect();
        expect![[r#"
            "ctl" "Update" {"f:status":{".":{},"f:ready":{}}}
            "test" "Update" {"f:spec":{".":{},"f:color":{},"f:size":{}}}"#]]
        .assert_eq(&managers.join("\n"));
    });
}

#[test]
fn patches_cannot_build_what_cannot_be_read() {
    block_on(async {
        let mut world = crate::support::World::new().await;
        let path = "/apis/apps/v1/namespaces/default/deployments";
        world.run(&format!(r#"POST {path} {{"metadata":{{"name":"d"}},"spec":{{}}}}"#)).await;
        let deep = format!("{}1{}", r#"{"a":"#.repeat(60), "}".repeat(60));
        let mut pointer = "/spec/x".to_owned();
        let mut said = Vec::new();
        for _ in 0..2 {
            let patch = format!(
                r#"PATCH json {path}/d [{{"op":"add","path":"{pointer}","value":{deep}}}]"#
            );
            said.push(world.run(&patch).await);
            pointer.push_str(&"/a".repeat(60));
        }
        assert!(said[0].starts_with("200"), "{}", said[0]);
        expect![[r#"
            400 BadRequest: the object is nested more than 100 levels deep
        "#]]
        .assert_eq(&said[1]);
        assert!(world.run(&format!("GET {path}/d")).await.starts_with("200"));
    });
}
