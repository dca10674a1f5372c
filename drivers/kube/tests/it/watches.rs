//! What the watches tell, and what they keep to themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use fixpoint_driver_kube::{Drift, DriftWatches, WatchId};
use fixpoint_ledger::Action;
use fixpoint_plan::Verb;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::script::{Server, key, live, object, permit, step};

const LIST: &str = "/api/v1/configmaps";

fn list(objects: &[Value]) -> Value {
    json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "10"}, "items": objects})
}

fn config(name: &str, version: &str) -> Value {
    let mut object = live(&key("ConfigMap", name), "u", version);
    object["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "apps",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system"});
    object
}

fn ids(kinds: &[&str]) -> BTreeSet<WatchId> {
    let keys: Vec<_> = kinds.iter().map(|kind| key(kind, "x")).collect();
    WatchId::everywhere(&keys)
}

/// Keeps watches on the kinds and collects what they tell until it is quiet.
async fn told(server: &Server, kinds: &[&str]) -> (Vec<String>, DriftWatches) {
    let (tell, mut drifts) = mpsc::channel(16);
    let mut watches = DriftWatches::new(server.target(), "kustomize.toolkit.fluxcd.io/name", tell);
    watches.keep(&ids(kinds));
    (collect(&mut drifts).await, watches)
}

async fn collect(drifts: &mut mpsc::Receiver<Drift>) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(Some(drift)) = timeout(Duration::from_secs(2), drifts.recv()).await {
        let Drift { key, owner, gone } = drift;
        let owner = owner.map_or_else(|| "nobody".to_owned(), |owner| owner.to_string());
        told.push(format!("{key} {owner}{}", if gone { " gone" } else { "" }));
    }
    told
}

#[tokio::test(start_paused = true)]
async fn what_was_never_seen_is_told() {
    let server = Server::new(&format!(
        "GET {LIST} -> 200 {}\nGET {LIST} -> hang …",
        list(&[config("a", "1")])
    ));
    let (told, watches) = told(&server, &["ConfigMap"]).await;
    assert_eq!(told, ["ConfigMap/shop/a Kustomization/flux-system/apps"]);
    assert_eq!((watches.len(), watches.problems().now().len()), (1, 0));
    let asked = server.heard();
    assert!(asked.contains("labelSelector=kustomize.toolkit.fluxcd.io%2Fname"), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn the_echo_of_our_own_apply_is_not_drift() {
    let server = Server::new(&format!(
        "PATCH /api/v1/namespaces/shop/configmaps/a -> 201 {}\nGET {LIST} -> 200 {}\nGET {LIST} -> hang …",
        config("a", "1"),
        list(&[config("a", "1"), config("b", "2")])
    ));
    let target = server.target();
    let ours = key("ConfigMap", "a");
    let create = step(Verb::Create, &ours, None);
    target.perform(&permit(&[(&ours, Action::Apply)]), &create, &object(&ours)).await.unwrap();
    let (tell, mut drifts) = mpsc::channel(16);
    let mut watches = DriftWatches::new(target, "kustomize.toolkit.fluxcd.io/name", tell);
    watches.keep(&ids(&["ConfigMap"]));
    assert_eq!(collect(&mut drifts).await, ["ConfigMap/shop/b Kustomization/flux-system/apps"]);
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_and_so_is_what_went_away_unseen() {
    let event = |kind: &str, object: Value| json!({"type": kind, "object": object}).to_string();
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}});
    let server = Server::new(&format!(
        "GET {LIST} -> 200 {}\nGET {LIST} -> 200 {}\nGET {LIST} -> 200 {gone}\nGET {LIST} -> 200 {}\nGET {LIST} -> hang …",
        list(&[config("a", "1"), config("b", "1")]),
        event("MODIFIED", config("a", "2")),
        list(&[config("a", "2")]),
    ));
    let (told, _watches) = told(&server, &["ConfigMap"]).await;
    assert_eq!(
        told,
        [
            "ConfigMap/shop/a Kustomization/flux-system/apps",
            "ConfigMap/shop/b Kustomization/flux-system/apps",
            "ConfigMap/shop/a Kustomization/flux-system/apps",
            "ConfigMap/shop/b nobody gone",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_served_is_quiet_until_it_comes_back() {
    let widget = json!({"kind": "Widget", "name": "widgets", "namespaced": true});
    let mut object = config("w", "1");
    object["kind"] = "Widget".into();
    let server = Server::new(&format!(
        "GET /apis/example.org/v1 -> 404 {{}}\nGET /apis/example.org/v1 -> 200 {}
        GET /apis/example.org/v1/widgets -> 200 {}\nGET /apis/example.org/v1/widgets -> hang …",
        json!({"resources": [widget]}),
        list(&[object])
    ));
    let (tell, mut drifts) = mpsc::channel(16);
    let mut watches = DriftWatches::new(server.target(), "kustomize.toolkit.fluxcd.io/name", tell);
    watches.keep(&ids(&["Widget"]));
    assert!(collect(&mut drifts).await.is_empty());
    assert!(watches.problems().now().is_empty());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(collect(&mut drifts).await, ["Widget/shop/w Kustomization/flux-system/apps"]);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_not_be_watched_is_a_problem_with_a_reason() {
    let server = Server::new(&format!(
        r#"GET {LIST} -> 403 {{"status":"Failure","message":"configmaps is forbidden","reason":"Forbidden","code":403}} …"#
    ));
    let (told, watches) = told(&server, &["ConfigMap"]).await;
    assert!(told.is_empty());
    let problems: Vec<String> =
        watches.problems().now().into_values().map(|problem| problem.reason).collect();
    assert!(problems.len() == 1 && problems[0].contains("configmaps is forbidden"), "{problems:?}");
    // Nobody asks again and again; after a while it is tried once more.
    let asked = server.heard().lines().count();
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(server.heard().lines().count(), asked);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(server.heard().lines().count() > asked);
}

#[tokio::test(start_paused = true)]
async fn watches_that_are_not_wanted_any_more_end() {
    let server = Server::new(&format!("GET {LIST} -> 200 {}\nGET {LIST} -> hang …", list(&[])));
    let (_, mut watches) = told(&server, &["ConfigMap"]).await;
    assert_eq!(watches.len(), 1);
    watches.keep(&BTreeSet::new());
    assert!(watches.is_empty());
}
