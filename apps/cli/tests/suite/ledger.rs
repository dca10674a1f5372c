//! A ledger that somebody changed: every byte counts, the engine does not start on it, and the
//! error names what is wrong.

use std::fs;
use std::path::{Path, PathBuf};

use fixpoint_fixture::Repo;

use crate::harness::{Home, Scene};

/// The files that make up the ledger.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// A home with a ledger of some length, and the repositories that its sources follow.
fn stopped() -> (Home, [Repo; 2]) {
    let scene = Scene::new();
    scene.last_good_stays();
    let Scene { engine, home, shop, neighbour } = scene;
    let (status, logs) = engine.stop();
    assert!(status.success(), "{logs}");
    assert_eq!(home.verify_offline().code, 0);
    (home, [shop, neighbour])
}

#[test]
fn one_changed_byte_is_found_wherever_it_is() {
    let (home, _repositories) = stopped();
    let ledger = home.data_dir().join("ledger");
    for path in files(&ledger) {
        let good = fs::read(&path).unwrap();
        let name = path.strip_prefix(&ledger).unwrap().display().to_string();
        if good.is_empty() {
            continue;
        }
        for at in [good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x01;
            fs::write(&path, &bad).unwrap();
            let said = home.verify_offline();
            assert_eq!(said.code, 1, "{name} at {at} of {}: {said:#?}", good.len());
            assert!(said.err.starts_with("error: "), "{name}: {said:#?}");
            assert!(said.out.contains("! ") || said.err.contains("because"), "{name}: {said:#?}");
        }
        fs::write(&path, &good).unwrap();
    }
    assert_eq!(home.verify_offline().code, 0);
}

#[test]
fn the_engine_does_not_start_on_a_ledger_that_was_changed() {
    let (home, _repositories) = stopped();
    let ledger = home.data_dir().join("ledger");
    let mut tried = Vec::new();
    for path in files(&ledger) {
        let name = path.strip_prefix(&ledger).unwrap().display().to_string();
        // What the tail still has, tiles and bundles are made from again.
        let is_edge = name == "checkpoint" || name.starts_with("tail/");
        let good = fs::read(&path).unwrap();
        if !is_edge || good.len() < 2 {
            continue;
        }
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        println!("{name}");
        let said = home.run(&["up", "--listen", "127.0.0.1:0"]);
        assert_eq!(said.code, 1, "{name}: {said:#?}");
        assert!(said.err.contains("error: could not open the ledger in "), "{name}: {said:#?}");
        assert!(said.err.contains("because "), "{name}: {said:#?}");
        assert_eq!(said.out, "", "{name}");
        fs::write(&path, &good).unwrap();
        tried.push(name);
    }
    assert!(tried.len() > 1, "{tried:?}");
    // Nothing of that changed anything.
    assert_eq!(home.verify_offline().code, 0);
    home.up().stop();
}

#[test]
fn a_ledger_that_lost_its_end_is_not_taken_for_a_whole_one() {
    let (home, _repositories) = stopped();
    let data = home.data_dir();
    let tail = files(&data.join("ledger").join("tail"));
    for path in &tail {
        let good = fs::read(path).unwrap();
        fs::write(path, &good[..good.len() / 2]).unwrap();
    }
    let said = home.verify_offline();
    assert_eq!(said.code, 1, "{said:#?}");
    let said = home.run(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, 1, "{said:#?}");
    assert!(said.err.contains("ledger"), "{said:#?}");
}

#[test]
fn a_ledger_that_is_gone_is_not_begun_anew_while_sources_were_delivered_from_it() {
    let (home, _repositories) = stopped();
    let ledger = home.data_dir().join("ledger");
    let aside = home.data_dir().join("aside");
    fs::rename(&ledger, &aside).unwrap();
    let said = home.run_for(1, &["up", "--listen", "127.0.0.1:0"]);
    assert!(said.err.contains("is gone"), "{said:#?}");
    assert!(said.err.contains("hint: put the newest ledger"), "{said:#?}");
    assert!(!ledger.exists(), "a refused start leaves nothing behind");
    fs::rename(&aside, &ledger).unwrap();
    assert_eq!(home.verify_offline().code, 0);
    let engine = home.up();
    assert!(engine.stop().0.success());
}

#[test]
fn an_older_copy_of_the_ledger_is_refused() {
    let (home, [shop, _neighbour]) = stopped();
    let (ledger, old) = (home.data_dir().join("ledger"), home.data_dir().join("old"));
    copy(&ledger, &old);
    let engine = home.up();
    let commit = shop.commit(&[("deploy/more.yaml", &crate::harness::config_map("more", "1"))]);
    engine.api().wait("GitRepository", "shop", "store the commit", |source| {
        source["status"]["artifact"]["revision"].as_str().is_some_and(|at| at.ends_with(&commit))
    });
    engine.stop();
    fs::remove_dir_all(&ledger).unwrap();
    fs::rename(&old, &ledger).unwrap();
    let said = home.run_for(1, &["up", "--listen", "127.0.0.1:0"]);
    assert!(said.err.contains("is older than the state: it does not know"), "{said:#?}");
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let copy = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(&path, &copy).unwrap();
    }
}

#[test]
fn entries_are_read_beside_a_running_engine_and_change_no_file() {
    let scene = Scene::new();
    scene.last_good_stays();
    let ledger = scene.home.data_dir().join("ledger");
    let dir = scene.home.data_dir().display().to_string();
    let read = || scene.home.run_for(0, &["ledger", "log", "--data-dir", &dir, "-o", "json"]);
    let entries: serde_json::Value = serde_json::from_str(&read().out).unwrap();
    assert_eq!(entries[0]["kind"], "genesis");
    assert!(entries.as_array().unwrap().iter().any(|entry| entry["kind"] == "outcome"));

    let Scene { engine, home, .. } = scene;
    engine.stop();
    let state = || files(&ledger).into_iter().map(|path| (fs::read(&path).unwrap(), path));
    let before: Vec<_> = state().collect();
    home.run_for(0, &["ledger", "log", "--data-dir", &dir]);
    assert_eq!(before, state().collect::<Vec<_>>());
}
