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
pub mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use self::evidence::{Evidence, Outcome};
use self::kinds::Kind;
use self::round::{Delivery, HOME, Round};
use self::tree::{Render, Tree};
use super::bed::{Arrangement, Bed, Tools};
use super::object::condition;
use super::process::{Scratch, wait};
use super::repository::Repository;
use super::{Report, Scope, page};
use crate::print;

/// Trees delivered side by side.
const SIDE_BY_SIDE: usize = 20;

/// About how many trees the smoke takes, apart from one of each project.
const SAMPLE: usize = 30;

const SOURCES: &str = "/apis/source.toolkit.fluxcd.io/v1/namespaces/corpus/gitrepositories";

/// Delivers the trees of the corpus into the engine's own API server.
pub fn standalone(root: &Path, scope: Scope, report: &mut Report) -> Result<()> {
    run(Arrangement::Standalone, root, scope, report)
}

/// Delivers the trees of the corpus into the cluster that the engine lives in.
pub fn in_cluster(root: &Path, scope: Scope, report: &mut Report) -> Result<()> {
    run(Arrangement::InCluster, root, scope, report)
}

/// Delivers the trees of the corpus into a cluster.
pub fn into_cluster(root: &Path, scope: Scope, report: &mut Report) -> Result<()> {
    run(Arrangement::IntoCluster, root, scope, report)
}

fn run(arrangement: Arrangement, root: &Path, scope: Scope, report: &mut Report) -> Result<()> {
    let name = match arrangement {
        Arrangement::Standalone => "corpus".to_owned(),
        other => format!("corpus-{other}"),
    };
    let Some(corpus) = find(root, &name, scope, report) else { return Ok(()) };
    let Some(tools) = Tools::find(root, &name, &[arrangement], report)? else { return Ok(()) };
    let started = Instant::now();
    let scratch = Scratch::new(&tools.target, &name)?;
    let bench = Bench::new(arrangement, &tools, root, scratch.path(), &corpus, scope)?;
    let mut evidence = Evidence::default();
    let trees = bench.render(&mut evidence)?;
    bench.deliver(trees, &mut evidence, report)?;
    evidence.judge(report);
    if scope == Scope::Whole {
        let text = evidence.page(&name, arrangement, started.elapsed());
        page::keep(root, &format!("{name}.md"), &text)?;
    }
    Ok(())
}

/// Where the corpus is. It is data of others and no part of a checkout: where it is missing the
/// smoke goes without it, and a whole run has nothing to say.
pub fn find(root: &Path, suite: &str, scope: Scope, report: &mut Report) -> Option<PathBuf> {
    let corpus = root.join("../shared/corpus");
    if corpus.join("buildable.txt").is_file() {
        return Some(corpus);
    }
    let why = "there is no ../shared/corpus beside the repository";
    match scope {
        Scope::Smoke => print::line(&format!("skipped {suite}: {why}")),
        Scope::Whole => report.skip(suite, why),
    }
    None
}

/// What the trees are tried with.
struct Bench<'a> {
    arrangement: Arrangement,
    tools: &'a Tools,
    root: &'a Path,
    folder: &'a Path,
    places: Vec<tree::Place>,
    /// The revision of each project's repository.
    revisions: BTreeMap<String, String>,
}

impl<'a> Bench<'a> {
    /// Makes a repository of each project.
    fn new(
        arrangement: Arrangement,
        tools: &'a Tools,
        root: &'a Path,
        folder: &'a Path,
        corpus: &Path,
        scope: Scope,
    ) -> Result<Self> {
        let (mut places, projects) = tree::list(corpus)?;
        if scope == Scope::Smoke {
            places = tree::sample(places, SAMPLE);
        }
        let mut revisions = BTreeMap::new();
        for (project, from) in projects {
            let to = folder.join("repositories").join(&project);
            let repository = Repository::of(&corpus.join(from), &to)?;
            revisions.insert(project, repository.revision()?);
        }
        Ok(Self { arrangement, tools, root, folder, places, revisions })
    }

    fn repositories(&self) -> PathBuf {
        self.folder.join("repositories")
    }

    /// The trees that render; the others are put on record.
    fn render(&self, evidence: &mut Evidence) -> Result<Vec<Tree>> {
        let mut trees = vec![];
        for place in &self.places {
            let checkout = self.repositories().join(&place.project);
            match tree::render(&self.tools.fixpoint, &checkout, place)? {
                Render::Objects(objects) => trees.push(Tree::new(place.clone(), objects)),
                Render::Nothing => evidence.record(place, Outcome::Empty),
                Render::Refused(why) => evidence.record(place, Outcome::Refused(why)),
            }
        }
        print::note(&format!("{} of {} trees render", trees.len(), self.places.len()));
        Ok(trees)
    }

    fn deliver(
        &self,
        trees: Vec<Tree>,
        evidence: &mut Evidence,
        report: &mut Report,
    ) -> Result<()> {
        let is_ours = |tree: &Tree| {
            self.arrangement.delivers_home() && tree.definitions().iter().any(Kind::is_ours)
        };
        let (ours, others): (Vec<Tree>, Vec<Tree>) = trees.into_iter().partition(is_ours);
        self.play(tree::rounds(others, SIDE_BY_SIDE), evidence, report)?;
        // What brings definitions of the engine's own kinds gets an engine of its own, so that
        // whatever it does, it does to nobody else.
        for tree in ours {
            self.play(vec![vec![tree]], evidence, report)?;
        }
        Ok(())
    }

    /// Plays rounds on one engine.
    fn play(
        &self,
        rounds: Vec<Vec<Tree>>,
        evidence: &mut Evidence,
        report: &mut Report,
    ) -> Result<()> {
        let folder = self.folder.join("bed");
        let bed = Bed::start(self.arrangement, self.tools, &folder, &self.repositories())?;
        bed.make_home(HOME)?;
        self.make_sources(&bed)?;
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
            let deliveries = Round::play(&bed, deliveries.collect())
                .with_context(|| format!("the engine said:\n{}", bed.server().log()))?;
            for Delivery { tree, failure, refusal, was_changed, .. } in deliveries {
                if let Some(why) = refusal {
                    evidence.record(&tree.place, Outcome::Refused(self.plain(&why)));
                    continue;
                }
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
        bed.audit(self.root, report)?;
        drop(bed);
        std::fs::remove_dir_all(&folder).context("cannot clear the folder of the engine")
    }

    /// Makes a source for each project, and waits until it has something.
    fn make_sources(&self, bed: &Bed) -> Result<()> {
        let client = bed.home();
        for project in self.revisions.keys() {
            client.create(SOURCES, &bed.source(project, HOME))?.granted()?;
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

    /// A text without the places of this machine.
    fn plain(&self, text: &str) -> String {
        text.replace(&self.folder.display().to_string(), "…")
    }
}
