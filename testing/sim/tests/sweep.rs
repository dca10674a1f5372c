//! Every kind of fault at every request of a short story, one at a time: whatever was played, the
//! story ends as it does without, nothing is pruned that should stay, and ledger and audit log
//! agree.
//!
//! A sample is swept by `cargo test`; `FIXPOINT_SWEEP=whole` sweeps all.

#![cfg(test)]

use std::fmt::Write as _;

use fixpoint_sim::Played;

/// A version arrives, is changed, and loses an object. Long waits: some faults take their time.
const STORY: &str = "\
> commit main app/a.yaml=configmap/a,v=1 app/b.yaml=configmap/b,v=1 app/c.yaml=configmap/c,v=1
> source web branch=main
> deliver apps source=web path=./app
> settle
> commit main app/a.yaml=configmap/a,v=2 -app/c.yaml
> reconcile source/web
> wait 30m
";

/// Asked after the engine is well again.
const END: &str = "\
> wait 30m
> status
> objects
> ledger verify
";

/// Faults of requests that are answered once.
const FAULTS: &[&str] = &[
    "reset",
    "lose",
    "hang",
    "mute",
    "status 429 retry-after 2",
    "status 409",
    "status 500",
    "status 503 retry-after 1",
    "delay 60s",
    "cut 20",
    "truncate 20",
    "stale",
];

/// Faults of watches.
const WATCH_FAULTS: &[&str] =
    &["reset", "gone", "end", "silent", "skip 1", "double 1", "swap 1", "status 500", "cut 30"];

/// How far apart the requests of a sample are: a prime, so that every kind of request is met.
const STRIDE: usize = 29;

fn is_whole() -> bool {
    std::env::var("FIXPOINT_SWEEP").is_ok_and(|scope| scope == "whole")
}

/// What the world looks like at the end.
fn end(played: &Played) -> String {
    let (_, end) = played.text.rsplit_once("> wait 30m\n").expect("the story has an end");
    end.to_owned()
}

/// Plays the story with a fault; `None` where no request is left to meet it.
fn with(rule: &str, then: &str) -> Option<Result<Played, String>> {
    match fixpoint_sim::play(&format!("> fault {rule}\n{STORY}{then}{END}")) {
        Ok(played) => Some(Ok(played)),
        Err(err) if format!("{err:#}").contains("no request met") => None,
        Err(err) => Some(Err(format!("{err:#}"))),
    }
}

/// Sweeps a fault over the requests that fit; gives how many it met.
fn sweep(call: &str, faults: &[&str], then: &str, stride: usize) -> usize {
    let expected = end(&fixpoint_sim::play(&format!("{STORY}{END}")).expect("it goes well"));
    let (mut met, mut wrong) = (0, String::new());
    for (first, fault) in faults.iter().enumerate() {
        for nth in (1 + first % stride..).step_by(stride) {
            let rule = format!("{call} nth {nth}: {fault}");
            match with(&rule, then) {
                None => break,
                Some(Ok(played)) if end(&played) == expected => met += 1,
                Some(Ok(played)) => writeln!(wrong, "{rule}:\n{}", end(&played)).unwrap(),
                Some(Err(err)) => writeln!(wrong, "{rule}:\n{err}").unwrap(),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    met
}

#[test]
fn any_fault_at_any_request_is_recovered_from() {
    let stride = if is_whole() { 1 } else { STRIDE };
    let met = sweep("ANY **", FAULTS, "> heal\n", stride);
    assert!(met >= FAULTS.len(), "{met} faults were met");
    println!("{met} faults at requests");
}

#[test]
fn any_fault_of_a_watch_is_recovered_from() {
    let stride = if is_whole() { 1 } else { 5 };
    let met = sweep("WATCH **", WATCH_FAULTS, "> heal\n", stride);
    assert!(met >= 6, "{met} faults were met");
    println!("{met} faults of watches");
}

/// The power fails while a write is under way, before or after the server has done it: `kill -9`
/// at every write.
#[test]
fn a_crash_at_any_write_is_recovered_from() {
    let stride = if is_whole() { 1 } else { 3 };
    let met = sweep("WRITE **", &["hang", "mute"], "> crash\n", stride);
    assert!(met >= 6, "{met} crashes");
    println!("{met} crashes at writes");
}
