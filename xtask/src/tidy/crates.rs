//! Rules about crates: names, lints, who depends on whom, and what the engine must not reach.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Problem;
use super::rooms::{Belt, Kind, room};

/// Crates that touch the world; a name that ends in `-` stands for all that begin with it.
const IMPURE: &[&str] = &[
    "async-std",
    "gix",
    "gix-",
    "hyper",
    "hyper-",
    "kube",
    "kube-",
    "mio",
    "reqwest",
    "rustix",
    "smol",
    "tokio",
    "tokio-",
];

/// Crates that carry such a name and touch nothing; what lies behind them is looked at.
const PURE: &[&str] = &["kube-cel"];

/// Checks all crates of the workspace.
pub fn check(root: &Path) -> Result<Vec<Problem>> {
    let manifest = std::fs::read_to_string(root.join("Cargo.toml"))
        .context("cannot read the manifest of the workspace")?;
    let belt = Belt::of(&manifest);
    let graph = Graph::of(&metadata(root)?, root)?;
    let mut problems = vec![];
    for folder in belt.folders() {
        let file = format!("{folder}/Cargo.toml");
        let text = std::fs::read_to_string(root.join(&file))
            .with_context(|| format!("cannot read {file}"))?;
        problems.extend(check_manifest(folder, &file, &text));
        let Some(package) = graph.member(folder) else {
            problems.push(Problem::new(file, 0, "is no member", "name it in the root manifest"));
            continue;
        };
        for (to, kind) in &package.dependencies {
            if let Some(objection) = belt.objection(folder, to, *kind) {
                let line = line_of(&text, &Belt::package_name(to));
                let what = format!("{folder} depends on {to}");
                problems.push(Problem::new(&file, line, what, objection));
            }
        }
        if room(folder) == "engine" || folder == "api/machinery" {
            for path in graph.impure(&package.id) {
                problems.push(Problem::new(
                    &file,
                    0,
                    format!("reaches the world through {}", path.join(" → ")),
                    "move what needs it into a driver, or switch the feature off",
                ));
            }
        }
    }
    Ok(problems)
}

fn check_manifest(folder: &str, file: &str, text: &str) -> Vec<Problem> {
    let mut problems = vec![];
    let name = Belt::package_name(folder);
    if !text.lines().any(|line| line.trim() == format!("name = \"{name}\"")) {
        let remedy = format!("call the package `{name}`");
        problems.push(Problem::new(
            file,
            line_of(text, "name"),
            "is not called as its folder",
            remedy,
        ));
    }
    let lints = text.lines().skip_while(|line| line.trim() != "[lints]").nth(1);
    if lints.map(str::trim) != Some("workspace = true") {
        let remedy = "add `[lints]` with `workspace = true`";
        problems.push(Problem::new(file, 0, "does not inherit the lints", remedy));
    }
    problems
}

/// The line that starts with a word, from one; zero where there is none.
fn line_of(text: &str, word: &str) -> usize {
    text.lines().position(|line| line.starts_with(word)).map_or(0, |at| at + 1)
}

struct Package {
    id: String,
    /// The members it depends on, by folder.
    dependencies: Vec<(String, Kind)>,
}

/// Who depends on whom.
struct Graph {
    members: BTreeMap<String, Package>,
    names: BTreeMap<String, String>,
    /// What is built into each package, without its tests and build scripts.
    normal: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn of(metadata: &Value, root: &Path) -> Result<Self> {
        let mut graph =
            Self { members: BTreeMap::new(), names: BTreeMap::new(), normal: BTreeMap::new() };
        for package in list(metadata, "packages") {
            let id = text(package, "id")?;
            graph.names.insert(id.clone(), text(package, "name")?);
            let manifest = text(package, "manifest_path")?;
            let Ok(inside) = Path::new(&manifest).strip_prefix(root) else { continue };
            let Some(folder) = inside.parent().and_then(Path::to_str) else { continue };
            let dependencies = list(package, "dependencies")
                .filter_map(|dependency| dependency_of(dependency, root))
                .collect();
            graph.members.insert(folder.to_owned(), Package { id, dependencies });
        }
        for node in list(&metadata["resolve"], "nodes") {
            let into = list(node, "deps")
                .filter(|dep| list(dep, "dep_kinds").any(|kind| kind["kind"].is_null()))
                .filter_map(|dep| dep["pkg"].as_str().map(str::to_owned))
                .collect();
            graph.normal.insert(text(node, "id")?, into);
        }
        Ok(graph)
    }

    fn member(&self, folder: &str) -> Option<&Package> {
        self.members.get(folder)
    }

    /// The shortest path to each impure crate that is built into a package; what lies behind one
    /// is not looked at.
    fn impure(&self, from: &str) -> Vec<Vec<&str>> {
        let mut found = vec![];
        let mut seen = BTreeSet::from([from]);
        let mut queue = VecDeque::from([(from, vec![])]);
        while let Some((id, path)) = queue.pop_front() {
            for next in self.normal.get(id).into_iter().flatten() {
                if !seen.insert(next) {
                    continue;
                }
                let name = self.names.get(next).map_or("", String::as_str);
                let mut path = path.clone();
                path.push(name);
                if is_impure(name) {
                    found.push(path);
                } else {
                    queue.push_back((next, path));
                }
            }
        }
        found
    }
}

fn is_impure(name: &str) -> bool {
    let belongs =
        |impure: &&str| name == *impure || (impure.ends_with('-') && name.starts_with(*impure));
    !PURE.contains(&name) && IMPURE.iter().any(belongs)
}

fn dependency_of(dependency: &Value, root: &Path) -> Option<(String, Kind)> {
    let path = Path::new(dependency["path"].as_str()?).strip_prefix(root).ok()?;
    let kind = match dependency["kind"].as_str() {
        Some("dev") => Kind::Dev,
        _ => Kind::Normal,
    };
    Some((path.to_str()?.to_owned(), kind))
}

/// Only the crates of this platform: others need not have been downloaded.
fn metadata(root: &Path) -> Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let host = output(Command::new(&cargo).arg("-vV"))?;
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("cargo does not say which platform this is")?;
    let metadata = output(
        Command::new(&cargo)
            .args(["metadata", "--format-version=1", "--offline", "--filter-platform", host])
            .current_dir(root),
    )?;
    serde_json::from_str(&metadata).context("the output of cargo metadata is no JSON")
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).context("the output of cargo is no text")
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn text(value: &Value, field: &str) -> Result<String> {
    value[field].as_str().map(str::to_owned).with_context(|| format!("a package has no {field}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn manifests_have_a_name_and_lints() {
        let lines = |text: &str| -> Vec<String> {
            let problems = check_manifest("engine/plan", "engine/plan/Cargo.toml", text);
            problems.iter().map(ToString::to_string).collect()
        };
        let good = "[package]\nname = \"fixpoint-plan\"\n\n[lints]\nworkspace = true\n";
        assert_eq!(lines(good), [""; 0]);
        assert_eq!(
            lines("[package]\nname = \"plan\"\n"),
            [
                "engine/plan/Cargo.toml:2: is not called as its folder; call the package `fixpoint-plan`",
                "engine/plan/Cargo.toml: does not inherit the lints; add `[lints]` with `workspace = true`",
            ]
        );
    }

    #[test]
    fn impure_crates_are_found_through_others() {
        let package = |name: &str| json!({"id": name, "name": name, "manifest_path": "elsewhere"});
        let dep = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let packages = ["plan", "a", "b", "tokio", "kube-core"].map(package);
        let metadata = json!({
            "packages": packages,
            "resolve": {"nodes": [
                {"id": "plan", "deps": [dep("a", Value::Null), dep("tokio", json!("dev"))]},
                {"id": "a", "deps": [dep("b", Value::Null), dep("plan", Value::Null)]},
                {"id": "b", "deps": [dep("kube-core", Value::Null)]},
                {"id": "kube-core", "deps": [dep("tokio", Value::Null)]},
            ]},
        });
        let graph = Graph::of(&metadata, Path::new("root")).unwrap();
        assert_eq!(graph.impure("plan"), [["a", "b", "kube-core"]]);
        assert!(!is_impure("tokioish") && is_impure("gix-hash"));
        assert!(!is_impure("kube-cel") && is_impure("kube-client"));
    }
}
