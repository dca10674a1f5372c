//! A disk that is full: writes are refused with the reason, reads go on, and when there is space
//! again the engine goes on by itself.

use serde_json::json;

use crate::harness::{Scene, config_map, wait};

#[test]
fn a_full_disk_stops_writes_only_and_is_recovered_from() {
    let mut scene = Scene::new();
    scene.engine.limit_files(Some(1));
    let object = |name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"text": "x"}})
    };
    let api = scene.engine.api().clone();
    let answer = api.create(&object("refused")).expect("the server answers");
    assert_eq!(answer.code, 507, "{answer:?}");
    let said = answer.json();
    assert_eq!(said["kind"], "Status");
    let message = said["message"].as_str().unwrap_or_default();
    assert!(message.contains("space"), "{message}");
    // Reading goes on, and nobody is told that what was refused is there.
    assert!(api.get("ConfigMap", "refused").is_none());
    assert!(api.get("ConfigMap", "shop").is_some());
    assert_eq!(api.read("/readyz").code, 200);
    scene.home.run_for(0, &["get", "all"]);

    // What cannot be recorded is not delivered.
    let commit = scene.shop.commit(&[("deploy/shop.yaml", &config_map("shop", "next"))]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(api.get("ConfigMap", "shop").unwrap()["data"]["state"], "good");
    let again = api.create(&object("refused")).expect("the server answers");
    assert_eq!(again.code, 507, "{again:?}");
    assert!(scene.engine.is_alive(), "{}", scene.engine.logs());

    scene.engine.limit_files(None);
    wait("a write to be granted", || {
        let answer = api.create(&object("granted")).expect("the server answers");
        (answer.code == 201).then_some(())
    });
    scene.converges("shop", &commit);
    scene.neighbour_goes_on();
    scene.home.run_for(0, &["ledger", "verify"]);
    let Scene { engine, home, shop: _shop, neighbour: _neighbour } = scene;
    let (status, logs) = engine.stop();
    assert!(status.success(), "{logs}");
    assert!(!logs.contains("panicked"), "{logs}");
    assert_eq!(home.verify_offline().code, 0);

    // What was granted is on the disk, what was refused is not.
    let engine = home.up();
    assert!(engine.api().get("ConfigMap", "granted").is_some());
    assert!(engine.api().get("ConfigMap", "refused").is_none());
}

#[test]
fn an_engine_that_starts_on_a_full_disk_says_so() {
    let home = crate::harness::Home::new();
    home.up().stop();
    let mut command = std::process::Command::new("sh");
    let mut up = home.up_command(&[]);
    // `ulimit -f 0`: no file may grow from now on.
    command.arg("-c").arg("ulimit -f 0; exec \"$0\" \"$@\"").arg(up.get_program());
    command.args(up.get_args()).current_dir(home.path()).env_clear();
    for (key, value) in up.get_envs() {
        command.envs(value.map(|value| (key, value)));
    }
    up.stdin(std::process::Stdio::null());
    let mut engine = home.spawn(command);
    // It may refuse to start, with the reason; it must not damage what is there.
    let ended = wait("the engine to end or to be ready", || {
        let ready = engine.printed().contains("ready:").then_some(true);
        ready.or_else(|| (!engine.is_alive()).then_some(false))
    });
    if ended {
        engine.kill();
    } else {
        let status = engine.ended();
        let logs = engine.kill();
        assert_eq!(status.code(), Some(1), "{logs}");
        assert!(logs.contains("error: "), "{logs}");
    }
    home.up().stop();
    assert_eq!(home.verify_offline().code, 0);
}
