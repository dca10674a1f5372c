//! What of a version reaches the artifact, from a commit to the objects.

use fixpoint_driver_store::Artifacts;
use fixpoint_fixture::{Repo, git_program};
use serde_json::{Value, json};

use crate::harness::{Scene, condition, config_map, delivery, message, ready, source};

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

/// Waits until a source has an artifact of these paths.
#[track_caller]
fn holds(scene: &Scene, name: &str, expected: &str) -> Value {
    scene.engine.api().wait("GitRepository", name, &format!("hold {expected}"), |object| {
        ready(object) == "True" && paths(scene, object) == expected
    })
}

#[test]
fn what_another_source_holds_is_copied_in_and_followed() {
    let scene = Scene::new();
    let api = scene.engine.api();
    let lib = Repo::new();
    let home_of_lib = scene.neighbour.root().join("lib");
    std::fs::rename(lib.path(), &home_of_lib).expect("one file system");
    let commit = |state: &str| {
        std::fs::write(home_of_lib.join("base/lib.yaml"), config_map("lib", state)).expect("there");
        for args in [&["add", "."][..], &["commit", "-qm", state]] {
            let done = git_program()
                .current_dir(&home_of_lib)
                .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org"])
                .args(args)
                .status();
            assert!(done.expect("git runs").success());
        }
    };
    std::fs::create_dir(home_of_lib.join("base")).expect("there");
    std::fs::write(home_of_lib.join("README.md"), "lib").expect("there");
    commit("one");
    let shop = scene.shop.head();

    // Not there yet: said, and nothing is lost meanwhile.
    let include =
        json!([{"repository": {"name": "lib"}, "fromPath": "base", "toPath": "deploy/lib"}]);
    let spec = json!({"spec": {"include": include}});
    api.merge("GitRepository", "shop", &spec).expect("it answers").granted();
    let said = scene.refused("GitRepository", "shop", "could not get resource for include 'lib'");
    assert_eq!(said, "could not get resource for include 'lib': it does not exist");
    let object = api.get("GitRepository", "shop").unwrap();
    assert_eq!(condition(&object, "IncludeUnavailable")["reason"], "NotFound");
    scene.last_good_stays();

    api.apply(&source("lib", &format!("file://{}", home_of_lib.display())));
    let all = "deploy/kept.yaml deploy/lib/lib.yaml deploy/shop.yaml";
    let object = holds(&scene, "shop", all);
    assert_eq!(condition(&object, "IncludeUnavailable"), &Value::Null);
    assert_eq!(object["status"]["observedInclude"], include);
    let included = |object: &Value| object["status"]["includedArtifacts"][0]["digest"].clone();
    let of_lib =
        || api.get("GitRepository", "lib").unwrap()["status"]["artifact"]["digest"].clone();
    assert_eq!(included(&object), of_lib());
    api.wait("ConfigMap", "lib", "come", |object| object["data"]["state"] == "one");
    scene.converges("shop", &shop);

    // The included source moves on: another artifact of the same revision, delivered at once.
    let before = api.get("GitRepository", "shop").unwrap()["status"]["artifact"].clone();
    commit("two");
    api.hurry("GitRepository", "lib");
    api.wait("ConfigMap", "lib", "follow", |object| object["data"]["state"] == "two");
    let after = api.wait("GitRepository", "shop", "follow", |object| included(object) == of_lib());
    assert_eq!(after["status"]["artifact"]["revision"], before["revision"]);
    assert_ne!(after["status"]["artifact"]["digest"], before["digest"]);

    // What is no longer included is pruned.
    declare(&scene, "shop", json!({"include": null}));
    holds(&scene, "shop", "deploy/kept.yaml deploy/shop.yaml");
    api.wait_gone("ConfigMap", "lib");
    scene.last_good_stays();
    let (status, _) = scene.engine.stop();
    assert!(status.success());
    let verified = scene.home.verify_offline();
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[test]
fn includes_that_cannot_be_are_refused_on_their_own() {
    let scene = Scene::new();
    let api = scene.engine.api();
    let include = |name: &str, from: &str, to: &str| json!({"include": [{"repository": {"name": name}, "fromPath": from, "toPath": to}]});
    for (from, to, words) in [
        ("../x", "x", "bad fromPath"),
        ("", "a/../../x", "bad toPath"),
        ("", ".git", "it names a Git directory"),
    ] {
        let source = declare(&scene, "shop", include("neighbour", from, to));
        assert_eq!(condition(&source, "Stalled")["reason"], "InvalidPath", "{source:#}");
        assert!(message(&source).contains(words), "{}", message(&source));
    }
    for (from, to, words) in [
        ("", "deploy", "neighbour cannot be copied to \"deploy\": \"deploy/kept.yaml\" is there"),
        ("no", "x", "there is no \"no\" in neighbour"),
    ] {
        let spec = json!({"spec": include("neighbour", from, to)});
        api.merge("GitRepository", "shop", &spec).expect("it answers").granted();
        scene.refused("GitRepository", "shop", words);
        let source = api.get("GitRepository", "shop").unwrap();
        assert_eq!(condition(&source, "Ready")["reason"], "CopyFailure");
        assert_eq!(condition(&source, "StorageOperationFailed")["status"], "True");
        assert_eq!(condition(&source, "FetchFailed"), &Value::Null);
    }
    scene.last_good_stays();

    // Two that include each other: both say so, and both mend when one lets go.
    let spec = json!({"spec": include("neighbour", "deploy", "x")});
    api.merge("GitRepository", "shop", &spec).expect("it answers").granted();
    let all = "deploy/kept.yaml deploy/shop.yaml x/neighbour.yaml x/secret.yaml";
    let source = holds(&scene, "shop", all);
    assert_eq!(condition(&source, "StorageOperationFailed"), &Value::Null);
    let spec = json!({"spec": include("shop", "deploy", "x")});
    api.merge("GitRepository", "neighbour", &spec).expect("it answers").granted();
    let circle = "the includes go round in a circle";
    scene.refused("GitRepository", "neighbour", circle);
    api.hurry("GitRepository", "shop");
    let said = scene.refused("GitRepository", "shop", circle);
    assert_eq!(said, format!("{circle}: default/shop → default/neighbour → default/shop"));
    let spec = json!({"spec": include("shop", "deploy", "shop")});
    api.merge("GitRepository", "shop", &spec).expect("it answers").granted();
    assert_eq!(
        scene.refused("GitRepository", "shop", "circle: default/shop → default/shop"),
        format!("{circle}: default/shop → default/shop")
    );
    declare(&scene, "shop", json!({"include": null}));
    holds(&scene, "neighbour", "deploy/neighbour.yaml deploy/secret.yaml x/kept.yaml x/shop.yaml");
    scene.mends();
}
