//! Servers over ssh that are who they should be, that are not, and that fail.

use std::time::Duration;

use crate::common::*;
use fixpoint_fixture::{Canary, SshFault, SshKey, SshServer, free_port};
use fixpoint_source::{Credentials, Location, Selection, StoreError, Stores as _};

fn world() -> World {
    let world = World::new(Via::Ssh);
    world.repo.commit(&[("a", "1")]);
    world
}

fn read(world: &World, location: Location) -> Result<String, StoreError> {
    let store = world.git.open(location)?;
    let pointer = store.pointer(&branch("main"))?;
    store.content(&pointer, &Selection::default()).map(|content| listing(&content))
}

/// Reads with this key and these host keys.
fn read_as(world: &World, key: &SshKey, known_hosts: &str) -> Result<String, StoreError> {
    read(world, Location { credentials: identity(key, known_hosts), ..world.location() })
}

#[test]
fn a_known_server_lets_a_known_key_in() {
    let world = world();
    assert_eq!(read(&world, world.location()).unwrap(), "a=1");
    let url = world.url().replace("ssh://", "ssh://ann@");
    assert_eq!(read(&world, Location { url, ..world.location() }).unwrap(), "a=1");
    let path = world.repo.path().display().to_string();
    let command = format!("git-upload-pack '{path}'");
    assert!(world.ssh.commands().iter().all(|ran| *ran == command));
}

#[test]
fn paths_reach_the_server_as_they_are() {
    let world = world();
    let odd = world.repo.root().join("it's a $(touch x)!");
    std::fs::rename(world.repo.path(), &odd).unwrap();
    let url = world.ssh.url(world.repo.root());
    let url = format!("{url}/it%27s%20a%20$(touch%20x)!");
    assert_eq!(read(&world, Location { url, ..world.location() }).unwrap(), "a=1");
    assert!(!world.repo.root().join("x").exists());
}

#[test]
fn keys_that_the_server_does_not_know() {
    let world = world();
    let (strange, known) = (SshKey::new(), world.ssh.known_hosts());
    let err = read_as(&world, &strange, &known).unwrap_err();
    let wanted = "refused the credentials [check the Secret that spec.secretRef names]";
    assert_eq!(told(&err), format!("Refused: {} {wanted}", world.url()));
    let body: String = strange.private().lines().skip(1).take(1).collect();
    assert!(!format!("{err:?}").contains(&body));
    assert!(world.ssh.commands().is_empty());
}

#[test]
fn servers_that_are_not_known_are_not_trusted() {
    let world = world();
    let other = SshKey::new();
    let (key, host) = (world.ssh.key(), world.ssh.host());
    let print = world.ssh.host_key().fingerprint();
    let refused = |known: String| {
        let err = read_as(&world, key, &known).unwrap_err();
        assert!(matches!(err, StoreError::Untrusted { .. }), "{err}");
        assert!(world.ssh.commands().is_empty());
        told(&err).replace(&world.url(), "URL")
    };

    let unknown = refused(format!("elsewhere {}", other.public()));
    let wanted = format!("its host key ssh-ed25519 {print} is not in known_hosts");
    assert!(unknown.starts_with(&format!("Refused: URL is not trusted: {wanted}")), "{unknown}");
    assert!(unknown.contains("ssh-keyscan -p "), "{unknown}");

    let changed = refused(format!("# one\n{host} {}", other.public()));
    assert!(changed.contains("its host key has changed"), "{changed}");
    assert!(changed.contains(&print) && changed.contains("(line 2)"), "{changed}");

    let key = world.ssh.host_key().public();
    let revoked = refused(format!("{host} {key}\n@revoked * {key}"));
    assert!(revoked.contains(&format!("{print} is revoked (line 2 of known_hosts)")), "{revoked}");

    let authority = refused(format!("@cert-authority * {key}"));
    assert!(authority.contains("names a certificate authority for it (line 1)"), "{authority}");
}

#[test]
fn a_key_that_changes_later_is_not_trusted() {
    let world = world();
    let before = world.ssh.known_hosts();
    assert_eq!(read_as(&world, world.ssh.key(), &before).unwrap(), "a=1");
    world.ssh.change_host_key();
    let changed = refused(read_as(&world, world.ssh.key(), &before));
    assert!(changed.contains("its host key has changed"), "{changed}");
    let after = world.ssh.known_hosts();
    assert_eq!(read_as(&world, world.ssh.key(), &after).unwrap(), "a=1");
}

#[test]
fn secrets_that_are_of_no_use() {
    let world = world();
    let canary = Canary::new();
    let no = |credentials: Credentials| {
        let err = read(&world, Location { credentials, ..world.location() }).unwrap_err();
        assert!(canary.scan_bytes(format!("{err:?} {}", told(&err)).as_bytes()).is_empty());
        told(&err).replace(&world.url(), "URL")
    };
    let nobody = no(Credentials::Anonymous);
    assert!(nobody.contains("an ssh:// URL needs a private key"), "{nobody}");
    let token = no(Credentials::Bearer(fixpoint_base::Secret::new(canary.secret().to_owned())));
    assert!(token.contains("an ssh:// URL needs a private key"), "{token}");
    let unknown = no(identity(world.ssh.key(), " \n"));
    assert!(unknown.contains("the Secret has no known_hosts [put what ssh-keyscan"), "{unknown}");
    let broken = no(identity(world.ssh.key(), "host x"));
    assert!(broken.contains("line 1 of known_hosts has no key"), "{broken}");
    let key = no(Credentials::Ssh(fixpoint_source::SshIdentity {
        key: fixpoint_base::Secret::new(canary.secret().to_owned()),
        passphrase: None,
        known_hosts: world.ssh.known_hosts(),
    }));
    assert!(key.contains("identity is no private key"), "{key}");
    // And a key over HTTP.
    let credentials = identity(world.ssh.key(), &world.ssh.known_hosts());
    let http = Location { credentials, ..location(&world.server.url("repo")) };
    let http = refused(read(&world, http));
    assert!(http.contains("an ssh key is of no use over HTTP"), "{http}");
}

#[test]
fn servers_that_fail_say_how() {
    let world = world();
    let broken = |fault: SshFault| {
        world.ssh.fail(Some(fault));
        refused(read(&world, world.location())).replace(&world.url(), "URL")
    };
    let absent = broken(SshFault::Complain("ERROR: Repository not found.\n".to_owned()));
    assert!(absent.starts_with("Transient: there is no repository at URL"), "{absent}");
    let program = broken(SshFault::Complain("sh: git-upload-pack: command not found\n".to_owned()));
    assert!(program.contains("the server says: sh: git-upload-pack"), "{program}");
    let odd = broken(SshFault::Complain("\u{1b}[31mgo\u{7} away".to_owned()));
    assert!(odd.ends_with("could not reach URL: the server says: [31mgo  away"), "{odd}");
    let refused = broken(SshFault::NoProgram);
    assert!(refused.contains("it does not let us run git-upload-pack"), "{refused}");
    let chatty = broken(SshFault::Banner(100_000));
    assert!(chatty.contains("it is no ssh server"), "{chatty}");
    let cut = broken(SshFault::Cut(20));
    assert!(cut.contains("closed"), "{cut}");
    // A few lines are polite.
    world.ssh.fail(Some(SshFault::Banner(3)));
    assert_eq!(read(&world, world.location()).unwrap(), "a=1");
}

#[test]
fn a_pack_that_is_cut_leaves_nothing_behind() {
    let world = world();
    let text: String = (0..3000).map(|n| format!("line {n} {}\n", n * 7919 % 1000)).collect();
    world.repo.commit(&[("long", &text)]);
    let pointer = world.main();
    world.ssh.fail(Some(SshFault::Cut(2000)));
    let found = refused(world.store().content(&pointer, &Selection::default()));
    assert!(found.contains("the connection closed half way"), "{found}");
    world.ssh.fail(None);
    assert_eq!(world.files(), "a=1 long");
}

#[test]
fn silent_servers_run_out_of_time() {
    let world = world();
    world.ssh.fail(Some(SshFault::Silence));
    let brief = Location { timeout: Duration::from_secs(1), ..world.location() };
    let over = format!("Transient: {} did not answer within 1 s", world.url());
    assert_eq!(refused(read(&world, brief)), over);
}

#[test]
fn servers_that_are_not_there() {
    let world = world();
    let url = format!("ssh://git@127.0.0.1:{}/repo", free_port());
    let found = refused(read(&world, Location { url, ..world.location() }));
    assert!(found.contains("Connection refused"), "{found}");
    for host in ["169.254.169.254", "0xa9fea9fe", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"] {
        let url = format!("ssh://git@{host}/repo");
        let found = refused(read(&world, Location { url, ..world.location() }));
        assert!(found.contains("is not allowed"), "{host}: {found}");
    }
}

#[test]
fn mirrors_are_not_shared_between_keys() {
    let world = world();
    assert_eq!(read(&world, world.location()).unwrap(), "a=1");
    let id = world.repo.head();
    let other = identity(&SshKey::new(), &world.ssh.known_hosts());
    let store = world.git.open(Location { credentials: other, ..world.location() }).unwrap();
    let pointer = store.pointer(&commit(&id)).unwrap();
    assert!(matches!(
        store.content(&pointer, &Selection::default()),
        Err(StoreError::Unauthorised { .. })
    ));
}

#[test]
fn the_driver_may_go_away_on_an_async_thread() {
    let world = world();
    assert_eq!(read(&world, world.location()).unwrap(), "a=1");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move { drop(world) });
}

#[test]
fn another_server_with_the_same_key_is_another() {
    let world = world();
    let other = SshServer::start();
    let url = other.url(world.repo.path());
    let found = refused(read(&world, Location { url, ..world.location() }));
    assert!(found.contains("is not in known_hosts"), "{found}");
}
