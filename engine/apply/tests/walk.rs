//! Plans walked through scripted worlds.
//!
//! A script names for each object the answers of its attempts: `ok`, `user` and `bug` fail for
//! good, `busy` fails for now, `busy:N` asks for N seconds. The last answer repeats.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeMap;
use std::time::Duration;

use expect_test::{Expect, expect};
use fixpoint_apply::{Change, Done, Failure, Pace, Report, Run, Walk};
use fixpoint_base::{Class, Digest, Gvk, Key, Limits};
use fixpoint_plan::{
    DesiredSet, Hold, Inventory, Live, LiveObject, LiveSet, Memory, Options, Owner, Plan, Policy,
    Verb, plan,
};
use proptest::prelude::*;
use serde_json::json;

fn us() -> Owner {
    Owner::kustomization("flux-system", "apps")
}

fn key(kind: &str, name: &str) -> Key {
    let (group, namespace) = match kind {
        "CustomResourceDefinition" => ("apiextensions.k8s.io", ""),
        "Namespace" => ("", ""),
        "Widget" => ("example.org", "shop"),
        _ => ("", "shop"),
    };
    Key::new(Gvk::new(group, "v1", kind), namespace, name)
}

/// A plan that creates and deletes these.
fn scene(creates: &[&str], deletes: &[&str]) -> (Plan, DesiredSet, Inventory) {
    let parse = |text: &&str| {
        let (kind, name) = text.split_once('/').unwrap();
        key(kind, name)
    };
    let objects = creates.iter().map(parse).map(|key| {
        json!({"apiVersion": key.gvk.api_version(), "kind": key.gvk.kind,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "spec": {"group": "example.org", "names": {"kind": "Widget"}}})
    });
    let (none, limits) = (BTreeMap::new(), Limits::default());
    let options = Options {
        revision: "main",
        common_labels: &none,
        common_annotations: &none,
        limits: &limits,
        secret_key: b"",
        scopes: &Default::default(),
    };
    let (desired, problems) = DesiredSet::new(&us(), objects.collect(), options);
    assert!(problems.is_empty());
    let mut live = LiveSet::new();
    for wanted in desired.objects() {
        live.insert(&wanted.key, Live::Absent);
    }
    let deletes: Vec<Key> = deletes.iter().map(parse).collect();
    for key in &deletes {
        let object = json!({"metadata": {"uid": key.name, "labels": {
            "kustomize.toolkit.fluxcd.io/name": "apps",
            "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}}});
        live.insert(key, Live::Object(LiveObject::of(&object, "us", b"")));
    }
    let inventory = Inventory::from_iter(&deletes);
    let policy = Policy { finalizing: true, ..Policy::default() };
    let plan = plan(&us(), &desired, &live, &inventory, &policy, &Memory::new());
    (plan, desired, inventory)
}

/// Answers by script; says what happened, when.
fn walk(plan: &Plan, script: &[(&str, &str)], pace: Pace) -> (String, Report) {
    let mut run = Run::new(plan, pace);
    let mut tries: BTreeMap<String, usize> = BTreeMap::new();
    let mut now = Duration::ZERO;
    let mut flying: Vec<usize> = Vec::new();
    let mut said = String::new();
    for _ in 0..1000 {
        match run.next(now) {
            Walk::Do(at) => {
                said += &format!("{:>3}s start {}\n", now.as_secs(), plan.steps[at].key);
                flying.push(at);
            }
            Walk::Wait(pause) if flying.is_empty() => now += pause,
            Walk::InFlight | Walk::Wait(_) => {
                let at = flying.remove(0);
                let step = &plan.steps[at];
                let answers = script
                    .iter()
                    .find(|(key, _)| *key == step.key.to_string())
                    .map_or("ok", |(_, answers)| answers);
                let answers: Vec<&str> = answers.split_whitespace().collect();
                let count = tries.entry(step.key.to_string()).or_default();
                let answer = answers[(*count).min(answers.len() - 1)];
                *count += 1;
                run.record(at, outcome(step.verb, answer), now);
            }
            Walk::Finished => {
                let report = run.report();
                return (format!("{said}{report}"), report);
            }
        }
    }
    panic!("the walk does not end:\n{said}");
}

fn outcome(verb: Verb, answer: &str) -> Result<Done, Failure> {
    let fail = |class, retry_after| {
        Err(Failure { class, error: format!("the server said {answer}"), hint: None, retry_after })
    };
    match answer.split_once(':').unwrap_or((answer, "")) {
        ("ok", _) => Ok(Done {
            change: if verb == Verb::Delete { Change::Deleted } else { Change::Created },
            uid: "u".to_owned(),
            owned: Some(Digest::of(b"owned")),
        }),
        ("user", _) => fail(Class::User, None),
        ("bug", _) => fail(Class::Bug, None),
        ("busy", seconds) => fail(Class::Transient, seconds.parse().ok().map(Duration::from_secs)),
        _ => panic!("unknown answer {answer}"),
    }
}

fn check(creates: &[&str], deletes: &[&str], script: &[(&str, &str)], want: Expect) {
    let (plan, ..) = scene(creates, deletes);
    want.assert_eq(&walk(&plan, script, Pace::default()).0);
}

#[test]
fn stages_follow_each_other_and_deletions_come_last() {
    check(
        &["ConfigMap/a", "Widget/w", "CustomResourceDefinition/widgets", "Namespace/shop"],
        &["ConfigMap/old", "Namespace/older"],
        &[],
        expect![[r#"
              0s start CustomResourceDefinition/widgets
              0s start Namespace/shop
              0s start ConfigMap/shop/a
              0s start Widget/shop/w
              0s start ConfigMap/shop/old
              0s start Namespace/older
            CustomResourceDefinition/widgets created
            Namespace/shop created
            ConfigMap/shop/a created
            Widget/shop/w created
            ConfigMap/shop/old deleted
            Namespace/older deleted
        "#]],
    );
}

#[test]
fn a_failed_definition_blocks_its_objects_only_and_nothing_is_deleted() {
    check(
        &["ConfigMap/a", "Widget/w", "CustomResourceDefinition/widgets"],
        &["ConfigMap/old"],
        &[("CustomResourceDefinition/widgets", "user")],
        expect![[r#"
              0s start CustomResourceDefinition/widgets
              0s start ConfigMap/shop/a
            CustomResourceDefinition/widgets failed: the server said user
            ConfigMap/shop/a created
            Widget/shop/w skipped: needs CustomResourceDefinition/widgets, which failed
            ConfigMap/shop/old skipped: not everything could be applied
        "#]],
    );
}

#[test]
fn transient_failures_are_tried_again_with_growing_pauses() {
    check(
        &["ConfigMap/a"],
        &[],
        &[("ConfigMap/shop/a", "busy busy busy ok")],
        expect![[r#"
              0s start ConfigMap/shop/a
              1s start ConfigMap/shop/a
              3s start ConfigMap/shop/a
              7s start ConfigMap/shop/a
            ConfigMap/shop/a created
        "#]],
    );
}

#[test]
fn a_server_that_asks_for_time_gets_it_up_to_a_bound() {
    check(
        &["ConfigMap/a"],
        &[],
        &[("ConfigMap/shop/a", "busy:10 busy:3600 ok")],
        expect![[r#"
              0s start ConfigMap/shop/a
             10s start ConfigMap/shop/a
             40s start ConfigMap/shop/a
            ConfigMap/shop/a created
        "#]],
    );
}

#[test]
fn attempts_are_bounded_and_neighbours_go_on() {
    check(
        &["ConfigMap/a", "ConfigMap/b"],
        &["ConfigMap/old"],
        &[("ConfigMap/shop/a", "busy")],
        expect![[r#"
              0s start ConfigMap/shop/a
              0s start ConfigMap/shop/b
              1s start ConfigMap/shop/a
              3s start ConfigMap/shop/a
              7s start ConfigMap/shop/a
             15s start ConfigMap/shop/a
            ConfigMap/shop/a failed: the server said busy
            ConfigMap/shop/b created
            ConfigMap/shop/old skipped: not everything could be applied
        "#]],
    );
}

#[test]
fn other_failures_are_not_tried_again() {
    check(
        &["ConfigMap/a", "ConfigMap/b", "ConfigMap/c"],
        &[],
        &[("ConfigMap/shop/a", "user"), ("ConfigMap/shop/b", "bug")],
        expect![[r#"
              0s start ConfigMap/shop/a
              0s start ConfigMap/shop/b
              0s start ConfigMap/shop/c
            ConfigMap/shop/a failed: the server said user
            ConfigMap/shop/b failed: the server said bug
            ConfigMap/shop/c created
        "#]],
    );
}

#[test]
fn a_deadline_keeps_the_last_error_and_starts_nothing_more() {
    let (plan, ..) = scene(&["Namespace/shop", "ConfigMap/a"], &["ConfigMap/old"]);
    let pace = Pace { deadline: Some(Duration::from_secs(2)), ..Pace::default() };
    expect![[r#"
          0s start Namespace/shop
          1s start Namespace/shop
        Namespace/shop failed: the server said busy
        ConfigMap/shop/a failed: the time for this run was over before it was its turn
        ConfigMap/shop/old failed: the time for this run was over before it was its turn
    "#]]
    .assert_eq(&walk(&plan, &[("Namespace/shop", "busy")], pace).0);
}

#[test]
fn no_more_are_in_flight_than_the_pace_allows() {
    let (plan, ..) = scene(&["ConfigMap/a", "ConfigMap/b", "ConfigMap/c"], &[]);
    let mut run = Run::new(&plan, Pace { width: 2, ..Pace::default() });
    let now = Duration::ZERO;
    assert_eq!(
        [run.next(now), run.next(now), run.next(now)],
        [Walk::Do(0), Walk::Do(1), Walk::InFlight]
    );
    run.record(1, outcome(Verb::Create, "ok"), now);
    assert_eq!(run.next(now), Walk::Do(2));
    // An answer that comes twice, or for a step that was never handed out, changes nothing.
    run.record(1, outcome(Verb::Create, "user"), now);
    run.record(99, outcome(Verb::Create, "user"), now);
    assert_eq!(run.next(now), Walk::InFlight);
}

#[test]
fn an_empty_plan_is_finished() {
    let (plan, ..) = scene(&[], &[]);
    let mut run = Run::new(&plan, Pace::default());
    assert_eq!(run.next(Duration::ZERO), Walk::Finished);
    let report = run.report();
    assert!(report.is_complete() && !report.changed() && !report.is_transient());
}

#[test]
fn the_inventory_names_what_may_be_there() {
    let (mut plan, _, mut old) =
        scene(&["ConfigMap/a", "ConfigMap/b", "Widget/w"], &["ConfigMap/old"]);
    for (name, hold) in [
        ("kept", Hold::UpToDate),
        ("paused", Hold::Disabled),
        ("never-ours", Hold::OwnedByOther { owner: us() }),
        ("gone", Hold::Gone),
        ("guarded", Hold::GuardedDeletion { guard: "x".to_owned() }),
        ("let-go", Hold::DeletionProtected),
        ("hidden", Hold::Unreadable { reason: "x".to_owned() }),
    ] {
        old.insert(&key("ConfigMap", name));
        plan.left.insert(key("ConfigMap", name), hold);
    }
    let script = [("ConfigMap/shop/b", "user")];
    let (_, report) = walk(&plan, &script, Pace::default());
    let names: Vec<String> = report.inventory(&plan, &old).keys().map(|key| key.name).collect();
    assert_eq!(names, ["a", "b", "guarded", "hidden", "kept", "old", "paused", "w"]);
    // When all goes well, what had to go is no longer named.
    let (_, report) = walk(&plan, &[], Pace::default());
    assert!(!report.inventory(&plan, &old).contains(&key("ConfigMap", "old")));
}

#[test]
fn what_was_applied_is_remembered_and_a_second_plan_is_empty() {
    let (plan, desired, inventory) = scene(&["ConfigMap/a", "ConfigMap/b"], &["ConfigMap/old"]);
    let (_, report) = walk(&plan, &[], Pace::default());
    let mut memory = Memory::new();
    report.remember(&desired, &mut memory);
    let after = report.inventory(&plan, &inventory);
    let live = desired.objects().iter().map(|wanted| {
        let mut live = LiveObject::of(&wanted.object, "us", b"");
        live.uid = "u".to_owned();
        live.owned = Some(Digest::of(b"owned"));
        (wanted.key.clone(), Live::Object(live))
    });
    let again =
        fixpoint_plan::plan(&us(), &desired, &live.collect(), &after, &Policy::default(), &memory);
    assert!(again.is_empty(), "{again}");
    assert!(again.left.values().all(|hold| *hold == Hold::UpToDate));
}

#[test]
fn changes_are_listed_as_flux_lists_them() {
    let (plan, ..) = scene(&["ConfigMap/a", "ConfigMap/b"], &[]);
    let (_, report) = walk(&plan, &[("ConfigMap/shop/b", "user")], Pace::default());
    assert_eq!(report.changes(), ["ConfigMap/shop/a created"]);
    let counts = report.counts();
    assert_eq!((counts.created, counts.failed), (1, 1));
    let (_, same) = walk(&plan, &[("ConfigMap/shop/b", "user")], Pace::default());
    assert_eq!(report.digest(), same.digest());
}

proptest! {
    /// Whatever the world answers: the walk ends, nothing is deleted before everything wanted is
    /// there, and a definition's objects never start before it.
    #[test]
    fn every_walk_ends_and_keeps_order(
        answers in prop::collection::vec(prop::collection::vec(0..4_usize, 1..4), 6),
        width in 1..4_usize,
    ) {
        let (plan, ..) = scene(
            &["CustomResourceDefinition/widgets", "Widget/w", "ConfigMap/a", "ConfigMap/b"],
            &["ConfigMap/old", "Namespace/older"],
        );
        let words = ["ok", "busy", "user", "busy:3"];
        let script: Vec<(String, String)> = plan.steps.iter().zip(&answers)
            .map(|(step, answers)| {
                let answers: Vec<&str> = answers.iter().map(|at| words[*at]).collect();
                (step.key.to_string(), answers.join(" "))
            })
            .collect();
        let script: Vec<(&str, &str)> =
            script.iter().map(|(key, answers)| (key.as_str(), answers.as_str())).collect();
        let (said, report) = walk(&plan, &script, Pace { width, ..Pace::default() });
        let started = |key: &str| said.contains(&format!("start {key}\n"));
        let done = |key: &str| said.contains(&format!("\n{key} created\n"))
            || said.starts_with(&format!("{key} created\n"));
        let wanted = ["CustomResourceDefinition/widgets", "Widget/shop/w", "ConfigMap/shop/a", "ConfigMap/shop/b"];
        prop_assert_eq!(started("ConfigMap/shop/old"), wanted.iter().all(|key| done(key)), "{}", said);
        prop_assert_eq!(started("Widget/shop/w"), done(wanted[0]), "{}", said);
        prop_assert_eq!(report.fates().count(), plan.steps.len());
    }
}
