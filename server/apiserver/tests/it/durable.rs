//! What survives: restarts, compaction, and a second engine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use fixpoint_apiserver::{ApiServer, OpenError, Options, ServerLimits, Storage};

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
