//! Ends by force at moments that nobody chose: what was acknowledged is there afterwards, the
//! engine converges by itself, and the ledger can be proved.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use fixpoint_fixture::Repo;
use serde_json::{Value, json};

use crate::harness::{Api, Home, config_map, delivery, random, ready, source};

/// How often the engine is killed.
const KILLS: u64 = 20;

/// What clients were told is kept.
#[derive(Default)]
struct Promised {
    /// Objects whose creation was answered with 201.
    created: Vec<String>,
    /// Objects whose deletion was answered with 200.
    deleted: Vec<String>,
    /// The last value of the counter that was answered for.
    counter: u64,
    /// Values were tried up to here; whether the last one came through is not known.
    tried: u64,
}

#[test]
fn kill_9_at_twenty_moments_loses_nothing_that_was_acknowledged() {
    let seed = std::env::var("FIXPOINT_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) * 2_654_435_761);
    // Shown when the test fails: the same seed gives the same moments.
    println!("FIXPOINT_TEST_SEED={seed}");
    let mut random = random(seed);
    let repo = Repo::new();
    repo.commit(&[("deploy/a.yaml", &config_map("a", "first"))]);
    let home = Home::new().allow(repo.root());
    let mut promised = Promised::default();
    {
        let engine = home.up();
        engine.api().apply(&source("app", &repo.url()));
        engine.api().apply(&delivery("app", "app", "./deploy"));
        engine.api().apply(&config_map("counter", "x"));
        converges(engine.api(), &repo.head());
        engine.kill();
    }
    for round in 0..KILLS {
        if random(4) == 0 {
            // Also while it starts, when nobody can have been told anything.
            let starting = home.spawn(home.up_command(&[]));
            sleep(Duration::from_millis(random(400)));
            starting.kill();
        }
        let engine = home.up();
        check(engine.api(), &mut promised, round);
        let moment = Duration::from_millis(random(350));
        let over = AtomicBool::new(false);
        let api = engine.api().clone();
        std::thread::scope(|scope| {
            let clients = scope.spawn(|| edit(&api, &mut promised, round, &over));
            scope.spawn(|| commit(&repo, round, &over));
            sleep(moment);
            engine.kill();
            over.store(true, Ordering::SeqCst);
            clients.join().expect("a client that loses its connection stops");
        });
        let said = home.verify_offline();
        assert_eq!(said.code, 0, "round {round}: {said:#?}");
    }
    let engine = home.up();
    check(engine.api(), &mut promised, KILLS);
    converges(engine.api(), &repo.head());
    let expected = repo.git(&["show", "HEAD:deploy/a.yaml"]);
    let live = engine.api().get("ConfigMap", "a").expect("it is delivered");
    assert!(expected.contains(live["data"]["state"].as_str().expect("a value")), "{live:#}");
    let said = home.run_for(0, &["ledger", "verify", "-o", "json"]).json();
    assert_eq!(said["problems"], json!([]));
    assert!(promised.created.len() > KILLS as usize, "{} objects", promised.created.len());
    // The second run does nothing.
    let before = said["root"].clone();
    home.run_for(0, &["reconcile", "ks/app", "--with-source"]);
    let after = home.run_for(0, &["ledger", "verify", "-o", "json"]).json();
    assert_eq!(before, after["root"], "{after:#}");
}

fn converges(api: &Api, commit: &str) {
    api.wait("Kustomization", "app", "converge", |delivery| {
        let revision = delivery["status"]["lastAppliedRevision"].as_str().unwrap_or_default();
        ready(delivery) == "True" && revision.ends_with(commit)
    });
}

/// Writes until the engine is gone, and notes what it promised.
fn edit(api: &Api, promised: &mut Promised, round: u64, over: &AtomicBool) {
    for n in 0.. {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("made-{round}-{n}");
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name}, "data": {"text": "x".repeat(100)}});
        match api.create(&object) {
            Ok(answer) if answer.code == 201 => promised.created.push(name.clone()),
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => return,
        }
        promised.tried += 1;
        let patch = json!({"data": {"state": promised.tried.to_string()}});
        match api.merge("ConfigMap", "counter", &patch) {
            Ok(answer) if answer.code == 200 => promised.counter = promised.tried,
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => return,
        }
        if n % 3 == 0 {
            let path = format!("/api/v1/namespaces/default/configmaps/{name}");
            promised.created.retain(|kept| *kept != name);
            match api.send("DELETE", &path, "application/json", String::new()) {
                Ok(answer) if answer.code == 200 => promised.deleted.push(name),
                Ok(answer) => panic!("{answer:?}"),
                // Whether it is there is not known; both are right.
                Err(_) => return,
            }
        }
    }
}

/// Commits until the engine is gone.
fn commit(repo: &Repo, round: u64, over: &AtomicBool) {
    for n in 0.. {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let state = format!("round-{round}-{n}");
        repo.commit(&[("deploy/a.yaml", &config_map("a", &state))]);
        sleep(Duration::from_millis(30));
    }
}

/// What was promised is there.
fn check(api: &Api, promised: &mut Promised, round: u64) {
    let list = api.read("/api/v1/namespaces/default/configmaps").granted();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let find = |name: &str| items.iter().find(|item| item["metadata"]["name"] == name);
    for name in &promised.created {
        assert!(find(name).is_some(), "round {round}: {name} was acknowledged and is gone");
    }
    for name in &promised.deleted {
        assert!(find(name).is_none(), "round {round}: {name} was deleted and is back");
    }
    let counter = find("counter").map(|item| item["data"]["state"].clone());
    let counter: u64 = match counter.as_ref().and_then(Value::as_str) {
        Some("x") => 0,
        Some(text) => text.parse().expect("a number"),
        None => panic!("round {round}: the counter is gone"),
    };
    let may_be = promised.counter..=promised.tried;
    assert!(may_be.contains(&counter), "round {round}: {counter} is not in {may_be:?}");
    promised.counter = counter;
}
