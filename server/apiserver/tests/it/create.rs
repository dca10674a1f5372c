//! New objects.

use expect_test::expect;

use crate::support::check;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn maps(script: &str, answers: expect_test::Expect) {
    check(&script.replace("MAPS", MAPS), answers);
}

#[test]
fn an_object_comes_back_as_it_was_made() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a"},"data":{"k":"v"}}
        GET MAPS/a
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            200 {"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
        "#]],
    );
}

#[test]
fn the_server_keeps_its_own_fields() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a","uid":"mine","generation":7,"creationTimestamp":"1999-01-01T00:00:00Z","selfLink":"x"}}
        POST MAPS {"metadata":{"name":"b","resourceVersion":"5"}}
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            400 BadRequest: resourceVersion should not be set on objects to be created
        "#]],
    );
}

#[test]
fn names_are_taken_once() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a"}}
        POST MAPS {"metadata":{"name":"a"}}
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            409 AlreadyExists: configmaps "a" already exists
        "#]],
    );
}

#[test]
fn names_are_checked() {
    maps(
        r#"
        POST MAPS {"metadata":{}}
        POST MAPS {"metadata":{"name":"Not_Good"}}
        POST MAPS {"metadata":{"name":"a","labels":{"bad key":"x"}}}
        "#,
        expect![[r#"
            422 Invalid: ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required
            422 Invalid: ConfigMap "Not_Good" is invalid: metadata.name: Invalid value: "Not_Good": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            422 Invalid: ConfigMap "a" is invalid: metadata.labels: Invalid value: "bad key": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        "#]],
    );
}

#[test]
fn places_must_agree() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a","namespace":"other"}}
        POST MAPS {"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}
        POST MAPS {"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"a"}}
        POST /api/v1/configmaps {"metadata":{"name":"a"}}
        POST MAPS/a {"metadata":{"name":"a"}}
        POST /api/v1/nothings {}
        "#,
        expect![[r#"
            400 BadRequest: the namespace of the provided object does not match the namespace sent on the request
            400 BadRequest: Secret in version "v1" cannot be handled as a ConfigMap: the kind in the data does not match the expected kind (Secret != ConfigMap)
            400 BadRequest: the API version in the data (v2) does not match the expected API version (v1)
            405 MethodNotAllowed: create is not supported on resources of kind "configmaps"
            405 MethodNotAllowed: create is not supported on resources of kind "configmaps"
            404 NotFound: the server could not find the requested resource
        "#]],
    );
}

#[test]
fn bodies_must_be_objects() {
    maps(
        r#"
        POST MAPS [1]
        POST MAPS {"metadata":
        POST MAPS content-type=application/vnd.kubernetes.protobuf {}
        POST MAPS content-type=application/cbor {}
        POST MAPS content-type=application/yaml {metadata: {name: y}}
        POST MAPS content-type=application/yaml {metadata: {name: z}, data: {k: "off"}}
        "#,
        expect![[r#"
            400 BadRequest: the request body is not an object
            400 BadRequest: the request body is not JSON: EOF while parsing a value at line 1 column 12
            400 BadRequest: the request body cannot be read: it does not begin as Kubernetes' protobuf does
            415 UnsupportedMediaType: the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf
            422 Invalid: ConfigMap "" is invalid: [metadata.name: Invalid value: true: must be a string, metadata.name: Required value: name or generateName is required]
            201 {"apiVersion":"v1","data":{"k":"off"},"kind":"ConfigMap","metadata":{"name":"z","namespace":"default"}}
        "#]],
    );
}

#[test]
fn a_namespace_must_exist() {
    check(
        r#"
        POST /api/v1/namespaces/nowhere/configmaps {"metadata":{"name":"a"}}
        POST /api/v1/namespaces/nowhere/configmaps?dryRun=All {"metadata":{"name":"a"}}
        POST /api/v1/namespaces {"metadata":{"name":"nowhere"}}
        POST /api/v1/namespaces/nowhere/configmaps {"metadata":{"name":"a"}}
        "#,
        expect![[r#"
            404 NotFound: namespaces "nowhere" not found
            404 NotFound: namespaces "nowhere" not found
            201 {"apiVersion":"v1","kind":"Namespace","metadata":{"labels":{"kubernetes.io/metadata.name":"nowhere"},"name":"nowhere"},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"nowhere"}}
        "#]],
    );
}

#[test]
fn a_dry_run_stores_nothing() {
    maps(
        r#"
        POST MAPS?dryRun=All {"metadata":{"name":"a"},"data":{"k":"v"}}
        GET MAPS/a
        POST MAPS?dryRun=Maybe {"metadata":{"name":"a"}}
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            404 NotFound: configmaps "a" not found
            400 BadRequest: dryRun: Unsupported value: "Maybe": supported values: "All"
        "#]],
    );
}

#[test]
fn secrets_fold_plain_text_in() {
    check(
        r#"
        POST /api/v1/namespaces/default/secrets {"metadata":{"name":"s"},"stringData":{"p":"hunter2"},"data":{"q":"aGk="}}
        POST /api/v1/namespaces/default/secrets {"metadata":{"name":"t"},"data":{"q":"not base64"}}
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","data":{"p":"aHVudGVyMg==","q":"aGk="},"kind":"Secret","metadata":{"name":"s","namespace":"default"},"type":"Opaque"}
            422 Invalid: Secret "t" is invalid: data[q]: Invalid value: "<redacted>": must be base64 text
        "#]],
    );
}

#[test]
fn config_maps_hold_text() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a"},"data":{"k":1}}
        POST MAPS {"metadata":{"name":"a"},"data":{"k k":"1"}}
        POST MAPS {"metadata":{"name":"a"},"data":{"k":"1"},"binaryData":{"k":"aGk="}}
        "#,
        expect![[r#"
            422 Invalid: ConfigMap "a" is invalid: data[k]: Invalid value: 1: must be a string
            422 Invalid: ConfigMap "a" is invalid: data[k k]: Invalid value: "k k": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')
            422 Invalid: ConfigMap "a" is invalid: binaryData[k]: Invalid value: "k": duplicate of key present in data
        "#]],
    );
}

#[test]
fn names_are_made_of_a_base() {
    crate::support::block_on(async {
        let mut world = crate::support::World::new().await;
        let made =
            world.object(&format!(r#"POST {MAPS} {{"metadata":{{"generateName":"job-"}}}}"#)).await;
        let name = made["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("job-") && name.len() == 9, "{name}");
        assert_eq!(made["metadata"]["generateName"], "job-");
    });
}

#[test]
fn workloads_are_stored() {
    check(
        r#"
        POST /apis/apps/v1/namespaces/default/deployments {"metadata":{"name":"web"},"spec":{"replicas":2},"status":{"replicas":9}}
        GET /apis/apps/v1/namespaces/default/deployments/web/scale
        PATCH merge /apis/apps/v1/namespaces/default/deployments/web/scale {"spec":{"replicas":5}}
        GET /apis/apps/v1/namespaces/default/deployments/web
        "#,
        expect![[r#"
            201 {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generation":1,"name":"web","namespace":"default"},"spec":{"replicas":2}}
            200 {"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"web","namespace":"default"},"spec":{"replicas":2},"status":{"replicas":0}}
            200 {"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"web","namespace":"default"},"spec":{"replicas":5},"status":{"replicas":0}}
            200 {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generation":2,"name":"web","namespace":"default"},"spec":{"replicas":5}}
        "#]],
    );
}

#[test]
fn events_have_two_groups_and_one_table() {
    check(
        r#"
        POST /apis/events.k8s.io/v1/namespaces/default/events {"metadata":{"name":"e"},"note":"it happened","reason":"Did","type":"Normal","action":"do","eventTime":"2026-01-01T00:00:00.000000Z","reportingController":"fixpoint","reportingInstance":"x","regarding":{"kind":"Pod","name":"p","namespace":"default"}}
        GET /api/v1/namespaces/default/events/e
        GET /apis/events.k8s.io/v1/namespaces/default/events/e
        GET /api/v1/namespaces/default/events?fieldSelector=involvedObject.kind%3DPod
        GET /api/v1/namespaces/default/events?fieldSelector=involvedObject.kind%3DNode
        "#,
        expect![[r#"
            201 {"action":"do","apiVersion":"events.k8s.io/v1","deprecatedFirstTimestamp":"2026-01-01T00:00:00Z","deprecatedLastTimestamp":"2026-01-01T00:00:00Z","deprecatedSource":{"component":"fixpoint"},"eventTime":"2026-01-01T00:00:00.000000Z","kind":"Event","metadata":{"name":"e","namespace":"default"},"note":"it happened","reason":"Did","regarding":{"kind":"Pod","name":"p","namespace":"default"},"reportingController":"fixpoint","reportingInstance":"x","type":"Normal"}
            200 {"action":"do","apiVersion":"v1","eventTime":"2026-01-01T00:00:00.000000Z","firstTimestamp":"2026-01-01T00:00:00Z","involvedObject":{"kind":"Pod","name":"p","namespace":"default"},"kind":"Event","lastTimestamp":"2026-01-01T00:00:00Z","message":"it happened","metadata":{"name":"e","namespace":"default"},"reason":"Did","reportingComponent":"fixpoint","reportingInstance":"x","source":{"component":"fixpoint"},"type":"Normal"}
            200 {"action":"do","apiVersion":"events.k8s.io/v1","deprecatedFirstTimestamp":"2026-01-01T00:00:00Z","deprecatedLastTimestamp":"2026-01-01T00:00:00Z","deprecatedSource":{"component":"fixpoint"},"eventTime":"2026-01-01T00:00:00.000000Z","kind":"Event","metadata":{"name":"e","namespace":"default"},"note":"it happened","reason":"Did","regarding":{"kind":"Pod","name":"p","namespace":"default"},"reportingController":"fixpoint","reportingInstance":"x","type":"Normal"}
            200 EventList [e]
            200 EventList []
        "#]],
    );
}

#[test]
fn acknowledgements_are_signed_by_the_server() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a","annotations":{"source.fixpoint.dev/acknowledge":"v1","source.fixpoint.dev/acknowledge-by":"somebody"}}}
        PATCH merge MAPS/a {"metadata":{"annotations":{"source.fixpoint.dev/acknowledge-by":"somebody"}}}
        PATCH merge MAPS/a {"metadata":{"annotations":{"source.fixpoint.dev/acknowledge":null}}}
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{"source.fixpoint.dev/acknowledge":"v1","source.fixpoint.dev/acknowledge-by":"fixpoint-admin"},"name":"a","namespace":"default"}}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{"source.fixpoint.dev/acknowledge":"v1","source.fixpoint.dev/acknowledge-by":"fixpoint-admin"},"name":"a","namespace":"default"}}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
        "#]],
    );
}

#[test]
fn bodies_have_a_limit() {
    crate::support::block_on(async {
        let world = crate::support::World::new().await;
        let big = "x".repeat(4 * 1024 * 1024);
        let line = format!(r#"POST {MAPS} {{"metadata":{{"name":"a"}},"data":{{"k":"{big}"}}}}"#);
        let response = world.ask(&crate::support::Asked::parse(&line)).await;
        assert_eq!(response.status(), 413);
    });
}
