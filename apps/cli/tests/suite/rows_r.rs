//! Rows R1, R8, R11 and R13 of the fault catalogue, over real sockets: a target and a Git server
//! that let the engine down. Each case asks whether its fault was really met.

use fixpoint_evil::{Evil, Proxy, Remote, Script};
use fixpoint_fixture::HttpBackend;

use crate::harness::{Rig, Scene, config_map, source};

/// Whether everything is to be tried, or what is quick.
fn is_whole() -> bool {
    std::env::var("FIXPOINT_SWEEP").is_ok_and(|scope| scope == "whole")
}

/// Plays each fault during a new version, and waits until that has come all the same.
#[track_caller]
fn each(rig: &Rig, rules: &[&str]) {
    for (round, rule) in rules.iter().enumerate() {
        println!("{rule}");
        rig.fault(rule);
        let state = format!("round-{round}");
        let commit = rig.commit(&state, &["a", "b", "c"]);
        rig.converges(&commit);
        rig.played();
        assert_eq!(rig.states(), format!("{state} {state} {state}"), "{rule}");
    }
}

#[test]
fn r1_kill_9_at_every_write_loses_nothing() {
    let mut rig = Rig::new("r1");
    // Killed while the server has not heard of it, or has done it already.
    let (faults, last) = if is_whole() { (&["hang", "mute"][..], 3) } else { (&["mute"][..], 2) };
    for fault in faults {
        for nth in 1..=last {
            rig.fault(&format!("PATCH **/configmaps/* nth {nth}: {fault}"));
            let state = format!("{fault}-{nth}");
            let commit = rig.commit(&state, &["a", "b", "c"]);
            rig.played();
            rig.crash();
            rig.converges(&commit);
            assert_eq!(rig.states(), format!("{state} {state} {state}"));
        }
    }
    rig.fault("DELETE **/configmaps/* nth 1: mute");
    let commit = rig.commit("last", &["a", "b"]);
    rig.played();
    rig.crash();
    rig.converges(&commit);
    assert_eq!(rig.states(), "last last -");
    rig.ends_well();
}

#[test]
fn r8_a_server_that_is_busy_slow_or_breaks_off() {
    let rig = Rig::new("r8");
    each(
        &rig,
        &[
            "PATCH **/configmaps/r8-a nth 1: status 429 retry-after 1",
            "PATCH **/configmaps/r8-a first 2: status 503",
            "PATCH **/configmaps/r8-b nth 1: status 500",
            "PATCH **/configmaps/r8-b nth 1: delay 2s",
            "PATCH **/configmaps/r8-c nth 1: cut 30",
            "PATCH **/configmaps/r8-c nth 1: truncate 30",
            "READ **/configmaps/* nth 1: drip 100 20ms",
            "READ **/configmaps/* nth 1: cut 30",
        ],
    );
    if is_whole() {
        each(&rig, &["PATCH **/configmaps/r8-a nth 1: hang", "READ **/configmaps/* nth 1: mute"]);
    }
    rig.ends_well();
}

#[test]
fn r11_what_is_applied_in_part_is_finished_and_pruned_only_then() {
    let rig = Rig::new("r11");
    rig.fault("PATCH **/configmaps/r11-b always: status 500");
    let commit = rig.commit("second", &["a", "b"]);
    rig.refused("500");
    assert_eq!(rig.states(), "second first first");
    rig.played();
    rig.engine().api().hurry("Kustomization", "app");
    rig.converges(&commit);
    assert_eq!(rig.states(), "second second -");
    rig.ends_well();
}

#[test]
fn r13_git_servers_that_fail_take_nothing_with_them() {
    let scene = Scene::new();
    let server = HttpBackend::start(scene.shop.root());
    let address = server.base().replace("http://", "");
    let proxy = Proxy::start(Evil::new(Script::default()), Remote::plain(&address), None);
    let proxy = proxy.expect("loopback has a port");
    let declared = source("shop", &format!("http://{}/repo", proxy.address()));
    scene.engine.api().apply(&format!("{declared}  timeout: 2s\n"));
    let head = scene.shop.head();
    scene.converges("shop", &head);
    let state = |name: &str| {
        let object = scene.engine.api().get("ConfigMap", name);
        object.unwrap_or_else(|| panic!("{name} was pruned"))["data"]["state"].clone()
    };
    let mut last = "good".to_owned();
    for (round, (rule, words)) in [
        ("ANY **/info/refs always: status 404", "127.0.0.1"),
        ("ANY **/info/refs always: status 401", "127.0.0.1"),
        ("ANY **/info/refs always: status 429 retry-after 1", "429"),
        ("ANY **/info/refs always: status 500", "500"),
        ("ANY **/info/refs always: hang", "2 s"),
        ("ANY **/info/refs always: reset", "127.0.0.1"),
        ("POST **/git-upload-pack always: cut 10", "127.0.0.1"),
        ("POST **/git-upload-pack from 2: cut 40", "127.0.0.1"),
        ("POST **/git-upload-pack from 2: truncate 40", "127.0.0.1"),
        ("POST **/git-upload-pack from 2: drip 1 1s", "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        println!("{rule}");
        proxy.evil().add(rule.parse().expect("tests write rules well"));
        let next = format!("round-{round}");
        let commit = scene.shop.commit(&[("deploy/shop.yaml", &config_map("shop", &next))]);
        scene.engine.api().hurry("GitRepository", "shop");
        println!("  {}", scene.refused("GitRepository", "shop", words));
        proxy.evil().all_played().expect("the fault was met");
        assert_eq!(state("shop"), last.as_str(), "{rule}");
        assert_eq!(state("shop-kept"), "good", "{rule}");
        scene.neighbour_goes_on();
        proxy.evil().heal();
        scene.engine.api().hurry("GitRepository", "shop");
        scene.converges("shop", &commit);
        assert_eq!(state("shop"), next.as_str());
        last = next;
    }
    let root = || scene.home.run_for(0, &["ledger", "verify", "-o", "json"]).json()["root"].clone();
    let before = root();
    scene.home.run_for(0, &["reconcile", "ks/shop", "--with-source"]);
    assert_eq!(before, root(), "a second run found something to do");
}
