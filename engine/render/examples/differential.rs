//! Compares our build of every folder in a list with that of `kubectl kustomize`.
//!
//! `cargo run -p fixpoint-render --example differential -- ROOT LIST [--show N]`: the list holds
//! one folder a line, relative to the root; each folder's tree is the repository it is in (the
//! first two parts of its path). Prints the counts and the first differences.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use fixpoint_base::Limits;
use fixpoint_source::{Tree, TreeBuilder};

enum Outcome {
    Same,
    BothRefuse,
    Different(String),
    Unsupported(String),
    OnlyWeRefuse(String),
    OnlyTheyRefuse(String),
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [root, list, rest @ ..] = args.as_slice() else {
        return Err("usage: differential ROOT LIST [--show N]".into());
    };
    let show: usize = rest.get(1).map_or(Ok(10), |count| count.parse())?;
    let limits = Limits::default();
    let mut trees: BTreeMap<String, Tree> = BTreeMap::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut shown = 0;
    let mut out = std::io::stdout().lock();
    for folder in read_text(Path::new(list))?.lines().filter(|line| !line.trim().is_empty()) {
        let (repository, path) = split(folder);
        if !trees.contains_key(repository) {
            trees.insert(repository.to_owned(), load(&Path::new(root).join(repository), &limits)?);
        }
        let outcome = compare(&trees[repository], path, &Path::new(root).join(folder), &limits)?;
        let (key, detail) = match outcome {
            Outcome::Same => ("same".to_owned(), None),
            Outcome::BothRefuse => ("both refuse".to_owned(), None),
            Outcome::Different(diff) => ("different".to_owned(), Some(diff)),
            Outcome::Unsupported(field) => (format!("unsupported: {field}"), None),
            Outcome::OnlyWeRefuse(err) => ("only we refuse".to_owned(), Some(err)),
            Outcome::OnlyTheyRefuse(err) => ("only kustomize refuses".to_owned(), Some(err)),
        };
        *counts.entry(key.clone()).or_default() += 1;
        if let Some(detail) = detail
            && shown < show
        {
            shown += 1;
            writeln!(out, "=== {folder}: {key}\n{detail}")?;
        }
    }
    let passed = counts.get("same").copied().unwrap_or(0);
    let failed: usize = ["different", "only we refuse", "only kustomize refuses"]
        .iter()
        .filter_map(|key| counts.get(*key))
        .sum();
    for (key, count) in &counts {
        writeln!(out, "{count:6} {key}")?;
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::disallowed_methods, reason = "a tool beside the engine, not a part of it")]
fn read_text(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

#[expect(clippy::disallowed_methods, reason = "a tool beside the engine, not a part of it")]
fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    std::fs::read(path)
}

/// The repository a folder is in, and the folder within it.
fn split(folder: &str) -> (&str, &str) {
    let end = folder.match_indices('/').nth(1).map_or(folder.len(), |(at, _)| at);
    (&folder[..end], folder[end..].trim_start_matches('/'))
}

fn load(root: &Path, limits: &Limits) -> Result<Tree, Box<dyn Error>> {
    let mut builder = TreeBuilder::new(limits);
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Some(name) = path.strip_prefix(root)?.to_str() else { continue };
            builder.file(name, read_bytes(&path)?, false)?;
        }
    }
    Ok(builder.build()?)
}

fn compare(
    tree: &Tree,
    path: &str,
    folder: &Path,
    limits: &Limits,
) -> Result<Outcome, Box<dyn Error>> {
    let oracle = Command::new("kubectl").arg("kustomize").arg(folder).output()?;
    let theirs = String::from_utf8_lossy(&oracle.stdout).into_owned();
    Ok(match (fixpoint_render::build(tree, path, limits), oracle.status.success()) {
        (Ok(objects), true) => {
            let ours = fixpoint_yaml::join(&objects);
            if ours == theirs { Outcome::Same } else { Outcome::Different(diff(&ours, &theirs)) }
        }
        (Ok(_), false) => {
            Outcome::OnlyTheyRefuse(String::from_utf8_lossy(&oracle.stderr).into_owned())
        }
        (Err(_), false) => Outcome::BothRefuse,
        (Err(err), true) => {
            let fields = err.problems().iter().filter(|p| p.message == "is not supported yet");
            match fields.filter_map(|problem| problem.field.clone()).next() {
                Some(field) => Outcome::Unsupported(field),
                None => Outcome::OnlyWeRefuse(err.to_string()),
            }
        }
    })
}

/// The first lines that differ.
fn diff(ours: &str, theirs: &str) -> String {
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (ours.lines().collect(), theirs.lines().collect());
    let at = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    let from = at.saturating_sub(4);
    let part = |lines: &[&str]| {
        lines.iter().skip(from).take(12).map(|l| format!("    {l}\n")).collect::<String>()
    };
    format!("line {}\n  ours:\n{}  theirs:\n{}", at + 1, part(&ours), part(&theirs))
}
