//! How the engine serves, stops, and goes on.

use serde_json::Value;

use crate::harness::{Api, Home, Scene, config_map, ready, wait};

/// Watches over other clusters are connections of their own.
#[test]
fn as_many_files_as_the_hard_limit_allows_may_be_open() {
    let home = Home::new();
    let up = home.up_command(&[]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -Sn 300; ulimit -Hn 900; exec \"$0\" \"$@\""]);
    shell.arg(up.get_program()).args(up.get_args()).env_clear();
    shell.envs(up.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut engine = home.spawn(shell);
    engine.wait_ready();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", engine.pid()));
    // Where the system does not say, starting was all that could be seen.
    let Ok(limits) = limits else { return };
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    assert!(line.split_whitespace().filter(|word| *word == "900").count() == 2, "{line}");
}

#[test]
fn nothing_but_health_is_for_strangers() {
    let home = Home::new();
    let engine = home.up();
    let stranger = Api::anonymous(&home.data_dir().join("kubeconfig"));
    for path in ["/healthz", "/livez", "/readyz", "/readyz?verbose"] {
        let answer = stranger.read(path);
        assert_eq!(answer.code, 200, "{path}: {answer:?}");
    }
    for path in [
        "/",
        "/api",
        "/apis",
        "/version",
        "/openapi/v3",
        "/openapi/v2",
        "/metrics",
        "/api/v1/namespaces/default/secrets",
        "/api/v1/namespaces",
        "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations",
        "/fixpoint/v1/ledger/entries",
        "/fixpoint/v1/ledger/verify",
        "/fixpoint/v1/why/kustomizations/default/shop",
        "/artifacts/gitrepository/default/shop/x.tar.gz",
        "/fixpoint",
        "/artifacts",
        "//api/v1/namespaces",
        "/no/such/thing",
    ] {
        let answer = stranger.read(path);
        assert_eq!(answer.code, 401, "{path}: {answer:?}");
        assert!(!answer.text.contains("kube-system"), "{path}: {answer:?}");
    }
    let answer = stranger.read("/healthz/../api/v1/namespaces");
    assert!(answer.code == 401 || answer.text == "ok", "{answer:?}");
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let path = "/api/v1/namespaces/default/configmaps/x";
        let answer = stranger.send(method, path, "application/json", "{}".to_owned()).unwrap();
        assert_eq!(answer.code, 401, "{method}: {answer:?}");
        let answer = stranger.send(method, "/healthz", "text/plain", String::new()).unwrap();
        assert_eq!(answer.code, 401, "{method}: {answer:?}");
    }
    let metrics = engine.api().read("/metrics");
    assert_eq!(metrics.code, 200);
    assert!(metrics.text.contains("fixpoint_reconciles_total{kind=\"GitRepository\"}"));
}

#[test]
fn credentials_of_another_installation_are_worth_nothing() {
    let (ours, theirs) = (Home::new(), Home::new());
    let (engine, other) = (ours.up(), theirs.up());
    let kubeconfig = theirs.data_dir().join("kubeconfig");
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let moved = theirs.path().join("moved");
    std::fs::write(&moved, text.replace(&other.address(), &engine.address())).unwrap();
    let said = theirs.run_for(1, &["get", "all", "--kubeconfig", moved.to_str().unwrap()]);
    assert!(said.err.starts_with("error: could not reach the engine"), "{said:#?}");
    assert!(said.err.contains("certificate"), "{said:#?}");
}

#[test]
fn a_stop_lets_what_runs_finish_and_exits_0() {
    let scene = Scene::new();
    let commit = scene.shop.commit(&[("deploy/shop.yaml", &config_map("shop", "next"))]);
    let Scene { engine, home, shop: _shop, neighbour: _neighbour } = scene;
    // A watch that somebody left open must not keep the engine up.
    let watcher = engine.api().clone();
    let watching = std::thread::spawn(move || {
        watcher.send("GET", "/api/v1/namespaces?watch=true", "application/json", String::new())
    });
    wait("the watch to be counted", || {
        let metrics = engine.api().read("/metrics").text;
        metrics.contains("apiserver_registered_watchers{resource=\"namespaces\"} 1").then_some(())
    });
    let (status, logs) = engine.stop();
    assert_eq!(status.code(), Some(0), "{logs}");
    assert!(!logs.contains("panicked"), "{logs}");
    let watched = watching.join().unwrap().unwrap();
    assert!(watched.text.contains("kube-system"), "{watched:?}");
    let verified = home.verify_offline();
    assert_eq!(verified.code, 0, "{verified:#?}");
    assert!(!verified.out.contains("open"), "{verified:#?}");

    let engine = home.up();
    engine.api().wait("Kustomization", "shop", "catch up", |delivery| {
        let revision = delivery["status"]["lastAppliedRevision"].as_str().unwrap_or_default();
        ready(delivery) == "True" && revision.ends_with(&commit)
    });
}

#[test]
fn a_restart_goes_on_where_it_was_and_does_nothing_again() {
    let scene = Scene::new();
    let kinds = [
        ("GitRepository", "shop"),
        ("Kustomization", "shop"),
        ("Kustomization", "neighbour"),
        ("ConfigMap", "shop"),
        ("ConfigMap", "shop-kept"),
        ("ConfigMap", "neighbour"),
    ];
    let identities = |api: &Api| -> Vec<Value> {
        let read = |(kind, name): &(&str, &str)| {
            let object = api.get(kind, name).unwrap_or_else(|| panic!("{kind}/{name} is gone"));
            serde_json::json!([object["metadata"]["uid"], object["metadata"]["resourceVersion"]])
        };
        kinds.iter().map(read).collect()
    };
    let settled = |home: &Home| {
        for name in ["ks/shop", "ks/neighbour", "source/shop", "source/neighbour"] {
            wait(&format!("{name} to settle"), || {
                (home.run(&["why", name]).code == 0).then_some(())
            });
        }
    };
    settled(&scene.home);
    let before = identities(scene.engine.api());
    let log = |home: &Home| home.run_for(0, &["ledger", "log", "-o", "json"]).json();
    let entries = log(&scene.home);
    let Scene { engine, home, shop, neighbour: _neighbour } = scene;
    let (status, _logs) = engine.stop();
    assert!(status.success());

    let engine = home.up();
    settled(&home);
    // Looking again on request finds nothing to do either.
    home.run_for(0, &["reconcile", "ks/shop", "--with-source"]);
    let after = log(&home);
    let old = entries.as_array().unwrap();
    let (same, new) = after.as_array().unwrap().split_at(old.len());
    assert_eq!(same, old, "the ledger is the same log");
    let kinds: Vec<&str> = new.iter().filter_map(|entry| entry["kind"].as_str()).collect();
    let acted = ["observe", "prune", "violation", "ack"];
    assert!(!kinds.iter().any(|kind| acted.contains(kind)), "{new:#?}");
    // What was applied before is not remembered, so it is compared once more; nothing changes.
    for outcome in new.iter().filter(|entry| entry["kind"] == "outcome") {
        let changed = ["created", "configured", "deleted", "failed"].map(|word| &outcome[word]);
        assert!(changed.iter().all(|count| count.as_u64() == Some(0)), "{outcome:#}");
    }
    let now = identities(engine.api());
    for (index, (old, new)) in before.iter().zip(&now).enumerate() {
        assert_eq!(old[0], new[0], "uid of {index}");
        if index > 2 {
            assert_eq!(old[1], new[1], "what was delivered is not written again: {index}");
        }
    }
    let commit = shop.commit(&[("deploy/shop.yaml", &config_map("shop", "later"))]);
    engine.api().wait("Kustomization", "shop", "go on", |delivery| {
        delivery["status"]["lastAppliedRevision"].as_str().unwrap_or_default().ends_with(&commit)
    });
}
