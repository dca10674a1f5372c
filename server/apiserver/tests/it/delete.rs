//! Deletion: at once, after finalizers, and of what belongs to what is deleted.

use expect_test::expect;

use crate::support::{World, block_on, check};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn maps(script: &str, answers: expect_test::Expect) {
    check(&script.replace("MAPS", MAPS), answers);
}

#[test]
fn what_is_deleted_is_gone() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a"}}
        DELETE MAPS/a
        GET MAPS/a
        DELETE MAPS/a
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            200 {"apiVersion":"v1","details":{"kind":"configmaps","name":"a"},"kind":"Status","status":"Success"}
            404 NotFound: configmaps "a" not found
            404 NotFound: configmaps "a" not found
        "#]],
    );
}

#[test]
fn finalizers_hold_an_object() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a","finalizers":["example.com/x"]}}
        DELETE MAPS/a
        PATCH merge MAPS/a {"metadata":{"finalizers":["example.com/x","example.com/y"]}}
        PATCH merge MAPS/a {"metadata":{"finalizers":[]}}
        GET MAPS/a
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"finalizers":["example.com/x"],"name":"a","namespace":"default"}}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["example.com/x"],"name":"a","namespace":"default"}}
            422 Invalid: ConfigMap "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/y"}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-01-01T00:00:00Z","name":"a","namespace":"default"}}
            404 NotFound: configmaps "a" not found
        "#]],
    );
}

#[test]
fn preconditions_protect() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a"}}
        DELETE MAPS/a {"preconditions":{"uid":"other"}}
        DELETE MAPS/a {"preconditions":{"resourceVersion":"1"}}
        DELETE MAPS/a?dryRun=All
        DELETE MAPS/a?propagationPolicy=Maybe
        DELETE MAPS/a {"preconditions":{"resourceVersion":"$rv"}}
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}
            409 Conflict: Operation cannot be fulfilled on configmaps "a": Precondition failed: UID in precondition: other, UID in object meta: <uid>
            409 Conflict: Operation cannot be fulfilled on configmaps "a": Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in object meta: 4
            200 {"apiVersion":"v1","details":{"kind":"configmaps","name":"a"},"kind":"Status","status":"Success"}
            400 BadRequest: propagationPolicy: Unsupported value: "Maybe": supported values: "Foreground", "Background", "Orphan"
            200 {"apiVersion":"v1","details":{"kind":"configmaps","name":"a"},"kind":"Status","status":"Success"}
        "#]],
    );
}

#[test]
fn collections_are_deleted_by_selection() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"a","labels":{"app":"x"}}}
        POST MAPS {"metadata":{"name":"b","labels":{"app":"y"}}}
        POST MAPS {"metadata":{"name":"c","labels":{"app":"x"}}}
        DELETE MAPS?labelSelector=app%3Dx
        GET MAPS
        DELETE /api/v1/configmaps
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"app":"x"},"name":"a","namespace":"default"}}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"app":"y"},"name":"b","namespace":"default"}}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"app":"x"},"name":"c","namespace":"default"}}
            200 ConfigMapList [a c]
            200 ConfigMapList [b]
            405 MethodNotAllowed: deletecollection is not supported on resources of kind "configmaps"
        "#]],
    );
}

#[test]
fn dependents_follow_their_owner() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"owner"}}
        POST MAPS {"metadata":{"name":"child","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"$uid"}]}}
        POST MAPS {"metadata":{"name":"grandchild","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"child","uid":"$uid"}]}}
        DELETE MAPS/owner
        gone MAPS/grandchild
        GET MAPS
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owner","namespace":"default"}}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"child","namespace":"default","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"<uid>"}]}}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"grandchild","namespace":"default","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"child","uid":"<uid>"}]}}
            200 {"apiVersion":"v1","details":{"kind":"configmaps","name":"owner"},"kind":"Status","status":"Success"}
            200 ConfigMapList []
        "#]],
    );
}

#[test]
fn a_dependent_of_nobody_goes_too() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"child","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"none"}]}}
        gone MAPS/child
        POST MAPS {"metadata":{"name":"foreign","ownerReferences":[{"apiVersion":"example.com/v1","kind":"Unheard","name":"owner","uid":"none"}]}}
        GET MAPS/foreign
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"child","namespace":"default","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"none"}]}}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"foreign","namespace":"default","ownerReferences":[{"apiVersion":"example.com/v1","kind":"Unheard","name":"owner","uid":"none"}]}}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"foreign","namespace":"default","ownerReferences":[{"apiVersion":"example.com/v1","kind":"Unheard","name":"owner","uid":"none"}]}}
        "#]],
    );
}

#[test]
fn orphans_stay_and_forget() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"owner"}}
        POST MAPS {"metadata":{"name":"child","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"$uid"}]}}
        DELETE MAPS/owner {"propagationPolicy":"Orphan"}
        gone MAPS/owner
        GET MAPS/child
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owner","namespace":"default"}}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"child","namespace":"default","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"<uid>"}]}}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["orphan"],"name":"owner","namespace":"default"}}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"child","namespace":"default"}}
        "#]],
    );
}

#[test]
fn foreground_waits_for_dependents() {
    maps(
        r#"
        POST MAPS {"metadata":{"name":"owner"}}
        POST MAPS {"metadata":{"name":"child","finalizers":["example.com/x"],"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"$uid","blockOwnerDeletion":true}]}}
        DELETE MAPS/owner?propagationPolicy=Foreground
        GET MAPS/owner
        going MAPS/child
        PATCH merge MAPS/child {"metadata":{"finalizers":null}}
        gone MAPS/owner
        GET MAPS
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owner","namespace":"default"}}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"finalizers":["example.com/x"],"name":"child","namespace":"default","ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"kind":"ConfigMap","name":"owner","uid":"<uid>"}]}}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["foregroundDeletion"],"name":"owner","namespace":"default"}}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["foregroundDeletion"],"name":"owner","namespace":"default"}}
            200 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-01-01T00:00:00Z","name":"child","namespace":"default","ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"kind":"ConfigMap","name":"owner","uid":"<uid>"}]}}
            200 ConfigMapList []
        "#]],
    );
}

#[test]
fn a_namespace_takes_its_contents_along() {
    check(
        r#"
        POST /api/v1/namespaces {"metadata":{"name":"shop"}}
        POST /api/v1/namespaces/shop/configmaps {"metadata":{"name":"a"}}
        POST /api/v1/namespaces/shop/secrets {"metadata":{"name":"s","finalizers":["example.com/x"]}}
        DELETE /api/v1/namespaces/shop
        gone /api/v1/namespaces/shop/configmaps/a
        POST /api/v1/namespaces/shop/configmaps {"metadata":{"name":"b"}}
        going /api/v1/namespaces/shop/secrets/s
        PATCH merge /api/v1/namespaces/shop/secrets/s {"metadata":{"finalizers":null}}
        gone /api/v1/namespaces/shop
        POST /api/v1/namespaces {"metadata":{"name":"shop"}}
        GET /api/v1/namespaces/shop/secrets
        "#,
        expect![[r#"
            201 {"apiVersion":"v1","kind":"Namespace","metadata":{"labels":{"kubernetes.io/metadata.name":"shop"},"name":"shop"},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}}
            201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}
            201 {"apiVersion":"v1","kind":"Secret","metadata":{"finalizers":["example.com/x"],"name":"s","namespace":"shop"},"type":"Opaque"}
            200 {"apiVersion":"v1","kind":"Namespace","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-01-01T00:00:00Z","labels":{"kubernetes.io/metadata.name":"shop"},"name":"shop"},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Terminating"}}
            403 Forbidden: configmaps "b" is forbidden: unable to create new content in namespace shop because it is being terminated
            200 {"apiVersion":"v1","kind":"Secret","metadata":{"deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-01-01T00:00:00Z","name":"s","namespace":"shop"},"type":"Opaque"}
            201 {"apiVersion":"v1","kind":"Namespace","metadata":{"labels":{"kubernetes.io/metadata.name":"shop"},"name":"shop"},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}}
            200 SecretList []
        "#]],
    );
}

#[test]
fn old_events_go() {
    block_on(async {
        let mut world = World::new().await;
        let event = r#"POST /api/v1/namespaces/default/events {"metadata":{"name":"e"},"involvedObject":{"namespace":"default"}}"#;
        world.run(event).await;
        world.clock.fetch_add(3601, std::sync::atomic::Ordering::Relaxed);
        // Anything that is deleted makes the collector look.
        world
            .run(
                r#"
            POST /api/v1/namespaces {"metadata":{"name":"x"}}
            DELETE /api/v1/namespaces/x
            gone /api/v1/namespaces/default/events/e
        "#,
            )
            .await;
    });
}

#[test]
fn the_servers_own_namespaces_stay() {
    check(
        r#"
        DELETE /api/v1/namespaces/kube-system
        DELETE /api/v1/namespaces/default
        "#,
        expect![[r#"
            403 Forbidden: namespaces "kube-system" is forbidden: this namespace may not be deleted
            403 Forbidden: namespaces "default" is forbidden: this namespace may not be deleted
        "#]],
    );
}
