//! The canary scan (I10): a secret of its own in every place that holds one, every failure on the
//! way, everything logged; then a search through everything that the run produced. Every other
//! case is searched as well, with what little it plants (`harness::Home`).

use expect_test::expect;
use fixpoint_fixture::{Access, Canary, Fault, HttpBackend, Repo};
use serde_json::json;

use crate::harness::{Home, Scene, config_map, delivery, ready, source, wait};

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
    .map(|place| scene.home.produced().plant(place));

    // Credentials: wrong first, then right; the server also fails, redirects and lies.
    let private = Repo::new();
    private.commit(&[("deploy/private.yaml", &config_map("private", "good"))]);
    let server = HttpBackend::start(private.root());
    server.allow(Access::Basic("ann".to_owned(), password.clone()));
    let secret = |name: &str, values: serde_json::Value| {
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": values});
        api.apply(&object.to_string());
    };
    let private_source = |name: &str, secret: &str| {
        let text = source(name, &server.url("repo"));
        api.apply(&format!("{text}  secretRef:\n    name: {secret}\n"));
    };
    secret("git", json!({"username": "ann", "password": wrong}));
    private_source("private", "git");
    api.apply(&delivery("private", "private", "./deploy"));
    scene.refused("GitRepository", "private", "credentials");
    secret("git", json!({"username": "ann", "password": password}));
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
    secret("token", json!({"bearerToken": bearer}));
    server.allow(Access::Bearer(bearer.clone()));
    scene.home.run(&["reconcile", "source/private"]);
    private_source("private", "token");
    private.commit(&[("deploy/private.yaml", &config_map("private", "next"))]);
    api.hurry("GitRepository", "private");
    scene.converges("private", &private.head());

    // Secrets that Git delivers, in every form, with failures on the way.
    let literals = format!(
        "resources: [shop.yaml, kept.yaml, secret.yaml]\nsecretGenerator:\n\
         - name: generated\n  namespace: default\n  literals: ['token={}']\n  files: [key.txt]\n",
        literal
    );
    let delivered = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: delivered, namespace: default}}\n\
         stringData: {{a: '{}'}}\ndata: {{b: {}}}\n",
        stringdata,
        base64(data.as_bytes()),
    );
    let broken = delivered.replace("metadata: {", "metadata: {labels: {'not a label': x}, ");
    scene.shop.write(&[("deploy/kustomization.yaml", &literals), ("deploy/key.txt", &file)]);
    scene.shop.commit(&[("deploy/secret.yaml", &broken)]);
    scene.refused("Kustomization", "shop", "Secret/default/delivered");
    scene.shop.commit(&[("deploy/secret.yaml", &format!("{delivered}  broken: [\n"))]);
    scene.refused("Kustomization", "shop", "secret.yaml");
    let commit = scene.shop.commit(&[("deploy/secret.yaml", &delivered)]);
    scene.converges("shop", &commit);
    // Changed by hand, and previewed while it is.
    scene.home.run_for(0, &["suspend", "ks/shop"]);
    let patch = json!({"stringData": {"a": patched}});
    api.merge("Secret", "delivered", &patch).unwrap().granted();
    let plan = scene.home.run_for(2, &["plan", "ks/shop"]);
    assert!(plan.out.contains("delivered"), "{plan:#?}");
    scene.home.run_for(2, &["plan", "ks/shop", "-o", "json"]);
    scene.home.run_for(0, &["resume", "ks/shop"]);
    wait("the Secret to be repaired", || {
        let live = api.get("Secret", "delivered")?.to_string();
        let encoded = base64(patched.as_bytes());
        (!live.contains(&encoded)).then_some(())
    });
    // A URL with credentials is refused; the object that carries it is deleted again. Only a
    // reading of the object itself repeats what somebody wrote into its spec.
    let encoded = url.replace('+', "%2B");
    api.apply(&source("leaky", &format!("https://ann:{encoded}@127.0.0.1:9/x")));
    api.wait("GitRepository", "leaky", "be refused", |object| ready(object) == "False");
    for verb in ["why", "reconcile", "get"] {
        scene.home.run(&[verb, "source/leaky"]);
    }
    scene.home.run(&["why", "source/leaky", "-o", "json"]);
    let path = "/apis/source.toolkit.fluxcd.io/v1/namespaces/default/gitrepositories/leaky";
    api.send("DELETE", path, "application/json", String::new()).unwrap().granted();

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
        scene.home.run(args);
    }
    let openapi = scene.engine.api().read("/openapi/v3").text;
    scene.home.produced().record("/openapi/v3", openapi);
    let Scene { engine, home, shop: _shop, neighbour: _neighbour } = scene;
    let (status, logs) = engine.stop();
    assert!(status.success());
    assert!(logs.len() > 10_000, "everything is logged");

    let found = home.produced().findings(&home.data_dir()).join("\n");
    let found = found.replace(&home.path().display().to_string(), "/HOME");
    expect![[""]].assert_eq(&found);
    let (planted, texts) = home.produced().size();
    assert!(planted > 9 && texts > 30, "{planted} secrets, {texts} texts");
    // The search finds what is there: the sinks hold what they are for.
    let sink = home.data_dir().join("apiserver");
    assert!(!Canary::of(&password).scan(&sink).is_empty());
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
