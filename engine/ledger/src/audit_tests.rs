//! Logs as text, one entry a line, and what is wrong with them.

use crate::entry::{Draft, Input, Signature};

use super::*;

fn position(commit: &str) -> Position {
    Position {
        name: "main".to_owned(),
        commit: commit.to_owned(),
        tag_object: None,
        tree: Some(Digest::of(commit.as_bytes())),
        selection: None,
        gone: false,
    }
}

fn verdict(word: &str) -> Verdict {
    serde_json::from_value(word.into()).unwrap()
}

/// `observe SUBJECT COMMIT VERDICT admitted|held|ack=N`, `violation SUBJECT COMMIT VERDICT`,
/// `ack SUBJECT N`, `render SUBJECT N COMMIT`, `intent SUBJECT RENDER APPLIES DELETES INVENTORY`,
/// `meet SUBJECT CLUSTER BEFORE admitted|held|ack=N`, `outcome SUBJECT INTENT DELETED`, `prune SUBJECT INTENT INVENTORY COUNT`, `resolve SUBJECT N`.
fn body(words: &[&str]) -> Body {
    let number = |at: usize| words[at].parse::<u64>().ok();
    let must = |at: usize| number(at).unwrap();
    let none = Digest::of(b"");
    match words[0] {
        "genesis" => Body::Genesis(Genesis {
            origin: "o".to_owned(),
            key: "k".to_owned(),
            predecessor: None,
        }),
        "observe" => Body::Observe(Observe {
            store: "s".to_owned(),
            name: "branch main".to_owned(),
            revision: String::new(),
            position: (words[2] != "gone").then(|| position(words[2])),
            verdict: verdict(words[3]),
            history: History::Enforce,
            admitted: !words[4].ends_with("held"),
            ack: words[4].strip_prefix("ack=").map(|at| at.parse().unwrap()),
            artifact: None,
            files: 0,
            bytes: 0,
            included: included(&words[5.min(words.len())..]),
            whole: words.get(5).map(|_| Digest::of(b"whole")),
            signature: words[4].strip_prefix("unsigned,").map(|_| Signature {
                mode: "HEAD".to_owned(),
                keys: Vec::new(),
                problem: Some("it is not signed".to_owned()),
            }),
            submodules: Vec::new(),
        }),
        "violation" => Body::Violation(Violation {
            id: format!("id-{}", words[2]),
            store: "s".to_owned(),
            name: "branch main".to_owned(),
            verdict: verdict(words[3]),
            old: None,
            new: Some(position(words[2])),
            held: true,
        }),
        "ack" => Body::Ack(Ack {
            id: format!("id-{}", words[3]),
            violation: must(2),
            reason: String::new(),
        }),
        "render" => Body::Render(Render {
            inputs: vec![Input {
                observe: must(2),
                revision: String::new(),
                tree: Digest::of(words[3].as_bytes()),
            }],
            renderer: "r".to_owned(),
            options: none,
            output: none,
            objects: 1,
        }),
        "intent" => Body::Intent(Intent {
            target: "t".to_owned(),
            identity: "i".to_owned(),
            render: number(2),
            inventory: number(5),
            basis: none,
            plan: none,
            applies: must(3),
            deletes: must(4),
        }),
        "outcome" => Body::Outcome(Outcome {
            intent: must(2),
            created: 0,
            configured: 0,
            unchanged: 0,
            deleted: must(3),
            failed: 0,
            held: 0,
            results: none,
            inventory: Some(none),
        }),
        "prune" => Body::Prune(Prune {
            intent: must(2),
            inventory: must(3),
            objects: none,
            count: must(4),
        }),
        "meet" => Body::Meet(Meet {
            server: "s".to_owned(),
            cluster: words[2].to_owned(),
            before: (words[3] != "none").then(|| words[3].to_owned()),
            id: (words[3] != "none").then(|| format!("id-{}", words[2])),
            admitted: !words[4].ends_with("held"),
            ack: words[4].strip_prefix("ack=").map(|at| at.parse().unwrap()),
        }),
        "resolve" => Body::Resolve(Resolve { intent: must(2), done: 0, open: 0 }),
        other => panic!("{other}"),
    }
}

/// What an observation includes: the indexes of the observations that admitted it.
fn included(words: &[&str]) -> Vec<Included> {
    let one = |word: &&str| Included {
        source: "lib".to_owned(),
        observe: word.strip_prefix("with=").unwrap().parse().unwrap(),
        revision: String::new(),
        artifact: Digest::of(b""),
    };
    words.iter().map(one).collect()
}

fn check(script: &str, expected: &[&str]) {
    let mut audit = Audit::default();
    let mut last = BTreeMap::new();
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    for (index, line) in lines.enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        let subject = words.get(1).copied().unwrap_or("realm").to_owned();
        let prev = last.insert(subject.clone(), index as u64);
        let draft =
            Draft { time: "t".to_owned(), actor: "a".to_owned(), subject, body: body(&words) };
        audit.entry(&draft.placed(prev));
    }
    let found: Vec<String> = audit.finish().iter().map(Problem::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn an_honest_log_has_no_problems() {
    check(
        "
        genesis
        observe web aaa first admitted
        render app 1 aaa
        intent app 2 3 0 -
        outcome app 3 0
        observe web bbb forward admitted
        observe web ccc fork held
        violation web ccc fork
        ack web 7 ccc
        observe web ccc fork ack=8
        render app 9 ccc
        intent app 10 2 1 4
        prune app 11 4 1
        outcome app 11 1
        intent app - 0 2 13
        resolve app 14
        ",
        &[],
    );
}

#[test]
fn what_is_not_signed_is_not_admitted() {
    check(
        "
        genesis
        observe web aaa first unsigned,held
        observe web bbb first admitted
        observe web ccc forward unsigned,held
        observe web ccc forward unsigned,admitted
        ",
        &["entry 4: it admits what was refused for its signature: it is not signed"],
    );
}

#[test]
fn what_is_included_was_admitted_itself() {
    check(
        "
        genesis
        observe lib aaa first admitted
        observe lib bbb fork held
        observe web ccc first admitted with=1
        render app 3 whole
        render app 3 ccc
        observe web ccc same admitted with=2
        observe web ccc same admitted with=1 with=9
        ",
        &[
            "entry 5: the observation at 3 is of other content",
            "entry 6: it includes lib, which was held at 2",
            "entry 7: there is no observation of lib at 9",
        ],
    );
}

#[test]
fn a_log_begins_with_genesis() {
    check(
        "
        observe web aaa first admitted
        genesis
        ",
        &[
            "entry 0: genesis is the first entry, and only that",
            "entry 1: genesis is the first entry, and only that",
        ],
    );
}

#[test]
fn what_is_held_is_not_rendered() {
    check(
        "
        genesis
        observe web aaa first admitted
        observe web bbb fork held
        render app 2 bbb
        render app 1 zzz
        render app 9 aaa
        observe web bbb fork admitted
        observe web bbb fork ack=3
        ",
        &[
            "entry 3: the observation at 2 was held",
            "entry 4: the observation at 1 is of other content",
            "entry 5: there is no observation at 9",
            "entry 6: it admits a fork without acknowledgement",
            "entry 7: there is no acknowledgement at 3",
        ],
    );
}

#[test]
fn an_acknowledgement_covers_what_it_names() {
    check(
        "
        genesis
        observe web aaa first admitted
        violation web bbb fork
        ack web 2 bbb
        ack web 2 ccc
        ack web 1 bbb
        observe web ccc fork ack=3
        observe web gone vanished ack=3
        ",
        &[
            "entry 4: the violation at 2 is another one",
            "entry 5: there is no violation at 1",
            "entry 6: the acknowledgement at 3 is of something else",
            "entry 7: it admits a name that is gone",
        ],
    );
}

#[test]
fn every_act_has_its_reason() {
    check(
        "
        genesis
        observe web aaa first admitted
        render app 1 aaa
        intent app - 1 0 -
        intent app 1 1 0 -
        intent other 2 1 0 -
        intent app 2 1 1 -
        outcome app 9 0
        outcome other 3 0
        outcome app 3 1
        outcome app 3 0
        outcome app 3 0
        prune app 3 10 1
        prune app 4 10 0
        ",
        &[
            "entry 3: it applies what was not rendered",
            "entry 4: its subject has no render at 1",
            "entry 5: its subject has no render at 2",
            "entry 6: it deletes what no inventory names",
            "entry 7: there is no intent at 9",
            "entry 8: the intent at 3 is of app",
            "entry 9: it deleted more than its intent names",
            "entry 11: the intent at 3 has an outcome already",
            "entry 12: its intent goes by another inventory",
            "entry 13: its intent goes by another inventory",
        ],
    );
}

#[test]
fn verdicts_are_judged_again() {
    check(
        "
        genesis
        observe web aaa forward admitted
        observe web bbb first admitted
        observe web bbb same admitted
        observe web ccc same admitted
        ",
        &[
            "entry 1: its verdict forward contradicts what came before",
            "entry 2: its verdict first contradicts what came before",
            "entry 4: its verdict same contradicts what came before",
        ],
    );
}

#[test]
fn chains_have_no_gaps() {
    let mut audit = Audit::default();
    let draft = |words: &[&str]| Draft {
        time: "t".to_owned(),
        actor: "a".to_owned(),
        subject: "web".to_owned(),
        body: body(words),
    };
    audit.entry(&draft(&["genesis"]).placed(None));
    audit.entry(&draft(&["observe", "web", "aaa", "first", "admitted"]).placed(None));
    let found: Vec<String> = audit.finish().iter().map(Problem::to_string).collect();
    assert_eq!(found, ["entry 1: its subject's previous entry is 0"]);
}

#[test]
fn another_cluster_comes_on_record_by_an_acknowledgement_only() {
    check(
        "
        genesis
        meet prod aaa none admitted
        meet prod bbb aaa held
        ack prod 2 bbb
        meet prod bbb aaa ack=3
        meet prod ccc bbb admitted
        meet prod ddd bbb held
        ack prod 2 ddd
        meet prod ddd ccc ack=3
        meet prod eee ddd ack=9
        ",
        &[
            "entry 5: it puts another cluster on record without acknowledgement",
            "entry 6: the cluster on record is ccc",
            "entry 7: the meeting at 2 is another one",
            "entry 8: the acknowledgement at 3 is of another cluster",
            "entry 9: there is no acknowledgement at 9",
        ],
    );
}
