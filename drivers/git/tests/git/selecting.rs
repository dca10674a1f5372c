//! What of a version is wanted: ignored files and selected folders, from a repository to a tree,
//! and patterns beside what the real `git check-ignore` makes of them.

use std::collections::BTreeSet;

use fixpoint_base::Limits;
use fixpoint_fixture::Repo;
use fixpoint_source::{Selection, SieveBuilder, StoreError, ignore};

use crate::common::{ALL, Via, World, listing, refused};

fn selected(world: &World, sparse: &[&str], ignore: Option<&str>) -> Result<String, StoreError> {
    let sparse: Vec<String> = sparse.iter().map(|folder| (*folder).to_owned()).collect();
    let selection = Selection::declared(&sparse, ignore, &Limits::default()).unwrap();
    let pointer = world.main();
    world.store().content(&pointer, &selection).map(|content| listing(&content))
}

#[test]
fn ignored_files_do_not_reach_the_tree() {
    for via in ALL {
        let world = World::new(via);
        world.repo.commit(&[
            ("README.md", "r"),
            ("a.yaml", "a"),
            ("logo.png", "p"),
            ("deploy/b.yaml", "b"),
            ("deploy/README.md", "r"),
            ("src/.sourceignore", "/x\n"),
            ("src/x", "x"),
            ("src/y/x", "x"),
        ]);
        // A file of patterns anywhere replaces the list of Flux's.
        let all = "README.md=r a.yaml=a deploy/README.md=r deploy/b.yaml=b logo.png=p \
                   src/.sourceignore=/x\n src/y/x=x";
        assert_eq!(selected(&world, &[], None).unwrap(), all, "{via:?}");
        assert_eq!(
            selected(&world, &[], Some("/*\n!/deploy\n*.md")).unwrap(),
            "deploy/b.yaml=b",
            "{via:?}"
        );
        assert_eq!(
            selected(&world, &[], Some("*.md\n.sourceignore\n!/src/x")).unwrap(),
            "a.yaml=a deploy/b.yaml=b logo.png=p src/x=x src/y/x=x"
        );
    }
}

#[test]
fn only_selected_folders_reach_the_tree() {
    for via in ALL {
        let world = World::new(via);
        world.repo.commit(&[
            ("a.yaml", "a"),
            ("apps/web/a", "1"),
            ("apps/web/logo.png", "p"),
            ("apps/web2/a", "2"),
            ("apps/db/a", "3"),
            ("apps/.sourceignore", "a"),
            ("infra/x/y", "4"),
        ]);
        assert_eq!(
            selected(&world, &["./apps/web/", "infra"], None).unwrap(),
            "apps/web/a=1 infra/x/y=4",
            "{via:?}: what is not selected has no say, and the default list holds"
        );
        assert_eq!(selected(&world, &["apps/web"], Some("a")).unwrap(), "apps/web/logo.png=p");
        let url = world.url();
        assert_eq!(
            refused(selected(&world, &["apps", "appz"], None)),
            format!(
                "User: folder appz of spec.sparseCheckout does not exist in {url} \
                 [name folders that every followed version has]"
            )
        );
    }
}

#[test]
fn links_to_what_is_not_wanted_are_left_out_too() {
    let world = World::new(Via::File);
    world.repo.write(&[("apps/a", "1"), ("lib/b", "2"), ("lib/c/d", "3")]);
    world.repo.link("apps/b", "../lib/b");
    world.repo.link("apps/c", "../lib/c");
    world.repo.commit_as("links");
    let whole = "apps/a=1 apps/b=2 apps/c/d=3 lib/b=2 lib/c/d=3";
    assert_eq!(selected(&world, &[], None).unwrap(), whole);
    assert_eq!(selected(&world, &["apps"], None).unwrap(), "apps/a=1");
    assert_eq!(selected(&world, &[], Some("/lib/")).unwrap(), "apps/a=1");
    assert_eq!(selected(&world, &[], Some("/lib\n!/lib/b")).unwrap(), "apps/a=1 apps/b=2 lib/b=2");
}

#[test]
fn files_of_patterns_have_limits() {
    let world = World::new(Via::File);
    let line = "# x\n";
    let most = line.repeat(ignore::FILE_BYTES as usize / line.len());
    world.repo.commit(&[("a", "1"), (".sourceignore", &most)]);
    assert!(world.content().is_ok());
    world.repo.commit(&[(".sourceignore", &format!("{most}b"))]);
    assert_eq!(
        refused(world.content()),
        "Refused: the version is refused: .sourceignore has 65537 bytes of ignore patterns, over \
         the limit of 65536 [leave out whole folders instead of single files]"
    );
    let many: Vec<String> = (0..17).map(|at| format!("f{at}/.sourceignore")).collect();
    let mut files: Vec<(&str, &str)> =
        many.iter().map(|path| (path.as_str(), most.as_str())).collect();
    files.push((".sourceignore", ""));
    world.repo.commit(&files);
    let found = refused(world.content());
    assert!(found.contains("over the limit of 1048576"), "{found}");
}

/// Which of these files a list of patterns leaves out, by ours and by Git's account.
fn both(repo: &Repo, patterns: &str, files: &[String]) -> (BTreeSet<String>, BTreeSet<String>) {
    // One that always matches: Git fails where none does.
    repo.write(&[(".gitignore", &format!("{patterns}\nzzz\n"))]);
    let listed = files.join("\n") + "\nzzz\n";
    let gits = repo.git_reading(
        &["check-ignore", "--no-index", "--verbose", "--non-matching", "--stdin"],
        &listed,
    );
    let gits = gits.lines().filter_map(|line| {
        // `source:line:pattern<tab>path`; one that keeps starts with `!`.
        let (why, path) = line.split_once('\t')?;
        let pattern = why.splitn(3, ':').nth(2)?;
        (!["", "zzz"].contains(&pattern) && !pattern.starts_with('!')).then(|| path.to_owned())
    });
    let sieve = SieveBuilder::default().finish(Some(patterns)).unwrap();
    let drops = |path: &&String| sieve.drops_file(path, &mut || Ok::<_, ()>(())).unwrap();
    (files.iter().filter(drops).cloned().collect(), gits.collect())
}

/// A repository with every path of up to three of these names.
fn crowded() -> (Repo, Vec<String>) {
    let repo = Repo::new();
    let mut files = Vec::new();
    let folders = ["a", "b", "ab", "a-b"];
    let names = ["x.md", "b.md", "c", "ba", "[a]", "ää"];
    let mut within = vec![String::new()];
    for first in folders {
        within.push(format!("{first}/"));
        within.extend(folders.iter().map(|second| format!("{first}/{second}/")));
    }
    for folder in &within {
        files.extend(names.iter().map(|name| format!("{folder}{name}")));
        if folder.matches('/').count() == 2 {
            files.push(format!("{folder}a"));
        }
    }
    let texts: Vec<(&str, &str)> = files.iter().map(|path| (path.as_str(), "")).collect();
    repo.write(&texts);
    repo.git(&["config", "core.quotePath", "false"]);
    (repo, files)
}

#[test]
fn patterns_mean_what_git_says() {
    let (repo, files) = crowded();
    // Not here: `a**/c`, where the manual says that it is `a*/c` and Git itself is of two minds.
    let written = [
        "a",
        "/a",
        "a/",
        "/a/",
        "a/b",
        "/a/b/",
        "*.md",
        "/*.md",
        "a/*",
        "a/**",
        "**/a",
        "**/a/",
        "**/a/b",
        "a/**/c",
        "a/**/b/c",
        "**",
        "/**",
        "**/",
        "/*",
        "*/",
        "*/*",
        "a*",
        "?",
        "?.md",
        "[ab]",
        "[!a]",
        "[^a]b",
        "[a-c].md",
        "a-b",
        "[a-]b",
        r"\[a\]",
        "[[]a]",
        "ää",
        "*/a/*",
        "a/***/c",
        "a**b",
        "**b/c",
        "/",
        "a//b",
        "#a",
        r"\#a",
        "c ",
        r"c\ ",
        "[",
        "a[",
        "[[:alpha:]]",
        "[[:digit:]]",
        "a/./b",
        "../a",
        "./a",
        "/**/c",
        "**/**/c",
        "a/**/**/c",
        "",
        "*",
        r"\a",
        r"a\",
        "x.md\n/a/b",
        "a/b/\nc",
        "b*/c\n[b]/**/a",
    ];
    for patterns in written {
        let (ours, gits) = both(&repo, patterns, &files);
        assert_eq!(ours, gits, "{patterns:?}");
    }
    // And what nobody would think of.
    let parts = ["a", "b", "*", "**", "a*", "*b", "?", "[ab]", "[!b]*", "*.md", "c", "ab", "ää"];
    let mut state = 7u64;
    let mut roll = |most: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % most
    };
    for _ in 0..300 {
        let mut lines = String::new();
        for _ in 0..=roll(2) {
            let names: Vec<&str> = (0..=roll(3)).map(|_| parts[roll(parts.len())]).collect();
            let (before, after) = (["", "/"][roll(2)], ["", "", "/"][roll(3)]);
            lines.push_str(&format!("{before}{}{after}\n", names.join("/")));
        }
        let (ours, gits) = both(&repo, &lines, &files);
        assert_eq!(ours, gits, "{lines:?}");
    }
}

/// What the manual of Flux promises and Git does not do: a pattern that keeps a folder keeps all
/// of it, and a file can be kept although its folder is left out.
#[test]
fn kept_is_kept_as_in_flux() {
    let repo = Repo::new();
    let files: Vec<String> =
        ["a/b/c", "a/b/d.md", "a/e", "f.md"].iter().map(|path| (*path).to_owned()).collect();
    repo.write(&files.iter().map(|path| (path.as_str(), "")).collect::<Vec<_>>());
    for (patterns, ours, gits) in [
        ("/*\n!/a", "f.md", "f.md"),
        ("*.md\n!f.md", "a/b/d.md", "a/b/d.md"),
        ("/*\n!/a\n/a/*\n!/a/b", "a/e f.md", "a/e f.md"),
        ("a/\n!a/b/c", "a/b/d.md a/e", "a/b/c a/b/d.md a/e"),
        ("*\n!a/", "f.md", "a/b/c a/b/d.md a/e f.md"),
        ("*.md\n!/a/", "f.md", "a/b/d.md f.md"),
    ] {
        let (found_ours, found_gits) = both(&repo, patterns, &files);
        let words = |found: BTreeSet<String>| found.into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(
            (words(found_ours), words(found_gits)),
            (ours.into(), gits.into()),
            "{patterns}"
        );
    }
}
