//! Carrying out steps: what is asked of the server, and what counts as what.

use expect_test::{Expect, expect};
use fixpoint_base::Chain;
use fixpoint_ledger::Action;
use fixpoint_plan::{Step, Verb};
use serde_json::{Value, json};

use crate::script::{Server, key, live, object, permit, step};

const CONFIG: &str = "/api/v1/namespaces/shop/configmaps/a";

/// Performs one step; tells what came of it and what was asked.
async fn check(script: &str, step: &Step, want: Expect) {
    let server = Server::new(script);
    let action = fixpoint_apply::action(step.verb);
    let permit = permit(&[(&step.key, action)]);
    let told = match server.target().perform(&permit, step, &object(&step.key)).await {
        Ok(done) => format!("{}, uid {:?}, owned {}", done.change, done.uid, done.owned.is_some()),
        Err(err) => format!("error: {}", Chain(&err)),
    };
    want.assert_eq(&format!("{told}\n{}", server.heard()));
}

fn applied(uid: &str, version: &str) -> Value {
    live(&key("ConfigMap", "a"), uid, version)
}

#[tokio::test(start_paused = true)]
async fn an_apply_is_one_write() {
    let config = key("ConfigMap", "a");
    let seen = applied("u", "1");
    check(
        &format!("PATCH {CONFIG} -> 201 {}", applied("u", "1")),
        &step(Verb::Create, &config, None),
        expect![[r#"
            created, uid "u", owned true
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
        "#]],
    )
    .await;
    check(
        &format!("PATCH {CONFIG} -> 200 {}", applied("u", "1")),
        &step(Verb::Apply, &config, Some(&seen)),
        expect![[r#"
            unchanged, uid "u", owned true
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn only_a_change_of_our_fields_is_a_change() {
    let config = key("ConfigMap", "a");
    let mut seen = applied("u", "1");
    // Somebody's status moved the version meanwhile.
    check(
        &format!("PATCH {CONFIG} -> 200 {}", applied("u", "5")),
        &step(Verb::Apply, &config, Some(&seen)),
        expect![[r#"
            unchanged, uid "u", owned true
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
        "#]],
    )
    .await;
    seen["metadata"]["labels"] = json!({"x": "other"});
    check(
        &format!("PATCH {CONFIG} -> 200 {}", applied("u", "5")),
        &step(Verb::Apply, &config, Some(&seen)),
        expect![[r#"
            configured, uid "u", owned true
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn kubectls_edits_are_taken_back_first_unless_merged() {
    let config = key("ConfigMap", "a");
    let mut seen = applied("u", "1");
    seen["metadata"]["managedFields"] = json!([{"manager": "kubectl-edit", "operation": "Update",
        "apiVersion": "v1", "fieldsV1": {"f:data": {"f:x": {}}}}]);
    let script = format!(
        "GET {CONFIG} -> 200 {seen}\nPATCH {CONFIG} -> 200 {seen}\nPATCH {CONFIG} -> 200 {}",
        applied("u", "2")
    );
    let apply = step(Verb::Apply, &config, Some(&seen));
    check(
        &script,
        &apply,
        expect![[r#"
            configured, uid "u", owned true
            GET /api/v1/namespaces/shop/configmaps/a
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller (255 bytes)
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
        "#]],
    )
    .await;
    check(
        &format!("PATCH {CONFIG} -> 200 {}", applied("u", "2")),
        &Step { merge: true, ..apply },
        expect![[r#"
            configured, uid "u", owned true
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
        "#]],
    )
    .await;
}

const IMMUTABLE: &str = r#"422 {"message":"invalid","reason":"Invalid","details":{"causes":[{"field":"data","message":"field is immutable"}]}}"#;

#[tokio::test(start_paused = true)]
async fn an_immutable_field_is_an_error_with_a_remedy() {
    check(
        &format!("PATCH {CONFIG} -> {IMMUTABLE}"),
        &step(Verb::Apply, &key("ConfigMap", "a"), Some(&applied("u", "1"))),
        expect![[r#"
            error: could not apply ConfigMap/shop/a: data cannot be changed
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_object_is_replaced_once_the_server_agrees_to_the_new_one() {
    let script = format!(
        r#"
        PATCH {CONFIG} -> {IMMUTABLE}
        POST /api/v1/namespaces/shop/configmaps -> 409 {{"reason":"AlreadyExists"}}
        DELETE {CONFIG} -> 200 {{}}
        GET {CONFIG} -> 200 {}
        GET {CONFIG} -> 404 {{"details":{{"name":"a"}}}}
        PATCH {CONFIG} -> 201 {}
        "#,
        applied("u", "1"),
        applied("v", "9")
    );
    check(
        &script,
        &step(Verb::Replace, &key("ConfigMap", "a"), Some(&applied("u", "1"))),
        expect![[r#"
            configured, uid "v", owned true
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
            POST /api/v1/namespaces/shop/configmaps?dryRun=All&fieldManager=kustomize-controller {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
            DELETE /api/v1/namespaces/shop/configmaps/a {"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u"},"propagationPolicy":"Background"}
            GET /api/v1/namespaces/shop/configmaps/a
            GET /api/v1/namespaces/shop/configmaps/a
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_mistake_never_deletes_the_running_object() {
    let apply = step(Verb::Replace, &key("ConfigMap", "a"), Some(&applied("u", "1")));
    check(
        &format!(r#"PATCH {CONFIG} -> 422 {{"message":"data.x is required"}}"#),
        &apply,
        expect![[r#"
            error: could not apply ConfigMap/shop/a: it is not valid: data.x is required
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
        "#]],
    )
    .await;
    check(
        &format!(
            "PATCH {CONFIG} -> {IMMUTABLE}\nPOST /api/v1/namespaces/shop/configmaps -> 422 {{\"message\":\"x is required\"}}"
        ),
        &apply,
        expect![[r#"
            error: could not apply ConfigMap/shop/a: it is not valid: x is required
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
            POST /api/v1/namespaces/shop/configmaps?dryRun=All&fieldManager=kustomize-controller {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_go_away_is_an_error() {
    let script = format!(
        r#"
        PATCH {CONFIG} -> {IMMUTABLE}
        POST /api/v1/namespaces/shop/configmaps -> 409 {{}}
        DELETE {CONFIG} -> 200 {{}}
        GET {CONFIG} -> 200 {} …
        "#,
        applied("u", "1")
    );
    let server = Server::new(&script);
    let config = key("ConfigMap", "a");
    let permit = permit(&[(&config, Action::Replace)]);
    let replace = step(Verb::Replace, &config, Some(&applied("u", "1")));
    let err = server.target().perform(&permit, &replace, &object(&config)).await.unwrap_err();
    expect!["could not replace ConfigMap/shop/a: the old object is still there after 3 s"]
        .assert_eq(&err.to_string());
}

#[tokio::test(start_paused = true)]
async fn deletions_name_the_object_that_was_planned_for() {
    let seen = applied("u", "1");
    let delete = step(Verb::Delete, &key("ConfigMap", "a"), Some(&seen));
    check(
        &format!("DELETE {CONFIG} -> 200 {{}}"),
        &delete,
        expect![[r#"
            deleted, uid "u", owned false
            DELETE /api/v1/namespaces/shop/configmaps/a {"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u"},"propagationPolicy":"Background"}
        "#]],
    )
    .await;
    check(
        &format!("DELETE {CONFIG} -> 404 {{}}"),
        &delete,
        expect![[r#"
            deleted, uid "u", owned false
            DELETE /api/v1/namespaces/shop/configmaps/a {"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u"},"propagationPolicy":"Background"}
        "#]],
    )
    .await;
    check(
        &format!("DELETE {CONFIG} -> 409 {{}}"),
        &delete,
        expect![[r#"
            error: did not delete ConfigMap/shop/a: it is not the object that was planned for any more
            DELETE /api/v1/namespaces/shop/configmaps/a {"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u"},"propagationPolicy":"Background"}
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_permit_nothing_is_asked() {
    let server = Server::new("");
    let (config, other) = (key("ConfigMap", "a"), key("ConfigMap", "b"));
    let target = server.target();
    for (permit, verb) in [
        (permit(&[(&other, Action::Apply)]), Verb::Apply),
        (permit(&[(&config, Action::Apply)]), Verb::Delete),
        (permit(&[(&config, Action::Apply)]), Verb::Replace),
    ] {
        let step = step(verb, &config, None);
        let err = target.perform(&permit, &step, &object(&config)).await.unwrap_err();
        assert!(err.to_string().starts_with("no permit to "), "{err}");
    }
    // The object that is handed in must be the one that the step is for.
    let permit = permit(&[(&config, Action::Apply)]);
    let step = step(Verb::Apply, &config, None);
    let err = target.perform(&permit, &step, &object(&other)).await.unwrap_err();
    assert_eq!(err.to_string(), "there is no object to apply for ConfigMap/shop/a");
    assert_eq!(server.heard(), "\n");
}

#[tokio::test(start_paused = true)]
async fn a_definition_is_done_when_its_kinds_are_served() {
    let crd = key("CustomResourceDefinition", "widgets.example.org");
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.org";
    let mut pending = live(&crd, "u", "1");
    pending["spec"] = json!({"group": "example.org", "names": {"kind": "Widget"},
        "versions": [{"name": "v1", "served": true}, {"name": "v0", "served": false}]});
    let mut established = pending.clone();
    established["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
    let script = format!(
        r#"
        PATCH {path} -> 201 {pending}
        GET {path} -> 200 {pending}
        GET {path} -> 200 {established} …
        GET /apis/example.org/v1 -> 404 {{}}
        GET /apis/example.org/v1 -> 200 {{"resources":[{{"kind":"Widget","name":"widgets","namespaced":true}}]}}
        "#
    );
    check(
        &script,
        &step(Verb::Create, &crd, None),
        expect![[r#"
            created, uid "u", owned true
            PATCH /apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.org?fieldManager=kustomize-controller&force=true {"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"widgets.example.org","namespace":""}}
            GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.org
            GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.org
            GET /apis/example.org/v1
            GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.org
            GET /apis/example.org/v1
        "#]],
    )
    .await;
    let script = format!("PATCH {path} -> 201 {pending}\nGET {path} -> 200 {pending} …");
    let server = Server::new(&script);
    let permit = permit(&[(&crd, Action::Apply)]);
    let create = step(Verb::Create, &crd, None);
    let err = server.target().perform(&permit, &create, &object(&crd)).await.unwrap_err();
    expect!["CustomResourceDefinition/widgets.example.org is not established: Install in progress"]
        .assert_eq(&err.to_string());
}

#[tokio::test(start_paused = true)]
async fn what_an_object_needs_may_come_later() {
    check(
        &format!(
            r#"PATCH {CONFIG} -> 404 {{"message":"namespaces \"shop\" not found","details":{{"name":"shop"}}}}"#
        ),
        &step(Verb::Create, &key("ConfigMap", "a"), None),
        expect![[r#"
            error: could not apply ConfigMap/shop/a: something it needs is not there: namespaces "shop" not found
            PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=kustomize-controller&force=true {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing() {
    let server = Server::new(&format!("PATCH {CONFIG} -> 200 {}", applied("u", "1")));
    let config = key("ConfigMap", "a");
    let preview = server.target().dry_run(&object(&config)).await.unwrap();
    assert_eq!(preview["metadata"]["uid"], "u");
    assert!(server.heard().contains("&dryRun=All "), "{}", server.heard());
}
