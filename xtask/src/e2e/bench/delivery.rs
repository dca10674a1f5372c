//! Many small deliveries: how long a new revision takes until all of them are ready, and what it
//! costs the API server, beside the same objects applied by nothing but concurrent requests.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::load::{self, OBJECTS};
use crate::e2e::bed::{Arrangement, Bed, Tools};
use crate::e2e::cluster::ENGINE;
use crate::e2e::cluster::audit::{self, Request};
use crate::e2e::object::is_ready;
use crate::e2e::process::{Scratch, wait};
use crate::e2e::repository::Repository;
use crate::e2e::{Report, page};
use crate::print;

/// How many deliveries there are.
const DELIVERIES: usize = 200;

/// How many plain requests are under way at a time: as many as the engine has deliveries at work.
const AT_ONCE: usize = 64;

/// Where our own objects are.
const HOME: &str = "fixpoint-system";

const SOURCES: &str =
    "/apis/source.toolkit.fluxcd.io/v1/namespaces/fixpoint-system/gitrepositories";
const LIST: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/fixpoint-system/kustomizations";

/// One thing that was measured.
struct Row {
    what: &'static str,
    took: Duration,
    requests: Option<Count>,
}

/// What the engine asked of the API server.
#[derive(Default)]
struct Count {
    writes: usize,
    reads: usize,
}

impl Count {
    fn of(requests: &[Request]) -> Self {
        let writes = requests.iter().filter(|request| request.is_mutation()).count();
        Self { writes, reads: requests.len() - writes }
    }
}

/// Runs the benchmark, prints its figures and keeps them.
pub fn run(root: &Path) -> Result<()> {
    let mut report = Report::default();
    let arrangement = Arrangement::IntoCluster;
    let Some(tools) = Tools::find(root, "bench delivery", &[arrangement], &mut report)? else {
        bail!("a part of the bed is missing: see above");
    };
    let scratch = Scratch::new(&tools.target, "bench-delivery")?;
    let repositories = scratch.path().join("repositories");
    write_all(&repositories.join("bench"), 1)?;
    let repository = Repository::create(&repositories.join("bench"))?;
    let bed = Bed::start(arrangement, &tools, &scratch.path().join("bed"), &repositories)?;
    let bench = Bench { bed, repository };
    let (rows, memory) = bench.measure()?;
    let text = tell(&rows, memory);
    print::line(&text);
    page::keep(root, "delivery.md", &text)
}

/// Writes all folders of a generation.
fn write_all(repository: &Path, generation: usize) -> Result<()> {
    for folder in 0..DELIVERIES {
        let dir = repository.join(format!("{folder:03}"));
        std::fs::create_dir_all(&dir).context("cannot make a folder")?;
        let text = load::file(&load::objects("delivered", folder, generation));
        std::fs::write(dir.join("objects.yaml"), text).context("cannot write objects")?;
    }
    Ok(())
}

struct Bench {
    bed: Bed,
    repository: Repository,
}

impl Bench {
    fn measure(&self) -> Result<(Vec<Row>, u64)> {
        self.bed.make_home(HOME)?;
        for namespace in ["delivered", "plain"] {
            let object = json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": namespace}});
            self.bed.target().create("/api/v1/namespaces", &object)?.granted()?;
        }
        let mut rows = vec![];
        rows.push(self.plain("all objects created by plain requests", 1)?);
        rows.push(self.counted("all deliveries declared, until all are ready", |bench| {
            bench.declare()?;
            bench.all_ready(&bench.repository.revision()?)
        })?);
        rows.push(self.plain("all objects changed by plain requests", 2)?);
        write_all(self.repository.folder(), 2)?;
        rows.push(self.counted("a revision that changes all, until all are ready", |bench| {
            let revision = bench.repository.commit("all")?;
            bench.all_ready(&revision)
        })?);
        let one = load::file(&load::objects("delivered", 0, 3));
        self.repository.write("000/objects.yaml", &one)?;
        rows.push(self.counted(
            "a revision that changes one delivery, until all are ready",
            |bench| {
                let revision = bench.repository.commit("one")?;
                bench.all_ready(&revision)
            },
        )?);
        rows.push(self.counted("a second look at all, with nothing to do", Self::look_again)?);
        let memory = self.bed.server().resident().context("the engine has no memory")?;
        Ok((rows, memory))
    }

    /// Measures something that the engine does, and what it asks meanwhile.
    fn counted(&self, what: &'static str, act: impl FnOnce(&Self) -> Result<()>) -> Result<Row> {
        let log = self.bed.audit_log().context("there is no audit log")?;
        let from = audit::length(&log)?;
        let started = Instant::now();
        act(self).with_context(|| what.to_owned())?;
        let took = started.elapsed();
        let requests = audit::read(&log, ENGINE, from)?;
        Ok(Row { what, took, requests: Some(Count::of(&requests)) })
    }

    /// Applies all objects by as many requests as there are objects, and nothing else.
    fn plain(&self, what: &'static str, generation: usize) -> Result<Row> {
        let objects: Vec<Value> =
            (0..DELIVERIES).flat_map(|folder| load::objects("plain", folder, generation)).collect();
        let next = AtomicUsize::new(0);
        let started = Instant::now();
        let outcomes: Vec<Result<()>> = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..AT_ONCE).map(|_| scope.spawn(|| self.apply_some(&objects, &next))).collect();
            let join = |worker: std::thread::ScopedJoinHandle<'_, Result<()>>| {
                worker.join().unwrap_or_else(|_| bail!("a worker panicked"))
            };
            workers.into_iter().map(join).collect()
        });
        let took = started.elapsed();
        outcomes.into_iter().collect::<Result<()>>().with_context(|| what.to_owned())?;
        Ok(Row { what, took, requests: None })
    }

    fn apply_some(&self, objects: &[Value], next: &AtomicUsize) -> Result<()> {
        while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = format!("{}?fieldManager=bench&force=true", load::path(object));
            let content = "application/apply-patch+yaml";
            self.bed.target().send("PATCH", &path, content, Some(object))?.granted()?;
        }
        Ok(())
    }

    fn declare(&self) -> Result<()> {
        self.bed.home().create(SOURCES, &self.bed.source("bench", HOME))?.granted()?;
        for folder in 0..DELIVERIES {
            let spec = json!({"interval": "1h", "retryInterval": "5s", "timeout": "2m",
                "path": format!("./{folder:03}"), "prune": true, "wait": true,
                "sourceRef": {"kind": "GitRepository", "name": "bench"}});
            let delivery = self.bed.delivery(&format!("app-{folder:03}"), HOME, spec);
            self.bed.home().create(LIST, &delivery)?.granted()?;
        }
        Ok(())
    }

    /// Waits until every delivery is ready at a revision.
    fn all_ready(&self, revision: &str) -> Result<()> {
        self.all(|delivery| {
            is_ready(delivery) && delivery["status"]["lastAppliedRevision"] == revision
        })
    }

    fn all(&self, is_so: impl Fn(&Value) -> bool) -> Result<()> {
        wait(|| {
            let list = self.bed.home().get(LIST)?.context("deliveries cannot be listed")?;
            let items = list["items"].as_array().context("a list has no items")?;
            Ok(items.len() == DELIVERIES && items.iter().all(&is_so))
        })
    }

    /// Asks every delivery for a run, and waits until each has had one.
    fn look_again(&self) -> Result<()> {
        let patch =
            json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "again"}}});
        for folder in 0..DELIVERIES {
            self.bed.home().merge(&format!("{LIST}/app-{folder:03}"), &patch)?.granted()?;
        }
        self.all(|delivery| {
            is_ready(delivery) && delivery["status"]["lastHandledReconcileAt"] == "again"
        })
    }
}

/// The page: what was measured, how, and where.
fn tell(rows: &[Row], memory: u64) -> String {
    let all = DELIVERIES * OBJECTS;
    let mut text = format!(
        "# Many small deliveries\n\n\
         Made by `cargo xtask bench delivery`; {}; {}.\n\n\
         {DELIVERIES} deliveries of one repository, {OBJECTS} objects each ({all} in all), `wait: \
         true`, from a standalone engine\ninto a real kube-apiserver on the same machine. Plain \
         requests are server-side applies of the same objects,\n{AT_ONCE} at a time, and nothing \
         else: no fetch, no rendering, no ledger, no status, no health. Times of the engine\n\
         begin before the commit, or before the first object is declared, and end when a look at \
         all deliveries, 20 ms\nafter the last one, finds the last of them ready. Requests are \
         those of the engine's user in the audit log.\n\n\
         | what | time | writes | other requests |\n|---|--:|--:|--:|\n",
        page::today(),
        page::machine(),
    );
    for Row { what, took, requests } in rows {
        let (writes, others) = match requests {
            Some(count) => (count.writes.to_string(), count.reads.to_string()),
            None => (all.to_string(), "0".to_owned()),
        };
        let _ = writeln!(text, "| {what} | {:.2} s | {writes} | {others} |", took.as_secs_f64());
    }
    let mib = memory as f64 / f64::from(1 << 20);
    let _ = write!(text, "\nResident memory of the engine at the end: {mib:.0} MiB.");
    text
}
