//! Through proxies, over HTTP and over ssh.

use crate::common::*;
use fixpoint_base::Secret;
use fixpoint_fixture::{Access, Canary, HttpBackend, ProxyServer, free_port};
use fixpoint_source::{Credentials, Location, Proxy, Selection, StoreError, Stores as _};

fn read(world: &World, location: Location, proxy: Proxy) -> Result<String, StoreError> {
    let store = world.git.open(Location { proxy: Some(proxy), ..location })?;
    let pointer = store.pointer(&branch("main"))?;
    store.content(&pointer, &Selection::default()).map(|content| listing(&content))
}

fn nobody(address: String) -> Proxy {
    Proxy { address, login: None }
}

fn ann(address: String, password: &str) -> Proxy {
    Proxy { address, login: Some(("ann".to_owned(), Secret::new(password.to_owned()))) }
}

const KINDS: [&str; 2] = ["http", "socks5"];

#[test]
fn every_way_leads_through_every_kind_of_proxy() {
    for via in [Via::Http, Via::Ssh] {
        let world = World::new(via);
        world.repo.commit(&[("a", "1")]);
        let port = world.url().rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
        for kind in KINDS {
            let proxy = ProxyServer::start(None);
            let found = read(&world, world.location(), nobody(proxy.url(kind)));
            assert_eq!(found.unwrap(), "a=1", "{via:?} {kind}");
            let seen = proxy.requests();
            assert!(!seen.is_empty() && seen.iter().all(|head| head.contains(&port)), "{seen:?}");
        }
    }
}

#[test]
fn tls_is_spoken_with_the_server_and_not_with_the_proxy() {
    let world = World::new(Via::Http);
    world.repo.commit(&[("a", "1")]);
    let server = HttpBackend::start_tls(world.repo.root());
    let password = Canary::new();
    server.allow(Access::Bearer(password.secret().to_owned()));
    for kind in KINDS {
        let proxy = ProxyServer::start(None);
        let there = Location {
            ca: Some(server.ca().as_bytes().to_vec()),
            credentials: Credentials::Bearer(Secret::new(password.secret().to_owned())),
            ..location(&server.url("repo"))
        };
        assert_eq!(read(&world, there, nobody(proxy.url(kind))).unwrap(), "a=1", "{kind}");
        let seen = proxy.requests();
        assert!(!seen.is_empty(), "{kind}");
        for head in seen {
            assert!(head.starts_with("CONNECT localhost:") || head.starts_with("SOCKS localhost:"));
            assert!(password.scan_bytes(head.as_bytes()).is_empty());
        }
    }
}

#[test]
fn proxies_ask_who_we_are() {
    let (right, wrong) = (Canary::new(), Canary::new());
    for via in [Via::Http, Via::Ssh] {
        let world = World::new(via);
        world.repo.commit(&[("a", "1")]);
        for kind in KINDS {
            let proxy = ProxyServer::start(Some(("ann", right.secret())));
            let url = proxy.url(kind);
            let found = read(&world, world.location(), ann(url.clone(), right.secret()));
            assert_eq!(found.unwrap(), "a=1", "{via:?} {kind}");
            for login in [nobody(url.clone()), ann(url, wrong.secret())] {
                let err = read(&world, world.location(), login).unwrap_err();
                let text = format!("{} {err:?}", told(&err));
                assert!(wrong.scan_bytes(text.as_bytes()).is_empty(), "{text}");
                // What SOCKS says of it differs from proxy to proxy.
                let said = text.contains("the proxy refused the credentials");
                assert!(said || (via == Via::Http && kind == "socks5"), "{via:?} {kind}: {text}");
            }
        }
        // The server hears nothing of what the proxy is told.
        for request in world.server.requests() {
            assert!(right.scan_bytes(format!("{request:?}").as_bytes()).is_empty());
        }
        assert!(right.scan(world.dir.path()).is_empty());
    }
}

#[test]
fn proxies_that_are_not_there_or_not_allowed() {
    for via in [Via::Http, Via::Ssh] {
        let world = World::new(via);
        world.repo.commit(&[("a", "1")]);
        let no = |address: &str, url: String| {
            let there = Location { url, ..world.location() };
            refused(read(&world, there, nobody(address.to_owned())))
        };
        let closed = no(&format!("http://127.0.0.1:{}", free_port()), world.url());
        assert!(closed.contains("http://127.0.0.1:") && closed.contains("refused"), "{closed}");
        let metadata = no("http://169.254.169.254:80", world.url());
        assert!(metadata.contains("169.254.169.254 is where it leads"), "{metadata}");
        let proxy = ProxyServer::start(None);
        // Nor does a proxy lead to what is never connected to.
        let scheme = world.url().split_once("://").unwrap().0.to_owned();
        for host in ["169.254.169.254", "0xa9fea9fe", "[::ffff:169.254.169.254]"] {
            let beyond = no(&proxy.url("http"), format!("{scheme}://{host}/repo"));
            assert!(beyond.contains("is not allowed"), "{host}: {beyond}");
        }
        assert!(proxy.requests().is_empty());
        let malformed = no("proxy:3128", world.url());
        assert!(malformed.contains("of the proxy is malformed"), "{malformed}");
    }
    let world = World::new(Via::Ssh);
    let tls = refused(read(&world, world.location(), nobody("https://127.0.0.1:1".to_owned())));
    assert!(tls.contains("Connection refused") || tls.contains("http:// and socks5://"), "{tls}");
}
