//! Patterns as text, and which of these paths stay.

use super::*;

/// Which of these paths stay, given files of patterns and what is declared.
fn check(files: &[(&str, &str)], declared: Option<&str>, paths: &str, stays: &str) {
    let mut builder = SieveBuilder::default();
    for (file, text) in files {
        builder.admit(file, text.len() as u64).unwrap();
        builder.add(file, text.as_bytes()).unwrap();
    }
    let sieve = builder.finish(declared).unwrap();
    let kept: Vec<&str> = paths.split_whitespace().filter(|path| !drops(&sieve, path)).collect();
    assert_eq!(kept.join(" "), stays, "{files:?} {declared:?}");
}

/// Asks as a walk does: folders first, and nothing below one that is dropped.
fn drops(sieve: &Sieve, path: &str) -> bool {
    let mut look = || Ok::<(), ()>(());
    let walked = path.match_indices('/').any(|(at, _)| {
        let dropped = sieve.drops_folder(&path[..at], &mut look).unwrap();
        if dropped {
            assert!(sieve.drops_file(path, &mut look).unwrap(), "{path} was cut off wrongly");
        }
        dropped
    });
    walked || sieve.drops_file(path, &mut look).unwrap()
}

#[test]
fn what_is_left_out_where_nothing_is_declared() {
    let out = ".gitignore a/.gitignore .gitmodules .gitattributes logo.png a/b/c.tar.gz x.zip/in \
               a/x.jpg/y .github/workflows/x.yml a/.circleci/config.yml .travis.yml a/.drone.yml \
               .sops.yaml a/.sops.yaml a/b/.goreleaser.yml .flux.yaml";
    check(&[], None, out, "");
    let stays =
        "a.yaml .github x.png.yaml png a.tar a.gz my.travis.yml appveyor.yaml a/.helmignore";
    check(&[], None, stays, stays);
}

#[test]
fn declared_patterns_replace_the_default_list() {
    check(&[], Some("*.md"), "a.md a.png .gitignore b/a.md a.yaml", "a.png a.yaml");
    check(&[(".sourceignore", "*.md")], None, "a.md a.png .gitignore", "a.png");
    // As in Flux, what holds no pattern replaces nothing.
    check(&[], Some(""), "a.md a.png", "a.md");
    check(&[], Some("# nothing\n\n   \n"), "a.md a.png", "a.md");
}

#[test]
fn what_the_source_declares_overrules_files() {
    let file = [(".sourceignore", "*.md\n/drafts/")];
    check(
        &file,
        Some("!keep.md"),
        "a.md keep.md drafts/x drafts/keep.md",
        "keep.md drafts/keep.md",
    );
}

#[test]
fn files_speak_for_their_folder() {
    let files = [("a/.sourceignore", "/x\n*.md\n!b/y.md"), ("b/.sourceignore", "deep/z")];
    check(
        &files,
        None,
        "x a/x a/c/x a/r.md r.md a/b/y.md b/deep/z b/c/deep/z deep/z",
        "x a/c/x r.md a/b/y.md b/c/deep/z deep/z",
    );
}

#[test]
fn one_folder_out_of_all() {
    let declared = "/*\n!/deploy\n/deploy/**/*.md";
    let paths = "README.md deploy/a.yaml deploy/b/c.yaml deploy/r.md deploy/b/r.md src/deploy/x";
    check(&[], Some(declared), paths, "deploy/a.yaml deploy/b/c.yaml");
    // Flux keeps a file in a folder that is left out; Git would not.
    check(&[], Some("/*\n!/charts/web/"), "charts/web/a charts/db/a x", "charts/web/a");
}

#[test]
fn lines_as_git_reads_them() {
    check(&[], Some("a \r\nb\\ \n\\#c\n\\!d\n#e"), "a b #c !d #e e", "b #e e");
    check(&[], Some("\u{feff}a"), "a b", "b");
    check(&[], Some("/\n!\n[\nx\\"), "a x", "a x");
    check(&[], Some("d/"), "d d/x e/d e/d/x", "d e/d");
    check(&[], Some("a/**"), "a a/b a/b/c b/a/c", "a b/a/c");
    check(&[], Some("**/x/y"), "x/y a/x/y a/b/x/y x/z/y", "x/z/y");
    check(&[], Some("a/**/b"), "a/b a/x/b a/x/y/b b ab", "b ab");
    check(&[], Some("a**/b"), "ax/b ax/y/b a/b", "ax/y/b");
    check(&[], Some("a/**/b/c"), "a/b/x/b/c a/b/c a/b/x", "a/b/x");
}

#[test]
fn limits_bind_at_the_limit() {
    let mut builder = SieveBuilder::default();
    assert!(builder.admit("a", FILE_BYTES).is_ok());
    assert_eq!(
        builder.admit("b", FILE_BYTES + 1).unwrap_err().to_string(),
        "b has 65537 bytes of ignore patterns, over the limit of 65536"
    );
    for _ in 1..TOTAL_BYTES / FILE_BYTES {
        builder.admit("a", FILE_BYTES).unwrap();
    }
    assert_eq!(
        builder.admit("last", 1).unwrap_err().to_string(),
        "last has 1048577 bytes of ignore patterns, over the limit of 1048576"
    );

    let finish = |text: &str| SieveBuilder::default().finish(Some(text)).map(|_| ());
    assert_eq!(finish(&"a\n".repeat(PATTERNS)), Ok(()));
    assert_eq!(finish(&"a\n".repeat(PATTERNS + 1)), Err(IgnoreProblem::Patterns));
    assert_eq!(finish(&"a".repeat(LINE_BYTES)), Ok(()));
    assert_eq!(
        finish(&format!("b\n{}", "a".repeat(LINE_BYTES + 1))).unwrap_err().to_string(),
        "line 2 of spec.ignore has more than 2048 bytes"
    );
    assert!(finish(&format!("#{}", "\n".repeat(FILE_BYTES as usize))).is_err());
    assert_eq!(
        SieveBuilder::default().add("x/.sourceignore", b"\xff").unwrap_err().to_string(),
        "x/.sourceignore is not UTF-8 text"
    );
}

#[test]
fn the_clock_is_looked_at_all_along() {
    let sieve = SieveBuilder::default().finish(Some(&"b\n".repeat(PATTERNS))).unwrap();
    let mut looks = 0;
    let mut look = || {
        looks += 1;
        if looks > 10 { Err("over") } else { Ok(()) }
    };
    assert_eq!(sieve.drops_file("a", &mut look), Err("over"));
}
