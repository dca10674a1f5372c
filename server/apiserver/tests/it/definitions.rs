//! Kinds that definitions add.

use expect_test::expect;

use crate::support::{World, block_on, check, check_widgets, widgets as definition, with_widgets};

const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn widgets(script: &str, answers: expect_test::Expect) {
    check_widgets(&script.replace("WIDGETS", WIDGETS).replace("CRDS", CRDS), answers);
}

#[test]
fn a_definition_is_established_at_once() {
    block_on(async {
        let mut world = World::new().await;
        let made = world.object(&format!("POST {CRDS} {}", definition())).await;
        let conditions: Vec<String> = made["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| format!("{}={}", c["type"].as_str().unwrap(), c["status"].as_str().unwrap()))
            .collect();
        expect!["NamesAccepted=True Established=True"].assert_eq(&conditions.join(" "));
        let list = world.run("GET /apis/example.com/v1/widgets").await;
        expect![[r#"
            200 WidgetList []
        "#]]
        .assert_eq(&list);
    });
}

#[test]
fn objects_are_pruned_defaulted_and_checked() {
    widgets(
        r#"
        POST WIDGETS {"metadata":{"name":"a"},"spec":{"size":1,"unknown":true}}
        POST WIDGETS?fieldValidation=Strict {"metadata":{"name":"b"},"spec":{"size":1,"unknown":true}}
        POST WIDGETS?fieldValidation=Ignore {"metadata":{"name":"c"},"spec":{"size":1,"unknown":true}}
        POST WIDGETS?fieldValidation=Perhaps {"metadata":{"name":"d"},"spec":{"size":1}}
        POST WIDGETS {"metadata":{"name":"e"},"spec":{"size":0,"color":"green"}}
        POST WIDGETS {"metadata":{"name":"f"},"spec":{}}
        PATCH merge WIDGETS/a {"spec":{"size":"big"}}
        "#,
        expect![[r#"
            201 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"a","namespace":"default"},"spec":{"color":"red","size":1}}
              warning: 299 - "unknown field \"spec.unknown\""
            400 BadRequest: strict decoding error: unknown field "spec.unknown"
            201 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"c","namespace":"default"},"spec":{"color":"red","size":1}}
            400 BadRequest: fieldValidation: Unsupported value: "Perhaps": supported values: "Ignore", "Warn", "Strict"
            422 Invalid: Widget.example.com "e" is invalid: [spec.color: Unsupported value: "green": supported values: "red", "blue", spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1]
            422 Invalid: Widget.example.com "f" is invalid: spec.size: Required value
            422 Invalid: Widget.example.com "a" is invalid: spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"
        "#]],
    );
}

#[test]
fn every_served_version_shows_the_same_objects() {
    widgets(
        r#"
        POST /apis/example.com/v1beta1/namespaces/default/widgets {"apiVersion":"example.com/v1beta1","kind":"Widget","metadata":{"name":"a"},"spec":{"size":1}}
        GET WIDGETS/a
        GET /apis/example.com/v1beta1/namespaces/default/widgets/a
        GET /apis/example.com/v2/namespaces/default/widgets/a
        "#,
        expect![[r#"
            201 {"apiVersion":"example.com/v1beta1","kind":"Widget","metadata":{"generation":1,"name":"a","namespace":"default"},"spec":{"color":"red","size":1}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"a","namespace":"default"},"spec":{"color":"red","size":1}}
            200 {"apiVersion":"example.com/v1beta1","kind":"Widget","metadata":{"generation":1,"name":"a","namespace":"default"},"spec":{"color":"red","size":1}}
            404 NotFound: the server could not find the requested resource
        "#]],
    );
}

#[test]
fn bad_definitions_are_refused() {
    check(
        &r#"
        POST CRDS {"metadata":{"name":"wrong"},"spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"things","kind":"Thing"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}
        POST CRDS {"metadata":{"name":"things.example.com"},"spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"things","kind":"Thing"},"versions":[]}}
        "#
        .replace("CRDS", CRDS),
        expect![[r#"
            422 Invalid: CustomResourceDefinition.apiextensions.k8s.io "wrong" is invalid: metadata.name: Invalid value: "wrong": must be spec.names.plural+"."+spec.group
            422 Invalid: CustomResourceDefinition.apiextensions.k8s.io "things.example.com" is invalid: spec.versions: Invalid value: []: must have exactly one version marked as storage version
        "#]],
    );
}

#[test]
fn objects_go_with_their_definition() {
    widgets(
        r#"
        POST WIDGETS {"metadata":{"name":"a"},"spec":{"size":1}}
        POST WIDGETS {"metadata":{"name":"b","finalizers":["example.com/wait"]},"spec":{"size":1}}
        DELETE CRDS/widgets.example.com
        gone WIDGETS/a
        POST WIDGETS {"metadata":{"name":"c"},"spec":{"size":1}}
        going WIDGETS/b
        PATCH merge WIDGETS/b {"metadata":{"finalizers":null}}
        gone CRDS/widgets.example.com
        GET WIDGETS/b
        "#,
        expect![[r#"
            201 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"a","namespace":"default"},"spec":{"color":"red","size":1}}
            201 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"finalizers":["example.com/wait"],"generation":1,"name":"b","namespace":"default"},"spec":{"color":"red","size":1}}
            200 {"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["customresourcecleanup.apiextensions.k8s.io"],"generation":2,"name":"widgets.example.com"},"spec":{"conversion":{"strategy":"None"},"group":"example.com","names":{"categories":["all"],"kind":"Widget","listKind":"WidgetList","plural":"widgets","shortNames":["wd"],"singular":"widget"},"scope":"Namespaced","versions":[{"additionalPrinterColumns":[{"jsonPath":".spec.size","name":"Size","type":"integer"}],"name":"v1","schema":{"openAPIV3Schema":{"properties":{"spec":{"properties":{"color":{"default":"red","enum":["red","blue"],"type":"string"},"parts":{"items":{"properties":{"count":{"type":"integer"},"name":{"type":"string"}},"required":["name"],"type":"object"},"type":"array","x-kubernetes-list-map-keys":["name"],"x-kubernetes-list-type":"map"},"replicas":{"type":"integer"},"size":{"minimum":1,"type":"integer"}},"required":["size"],"type":"object"},"status":{"properties":{"ready":{"type":"boolean"},"replicas":{"type":"integer"}},"type":"object"}},"type":"object"}},"served":true,"storage":true,"subresources":{"scale":{"specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas"},"status":{}}},{"additionalPrinterColumns":[{"jsonPath":".spec.size","name":"Size","type":"integer"}],"name":"v1beta1","schema":{"openAPIV3Schema":{"properties":{"spec":{"properties":{"color":{"default":"red","enum":["red","blue"],"type":"string"},"parts":{"items":{"properties":{"count":{"type":"integer"},"name":{"type":"string"}},"required":["name"],"type":"object"},"type":"array","x-kubernetes-list-map-keys":["name"],"x-kubernetes-list-type":"map"},"replicas":{"type":"integer"},"size":{"minimum":1,"type":"integer"}},"required":["size"],"type":"object"},"status":{"properties":{"ready":{"type":"boolean"},"replicas":{"type":"integer"}},"type":"object"}},"type":"object"}},"served":true,"storage":false,"subresources":{"scale":{"specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas"},"status":{}}}]},"status":{"acceptedNames":{"categories":["all"],"kind":"Widget","listKind":"WidgetList","plural":"widgets","shortNames":["wd"],"singular":"widget"},"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"no conflicts found","reason":"NoConflicts","status":"True","type":"NamesAccepted"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"the initial names have been accepted","reason":"InitialNamesAccepted","status":"True","type":"Established"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"CustomResource deletion is in progress","reason":"InstanceDeletionPending","status":"True","type":"Terminating"}],"storedVersions":["v1"]}}
            405 MethodNotAllowed: create is not supported on resources of kind "widgets.example.com"
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-01-01T00:00:00Z","generation":2,"name":"b","namespace":"default"},"spec":{"color":"red","size":1}}
            404 NotFound: the server could not find the requested resource
        "#]],
    );
}

#[test]
fn definitions_of_the_program_are_installed_at_open() {
    block_on(async {
        let clock = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(crate::support::BEGIN));
        let mut options = crate::support::options(&clock);
        options.crds = vec![serde_json::from_str(&definition()).unwrap()];
        let mut world = World::with(options, clock).await;
        let said = world
            .run(&format!(r#"POST {WIDGETS} {{"metadata":{{"name":"a"}},"spec":{{"size":1}}}}"#))
            .await;
        assert!(said.starts_with("201"), "{said}");
    });
}

#[test]
fn scale_is_a_door_to_the_replicas() {
    widgets(
        r#"
        POST WIDGETS {"metadata":{"name":"a"},"spec":{"size":1,"replicas":2}}
        PUT WIDGETS/a/scale {"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"a","namespace":"default"},"spec":{"replicas":4}}
        GET WIDGETS/a
        "#,
        expect![[r#"
            201 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"a","namespace":"default"},"spec":{"color":"red","replicas":2,"size":1}}
            200 {"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"a","namespace":"default"},"spec":{"replicas":4},"status":{"replicas":0}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":2,"name":"a","namespace":"default"},"spec":{"color":"red","replicas":4,"size":1}}
        "#]],
    );
}

#[test]
fn tables_show_the_columns_of_the_definition() {
    block_on(async {
        let mut world = with_widgets().await;
        world
            .run(&format!(r#"POST {WIDGETS} {{"metadata":{{"name":"a"}},"spec":{{"size":3}}}}"#))
            .await;
        let table = world
            .object(&format!("GET {WIDGETS} accept=application/json;as=Table;v=v1;g=meta.k8s.io"))
            .await;
        let columns: Vec<&str> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(columns, ["Name", "Size"]);
        assert_eq!(table["rows"][0]["cells"], serde_json::json!(["a", 3]));
    });
}

#[test]
fn the_stored_version_may_change() {
    let swap = r#"
        POST WIDGETS {"metadata":{"name":"old"},"spec":{"size":1}}
        PATCH json CRDS/widgets.example.com [{"op":"replace","path":"/spec/versions/0/storage","value":false},{"op":"replace","path":"/spec/versions/1/storage","value":true}]
        POST WIDGETS {"metadata":{"name":"new"},"spec":{"size":2}}
        GET WIDGETS/old
        GET WIDGETS/new
        GET /apis/example.com/v1beta1/namespaces/default/widgets/old
        PATCH merge WIDGETS/old {"spec":{"size":3}}
        GET /apis/example.com/v1beta1/namespaces/default/widgets/old
    "#;
    block_on(async {
        let mut world = with_widgets().await;
        let said = world.run(&swap.replace("WIDGETS", WIDGETS).replace("CRDS", CRDS)).await;
        let said: Vec<&str> =
            said.lines().filter(|line| line.contains("\"Widget\",\"meta")).collect();
        expect![[r#"
            201 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"old","namespace":"default"},"spec":{"color":"red","size":1}}
            201 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"new","namespace":"default"},"spec":{"color":"red","size":2}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"old","namespace":"default"},"spec":{"color":"red","size":1}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":1,"name":"new","namespace":"default"},"spec":{"color":"red","size":2}}
            200 {"apiVersion":"example.com/v1beta1","kind":"Widget","metadata":{"generation":1,"name":"old","namespace":"default"},"spec":{"color":"red","size":1}}
            200 {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":2,"name":"old","namespace":"default"},"spec":{"color":"red","size":3}}
            200 {"apiVersion":"example.com/v1beta1","kind":"Widget","metadata":{"generation":2,"name":"old","namespace":"default"},"spec":{"color":"red","size":3}}"#]].assert_eq(&said.join("\n"));
    });
}

#[test]
fn names_are_had_once() {
    check_widgets(
        &r#"
        POST CRDS {"metadata":{"name":"gadgets.example.com"},"spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"gadgets","kind":"Widget"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}
        GET /apis/example.com/v1/gadgets
        POST CRDS {"metadata":{"name":"deployments.apps"},"spec":{"group":"apps","scope":"Namespaced","names":{"plural":"deployments","kind":"Mine"},"versions":[{"name":"v9","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}
        GET /apis/apps/v9/deployments
        "#
        .replace("CRDS", CRDS),
        expect![[r#"
            201 {"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"generation":1,"name":"gadgets.example.com"},"spec":{"conversion":{"strategy":"None"},"group":"example.com","names":{"kind":"Widget","listKind":"WidgetList","plural":"gadgets","singular":"widget"},"scope":"Namespaced","versions":[{"name":"v1","schema":{"openAPIV3Schema":{"type":"object"}},"served":true,"storage":true}]},"status":{"acceptedNames":{"kind":"","plural":""},"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"\"Widget\" is already in use","reason":"NameConflict","status":"False","type":"NamesAccepted"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"not all names are accepted","reason":"NotAccepted","status":"False","type":"Established"}],"storedVersions":["v1"]}}
            404 NotFound: the server could not find the requested resource
            422 Invalid: CustomResourceDefinition.apiextensions.k8s.io "deployments.apps" is invalid: spec.group: Invalid value: "apps": should be a domain with at least one dot
            404 NotFound: the server could not find the requested resource
        "#]],
    );
}
