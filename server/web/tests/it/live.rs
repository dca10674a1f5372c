//! Open pages: what is sent, when, and when it ends.

use std::time::Duration;

use axum::body::Body;
use fixpoint_web::Kind;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::time::Instant;

use crate::harness::{Browser, condition, delivery, source};

/// One event as it is on the wire; `None` at the end.
async fn next(stream: &mut Response<Body>) -> Option<String> {
    let frame = stream.frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

async fn open(browser: &Browser, page: &str) -> Response<Body> {
    let stream = browser.open(&format!("/live?at={page}")).await;
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    stream
}

#[tokio::test(start_paused = true)]
async fn an_open_page_is_sent_anew_when_something_changes() {
    let browser = Browser::signed_in().await;
    browser.engine.put(Kind::Source, source("shop"));
    browser.engine.put(Kind::Delivery, delivery("web"));
    let mut stream = open(&browser, "/deliveries/shop/web").await;
    let first = next(&mut stream).await.unwrap();
    assert!(first.starts_with("event: page\ndata: "), "{first}");
    assert!(first.contains("data-say=\"shop/web: Ready\""), "{first}");

    let mut broken = delivery("web");
    broken["status"]["conditions"] = json!([condition("Ready", "False", "BuildFailed", "no file")]);
    browser.engine.put(Kind::Delivery, broken);
    let second = next(&mut stream).await.unwrap();
    assert!(second.contains("data-say=\"shop/web: Failed\""), "{second}");
}

#[tokio::test(start_paused = true)]
async fn changes_that_come_together_are_sent_once_and_silence_has_a_heartbeat() {
    let browser = Browser::signed_in().await;
    let mut stream = open(&browser, "/").await;
    next(&mut stream).await.unwrap();
    let began = Instant::now();
    for at in 0..100 {
        browser.engine.put(Kind::Delivery, delivery(&format!("app-{at}")));
    }
    let event = next(&mut stream).await.unwrap();
    assert!(event.contains("100 deliveries: 100 ready"), "{event}");
    assert!(began.elapsed() >= Duration::from_millis(500));
    let beat = next(&mut stream).await.unwrap();
    assert_eq!(beat.trim_end(), ": here");
    assert!(began.elapsed() >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_others_does_not_make_a_delivery_s_page_ask() {
    let browser = Browser::signed_in().await;
    browser.engine.put(Kind::Source, source("shop"));
    browser.engine.put(Kind::Delivery, delivery("web"));
    let mut stream = open(&browser, "/deliveries/shop/web").await;
    next(&mut stream).await.unwrap();
    let began = Instant::now();
    browser.engine.put(Kind::Delivery, delivery("other"));
    assert_eq!(next(&mut stream).await.unwrap().trim_end(), ": here");
    assert!(began.elapsed() >= Duration::from_secs(10), "only the heartbeat looked");
    // Its source is its own business.
    let mut held = source("shop");
    held["status"]["conditions"] = json!([condition("GitSemantics", "False", "x", "rewritten")]);
    browser.engine.put(Kind::Source, held);
    let event = next(&mut stream).await.unwrap();
    assert!(event.contains("Its source is held"), "{event}");
    assert!(began.elapsed() < Duration::from_secs(15), "it looked at once");
}

#[tokio::test(start_paused = true)]
async fn an_open_page_ends_with_its_session() {
    let browser = Browser::signed_in().await;
    let mut stream = open(&browser, "/").await;
    next(&mut stream).await.unwrap();
    browser.post("/sign-out", "").await;
    let event = next(&mut stream).await.unwrap();
    assert!(event.starts_with("event: end"), "{event}");
    assert_eq!(next(&mut stream).await, None);

    let browser = Browser::signed_in().await;
    let mut stream = open(&browser, "/").await;
    let began = Instant::now();
    let mut last = String::new();
    while let Some(event) = next(&mut stream).await {
        last = event;
    }
    assert!(last.starts_with("event: end"), "{last}");
    assert_eq!(began.elapsed().as_secs(), 8 * 3600);
}

#[tokio::test(start_paused = true)]
async fn open_pages_are_bounded() {
    let browser = Browser::signed_in().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(open(&browser, "/").await);
    }
    let status = browser.open("/live?at=/").await.status();
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    streams.pop();
    assert_eq!(browser.open("/live?at=/").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_stop_ends_open_pages_and_returns() {
    let browser = Browser::signed_in().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(browser.web.clone().serve(listener, async {
        let _stopped = stopped.await;
    }));
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /live?at=/ HTTP/1.1\r\nhost: 127.0.0.1:6441\r\ncookie: {}\r\n\r\n",
        browser.cookie
    );
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("event: page") {
        assert_ne!(connection.read_buf(&mut seen).await.unwrap(), 0, "it ended early");
    }
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(30), serving).await.unwrap().unwrap();
    connection.read_to_end(&mut seen).await.unwrap();
}
