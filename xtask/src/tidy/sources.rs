//! Rules about files: how they begin, what must not be in them, how long they may be.
//!
//! The words that are looked for are put together from two halves, so that this file does not
//! find itself.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Problem;

/// Beyond this a file has a second concept in it.
const LONGEST: usize = 900;

/// Files that may be longer, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// What holds no sources of ours. `.git` is a file in a worktree that has its repository elsewhere.
const SKIPPED: &[&str] = &["target", ".git"];

/// Words that must not be in Rust code, and what to do instead.
const BANNED_IN_CODE: &[(&str, &str)] = &[
    (concat!("#[", "allow("), "say `#[expect(…, reason = \"…\")]`"),
    (concat!("#![", "allow("), "say `#![expect(…, reason = \"…\")]`"),
    (concat!("todo", "!("), "write it, or return an error that says what is missing"),
    (concat!("unimplemented", "!("), "write it, or return an error that says what is missing"),
];

/// Words that must not be in the engine.
const BANNED_IN_ENGINE: &[(&str, &str)] = &[
    (concat!("async", " fn"), "the engine never awaits; do it in a driver"),
    (concat!("async", " move"), "the engine never awaits; do it in a driver"),
    (concat!(".aw", "ait"), "the engine never awaits; do it in a driver"),
];

/// A receipt proves that an entry is durable, so only what made it durable may write one.
const RECEIPT: &str = concat!("Receipt::after", "_sync(");

/// Folders of one machine.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

/// Settings that name a registry of packages other than the public one.
const REGISTRIES: &[&str] = &[
    concat!("index", "-url"),
    concat!("replace", "-with"),
    concat!("[registr", "ies"),
    concat!("GOPR", "OXY="),
    concat!("sparse", "+http"),
    concat!("npm config set regi", "stry"),
];

/// Where the lock file may say that packages come from.
const PUBLIC_REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks all files of the repository.
pub fn check(root: &Path) -> Result<Vec<Problem>> {
    let mut problems = vec![];
    visit(root, "", &mut problems)?;
    Ok(problems)
}

fn visit(root: &Path, folder: &str, problems: &mut Vec<Problem>) -> Result<()> {
    let entries = std::fs::read_dir(root.join(folder))
        .with_context(|| format!("cannot list {}", if folder.is_empty() { "." } else { folder }))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {folder}"))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let kind = entry.file_type().with_context(|| format!("cannot look at {path}"))?;
        if SKIPPED.contains(&name) {
            continue;
        }
        if kind.is_dir() {
            visit(root, &path, problems)?;
        } else if kind.is_file() {
            let bytes =
                std::fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
            if let Ok(text) = std::str::from_utf8(&bytes) {
                check_text(&path, text, problems);
            }
        }
    }
    Ok(())
}

fn check_text(file: &str, text: &str, problems: &mut Vec<Problem>) {
    for (at, line) in text.lines().enumerate() {
        if let Some(problem) = check_line(line) {
            problems.push(Problem::new(file, at + 1, problem.0, problem.1));
        }
    }
    if file == "Cargo.lock" {
        check_lock(file, text, problems);
    }
    if file.ends_with(".rs") {
        check_rust(file, text, problems);
    }
}

fn check_line(line: &str) -> Option<(String, &'static str)> {
    let path = MACHINE_PATHS.iter().find(|path| names_path(line, path));
    if let Some(path) = path {
        return Some((format!("names {path}, a folder of one machine"), "take it as an argument"));
    }
    let registry = REGISTRIES.iter().find(|word| line.contains(**word))?;
    let remedy = "leave the choice of a registry to the machine";
    Some((format!("names a registry ({registry})"), remedy))
}

/// Whether an absolute path is in a line: one that no path, host or variable comes before.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || ".-_/}~*".contains(c))
    })
}

fn check_lock(file: &str, text: &str, problems: &mut Vec<Problem>) {
    for (at, line) in text.lines().enumerate() {
        let Some(source) = line.strip_prefix("source = ") else { continue };
        if source.trim_matches('"') != PUBLIC_REGISTRY {
            let what = format!("takes a package from {source}");
            problems.push(Problem::new(file, at + 1, what, "take it from the public registry"));
        }
    }
}

fn check_rust(file: &str, text: &str, problems: &mut Vec<Problem>) {
    if !text.starts_with("//!") {
        let remedy = "say what comes in, what goes out, and what must never happen";
        problems.push(Problem::new(file, 1, "does not open with `//!`", remedy));
    }
    let lines = text.lines().count();
    if lines > LONGEST && !LONG_FILES.iter().any(|(long, _)| *long == file) {
        let what = format!("has {lines} lines");
        problems.push(Problem::new(file, 0, what, "look for the second concept in it"));
    }
    let engine = file.starts_with("engine/");
    let receipts = file.starts_with("drivers/store/")
        || file.starts_with("testing/")
        || file.contains("/tests/");
    // Tests come last in a file.
    let tests = text.lines().position(|line| line == "#[cfg(test)]").unwrap_or(lines);
    for (at, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        let engine = if engine { BANNED_IN_ENGINE } else { &[] };
        for (word, remedy) in BANNED_IN_CODE.iter().chain(engine) {
            if has_word(code, word) {
                problems.push(Problem::new(file, at + 1, format!("has `{word}`"), *remedy));
            }
        }
        if code.contains(RECEIPT) && !receipts && at < tests {
            let remedy = "let drivers/store write it after the sync";
            problems.push(Problem::new(file, at + 1, "makes a receipt of durability", remedy));
        }
    }
}

/// Whether a word is in a line and not only the beginning of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let after = line[at + word.len()..].chars().next();
        word.ends_with('(') || !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, text: &str, expected: &[&str]) {
        let mut problems = vec![];
        check_text(file, text, &mut problems);
        let lines: Vec<String> =
            problems.iter().map(|p| format!("{}:{} {}", p.file, p.line, p.what)).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn rust_files_open_with_their_purpose() {
        check("apps/a.rs", "//! What it is.\n", &[]);
        check("apps/a.rs", "use std::fmt;\n", &["apps/a.rs:1 does not open with `//!`"]);
    }

    #[test]
    fn banned_words_are_found_in_code_only() {
        let text = format!("//! A.\n// {word}x)]\n{word}x)]\n", word = BANNED_IN_CODE[0].0);
        let found = format!("apps/a.rs:3 has `{}`", BANNED_IN_CODE[0].0);
        check("apps/a.rs", &text, &[&found]);
    }

    #[test]
    fn the_engine_never_awaits() {
        let text = format!("//! A.\nlet x = y{0}?;\nlet x = y{0}ed;\n", BANNED_IN_ENGINE[2].0);
        check("drivers/git/src/a.rs", &text, &[]);
        check("engine/plan/src/a.rs", &text, &["engine/plan/src/a.rs:2 has `.await`"]);
    }

    #[test]
    fn receipts_come_from_the_store() {
        let text = format!("//! A.\nlet x = {RECEIPT});\n");
        check("drivers/store/src/a.rs", &text, &[]);
        check("apps/a.rs", &text, &["apps/a.rs:2 makes a receipt of durability"]);
        let text = format!("//! A.\n#[cfg(test)]\nmod tests {{ {RECEIPT}) }}\n");
        check("engine/a.rs", &text, &[]);
    }

    #[test]
    fn machine_paths_are_absolute() {
        let home = MACHINE_PATHS[1];
        check("a.md", &format!("see https://example.org{home}page and $HOME{home}\n"), &[]);
        let found = format!("a.md:1 names {home}, a folder of one machine");
        check("a.md", &format!("see `{home}me`\n"), &[&found]);
    }

    #[test]
    fn long_files_are_named() {
        let text = format!("//! A.\n{}", "x\n".repeat(LONGEST));
        check("apps/a.rs", &text, &["apps/a.rs:0 has 901 lines"]);
        check("a.yaml", &text, &[]);
    }

    #[test]
    fn packages_come_from_the_public_registry() {
        check("Cargo.lock", &format!("source = \"{PUBLIC_REGISTRY}\"\n"), &[]);
        check(
            "Cargo.lock",
            "source = \"git+https://example.org/x\"\n",
            &["Cargo.lock:1 takes a package from \"git+https://example.org/x\""],
        );
    }
}
