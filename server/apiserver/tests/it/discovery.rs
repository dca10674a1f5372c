//! What is served, who asks, and whether the server is well.

use expect_test::expect;
use fixpoint_apiserver::User;

use crate::support::{World, block_on, check, with_widgets};

#[test]
fn health() {
    block_on(async {
        let mut world = World::new().await;
        let before = world.run("GET /readyz").await;
        world.server.set_ready(true);
        let after = world.run("GET /readyz\nGET /livez\nGET /healthz").await;
        expect![[r#"
            503 [-]engine failed: it is still starting
            readyz check failed
            200 ok
            200 ok
            200 ok
        "#]]
        .assert_eq(&format!("{before}{after}"));
    });
}

#[test]
fn versions_and_groups() {
    block_on(async {
        let mut world = with_widgets().await;
        let version = world.object("GET /version").await;
        assert_eq!(version["gitVersion"], "v1.36.0+fixpoint");
        let api = world.object("GET /api").await;
        assert_eq!(api["versions"], serde_json::json!(["v1"]));
        let groups = world.object("GET /apis").await;
        let names: Vec<&str> = groups["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|g| g["name"].as_str().unwrap())
            .collect();
        assert!(names.contains(&"apps") && names.contains(&"example.com"), "{names:?}");
        let group = world.object("GET /apis/example.com").await;
        assert_eq!(group["preferredVersion"]["version"], "v1");
    });
}

#[test]
fn resources_of_a_definition() {
    block_on(async {
        let mut world = with_widgets().await;
        let list = world.object("GET /apis/example.com/v1").await;
        let names: Vec<String> =
            list["resources"].as_array().unwrap().iter().map(|r| r["name"].to_string()).collect();
        assert_eq!(names.join(" "), r#""widgets" "widgets/scale" "widgets/status""#);
        let list = world
            .object("GET /apis accept=application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
            .await;
        assert_eq!(list["kind"], "APIGroupDiscoveryList");
        let items = list["items"].as_array().unwrap();
        let ours = items.iter().find(|item| item["metadata"]["name"] == "example.com").unwrap();
        assert_eq!(ours["versions"][0]["resources"][0]["scope"], "Namespaced");
        assert_eq!(ours["versions"][0]["resources"][0]["subresources"][0]["subresource"], "scale");
    });
}

#[test]
fn documents() {
    block_on(async {
        let mut world = with_widgets().await;
        let index = world.object("GET /openapi/v3").await;
        let url = index["paths"]["apis/example.com/v1"]["serverRelativeURL"].as_str().unwrap();
        let document = world.object(&format!("GET {url}")).await;
        assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    });
}

#[test]
fn paths_that_are_not() {
    check(
        r#"
        GET /apis/none.example.com
        GET /apis/none.example.com/v1/things
        GET /nothing
        PUT /api/v1/namespaces/default/finalize {"metadata":{"name":"default"},"spec":{"finalizers":["kubernetes"]}}
        OPTIONS /api/v1/namespaces
        GET /api/v1/namespaces/default/namespaces/x
        "#,
        expect![[r#"
            404 NotFound: the server could not find the requested resource
            404 NotFound: the server could not find the requested resource
            404 NotFound: the server could not find the requested resource
            200 {"apiVersion":"v1","kind":"Namespace","metadata":{"labels":{"kubernetes.io/metadata.name":"default"},"name":"default"},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}}
            405 MethodNotAllowed: the server does not allow this method on the requested resource
            404 NotFound: the server could not find the requested resource
        "#]],
    );
}

#[test]
fn reviews_answer_who_and_what() {
    block_on(async {
        let mut world = World::new().await;
        let admin = world.run(r#"
            POST /apis/authentication.k8s.io/v1/selfsubjectreviews {}
            POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews {"spec":{"resourceAttributes":{"verb":"delete","resource":"namespaces"}}}
        "#).await;
        world.user = User::new("bob", ["readers".to_owned()]);
        let bob = world.run(r#"
            POST /apis/authentication.k8s.io/v1/selfsubjectreviews {}
            POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews {"spec":{"resourceAttributes":{"verb":"delete","resource":"namespaces"}}}
            GET /api/v1/namespaces
            DELETE /api/v1/namespaces/default
            GET /metrics
        "#).await;
        expect![[r#"
            201 {"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview","status":{"userInfo":{"groups":["system:masters"],"username":"fixpoint-admin"}}}
            201 {"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"resource":"namespaces","verb":"delete"}},"status":{"allowed":true}}
            201 {"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview","status":{"userInfo":{"groups":["readers"],"username":"bob"}}}
            201 {"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"resource":"namespaces","verb":"delete"}},"status":{"allowed":false}}
            403 Forbidden: namespaces is forbidden: User "bob" cannot list resource "namespaces" in API group "" at the cluster scope
            403 Forbidden: namespaces "default" is forbidden: User "bob" cannot delete resource "namespaces" in API group "" at the cluster scope
            403 Forbidden: forbidden: User "bob" cannot get path "/metrics"
        "#]].assert_eq(&format!("{admin}{bob}"));
    });
}

#[test]
fn impersonation_gives_authority_up() {
    check(
        "GET /api/v1/namespaces/default impersonate-user=alice",
        expect![[r#"
        403 Forbidden: namespaces "default" is forbidden: User "alice" cannot get resource "namespaces" in API group "" at the cluster scope
    "#]],
    );
}

#[test]
fn metrics_count() {
    block_on(async {
        let mut world = World::new().await;
        world.run("GET /api/v1/namespaces/default").await;
        let text = world.run("GET /metrics").await;
        assert!(
            text.contains(
                r#"apiserver_request_total{verb="GET",resource="namespaces",code="200"} 1"#
            ),
            "{text}"
        );
        assert!(text.contains("fixpoint_storage_revision 3"), "{text}");
    });
}
