//! Names, pointers and content, from folders and over HTTP.

use crate::common::*;
use fixpoint_base::Limits;
use fixpoint_source::{Reference, Selection, Stores as _};

#[test]
fn a_repository_is_read() {
    for via in ALL {
        let world = World::new(via);
        let id = world.repo.commit(&[("app/a.yaml", "a"), ("b.yaml", "b")]);
        let pointer = world.main();
        assert_eq!(pointer.revision(), format!("main@sha1:{id}"));
        assert_eq!(pointer.full, "refs/heads/main");
        let content = world.store().content(&pointer, &Selection::default()).unwrap();
        assert_eq!(listing(&content), "app/a.yaml=a b.yaml=b");
        assert_eq!(content.subject, "change app/a.yaml b.yaml");
        assert_eq!(content.author, "Ann Example <ann@example.org>");
        assert_eq!(content.committed, 1_700_000_003);
        let names: Vec<String> =
            world.store().names().unwrap().into_iter().map(|name| name.full).collect();
        assert_eq!(names, ["HEAD", "refs/heads/main"], "{via:?}");
    }
}

#[test]
fn new_commits_are_fetched_incrementally() {
    for via in ALL {
        let mut world = World::new(via);
        world.repo.write_bytes("big", &noise(100_000));
        world.repo.commit(&[("a", "1")]);
        assert_eq!(world.files(), "a=1 big");
        world.repo.commit(&[("a", "2")]);
        assert_eq!(world.files(), "a=2 big");
        world.restart();
        world.repo.commits(3);
        world.repo.commit(&[("a", "3"), ("c", "3")]);
        assert_eq!(world.files(), "a=3 big c=3");
        let bytes: u64 =
            packs(&world).iter().map(|pack| std::fs::metadata(pack).unwrap().len()).sum();
        assert!(bytes < 110_000, "{bytes} bytes for one large file, {via:?}");
        world.repo.remove("big");
        world.repo.commit(&[]);
        assert_eq!(world.files(), "a=3 c=3");
        world.server.requests();
        assert_eq!(world.files(), "a=3 c=3");
        // What is here is not fetched again.
        let fetches = world.server.requests().iter().filter(|r| r.body.contains("want ")).count();
        assert_eq!(fetches, 0, "{via:?}");
    }
}

#[test]
fn versions_share_what_did_not_change() {
    for via in ALL {
        let world = World::new(via);
        world.repo.commit(&[("a", "1"), ("b", "same"), ("c", "same")]);
        let old = world.content().unwrap();
        world.repo.commit(&[("a", "2")]);
        let new = world.content().unwrap();
        let bytes = |content: &fixpoint_source::Content, path: &str| {
            std::sync::Arc::clone(&content.tree.file(path).unwrap().bytes)
        };
        assert!(std::sync::Arc::ptr_eq(&bytes(&old, "b"), &bytes(&new, "b")));
        assert!(std::sync::Arc::ptr_eq(&bytes(&new, "b"), &bytes(&new, "c")));
        assert_eq!(listing(&new), "a=2 b=same c=same");
    }
}

#[test]
fn references_resolve() {
    for via in ALL {
        let world = World::new(via);
        let one = world.repo.commit(&[("a", "1")]);
        world.repo.tag("v1.0.0");
        let two = world.repo.commit(&[("a", "2")]);
        let tag_object = world.repo.annotated_tag("1.1.0");
        world.repo.tag("nightly");
        world.repo.branch("dev");
        let three = world.repo.commit(&[("a", "3")]);
        world.repo.tag("v2.0.0-rc.1");
        world.repo.git(&["update-ref", "refs/pull/7/head", &three]);
        // Names move from loose files into the packed one.
        world.repo.git(&["pack-refs", "--all"]);

        let revision = |reference: Reference| world.pointer(&reference).unwrap().revision();
        assert_eq!(revision(branch("main")), format!("main@sha1:{two}"));
        assert_eq!(revision(branch("dev")), format!("dev@sha1:{three}"));
        assert_eq!(revision(tag("v1.0.0")), format!("v1.0.0@sha1:{one}"));
        assert_eq!(revision(semver(">=1.0.0")), format!("1.1.0@sha1:{two}"));
        assert_eq!(revision(semver("1.0.x")), format!("v1.0.0@sha1:{one}"));
        assert_eq!(revision(semver(">=2.0.0-0")), format!("v2.0.0-rc.1@sha1:{three}"));
        assert_eq!(
            revision(Reference::Name("refs/pull/7/head".into())),
            format!("refs/pull/7/head@sha1:{three}")
        );
        let annotated = world.pointer(&tag("1.1.0")).unwrap();
        assert_eq!(annotated.commit, two);
        assert_eq!(annotated.tag_object.as_deref(), Some(tag_object.as_str()));
        assert_eq!(world.pointer(&tag("nightly")).unwrap().tag_object, None);

        let by_id = world.pointer(&commit(&one)).unwrap();
        assert_eq!(by_id.revision(), format!("sha1:{one}"));
        assert_eq!(listing(&world.store().content(&by_id, &Selection::default()).unwrap()), "a=1");
        let pull = world.pointer(&Reference::Name("refs/pull/7/head".into())).unwrap();
        assert_eq!(listing(&world.store().content(&pull, &Selection::default()).unwrap()), "a=3");
    }
}

#[test]
fn a_commit_is_looked_for_on_its_branch() {
    for via in ALL {
        let world = World::new(via);
        let one = world.repo.commit(&[("a", "1")]);
        world.repo.branch("dev");
        let on_dev = world.repo.commit(&[("a", "2")]);
        world.repo.checkout("main");
        world.repo.commit(&[("a", "3")]);
        let on = |id: &str, branch: &str| {
            let reference =
                Reference::Commit { id: id.to_owned(), branch: Some(branch.to_owned()) };
            world.pointer(&reference).map(|pointer| pointer.revision())
        };
        assert_eq!(on(&one, "main").unwrap(), format!("main@sha1:{one}"));
        assert_eq!(on(&one, "main").unwrap(), format!("main@sha1:{one}"));
        assert_eq!(on(&on_dev, "dev").unwrap(), format!("dev@sha1:{on_dev}"));
        assert_eq!(
            refused(on(&on_dev, "main")),
            format!("User: commit {on_dev} on branch main does not exist in {}", world.url())
        );
        let refusal = refused(on(&one, "mian"));
        assert!(refusal.starts_with("User: branch mian does not exist"), "{refusal}");
        assert!(refusal.ends_with("[there are: main, dev]"), "{refusal}");
    }
}

#[test]
fn names_that_do_not_exist_come_with_those_that_do() {
    for via in ALL {
        let world = World::new(via);
        let url = world.url();
        assert_eq!(
            refused(world.pointer(&branch("main"))),
            format!("User: branch main does not exist in {url}"),
            "an empty repository"
        );
        world.repo.commit(&[("a", "1")]);
        world.repo.tag("1.0.0");
        world.repo.git(&["branch", "staging"]);
        assert_eq!(
            refused(world.pointer(&branch("mian"))),
            format!("User: branch mian does not exist in {url} [there are: main, staging]")
        );
        assert_eq!(
            refused(world.pointer(&semver("^2"))),
            format!("User: tag in range ^2 does not exist in {url} [there are: 1.0.0]")
        );
        assert_eq!(
            refused(world.pointer(&semver("latest"))),
            "User: tag in range latest is malformed: \"latest\" is not a version"
        );
        assert_eq!(
            refused(world.pointer(&branch("-x"))),
            "User: branch -x is malformed: no name starts with a dash or is @"
        );
        let missing = "1234567890123456789012345678901234567890";
        let pointer = world.pointer(&commit(missing)).unwrap();
        assert_eq!(
            refused(world.store().content(&pointer, &Selection::default())),
            format!("User: commit {missing} does not exist in {url}")
        );
    }
}

#[test]
fn files_of_version_control_and_ci_are_left_out() {
    let world = World::new(Via::Http);
    world.repo.write(&[
        ("a.yaml", "a"),
        ("run.sh", "r"),
        ("logo.png", "p"),
        (".gitignore", "x"),
        (".gitattributes", "* text=auto"),
        ("sub/.gitignore", "x"),
        (".github/workflows/ci.yaml", "x"),
        ("sub/.sops.yaml", "x"),
        ("sub/b.yaml", "b"),
    ]);
    world.repo.make_executable("run.sh");
    world.repo.link("link.yaml", "sub/b.yaml");
    world.repo.link("docs/logo.png", "../logo.png");
    world.repo.link("docs/logo", "../logo.png");
    world.repo.commit_as("all kinds of files");
    assert_eq!(world.files(), "a.yaml=a link.yaml=b run.sh*=r sub/b.yaml=b");
}

#[test]
fn nothing_in_a_repository_is_an_instruction() {
    for via in ALL {
        let world = World::new(via);
        let marker = world.dir.path().join("ran");
        let touch = format!("touch {}", marker.display());
        world.repo.write(&[
            (".gitattributes", "*.yaml filter=evil ident\n"),
            ("a.yaml", "$Id$"),
            (".gitmodules", "[submodule \"s\"]\n\tpath = s\n\turl = ext::sh -c evil\n"),
        ]);
        world.repo.commit_as("evil attributes\n\n\u{1b}[31mred");
        let head = world.repo.head();
        let cacheinfo = format!("160000,{head},s");
        world.repo.git(&["update-index", "--add", "--cacheinfo", &cacheinfo]);
        world.repo.git(&["commit", "--quiet", "--message", "\u{1b}[31mred\u{202e}"]);
        if via == Via::File {
            for (key, value) in [
                ("filter.evil.smudge", touch.as_str()),
                ("core.fsmonitor", &touch),
                ("core.alternateRefsCommand", &touch),
                ("uploadpack.packObjectsHook", &touch),
                ("include.path", "/nonexistent/../evil"),
                ("core.worktree", "/"),
            ] {
                world.repo.git(&["config", key, value]);
            }
            for hook in ["post-checkout", "reference-transaction", "post-index-change"] {
                world
                    .repo
                    .write(&[(&format!(".git/hooks/{hook}"), &format!("#!/bin/sh\n{touch}"))]);
            }
        }
        let content = world.content().unwrap();
        assert_eq!(listing(&content), "a.yaml=$Id$");
        assert_eq!(content.subject, "[31mred");
        assert!(!marker.exists());
    }
}

#[test]
fn links_that_lead_out_are_refused() {
    for via in ALL {
        let world = World::new(via);
        world.repo.link("evil.yaml", "../../etc/passwd");
        world.repo.commit(&[("a", "1")]);
        assert_eq!(
            refused(world.content()),
            "User: the version is refused: symbolic link \"evil.yaml\" is not allowed: it leads \
             out of the tree [point the link at a file within the same source, or remove it]"
        );
    }
}

#[test]
fn limits_bind() {
    let tight = [
        (
            Limits { file_bytes: 9, ..Limits::default() },
            "file \"b\" (10 bytes) is over the limit of 9 bytes",
        ),
        (Limits { tree_bytes: 19, ..Limits::default() }, "the tree is over the limit of 19 bytes"),
        (
            Limits { files: 2, ..Limits::default() },
            "the number of files is over the limit of 2 files",
        ),
        (
            Limits { path_depth: 2, ..Limits::default() },
            "the depth of path \"c/d/e\" is over the limit of 2 folders",
        ),
    ];
    for via in [Via::File, Via::Http] {
        for (limits, expected) in &tight {
            let world = World::with_limits(via, limits.clone());
            world.repo.commit(&[("a", "1"), ("b", "0123456789"), ("c/d/e", "0123456789")]);
            let found = refused(world.content());
            assert!(found.contains(expected), "{via:?}: {found}");
            assert!(found.starts_with("Refused:"), "{found}");
        }
    }
}

#[test]
fn fetches_have_a_limit() {
    let world = World::with_limits(Via::Http, Limits { fetch_bytes: 2000, ..Limits::default() });
    world.repo.commit(&[("a", "1")]);
    assert_eq!(world.files(), "a=1");
    world.repo.write_bytes("noise", &noise(6000));
    world.repo.commit(&[]);
    assert_eq!(
        refused(world.content()),
        format!("Refused: {} is over a limit: a fetch may receive 2000 bytes", world.url())
    );
}

#[test]
fn endless_folders_are_refused() {
    // Forty tree objects, each with the one below it twice, stand for 2^40 folders.
    let world = World::with_limits(Via::File, Limits { files: 1000, ..Limits::default() });
    world.repo.commit(&[("a", "1")]);
    let mut tree = world.repo.git(&["mktree"]);
    for _ in 0..40 {
        let listing = format!("040000 tree {tree}\ta\n040000 tree {tree}\tb\n");
        tree = world.repo.git_reading(&["mktree"], &listing);
    }
    let commit = world.repo.git(&["commit-tree", "-m", "bomb", &tree]);
    world.repo.git(&["update-ref", "refs/heads/main", &commit]);
    assert_eq!(
        refused(world.content()),
        "Refused: the version is refused: the number of files and folders is over the limit of \
         4000 entries [split the source, or keep large files out of it]"
    );
}

#[test]
fn a_broken_mirror_is_fetched_anew() {
    for via in [Via::Http, Via::HttpFilter] {
        let mut world = World::new(via);
        let one = world.repo.commit(&[("a", "1"), ("b", &"text ".repeat(1000))]);
        assert!(world.content().is_ok());
        let two = world.repo.commits(3);
        assert_eq!(world.ancestry(&one, &two), fixpoint_source::Ancestry::Forward);
        world.repo.reset(&one);
        let mut broken = 0;
        for pack in packs(&world) {
            let mut bytes = std::fs::read(&pack).unwrap();
            let middle = bytes.len() / 2;
            for byte in &mut bytes[middle - 10..middle + 10] {
                *byte ^= 0x55;
            }
            std::fs::remove_file(&pack).unwrap();
            std::fs::write(&pack, bytes).unwrap();
            broken += 1;
        }
        assert!(broken > 0);
        world.restart();
        assert_eq!(world.files(), "a=1 b", "{via:?}");
        // And one whose packs are gone altogether.
        for pack in files_below(&world.mirrors()) {
            if pack.extension().is_some_and(|ext| ext == "pack" || ext == "idx") {
                std::fs::remove_file(pack).unwrap();
            }
        }
        world.restart();
        assert_eq!(world.files(), "a=1 b", "{via:?}");
    }
}

#[test]
fn a_mirror_does_not_grow_for_ever() {
    let world = World::new(Via::Http);
    for n in 0..55 {
        world.repo.commit(&[("a", &n.to_string())]);
        assert_eq!(world.files(), format!("a={n}"));
    }
    let packs = packs(&world).len();
    assert!(packs <= 51, "{packs}");
}

#[test]
fn two_threads_read_one_repository() {
    for via in ALL {
        let world = World::new(via);
        for round in 0..3 {
            let id = world.repo.commit(&[("a", &round.to_string())]);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        assert_eq!(world.main().commit, id);
                        assert_eq!(world.files(), format!("a={round}"));
                        world.ancestry(&id, &id);
                    });
                }
            });
        }
    }
}

#[test]
fn only_allowed_folders_are_read() {
    let world = World::new(Via::File);
    world.repo.commit(&[("a", "1")]);
    let other = fixpoint_fixture::Repo::new();
    other.commit(&[("secret", "1")]);
    let no = format!(
        "Refused: {} is not allowed: it is not in a folder that local sources are allowed in \
         [start the engine with --allow-file-sources DIR]",
        other.url()
    );
    assert_eq!(refused(world.git.open(location(&other.url()))), no);
    let up = format!("{}/../../{}", world.repo.url(), "x");
    assert!(refused(world.git.open(location(&up))).contains("not allowed"), "{up}");
    // Links out of the allowed folder do not help, wherever they are.
    let refuse = |name: &str| {
        let url = format!("file://{}/{name}", world.repo.root().display());
        let found = world.git.open(location(&url)).and_then(|store| store.names());
        assert!(refused(found).contains("not allowed"), "{name}");
    };
    let link = |to: &std::path::Path, at: &str| {
        let at = world.repo.root().join(at);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, at).unwrap();
    };
    link(other.path(), "link");
    refuse("link");
    link(&other.path().join(".git"), "inner/.git");
    refuse("inner");
    std::fs::create_dir_all(world.repo.root().join("objects/refs")).unwrap();
    link(&other.path().join(".git/objects"), "objects/objects");
    refuse("objects");
    // Borrowed objects neither.
    let borrowed = world.repo.root().join("borrowed");
    world.repo.git(&[
        "clone",
        "--quiet",
        "--shared",
        &other.url()["file://".len()..],
        &borrowed.display().to_string(),
    ]);
    let url = format!("file://{}", borrowed.display());
    let found = world.git.open(location(&url)).and_then(|store| store.pointer(&branch("main")));
    assert_eq!(
        refused(found),
        "Refused: a repository that borrows objects (objects/info/alternates) is not supported yet"
    );
}

#[test]
fn repositories_that_are_not_there() {
    let world = World::new(Via::File);
    let missing =
        |url: &str| refused(world.git.open(location(url)).and_then(|store| store.names()));
    let file = format!("file://{}/none", world.repo.root().display());
    let hint = "[check spec.url, and that the credentials may read it]";
    assert_eq!(missing(&file), format!("Transient: there is no repository at {file} {hint}"));
    let http = world.server.url("none");
    assert_eq!(missing(&http), format!("Transient: there is no repository at {http} {hint}"));
}

fn files_below(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files_below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

fn packs(world: &World) -> Vec<std::path::PathBuf> {
    let mut found = files_below(&world.mirrors());
    found.retain(|path| path.extension().is_some_and(|ext| ext == "pack"));
    found
}

/// Bytes that do not compress, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn the_objects_of_a_version_are_handed_out_as_they_are() {
    for via in ALL {
        let world = World::new(via);
        let id = world.repo.commit(&[("a", "1")]);
        world.repo.git(&["tag", "-a", "-m", "one", "v1"]);
        world.repo.git(&["tag", "light"]);
        let raw = |kind: &str, id: &str| world.repo.git(&["cat-file", kind, id]) + "\n";
        for (reference, tagged) in
            [(branch("main"), false), (tag("light"), false), (tag("v1"), true)]
        {
            let pointer = world.pointer(&reference).unwrap();
            let found = world.store().objects(&pointer).unwrap();
            assert_eq!(String::from_utf8(found.commit).unwrap(), raw("commit", &id), "{via:?}");
            let expected = tagged.then(|| raw("tag", "v1"));
            assert_eq!(found.tag.map(|tag| String::from_utf8(tag).unwrap()), expected, "{via:?}");
        }
    }
}

#[test]
fn a_commit_longer_than_any_real_one_is_refused() {
    let world = World::new(Via::File);
    world.repo.commit(&[("a", "1")]);
    let message = "x".repeat(1024 * 1024);
    let tree = world.repo.git(&["rev-parse", "HEAD^{tree}"]);
    let id = world.repo.git_reading(&["commit-tree", &tree], &message);
    world.repo.git(&["update-ref", "refs/heads/main", &id]);
    let over = format!(
        "Refused: {} is over a limit: commit {id} has more than 1048576 bytes",
        world.url()
    );
    assert_eq!(refused(world.content()), over);
    assert_eq!(refused(world.store().objects(&world.main())), over);
}
