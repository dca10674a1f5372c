//! What the driver makes of trouble.

use expect_test::{Expect, expect};
use fixpoint_base::{Chain, Classified};
use fixpoint_driver_kube::TargetError;
use fixpoint_plan::Live;
use serde_json::json;

use crate::script::{Server, key};

fn told(err: &TargetError) -> String {
    let hint = err.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("{:?}: {}{hint}", err.class(), Chain(err))
}

async fn check_read(kind: &str, answer: &str, want: Expect) {
    let key = key(kind, "a");
    let path = match kind {
        "Secret" => "/api/v1/namespaces/shop/secrets/a",
        _ => "/api/v1/namespaces/shop/configmaps/a",
    };
    let server = Server::new(&format!("GET {path} -> {answer} …"));
    want.assert_eq(&match server.target().get(&key).await {
        Ok(found) => format!("{found:?}"),
        Err(err) => told(&err),
    });
}

#[tokio::test(start_paused = true)]
async fn a_missing_object_is_a_fact() {
    let status = r#"{"message":"configmaps \"a\" not found","reason":"NotFound","details":{"name":"a","kind":"configmaps"},"code":404}"#;
    check_read("ConfigMap", &format!("404 {status}"), expect!["None"]).await;
    // A server that says less is asked whether it knows the kind at all.
    check_read("ConfigMap", "404 {}", expect!["None"]).await;
}

#[tokio::test(start_paused = true)]
async fn trouble_has_a_class_and_a_sentence() {
    check_read(
        "ConfigMap",
        r#"403 {"message":"configmaps \"a\" is forbidden: User \"x\" cannot get","reason":"Forbidden"}"#,
        expect![[r#"
            Refused: may not read ConfigMap/shop/a: configmaps "a" is forbidden: User "x" cannot get
            hint: grant this to the identity of the delivery, or change its identity"#]],
    )
    .await;
    check_read(
        "ConfigMap",
        "hang",
        expect!["Transient: could not read ConfigMap/shop/a within 5 s"],
    )
    .await;
    check_read(
        "ConfigMap",
        "break",
        expect!["Transient: could not read ConfigMap/shop/a: the API server cannot be reached: ServiceError: the connection broke"],
    )
    .await;
    check_read(
        "ConfigMap",
        "503 <html>busy</html>",
        expect![
            "Transient: could not read ConfigMap/shop/a: the server answered 503: <html>busy</html>"
        ],
    )
    .await;
    check_read(
        "ConfigMap",
        "200 nonsense",
        expect!["Transient: could not read ConfigMap/shop/a: the answer of the server makes no sense: it is not JSON at column 2"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn words_about_a_secret_are_not_repeated() {
    check_read(
        "Secret",
        r#"403 {"message":"the value hunter2 is bad","reason":"Forbidden"}"#,
        expect![[r#"
            Refused: may not read Secret/shop/a: Forbidden
            hint: grant this to the identity of the delivery, or change its identity"#]],
    )
    .await;
    check_read(
        "Secret",
        "500 hunter2",
        expect!["Transient: could not read Secret/shop/a: the server answered 500"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_asked_again_when_it_says_so_and_not_for_ever() {
    let began = tokio::time::Instant::now();
    let path = "/api/v1/namespaces/shop/configmaps/a";
    let server =
        Server::new(&format!("GET {path} -> 429:3 {{}}\nGET {path} -> 200 {{\"kind\":\"x\"}}"));
    assert_eq!(
        server.target().get(&key("ConfigMap", "a")).await.unwrap(),
        Some(json!({"kind": "x"}))
    );
    assert_eq!(began.elapsed().as_secs(), 3);

    let server = Server::new(&format!("GET {path} -> 429:1 {{}} …"));
    let err = server.target().get(&key("ConfigMap", "a")).await.unwrap_err();
    assert_eq!(err.retry_after().map(|after| after.as_secs()), Some(1));
    assert_eq!(server.heard().lines().count(), 3);

    // A long pause is the walker's to wait for.
    let server = Server::new(&format!("GET {path} -> 429:60 {{}} …"));
    let err = server.target().get(&key("ConfigMap", "a")).await.unwrap_err();
    assert_eq!(err.retry_after().map(|after| after.as_secs()), Some(60));
    assert_eq!(server.heard().lines().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_unreadable_object_does_not_hide_the_others() {
    let base = "/api/v1/namespaces/shop/configmaps";
    let server = Server::new(&format!(
        r#"
        GET {base}/a -> 403 {{"message":"no"}}
        GET {base}/b -> 404 {{"details":{{"name":"b"}}}}
        GET {base}/c -> 200 {{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"uid":"u","resourceVersion":"7"}}}}
        GET /apis/example.org/v1 -> 404 {{}}
        "#
    ));
    let keys =
        [key("ConfigMap", "a"), key("ConfigMap", "b"), key("ConfigMap", "c"), key("Widget", "w")];
    let live = server.target().observe(&keys).await;
    let reason = "may not read ConfigMap/shop/a: no".to_owned();
    assert_eq!(live.get(&keys[0]), Some(&Live::Unreadable { reason }));
    assert_eq!(live.get(&keys[1]), Some(&Live::Absent));
    assert!(matches!(live.get(&keys[2]), Some(Live::Object(live)) if live.uid == "u"));
    assert_eq!(live.get(&keys[3]), Some(&Live::UnknownKind));
}

#[tokio::test(start_paused = true)]
async fn a_missing_kind_is_asked_for_once_a_second_and_no_more() {
    let server = Server::new("GET /apis/example.org/v1 -> 404 {} …");
    let target = server.target();
    let keys: Vec<_> = (0..50).map(|n| key("Widget", &format!("w{n}"))).collect();
    target.observe(&keys).await;
    assert_eq!(server.heard(), "GET /apis/example.org/v1\n");
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    target.observe(&keys).await;
    assert_eq!(server.heard().lines().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_kind_list_that_cannot_be_read_makes_nothing_absent() {
    let server = Server::new("GET /apis/example.org/v1 -> 503 {} …");
    let live = server.target().observe(&[key("Widget", "w")]).await;
    assert!(matches!(live.get(&key("Widget", "w")), Some(Live::Unreadable { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_namespaced_object_needs_a_namespace() {
    let mut lost = key("ConfigMap", "a");
    lost.namespace.clear();
    let err = Server::new("").target().get(&lost).await.unwrap_err();
    expect![[r#"
        User: ConfigMap/a needs a namespace
        hint: set metadata.namespace, or spec.targetNamespace of the delivery"#]]
    .assert_eq(&told(&err));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_a_long_pause_is_left_alone_by_all_calls() {
    let server = Server::new(
        "GET /api/v1/namespaces/shop/configmaps/a -> 429:60 {\"message\":\"too many\"}\n\
         GET /api/v1/namespaces/shop/configmaps/a -> 200 {}",
    );
    let target = server.target();
    let first = target.get(&key("ConfigMap", "a")).await.unwrap_err();
    assert_eq!(first.retry_after().map(|pause| pause.as_secs()), Some(60));
    let other = target.get(&key("Secret", "a")).await.unwrap_err();
    expect![
        "Transient: did not read Secret/shop/a: the server asked to be left alone for 60 s more"
    ]
    .assert_eq(&told(&other));
    assert_eq!(other.retry_after().map(|pause| pause.as_secs()), Some(60));
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(target.get(&key("ConfigMap", "a")).await.unwrap().is_some());
    let asked = server.heard();
    assert_eq!(asked.lines().count(), 2, "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_not_waited_for_by_every_call_anew() {
    let server = Server::new("GET /api/v1/namespaces/shop/configmaps/a -> hang …");
    let target = server.target();
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        target.get(&key("ConfigMap", "a")).await.unwrap_err();
    }
    assert_eq!(began.elapsed().as_secs(), 15, "three reads of five seconds");
    for _ in 0..100 {
        let err = target.get(&key("ConfigMap", "a")).await.unwrap_err();
        assert_eq!(
            told(&err),
            "Transient: did not read ConfigMap/shop/a: the server does not answer"
        );
    }
    assert_eq!(began.elapsed().as_secs(), 15);
}
