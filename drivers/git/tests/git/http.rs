//! Servers that want credentials, redirect, fail, are slow, or are not what they seem.

use std::time::Duration;

use crate::common::*;
use fixpoint_base::{Limits, Secret};
use fixpoint_fixture::{Access, Canary, Fault, HttpBackend, free_port};
use fixpoint_source::{
    ClientCertificate, Credentials, Location, Selection, StoreError, Stores as _,
};

fn basic(password: &str) -> Credentials {
    Credentials::Basic { username: "ann".to_owned(), password: Secret::new(password.to_owned()) }
}

fn read(world: &World, url: &str, credentials: Credentials) -> Result<String, StoreError> {
    let store = world.git.open(Location { credentials, ..location(url) })?;
    let pointer = store.pointer(&branch("main"))?;
    store.content(&pointer, &Selection::default()).map(|content| listing(&content))
}

fn world() -> World {
    let world = World::new(Via::Http);
    world.repo.commit(&[("a", "1")]);
    world
}

#[test]
fn credentials_open_doors() {
    let world = world();
    let (right, wrong) = (Canary::new(), Canary::new());
    let url = world.url();
    let refusal = format!(
        "Refused: {url} refused the credentials [check the Secret that spec.secretRef names]"
    );

    world.server.allow(Access::Basic("ann".to_owned(), right.secret().to_owned()));
    assert_eq!(read(&world, &url, basic(right.secret())).unwrap(), "a=1");
    let err = read(&world, &url, basic(wrong.secret())).unwrap_err();
    assert_eq!(told(&err), refusal);
    assert!(wrong.scan_bytes(format!("{err:?}").as_bytes()).is_empty());
    assert_eq!(refused(read(&world, &url, Credentials::Anonymous)), refusal);

    world.server.allow(Access::Bearer(right.secret().to_owned()));
    let bearer = |canary: &Canary| Credentials::Bearer(Secret::new(canary.secret().to_owned()));
    assert_eq!(read(&world, &url, bearer(&right)).unwrap(), "a=1");
    assert_eq!(refused(read(&world, &url, bearer(&wrong))), refusal);

    assert!(right.scan(world.dir.path()).is_empty());
    assert!(wrong.scan(world.dir.path()).is_empty());
}

#[test]
fn mirrors_are_not_shared_between_credentials() {
    let world = world();
    let right = Canary::new();
    world.server.allow(Access::Basic("ann".to_owned(), right.secret().to_owned()));
    assert!(read(&world, &world.url(), basic(right.secret())).is_ok());
    // Asked by id, a shared mirror would answer without the server.
    let id = world.repo.head();
    let store = world.git.open(location(&world.url())).unwrap();
    let pointer = store.pointer(&commit(&id)).unwrap();
    assert!(matches!(
        store.content(&pointer, &Selection::default()),
        Err(StoreError::Unauthorised { .. })
    ));
}

#[test]
fn credentials_that_no_header_can_carry() {
    let world = world();
    let canary = Canary::new();
    let broken = Credentials::Bearer(Secret::new(format!("{}\r\nX: y", canary.secret())));
    let err = read(&world, &world.url(), broken).unwrap_err();
    assert!(canary.scan_bytes(format!("{err:?} {err}").as_bytes()).is_empty());
    assert!(told(&err).contains("characters that HTTP cannot carry"), "{}", told(&err));
    assert!(world.server.requests().is_empty());
}

#[test]
fn urls_with_credentials_are_refused_without_them() {
    let world = world();
    let canary = Canary::new();
    let secret = canary.secret();
    for url in [
        format!("http://ann:{secret}@127.0.0.1/repo"),
        format!("https://{secret}@127.0.0.1/repo"),
        format!("http://127.0.0.1/repo?token={secret}"),
        format!("ann:{secret}@127.0.0.1"),
        format!("ssh://ann:{secret}@127.0.0.1/x"),
        format!("ftp://ann:{secret}@127.0.0.1/x"),
    ] {
        let Err(err) = world.git.open(location(&url)) else { panic!("{url}") };
        let text = format!("{err:?} {}", told(&err));
        assert!(canary.scan_bytes(text.as_bytes()).is_empty(), "{text}");
    }
}

#[test]
fn redirects_are_followed_on_one_origin_with_credentials() {
    let world = world();
    let password = Canary::new();
    world.server.allow(Access::Basic("ann".to_owned(), password.secret().to_owned()));
    let info = "info/refs?service=git-upload-pack";
    let moved = format!("{}/{info}", world.server.url("repo"));
    world.server.fail("/old/info", Fault::RedirectTo(moved));
    assert_eq!(read(&world, &world.server.url("old"), basic(password.secret())).unwrap(), "a=1");
}

#[test]
fn redirects_take_no_credentials_elsewhere() {
    let world = world();
    let other = HttpBackend::start(world.repo.root());
    let password = Canary::new();
    world.server.fail("/info/refs", Fault::Redirect(other.base()));
    // The other server is open, so the redirect works; it just learns nothing.
    assert_eq!(read(&world, &world.url(), basic(password.secret())).unwrap(), "a=1");
    let seen = other.requests();
    assert!(seen.len() >= 3);
    for request in seen {
        assert_eq!(request.header("authorization"), None);
        assert!(password.scan_bytes(format!("{request:?}").as_bytes()).is_empty());
    }
    other.allow(Access::Basic("ann".to_owned(), password.secret().to_owned()));
    let refusal = refused(read(&world, &world.url(), basic(password.secret())));
    assert!(refusal.contains("refused the credentials"), "{refusal}");
}

#[test]
fn redirects_that_lie_are_refused() {
    let world = world();
    let try_redirect = |to: String| {
        world.server.heal();
        world.server.fail("/info/refs", Fault::Redirect(to));
        refused(read(&world, &world.url(), Credentials::Anonymous))
    };
    let endless = try_redirect(world.server.base());
    assert!(endless.contains("redirects more than 3 times"), "{endless}");
    let metadata = try_redirect("http://169.254.169.254/latest".to_owned());
    assert!(metadata.contains("169.254.169.254 is where it leads"), "{metadata}");
    let file = try_redirect("file:///etc".to_owned());
    assert!(file.contains("is not an http or https URL"), "{file}");
    let canary = Canary::new();
    let with_password = try_redirect(format!("http://ann:{}@127.0.0.1:1", canary.secret()));
    assert!(with_password.contains("carries credentials"), "{with_password}");
    assert!(canary.scan_bytes(with_password.as_bytes()).is_empty());
    let page = try_redirect(format!("{}/login?", world.server.base()));
    assert!(page.contains("does not lead to a Git repository"), "{page}");
    // A command is never sent elsewhere.
    world.server.heal();
    world.server.fail("/git-upload-pack", Fault::Redirect(world.server.base()));
    let command = refused(read(&world, &world.url(), Credentials::Anonymous));
    assert!(command.contains("it redirects a command"), "{command}");
}

#[test]
fn addresses_are_checked() {
    let world = world();
    let no = |url: &str| refused(read(&world, url, Credentials::Anonymous));
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://[fd00:ec2::254]/x",
        "http://[::ffff:169.254.169.254]/x",
        "http://0xa9fea9fe/x",
        "http://0.0.0.0/x",
        "http://[fe80::1]/x",
    ] {
        assert!(no(url).contains("is not allowed"), "{url}: {}", no(url));
    }
    let strict = fixpoint_driver_git::Git::new(fixpoint_driver_git::GitOptions {
        dir: world.mirrors(),
        limits: Limits::default(),
        allow_file: Vec::new(),
        allow_loopback: false,
        user_agent: "fixpoint/test".to_owned(),
    });
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433"] {
        let store = strict.open(location(&format!("http://{host}:1/x"))).unwrap();
        let found = refused(store.names());
        assert!(found.contains("it is a loopback address"), "{host}: {found}");
    }
}

#[test]
fn servers_that_are_not_there() {
    let world = world();
    let url = format!("http://127.0.0.1:{}/repo", free_port());
    let found = refused(read(&world, &url, Credentials::Anonymous));
    assert!(found.starts_with(&format!("Transient: could not reach {url}: ")), "{found}");
    assert!(found.contains("Connection refused"), "{found}");
    let url = &format!("http://{}.invalid/repo", "x".repeat(64));
    let found = refused(read(&world, url, Credentials::Anonymous));
    assert!(found.contains(".invalid does not resolve"), "{found}");
}

#[test]
fn servers_that_fail() {
    let world = world();
    let url = world.url();
    let broken = |target: &str, fault: Fault| {
        world.server.heal();
        world.server.fail(target, fault);
        refused(read(&world, &url, Credentials::Anonymous))
    };
    assert_eq!(
        broken("info/refs", Fault::Status(503)),
        format!("Transient: could not reach {url}: it answers HTTP 503")
    );
    assert!(broken("info/refs", Fault::Status(403)).contains("refused the credentials"));
    assert!(broken("upload-pack", Fault::Status(500)).contains("it answers HTTP 500"));
    assert_eq!(
        broken("info/refs", Fault::Page("<html>login</html>".to_owned())),
        format!("Transient: could not reach {url}: it is no Git server (it sends \"text/html\")")
    );
    for bytes in [0, 3, 20, 60] {
        let cut = broken("git-upload-pack", Fault::CutBody(bytes));
        assert!(cut.contains("the connection closed half way"), "{bytes}: {cut}");
    }
    // After all that, nothing is left behind that would disturb.
    world.server.heal();
    assert_eq!(read(&world, &url, Credentials::Anonymous).unwrap(), "a=1");
}

#[test]
fn a_pack_that_is_cut_leaves_nothing_behind() {
    let world = world();
    let pointer = world.main();
    world.server.fail("git-upload-pack", Fault::CutBody(150));
    let found = refused(world.store().content(&pointer, &Selection::default()));
    assert!(found.contains("the connection closed half way"), "{found}");
    world.server.heal();
    assert_eq!(world.files(), "a=1");
}

#[test]
fn slow_servers_run_out_of_time() {
    let world = world();
    let brief = || {
        let timeout = Duration::from_secs(1);
        world.git.open(Location { timeout, ..location(&world.url()) }).unwrap()
    };
    let over = format!("Transient: {} did not answer within 1 s", world.url());
    world.server.fail("info/refs", Fault::Delay(Duration::from_secs(5)));
    assert_eq!(refused(brief().pointer(&branch("main"))), over);
    world.server.heal();
    let pointer = world.main();
    world.repo.commit(&[("b", "2")]);
    world.server.fail("upload-pack", Fault::Drip(Duration::from_secs(2)));
    assert_eq!(refused(brief().content(&pointer, &Selection::default())), over);
}

#[test]
fn private_certificates_are_trusted_when_given() {
    let world = world();
    let server = HttpBackend::start_tls(world.repo.root());
    let url = server.url("repo");
    let with_ca = |ca: &str| {
        let ca = Some(ca.as_bytes().to_vec());
        let store = world.git.open(Location { ca, ..location(&url) })?;
        let pointer = store.pointer(&branch("main"))?;
        store.content(&pointer, &Selection::default()).map(|content| listing(&content))
    };
    assert_eq!(with_ca(server.ca()).unwrap(), "a=1");
    let strange = HttpBackend::start_tls(world.repo.root());
    let found = refused(with_ca(strange.ca()));
    assert!(found.contains("certificate"), "{found}");
    let found = refused(with_ca("no PEM"));
    assert!(found.contains("CA"), "{found}");
    // Never from https to http.
    server.fail("/info/refs", Fault::Redirect(world.server.base()));
    let found = refused(with_ca(server.ca()));
    assert!(found.contains("https URL redirects to, and not https"), "{found}");
}

#[test]
fn certificates_of_ours_open_doors_where_they_were_declared() {
    let world = world();
    let server = HttpBackend::start_mutual_tls(world.repo.root());
    let url = server.url("repo");
    let read_with = |url: &str, ca: &str, certificate: Option<(String, String)>| {
        let certificate = certificate.map(|(chain, key)| ClientCertificate {
            chain: chain.into_bytes(),
            key: Secret::new(key.into_bytes()),
        });
        let ca = Some(ca.as_bytes().to_vec());
        let store = world.git.open(Location { ca, certificate, ..location(url) })?;
        let pointer = store.pointer(&branch("main"))?;
        store.content(&pointer, &Selection::default()).map(|content| listing(&content))
    };
    let ours = server.client_certificate();
    assert_eq!(read_with(&url, server.ca(), Some(ours.clone())).unwrap(), "a=1");
    let refusal = format!(
        "Refused: {url} refused the credentials [check the Secret that spec.secretRef names]"
    );
    assert_eq!(refused(read_with(&url, server.ca(), None)), refusal);
    let strange = HttpBackend::start_mutual_tls(world.repo.root()).client_certificate();
    assert_eq!(refused(read_with(&url, server.ca(), Some(strange.clone()))), refusal);

    // Halves that do not belong together, and what is none.
    let mixed = (ours.0.clone(), strange.1);
    let err = read_with(&url, server.ca(), Some(mixed)).unwrap_err();
    assert!(matches!(err, StoreError::Credentials { .. }), "{err}");
    let canary = Canary::new();
    let none = (ours.0.clone(), canary.secret().to_owned());
    let err = read_with(&url, server.ca(), Some(none)).unwrap_err();
    assert!(told(&err).contains("are not a certificate and its key in PEM"), "{}", told(&err));
    assert!(canary.scan_bytes(format!("{err:?}").as_bytes()).is_empty());

    // A server that sends us on learns nothing of it for others.
    let first = HttpBackend::start_tls(world.repo.root());
    first.fail("/info/refs", Fault::Redirect(server.base()));
    let both = format!("{}{}", first.ca(), server.ca());
    let elsewhere = refused(read_with(&first.url("repo"), &both, Some(ours)));
    assert!(elsewhere.contains("refused the credentials"), "{elsewhere}");
}

#[test]
fn version_2_is_asked_for() {
    let world = world();
    assert!(world.store().names().is_ok());
    let requests = world.server.requests();
    assert!(requests.iter().all(|request| request.header("git-protocol") == Some("version=2")));
    assert!(requests.iter().all(|request| request.header("user-agent") == Some("fixpoint/test")));
    assert!(requests.iter().any(|request| request.body.contains("command=ls-refs")));
}

#[test]
fn it_runs_where_an_async_runtime_lets_block() {
    let world = world();
    let store = world.store();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(async move {
        tokio::task::spawn_blocking(move || store.pointer(&branch("main"))).await.unwrap()
    });
    assert_eq!(found.unwrap().commit, world.repo.head());
    // The driver itself may go away on an async thread.
    runtime.block_on(async move { drop(world) });
}
