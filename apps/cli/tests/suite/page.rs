//! The page of a running engine, as a browser asks for it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use fixpoint_fixture::Canary;
use serde_json::json;

use crate::harness::{Api, Engine, Home, PATIENCE, Scene, config_map, wait};

/// Sends one request and reads the answer to its end.
#[track_caller]
fn ask(page: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = begin(page, method, path, headers, body);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the page answers");
    answer
}

/// Sends one request.
#[track_caller]
fn begin(page: &str, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(page).expect("the page listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: {page}\r\nconnection: close\r\n{headers}\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).expect("the page reads");
    stream
}

/// `127.0.0.1:PORT` of the page.
#[track_caller]
fn address(engine: &Engine) -> String {
    let printed = engine.printed();
    let (_, rest) = printed.split_once("page http://").expect("it says where the page is");
    rest.split([',', ' ']).next().expect("an address").to_owned()
}

/// Signs in with a link that `fixpoint web` printed; gives the cookie as a header.
#[track_caller]
fn sign_in(home: &Home, page: &str) -> String {
    let link = home.run_for(0, &["web"]).out;
    let (start, token) = link.trim().rsplit_once('/').expect("a link");
    assert_eq!(start, format!("http://{page}/sign-in"));
    let origin = format!("origin: http://{page}\r\n");
    let form = format!("token={token}");
    let answer = ask(page, "POST", "/sign-in", &origin, &form);
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
    let (_, cookie) = answer.split_once("set-cookie: ").expect("a cookie");
    let again = ask(page, "POST", "/sign-in", &origin, &form);
    assert!(again.starts_with("HTTP/1.1 401 "), "{again}");
    format!("cookie: {}\r\n", cookie.split(';').next().expect("a value"))
}

#[test]
fn the_page_shows_a_delivery_and_no_secret() {
    let scene = Scene::new();
    let canary = Canary::new();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "default"},
        "stringData": {"password": canary.secret()}});
    let commit = scene.shop.commit(&[("deploy/secret.yaml", &secret.to_string())]);
    scene.converges("shop", &commit);
    let page = address(&scene.engine);
    let stranger = ask(&page, "GET", "/", "", "");
    assert!(stranger.starts_with("HTTP/1.1 401 "), "{stranger}");
    assert!(!stranger.contains("neighbour"), "{stranger}");

    let cookie = sign_in(&scene.home, &page);
    let get = |path: &str| ask(&page, "GET", path, &cookie, "");
    let short: String = commit.chars().take(12).collect();
    let overview = get("/");
    for text in ["Everything is at its fixpoint", "/deliveries/default/neighbour", &short] {
        assert!(overview.contains(text), "{text}: {overview}");
    }
    let delivery = get("/deliveries/default/shop");
    for text in ["The belt", "accepted", "rendered", "nothing left", "applied", "Why it rests"] {
        assert!(delivery.contains(text), "{text}: {delivery}");
    }
    for text in ["ConfigMap", "shop-kept", "Secret", "keys", "Current", &short] {
        assert!(delivery.contains(text), "{text}: {delivery}");
    }
    let source = get("/sources/default/shop");
    assert!(source.contains("forward, delivered"), "{source}");
    let plan = get("/deliveries/default/shop/plan");
    assert!(plan.contains("at its fixpoint"), "{plan}");
    let ledger = get("/ledger");
    assert!(ledger.contains("outcome") && ledger.contains("genesis"), "{ledger}");
    for page in [overview, delivery, source, plan, ledger] {
        assert!(!page.contains(canary.secret()), "{page}");
    }
}

#[test]
fn the_page_shows_what_is_held_and_a_stop_ends_open_pages() {
    let scene = Scene::new();
    let page = address(&scene.engine);
    let cookie = sign_in(&scene.home, &page);
    let mut open = begin(&page, "GET", "/live?at=/sources/default/shop", &cookie, "");
    let mut seen = Vec::new();
    let mut until = |text: &str| {
        wait(&format!("{text:?} on the open page"), || {
            let mut buffer = [0; 4096];
            let count = open.read(&mut buffer).expect("the page goes on");
            seen.extend_from_slice(&buffer[..count]);
            String::from_utf8_lossy(&seen).contains(text).then_some(())
        });
    };
    until("default/shop: Ready");
    scene.shop.git(&["checkout", "--orphan", "other"]);
    scene.shop.commit(&[("deploy/shop.yaml", &config_map("shop", "rewritten"))]);
    scene.shop.git(&["branch", "-M", "other", "main"]);
    until("default/shop: Held");
    until("fixpoint ack source/shop --reason");

    let Scene { engine, home, shop: _shop, neighbour: _neighbour } = scene;
    let (status, _) = engine.stop();
    assert_eq!(status.code(), Some(0));
    let mut rest = Vec::new();
    open.read_to_end(&mut rest).expect("the open page ends");
    assert!(home.run(&["web"]).err.contains("could not reach the engine"));
}

#[test]
fn only_administrators_make_links_and_the_page_can_be_off() {
    let home = Home::new();
    let engine = home.up();
    let stranger = Api::anonymous(&home.data_dir().join("kubeconfig"));
    let path = "/fixpoint/v1/web/sign-in";
    let answer = stranger.send("POST", path, "application/json", String::new()).unwrap();
    assert_eq!(answer.code, 401, "{answer:?}");
    assert_eq!(engine.api().read(path).code, 405);
    assert_eq!(engine.api().read("/fixpoint/v1/web/other").code, 404);
    engine.stop();

    let engine = home.up_with(&["--web", "off"]);
    assert!(!engine.printed().contains("page"), "{}", engine.printed());
    let said = home.run_for(1, &["web"]);
    assert!(said.err.contains("the page of this engine is off"), "{said:#?}");
    assert!(said.err.contains("hint: start the engine without `--web off`"), "{said:#?}");
    engine.stop();

    let said = home.run_for(1, &["up", "--web", "0.0.0.0:0", "--listen", "127.0.0.1:0"]);
    assert!(said.err.contains("0.0.0.0:0 is not a loopback address"), "{said:#?}");
    let said = home.run_for(64, &["up", "--web", "somewhere"]);
    assert!(said.err.contains("neither `off` nor an address"), "{said:#?}");
}
