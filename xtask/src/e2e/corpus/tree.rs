//! The trees of the corpus, and what each of them needs from a server.
//!
//! In: the list of trees, and the program that renders them. Out: their objects, or why they are
//! refused. A tree is never changed: it is rendered and delivered as its authors wrote it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::kinds::{Kind, is_cluster_wide};

/// A folder of an upstream project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The project.
    pub project: String,
    /// The folder, from the root of the project.
    pub folder: String,
}

impl Place {
    /// Reads a line of the list, `<collection>/<project>/<folder>`.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once('/')?;
        let (project, folder) = rest.split_once('/')?;
        Some(Self { project: project.to_owned(), folder: folder.to_owned() })
    }

    /// The project and the folder.
    pub fn name(&self) -> String {
        format!("{}/{}", self.project, self.folder)
    }
}

/// The places in the list, and the folder of each project within the corpus.
pub fn list(corpus: &Path) -> Result<(Vec<Place>, BTreeMap<String, String>)> {
    let text = std::fs::read_to_string(corpus.join("buildable.txt"))
        .context("cannot read the list of trees")?;
    let mut places = vec![];
    let mut projects = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let place = Place::parse(line).with_context(|| format!("{line} names no tree"))?;
        let folder = line.split('/').take(2).collect::<Vec<_>>().join("/");
        projects.insert(place.project.clone(), folder);
        places.push(place);
    }
    Ok((places, projects))
}

/// What the program makes of a place.
#[derive(Debug)]
pub enum Render {
    /// Objects.
    Objects(Vec<Value>),
    /// Nothing, which no delivery is made of.
    Nothing,
    /// No objects: the field that is not supported, or another reason.
    Refused(String),
}

/// Renders a place in a checkout of its project.
pub fn render(fixpoint: &Path, checkout: &Path, place: &Place) -> Result<Render> {
    let output = Command::new(fixpoint)
        .arg("build")
        .arg(checkout.join(&place.folder))
        .args(["-o", "json"])
        .output()
        .context("cannot run fixpoint build")?;
    if !output.status.success() {
        return Ok(Render::Refused(reason(&String::from_utf8_lossy(&output.stderr))));
    }
    let objects: Vec<Value> = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("fixpoint build of {} prints no JSON", place.name()))?;
    Ok(match objects.as_slice() {
        [] => Render::Nothing,
        some if some.iter().any(has_variables) => Render::Refused("`spec.postBuild`".to_owned()),
        some if some.iter().any(has_bad_keys) => {
            Render::Refused("other data keys than Kubernetes allows".to_owned())
        }
        _ => Render::Objects(objects),
    })
}

/// Whether an object is named only when variables are substituted in it.
fn has_variables(object: &Value) -> bool {
    let metadata = &object["metadata"];
    [&metadata["name"], &metadata["namespace"]]
        .iter()
        .any(|value| value.as_str().is_some_and(|text| text.contains("${")))
}

/// Whether a Secret or ConfigMap has a key that no API server takes, such as a path.
fn has_bad_keys(object: &Value) -> bool {
    let is_good = |key: &String| {
        key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    matches!(object["kind"].as_str(), Some("Secret" | "ConfigMap"))
        && object["apiVersion"] == "v1"
        && ["data", "stringData", "binaryData"].iter().any(|field| {
            let keys = object[*field].as_object().into_iter().flat_map(|data| data.keys());
            !keys.into_iter().all(is_good)
        })
}

/// The field that is in the way, else the first line.
pub fn reason(stderr: &str) -> String {
    let line = stderr.lines().next().unwrap_or("no reason given");
    let field = line.split_once("field \"").and_then(|(_, rest)| rest.split_once('"'));
    match field {
        Some((field, rest)) if rest.contains("not supported") => format!("`{field}`"),
        _ => line.trim_start_matches("error: ").to_owned(),
    }
}

/// A tree that can be delivered.
#[derive(Debug)]
pub struct Tree {
    /// Where it is.
    pub place: Place,
    /// Its objects, as they are without a target namespace.
    pub objects: Vec<Value>,
    /// Whether a target namespace leaves it whole.
    pub movable: bool,
}

impl Tree {
    /// Describes what a place renders to.
    pub fn new(place: Place, objects: Vec<Value>) -> Self {
        let movable = is_movable(&objects);
        Self { place, objects, movable }
    }

    /// The kinds it uses, with the versions it uses them in.
    pub fn kinds(&self) -> BTreeMap<Kind, BTreeSet<String>> {
        let mut kinds: BTreeMap<Kind, BTreeSet<String>> = BTreeMap::new();
        for object in &self.objects {
            let (kind, version) = Kind::of(object);
            kinds.entry(kind).or_default().insert(version);
        }
        kinds
    }

    /// The kinds it brings definitions of.
    pub fn definitions(&self) -> BTreeSet<Kind> {
        let definitions =
            self.objects.iter().filter(|object| object["kind"] == "CustomResourceDefinition");
        definitions.map(|object| Kind::defined_by(&object["spec"])).collect()
    }

    /// The namespaces its objects are in, where they stay in their own.
    pub fn namespaces(&self) -> BTreeSet<String> {
        let namespaces =
            self.objects.iter().filter_map(|object| object["metadata"]["namespace"].as_str());
        namespaces.map(str::to_owned).collect()
    }

    /// The namespaces it brings itself.
    pub fn own_namespaces(&self) -> BTreeSet<String> {
        let namespaces = self.objects.iter().filter(|object| is_namespace(object));
        namespaces.map(|object| name(object).to_owned()).collect()
    }

    /// What no other tree may have at the same time.
    pub fn claims(&self) -> BTreeSet<String> {
        let mut claims = BTreeSet::new();
        for object in self.objects.iter().filter(|object| !is_namespace(object)) {
            if is_cluster_wide(&Kind::of(object).0) {
                claims.insert(format!("{}/{}", object["kind"], name(object)));
            }
        }
        if !self.movable {
            let namespaces = self.namespaces().into_iter().chain(self.own_namespaces());
            claims.extend(namespaces.map(|namespace| format!("Namespace/{namespace}")));
        }
        claims
    }
}

/// The name of an object.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn is_namespace(object: &Value) -> bool {
    object["kind"] == "Namespace" && object["apiVersion"] == "v1"
}

/// A target namespace renames the namespaces of a tree and moves everything into one: two of
/// anything that had one name in two namespaces would be one.
fn is_movable(objects: &[Value]) -> bool {
    let mut seen = BTreeSet::new();
    objects.iter().all(|object| {
        let kind = Kind::of(object).0;
        if is_namespace(object) {
            seen.insert((kind, String::new()))
        } else {
            is_cluster_wide(&kind) || seen.insert((kind, name(object).to_owned()))
        }
    })
}

/// Parts of a list, evenly spread over it, with the first of each project.
pub fn sample(places: Vec<Place>, size: usize) -> Vec<Place> {
    let step = places.len().div_ceil(size.max(1)).max(1);
    let mut projects = BTreeSet::new();
    let mut chosen = vec![];
    for (at, place) in places.into_iter().enumerate() {
        if projects.insert(place.project.clone()) || at % step == 0 {
            chosen.push(place);
        }
    }
    chosen
}

/// Divides trees into rounds of at most `size` that do not get into each other's way: no object
/// that has no namespace twice, and no definition beside a tree that has it made for itself.
pub fn rounds(trees: Vec<Tree>, size: usize) -> Vec<Vec<Tree>> {
    #[derive(Default)]
    struct Round {
        claims: BTreeSet<String>,
        used: BTreeSet<Kind>,
        defined: BTreeSet<Kind>,
        trees: Vec<Tree>,
    }
    let mut rounds: Vec<Round> = vec![];
    for tree in trees {
        let claims = tree.claims();
        let defined = tree.definitions();
        let used: BTreeSet<Kind> = tree.kinds().into_keys().collect();
        let fits = |round: &Round| {
            round.trees.len() < size
                && round.claims.is_disjoint(&claims)
                && round.defined.is_disjoint(&used)
                && round.used.is_disjoint(&defined)
        };
        let at = rounds.iter().position(fits).unwrap_or_else(|| {
            rounds.push(Round::default());
            rounds.len() - 1
        });
        let round = &mut rounds[at];
        round.claims.extend(claims);
        round.used.extend(used);
        round.defined.extend(defined);
        round.trees.push(tree);
    }
    rounds.into_iter().map(|round| round.trees).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(api: &str, kind: &str, namespace: &str, name: &str) -> Value {
        json!({"apiVersion": api, "kind": kind,
            "metadata": {"namespace": namespace, "name": name}})
    }

    fn tree(objects: Vec<Value>) -> Tree {
        Tree::new(Place { project: "p".to_owned(), folder: "f".to_owned() }, objects)
    }

    #[test]
    fn lines_are_places() {
        let place = Place::parse("kustomize/podinfo/deploy/base").unwrap();
        assert_eq!((place.project.as_str(), place.folder.as_str()), ("podinfo", "deploy/base"));
        assert_eq!(Place::parse("podinfo"), None);
    }

    #[test]
    fn the_field_that_is_in_the_way_is_found() {
        let text = "error: a/kustomization.yaml: field \"replacements\" is not supported yet\n";
        assert_eq!(reason(text), "`replacements`");
        assert_eq!(reason("error: there is no folder\nhint: x"), "there is no folder");
    }

    #[test]
    fn objects_that_no_server_takes_are_known() {
        assert!(has_variables(&object("v1", "Namespace", "", "${NAME}")));
        assert!(!has_variables(&object("v1", "Namespace", "", "name")));
        let secret = |key: &str| {
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"},
                "stringData": {key: "${x}"}})
        };
        assert!(has_bad_keys(&secret("broker-0/broker.properties")));
        assert!(!has_bad_keys(&secret("broker.properties")));
    }

    #[test]
    fn trees_that_would_lose_objects_are_not_moved() {
        let two = |namespace| object("v1", "ConfigMap", namespace, "x");
        assert!(tree(vec![two("a"), object("v1", "Secret", "b", "x")]).movable);
        assert!(!tree(vec![two("a"), two("b")]).movable);
        let namespace = |name| object("v1", "Namespace", "", name);
        assert!(tree(vec![namespace("a")]).movable);
        assert!(!tree(vec![namespace("a"), namespace("b")]).movable);
    }

    #[test]
    fn what_would_collide_is_in_different_rounds() {
        let role =
            |name| tree(vec![object("rbac.authorization.k8s.io/v1", "ClusterRole", "", name)]);
        let sizes = |trees| rounds(trees, 2).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![role("a"), role("b"), role("c")]), [2, 1]);
        assert_eq!(sizes(vec![role("a"), role("a")]), [1, 1]);
    }

    #[test]
    fn a_sample_has_some_of_every_project() {
        let place = |project: &str, folder: usize| Place {
            project: project.to_owned(),
            folder: folder.to_string(),
        };
        let mut places: Vec<Place> = (0..100).map(|at| place("big", at)).collect();
        places.push(place("small", 1));
        let chosen = sample(places, 10);
        assert!(chosen.iter().any(|place| place.project == "small"));
        assert_eq!(chosen.len(), 11);
    }
}
