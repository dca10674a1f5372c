//! How fast the server is on this machine.
//!
//! In: nothing but a temporary folder. Out: figures on standard output; nothing is judged. Run it
//! with `cargo run --release -p fixpoint-apiserver --example speed`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example prints figures and has nobody to report an error to"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use fixpoint_apiserver::{ApiServer, Options, Storage, User};
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::Service;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::main(worker_threads = 2)]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { data: Storage::Dir(dir.path().to_owned()), ..Options::memory() };
    let opening = ApiServer::open(options.clone());
    let server = timed("open, empty", 1, opening).await.unwrap();
    timed("write, one after the other", 200, write(&server, 0..200, 1)).await;
    timed("write, 64 at once", 9_800, write(&server, 200..10_000, 64)).await;
    timed("get", 2_000, get(&server, 2_000)).await;
    for (what, query) in [
        ("list 10,000", ""),
        ("list 100 of 10,000 by label", "?labelSelector=n%3Dl7"),
        ("list a page of 500", "?limit=500"),
    ] {
        timed(what, 1, ask(&server, "GET", &format!("{MAPS}{query}"), "")).await;
    }
    timed("apply that changes nothing", 200, apply_again(&server, 200)).await;
    server.close().await;
    let server = timed("open, 10,000 objects", 1, ApiServer::open(options)).await.unwrap();
    server.close().await;
}

async fn timed<T>(what: &str, count: u32, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let out = work.await;
    let took: Duration = began.elapsed();
    println!("{what}: {:?} each, {took:?} in all", took / count);
    out
}

async fn write(server: &ApiServer, names: std::ops::Range<usize>, at_once: usize) {
    let names: Vec<usize> = names.collect();
    for chunk in names.chunks(at_once) {
        let writes = chunk.iter().map(|n| async move { ask(server, "POST", MAPS, &map(*n)).await });
        futures::future::join_all(writes).await;
    }
}

async fn get(server: &ApiServer, count: usize) {
    for n in 0..count {
        ask(server, "GET", &format!("{MAPS}/m{n}"), "").await;
    }
}

async fn apply_again(server: &ApiServer, count: usize) {
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}"#;
    for _ in 0..count {
        ask(server, "PATCH", &format!("{MAPS}/a?fieldManager=m"), body).await;
    }
}

/// A ConfigMap of about 1.5 kB, the size of a usual manifest.
fn map(n: usize) -> String {
    let data = "x".repeat(1500);
    let label = n % 100;
    format!(
        r#"{{"metadata":{{"name":"m{n}","labels":{{"n":"l{label}"}}}},"data":{{"k":"{data}"}}}}"#
    )
}

/// Asks and reads the whole answer.
async fn ask(server: &ApiServer, method: &str, path: &str, body: &str) {
    let media = match method {
        "PATCH" => "application/apply-patch+yaml",
        _ => "application/json",
    };
    let request = Request::builder().method(method).uri(path).header("content-type", media);
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let response = server.service(User::admin()).call(request).await.unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    assert!(status.is_success(), "{method} {path}: {status}");
}
