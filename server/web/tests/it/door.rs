//! Who is let in, and what every answer says to the browser.

use axum::body::Body;
use http::{Request, StatusCode};

use crate::harness::{Browser, HOST};

#[tokio::test]
async fn strangers_see_how_to_get_in_and_nothing_else() {
    let browser = Browser::new();
    for path in ["/", "/ledger", "/sources/a/b", "/deliveries/a/b", "/nothing", "/live?at=/"] {
        let got = browser.get(path).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{path}");
        got.has_not("Overview");
    }
    browser.get("/").await.has("fixpoint web");
    let mut guessing = Browser::new();
    guessing.cookie = "fixpoint-6441=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();
    assert_eq!(guessing.get("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_link_is_good_once_and_following_it_uses_nothing_up() {
    let browser = Browser::new();
    let sign_in = browser.web.sign_in().unwrap();
    assert_eq!(sign_in.seconds, 300);
    let path = sign_in.url.strip_prefix(&format!("http://{HOST}")).unwrap();
    let token = path.rsplit('/').next().unwrap();
    for _ in 0..3 {
        browser.get(path).await.has("Sign in").has(token);
    }
    let got = browser.post("/sign-in", &format!("token={token}")).await;
    assert_eq!((got.status, got.header("location")), (StatusCode::SEE_OTHER, "/"));
    let cookie = got.header("set-cookie");
    assert!(cookie.starts_with("fixpoint-6441="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=28800; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(token), "{cookie}");
    let again = browser.post("/sign-in", &format!("token={token}")).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    assert_eq!(again.header("set-cookie"), "");
    again.has("used before");
}

#[tokio::test]
async fn a_signed_out_session_is_over() {
    let browser = Browser::signed_in().await;
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    let got = browser.post("/sign-out", "").await;
    assert!(got.header("set-cookie").starts_with("fixpoint-6441=; Path=/; Max-Age=0;"));
    assert_eq!(browser.get("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_after_a_working_day() {
    let browser = Browser::signed_in().await;
    tokio::time::advance(std::time::Duration::from_secs(8 * 3600 - 1)).await;
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert_eq!(browser.get("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn guesses_are_limited_and_lock_nobody_out() {
    let browser = Browser::new();
    let good = browser.token();
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(browser.post("/sign-in", "token=wrong").await.status.as_u16());
    }
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 2]].concat());
    let got = browser.post("/sign-in", &format!("token={good}")).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn odd_forms_are_refused() {
    let browser = Browser::new();
    for (form, status) in [
        ("", StatusCode::UNPROCESSABLE_ENTITY),
        ("token=", StatusCode::UNAUTHORIZED),
        ("token=%3Cscript%3E", StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(browser.post("/sign-in", form).await.status, status, "{form}");
    }
    let long = format!("token={}", "a".repeat(10_000));
    assert_eq!(browser.post("/sign-in", &long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let got = browser.get("/sign-in/%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert_eq!(got.status, StatusCode::NOT_FOUND);
    got.has_not("<script>");
}

#[tokio::test]
async fn pages_of_others_get_nothing() {
    let browser = Browser::signed_in().await;
    let token = browser.token();
    let form = format!("token={token}");
    for headers in [
        &[][..],
        &[("origin", "http://evil.example")],
        &[("origin", "http://127.0.0.1:8080")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:6441")],
        &[("sec-fetch-site", "same-site")],
    ] {
        let got = browser.post_as("/sign-in", &form, headers).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{headers:?}");
        let got = browser.post_as("/sign-out", "", headers).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(browser.get("/").await.status, StatusCode::OK, "nobody was signed out");
    let rebound = Request::get("/")
        .header("host", "rebound.example:6441")
        .header("cookie", &browser.cookie)
        .body(Body::empty())
        .unwrap();
    assert_eq!(browser.send(rebound).await.status(), StatusCode::MISDIRECTED_REQUEST);
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let request = Request::builder().method(method).uri("/").header("host", HOST);
        let got = browser.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(got.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert!(!got.headers().contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn every_answer_says_the_same_to_the_browser() {
    let browser = Browser::signed_in().await;
    let stranger = Browser::new();
    for got in [
        browser.get("/").await,
        browser.get("/nothing").await,
        browser.get("/assets/page.css").await,
        browser.get("/assets/nothing").await,
        stranger.get("/").await,
        stranger.post("/sign-in", "token=x").await,
        stranger.post_as("/sign-in", "", &[]).await,
    ] {
        let policy = got.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"));
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(got.header(name), value, "{got:?}");
        }
    }
}

#[tokio::test]
async fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    let browser = Browser::signed_in().await;
    for path in ["/", "/ledger", "/nothing", "/sign-in/abc"] {
        let got = browser.get(path).await;
        got.has_not(" style=").has_not("<style").has_not("javascript:").has_not(" onclick");
        for tag in got.text.split("<script").skip(1) {
            assert!(tag.starts_with(" src=\"/assets/page.js\" defer></script>"), "{tag}");
        }
        for address in got.text.split("src=\"").chain(got.text.split("href=\"")).skip(1) {
            let local = address.starts_with('/') || address.starts_with('#');
            assert!(local || address.starts_with("<!doctype"), "{path}: {address}");
        }
    }
    for (file, kind) in [("page.css", "text/css"), ("page.js", "text/javascript")] {
        let got = browser.get(&format!("/assets/{file}")).await;
        assert!(got.header("content-type").starts_with(kind));
        got.has_not("http://").has_not("https://").has_not("eval(");
    }
}
