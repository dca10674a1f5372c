//! Every file in `cases/` is a world: files in, and the text that `kubectl kustomize` (5.5.0)
//! printed for them.
//!
//! `==> path` starts a file, `==> output` the expected text; `<no line break>` ends a file that
//! has none at its end, `<bytes …>` stands for bytes in hex.

use std::path::Path;

use fixpoint_base::Limits;
use fixpoint_source::{Tree, TreeBuilder};

/// Takes a case apart into its tree and the expected text.
fn parse(case: &str) -> (Tree, String) {
    let limits = Limits::default();
    let mut builder = TreeBuilder::new(&limits);
    let mut expected = None;
    for part in case.split("==> ").skip(1) {
        let (name, text) = part.split_once('\n').expect("a path has a line of its own");
        if name == "output" {
            expected = Some(text.to_owned());
        } else {
            let text = text.strip_suffix("\n<no line break>\n").unwrap_or(text);
            builder.file(name, bytes(text), false).expect("the case names clean paths");
        }
    }
    let tree = builder.build().expect("the case makes a tree");
    (tree, expected.expect("the case has an output"))
}

fn bytes(text: &str) -> Vec<u8> {
    match text.strip_prefix("<bytes ").and_then(|rest| rest.strip_suffix('>')) {
        Some(hex) => hex
            .split(' ')
            .map(|byte| u8::from_str_radix(byte, 16).expect("bytes are in hex"))
            .collect(),
        None => text.as_bytes().to_vec(),
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the cases are files")]
fn builds_are_those_of_kustomize() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 35, "there are only {} cases", files.len());
    let mut failed = Vec::new();
    for file in files {
        let (tree, expected) = parse(&std::fs::read_to_string(&file).unwrap());
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        match fixpoint_render::build(&tree, "", &Limits::default()) {
            Ok(objects) if fixpoint_yaml::join(&objects) == expected => {}
            Ok(objects) => failed.push(format!(
                "=== {name}\n{}",
                first_difference(&fixpoint_yaml::join(&objects), &expected)
            )),
            Err(err) => failed.push(format!("=== {name}\nis refused: {err}\n")),
        }
    }
    assert!(failed.is_empty(), "{} cases fail\n{}", failed.len(), failed.concat());
}

fn first_difference(ours: &str, theirs: &str) -> String {
    let at = ours.lines().zip(theirs.lines()).take_while(|(a, b)| a == b).count();
    let part = |text: &str| -> String {
        let lines = text.lines().skip(at.saturating_sub(5)).take(12);
        lines.map(|line| format!("    {line}\n")).collect()
    };
    format!("line {}\n  ours:\n{}  expected:\n{}", at + 1, part(ours), part(theirs))
}
