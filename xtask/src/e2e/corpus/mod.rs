//! The corpus: manifests of public projects, delivered from Git by a running engine.
//!
//! In: the corpus beside the repository. Out: a step for each tree that renders: it was delivered
//! at its revision, a second look changed nothing, what was changed and deleted by hand was
//! mended, and nothing is left after it was taken down. The whole suite writes what it found to
//! `docs/evidence/corpus.md`. Nothing of the corpus is kept in the project.

mod change;
mod evidence;
mod kinds;
mod round;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use self::evidence::{Evidence, Outcome};
use self::kinds::Kind;
use self::round::{Delivery, HOME, Round, condition};
use self::tree::{Render, Tree};
use super::client::Client;
use super::peers::{self, Found, Peer};
use super::process::{Scratch, wait};
use super::server::Server;
use super::{Report, Scope, program};
use crate::print;

/// Trees delivered side by side.
const SIDE_BY_SIDE: usize = 20;

/// About how many trees the smoke takes, apart from one of each project.
const SAMPLE: usize = 30;

const SOURCES: &str = "/apis/source.toolkit.fluxcd.io/v1/namespaces/corpus/gitrepositories";

/// Delivers the trees of the corpus.
pub fn run(root: &Path, scope: Scope, report: &mut Report) -> Result<()> {
    let corpus = root.join("../shared/corpus");
    if !corpus.join("buildable.txt").is_file() {
        // It is data of others and no part of a checkout, in CI neither.
        print::line("skipped corpus: there is no ../shared/corpus beside the repository");
        return Ok(());
    }
    let kubectl = match peers::find(Peer::Kubectl)? {
        Found::Here(kubectl) => kubectl,
        Found::Missing(why) => {
            report.skip("corpus", &why);
            return Ok(());
        }
    };
    let (fixpoint, target) = program::build(root)?;
    let started = Instant::now();
    let scratch = Scratch::new(&target, "corpus")?;
    let bench = Bench::new(fixpoint, kubectl, scratch.path(), &corpus, scope)?;
    let mut evidence = Evidence::default();
    let trees = bench.render(&mut evidence)?;
    bench.deliver(trees, &mut evidence)?;
    evidence.judge(report);
    if scope == Scope::Whole {
        let text = evidence.page(started.elapsed());
        let folder = root.join("docs/evidence");
        std::fs::create_dir_all(&folder).context("cannot make the folder of evidence")?;
        std::fs::write(folder.join("corpus.md"), text).context("cannot write the evidence")?;
    }
    Ok(())
}

/// What the trees are tried with.
struct Bench {
    fixpoint: PathBuf,
    kubectl: PathBuf,
    folder: PathBuf,
    places: Vec<tree::Place>,
    /// The revision of each project's repository.
    revisions: BTreeMap<String, String>,
}

impl Bench {
    /// Makes a repository of each project.
    fn new(
        fixpoint: PathBuf,
        kubectl: PathBuf,
        folder: &Path,
        corpus: &Path,
        scope: Scope,
    ) -> Result<Self> {
        let (mut places, projects) = tree::list(corpus)?;
        if scope == Scope::Smoke {
            places = tree::sample(places, SAMPLE);
        }
        let folder = folder.canonicalize().context("cannot find the folder for repositories")?;
        let mut revisions = BTreeMap::new();
        for (project, from) in projects {
            let to = folder.join("repositories").join(&project);
            let commit = tree::repository(&corpus.join(from), &to)?;
            revisions.insert(project, format!("main@sha1:{commit}"));
        }
        Ok(Self { fixpoint, kubectl, folder, places, revisions })
    }

    fn repositories(&self) -> PathBuf {
        self.folder.join("repositories")
    }

    /// The trees that render; the others are put on record.
    fn render(&self, evidence: &mut Evidence) -> Result<Vec<Tree>> {
        let mut trees = vec![];
        for place in &self.places {
            let checkout = self.repositories().join(&place.project);
            match tree::render(&self.fixpoint, &checkout, place)? {
                Render::Objects(objects) => trees.push(Tree::new(place.clone(), objects)),
                Render::Nothing => evidence.record(place, Outcome::Empty),
                Render::Refused(why) => evidence.record(place, Outcome::Refused(why)),
            }
        }
        print::note(&format!("{} of {} trees render", trees.len(), self.places.len()));
        Ok(trees)
    }

    fn deliver(&self, trees: Vec<Tree>, evidence: &mut Evidence) -> Result<()> {
        let is_ours = |tree: &Tree| tree.definitions().iter().any(Kind::is_ours);
        let (ours, others): (Vec<Tree>, Vec<Tree>) = trees.into_iter().partition(is_ours);
        self.play(tree::rounds(others, SIDE_BY_SIDE), evidence)?;
        // What brings definitions of the engine's own kinds gets an engine of its own, so that
        // whatever it does, it does to nobody else.
        for tree in ours {
            self.play(vec![vec![tree]], evidence)?;
        }
        Ok(())
    }

    /// Plays rounds on one engine.
    fn play(&self, rounds: Vec<Vec<Tree>>, evidence: &mut Evidence) -> Result<()> {
        let folder = self.folder.join("engine");
        std::fs::create_dir_all(&folder).context("cannot make a folder for the engine")?;
        let repositories = self.repositories();
        let options = ["--allow-file-sources".as_ref(), repositories.as_os_str()];
        let server = Server::start(&self.fixpoint, &folder, &options)?;
        let client = Client::start(&self.kubectl, &server.kubeconfig, &folder)?;
        self.make_sources(&client)?;
        let count = rounds.len();
        let mut number = 0;
        for (at, trees) in rounds.into_iter().enumerate() {
            let started = Instant::now();
            let size = trees.len();
            let deliveries = trees.into_iter().map(|tree| {
                number += 1;
                let revision = self.revisions[&tree.place.project].clone();
                Delivery::new(tree, number, revision)
            });
            let deliveries = Round::play(&client, deliveries.collect())
                .with_context(|| format!("the engine said:\n{}", server.log()))?;
            for Delivery { tree, failure, was_changed, .. } in deliveries {
                let failure = failure.map(|why| self.plain(&why));
                if let Some(why) = &failure {
                    // At once: the report comes when all is over.
                    print::note(&format!("{}: {why}", tree.place.name()));
                }
                let good = if was_changed { Outcome::Delivered } else { Outcome::Unchanged };
                evidence.record(&tree.place, failure.map_or(good, Outcome::Failed));
            }
            let took = started.elapsed().as_secs_f32();
            print::note(&format!("round {} of {count}: {size} trees, {took:.1} s", at + 1));
        }
        drop(client);
        drop(server);
        std::fs::remove_dir_all(&folder).context("cannot clear the folder of the engine")
    }

    /// Makes a source for each project, and waits until it has something.
    fn make_sources(&self, client: &Client) -> Result<()> {
        let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}});
        client.create("/api/v1/namespaces", &home)?.granted()?;
        for project in self.revisions.keys() {
            client.create(SOURCES, &self.source(project))?.granted()?;
        }
        for project in self.revisions.keys() {
            let path = format!("{SOURCES}/{project}");
            wait(|| {
                let object = client.get(&path)?.unwrap_or_default();
                Ok(condition(&object, "Ready")["status"] == "True")
            })
            .with_context(|| format!("source {project} is not ready"))?;
        }
        Ok(())
    }

    fn source(&self, project: &str) -> Value {
        let folder = self.repositories().join(project);
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "GitRepository",
            "metadata": {"name": project, "namespace": HOME},
            "spec": {"interval": "1h", "url": format!("file://{}", folder.display()),
                "ref": {"branch": "main"}},
        })
    }

    /// A text without the places of this machine.
    fn plain(&self, text: &str) -> String {
        text.replace(&self.folder.display().to_string(), "…")
    }
}
