//! Watches: in order, without gaps, from anywhere that is remembered.

use bytes::Bytes;
use expect_test::{Expect, expect};
use fixpoint_apiserver::{Body, Options, ServerLimits};
use futures::StreamExt;
use http_body_util::{BodyExt, BodyStream};
use serde_json::Value;

use crate::support::{Asked, World, block_on, describe, options};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A watch that is read line by line.
struct Lines {
    body: BodyStream<Body>,
    rest: Vec<u8>,
}

impl Lines {
    async fn open(world: &World, line: &str) -> Self {
        let response = world.ask(&Asked::parse(&line.replace("MAPS", MAPS))).await;
        assert_eq!(response.status(), 200, "{line}");
        Self { body: BodyStream::new(response.into_body()), rest: Vec::new() }
    }

    /// The next event; `None` when the watch has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.next().await?.unwrap();
            self.rest.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new()));
        }
    }

    async fn take(&mut self, count: usize) -> String {
        let mut out = String::new();
        for _ in 0..count {
            let Some(event) = self.next().await else { break };
            out.push_str(&tell(&event));
            out.push('\n');
        }
        out
    }
}

fn tell(event: &Value) -> String {
    let object = &event["object"];
    let name = object["metadata"]["name"].as_str().unwrap_or("");
    let rv = object["metadata"]["resourceVersion"].as_str().unwrap_or("");
    let kind = event["type"].as_str().unwrap();
    match kind {
        "ERROR" => format!("{kind} {}", describe(object)),
        "BOOKMARK" => format!("{kind} @{rv} {}", object["metadata"]["annotations"]),
        _ => format!("{kind} {name} @{rv}"),
    }
}

/// Watches while a conversation goes on, and reads that many events.
fn check(watch: &str, script: &str, count: usize, events: Expect) {
    let said = block_on(async {
        let mut world = World::new().await;
        let mut lines = Lines::open(&world, watch).await;
        world.run(&script.replace("MAPS", MAPS)).await;
        lines.take(count).await
    });
    events.assert_eq(&said);
}

const CHANGES: &str = r#"
    POST MAPS {"metadata":{"name":"a"}}
    POST MAPS {"metadata":{"name":"b"}}
    PATCH merge MAPS/a {"data":{"k":"v"}}
    PATCH merge MAPS/a {"data":{"k":"v"}}
    DELETE MAPS/a
    POST MAPS {"metadata":{"name":"c"}}
"#;

#[test]
fn changes_come_in_order() {
    check(
        "GET MAPS?watch=1&resourceVersion=3",
        CHANGES,
        5,
        expect![[r#"
        ADDED a @4
        ADDED b @5
        MODIFIED a @6
        DELETED a @7
        ADDED c @8
    "#]],
    );
}

#[test]
fn a_watch_from_nowhere_begins_with_what_exists() {
    block_on(async {
        let mut world = World::new().await;
        world.run(&CHANGES.replace("MAPS", MAPS)).await;
        let mut lines = Lines::open(&world, "GET MAPS?watch=1").await;
        expect![[r#"
            ADDED b @5
            ADDED c @8
        "#]]
        .assert_eq(&lines.take(2).await);
    });
}

#[test]
fn a_watch_resumes_where_another_ended() {
    block_on(async {
        let mut world = World::new().await;
        world.run(&CHANGES.replace("MAPS", MAPS)).await;
        let mut all = Vec::new();
        for from in 3..8 {
            let line = format!("GET MAPS?watch=1&resourceVersion={from}");
            let mut lines = Lines::open(&world, &line).await;
            all.push(lines.take(1).await);
        }
        expect![[r#"
            ADDED a @4
            ADDED b @5
            MODIFIED a @6
            DELETED a @7
            ADDED c @8
        "#]]
        .assert_eq(&all.concat());
    });
}

#[test]
fn selections_are_entered_and_left() {
    check(
        "GET MAPS?watch=1&resourceVersion=3&labelSelector=app%3Dx",
        r#"
        POST MAPS {"metadata":{"name":"a"}}
        PATCH merge MAPS/a {"metadata":{"labels":{"app":"x"}}}
        PATCH merge MAPS/a {"data":{"k":"v"}}
        PATCH merge MAPS/a {"metadata":{"labels":{"app":"y"}}}
        DELETE MAPS/a
        POST MAPS {"metadata":{"name":"b","labels":{"app":"x"}}}
        DELETE MAPS/b
        "#,
        5,
        expect![[r#"
            ADDED a @5
            MODIFIED a @6
            DELETED a @7
            ADDED b @9
            DELETED b @10
        "#]],
    );
}

#[test]
fn one_object_can_be_watched() {
    check(
        "GET MAPS?watch=1&resourceVersion=3&fieldSelector=metadata.name%3Db",
        CHANGES,
        1,
        expect![[r#"
            ADDED b @5
        "#]],
    );
}

#[test]
fn initial_events_end_with_a_bookmark() {
    block_on(async {
        let mut world = World::new().await;
        world.run(&CHANGES.replace("MAPS", MAPS)).await;
        let line = "GET MAPS?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
        let mut lines = Lines::open(&world, line).await;
        expect![[r#"
            ADDED b @5
            ADDED c @8
            BOOKMARK @8 {"k8s.io/initial-events-end":"true"}
        "#]]
        .assert_eq(&lines.take(3).await);
        world.run(&format!(r#"POST {MAPS} {{"metadata":{{"name":"d"}}}}"#)).await;
        expect![[r#"
            ADDED d @9
        "#]]
        .assert_eq(&lines.take(1).await);
        let refused = world.run(&format!("GET {MAPS}?watch=1&sendInitialEvents=true")).await;
        expect![[r#"
            422 Invalid: ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan
        "#]].assert_eq(&refused);
    });
}

#[test]
fn the_metadata_alone_can_be_watched() {
    block_on(async {
        let mut world = World::new().await;
        let line = "GET MAPS?watch=1&resourceVersion=3 accept=application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        let mut lines = Lines::open(&world, line).await;
        world
            .run(&format!(r#"POST {MAPS} {{"metadata":{{"name":"d"}},"data":{{"k":"v"}}}}"#))
            .await;
        let event = lines.next().await.unwrap();
        assert_eq!(event["object"]["kind"], "PartialObjectMetadata");
        assert!(event["object"].get("data").is_none());
    });
}

#[test]
fn tables_can_be_watched() {
    block_on(async {
        let mut world = World::new().await;
        let line = "GET MAPS?watch=1&resourceVersion=3 accept=application/json;as=Table;g=meta.k8s.io;v=v1";
        let mut lines = Lines::open(&world, line).await;
        world.run(&CHANGES.replace("MAPS", MAPS)).await;
        let first = lines.next().await.unwrap();
        let second = lines.next().await.unwrap();
        assert_eq!(first["object"]["kind"], "Table");
        assert!(!first["object"]["columnDefinitions"].as_array().unwrap().is_empty());
        assert!(second["object"]["columnDefinitions"].as_array().unwrap().is_empty());
        assert_eq!(second["object"]["rows"][0]["cells"][0], "b");

        // Ages are as of the event: an object made later is not older than the watch.
        while let Ok(Some(_)) =
            tokio::time::timeout(std::time::Duration::from_millis(50), lines.next()).await
        {}
        world.clock.fetch_add(60, std::sync::atomic::Ordering::Relaxed);
        world.run(&format!("POST {MAPS} {{\"metadata\":{{\"name\":\"later\"}}}}")).await;
        let later = lines.next().await.unwrap();
        assert_eq!(later["object"]["rows"][0]["cells"].as_array().unwrap().last().unwrap(), "0s");
    });
}

#[test]
fn what_is_forgotten_cannot_be_watched() {
    block_on(async {
        let clock = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(crate::support::BEGIN));
        let limits = ServerLimits { history_revisions: 3, ..ServerLimits::default() };
        let options = Options { limits, ..options(&clock) };
        let mut world = World::with(options, clock).await;
        world.run(&CHANGES.replace("MAPS", MAPS)).await;
        let mut lines = Lines::open(&world, "GET MAPS?watch=1&resourceVersion=3").await;
        expect![[r#"
            ERROR Expired: too old resource version: 3 (5)
        "#]]
        .assert_eq(&lines.take(9).await);
        let list =
            world.run(&format!("GET {MAPS}?resourceVersion=4&resourceVersionMatch=Exact")).await;
        expect![[r#"
            410 Expired: The resourceVersion for the provided list is too old.
        "#]]
        .assert_eq(&list);
        let future = world.run(&format!("GET {MAPS}?watch=1&resourceVersion=999")).await;
        expect![[r#"
            504 Timeout: Timeout: Too large resource version: 999, current: 8
        "#]]
        .assert_eq(&future);
    });
}

#[test]
fn a_slow_watch_is_ended_not_buffered() {
    block_on(async {
        let clock = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(crate::support::BEGIN));
        let limits = ServerLimits { history_revisions: 10, ..ServerLimits::default() };
        let options = Options { limits, ..options(&clock) };
        let mut world = World::with(options, clock).await;
        let mut lines = Lines::open(&world, "GET MAPS?watch=1&resourceVersion=3").await;
        for n in 0..30 {
            world.run(&format!(r#"POST {MAPS} {{"metadata":{{"name":"m{n}"}}}}"#)).await;
        }
        let only = lines.take(100).await;
        expect![[r#"
            ERROR Expired: too old resource version: 3 (23)
        "#]]
        .assert_eq(&only);
    });
}

#[test]
fn old_changes_are_forgotten_by_time_too() {
    block_on(async {
        let mut world = World::new().await;
        world.run(&CHANGES.replace("MAPS", MAPS)).await;
        world.clock.fetch_add(601, std::sync::atomic::Ordering::Relaxed);
        world.run(&format!(r#"POST {MAPS} {{"metadata":{{"name":"new"}}}}"#)).await;
        let mut lines = Lines::open(&world, "GET MAPS?watch=1&resourceVersion=5").await;
        let said = lines.take(9).await;
        assert!(said.starts_with("ERROR Expired"), "{said}");
    });
}

#[test]
fn watches_end_in_time_and_send_bookmarks() {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(async {
            let world = World::new().await;
            let line =
                "GET MAPS?watch=1&resourceVersion=3&allowWatchBookmarks=true&timeoutSeconds=130";
            let mut lines = Lines::open(&world, line).await;
            expect![[r#"
                BOOKMARK @3 null
                BOOKMARK @3 null
            "#]]
            .assert_eq(&lines.take(9).await);
        });
}

#[test]
fn watches_end_when_the_server_closes() {
    block_on(async {
        let world = World::new().await;
        let mut lines = Lines::open(&world, "GET MAPS?watch=1&resourceVersion=3").await;
        world.server.close().await;
        assert!(lines.next().await.is_none());
    });
}

#[test]
fn many_writers_and_one_watch_see_the_same_order() {
    block_on(async {
        let world = World::new().await;
        let mut lines = Lines::open(&world, "GET MAPS?watch=1&resourceVersion=3").await;
        let writes = (0..200).map(|n| {
            let line = format!(r#"POST {MAPS} {{"metadata":{{"name":"m{n}"}}}}"#);
            let world = &world;
            async move {
                let response = world.ask(&Asked::parse(&line)).await;
                response.into_body().collect().await.unwrap()
            }
        });
        futures::future::join_all(writes).await;
        let mut last = 3;
        for _ in 0..200 {
            let event = lines.next().await.unwrap();
            let rv = event["object"]["metadata"]["resourceVersion"].as_str().unwrap();
            let rv: u64 = rv.parse().unwrap();
            assert_eq!(rv, last + 1);
            last = rv;
        }
    });
}
