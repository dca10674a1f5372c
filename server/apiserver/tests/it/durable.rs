//! What survives: restarts, compaction, and a second engine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use expect_test::expect;
use fixpoint_apiserver::{ApiServer, OpenError, Options, ServerLimits, Storage};

use fixpoint_driver_store::disk::{Fault, Memory, Op};

use crate::support::{BEGIN, World, block_on, options, widgets};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn on_disk(dir: &Path) -> (Options, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(BEGIN));
    (Options { data: Storage::Dir(dir.to_owned()), ..options(&clock) }, clock)
}

async fn open(dir: &Path) -> World {
    let (options, clock) = on_disk(dir);
    World::with(options, clock).await
}

#[test]
fn a_restart_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let mut world = open(dir.path()).await;
        let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        world.run(&format!("POST {crds} {}", widgets())).await;
        world.run(&format!(r#"
            POST {MAPS} {{"metadata":{{"name":"a"}},"data":{{"k":"v"}}}}
            POST {MAPS} {{"metadata":{{"name":"b"}}}}
            DELETE {MAPS}/b
            POST /apis/example.com/v1/namespaces/default/widgets {{"metadata":{{"name":"w"}},"spec":{{"size":1}}}}
        "#)).await;
        let before = world.object(&format!("GET {MAPS}")).await;
        let identity = world.server.identity();
        world.server.close().await;

        let mut world = open(dir.path()).await;
        let after = world.object(&format!("GET {MAPS}")).await;
        assert_eq!(before, after, "objects and the revision are as they were");
        assert_eq!(identity, world.server.identity());
        let said = world.run("GET /apis/example.com/v1/widgets").await;
        assert_eq!(said, "200 WidgetList [w]\n");
        // A watch goes on where it was before the restart.
        let line = format!("GET {MAPS}?watch=1&timeoutSeconds=1&resourceVersion=5");
        let events = world.run(&line).await;
        assert!(events.contains("\"DELETED\"") && !events.contains("ERROR"), "{events}");
        world.server.close().await;
    });
}

#[test]
fn interrupted_deletions_go_on() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let mut world = open(dir.path()).await;
        world.run(&format!(r#"
            POST {MAPS} {{"metadata":{{"name":"held","finalizers":["example.com/x"]}}}}
            POST /api/v1/namespaces {{"metadata":{{"name":"shop"}}}}
            POST /api/v1/namespaces/shop/configmaps {{"metadata":{{"name":"a","finalizers":["example.com/x"]}}}}
            DELETE /api/v1/namespaces/shop
        "#)).await;
        world.server.close().await;
        let mut world = open(dir.path()).await;
        world
            .run(
                r#"
            PATCH merge /api/v1/namespaces/shop/configmaps/a {"metadata":{"finalizers":null}}
            gone /api/v1/namespaces/shop
        "#,
            )
            .await;
        world.server.close().await;
    });
}

#[test]
fn one_engine_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let world = open(dir.path()).await;
        let (second, _) = on_disk(dir.path());
        let refused = ApiServer::open(second).await.err().unwrap();
        assert!(matches!(refused, OpenError::Locked(_)), "{refused}");
        world.server.close().await;
        let (third, _) = on_disk(dir.path());
        assert!(ApiServer::open(third).await.is_ok());
    });
}

#[test]
fn compaction_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let (options, clock) = on_disk(dir.path());
        let limits = ServerLimits { compact_bytes: 20_000, ..ServerLimits::default() };
        let mut world = World::with(Options { limits, ..options }, clock).await;
        world.run(&format!(r#"POST {MAPS} {{"metadata":{{"name":"kept"}}}}"#)).await;
        world.run(&format!(r#"POST {MAPS} {{"metadata":{{"name":"busy"}}}}"#)).await;
        for n in 0..400 {
            world.run(&format!(r#"PATCH merge {MAPS}/busy {{"data":{{"n":"{n}"}}}}"#)).await;
        }
        let before = world.object(&format!("GET {MAPS}")).await;
        world.server.close().await;
        let size: u64 = walk(&dir.path().join("objects"));
        assert!(size < 200_000, "{size} bytes of log for two small objects");
        let mut world = open(dir.path()).await;
        let after = world.object(&format!("GET {MAPS}")).await;
        assert_eq!(before, after);
    });
}

/// A disk whose operations fail while `full` says so.
fn filling(full: &Arc<AtomicBool>) -> Memory {
    let full = Arc::clone(full);
    Memory::faulty(move |_, op| {
        (op == Op::Write && full.load(Ordering::Relaxed)).then_some(Fault::NoSpace)
    })
}

fn on(disk: Memory) -> (Options, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(BEGIN));
    (Options { data: Storage::Disk(Arc::new(disk)), ..options(&clock) }, clock)
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let full = Arc::new(AtomicBool::new(false));
    let disk = filling(&full);
    let said = block_on(async {
        let (options, clock) = on(disk.clone());
        let mut world = World::with(options, clock).await;
        let make = |name: &str| format!(r#"POST {MAPS} {{"metadata":{{"name":"{name}"}}}}"#);
        let mut said = world.run(&make("before")).await;
        full.store(true, Ordering::Relaxed);
        said += &world.run(&make("during")).await;
        said += &world.run(&format!("DELETE {MAPS}/before\nGET {MAPS}")).await;
        full.store(false, Ordering::Relaxed);
        said += &world.run(&make("after")).await;
        world.server.close().await;
        let (options, clock) = on(disk.reopened());
        let mut world = World::with(options, clock).await;
        said + &world.run(&format!("GET {MAPS}")).await
    });
    expect![[r#"
        201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"before","namespace":"default"}}
        507 InsufficientStorage: the server has no space left to store anything; reads go on, and writes will again when there is space
        507 InsufficientStorage: the server has no space left to store anything; reads go on, and writes will again when there is space
        200 ConfigMapList [before]
        201 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"after","namespace":"default"}}
        200 ConfigMapList [after before]
    "#]].assert_eq(&said);
}

/// Stops the machine at every operation of a conversation: what was answered is there afterwards,
/// and nothing is there by half.
#[test]
fn a_power_cut_at_any_moment_loses_nothing_that_was_answered() {
    for stop in 0..60 {
        let disk = Memory::faulty(move |at, _| (at == stop).then_some(Fault::Crash));
        let answered = block_on(async {
            let (options, clock) = on(disk.clone());
            // A log that cannot be made durable would end the process; here the disk is dead.
            let Ok(server) = ApiServer::open(options).await else { return Vec::new() };
            let mut world = World::of(server, clock);
            let mut answered = Vec::new();
            for n in 0..8 {
                let made = format!(r#"POST {MAPS} {{"metadata":{{"name":"m{n}"}}}}"#);
                if world.run(&made).await.starts_with("201") {
                    answered.push(format!("m{n}"));
                }
            }
            answered
        });
        for torn in [0, 1, 17, usize::MAX / 2] {
            let found = block_on(async {
                let (options, clock) = on(disk.after_power_cut(torn));
                let mut world = World::with(options, clock).await;
                let list = world.object(&format!("GET {MAPS}")).await;
                let items = list["items"].as_array().unwrap().clone();
                items.iter().map(|o| o["metadata"]["name"].as_str().unwrap().to_owned()).collect()
            });
            let found: Vec<String> = found;
            assert!(
                found.starts_with(&answered),
                "stop {stop}, torn {torn}: {answered:?} {found:?}"
            );
        }
    }
}

/// The child of the test below: writes until it is killed, and says what was answered. Without
/// the variable that the test below sets, there is nothing to do.
#[test]
fn writes_until_killed() {
    use std::io::Write as _;
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    block_on(async {
        let world = open(Path::new(&dir)).await;
        let mut n = 0;
        loop {
            let writes = (n..n + 16).map(|n| {
                let line = format!(r#"POST {MAPS} {{"metadata":{{"name":"m{n}"}}}}"#);
                let world = &world;
                async move {
                    let response = world.ask(&crate::support::Asked::parse(&line)).await;
                    assert_eq!(response.status(), 201);
                    // One write, so that the kill cannot cut a line in two.
                    let line = format!("answered m{n}\n");
                    std::io::stderr().write_all(line.as_bytes()).unwrap();
                }
            });
            futures::future::join_all(writes).await;
            n += 16;
        }
    });
}

const CHILD_DIR: &str = "FIXPOINT_TEST_CHILD_DIR";

#[test]
fn a_killed_server_keeps_what_it_answered() {
    use std::io::BufRead as _;
    let dir = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durable::writes_until_killed", "--nocapture"])
        .env(CHILD_DIR, dir.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let said: Vec<String> = lines.by_ref().take(100).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    // What was said between the hundredth answer and the kill counts too.
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let answered: Vec<String> = said
        .iter()
        .chain(&rest)
        .filter_map(|line| line.strip_prefix("answered ").map(str::to_owned))
        .collect();
    assert!(answered.len() >= 90, "{said:?}");
    block_on(async {
        let mut world = open(dir.path()).await;
        let list = world.object(&format!("GET {MAPS}")).await;
        let items = list["items"].as_array().unwrap();
        for name in &answered {
            assert!(items.iter().any(|item| item["metadata"]["name"] == **name), "{name} is lost");
        }
    });
}

fn walk(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path()),
            false => entry.metadata().unwrap().len(),
        })
        .sum()
}
