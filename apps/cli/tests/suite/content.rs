//! What of a version reaches the artifact, from a commit to the objects.

use fixpoint_driver_store::Artifacts;
use serde_json::{Value, json};

use crate::harness::{Scene, condition, config_map, delivery, message, ready};

/// Changes the spec of a source, and waits until the change was acted upon.
#[track_caller]
fn declare(scene: &Scene, name: &str, spec: Value) -> Value {
    let api = scene.engine.api();
    api.merge("GitRepository", name, &json!({ "spec": spec })).expect("it answers").granted();
    api.wait("GitRepository", name, "act upon it", |object| {
        object["status"]["observedGeneration"] == object["metadata"]["generation"]
    })
}

/// The paths in the artifact of a source.
fn paths(scene: &Scene, source: &Value) -> String {
    let text = |field: &str| source["status"]["artifact"][field].as_str().expect("it is stored");
    let artifacts = Artifacts::open(&scene.home.data_dir().join("artifacts")).expect("it is there");
    let tree = artifacts.tree(text("path"), text("digest")).expect("the engine stored it");
    tree.files().map(|(path, _)| path.to_owned()).collect::<Vec<_>>().join(" ")
}

#[test]
fn ignored_files_and_folders_that_are_not_selected_do_not_reach_the_artifact() {
    let scene = Scene::new();
    let commit = scene.shop.commit(&[
        ("README.md", "# Shop"),
        ("docs/how.md", "How"),
        ("deploy/kept.yaml", &config_map("shop-kept", "good")),
        ("deploy/draft.yaml", &config_map("draft", "good")),
        ("logo.png", "p"),
    ]);
    scene.converges("shop", &commit);
    let api = scene.engine.api();
    let source = api.get("GitRepository", "shop").unwrap();
    let all = "README.md deploy/draft.yaml deploy/kept.yaml deploy/shop.yaml docs/how.md";
    assert_eq!(paths(&scene, &source), all);
    assert!(api.get("ConfigMap", "draft").is_some());

    // The same commit with less of it: another artifact, and what is gone from it is pruned.
    let source = declare(&scene, "shop", json!({"ignore": "*.md\ndraft.yaml\n*.png"}));
    assert_eq!(ready(&source), "True", "{source:#}");
    assert_eq!(paths(&scene, &source), "deploy/kept.yaml deploy/shop.yaml");
    assert_eq!(source["status"]["observedIgnore"], "*.md\ndraft.yaml\n*.png");
    api.wait_gone("ConfigMap", "draft");
    scene.converges("shop", &commit);
    assert!(api.get("ConfigMap", "shop-kept").is_some());

    // And back: nothing about this breaks a promise of the repository.
    let source = declare(&scene, "shop", json!({"ignore": null, "sparseCheckout": ["deploy"]}));
    assert_eq!(paths(&scene, &source), "deploy/draft.yaml deploy/kept.yaml deploy/shop.yaml");
    assert_eq!(source["status"].get("observedIgnore"), None);
    assert_eq!(source["status"]["observedSparseCheckout"], json!(["deploy"]));
    assert_eq!(condition(&source, "GitSemantics")["reason"], "HistoryKept");
    api.wait("ConfigMap", "draft", "come back", |_| true);
    let source = declare(&scene, "shop", json!({"sparseCheckout": null}));
    assert_eq!(paths(&scene, &source), all);

    // Once all is said nothing is written any more.
    let before = api.get("GitRepository", "shop").unwrap();
    api.hurry("GitRepository", "shop");
    let after = api.wait("GitRepository", "shop", "look", |object| {
        object["status"]["lastHandledReconcileAt"]
            == object["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"]
    });
    assert_eq!(before["status"]["artifact"], after["status"]["artifact"]);
    scene.neighbour_goes_on();
    let (status, _) = scene.engine.stop();
    assert!(status.success());
    assert_eq!(scene.home.verify_offline().code, 0);
}

#[test]
fn what_cannot_be_selected_is_refused_on_its_own() {
    let scene = Scene::new();
    for (spec, reason, words) in [
        (json!({"sparseCheckout": ["../x"]}), "InvalidPath", "it has a . or .. part"),
        (json!({"sparseCheckout": ["/etc"]}), "InvalidPath", "it is absolute"),
        (
            json!({"ignore": "a\n".repeat(5000)}),
            "SourceIgnoreError",
            "more than 4096 ignore patterns",
        ),
        (json!({"ignore": "#\n".repeat(40_000)}), "SourceIgnoreError", "over the limit of 65536"),
    ] {
        let nothing = json!({"sparseCheckout": null, "ignore": null});
        declare(&scene, "shop", nothing);
        let source = declare(&scene, "shop", spec);
        assert_eq!(condition(&source, "Stalled")["reason"], reason, "{source:#}");
        assert!(message(&source).contains(words), "{}", message(&source));
    }
    scene.last_good_stays();
    let folder = json!({"spec": {"sparseCheckout": ["deploy", "no"], "ignore": null}});
    scene.engine.api().merge("GitRepository", "shop", &folder).expect("it answers").granted();
    let said = scene.refused("GitRepository", "shop", "folder no of spec.sparseCheckout");
    assert_eq!(
        said,
        "folder no of spec.sparseCheckout does not exist in file:///SHOP (name folders that every \
         followed version has)"
    );
    scene.last_good_stays();
    declare(&scene, "shop", json!({"sparseCheckout": null}));
    scene.mends();
}

#[test]
fn an_object_moves_between_deliveries_when_only_the_selection_changes() {
    let scene = Scene::new();
    let api = scene.engine.api();
    scene.shop.commit(&[("deploy/moved.yaml", &config_map("moved", "good"))]);
    let commit = scene.shop.commit(&[
        ("other/moved.yaml", &config_map("moved", "good")),
        ("other/one.yaml", &config_map("one", "good")),
    ]);
    declare(&scene, "shop", json!({"ignore": "/other/moved.yaml"}));
    api.apply(&delivery("other", "shop", "./other"));
    scene.converges("shop", &commit);
    scene.converges("other", &commit);
    let before = api.get("ConfigMap", "moved").expect("it is delivered");
    declare(&scene, "shop", json!({"ignore": "/deploy/moved.yaml"}));
    let moved = api.wait("ConfigMap", "moved", "move", |object| {
        object["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] == "other"
    });
    assert_eq!(moved["metadata"]["uid"], before["metadata"]["uid"], "it was never deleted");
}
