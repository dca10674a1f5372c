//! Each rule holds in a story without fault and breaks in one with it.
//!
//! A story is a ledger and a log, line by line:
//! `intent WHO SECOND ACTION:NAME…`, `outcome SECOND CREATED [inventory]`, `resolve SECOND`, and
//! `log SECOND VERB PATH[?QUERY] CODE [BODY]`, with `RESOURCE/NAME` for a path.

#![cfg(test)]

use std::fmt::Write as _;
use std::io::Write as _;

use expect_test::{Expect, expect};
use fixpoint_audit::{Intents, Log, Options, Report, check};
use fixpoint_base::{Digest, Gvk, Key, canonical};
use fixpoint_driver_store::Ledger;
use fixpoint_ledger::entry::{Body, Draft, Outcome, Resolve};
use fixpoint_ledger::{Action, Intent, Step};
use serde_json::{Value, json};

const USER: &str = "fixpoint";

/// The content of every ConfigMap that is applied.
fn content(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"}, "data": {"v": "1"}})
}

fn second(text: &str) -> String {
    format!("2030-01-01T00:00:{:0>2}Z", text)
}

fn moment(text: &str) -> String {
    let (second, rest) = text.split_once('.').unwrap_or((text, "0"));
    format!("2030-01-01T00:00:{second:0>2}.{rest:0<6}Z")
}

fn step(word: &str) -> Step {
    let (action, name) = word.split_once(':').unwrap();
    let action = match action {
        "apply" => Action::Apply,
        "replace" => Action::Replace,
        _ => Action::Delete,
    };
    let digest = (action != Action::Delete).then(|| canonical::digest(&content(name)));
    Step { key: Key::new(Gvk::new("", "v1", "ConfigMap"), "default", name), action, digest }
}

async fn intend(ledger: &Ledger, who: &str, time: &str, steps: &[&str]) -> u64 {
    let intent = Intent {
        time: second(time),
        actor: "engine".to_owned(),
        subject: format!("Kustomization/default/{who}"),
        target: "in-process".to_owned(),
        identity: USER.to_owned(),
        render: None,
        inventory: None,
        basis: Digest::of(b""),
        steps: steps.iter().map(|word| step(word)).collect(),
    };
    ledger.commit(intent).await.unwrap().index()
}

fn outcome(intent: u64, created: u64, inventory: bool) -> Body {
    Body::Outcome(Outcome {
        intent,
        created,
        configured: 0,
        unchanged: 0,
        deleted: 0,
        failed: 0,
        held: 0,
        results: Digest::of(b""),
        inventory: inventory.then(|| Digest::of(b"inventory")),
    })
}

fn event(number: usize, time: &str, words: &[&str]) -> Value {
    let [verb, path, code, body @ ..] = words else { panic!("VERB PATH CODE") };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (resource, name) = path.split_once('/').unwrap_or((path, ""));
    let (name, part) = name.split_once('/').unwrap_or((name, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let mut event = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete",
        "auditID": number.to_string(), "verb": verb, "user": {"username": USER},
        "requestURI": format!("/path?{query}"), "requestReceivedTimestamp": moment(time),
        "objectRef": {"resource": resource, "apiGroup": group, "namespace": "default",
            "name": name, "subresource": part},
    });
    if let Ok(code) = code.parse::<u16>() {
        event["responseStatus"] = json!({"code": code});
    }
    match body {
        ["whole"] => event["requestObject"] = content(name),
        [other] => event["requestObject"] = json!({"data": {"v": other}}),
        _ => {}
    }
    event
}

async fn tell(ledger: &Ledger, story: &str) -> String {
    let (mut log, mut last) = (String::new(), (String::new(), 0));
    for (number, line) in story.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let body = match words.as_slice() {
            ["intent", who, time, steps @ ..] => {
                last = ((*who).to_owned(), intend(ledger, who, time, steps).await);
                continue;
            }
            ["log", time, rest @ ..] => {
                writeln!(log, "{}", event(number, time, rest)).unwrap();
                continue;
            }
            ["outcome", _, created, rest @ ..] => {
                outcome(last.1, created.parse().unwrap(), rest == ["inventory"])
            }
            ["resolve", _] => Body::Resolve(Resolve { intent: last.1, done: 0, open: 1 }),
            _ => panic!("{line}"),
        };
        let draft = Draft {
            time: second(words[1]),
            actor: "engine".to_owned(),
            subject: format!("Kustomization/default/{}", last.0),
            body,
        };
        ledger.append(draft).await.unwrap();
    }
    log
}

#[track_caller]
fn report(story: &str, options: &Options) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ledger = Ledger::in_memory([7; 32]);
    let log = runtime.block_on(tell(&ledger, story));
    let entries = ledger.entries(0..ledger.size()).unwrap();
    let intents = Intents::read(&entries, |digest| ledger.body(digest).unwrap());
    check(&intents, &Log::read(log.as_bytes(), USER).unwrap(), options)
}

#[track_caller]
fn case(story: &str, expected: Expect) {
    expected.assert_eq(&report(story, &Options::default()).to_string());
}

#[test]
fn a_story_without_fault_holds() {
    case(
        "intent web 10 apply:a apply:b
         log 10.5 patch configmaps/a?fieldManager=kustomize-controller&force=true 201 whole
         log 11 patch configmaps/b?fieldManager=kustomize-controller&force=true 503
         log 11.5 patch configmaps/b?fieldManager=kustomize-controller&force=true 201 whole
         outcome 11 2 inventory
         intent web 20 apply:a replace:c delete:b
         log 20.1 patch configmaps/a?force=true 200
         log 20.2 patch configmaps/c?force=true 422
         log 20.3 delete configmaps/c 200
         log 20.4 patch configmaps/c?force=true 201
         log 20.5 delete configmaps/b 200
         outcome 20 1 inventory
         log 21 patch kustomizations.kustomize.toolkit.fluxcd.io/web/status 200
         log 21 create events/x 201
         log 21 update leases.coordination.k8s.io/fixpoint 200
         log 21 patch configmaps/other?dryRun=All&force=true 200
         log 21 get configmaps/other 200",
        expect![
            "8 mutations by 2 intents (0 open), 2 bodies compared, 0 deletions not judged, 4 of \
             bookkeeping: 0 rules broken"
        ],
    );
}

#[test]
fn a_mutation_without_intent_is_found_whatever_it_was_answered() {
    case(
        "intent web 10 apply:a
         log 10.5 patch configmaps/a?force=true 201
         log 10.6 patch configmaps/planted?force=true 500
         log 10.7 patch secrets/a?force=true -
         log 10.8 delete configmaps/a 200
         outcome 11 1 inventory",
        expect![[r#"
            ! planned: line 2: patch configmaps default/planted: no intent names it
            ! planned: line 3: patch secrets default/a: no intent names it
            ! planned: line 4: delete configmaps default/a: no intent is for that
            4 mutations by 1 intents (0 open), 0 bodies compared, 0 deletions not judged, 0 of bookkeeping: 3 rules broken"#]],
    );
}

#[test]
fn what_is_delivered_is_no_bookkeeping() {
    case(
        "log 10 patch kustomizations.kustomize.toolkit.fluxcd.io/web?force=true 200
         log 11 patch leases.coordination.k8s.io/web?force=true 200
         log 12 delete events/x 200
         log 13 patch customresourcedefinitions.apiextensions.k8s.io/widgets.example.org 200",
        expect![[r#"
            ! planned: line 1: patch kustomizations.kustomize.toolkit.fluxcd.io default/web: no intent names it
            ! planned: line 2: patch leases.coordination.k8s.io default/web: no intent names it
            ! planned: line 3: delete events default/x: no intent names it
            ! planned: line 4: patch customresourcedefinitions.apiextensions.k8s.io default/widgets.example.org: no intent names it
            4 mutations by 0 intents (0 open), 0 bodies compared, 0 deletions not judged, 0 of bookkeeping: 4 rules broken"#]],
    );
}

#[test]
fn an_intent_that_came_later_or_was_over_does_not_count() {
    case(
        "log 08 patch configmaps/a?force=true 201
         intent web 10 apply:a
         log 10 patch configmaps/a?force=true 200
         outcome 11 1 inventory
         log 15 patch configmaps/a?force=true 200",
        expect![[r#"
            ! intent-first: line 1: patch configmaps default/a: the intent came later
            ! intent-open: line 3: patch configmaps default/a: the intent was over
            3 mutations by 1 intents (0 open), 0 bodies compared, 0 deletions not judged, 0 of bookkeeping: 2 rules broken"#]],
    );
}

#[test]
fn other_content_is_found() {
    case(
        "intent web 10 apply:a
         log 10.5 patch configmaps/a?force=true 201 other
         outcome 11 1 inventory",
        expect![[r#"
            ! content: line 1: patch configmaps default/a: sha256:6d2a0d975404b86b81cd5cc34114d1fce24f3999560bb0c48b399027f142e179 is not what was meant
            1 mutations by 1 intents (0 open), 1 bodies compared, 0 deletions not judged, 0 of bookkeeping: 1 rules broken"#]],
    );
}

#[test]
fn a_swept_collection_is_found() {
    case(
        "intent web 10 delete:a
         log 10.5 deletecollection configmaps 200",
        expect![[r#"
            ! no-sweep: line 1: delete all of configmaps default/
            ! owned: the intent at 1 of Kustomization/default/web deletes ConfigMap default/a, which nobody applied last
            1 mutations by 1 intents (1 open), 0 bodies compared, 0 deletions not judged, 0 of bookkeeping: 2 rules broken"#]],
    );
}

#[test]
fn an_intent_left_open_is_found_unless_it_is_the_last() {
    case(
        "intent web 10 apply:a
         intent other 11 apply:b
         outcome 12 0 inventory
         intent web 13 apply:a
         resolve 14
         intent web 15 apply:a",
        expect![[r#"
            ! settled: the intent at 1 of Kustomization/default/web was left open when another began
            0 mutations by 4 intents (2 open), 0 bodies compared, 0 deletions not judged, 0 of bookkeeping: 1 rules broken"#]],
    );
}

#[test]
fn deletions_of_what_is_not_theirs_are_found() {
    case(
        "intent web 10 apply:a
         log 10 patch configmaps/a?force=true 201
         outcome 10 1 inventory
         intent other 12 apply:a
         log 12 patch configmaps/a?force=true 200
         outcome 12 0 inventory
         intent web 14 delete:a
         log 14 delete configmaps/a 200
         outcome 14 0 inventory
         intent old 20
         outcome 20 0 inventory
         intent old 21 delete:x
         outcome 21 0",
        expect![[r#"
            ! owned: the intent at 5 of Kustomization/default/web deletes ConfigMap default/a, which Kustomization/default/other applied last
            3 mutations by 5 intents (0 open), 0 bodies compared, 1 deletions not judged, 0 of bookkeeping: 1 rules broken"#]],
    );
}

#[test]
fn deletions_before_everything_is_applied_are_found() {
    case(
        "intent web 10 apply:a apply:b
         log 10 patch configmaps/a?force=true 201
         log 10 patch configmaps/b?force=true 201
         outcome 10 2 inventory
         intent web 12 apply:a delete:b
         log 12.1 patch configmaps/a?force=true 500
         log 12.2 delete configmaps/b 200
         outcome 12 0 inventory",
        expect![[r#"
            ! complete: line 4: delete configmaps default/b: before ConfigMap default/a was applied
            4 mutations by 2 intents (0 open), 0 bodies compared, 0 deletions not judged, 0 of bookkeeping: 1 rules broken"#]],
    );
}

#[test]
fn claims_of_what_never_happened_are_found() {
    case(
        "intent web 10 apply:a apply:b
         log 10 patch configmaps/a?force=true 201
         log 10 patch configmaps/b?force=true 409
         outcome 10 2 inventory",
        expect![[r#"
            ! happened: the outcome of the intent at 1 of Kustomization/default/web claims 2 applies, and 1 were granted
            2 mutations by 1 intents (0 open), 0 bodies compared, 0 deletions not judged, 0 of bookkeeping: 1 rules broken"#]],
    );
}

#[test]
fn an_intent_for_another_target_does_not_count() {
    let story = "intent web 10 apply:a
                 log 10 patch configmaps/a?force=true 201";
    let options = Options { target: Some("elsewhere".to_owned()), ..Options::default() };
    let found = report(story, &options);
    assert_eq!(found.broken.len(), 1, "{found}");
    assert!(report(story, &Options::default()).holds());
}

#[test]
fn steps_that_are_missing_are_found() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ledger = Ledger::in_memory([7; 32]);
    runtime.block_on(tell(&ledger, "intent web 10 apply:a"));
    let entries = ledger.entries(0..ledger.size()).unwrap();
    let found = check(&Intents::read(&entries, |_| None), &Log::default(), &Options::default());
    expect!["readable: entry 1: its steps are missing"].assert_eq(&found.broken[0].to_string());
}

#[test]
fn a_log_with_a_hole_is_refused() {
    for log in ["{}", "{}\n", "x\n", "{\"kind\":\"Event\"}"] {
        assert!(Log::read(log.as_bytes(), USER).is_err(), "{log:?}");
    }
}

#[test]
fn a_request_of_two_stages_is_one() {
    let event = |stage: &str, code: &str| {
        let mut event = event(1, "10", &["patch", "configmaps/a?force=true", code]);
        event["stage"] = stage.into();
        format!("{event}\n")
    };
    let text = event("RequestReceived", "-") + &event("ResponseComplete", "201");
    let log = Log::read(text.as_bytes(), USER).unwrap();
    assert_eq!((log.events, log.mutations.len()), (2, 1));
    assert_eq!(log.mutations[0].code, Some(201));
    // A server that ended between the two leaves the first, which counts.
    let log = Log::read(event("RequestReceived", "-").as_bytes(), USER).unwrap();
    assert_eq!((log.mutations.len(), log.mutations[0].granted()), (1, false));
}

#[test]
fn the_program_reads_a_ledger_on_disk_and_tells_by_its_exit() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let log = runtime.block_on(async {
        let ledger = Ledger::open(folder.path()).await.unwrap();
        let story = "intent web 10 apply:a
                     log 10 patch configmaps/a?force=true 201 whole
                     outcome 10 1 inventory";
        tell(&ledger, story).await
    });
    drop(runtime);
    let file = folder.path().join("audit.jsonl");
    let run = |log: &str| {
        std::fs::File::create(&file).unwrap().write_all(log.as_bytes()).unwrap();
        std::process::Command::new(env!("CARGO_BIN_EXE_fixpoint-audit"))
            .args(["--user", USER, "--ledger"])
            .arg(folder.path())
            .arg("--log")
            .arg(&file)
            .output()
            .unwrap()
    };
    // The intent leads to no render, which the ledger's own rules refuse: evidence that does not
    // verify proves nothing.
    let refused = run(&log);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("could not read the ledger"), "{said}");
    let without = std::process::Command::new(env!("CARGO_BIN_EXE_fixpoint-audit")).output();
    assert_eq!(without.unwrap().status.code(), Some(64));
}
