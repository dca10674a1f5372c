//! Lists: selections, pages, and the past.

use expect_test::expect;

use crate::support::{World, block_on, check};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn four(script: &str, answers: expect_test::Expect) {
    let made = r#"
        POST MAPS {"metadata":{"name":"a","labels":{"app":"x","tier":"front"}}}
        POST MAPS {"metadata":{"name":"b","labels":{"app":"y"}}}
        POST MAPS {"metadata":{"name":"c","labels":{"app":"x"}}}
        POST MAPS {"metadata":{"name":"d"}}
    "#;
    let said = block_on(async {
        let mut world = World::new().await;
        world.run(&made.replace("MAPS", MAPS)).await;
        world.run(&script.replace("MAPS", MAPS)).await
    });
    answers.assert_eq(&said);
}

#[test]
fn selectors_select() {
    four(
        r#"
        GET MAPS
        GET MAPS?labelSelector=app%3Dx
        GET MAPS?labelSelector=app%20in%20(x,y),!tier
        GET MAPS?labelSelector=app!%3Dx
        GET MAPS?fieldSelector=metadata.name%3Db
        GET MAPS?fieldSelector=metadata.name!%3Db
        GET MAPS?fieldSelector=metadata.namespace%3Dother
        GET MAPS?labelSelector=((
        GET MAPS?fieldSelector=data.k%3Dv
        GET /api/v1/configmaps?fieldSelector=metadata.namespace%3Ddefault
        "#,
        expect![[r#"
            200 ConfigMapList [a b c d]
            200 ConfigMapList [a c]
            200 ConfigMapList [b c]
            200 ConfigMapList [b d]
            200 ConfigMapList [b]
            200 ConfigMapList [a c d]
            200 ConfigMapList []
            400 BadRequest: unable to parse requirement: found '(', expected: !, identifier, or 'end of string'
            400 BadRequest: field label not supported: data.k
            200 ConfigMapList [a b c d]
        "#]],
    );
}

#[test]
fn pages_are_of_one_moment() {
    four(
        r#"
        GET MAPS?limit=2
        DELETE MAPS/c
        POST MAPS {"metadata":{"name":"bb"}}
        POST MAPS {"metadata":{"name":"e"}}
        GET MAPS?limit=1&continue=$continue
        GET MAPS?limit=2&continue=$continue
        GET MAPS
        GET MAPS?continue=nonsense
        GET MAPS?limit=x
        "#,
        expect![[r#"
            200 ConfigMapList [a b] and 2 more
            200 {"apiVersion":"v1","details":{"kind":"configmaps","name":"c"},"kind":"Status","status":"Success"}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bb","namespace":"default"}}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"e","namespace":"default"}}
            200 ConfigMapList [c] and 1 more
            200 ConfigMapList [d]
            200 ConfigMapList [a b bb d e]
            400 BadRequest: continue key is not valid: it was not made by this server
            400 BadRequest: limit: must be a number
        "#]],
    );
}

#[test]
fn the_past_can_be_listed() {
    four(
        r#"
        GET MAPS/d
        DELETE MAPS/a
        GET MAPS?resourceVersion=7&resourceVersionMatch=Exact
        GET MAPS?resourceVersion=6&resourceVersionMatch=NotOlderThan
        GET MAPS?resourceVersion=0
        GET MAPS?resourceVersion=999
        GET MAPS?resourceVersion=x
        GET MAPS?resourceVersionMatch=Exact
        GET MAPS?resourceVersion=5&resourceVersionMatch=Sometimes
        "#,
        expect![[r#"
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d","namespace":"default"}}
            200 {"apiVersion":"v1","details":{"kind":"configmaps","name":"a"},"kind":"Status","status":"Success"}
            200 ConfigMapList [a b c d]
            200 ConfigMapList [b c d]
            200 ConfigMapList [b c d]
            504 Timeout: Timeout: Too large resource version: 999, current: 8
            400 BadRequest: resourceVersion: Invalid value: "x": must be a number
            400 BadRequest: resourceVersionMatch is forbidden unless resourceVersion is provided
            400 BadRequest: resourceVersionMatch: Unsupported value: "Sometimes": supported values: "Exact", "NotOlderThan"
        "#]],
    );
}

#[test]
fn shapes_are_negotiated() {
    check(
        &r#"
        POST MAPS {"metadata":{"name":"a"},"data":{"k":"v"}}
        GET MAPS/a accept=application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1
        GET MAPS accept=application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1
        GET MAPS/a accept=application/vnd.kubernetes.protobuf
        GET MAPS/a accept=application/vnd.kubernetes.protobuf,*/*
        "#
        .replace("MAPS", MAPS),
        expect![[r#"
            201 {"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            200 {"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"name":"a","namespace":"default"}}
            200 PartialObjectMetadataList [a]
            406 NotAcceptable: only the following media types are accepted: application/json, application/yaml
            200 {"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
        "#]],
    );
}

#[test]
fn yaml_is_sent_when_asked_for() {
    block_on(async {
        let mut world = World::new().await;
        let said = world.run("GET /api/v1/namespaces/default accept=application/yaml").await;
        assert!(said.contains("kind: Namespace"), "{said}");
    });
}

#[test]
fn lists_say_which_revision_they_are_of() {
    block_on(async {
        let mut world = World::new().await;
        let list = world.object(&format!("GET {MAPS}")).await;
        assert_eq!(list["kind"], "ConfigMapList");
        assert_eq!(list["apiVersion"], "v1");
        assert_eq!(list["metadata"]["resourceVersion"], "3");
    });
}
