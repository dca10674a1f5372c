//! The canary scan (I10): a secret of its own in every place that holds one, every failure on the
//! way, everything logged; then a search through everything that the run produced.

use std::path::Path;

use expect_test::expect;
use fixpoint_fixture::{Access, Canary, Fault, HttpBackend, Repo};
use serde_json::json;

use crate::harness::{Home, Scene, config_map, delivery, ready, source, wait};

/// Folders of the data directory that hold secrets by design, and why.
const SINKS: [(&str, &str); 3] = [
    ("apiserver", "the store of the API server: it holds the Secret objects themselves"),
    ("git", "mirrors: a repository with a Secret in clear is kept as it is"),
    ("artifacts", "what a source delivered: a Secret in clear in Git is in its artifact"),
];

/// A secret and where it was put.
struct Planted {
    place: &'static str,
    canary: Canary,
}

fn plant(place: &'static str) -> Planted {
    Planted { place, canary: Canary::new() }
}

#[test]
fn secrets_show_nowhere_but_where_they_were_put() {
    let scene = Scene::at(Home::new().trace());
    let api = scene.engine.api();
    let [password, wrong, bearer, stringdata, data, literal, file, url, patched] = [
        "password of Git",
        "wrong password of Git",
        "bearer token",
        "stringData of a Secret in Git",
        "data of a Secret in Git",
        "literal of a secretGenerator",
        "file of a secretGenerator",
        "URL of a source",
        "Secret changed by hand",
    ]
    .map(plant);

    // Credentials: wrong first, then right; the server also fails, redirects and lies.
    let private = Repo::new();
    private.commit(&[("deploy/private.yaml", &config_map("private", "good"))]);
    let server = HttpBackend::start(private.root());
    server.allow(Access::Basic("ann".to_owned(), password.canary.secret().to_owned()));
    let secret = |name: &str, values: serde_json::Value| {
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": values});
        api.apply(&object.to_string());
    };
    let private_source = |name: &str, secret: &str| {
        let text = source(name, &server.url("repo"));
        api.apply(&format!("{text}  secretRef:\n    name: {secret}\n"));
    };
    secret("git", json!({"username": "ann", "password": wrong.canary.secret()}));
    private_source("private", "git");
    api.apply(&delivery("private", "private", "./deploy"));
    scene.refused("GitRepository", "private", "credentials");
    secret("git", json!({"username": "ann", "password": password.canary.secret()}));
    for fault in [
        Fault::Status(500),
        Fault::CutBody(3),
        Fault::Page("<html>hello</html>".to_owned()),
        Fault::RedirectTo("http://169.254.169.254/x".to_owned()),
    ] {
        server.fail("repo", fault);
        scene.home.run(&["reconcile", "source/private"]);
        server.heal();
    }
    api.hurry("GitRepository", "private");
    scene.converges("private", &private.head());
    secret("token", json!({"bearerToken": bearer.canary.secret()}));
    server.allow(Access::Bearer(bearer.canary.secret().to_owned()));
    scene.home.run(&["reconcile", "source/private"]);
    private_source("private", "token");
    private.commit(&[("deploy/private.yaml", &config_map("private", "next"))]);
    api.hurry("GitRepository", "private");
    scene.converges("private", &private.head());

    // Secrets that Git delivers, in every form, with failures on the way.
    let literals = format!(
        "resources: [shop.yaml, kept.yaml, secret.yaml]\nsecretGenerator:\n\
         - name: generated\n  namespace: default\n  literals: ['token={}']\n  files: [key.txt]\n",
        literal.canary.secret()
    );
    let delivered = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: delivered, namespace: default}}\n\
         stringData: {{a: '{}'}}\ndata: {{b: {}}}\n",
        stringdata.canary.secret(),
        base64(data.canary.secret().as_bytes()),
    );
    let broken = delivered.replace("metadata: {", "metadata: {labels: {'not a label': x}, ");
    scene.shop.write(&[
        ("deploy/kustomization.yaml", &literals),
        ("deploy/key.txt", file.canary.secret()),
    ]);
    scene.shop.commit(&[("deploy/secret.yaml", &broken)]);
    scene.refused("Kustomization", "shop", "Secret/default/delivered");
    scene.shop.commit(&[("deploy/secret.yaml", &format!("{delivered}  broken: [\n"))]);
    scene.refused("Kustomization", "shop", "secret.yaml");
    let commit = scene.shop.commit(&[("deploy/secret.yaml", &delivered)]);
    scene.converges("shop", &commit);
    // Changed by hand, and previewed while it is.
    scene.home.run_for(0, &["suspend", "ks/shop"]);
    let patch = json!({"stringData": {"a": patched.canary.secret()}});
    api.merge("Secret", "delivered", &patch).unwrap().granted();
    let plan = scene.home.run_for(2, &["plan", "ks/shop"]);
    assert!(plan.out.contains("delivered"), "{plan:#?}");
    let plan_json = scene.home.run_for(2, &["plan", "ks/shop", "-o", "json"]);
    scene.home.run_for(0, &["resume", "ks/shop"]);
    wait("the Secret to be repaired", || {
        let live = api.get("Secret", "delivered")?.to_string();
        patched.canary.scan_bytes(live.as_bytes()).is_empty().then_some(())
    });
    // A URL with credentials is refused; the object that carries it is deleted again. Only a
    // reading of the object itself repeats what somebody wrote into its spec.
    let encoded = url.canary.secret().replace('+', "%2B");
    api.apply(&source("leaky", &format!("https://ann:{encoded}@127.0.0.1:9/x")));
    api.wait("GitRepository", "leaky", "be refused", |object| ready(object) == "False");
    let leaky = [
        ("why leaky", scene.home.run(&["why", "source/leaky", "-o", "json"])),
        ("reconcile leaky", scene.home.run(&["reconcile", "source/leaky"])),
        ("get leaky", scene.home.run(&["get", "source/leaky"])),
    ];
    let path = "/apis/source.toolkit.fluxcd.io/v1/namespaces/default/gitrepositories/leaky";
    api.send("DELETE", path, "application/json", String::new()).unwrap().granted();

    let planted = [password, wrong, bearer, stringdata, data, literal, file, url, patched];
    let mut texts: Vec<(String, Vec<u8>)> = vec![
        ("plan".to_owned(), format!("{plan:?}").into_bytes()),
        ("plan -o json".to_owned(), format!("{plan_json:?}").into_bytes()),
    ];
    texts.extend(leaky.map(|(name, said)| (name.to_owned(), format!("{said:?}").into_bytes())));
    for args in [
        &["get", "all", "-A"][..],
        &["get", "all", "-A", "-o", "yaml"],
        &["get", "all", "-A", "-o", "json"],
        &["events", "-A"],
        &["events", "-A", "-o", "yaml"],
        &["why", "ks/shop"],
        &["why", "source/private", "-o", "json"],
        &["plan", "ks/shop", "-o", "json"],
        &["ledger", "log", "-o", "json"],
        &["ledger", "verify", "-o", "json"],
    ] {
        texts.push((args.join(" "), format!("{:?}", scene.home.run(args)).into_bytes()));
    }
    for path in ["/metrics", "/api/v1/events", "/openapi/v3"] {
        texts.push((path.to_owned(), api.read(path).text.into_bytes()));
    }
    for name in ["cmdline", "environ"] {
        let path = format!("/proc/{}/{name}", scene.engine.pid());
        texts.push((path.clone(), std::fs::read(path).unwrap_or_default()));
    }
    texts.push(("stdout".to_owned(), scene.engine.printed().into_bytes()));
    texts.push(("log".to_owned(), scene.engine.logs().into_bytes()));
    let data_dir = scene.home.data_dir();
    let Scene { engine, home, shop: _shop, neighbour: _neighbour } = scene;
    let (status, logs) = engine.stop();
    assert!(status.success());
    assert!(logs.len() > 10_000, "everything is logged");
    texts.push(("log at the end".to_owned(), logs.into_bytes()));

    let mut found = Vec::new();
    for Planted { place, canary } in &planted {
        for (name, text) in &texts {
            let forms = canary.scan_bytes(text);
            if !forms.is_empty() {
                found.push(format!("{place} shows in {name} as {forms:?}"));
            }
        }
        for hit in scan_outside_sinks(&data_dir, canary) {
            found.push(format!("{place} shows in {hit}"));
        }
    }
    let found = found.join("\n").replace(&home.path().display().to_string(), "/HOME");
    expect![[""]].assert_eq(&found);
    // The search finds what is there: the sinks hold what they are for.
    assert!(!planted[0].canary.scan(&data_dir.join("apiserver")).is_empty());
}

/// Where a secret shows below a data directory, outside of the places that hold it by design.
fn scan_outside_sinks(data_dir: &Path, canary: &Canary) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data_dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !SINKS.iter().any(|(sink, _why)| *sink == name) {
            found.extend(canary.scan(&path));
        }
    }
    found
}

/// Base64 as Kubernetes reads it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}
