//! The quickstart's story, told wherever an engine may live and deliver to.
//!
//! In: the example that the quickstart ships. Out: a step for each chapter: what a person does to
//! a repository, to an object or to a delivery, and what the engine must make of it. A chapter
//! begins where the last one ended, so a story ends with the first one that fails.

mod chapters;
mod workloads;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use fixpoint_fixture::Canary;
use serde_json::{Value, json};

use super::bed::{Arrangement, Bed, Tools};
use super::object::{is_ready, said};
use super::process::{Scratch, wait};
use super::repository::Repository;
use super::{Report, Scope, secrets};
use crate::print;

/// The namespace that the source and the deliveries are declared in.
const HOME: &str = "fixpoint-system";

const SOURCE: &str = "/apis/source.toolkit.fluxcd.io/v1/namespaces/fixpoint-system/gitrepositories";
const DELIVERIES: &str =
    "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/fixpoint-system/kustomizations";

/// A chapter: what happens, and how it is told.
type Chapter = (&'static str, fn(&Scene) -> Result<()>);

const STORY: &[Chapter] = &[
    ("a repository is declared, and delivered", chapters::converge),
    ("a commit converges", chapters::commit),
    ("a change by hand is repaired", chapters::change_by_hand),
    ("a deletion by hand is repaired", chapters::delete_by_hand),
    ("a broken commit is refused; the last good state stays", chapters::broken_commit),
    ("the fix converges", chapters::mend),
    ("a rewritten branch is held until somebody answers for it", chapters::force_push),
    ("what is removed from Git is pruned", chapters::remove),
    ("a definition is there before what it defines, in one delivery", workloads::deliver),
    ("a delivery waits until each of its objects is healthy", workloads::become_healthy),
    ("a second look changes nothing", chapters::look_again),
    ("with its deliveries, everything goes", chapters::take_down),
];

/// Tells the story in each arrangement.
pub fn run(root: &Path, scope: Scope, report: &mut Report) -> Result<()> {
    let Some(tools) = Tools::find(root, "cluster", Arrangement::of(scope), report)? else {
        return Ok(());
    };
    for &arrangement in Arrangement::of(scope) {
        let scratch = Scratch::new(&tools.target, &format!("cluster-{arrangement}"))?;
        tell(arrangement, &tools, root, scratch.path(), report)
            .with_context(|| format!("in the arrangement {arrangement}"))?;
    }
    Ok(())
}

fn tell(
    arrangement: Arrangement,
    tools: &Tools,
    root: &Path,
    folder: &Path,
    report: &mut Report,
) -> Result<()> {
    let repository =
        Repository::of(&root.join("examples/quickstart"), &folder.join("repositories/quickstart"))?;
    let bed = Bed::start(arrangement, tools, &folder.join("bed"), &folder.join("repositories"))?;
    bed.make_home(HOME)?;
    let secret = Canary::new();
    let scene = Scene { bed: &bed, repository: &repository, secret: &secret };
    for (title, chapter) in STORY {
        let outcome = chapter(&scene);
        let is_over = outcome.is_err();
        report.take(&format!("{arrangement}: {title}"), outcome);
        if is_over {
            scene.tell_state();
            return Ok(());
        }
    }
    let shown = secrets::show_nowhere(folder, &[("the Secret that is delivered", &secret)]);
    report.take(&format!("{arrangement}: secrets show nowhere"), shown);
    bed.audit(root, report)
}

/// Where the story is told.
struct Scene<'a> {
    bed: &'a Bed,
    repository: &'a Repository,
    /// What nobody may show.
    secret: &'a Canary,
}

impl Scene<'_> {
    /// Says how everything is, for whoever looks into a story that broke off.
    fn tell_state(&self) {
        let list = self.bed.home().get(DELIVERIES).ok().flatten().unwrap_or_default();
        for delivery in list["items"].as_array().into_iter().flatten() {
            print::note(&format!("{}: {}", delivery["metadata"]["name"], said(delivery)));
        }
        print::note(&format!("the engine said:\n{}", self.bed.server().log()));
    }

    /// Declares the source.
    fn declare_source(&self) -> Result<()> {
        let source = self.bed.source("quickstart", HOME);
        self.bed.home().create(SOURCE, &source)?.granted().map(drop)
    }

    /// Declares a delivery of a folder of the repository.
    fn declare(&self, name: &str, path: &str, more: &Value) -> Result<()> {
        let mut spec = json!({"interval": "1h", "retryInterval": "5s", "timeout": "2m",
            "path": path, "prune": true, "wait": true,
            "sourceRef": {"kind": "GitRepository", "name": "quickstart"}});
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        let delivery = self.bed.delivery(name, HOME, spec);
        self.bed.home().create(DELIVERIES, &delivery)?.granted().map(drop)
    }

    fn source(&self) -> Result<Value> {
        let path = format!("{SOURCE}/quickstart");
        self.bed.home().get(&path)?.context("the source is gone")
    }

    fn delivery(&self, name: &str) -> Result<Value> {
        let path = format!("{DELIVERIES}/{name}");
        self.bed.home().get(&path)?.with_context(|| format!("the delivery {name} is gone"))
    }

    /// Waits until a delivery is ready at a revision.
    fn delivered(&self, name: &str, revision: &str) -> Result<()> {
        let arrived = wait(|| {
            let delivery = self.delivery(name)?;
            Ok(is_ready(&delivery) && delivery["status"]["lastAppliedRevision"] == revision)
        });
        arrived.with_context(|| match self.delivery(name) {
            Ok(delivery) => format!("{name} is not ready at {revision}; {}", said(&delivery)),
            Err(err) => format!("{err:#}"),
        })
    }

    /// An object of the target.
    fn live(&self, path: &str) -> Result<Option<Value>> {
        self.bed.target().get(path)
    }

    /// Waits until a value in an object of the target is this one.
    fn becomes(&self, path: &str, pointer: &str, wanted: &Value) -> Result<()> {
        let look = || -> Result<Option<Value>> {
            Ok(self.live(path)?.and_then(|object| object.pointer(pointer).cloned()))
        };
        wait(|| Ok(look()?.as_ref() == Some(wanted)))
            .with_context(|| format!("{pointer} of {path} is {:?}, not {wanted}", look()))
    }

    /// Fails where a value in an object of the target is not this one.
    fn is_still(&self, path: &str, pointer: &str, wanted: &Value) -> Result<()> {
        let found = self.live(path)?.and_then(|object| object.pointer(pointer).cloned());
        if found.as_ref() != Some(wanted) {
            bail!("{pointer} of {path} is {found:?} and should still be {wanted}");
        }
        Ok(())
    }
}
