//! Rows G1 to G4 of the negative suite: secrets show nowhere they were not put.

use fixpoint_fixture::{Canary, HttpBackend};
use serde_json::json;

use crate::harness::{Home, Scene, delivery, ready, source, wait};

/// Everything about the engine that others may read, but for the Secrets and specs themselves.
fn told(scene: &Scene) -> Vec<(&'static str, String)> {
    let api = scene.engine.api();
    let status = |kind: &str, name: &str| {
        api.get(kind, name).map(|object| object["status"].to_string()).unwrap_or_default()
    };
    vec![
        ("log", scene.engine.logs()),
        ("stdout", scene.engine.printed()),
        ("events", api.read("/api/v1/namespaces/default/events").text),
        ("metrics", api.read("/metrics").text),
        ("source status", status("GitRepository", "shop")),
        ("delivery status", status("Kustomization", "shop")),
        ("get", scene.home.run(&["get", "all"]).out),
        ("why source", format!("{:?}", scene.home.run(&["why", "source/shop", "-o", "json"]))),
        ("why delivery", format!("{:?}", scene.home.run(&["why", "ks/shop", "-o", "json"]))),
        ("plan", format!("{:?}", scene.home.run(&["plan", "ks/shop"]))),
        ("plan json", format!("{:?}", scene.home.run(&["plan", "ks/shop", "-o", "json"]))),
        ("ledger", scene.home.run(&["ledger", "log", "-o", "json"]).out),
    ]
}

#[track_caller]
fn shows_nowhere(scene: &Scene, canary: &Canary) {
    for (place, text) in told(scene) {
        let found = canary.scan_bytes(text.as_bytes());
        assert!(found.is_empty(), "{place} shows the secret as {found:?}");
    }
    for folder in ["ledger", "blobs"] {
        let path = scene.home.data_dir().join(folder);
        let found = if path.exists() { canary.scan(&path) } else { Vec::new() };
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn g1_url_userinfo_queries_headers_and_kubeconfigs_are_never_repeated() {
    let scene = Scene::at(Home::new().trace());
    let api = scene.engine.api();
    let canary = Canary::new();
    let secret = canary.secret();
    let encoded = secret.replace('+', "%2B");
    for url in [
        format!("https://user:{encoded}@127.0.0.1:9/app"),
        format!("https://{encoded}@127.0.0.1:9/app"),
        format!("https://127.0.0.1:9/app?sig={encoded}"),
        format!("https://user:{secret}#@127.0.0.1:9/app"),
        format!("https://user:{secret}/@127.0.0.1:9/app"),
        format!("ssh://user:{secret}@127.0.0.1/app"),
    ] {
        api.apply(&source("shop", &url));
        api.wait("GitRepository", "shop", "refuse", |object| {
            ready(object) == "False"
                && object["status"]["observedGeneration"] == object["metadata"]["generation"]
        });
        scene.last_good_stays();
        shows_nowhere(&scene, &canary);
    }
    // A redirect to a URL with credentials is not followed with them, nor repeated.
    let server = HttpBackend::start(scene.shop.root());
    let elsewhere = format!("http://user:{encoded}@127.0.0.1:9/app?sig={encoded}");
    server.fail("repo", fixpoint_fixture::Fault::RedirectTo(elsewhere));
    api.apply(&source("shop", &server.url("repo")));
    scene.refused("GitRepository", "shop", "");
    shows_nowhere(&scene, &canary);
    // Nor what a server says that repeats what it was told.
    server.heal();
    server.fail("repo", fixpoint_fixture::Fault::Page(format!("your token is {secret}")));
    api.hurry("GitRepository", "shop");
    scene.refused("GitRepository", "shop", "127.0.0.1");
    shows_nowhere(&scene, &canary);

    let kubeconfig = scene.home.path().join("broken");
    let text = std::fs::read_to_string(scene.home.data_dir().join("kubeconfig")).unwrap();
    let address = scene.engine.address();
    let with_token = format!("{}\n", text.replace(&address, "127.0.0.1:9"));
    std::fs::write(
        &kubeconfig,
        with_token.replace("name: fixpoint", &format!("name: fixpoint # {secret}")),
    )
    .unwrap();
    for args in [&["get", "all"][..], &["why", "ks/shop"], &["ledger", "log"]] {
        let output = scene
            .home
            .command(args)
            .env("KUBECONFIG", &kubeconfig)
            .env("FIXPOINT_LOG", "trace")
            .env("GIT_PASSWORD", secret)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(canary.scan_bytes(&output.stderr).is_empty(), "{args:?}");
        assert!(canary.scan_bytes(&output.stdout).is_empty(), "{args:?}");
    }
}

#[test]
fn g2_an_invalid_secret_is_refused_without_its_value() {
    let scene = Scene::at(Home::new().trace());
    let canary = Canary::new();
    let secret = canary.secret();
    let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: default}\n";
    for body in [
        // Not base64, not text, not a map, a wrong type, an unknown field.
        format!("data: {{password: '{secret}!'}}\n"),
        format!("stringData: {{password: [{secret}]}}\n"),
        format!("data: [{secret}]\n"),
        format!("type: [{secret}]\nstringData: {{password: x}}\n"),
        format!("stringData: {{password: x}}\nunknown: {secret}\n"),
        format!(
            "type: kubernetes.io/dockerconfigjson\nstringData: {{.dockerconfigjson: '{{\"{secret}'}}\n"
        ),
    ] {
        let commit = scene.shop.commit(&[("deploy/secret.yaml", &format!("{head}{body}"))]);
        scene.engine.api().wait("Kustomization", "shop", "look at the commit", |object| {
            let tried = object["status"]["lastAttemptedRevision"].as_str().unwrap_or_default();
            tried.ends_with(&commit)
        });
        scene.last_good_stays();
        shows_nowhere(&scene, &canary);
    }
    // A Secret that cannot be changed, and one that is not valid YAML.
    let head = head.replace("name: s,", "name: fixed,");
    let fixed = format!("{head}immutable: true\nstringData: {{password: one}}\n");
    let commit = scene.shop.commit(&[("deploy/secret.yaml", &fixed)]);
    scene.converges("shop", &commit);
    scene.shop.commit(&[("deploy/secret.yaml", &fixed.replace("one", secret))]);
    scene.refused("Kustomization", "shop", "Secret/default/fixed");
    shows_nowhere(&scene, &canary);
    let broken = format!("{head}stringData:\n  password: {secret}: [{secret}\n");
    scene.shop.commit(&[("deploy/secret.yaml", &broken)]);
    scene.refused("Kustomization", "shop", "secret.yaml");
    shows_nowhere(&scene, &canary);
    // The API answers its own clients likewise.
    let bad = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "direct"},
        "data": {"password": format!("{secret}!")}});
    let answer = scene.engine.api().create(&bad).unwrap();
    assert!((400..500).contains(&answer.code), "{}", answer.code);
    assert!(canary.scan_bytes(answer.text.as_bytes()).is_empty());
}

#[test]
fn g3_status_plans_and_ledger_hold_no_values_of_secrets() {
    let scene = Scene::at(Home::new().trace());
    let (old, new, own) = (Canary::new(), Canary::new(), Canary::new());
    let secret = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: default}}\n\
             stringData: {{password: '{value}'}}\n"
        )
    };
    let commit = scene.shop.commit(&[("deploy/secret.yaml", &secret(old.secret()))]);
    scene.converges("shop", &commit);
    // A plan that changes a Secret says that it changes, not to what.
    scene.home.run_for(0, &["suspend", "ks/shop"]);
    scene.shop.commit(&[("deploy/secret.yaml", &secret(new.secret()))]);
    scene.home.run_for(0, &["reconcile", "source/shop"]);
    let plan = scene.home.run_for(2, &["plan", "ks/shop"]);
    assert!(plan.out.contains("Secret"), "{plan:#?}");
    // Drift by hand, too.
    let patch = json!({"stringData": {"password": own.secret()}});
    scene.engine.api().merge("Secret", "s", &patch).unwrap().granted();
    let plan = scene.home.run_for(2, &["plan", "ks/shop", "-o", "json"]);
    assert!(plan.out.contains("Secret"), "{plan:#?}");
    for canary in [&old, &new, &own] {
        shows_nowhere(&scene, canary);
    }
    scene.home.run_for(0, &["resume", "ks/shop"]);
    scene.converges("shop", &scene.shop.head());
    // The changed value is live, and the hand's own is gone.
    wait("the Secret to be as declared", || {
        let live = scene.engine.api().get("Secret", "s")?.to_string();
        (!new.scan_bytes(live.as_bytes()).is_empty()).then_some(())
    });
    for canary in [&old, &new, &own] {
        shows_nowhere(&scene, canary);
    }
}

#[test]
fn g4_encrypted_secrets_and_plugins_are_refused_not_guessed_at() {
    let scene = Scene::new();
    let api = scene.engine.api();
    // Decryption is declared and not there yet: nothing is applied, encrypted or otherwise.
    let declared = format!(
        "{}  decryption:\n    provider: sops\n    secretRef:\n      name: keys\n",
        delivery("shop", "shop", "./deploy")
    );
    api.apply(&declared);
    let text = scene.refused("Kustomization", "shop", "spec.decryption");
    assert!(text.contains("not supported"), "{text}");
    scene.last_good_stays();
    api.apply(&delivery("shop", "shop", "./deploy"));
    scene.mends();

    // An encrypted file that nobody decrypts must not become a Secret of cipher text.
    let encrypted = "apiVersion: v1\nkind: Secret\nmetadata: {name: enc, namespace: default}\n\
        data: {password: 'ENC[AES256_GCM,data:p673w==,iv:YY=,aad:UQ=,tag:A=]'}\n\
        sops: {mac: 'ENC[AES256_GCM,data:x,iv:y,aad:,tag:z,type:str]', version: 3.9.0}\n";
    scene.shop.commit(&[("deploy/enc.yaml", encrypted)]);
    scene.refused("Kustomization", "shop", "Secret/default/enc");
    assert!(api.get("Secret", "enc").is_none());
    scene.shop.remove("deploy/enc.yaml");
    scene.mends();

    // Plugins are programs; their names are paths. None is run or read.
    let marker = scene.home.path().join("ran");
    let program = format!("#!/bin/sh\ntouch {}\n", marker.display());
    for kustomization in [
        "generators: [plugin.yaml]\nresources: [shop.yaml, kept.yaml]\n",
        "transformers: [plugin.yaml]\nresources: [shop.yaml, kept.yaml]\n",
        "validators: [plugin.yaml]\nresources: [shop.yaml, kept.yaml]\n",
        "helmCharts: [{name: ../../x, repo: 'https://example.org'}]\n",
    ] {
        let plugin = "apiVersion: someteam.example.org/v1\nkind: ../../../plugin\n\
            metadata:\n  name: p\n  annotations:\n    config.kubernetes.io/function: |\n\
            \x20     exec: {path: ./plugin.sh}\n";
        scene.shop.write(&[
            ("deploy/kustomization.yaml", kustomization),
            ("deploy/plugin.yaml", plugin),
            ("deploy/plugin.sh", &program),
        ]);
        scene.shop.make_executable("deploy/plugin.sh");
        scene.shop.commit_as("plugins");
        let field = kustomization.split(':').next().unwrap();
        scene.refused("Kustomization", "shop", field);
    }
    scene.neighbour_goes_on();
    assert!(!marker.exists(), "a program of the repository was run");
    assert_eq!(api.get("ConfigMap", "shop").unwrap()["data"]["state"], "mended");
}
