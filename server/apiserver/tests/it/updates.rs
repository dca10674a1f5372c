//! Changes of objects that exist.

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
fn an_update_replaces() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a"},"data":{"k":"v"}}
        PUT MAPS/a {"metadata":{"name":"a"},"data":{"l":"w"}}
        PUT MAPS/a {"metadata":{"name":"b"}}
        PUT MAPS/missing {"metadata":{"name":"missing"}}
        PUT MAPS {"metadata":{"name":"a"}}
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            200 {"apiVersion":"v1","data":{"l":"w"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            400 BadRequest: the name of the object (b) does not match the name on the URL (a)
            404 NotFound: configmaps "missing" not found
            405 MethodNotAllowed: update is not supported on resources of kind "configmaps"
        "#]],
    );
}

#[test]
fn an_old_version_loses() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a"}}
        PUT MAPS/a {"metadata":{"name":"a","resourceVersion":"$rv"},"data":{"k":"1"}}
        PUT MAPS/a {"metadata":{"name":"a","resourceVersion":"1"},"data":{"k":"2"}}
        PUT MAPS/a {"metadata":{"name":"a","uid":"another"},"data":{"k":"2"}}
        PATCH merge MAPS/a {"metadata":{"resourceVersion":"1"},"data":{"k":"2"}}
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            200 {"apiVersion":"v1","data":{"k":"1"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            409 Conflict: Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again
            409 Conflict: Operation cannot be fulfilled on configmaps "a": Precondition failed: UID in precondition: another, UID in object meta: <uid>
            409 Conflict: Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again
        "#]],
    );
}

#[test]
fn an_update_that_changes_nothing_is_not_a_revision() {
    block_on(async {
        let mut world = crate::support::World::new().await;
        let made = world
            .object(&format!(r#"POST {MAPS} {{"metadata":{{"name":"a"}},"data":{{"k":"v"}}}}"#))
            .await;
        world.clock.fetch_add(60, std::sync::atomic::Ordering::Relaxed);
        let put = world
            .object(&format!(r#"PUT {MAPS}/a {{"metadata":{{"name":"a"}},"data":{{"k":"v"}}}}"#))
            .await;
        let patched =
            world.object(&format!(r#"PATCH merge {MAPS}/a {{"data":{{"k":"v"}}}}"#)).await;
        assert_eq!(made, put);
        assert_eq!(made, patched);
    });
}

#[test]
fn custom_objects_need_a_version_to_update() {
    widgets(
        r#"
        POST WIDGETS {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"size":1}}
        PUT WIDGETS/w {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"size":2}}
        PUT WIDGETS/w {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w","resourceVersion":"$rv"},"spec":{"size":2}}
        "#,
        expect![[r#"
            201 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"w","namespace":"default"},"spec":{"color":"red","size":1}}
            422 Invalid: Widget.example.com "w" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":2,"name":"w","namespace":"default"},"spec":{"color":"red","size":2}}
        "#]],
    );
}

#[test]
fn status_and_spec_have_their_own_doors() {
    widgets(
        r#"
        POST WIDGETS {"metadata":{"name":"w"},"spec":{"size":1},"status":{"ready":true}}
        PATCH merge WIDGETS/w {"spec":{"size":2},"status":{"ready":true}}
        PATCH merge WIDGETS/w/status {"spec":{"size":3},"status":{"ready":true}}
        PUT WIDGETS/w/status {"metadata":{"name":"w","resourceVersion":"$rv","labels":{"a":"b"}},"spec":{"size":4},"status":{"ready":false}}
        GET WIDGETS/w/status
        GET WIDGETS/w/nothing
        "#,
        expect![[r#"
            201 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"w","namespace":"default"},"spec":{"color":"red","size":1}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":2,"name":"w","namespace":"default"},"spec":{"color":"red","size":2}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":2,"name":"w","namespace":"default"},"spec":{"color":"red","size":2},"status":{"ready":true}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":2,"name":"w","namespace":"default"},"spec":{"color":"red","size":2},"status":{"ready":false}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":2,"name":"w","namespace":"default"},"spec":{"color":"red","size":2},"status":{"ready":false}}
            404 NotFound: the server could not find the requested resource
        "#]],
    );
}

#[test]
fn generations_count_specs() {
    widgets(
        r#"
        POST WIDGETS {"metadata":{"name":"w"},"spec":{"size":1}}
        PATCH merge WIDGETS/w {"metadata":{"labels":{"a":"b"}}}
        PATCH merge WIDGETS/w {"spec":{"size":2}}
        PATCH merge WIDGETS/w/status {"status":{"ready":true}}
        "#,
        expect![[r#"
            201 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"w","namespace":"default"},"spec":{"color":"red","size":1}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"labels":{"a":"b"},"name":"w","namespace":"default"},"spec":{"color":"red","size":1}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":2,"labels":{"a":"b"},"name":"w","namespace":"default"},"spec":{"color":"red","size":2}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":2,"labels":{"a":"b"},"name":"w","namespace":"default"},"spec":{"color":"red","size":2},"status":{"ready":true}}
        "#]],
    );
}

#[test]
fn immutable_stays() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a"},"data":{"k":"v"},"immutable":true}
        PATCH merge MAPS/a {"data":{"k":"w"}}
        PATCH merge MAPS/a {"immutable":false}
        PATCH merge MAPS/a {"metadata":{"labels":{"still":"fine"}}}
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","data":{"k":"v"},"immutable":true,"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            422 Invalid: ConfigMap "a" is invalid: data: Forbidden: field is immutable when `immutable` is set
            422 Invalid: ConfigMap "a" is invalid: immutable: Forbidden: field is immutable when `immutable` is set
            200 {"apiVersion":"v1","data":{"k":"v"},"immutable":true,"kind":"ConfigMap","metadata":{"labels":{"still":"fine"},"name":"a","namespace":"default"}}
        "#]],
    );
}

#[test]
fn leases_are_made_by_put() {
    check(
        r#"
        PUT /apis/coordination.k8s.io/v1/namespaces/default/leases/l {"metadata":{"name":"l"},"spec":{"holderIdentity":"me"}}
        PUT /apis/coordination.k8s.io/v1/namespaces/default/leases/l {"metadata":{"name":"l"},"spec":{"holderIdentity":"you"}}
        PUT /apis/coordination.k8s.io/v1/namespaces/default/leases/l {"metadata":{"name":"l","resourceVersion":"$rv"},"spec":{"holderIdentity":"you","leaseDurationSeconds":0}}
        "#,
        expect![[r#"
            201 {"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l","namespace":"default"},"spec":{"holderIdentity":"me"}}
            422 Invalid: Lease.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update
            422 Invalid: Lease.coordination.k8s.io "l" is invalid: spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0
        "#]],
    );
}

#[test]
fn writers_of_one_object_take_turns() {
    block_on(async {
        let mut world = with_widgets().await;
        world
            .object(&format!(r#"POST {WIDGETS} {{"metadata":{{"name":"w"}},"spec":{{"size":1}}}}"#))
            .await;
        let patches = (0..20).map(|n| {
            let line =
                format!(r#"PATCH merge {WIDGETS}/w {{"metadata":{{"labels":{{"l{n}":"x"}}}}}}"#);
            let world = &world;
            async move { world.ask(&crate::support::Asked::parse(&line)).await.status() }
        });
        let codes = futures::future::join_all(patches).await;
        assert!(codes.iter().all(|code| *code == 200), "{codes:?}");
        let seen = world.object(&format!("GET {WIDGETS}/w")).await;
        assert_eq!(seen["metadata"]["labels"].as_object().unwrap().len(), 20);
    });
}
