//! Repositories within repositories.

use crate::common::*;
use fixpoint_base::Secret;
use fixpoint_fixture::{Access, Canary, HttpBackend, Repo};
use fixpoint_source::{Content, Credentials, Location, Selection, StoreError, Stores as _};

/// Puts a bare copy of a repository beside another one, under a name.
fn put(world: &World, lib: &Repo, name: &str) {
    let target = world.repo.root().join(name).display().to_string();
    lib.git(&["clone", "--quiet", "--bare", ".", &target]);
}

/// Commits that a folder is another repository, at a commit.
fn adopt(repo: &Repo, path: &str, url: &str, commit: &str) {
    let modules = repo.path().join(".gitmodules");
    let mut text = std::fs::read_to_string(&modules).unwrap_or_default();
    text.push_str(&format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n"));
    std::fs::write(modules, text).unwrap();
    repo.git(&["add", ".gitmodules"]);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]);
    repo.git(&["commit", "--quiet", "--message", &format!("adopt {path}")]);
}

fn read(world: &World, location: Location) -> Result<Content, StoreError> {
    let selection = Selection::default().with_submodules(true);
    let store = world.git.open(location)?;
    let pointer = store.pointer(&branch("main"))?;
    store.content(&pointer, &selection)
}

fn origins(content: &Content) -> String {
    let origin =
        |of: &fixpoint_source::Submodule| format!("{} {} {}\n", of.path, of.url, of.commit);
    content.submodules.iter().map(origin).collect()
}

#[test]
fn submodules_are_read_where_they_belong() {
    for via in [Via::Http, Via::Ssh] {
        let world = World::new(via);
        let (lib, inner) = (Repo::new(), Repo::new());
        let deep = inner.commit(&[("d", "4")]);
        put(&world, &inner, "inner.git");
        lib.commit(&[("b", "2"), ("c/c", "3")]);
        adopt(&lib, "c/inner", "../inner.git", &deep);
        put(&world, &lib, "lib.git");
        world.repo.commit(&[("a", "1")]);
        adopt(&world.repo, "x/lib", "../lib.git", &lib.head());

        let content = read(&world, world.location()).unwrap();
        assert_eq!(listing(&content), "a=1 x/lib/b=2 x/lib/c/c=3 x/lib/c/inner/d=4", "{via:?}");
        let base = world.url().strip_suffix("/repo").unwrap().to_owned();
        let wanted =
            format!("x/lib {base}/lib.git {}\nx/lib/c/inner {base}/inner.git {deep}\n", lib.head());
        assert_eq!(origins(&content), wanted);
        // Without being asked for, they are empty folders.
        assert_eq!(world.files(), "a=1");
        // The second time nothing is fetched, and all is the same.
        let again = read(&world, world.location()).unwrap();
        assert_eq!(again.tree.digest(), content.tree.digest());
    }
}

#[test]
fn what_is_not_selected_is_not_fetched() {
    let world = World::new(Via::Http);
    let lib = Repo::new();
    lib.commit(&[("b", "2")]);
    put(&world, &lib, "lib.git");
    world.repo.commit(&[("apps/a", "1")]);
    adopt(&world.repo, "apps/lib", "../lib.git", &lib.head());
    adopt(&world.repo, "other", "https://elsewhere.example/x", &lib.head());
    let selection = Selection::declared(&["apps".to_owned()], None, &Default::default()).unwrap();
    let store = world.store();
    let content = store.content(&world.main(), &selection.with_submodules(true)).unwrap();
    assert_eq!(listing(&content), "apps/a=1 apps/lib/b=2");
}

#[test]
fn submodules_that_are_not_allowed_or_not_there() {
    let world = World::new(Via::Http);
    world.repo.commit(&[("a", "1")]);
    let start = world.repo.head();
    let id = "1".repeat(40);
    let no = |url: &str| {
        world.repo.git(&["reset", "--quiet", "--hard", &start]);
        adopt(&world.repo, "lib", url, &id);
        refused(read(&world, world.location()))
    };
    let file = no("file:///etc");
    assert!(file.contains("in a folder"), "{file}");
    let other = no("https://elsewhere.example/x");
    assert!(other.contains("name elsewhere.example in the annotation"), "{other}");
    let port = no("http://127.0.0.1:1/x");
    assert!(port.contains("which is another server"), "{port}");
    let out = no("../../../x");
    assert!(out.contains("leads out of the server"), "{out}");
    let option = no("-u./payload");
    assert!(option.contains("has a URL that is none"), "{option}");
    let absent = no("../nothing.git");
    assert!(absent.contains("no repository at"), "{absent}");
    let lib = Repo::new();
    lib.commit(&[("b", "2")]);
    put(&world, &lib, "lib.git");
    let commit = no("../lib.git");
    assert!(
        commit.contains(&format!("commit {id} of submodule \"lib\" does not exist")),
        "{commit}"
    );
    // Nor one that nobody declares.
    world.repo.git(&["reset", "--quiet", "--hard", &start]);
    world.repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{id},lone")]);
    world.repo.git(&["commit", "--quiet", "--message", "lone"]);
    let lone = refused(read(&world, world.location()));
    assert!(lone.contains(".gitmodules has no URL for submodule \"lone\""), "{lone}");
}

#[test]
fn circles_end() {
    let world = World::new(Via::Http);
    world.repo.commit(&[("a", "1")]);
    // A commit cannot hold its own id; the one before it will do, over and over.
    for n in 0..8 {
        let head = world.repo.head();
        adopt(&world.repo, &format!("n{n}"), "../repo", &head);
    }
    let found = refused(read(&world, world.location()));
    assert!(found.contains("repositories deep") || found.contains("64 submodules"), "{found}");
}

#[test]
fn other_servers_learn_nothing_of_ours() {
    let world = World::new(Via::Http);
    let friend = HttpBackend::start(world.repo.root());
    let lib = Repo::new();
    lib.commit(&[("b", "2")]);
    put(&world, &lib, "lib.git");
    world.repo.commit(&[("a", "1")]);
    adopt(&world.repo, "own", "../lib.git", &lib.head());
    adopt(&world.repo, "friend", &friend.url("lib.git"), &lib.head());
    let password = Canary::new();
    world.server.allow(Access::Bearer(password.secret().to_owned()));
    let host = friend.base().trim_start_matches("http://").to_owned();
    let there = |hosts: Vec<String>| Location {
        credentials: Credentials::Bearer(Secret::new(password.secret().to_owned())),
        submodule_hosts: hosts,
        ..world.location()
    };
    assert!(refused(read(&world, there(Vec::new()))).contains("which is another server"));
    let content = read(&world, there(vec![host])).unwrap();
    assert_eq!(listing(&content), "a=1 friend/b=2 own/b=2");
    let seen = friend.requests();
    assert!(!seen.is_empty());
    for request in seen {
        assert_eq!(request.header("authorization"), None);
        assert!(password.scan_bytes(format!("{request:?}").as_bytes()).is_empty());
    }
}

#[test]
fn folders_have_none() {
    let world = World::new(Via::File);
    world.repo.commit(&[("a", "1")]);
    let found = refused(read(&world, world.location()));
    assert!(
        found.contains("spec.recurseSubmodules with a file:// URL is not supported"),
        "{found}"
    );
}
