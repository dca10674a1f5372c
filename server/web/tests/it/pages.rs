//! What the pages show, and what they never do.

use fixpoint_web::Kind;
use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Browser, condition, delivery, source};

const EVIL: &str = "<script>alert(1)</script> \u{1b}[31m \"quoted\" & 'so'";

#[tokio::test]
async fn what_needs_somebody_comes_first() {
    let browser = Browser::signed_in().await;
    browser.get("/").await.has("Nothing is declared yet");
    browser.engine.put(Kind::Source, source("shop"));
    browser.engine.put(Kind::Delivery, delivery("aaa"));
    let got = browser.get("/").await;
    got.has("Everything is at its fixpoint").has("1 delivery: 1 ready").has("1 source: 1 ready");
    got.has("Verdict: accepted.").has("Health: not asked.").has("/deliveries/shop/aaa");
    got.has_not("hunter2").has("https://git.example/shop");

    let mut broken = delivery("zzz");
    broken["status"]["conditions"] =
        json!([condition("Ready", "False", "BuildFailed", "kustomization.yaml is missing")]);
    browser.engine.put(Kind::Delivery, broken);
    let got = browser.get("/").await;
    got.has("1 object needs somebody").has("kustomization.yaml is missing").has("Render: refused.");
    let (first, second) = (got.text.find("shop/zzz"), got.text.find("shop/aaa"));
    assert!(first < second, "what failed is listed first");
}

#[tokio::test]
async fn a_held_source_shows_what_to_type() {
    let browser = Browser::signed_in().await;
    let mut held = source("shop");
    let message = "branch main was rewritten: 0123 is not part of it any more [ack 3f2a91c0d4e5]";
    held["status"]["conditions"] = json!([
        condition("Ready", "False", "GitSemanticsViolation", message),
        condition("GitSemantics", "False", "GitSemanticsViolation", message),
    ]);
    browser.engine.put(Kind::Source, held);
    browser.engine.put(Kind::Delivery, delivery("web"));
    browser.engine.answers(
        "/fixpoint/v1/ledger/entries",
        json!([{"kind": "observe", "index": 7, "time": "2026-01-02T03:04:05Z", "actor": "engine",
            "subject": "GitRepository/shop/shop", "name": "branch main", "verdict": "fork",
            "revision": "main@sha1:bbbb", "admitted": false}]),
    );
    let got = browser.get("/sources/shop/shop").await;
    got.has("Held until somebody answers").has("3f2a91c0d4e5");
    got.has("fixpoint ack source/shop -n shop --reason &#34;why this is right&#34;");
    got.has("branch main at bbbb: fork, held").has("/deliveries/shop/web");
    let got = browser.get("/deliveries/shop/web").await;
    got.has("last good").has("Its source is held").has("fixpoint ack source/shop -n shop");
    let once = got.text.matches("0123 is not part of it any more").count();
    assert_eq!(once, 1, "it is said once:\n{}", got.text);
    browser.get("/").await.has("its source is held").has("Verdict: held.");
}

#[tokio::test]
async fn a_delivery_shows_its_belt_and_its_inventory() {
    let browser = Browser::signed_in().await;
    browser.engine.put(Kind::Source, source("shop"));
    browser.engine.put(Kind::Delivery, delivery("web"));
    browser.engine.answers(
        "/fixpoint/v1/why/kustomizations/shop/web",
        json!({"settled": false, "reasons": ["Ready=True: Applied"], "next": "in 9 s",
            "nextAt": "2026-01-02T03:14:05Z", "left": ["Pod/x: owned by another"]}),
    );
    browser.engine.answers(
        "/fixpoint/v1/health/kustomizations/shop/web",
        json!({"total": 250, "from": 100, "objects": [
            {"kind": "Deployment", "apiVersion": "apps/v1", "namespace": "shop", "name": "web",
                "state": "InProgress", "message": "1 of 3 replicas"},
            {"kind": "Secret", "apiVersion": "v1", "namespace": "shop", "name": "keys",
                "state": "Current", "message": ""}]}),
    );
    browser.engine.answers(
        "/fixpoint/v1/ledger/entries",
        json!([
            {"kind": "render", "index": 3, "time": "2026-01-02T03:04:05Z", "objects": 2,
                "output": "sha256:abcabcabcabcabcabc"},
            {"kind": "outcome", "index": 5, "created": 2, "inventory": "sha256:cafe"},
        ]),
    );
    let got = browser.get("/deliveries/shop/web?from=100").await;
    for text in [
        "The belt",
        "Verdict",
        "Artifact",
        "feedfacefeed",
        "1.2 kB",
        "abcabcabcabc",
        "2 objects",
        "2 created",
        "nothing left",
        "not asked",
        "Why it is not done",
        "Pod/x: owned by another",
        "datetime=\"2026-01-02T03:14:05Z\"",
        "1 of 3 replicas",
        "In progress",
        "101–200 of 250 objects",
        "/deliveries/shop/web?from=200#inventory",
        "/deliveries/shop/web/plan",
        "fixpoint why kustomization/web -n shop",
    ] {
        got.has(text);
    }
}

#[tokio::test]
async fn what_others_wrote_is_text_and_nothing_else() {
    let browser = Browser::signed_in().await;
    let mut evil = delivery("web");
    evil["spec"]["path"] = EVIL.into();
    evil["spec"]["interval"] = EVIL.into();
    evil["status"]["lastAppliedRevision"] = format!("{EVIL}@sha1:{EVIL}").into();
    evil["status"]["conditions"] = json!([
        condition("Ready", "False", EVIL, EVIL),
        condition("DeletionGuard", "True", EVIL, EVIL),
        condition("FieldsIgnored", "True", EVIL, EVIL),
    ]);
    evil["status"]["history"] = json!([{"digest": EVIL, "lastReconciledStatus": EVIL,
        "lastReconciledDuration": EVIL, "metadata": {"revision": EVIL}}]);
    browser.engine.put(Kind::Delivery, evil);
    let mut evil = source("shop");
    evil["spec"]["url"] = format!("https://x/{EVIL}").into();
    evil["spec"]["ref"] = json!({"branch": EVIL});
    evil["metadata"]["annotations"] = json!({"source.fixpoint.dev/history": EVIL});
    evil["status"]["conditions"] = json!([condition("Ready", "False", EVIL, EVIL)]);
    browser.engine.put(Kind::Source, evil);
    let entry = json!({"kind": EVIL, "index": 1, "subject": EVIL, "actor": EVIL, "time": EVIL,
        "reason": EVIL, "name": EVIL, "verdict": EVIL, "revision": EVIL});
    browser.engine.answers("/fixpoint/v1/ledger/entries", json!([entry]));
    for kind in ["kustomizations/shop/web", "gitrepositories/shop/shop"] {
        let why = json!({"reasons": [EVIL], "left": [EVIL], "next": EVIL, "nextAt": EVIL});
        browser.engine.answers(&format!("/fixpoint/v1/why/{kind}"), why);
    }
    browser.engine.answers(
        "/fixpoint/v1/health/kustomizations/shop/web",
        json!({"total": 1, "objects": [{"kind": EVIL, "apiVersion": EVIL, "namespace": EVIL,
            "name": EVIL, "state": EVIL, "message": EVIL}]}),
    );
    let plan = json!({"summary": EVIL, "text": EVIL, "diff": format!("+{EVIL}"), "changes": 1});
    browser.engine.answers("/fixpoint/v1/plan/kustomizations/shop/web", plan);
    for path in
        ["/", "/sources/shop/shop", "/deliveries/shop/web", "/deliveries/shop/web/plan", "/ledger"]
    {
        let got = browser.get(path).await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
        got.has_not("<script>alert").has_not("\u{1b}").has("alert(1)");
        // Nothing ends an attribute early.
        got.has_not("\"quoted\"");
    }
    let got = browser.get("/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").await;
    got.has_not("<script>alert");
}

#[tokio::test]
async fn endless_texts_and_lists_are_cut() {
    let browser = Browser::signed_in().await;
    browser.engine.put(Kind::Source, source("shop"));
    for at in 0..1_000 {
        let mut one = delivery(&format!("app-{at:04}"));
        one["status"]["conditions"] =
            json!([condition("Ready", "False", "BuildFailed", &"line\n".repeat(200_000))]);
        browser.engine.put(Kind::Delivery, one);
    }
    let got = browser.get("/").await;
    assert!(got.text.len() < 2_000_000, "{} bytes", got.text.len());
    got.has("1–50 of 1000 deliveries").has("/?from=50&#38;sources=0").has_not("app-0050");
    browser.get("/?from=50").await.has("app-0050").has_not("app-0049");
    browser.get("/?from=18446744073709551615").await.has("951–1000 of 1000 ");
    browser.get("/?q=app-0777").await.has("app-0777").has_not("app-0778");
    let left: Vec<Value> = (0..5_000).map(|at| json!(format!("held {at}."))).collect();
    browser.engine.answers("/fixpoint/v1/why/kustomizations/shop/app-0000", json!({"left": left}));
    let got = browser.get("/deliveries/shop/app-0000").await;
    got.has("held 49.").has_not("held 50.").has("and 4950 more");
    got.has("the command line shows all of it");
}

#[tokio::test]
async fn a_plan_is_shown_as_it_would_be_typed() {
    let browser = Browser::signed_in().await;
    browser.engine.put(Kind::Delivery, delivery("web"));
    browser.engine.answers(
        "/fixpoint/v1/plan/kustomizations/shop/web",
        json!({"changes": 1, "held": 0, "summary": "1 change", "text": "~ ConfigMap/shop/web\n",
            "diff": "--- live\n+++ wanted\n@@ -1 +1 @@\n-a: 1\n+a: 2\n"}),
    );
    let got = browser.get("/deliveries/shop/web/plan").await;
    got.has("1 change").has("~ ConfigMap/shop/web").has("<span class=\"plus\">+a: 2");
    got.has("fixpoint plan kustomization/web -n shop").has_not("data-live");
    browser.engine.answers(
        "/fixpoint/v1/plan/kustomizations/shop/web",
        json!({"refused": "the target cannot be reached"}),
    );
    let got = browser.get("/deliveries/shop/web/plan").await;
    got.has("cannot be planned").has("the target cannot be reached");
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let browser = Browser::signed_in().await;
    for path in [
        "/nothing",
        "/sources/shop",
        "/sources/shop/none",
        "/deliveries/shop/none",
        "/deliveries/shop/none/plan",
        "/sources/SHOP/x",
        "/sources/shop/..%2f..%2fetc",
        "/deliveries/shop/none/more/parts",
        "/ledger?subject=a%26tail%3D9",
        "/?from=-1",
        "/live",
        "/live?at=/nothing",
        "/live?at=/deliveries/shop/none/plan",
    ] {
        let status = browser.get(path).await.status;
        let wanted = if path == "/live" { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND };
        assert_eq!(status, wanted, "{path}");
    }
    browser.engine.answers("/fixpoint/v1/ledger/entries", json!({"refused": "disk failed"}));
    let got = browser.get("/ledger").await;
    assert_eq!(got.status, StatusCode::BAD_GATEWAY);
    got.has("disk failed");
}
