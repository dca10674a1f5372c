//! A second engine's API server as the cluster that deliveries go to: TLS, client certificates and
//! reconnects as they are.

use fixpoint_fixture::Repo;

use crate::harness::{Engine, Home, config_map, delivery, message, ready, source};

/// An engine that delivers, and another one's API server as its target.
struct Pair {
    repo: Repo,
    home: Home,
    engine: Engine,
    there: Home,
    remote: Engine,
}

/// A delivery that goes where a Secret leads.
fn remote_delivery(name: &str, secret: &str) -> String {
    let local = delivery(name, "shop", "./deploy");
    format!("{local}  wait: true\n  kubeConfig:\n    secretRef:\n      name: {secret}\n")
}

/// A Secret with a kubeconfig.
fn secret(name: &str, kubeconfig: &str) -> String {
    let text = serde_json::Value::from(kubeconfig);
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: default\n\
         stringData:\n  value: {text}\n"
    )
}

fn kubeconfig(home: &Home) -> String {
    std::fs::read_to_string(home.data_dir().join("kubeconfig")).expect("the engine wrote it")
}

impl Pair {
    #[track_caller]
    fn new() -> Self {
        let repo = Repo::new();
        repo.commit(&[
            ("deploy/one.yaml", &config_map("one", "first")),
            ("deploy/two.yaml", &config_map("two", "first")),
        ]);
        // Everything that it and its libraries can say: no credential may be in it.
        let home = Home::new().allow(repo.root()).trace();
        let there = Home::new();
        let (engine, remote) = (home.up(), there.up());
        engine.api().apply(&source("shop", &repo.url()));
        engine.api().apply(&secret("prod", &kubeconfig(&there)));
        engine.api().apply(&remote_delivery("app", "prod"));
        let pair = Self { repo, home, engine, there, remote };
        pair.is_ready("app");
        pair
    }

    #[track_caller]
    fn is_ready(&self, name: &str) {
        let head = self.repo.head();
        self.engine.api().wait("Kustomization", name, "converge", |delivery| {
            let revision = delivery["status"]["lastAppliedRevision"].as_str().unwrap_or_default();
            ready(delivery) == "True" && revision.ends_with(&head)
        });
    }

    #[track_caller]
    fn says(&self, name: &str, words: &str) -> String {
        let object =
            self.engine.api().wait("Kustomization", name, &format!("say {words:?}"), |it| {
                ready(it) == "False" && message(it).contains(words)
            });
        message(&object).to_owned()
    }
}

#[test]
fn objects_go_to_the_cluster_are_kept_there_and_leave_it() {
    let pair = Pair::new();
    let (here, there) = (pair.engine.api(), pair.remote.api());
    assert!(here.get("ConfigMap", "one").is_none(), "it is not for home");
    assert_eq!(there.get("ConfigMap", "one").expect("it is there")["data"]["state"], "first");

    let patch = serde_json::json!({"data": {"state": "hacked"}});
    there.merge("ConfigMap", "one", &patch).expect("the server answers").granted();
    there.wait("ConfigMap", "one", "be as it was", |object| object["data"]["state"] == "first");

    let plan = pair.home.run_for(0, &["plan", "kustomization/app"]);
    assert!(plan.out.contains("nothing to do"), "{plan:#?}");
    assert!(plan.out.contains("at cluster/"), "{plan:#?}");
    let get = pair.home.run_for(0, &["get", "kustomizations"]);
    assert!(get.out.contains("Applied revision"), "{get:#?}");
    let why = pair.home.run_for(0, &["why", "kustomization/app"]);
    assert!(why.out.contains("fixpoint"), "{why:#?}");

    pair.repo.remove("deploy/two.yaml");
    pair.repo.commit(&[("deploy/one.yaml", &config_map("one", "second"))]);
    pair.is_ready("app");
    assert!(there.get("ConfigMap", "two").is_none(), "it was pruned");
    assert_eq!(there.get("ConfigMap", "one").expect("it is there")["data"]["state"], "second");

    here.delete("Kustomization", "app");
    here.wait_gone("Kustomization", "app");
    assert!(there.get("ConfigMap", "one").is_none(), "it was taken down");
    let ledger = pair.home.run_for(0, &["ledger", "log"]);
    assert!(ledger.out.contains("meet") && ledger.out.contains("cluster"), "{ledger:#?}");
    pair.home.run_for(0, &["ledger", "verify"]);
}

#[test]
fn another_cluster_behind_the_address_is_let_in_by_an_acknowledgement_only() {
    let pair = Pair::new();
    let Pair { repo, home, engine, there, remote } = pair;
    let address = remote.address();
    remote.stop();
    // Same address, same certificates, so the same kubeconfig; everything else is new.
    std::fs::remove_dir_all(there.data_dir().join("apiserver")).expect("it was there");
    let ledger = there.data_dir().join("ledger");
    if ledger.exists() {
        std::fs::remove_dir_all(ledger).expect("it was there");
    }
    let mut remote = there.spawn(there.command(&["up", "--listen", &address]));
    remote.wait_ready();
    let pair = Pair { repo, home, engine, there, remote };

    pair.engine.api().hurry("Kustomization", "app");
    let said = pair.says("app", "on record");
    assert!(said.contains("[ack "), "{said}");
    assert!(pair.remote.api().get("ConfigMap", "one").is_none(), "nothing was delivered there");
    let why = pair.home.run_for(2, &["why", "kustomization/app"]);
    assert!(why.out.contains("TargetIdentity"), "{why:#?}");

    pair.home.run_for(0, &["ack", "kustomization/app", "--reason", "built anew"]);
    pair.remote.api().wait("ConfigMap", "one", "come", |object| object["data"]["state"] == "first");
    pair.is_ready("app");
    pair.home.run_for(0, &["ledger", "verify"]);
}

#[test]
fn a_cluster_that_is_away_is_waited_for() {
    let pair = Pair::new();
    let Pair { repo, home, engine, there, remote } = pair;
    let address = remote.address();
    remote.stop();
    repo.commit(&[("deploy/one.yaml", &config_map("one", "second"))]);
    let pair = Pair { repo, home, engine, remote: there.up(), there };
    // It listens elsewhere now, and the kubeconfig does not know that yet.
    pair.says("app", "cannot be reached");
    assert!(!kubeconfig(&pair.there).contains(&address));
    pair.engine.api().apply(&secret("prod", &kubeconfig(&pair.there)));
    pair.is_ready("app");
}

#[test]
fn credentials_that_the_cluster_does_not_know_and_certificates_that_we_do_not_know() {
    let pair = Pair::new();
    let good = kubeconfig(&pair.there);
    let line = |text: &str, field: &str| {
        let found = text.lines().find(|line| line.contains(field));
        found.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
    };
    // Another installation's authority: the server is not who it says it is.
    let other = Home::new();
    let stranger = other.up();
    let theirs = kubeconfig(&other);
    stranger.stop();
    let authority = "certificate-authority-data";
    let wrong_ca = good.replace(&line(&good, authority), &line(&theirs, authority));
    assert_ne!(wrong_ca, good);
    pair.engine.api().apply(&secret("ca", &wrong_ca));
    pair.engine.api().apply(&remote_delivery("ca", "ca"));
    pair.says("ca", "certificate");

    let (cert, key) = (line(&good, "client-certificate-data"), line(&good, "client-key-data"));
    let token = good.replace(&cert, "    token: canary-token-of-nobody").replace(&key, "");
    pair.engine.api().apply(&secret("token", &token));
    pair.engine.api().apply(&remote_delivery("token", "token"));
    let said = pair.says("token", "kube-system");
    assert!(!said.contains("canary"), "{said}");
    assert!(!pair.engine.logs().contains("canary-token"), "it is in the log");
}
