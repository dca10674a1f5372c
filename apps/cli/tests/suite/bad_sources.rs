//! Sources that cannot be had (rows A1, A7, B1, B6, B8, B9, B10): each says what is wrong and what
//! to do, the last good state stays live, nothing is pruned, and the neighbour goes on.

use expect_test::{Expect, expect};
use fixpoint_fixture::{Access, HttpBackend, Repo, SshServer, free_port};
use serde_json::json;

use crate::harness::{Home, Scene, condition, config_map, delivery, message, ready, source};

/// Points the source elsewhere, and expects that it is refused with these words.
#[track_caller]
fn check_url(scene: &Scene, url: &str, expected: &Expect) {
    scene.engine.api().apply(&source("shop", url));
    let object = scene.engine.api().wait("GitRepository", "shop", "refuse", |object| {
        ready(object) == "False"
            && object["metadata"]["generation"]
                == *condition(object, "Ready").get("observedGeneration").unwrap_or(&json!(null))
    });
    expected.assert_eq(&scene.plain(message(&object)));
    let why = scene.home.run_for(2, &["why", "source/shop"]);
    assert!(scene.plain(&why.out).contains(&scene.plain(message(&object))), "{why:#?}");
    scene.last_good_stays();
}

#[test]
fn places_that_do_not_answer_or_are_not_allowed() {
    let scene = Scene::new();
    let closed = format!("http://127.0.0.1:{}/shop", free_port());
    check_url(
        &scene,
        &closed,
        &expect!["could not reach http://127.0.0.1:PORT/shop: Connection refused (os error 111)"],
    );
    scene.engine.api().apply(&source("shop", "http://no-such-host.invalid/shop"));
    scene.refused("GitRepository", "shop", "the host no-such-host.invalid does not resolve");
    check_url(
        &scene,
        "http://169.254.169.254/latest/meta-data",
        &expect![
            "http://169.254.169.254/latest/meta-data/info/refs is not allowed: 169.254.169.254 is where it leads, and it is a link-local address"
        ],
    );
    check_url(
        &scene,
        "http://[::ffff:169.254.169.254]/shop",
        &expect![
            "http://[::ffff:a9fe:a9fe]/shop/info/refs is not allowed: ::ffff:169.254.169.254 is where it leads, and it is a link-local address"
        ],
    );
    check_url(
        &scene,
        "http://0xa9fea9fe/shop",
        &expect![
            "http://169.254.169.254/shop/info/refs is not allowed: 169.254.169.254 is where it leads, and it is a link-local address"
        ],
    );
    let outside = Repo::new();
    outside.commit(&[("deploy/shop.yaml", &config_map("shop", "stolen"))]);
    let said = expect![
        "file:///OUTSIDE is not allowed: it is not in a folder that local sources are allowed in (start the engine with --allow-file-sources DIR)"
    ];
    let refuse = |url: &str| {
        scene.engine.api().apply(&source("shop", url));
        scene.refused("GitRepository", "shop", "--allow-file-sources")
    };
    let text = refuse(&outside.url());
    said.assert_eq(&text.replace(&outside.path().display().to_string(), "/OUTSIDE"));
    // A link within an allowed folder, and dots that lead out of it.
    let link = scene.shop.root().join("link");
    std::os::unix::fs::symlink(outside.path(), &link).unwrap();
    refuse(&format!("file://{}", link.display()));
    let dots = format!("{}/../../{}", scene.shop.url(), "etc");
    scene.engine.api().apply(&source("shop", &dots));
    scene.refused("GitRepository", "shop", "");
    scene.last_good_stays();

    scene.engine.api().apply(&source("shop", &scene.shop.url()));
    scene.mends();
}

#[test]
fn urls_that_are_programs_or_tricks_are_not_let_in() {
    let home = Home::new();
    let engine = home.up();
    for url in ["-uexec", "ext::sh -c evil", "--upload-pack=evil", "git@host:team/app", "/etc", ""]
    {
        let answers = engine.api().try_apply(&source("shop", url));
        assert_eq!(answers[0].code, 422, "{url:?}: {answers:?}");
        assert!(answers[0].text.contains("spec.url"), "{url:?}: {answers:?}");
    }
    assert!(engine.api().get("GitRepository", "shop").is_none());
}

#[test]
fn names_that_do_not_exist() {
    let scene = Scene::new();
    let spec = |reference: &str| {
        let text = source("shop", &scene.shop.url()).replace("branch: main", reference);
        scene.engine.api().apply(&text);
    };
    spec("branch: mian");
    let text = scene.refused("GitRepository", "shop", "branch mian");
    expect!["branch mian does not exist in file:///SHOP (there are: main)"].assert_eq(&text);
    scene.last_good_stays();
    spec("tag: v9");
    scene.refused("GitRepository", "shop", "tag v9");
    spec("branch: 'ma..in'");
    scene.refused("GitRepository", "shop", "ma..in");
    spec("branch: '--upload-pack=x'");
    scene.refused("GitRepository", "shop", "upload-pack");
    scene.last_good_stays();
    spec("branch: main");
    scene.mends();
}

#[test]
fn credentials_that_are_wrong_missing_or_meant_for_others() {
    let scene = Scene::new();
    let server = HttpBackend::start(scene.shop.root());
    let right = scene.home.produced().plant("the right password");
    let wrong = scene.home.produced().plant("a wrong password");
    server.allow(Access::Basic("ann".to_owned(), right.clone()));
    let api = scene.engine.api();
    let secret = |data: serde_json::Value| {
        api.apply(
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"},
                "stringData": data})
            .to_string(),
        );
    };
    let with_secret = |url: &str| format!("{}  secretRef:\n    name: git\n", source("shop", url));
    let url = server.url("repo");
    api.apply(&source("shop", &url));
    let text = scene.refused("GitRepository", "shop", "credentials");
    expect!["http://127.0.0.1:PORT/repo refused the credentials (check the Secret that spec.secretRef names)"].assert_eq(&text);
    api.apply(&with_secret(&url));
    let text = scene.refused("GitRepository", "shop", "Secret git");
    expect!["Secret git does not exist"].assert_eq(&text);
    secret(json!({"username": "ann"}));
    api.hurry("GitRepository", "shop");
    let text = scene.refused("GitRepository", "shop", "neither bearerToken nor");
    expect![
        "Secret git has neither bearerToken nor username and password, nor ca.crt, nor tls.crt"
    ]
    .assert_eq(&text);
    secret(json!({"username": "ann", "password": wrong}));
    api.hurry("GitRepository", "shop");
    let text = scene.refused("GitRepository", "shop", "refused the credentials");
    expect!["http://127.0.0.1:PORT/repo refused the credentials (check the Secret that spec.secretRef names)"].assert_eq(&text);
    scene.last_good_stays();
    secret(json!({"username": "ann", "password": right}));
    api.hurry("GitRepository", "shop");
    scene.mends();

    // A server that sends its clients elsewhere gets them there without the password (B6).
    let thief = HttpBackend::start(scene.shop.root());
    server.fail("repo", fixpoint_fixture::Fault::Redirect(thief.base()));
    server.requests();
    scene.shop.commit(&[("deploy/shop.yaml", &config_map("shop", "elsewhere"))]);
    scene.home.run(&["reconcile", "source/shop"]);
    assert!(!server.requests().is_empty(), "the first server is asked");
    let stolen = thief.requests();
    assert!(stolen.iter().all(|request| request.header("authorization").is_none()), "{stolen:?}");
    scene.home.produced().record("what a thief was sent", format!("{stolen:?}"));
    scene.neighbour_goes_on();
}

#[test]
fn servers_that_cannot_prove_who_they_are() {
    let scene = Scene::new();
    let server = HttpBackend::start_tls(scene.shop.root());
    let api = scene.engine.api();
    let url = server.url("repo");
    api.apply(&source("shop", &url));
    let text = scene.refused("GitRepository", "shop", "certificate");
    expect!["could not reach https://localhost:PORT/repo: invalid peer certificate: UnknownIssuer"]
        .assert_eq(&text.replace(&server.base(), "https://localhost:PORT"));
    scene.last_good_stays();
    // Right authority, wrong name.
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"},
        "stringData": {"ca.crt": server.ca()}});
    api.apply(&secret.to_string());
    let with_secret = |url: &str| format!("{}  secretRef:\n    name: git\n", source("shop", url));
    api.apply(&with_secret(&url.replace("localhost", "127.0.0.1")));
    scene.refused("GitRepository", "shop", "127.0.0.1");
    assert!(server.requests().is_empty(), "nothing was asked of a server without a name");
    api.apply(&with_secret(&url));
    scene.mends();
}

#[test]
fn ssh_servers_that_are_not_known_or_have_changed() {
    let scene = Scene::new();
    let server = SshServer::start();
    let api = scene.engine.api();
    let url = server.url(scene.shop.path());
    let key = server.key().private();
    let secret = |data: serde_json::Value| {
        api.apply(
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"},
                "stringData": data})
            .to_string(),
        );
        api.hurry("GitRepository", "shop");
    };
    api.apply(&format!("{}  secretRef:\n    name: git\n", source("shop", &url)));
    scene.refused("GitRepository", "shop", "Secret git does not exist");
    secret(json!({"username": "ann", "password": "right"}));
    scene.refused("GitRepository", "shop", "neither identity nor known_hosts");
    secret(json!({"identity": key}));
    scene.refused("GitRepository", "shop", "the Secret has no known_hosts");
    secret(json!({"identity": key, "known_hosts": "elsewhere ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"}));
    let text = scene.refused("GitRepository", "shop", "is not trusted");
    assert!(text.contains(&server.host_key().fingerprint()), "{text}");
    scene.last_good_stays();
    let known = server.known_hosts();
    secret(json!({"identity": key, "known_hosts": known}));
    scene.mends();

    server.change_host_key();
    api.hurry("GitRepository", "shop");
    let text = scene.refused("GitRepository", "shop", "its host key has changed");
    assert!(!text.contains(&key), "{text}");
    let object = api.get("GitRepository", "shop").unwrap();
    assert_eq!(condition(&object, "Ready")["reason"], "AuthenticationFailed", "{object:#}");
    let known = server.known_hosts();
    secret(json!({"identity": key, "known_hosts": known}));
    scene.neighbour_goes_on();
}

#[test]
fn a_repository_over_the_limits() {
    let scene = Scene::new();
    scene.shop.write_bytes("deploy/huge.bin", &vec![b'x'; (16 << 20) + 1]);
    scene.shop.commit_as("something huge");
    let text = scene.refused("GitRepository", "shop", "huge.bin");
    expect![[r#"the version is refused: file "deploy/huge.bin" (16777217 bytes) is over the limit of 16777216 bytes (split the source, or keep large files out of it)"#]].assert_eq(&text);
    scene.last_good_stays();
    scene.shop.remove("deploy/huge.bin");
    scene.mends();
}

#[test]
fn a_repository_with_a_link_out_of_its_tree() {
    let scene = Scene::new();
    scene.shop.link("deploy/shop.yaml.link", "../../../../etc/passwd");
    scene.shop.remove("deploy/shop.yaml");
    scene.shop.link("deploy/shop.yaml", "/etc/passwd");
    scene.shop.commit_as("links");
    let delivery = scene.engine.api().wait("Kustomization", "shop", "say no", |object| {
        ready(object) == "False" || {
            let source = scene.engine.api().get("GitRepository", "shop");
            source.is_some_and(|source| ready(&source) == "False")
        }
    });
    let source = scene.engine.api().get("GitRepository", "shop").unwrap();
    let said = format!("source: {}\ndelivery: {}\n", message(&source), message(&delivery));
    assert!(!said.contains("root:"), "{said}");
    assert!(said.contains("deploy/shop.yaml"), "{said}");
    expect![[r#"
        source: the version is refused: symbolic link "deploy/shop.yaml" is not allowed: it is absolute (point the link at a file within the same source, or remove it)
        delivery: Applied revision: main@sha1:ID
    "#]].assert_eq(&scene.plain(&said));
    scene.last_good_stays();
    scene.shop.remove("deploy/shop.yaml");
    scene.shop.remove("deploy/shop.yaml.link");
    scene.mends();
}

#[test]
fn history_that_was_rewritten_is_held_and_prunes_nothing() {
    let scene = Scene::new();
    scene.shop.git(&["checkout", "--quiet", "--orphan", "new"]);
    scene.shop.git(&["rm", "--quiet", "-rf", "."]);
    scene.shop.commit(&[("deploy/other.yaml", &config_map("other", "evil"))]);
    scene.shop.git(&["branch", "--force", "main", "new"]);
    let text = scene.refused("GitRepository", "shop", "[ack ");
    expect!["branch main was rewritten: b9732c4 is no longer an ancestor of 275bb96; the last good version stays [ack ACK]"].assert_eq(&text);
    scene.last_good_stays();
    let delivery = scene.engine.api().get("Kustomization", "shop").unwrap();
    assert_eq!(ready(&delivery), "True", "{delivery:#}");
    assert!(scene.engine.api().get("ConfigMap", "other").is_none());
    let why = scene.home.run(&["why", "ks/shop"]);
    assert!(why.out.contains("source GitRepository/default/shop is not ready"), "{why:#?}");
    scene.event("GitRepository", "shop", "main");

    // A branch that is gone altogether is no reason to prune either.
    scene.shop.git(&["checkout", "--quiet", "--detach"]);
    scene.shop.git(&["branch", "--quiet", "-D", "main"]);
    scene.home.run(&["reconcile", "source/shop"]);
    scene.last_good_stays();
    assert!(scene.engine.api().get("ConfigMap", "other").is_none());
}

#[test]
fn a_source_that_goes_away_takes_nothing_with_it() {
    let scene = Scene::new();
    let path = "/apis/source.toolkit.fluxcd.io/v1/namespaces/default/gitrepositories/shop";
    let api = scene.engine.api();
    api.send("DELETE", path, "application/json", String::new()).unwrap().granted();
    api.wait_gone("GitRepository", "shop");
    scene.home.run(&["reconcile", "ks/shop"]);
    scene.last_good_stays();
    // A delivery of a source that was never there says so.
    api.apply(&delivery("lost", "nowhere", "./deploy"));
    let text = scene.refused("Kustomization", "lost", "nowhere");
    expect![[r#"GitRepository/default/nowhere does not exist"#]].assert_eq(&text);
}
