//! Rows H1 to H5 of the negative suite: what comes in from outside does not reach the terminal,
//! the metrics, the listener, the installation or the locks.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fixpoint_fixture::Repo;
use serde_json::{Value, json};

use crate::harness::{Engine, Home, Scene, config_map, delivery, ready, source, wait};

#[test]
fn h1_control_characters_in_names_reach_no_terminal_and_no_log() {
    let scene = Scene::at(Home::new().trace());
    let evil = "\u{1b}[31mred\u{7}\u{9b}2J\r\nerror: forged";
    let quoted = serde_json::to_string(evil).unwrap();
    for text in [
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {quoted}}}\n"),
        format!("apiVersion: v1\nkind: {quoted}\nmetadata: {{name: x}}\n"),
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x, labels: {{a: {quoted}}}}}\n"
        ),
    ] {
        let commit = scene.shop.commit(&[("deploy/evil.yaml", &text)]);
        scene.engine.api().wait("Kustomization", "shop", "refuse", |object| {
            let tried = object["status"]["lastAttemptedRevision"].as_str().unwrap_or_default();
            ready(object) == "False" && tried.ends_with(&commit)
        });
        shows_no_controls(&scene);
    }
    // In the name of a file, and in the message of a commit.
    scene.shop.remove("deploy/evil.yaml");
    scene.shop.write(&[("deploy/\u{1b}[31m.yaml", "a: [")]);
    scene.shop.commit_as(evil);
    wait("the source or the delivery to say no", || {
        let api = scene.engine.api();
        let no = |kind| ready(&api.get(kind, "shop").unwrap_or_default()) == "False";
        (no("GitRepository") || no("Kustomization")).then_some(())
    });
    shows_no_controls(&scene);
    // Metadata of a good object: shown by no table, and escaped by the formats.
    scene.shop.remove("deploy/\u{1b}[31m.yaml");
    scene.mends();
    let note = json!({"metadata": {"annotations": {"note": evil}}});
    scene.engine.api().merge("Kustomization", "shop", &note).unwrap().granted();
    shows_no_controls(&scene);
    let folder = scene.home.path().join("build");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("\u{1b}[31m.yaml"), "a: [").unwrap();
    let said = scene.home.run_for(1, &["build", "build"]);
    assert!(!said.err.contains('\u{1b}'), "{said:?}");
    let said = scene.home.run_for(1, &["get", "ks/\u{1b}[31m"]);
    assert!(!said.err.contains('\u{1b}'), "{said:?}");
    let said = scene.home.run_for(1, &["why", "\u{1b}[31m/x"]);
    assert!(!said.err.contains('\u{1b}'), "{said:?}");
}

#[track_caller]
fn shows_no_controls(scene: &Scene) {
    let home = &scene.home;
    let control = |c: char| c.is_control() && !"\n\t".contains(c);
    for args in [
        &["get", "all"][..],
        &["get", "ks/shop", "-o", "yaml"],
        &["get", "ks/shop", "-o", "json"],
        &["why", "ks/shop"],
        &["why", "source/shop"],
        &["events"],
        &["events", "-o", "yaml"],
        &["plan", "ks/shop"],
        &["ledger", "log"],
        &["reconcile", "ks/shop"],
    ] {
        let said = home.run(args);
        for text in [&said.out, &said.err] {
            assert!(!text.contains(control), "{args:?}: {text:?}");
            assert!(
                !text.lines().any(|line| line.starts_with("error: forged")),
                "{args:?}: {text}"
            );
        }
    }
    let logs = scene.engine.logs();
    assert!(!logs.contains(control), "{:?}", logs.lines().find(|line| line.contains(control)));
    for line in logs.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "the log is one fact a line: {line}");
    }
}

#[test]
fn h2_labels_of_metrics_do_not_grow_with_what_clients_make_up() {
    let home = Home::new();
    let engine = home.up();
    let api = engine.api();
    let flood = |word: &str, count: usize| {
        for n in 0..count {
            for path in [
                format!("/{word}{n}"),
                format!("/apis/{word}{n}.example.org/v1/things"),
                format!("/api/v1/{word}{n}"),
                format!("/api/v1/namespaces/{word}{n}/configmaps/{word}{n}"),
                format!("/api/v1/namespaces/default/configmaps?{word}{n}=1"),
                format!("/fixpoint/v1/why/{word}{n}/default/x"),
                format!("/artifacts/{word}{n}"),
            ] {
                api.read(&path);
            }
            let method = format!("{}{n}", word.to_uppercase());
            // A server may end a connection on a method that it does not know.
            let _answer = api.send(&method, "/api/v1/namespaces", "text/plain", String::new());
            api.apply(&source(&format!("{word}{n}"), "http://127.0.0.1:9/x"));
        }
    };
    flood("warmup", 2);
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    let before = api.read("/metrics").text;
    flood("cardinal", 30);
    let after = api.read("/metrics").text;
    assert!(!after.to_lowercase().contains("cardinal"), "{after}");
    // A verb or a code that had not been seen yet may come; hundreds may not.
    let (before, after) = (series(&before), series(&after));
    assert!(after < before + 60, "{before} series became {after}");
}

#[test]
fn h3_floods_of_connections_handshakes_and_frames_do_not_stop_the_listener() {
    let scene = Scene::new();
    let address = scene.engine.address();
    let connect = || TcpStream::connect(&address).expect("the listener accepts");
    // Connections that say nothing, half of a handshake, and something else altogether.
    let mut idle: Vec<TcpStream> = (0..200).map(|_| connect()).collect();
    for stream in idle.iter_mut().take(100) {
        // A TLS record that promises more than will ever come. It may be refused already.
        let _sent = stream.write_all(&[0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00]);
    }
    for _ in 0..100 {
        let mut stream = connect();
        let _sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    scene.neighbour_goes_on();
    // Clients that speak slowly: a request that never ends, a line for ever.
    let mut slow: Vec<_> = (0..20).map(|_| tls(&scene.engine, &address)).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").expect("it reads");
    }
    scene.neighbour_goes_on();
    // Headers without end, and a body that is too long before it has begun.
    let mut stream = tls(&scene.engine, &address);
    let _refused = (0..2000)
        .try_for_each(|n| stream.write_all(format!("x-{n}: {}\r\n", "y".repeat(1000)).as_bytes()));
    let mut stream = tls(&scene.engine, &address);
    stream
        .write_all(
            b"POST /api/v1/namespaces HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n",
        )
        .expect("it reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("it answers");
    assert!(answer.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&answer));
    scene.neighbour_goes_on();
    let before = scene.engine.resident();
    rapid_resets(&scene.engine, &address);
    endless_continuations(&scene.engine, &address);
    empty_data(&scene.engine, &address);
    scene.neighbour_goes_on();
    if let (Some(before), Some(after)) = (before, scene.engine.resident()) {
        assert!(after < before + (64 << 20), "{before} bytes became {after}");
    }
    drop(idle);
    drop(slow);
    scene.home.run_for(0, &["get", "all"]);
}

type Tls = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// A connection of nobody in particular, on which anything can be written.
fn tls(engine: &Engine, address: &str) -> Tls {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in engine.api().ca() {
        roots.add(certificate.clone().into()).expect("the engine wrote it");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "127.0.0.1".try_into().expect("an address is a name");
    let connection = rustls::ClientConnection::new(Arc::new(config), name).expect("it is complete");
    let stream = TcpStream::connect(address).expect("the listener accepts");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket has timeouts");
    stream.set_write_timeout(Some(Duration::from_secs(30))).expect("a socket has timeouts");
    rustls::StreamOwned::new(connection, stream)
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET https://x/healthz`, by the static table of HPACK.
const GET: &[u8] = b"\x82\x87\x04\x08/healthz\x41\x01x";

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("frames are short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(body);
    frame
}

/// An HTTP/2 connection that has been begun.
fn http2(engine: &Engine, address: &str) -> Tls {
    let mut stream = tls(engine, address);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("it reads");
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).expect("it reads");
    stream
}

/// Requests that are taken back at once. The server may end the connection; it must not drown.
fn rapid_resets(engine: &Engine, address: &str) {
    let mut stream = http2(engine, address);
    for n in 0..10_000_u32 {
        let id = 2 * n + 1;
        let mut both = frame(HEADERS, END_HEADERS | END_STREAM, id, GET);
        both.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
        if stream.write_all(&both).is_err() {
            return;
        }
    }
}

/// Headers that go on and on.
fn endless_continuations(engine: &Engine, address: &str) {
    let mut stream = http2(engine, address);
    if stream.write_all(&frame(HEADERS, END_STREAM, 1, GET)).is_err() {
        return;
    }
    // A literal field without indexing: name of one byte, value of 100.
    let field = [b"\x00\x01y\x64".as_slice(), &[b'z'; 100]].concat();
    let fields = field.repeat(100);
    for _ in 0..5000 {
        if stream.write_all(&frame(CONTINUATION, 0, 1, &fields)).is_err() {
            return;
        }
    }
}

/// Bodies of nothing, for ever.
fn empty_data(engine: &Engine, address: &str) {
    let mut stream = http2(engine, address);
    if stream.write_all(&frame(HEADERS, END_HEADERS, 1, GET)).is_err() {
        return;
    }
    for _ in 0..20_000 {
        if stream.write_all(&frame(DATA, 0, 1, &[])).is_err() {
            return;
        }
    }
}

#[test]
fn h4_environment_and_folder_do_not_change_what_is_installed() {
    let repo = Repo::new();
    repo.commit(&[("deploy/a.yaml", &config_map("a", "real"))]);
    let decoy = Repo::new();
    decoy.commit(&[("deploy/a.yaml", &config_map("a", "decoy"))]);
    let server = fixpoint_fixture::HttpBackend::start(repo.root());

    let installed = |engine: &Engine| -> Value {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let list = engine.api().read(path).granted();
        let spec = |item: &Value| json!([item["metadata"]["name"], item["spec"]]);
        list["items"].as_array().into_iter().flatten().map(spec).collect()
    };
    let clean = Home::new();
    let expected = installed(&clean.up());

    let home = Home::new().allow(repo.root());
    let folder = home.path().join("folder");
    std::fs::create_dir_all(folder.join("crds")).unwrap();
    let trap = "apiVersion: v1\nkind: Namespace\nmetadata: {name: trapped}\n";
    for name in ["fixpoint.yaml", "crds/a.yaml", "kustomization.yaml", "install.yaml", ".gitconfig"]
    {
        std::fs::write(folder.join(name), trap).unwrap();
    }
    let config = folder.join("config");
    let to = format!("[url \"{}\"]\n\tinsteadOf = {}\n", decoy.url(), repo.url());
    let too = format!("[url \"{}\"]\n\tinsteadOf = {}\n", decoy.url(), server.base());
    std::fs::write(&config, format!("{to}{too}[core]\n\tsshCommand = false\n")).unwrap();
    let mut command = home.up_command(&[]);
    command
        .current_dir(&folder)
        .env("PWD", &folder)
        .env("KUBECONFIG", folder.join("none"))
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", "9")
        .env("GIT_DIR", decoy.path().join(".git"))
        .env("GIT_WORK_TREE", decoy.path())
        .env("GIT_OBJECT_DIRECTORY", decoy.path().join(".git/objects"))
        .env("GIT_CONFIG_GLOBAL", &config)
        .env("GIT_CONFIG_SYSTEM", &config)
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", format!("url.{}.insteadOf", decoy.url()))
        .env("GIT_CONFIG_VALUE_0", repo.url())
        .env("GIT_NAMESPACE", "decoy")
        .env("GIT_CEILING_DIRECTORIES", "/")
        .env("http_proxy", "http://127.0.0.1:9")
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env("ALL_PROXY", "http://127.0.0.1:9")
        .env("SSL_CERT_FILE", "/dev/null")
        .env("TMPDIR", "/no/such/folder");
    let mut engine = home.spawn(command);
    engine.wait_ready();
    assert_eq!(installed(&engine), expected);
    assert!(engine.api().get("Namespace", "trapped").is_none());
    for (name, url) in [("file", repo.url()), ("http", server.url("repo"))] {
        engine.api().apply(&source(name, &url));
        engine.api().apply(
            &delivery(name, name, "./deploy")
                .replace("  prune: true\n", &format!("  prune: true\n  namePrefix: {name}-\n")),
        );
        engine.api().wait("Kustomization", name, "converge", |delivery| ready(delivery) == "True");
        let live = engine.api().get("ConfigMap", &format!("{name}-a")).expect("it is delivered");
        assert_eq!(live["data"]["state"], "real", "{name}");
    }
    // Commands ask the engine whose kubeconfig is named, wherever they are run.
    let output = home.command(&["get", "all"]).current_dir(&folder).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn h5_one_object_hammered_by_many_writers_stays_what_they_made_it() {
    let scene = Scene::new();
    let api = scene.engine.api().clone();
    api.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "counter"},
        "data": {"count": "0"}}))
        .unwrap()
        .granted();
    let done = AtomicU64::new(0);
    const WRITERS: usize = 6;
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            // Read, add one, write: whoever was overtaken tries again.
            scope.spawn(|| {
                for _ in 0..20 {
                    let mut object = api.get("ConfigMap", "counter").expect("it is there");
                    let count: u64 = object["data"]["count"].as_str().unwrap().parse().unwrap();
                    object["data"]["count"] = (count + 1).to_string().into();
                    let answer = api.replace(&object).expect("the server answers");
                    match answer.code {
                        200 => done.fetch_add(1, Ordering::SeqCst),
                        409 => 0,
                        _ => panic!("{answer:?}"),
                    };
                }
            });
        }
        for writer in 0..WRITERS {
            // The same delivery and source: asked for, annotated, suspended and resumed.
            let api = &api;
            scope.spawn(move || {
                for n in 0..15 {
                    let note = format!("{writer}-{n}");
                    let patch = json!({"metadata": {"annotations": {
                        "reconcile.fluxcd.io/requestedAt": note, "note": note}},
                        "spec": {"suspend": n % 5 == 4 && writer == 0}});
                    for kind in ["Kustomization", "GitRepository"] {
                        let answer = api.merge(kind, "shop", &patch).expect("the server answers");
                        assert!([200, 409].contains(&answer.code), "{answer:?}");
                    }
                    // What was delivered is changed by hand all the while.
                    let patch = json!({"data": {"state": note}});
                    api.merge("ConfigMap", "shop", &patch).expect("the server answers").granted();
                }
            });
        }
    });
    let counter = api.get("ConfigMap", "counter").expect("it is there");
    let count: u64 = counter["data"]["count"].as_str().unwrap().parse().unwrap();
    assert_eq!(count, done.load(Ordering::SeqCst), "no write was lost, none came twice");
    assert!(count > 0);
    for kind in ["Kustomization", "GitRepository"] {
        api.merge(kind, "shop", &json!({"spec": {"suspend": false}})).unwrap().granted();
    }
    scene.mends();
    let log = scene.engine.logs();
    assert!(!log.contains("panicked"), "{log}");
    scene.neighbour_goes_on();
    scene.home.run_for(0, &["ledger", "verify"]);
}
