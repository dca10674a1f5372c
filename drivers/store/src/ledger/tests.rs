//! Flipped bytes, cut files, power cuts, full disks.

use std::collections::BTreeMap;

use fixpoint_base::{Gvk, Key};
use fixpoint_ledger::entry::{Body, Config};
use fixpoint_ledger::permit::{Action, Step};

use super::verify::verify_on;
use super::*;
use crate::disk::{Fault, Op};

fn draft(subject: &str, number: u64) -> Draft {
    Draft {
        time: "2026-11-22T10:00:00Z".to_owned(),
        actor: "engine".to_owned(),
        subject: subject.to_owned(),
        body: Body::Config(Config {
            setting: format!("setting {number}"),
            old: None,
            new: None,
            weakens: false,
        }),
    }
}

/// A deletion of what nobody named: the audit objects, the rest must not.
fn intent() -> Intent {
    Intent {
        time: "2026-11-22T10:00:00Z".to_owned(),
        actor: "engine".to_owned(),
        subject: "Kustomization/shop/web".to_owned(),
        target: "local".to_owned(),
        identity: "engine".to_owned(),
        render: None,
        inventory: None,
        basis: Digest::of(b"basis"),
        steps: vec![Step {
            key: Key::new(Gvk::new("", "v1", "ConfigMap"), "shop", "web"),
            action: Action::Delete,
            digest: None,
        }],
    }
}

fn open(disk: &Memory) -> Result<Ledger, LedgerError> {
    Ledger::open_on(Arc::new(disk.clone()), "ledger")
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Appends entries of two subjects; gives the indexes that were acknowledged.
fn append(ledger: &Ledger, numbers: Range<u64>) -> Vec<u64> {
    let subject = |number: u64| if number.is_multiple_of(2) { "even" } else { "odd" };
    numbers
        .filter_map(|number| wait(ledger.append(draft(subject(number), number))).ok())
        .map(|receipt| receipt.index())
        .collect()
}

fn report(disk: &Memory) -> Report {
    verify_on(Arc::new(disk.clone()), None).unwrap()
}

/// A ledger that was closed in good order, with entries in bundles only and entries in the tail.
fn golden(before: u64, after: u64) -> Memory {
    let disk = Memory::default();
    let (worker, _) = super::open::open(Arc::new(disk.clone()), "ledger").unwrap();
    let shared = Arc::clone(&worker.shared);
    let worker = worker.with_tail_bytes(0);
    let sequencer = Sequencer::Inline(Mutex::new(worker));
    let realm_key = Secret::new([0; 32]);
    let ledger = Ledger { inner: Arc::new(Inner { shared, sequencer, realm_key }) };
    append(&ledger, 0..before);
    wait(ledger.publish()).unwrap();
    drop(ledger);
    let disk = disk.reopened();
    let ledger = open(&disk).unwrap();
    append(&ledger, before..before + after);
    drop(ledger);
    disk.reopened()
}

#[test]
fn the_first_entry_is_genesis() {
    let disk = Memory::default();
    let ledger = open(&disk).unwrap();
    assert_eq!(ledger.size(), 0);
    let receipt = wait(ledger.append(draft("web", 0))).unwrap();
    assert_eq!((receipt.index(), ledger.size()), (1, 2));
    let entries = ledger.entries(0..9).unwrap();
    let Body::Genesis(genesis) = &entries[0].entry.body else { panic!() };
    assert_eq!(genesis.key, ledger.key().to_string());
    assert_eq!(entries[0].entry.time, entries[1].entry.time);
    let name = ledger.key().name().to_owned();
    drop(ledger);
    let report = report(&disk);
    assert_eq!(report.problems, [""; 0]);
    assert_eq!((report.origin, report.size, report.signed), (name, 2, 2));
}

#[test]
fn an_intent_gives_a_permit_and_keeps_its_steps() {
    let disk = Memory::default();
    let ledger = open(&disk).unwrap();
    let permit = wait(ledger.commit(intent())).unwrap();
    assert_eq!(permit.index(), 1);
    let digest = Digest::of(&intent().body());
    assert_eq!(ledger.body(&digest).unwrap(), Some(intent().body()));
    wait(ledger.publish()).unwrap();
    assert_eq!(ledger.body(&digest).unwrap(), Some(intent().body()));
    drop(ledger);
    assert_eq!(report(&disk).problems, ["entry 1: it deletes what no inventory names"]);
    assert_eq!(report(&disk).open, [1]);
    let blob = disk.files().into_keys().find(|name| name.starts_with("blobs/")).unwrap();
    disk.overwrite(&blob, b"other".to_vec());
    assert_eq!(report(&disk).problems.len(), 2);
}

#[test]
fn entries_survive_and_chains_are_walked() {
    let disk = golden(700, 20);
    let ledger = open(&disk).unwrap();
    assert_eq!(ledger.size(), 721);
    let settings = |entries: Vec<Indexed>| -> Vec<(u64, String)> {
        let setting = |entry: Entry| match entry.body {
            Body::Config(config) => config.setting,
            other => other.kind().to_owned(),
        };
        entries.into_iter().map(|one| (one.index, setting(one.entry))).collect()
    };
    let all = settings(ledger.entries(0..1000).unwrap());
    assert_eq!(all.len(), 721);
    assert!(all.iter().skip(1).all(|(index, text)| *text == format!("setting {}", index - 1)));
    assert_eq!(settings(ledger.tail(2).unwrap()), all[719..]);
    let even = settings(ledger.subject("even", 3).unwrap());
    assert_eq!(even, [all[715].clone(), all[717].clone(), all[719].clone()]);
    assert_eq!(ledger.subject("even", 9999).unwrap().len(), 360);
    append(&ledger, 720..721);
    drop(ledger);
    assert_eq!(report(&disk).problems, [""; 0]);
    assert_eq!(report(&disk).kinds, BTreeMap::from([("config", 721), ("genesis", 1)]));
}

#[test]
fn every_entry_can_be_proved() {
    let disk = golden(300, 5);
    let ledger = open(&disk).unwrap();
    for index in [0, 1, 255, 256, 299, 305] {
        let proof = wait(ledger.prove(index)).unwrap();
        assert_eq!(proof.check(ledger.key()), Ok(true), "{index}");
        let other = Proof { text: b"{}".to_vec(), ..proof };
        assert_eq!(other.check(ledger.key()), Ok(false));
    }
    assert!(matches!(wait(ledger.prove(306)), Err(LedgerError::NoSuchEntry(306))));
}

#[test]
fn the_layout_is_that_of_the_specification() {
    let disk = golden(600, 3);
    let files: Vec<String> = disk
        .files()
        .into_keys()
        .filter(|name| name.starts_with("ledger/") && !name.starts_with("ledger/tail"))
        .collect();
    let expected = "ledger/checkpoint ledger/tile/0/000 ledger/tile/0/001 ledger/tile/0/002.p/92 \
                    ledger/tile/1/000.p/2 ledger/tile/entries/000 ledger/tile/entries/001 \
                    ledger/tile/entries/002.p/92";
    assert_eq!(files.join(" "), expected);
}

fn flips(disk: &Memory, step: usize) {
    assert_eq!(report(disk).problems, [""; 0]);
    for (name, bytes) in disk.files() {
        if name.starts_with("keys/") {
            continue;
        }
        for at in (0..bytes.len()).step_by(step) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            disk.overwrite(&name, damaged);
            let report = report(disk);
            let noticed = !report.is_sound() || report.unfinished.is_some();
            assert!(noticed, "{name} at {at} of {}", bytes.len());
        }
        disk.overwrite(&name, bytes);
    }
    assert_eq!(report(disk).problems, [""; 0]);
}

#[test]
fn every_flipped_byte_is_detected() {
    flips(&golden(1, 1), 1);
}

#[test]
fn flipped_bytes_in_a_larger_ledger_are_detected() {
    flips(&golden(300, 3), 2999);
}

#[test]
fn a_file_cut_anywhere_is_mended_or_reported_and_never_loses_an_entry() {
    let disk = golden(1, 2);
    let all = open(&disk.reopened()).unwrap().entries(0..9).unwrap();
    assert_eq!(all.len(), 4);
    for (name, bytes) in disk.files() {
        if name.starts_with("keys/") {
            continue;
        }
        for len in 0..bytes.len() {
            let disk = disk.reopened();
            disk.overwrite(&name, bytes[..len].to_vec());
            if let Ok(ledger) = open(&disk) {
                assert_eq!(ledger.entries(0..9).unwrap(), all, "{name} cut to {len}");
                drop(ledger);
                // What was not mended is found by whoever looks.
                let again = report(&disk);
                assert!(again.size == 4 || !again.is_sound(), "{name} cut to {len}");
            }
        }
    }
}

#[test]
fn lost_tiles_are_made_again_from_the_tail() {
    let disk = Memory::default();
    let ledger = open(&disk).unwrap();
    append(&ledger, 0..300);
    drop(ledger);
    let disk = disk.reopened();
    for name in disk.files().into_keys().filter(|name| name.starts_with("ledger/tile/")) {
        disk.remove(&name).unwrap();
    }
    assert!(!report(&disk).is_sound());
    drop(open(&disk).unwrap());
    assert_eq!(report(&disk).problems, [""; 0]);
}

#[test]
fn an_older_checkpoint_or_tail_is_refused() {
    let young = golden(3, 0);
    let ledger = open(&young.reopened()).unwrap();
    drop(ledger);
    let old = young.reopened();
    let (worker, _) = super::open::open(Arc::new(young.clone()), "ledger").unwrap();
    let mut worker = worker.with_tail_bytes(0);
    let (done, _answer) = oneshot::channel();
    let (published, _answer) = oneshot::channel();
    worker.process(vec![
        Request::Append { draft: draft("web", 9), body: None, done },
        Request::Publish { done: published },
    ]);
    drop(worker);
    let old_files = old.files();
    let mixed = young.reopened();
    let checkpoint = "ledger/checkpoint";
    mixed.overwrite(checkpoint, old_files[checkpoint].clone());
    let err = open(&mixed).unwrap_err();
    assert_eq!(
        err.to_string(),
        "the ledger was changed from outside: the checkpoint covers 4 entries and there were 5 once"
    );
    let mixed = old.reopened();
    mixed.overwrite(checkpoint, young.files()[checkpoint].clone());
    let err = open(&mixed).unwrap_err();
    assert_eq!(
        err.to_string(),
        "the ledger was changed from outside: the checkpoint covers 5 entries and only 4 are there"
    );
}

#[test]
fn another_key_is_refused() {
    let disk = golden(2, 0);
    let other = Memory::default();
    let ledger = open(&other).unwrap();
    append(&ledger, 0..1);
    let key = ledger.key().clone();
    let report = verify_on(Arc::new(disk.clone()), Some(&key)).unwrap();
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    drop(ledger);
    let name = "keys/ledger.key";
    disk.overwrite(name, other.files()[name].clone());
    assert!(matches!(open(&disk), Err(LedgerError::Tampered { .. })));
    disk.remove(name).unwrap();
    assert!(matches!(open(&disk.reopened()), Err(LedgerError::Key { .. })));
}

#[test]
fn a_power_cut_at_any_point_loses_no_receipt() {
    let run = |disk: &Memory| -> Vec<u64> {
        let (worker, _) = match super::open::open(Arc::new(disk.clone()), "ledger") {
            Ok(opened) => opened,
            Err(_) => return Vec::new(),
        };
        let mut worker = worker.with_tail_bytes(0);
        let mut receipts = Vec::new();
        for number in 0..6 {
            let (done, mut answer) = oneshot::channel();
            let draft = draft("web", number);
            let mut batch = vec![Request::Append { draft, body: Some(vec![number as u8]), done }];
            let (done, _published) = oneshot::channel();
            if number % 2 == 1 {
                batch.push(Request::Publish { done });
            }
            worker.process(batch);
            if let Ok(Ok(receipt)) = answer.try_recv() {
                receipts.push(receipt.index());
            }
        }
        receipts
    };
    let whole = Memory::default();
    assert_eq!(run(&whole), [1, 2, 3, 4, 5, 6]);
    for at in 0..whole.ops() {
        // A failed sync ends the process in earnest; a machine that stops is what is tried here,
        // so syncs of the tail are left to succeed and the next operation fails.
        let disk = Memory::faulty(move |number, op| {
            (number >= at && op != Op::Sync).then_some(Fault::Crash)
        });
        let receipts = run(&disk);
        let left = disk.after_power_cut(0);
        let ledger = open(&left).unwrap_or_else(|err| panic!("cut at {at}: {err}"));
        let size = ledger.size();
        assert!(receipts.iter().all(|index| *index < size), "cut at {at}: {receipts:?} of {size}");
        append(&ledger, 0..1);
        drop(ledger);
        assert_eq!(report(&left).problems, [""; 0], "cut at {at}");
    }
}

#[test]
fn a_full_disk_refuses_entries_until_there_is_room() {
    let full = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = Arc::clone(&full);
    let disk = Memory::faulty(move |_, op| {
        let full = flag.load(std::sync::atomic::Ordering::Relaxed);
        (full && op == Op::Write).then_some(Fault::NoSpace)
    });
    let ledger = open(&disk).unwrap();
    assert_eq!(append(&ledger, 0..2), [1, 2]);
    full.store(true, std::sync::atomic::Ordering::Relaxed);
    let err = wait(ledger.append(draft("web", 2))).unwrap_err();
    assert!(err.hint().is_some_and(|hint| hint.contains("free space")));
    assert_eq!(ledger.size(), 3);
    full.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(append(&ledger, 3..5), [3, 4]);
    drop(ledger);
    assert_eq!(report(&disk).problems, [""; 0]);
}

#[tokio::test]
async fn a_ledger_on_disk_is_verified_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).await.unwrap();
    let appends: Vec<_> = (0..600)
        .map(|number| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.append(draft("web", number)).await })
        })
        .collect();
    for append in appends {
        append.await.unwrap().unwrap();
    }
    let found = verify(dir.path(), Some(ledger.key())).unwrap();
    assert_eq!((found.problems.len(), found.size), (0, 601), "{:?}", found.problems);
    assert_eq!(ledger.verify().await.unwrap().signed, 601);
    assert!(matches!(Ledger::open(dir.path()).await, Err(LedgerError::Log(_))));
    let key = *ledger.realm_key();
    drop(ledger);
    use std::os::unix::fs::PermissionsExt as _;
    for file in ["keys/ledger.key", "keys/realm.key", "ledger/checkpoint"] {
        let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let ledger = Ledger::open(dir.path()).await.unwrap();
    assert_eq!((ledger.size(), *ledger.realm_key()), (601, key));
}

#[tokio::test]
async fn a_ledger_in_memory_is_the_same_for_the_same_seed() {
    let checkpoint = async || {
        let ledger = Ledger::in_memory([7; 32]);
        for number in 0..300 {
            ledger.append(draft("web", number)).await.unwrap();
        }
        assert_eq!(ledger.replay().unwrap().open.len(), 0);
        assert_eq!(ledger.verify().await.unwrap().problems, [""; 0]);
        ledger.commit(intent()).await.unwrap();
        assert_eq!(ledger.replay().unwrap().open.len(), 1);
        ledger.checkpoint()
    };
    assert_eq!(checkpoint().await, checkpoint().await);
}

#[test]
fn keys_are_not_shown() {
    let ledger = Ledger::in_memory([7; 32]);
    assert_eq!(format!("{ledger:?}"), "Ledger(0 entries)");
}
