//! Every crash, every full disk, every flipped byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::disk::{Fault, Memory, Op};

/// Small segments, so that a dozen records fill several; a failed sync only stops the log.
fn options() -> LogOptions {
    LogOptions { segment_bytes: 80, fatal: Arc::new(|_| {}), ..LogOptions::default() }
}

fn open(disk: &Memory) -> Result<(Log, Vec<Vec<u8>>), LogError> {
    Log::open_on(Arc::new(disk.clone()), "log", options())
}

/// Numbers as records; a snapshot record lists those it stands for.
fn numbers(records: &[Vec<u8>]) -> Vec<u32> {
    let text: Vec<&str> = records.iter().map(|r| std::str::from_utf8(r).unwrap()).collect();
    text.join(",").split(',').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect()
}

fn record(number: u32) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// Appends twelve numbers one by one, compacting after the fifth; gives those acknowledged.
fn scenario(log: &Log) -> Vec<u32> {
    let mut acknowledged = Vec::new();
    for number in 100..112 {
        if log.append(record(number)).wait().is_ok() {
            acknowledged.push(number);
        }
        if number == 104 {
            let all: Vec<String> = acknowledged.iter().map(u32::to_string).collect();
            log.compact(vec![all.join(",").into_bytes()]).wait().ok();
        }
    }
    acknowledged
}

fn check_survivors(disk: &Memory, acknowledged: &[u32], case: &str) {
    let (log, records) = open(disk).unwrap_or_else(|err| panic!("{case}: {}", Chain(&err)));
    let found = numbers(&records);
    assert!(found.is_sorted_by(|a, b| a < b), "{case}: {found:?}");
    for number in acknowledged {
        assert!(found.contains(number), "{case}: {number} was acknowledged; found {found:?}");
    }
    log.append(record(999)).wait().unwrap();
    log.close();
    let again = numbers(&open(&disk.reopened()).unwrap().1);
    assert_eq!(again, [&found[..], &[999]].concat(), "{case}");
}

#[test]
fn records_come_back_in_order() {
    let disk = Memory::default();
    let (log, records) = open(&disk).unwrap();
    assert!(records.is_empty());
    let tickets: Vec<Ticket> = (0..100).map(|number| log.append(record(number))).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let size: usize = disk.files().values().map(Vec::len).sum();
    assert_eq!(log.size(), size as u64);
    log.close();
    let (_, records) = open(&disk.reopened()).unwrap();
    assert_eq!(numbers(&records), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn waiting_appends_share_a_sync() {
    let syncs = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&syncs);
    let disk = Memory::faulty(move |_, op| {
        if op == Op::Sync {
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        None
    });
    let (log, _) = Log::open_on(Arc::new(disk.clone()), "log", LogOptions::default()).unwrap();
    let before = syncs.load(Ordering::Relaxed);
    let tickets: Vec<Ticket> = (0..1000).map(|number| log.append(record(number))).collect();
    for ticket in tickets {
        ticket.await.unwrap();
    }
    assert!(syncs.load(Ordering::Relaxed) - before < 100);
}

#[test]
fn a_snapshot_replaces_what_came_before() {
    let disk = Memory::default();
    let (log, _) = open(&disk).unwrap();
    let acknowledged = scenario(&log);
    assert_eq!(acknowledged.len(), 12);
    let before = log.size();
    log.compact(vec![record(1), record(2)]).wait().unwrap();
    assert!(log.size() < before);
    log.append(record(3)).wait().unwrap();
    log.close();
    assert_eq!(numbers(&open(&disk.reopened()).unwrap().1), [1, 2, 3]);
}

#[test]
fn appends_go_on_while_a_snapshot_is_written() {
    let (begun, begin) = std::sync::mpsc::channel();
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    // The first removal is that of an older unfinished snapshot: the compactor is at work.
    let disk = Memory::faulty(move |_, op| {
        if op == Op::Name && begun.send(()).is_ok() {
            gate.lock().unwrap().recv().ok();
        }
        None
    });
    let (log, _) = open(&disk).unwrap();
    log.append(record(1)).wait().unwrap();
    let compaction = log.compact(vec![record(1)]);
    begin.recv().unwrap();
    drop(begin);
    log.append(record(2)).wait().unwrap();
    release.send(()).unwrap();
    compaction.wait().unwrap();
    log.close();
    assert_eq!(numbers(&open(&disk.reopened()).unwrap().1), [1, 2]);
}

fn ops_of_scenario() -> u64 {
    let disk = Memory::default();
    let (log, _) = open(&disk).unwrap();
    scenario(&log);
    log.close();
    disk.ops()
}

#[test]
fn a_power_cut_at_any_point_loses_nothing_acknowledged() {
    for at in 0..ops_of_scenario() {
        for torn in [0, 1, 9, 1000] {
            let disk = Memory::faulty(move |number, _| (number == at).then_some(Fault::Crash));
            let acknowledged = match open(&disk) {
                Ok((log, _)) => scenario(&log),
                Err(_) => Vec::new(),
            };
            let left = disk.after_power_cut(torn);
            check_survivors(&left, &acknowledged, &format!("cut at {at}, {torn} bytes torn"));
        }
    }
}

#[test]
fn a_disk_that_is_full_for_a_while_is_survived() {
    for fault in [Fault::NoSpace, Fault::TooBig, Fault::Short] {
        for at in 4..ops_of_scenario() {
            let disk = Memory::faulty(move |number, op| {
                (op == Op::Write && (at..at + 2).contains(&number)).then_some(fault)
            });
            let (log, _) = open(&disk).unwrap();
            let acknowledged = scenario(&log);
            assert!(acknowledged.len() >= 9, "{fault:?} at {at}: {acknowledged:?}");
            log.close();
            let case = format!("{fault:?} at {at}");
            check_survivors(&disk.reopened(), &acknowledged, &case);
            check_survivors(&disk.after_power_cut(0), &acknowledged, &case);
        }
    }
}

#[test]
fn a_full_disk_says_so() {
    let disk = Memory::faulty(|number, _| (number == 4).then_some(Fault::NoSpace));
    let (log, _) = open(&disk).unwrap();
    let err = log.append(record(1)).wait().unwrap_err();
    assert_eq!(err.to_string(), "no space is left for 00000000000000000001.log");
    assert_eq!(err.class(), Class::Transient);
    log.append(record(2)).wait().unwrap();
}

#[test]
fn a_failed_sync_stops_the_log() {
    let told = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&told);
    // Opening makes the folder's names, the header and the header's name durable.
    let disk = Memory::faulty(|number, op| (number > 4 && op == Op::Sync).then_some(Fault::Io));
    let fatal: Fatal = Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let options = LogOptions { fatal, ..options() };
    let (log, _) = Log::open_on(Arc::new(disk), "log", options).unwrap();
    for _ in 0..3 {
        let err = log.append(record(1)).wait().unwrap_err();
        assert!(matches!(err, LogError::NotDurable { .. }), "{err}");
    }
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), options()).unwrap();
    let err = Log::open(dir.path(), options()).unwrap_err();
    assert!(matches!(err, LogError::InUse { .. }), "{err}");
    let acknowledged = scenario(&log);
    let reader = Folder::existing(dir.path());
    assert_eq!(numbers(&Log::read(&reader, "log").unwrap().0), acknowledged);
    log.close();
    let (_log, records) = Log::open(dir.path(), options()).unwrap();
    assert_eq!(numbers(&records), acknowledged);
}

/// A log of three segments without a snapshot, and its files.
fn written() -> (BTreeMap<String, Vec<u8>>, String) {
    let disk = Memory::default();
    let (log, _) = open(&disk).unwrap();
    for number in 100..115 {
        log.append(record(number)).wait().unwrap();
    }
    log.close();
    let files = disk.files();
    let last = files.keys().rfind(|name| name.ends_with(".log")).unwrap().clone();
    assert_eq!(last, "00000000000000000003.log");
    (files, last)
}

fn with(files: &BTreeMap<String, Vec<u8>>, name: &str, bytes: Vec<u8>) -> Memory {
    let disk = Memory::default();
    for (name, bytes) in files {
        disk.overwrite(name, bytes.clone());
    }
    disk.overwrite(name, bytes);
    disk
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_to_whole_records() {
    let (files, last) = written();
    let mut shortest = usize::MAX;
    for len in 0..files[&last].len() {
        let disk = with(&files, &last, files[&last][..len].to_vec());
        let found = numbers(&open(&disk).unwrap().1);
        assert!((100..115).collect::<Vec<_>>().starts_with(&found), "{len}: {found:?}");
        shortest = shortest.min(found.len());
        check_survivors(&disk.reopened(), &found, &format!("cut to {len}"));
    }
    assert_eq!(shortest, 10);
}

#[test]
fn a_flipped_byte_is_never_believed() {
    let (files, last) = written();
    let all: Vec<u32> = (100..115).collect();
    for (name, bytes) in &files {
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            match open(&with(&files, name, damaged)) {
                Err(LogError::Corrupt { file, offset, .. }) => {
                    assert!(file >= *name && offset <= at as u64, "{name} {at}: {file} {offset}");
                }
                Err(err) => panic!("{name} {at}: {err}"),
                // The last batch cannot be told from one that was never acknowledged.
                Ok((_, records)) => {
                    assert_eq!(*name, last);
                    assert_eq!(numbers(&records), all[..14], "{at}");
                }
            }
        }
    }
}

#[test]
fn a_missing_segment_is_noticed() {
    let (mut files, _) = written();
    files.remove("00000000000000000002.log");
    let disk = with(&files, "LOCK", Vec::new());
    let err = open(&disk).unwrap_err();
    assert_eq!(
        err.to_string(),
        "00000000000000000002.log is damaged at byte 0: the segment is missing"
    );
}

#[test]
fn a_record_within_a_record_is_not_believed() {
    // The content of a torn record may be anything, bytes of another log among them.
    let (files, last) = written();
    let quoted = files[&last].clone();
    let disk = Memory::default();
    let (log, _) = open(&disk).unwrap();
    log.append(record(1)).wait().unwrap();
    log.append(quoted).wait().unwrap();
    log.close();
    let name = "00000000000000000001.log";
    let mut bytes = disk.files()[name].clone();
    bytes.truncate(bytes.len() - 1);
    let (_, records) = open(&with(&disk.files(), name, bytes)).unwrap();
    assert_eq!(numbers(&records), [1]);
}

#[test]
fn sectors_lost_within_the_last_batch_are_a_crash() {
    let number = 1;
    let mut bytes = format::header(format::SEGMENT, number, 0);
    for at in 0..4 {
        let offset = bytes.len() as u64;
        format::push(&mut bytes, number, offset, &[b'x'; 1000], at == 0);
    }
    let bad = format::HEADER as usize;
    let mut lost = bytes.clone();
    lost[512..1024].fill(0);
    assert!(format::is_torn(&lost, number, bad));
    let mut flipped = bytes;
    flipped[600] ^= 1;
    assert!(!format::is_torn(&flipped, number, bad));
}

#[test]
fn what_is_too_large_is_refused() {
    let options = LogOptions { record_bytes: 4, ..options() };
    let (log, _) = Log::open_on(Arc::new(Memory::default()), "log", options).unwrap();
    log.append(vec![0; 4]).wait().unwrap();
    let err = log.append(vec![0; 5]).wait().unwrap_err();
    assert_eq!(err.to_string(), "a record of 5 bytes is over the limit of 4 bytes");
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Compact,
    Reopen,
    PowerCut(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..60).prop_map(Step::Append),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
        1 => (0usize..100).prop_map(Step::PowerCut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Acknowledged one by one, the log is a list, whatever happens in between.
    #[test]
    fn the_log_is_a_list(steps in prop::collection::vec(step(), 1..60)) {
        let mut disk = Memory::default();
        let mut log = open(&disk).unwrap().0;
        let mut model: Vec<Vec<u8>> = Vec::new();
        for (at, step) in steps.into_iter().enumerate() {
            let left = match step {
                Step::Append(len) => {
                    let record = vec![at as u8; len];
                    log.append(record.clone()).wait().unwrap();
                    model.push(record);
                    continue;
                }
                Step::Compact => {
                    model.truncate(at % 5);
                    log.compact(model.clone()).wait().unwrap();
                    continue;
                }
                Step::Reopen => disk.reopened(),
                Step::PowerCut(torn) => disk.after_power_cut(torn),
            };
            let (again, records) = open(&left).unwrap();
            prop_assert_eq!(&records, &model);
            log = again;
            disk = left;
        }
    }
}
