//! How fast it is. Prints figures and asserts nothing: run with `--ignored --nocapture`.

use std::time::{Duration, Instant};

use fixpoint_apiserver::{Options, ServerLimits, Storage};
use http_body_util::BodyExt;

use crate::support::{Asked, World, block_on};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn ask(world: &World, line: &str) -> usize {
    let response = world.ask(&Asked::parse(line)).await;
    assert!(response.status().is_success(), "{line}: {}", response.status());
    response.into_body().collect().await.unwrap().to_bytes().len()
}

fn make(n: usize) -> String {
    let data = "x".repeat(1500);
    format!(
        r#"POST {MAPS} {{"metadata":{{"name":"m{n}","labels":{{"n":"l{}"}}}},"data":{{"k":"{data}"}}}}"#,
        n % 100
    )
}

async fn timed<T>(what: &str, count: u32, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let out = work.await;
    let took: Duration = began.elapsed();
    println!("{what}: {:?} each, {took:?} in all", took / count);
    out
}

#[test]
#[ignore = "a benchmark"]
fn figures() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let options = Options { data: Storage::Dir(dir.path().to_owned()), ..Options::memory() };
        let clock = std::sync::Arc::default();
        let limits = ServerLimits::default();
        let options = Options { limits, ..options };
        let world =
            timed("open, empty", 1, World::with(options.clone(), std::sync::Arc::clone(&clock)))
                .await;
        timed("write, one after the other", 200, async {
            for n in 0..200 {
                ask(&world, &make(n)).await;
            }
        })
        .await;
        timed("write, 64 at once", 9_800, async {
            for chunk in (200..10_000).collect::<Vec<usize>>().chunks(64) {
                let writes = chunk.iter().map(|n| {
                    let line = make(*n);
                    let world = &world;
                    async move { ask(world, &line).await }
                });
                futures::future::join_all(writes).await;
            }
        })
        .await;
        timed("get", 2000, async {
            for n in 0..2000 {
                ask(&world, &format!("GET {MAPS}/m{n}")).await;
            }
        })
        .await;
        timed("list 10,000", 1, ask(&world, &format!("GET {MAPS}"))).await;
        timed(
            "list 100 of 10,000 by label",
            1,
            ask(&world, &format!("GET {MAPS}?labelSelector=n%3Dl7")),
        )
        .await;
        timed("list a page of 500", 1, ask(&world, &format!("GET {MAPS}?limit=500"))).await;
        timed("apply that changes nothing", 200, async {
            for n in 0..200 {
                let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}"#;
                let _ = n;
                ask(&world, &format!("PATCH apply {MAPS}/a?fieldManager=m {body}")).await;
            }
        })
        .await;
        world.server.close().await;
        let world = timed("open, 10,000 objects", 1, World::with(options, clock)).await;
        world.server.close().await;
    });
}
