//! A whole installation in memory: API server, engine, ledger, artifacts and repositories, on a
//! clock that jumps.
//!
//! In: what a scenario does to it. Out: what can be seen of it from outside. Time passes only while
//! nothing else can happen, so hours take milliseconds and nothing depends on the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use fixpoint_apiserver::{ApiServer, Options, User};
use fixpoint_audit::{Intents, Log};
use fixpoint_base::Limits;
use fixpoint_controllers::{Clock, Engine, Fence, Home, Metrics, Parts, Proof, Routes};
use fixpoint_driver_store::{Artifacts, Ledger};
use fixpoint_evil::{Evil, Witness};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cluster::Remotes;
use crate::door::{Door, Rules};
use crate::git::Git;
use crate::kinds::Place;

/// When every scenario begins.
const BEGINNING: &str = "2030-01-01T00:00:00Z";

/// How often a settling world is looked at.
const STEP: Duration = Duration::from_millis(100);
/// With nothing written for so long, nothing more comes by itself soon: longer than health is
/// polled (2 s) and than the first two retries take (1 s, 2 s).
const QUIET: Duration = Duration::from_secs(5);
/// A world that is still busy after this long never settles.
const PATIENCE: Duration = Duration::from_secs(600);
/// A tick: whatever needs no time has happened after it.
const TICK: Duration = Duration::from_millis(1);

/// An installation and what surrounds it.
pub struct World {
    /// The repositories.
    pub git: Git,
    /// What stands between the engine and its API server.
    pub rules: Rules,
    /// What goes wrong on the way to it.
    pub evil: Evil,
    witness: Witness,
    /// By how many seconds the clock is wrong.
    shift: Arc<AtomicI64>,
    /// The ledger.
    pub ledger: Ledger,
    /// Other clusters.
    pub remotes: Remotes,
    /// The cluster that is looked at, where it is not home.
    pub focus: Option<String>,
    home: Home,
    server: ApiServer,
    admin: kube::Client,
    artifacts: Artifacts,
    clock: Clock,
    engine: Option<Running>,
}

struct Running {
    routes: Routes,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl World {
    /// Opens an installation in which nothing is declared yet, and starts its engine.
    ///
    /// # Errors
    /// When a part does not open.
    pub async fn open() -> Result<Self> {
        let shift = Arc::new(AtomicI64::new(0));
        let clock = clock(Arc::clone(&shift))?;
        let witness = Witness::new(&User::engine().name, clock.clone());
        let server = ApiServer::open(Options {
            clock: clock.clone(),
            crds: fixpoint_api_types::crds_with_file_sources(),
            ..Options::memory()
        })
        .await
        .context("could not open the API server")?;
        let mut world = Self {
            git: Git::default(),
            rules: Rules::default(),
            remotes: Remotes::default(),
            focus: None,
            home: Home::InProcess,
            evil: Evil::default().watched_by(witness.clone()),
            witness,
            shift,
            ledger: Ledger::in_memory([1; 32]),
            admin: kube::Client::new(server.service(User::admin()), "default"),
            server,
            artifacts: Artifacts::in_memory(),
            clock,
            engine: None,
        };
        world.start()?;
        Ok(world)
    }

    fn start(&mut self) -> Result<()> {
        let server = self.server.service(User::engine());
        let door = Door::new(server, self.rules.clone(), self.evil.clone());
        let engine = Engine::new(Parts {
            client: kube::Client::new(door, "default"),
            home: self.home.clone(),
            clusters: Arc::new(self.remotes.clone()),
            stores: Arc::new(self.git.clone()),
            ledger: self.ledger.clone(),
            artifacts: self.artifacts.clone(),
            clock: self.clock.clone(),
            limits: Limits::default(),
            artifact_url: "https://engine.example/artifacts".to_owned(),
            local_folders: Vec::new(),
            metrics: Metrics::default(),
            fence: Fence::none(),
            proof: Proof::of_the_server(),
        })
        .context("could not start the engine")?;
        let routes = engine.routes();
        let (stop, stopped) = oneshot::channel::<()>();
        let until = async move {
            // A sender that is gone stops the engine too.
            let _gone = stopped.await;
        };
        let task = tokio::spawn(engine.run(until));
        self.engine = Some(Running { routes, stop, task });
        Ok(())
    }

    /// Stops the engine as a person would, and starts another one on the same data.
    ///
    /// # Errors
    /// When it does not stop or start.
    pub async fn restart(&mut self) -> Result<()> {
        let Running { routes: _, stop, task } = self.engine.take().context("no engine runs")?;
        ensure!(stop.send(()).is_ok(), "the engine had ended by itself");
        task.await.context("the engine failed")?;
        self.start()
    }

    /// Stops the engine as a power cut would, wherever it is.
    ///
    /// # Errors
    /// When no engine runs.
    pub async fn crash(&mut self) -> Result<()> {
        let Running { task, .. } = self.engine.take().context("no engine runs")?;
        task.abort();
        match task.await {
            Err(ended) if ended.is_cancelled() => {}
            _ => bail!("the engine had ended by itself"),
        }
        self.rules.open();
        self.start()
    }

    /// Sets the clock forward or back, for the engine and the server alike; no time passes.
    pub fn jump(&self, by: SignedDuration) {
        self.shift.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    /// Holds what the API server saw against the ledger.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn audit(&self) -> Result<fixpoint_audit::Report> {
        if self.home != Home::InProcess {
            // A home that kubeconfigs lead to as well is reached by ways without a witness.
            return Ok(fixpoint_audit::Report::default());
        }
        let entries = self.ledger.entries(0..u64::MAX)?;
        let intents =
            Intents::read(&entries, |digest| self.ledger.body(digest).unwrap_or_default());
        let log = Log::read(self.witness.log().as_bytes(), &User::engine().name)?;
        // Of other clusters there is no log here.
        let target = Some(Home::InProcess.target());
        let options = fixpoint_audit::Options { target, ..Default::default() };
        Ok(fixpoint_audit::check(&intents, &log, &options))
    }

    /// Lets time pass.
    pub async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
        tokio::time::sleep(TICK).await;
    }

    /// Lets time pass until nothing is written any more; tells when the last write was.
    ///
    /// # Errors
    /// When writing never ends.
    pub async fn settle(&self) -> Result<Duration> {
        let began = Instant::now();
        let mut last = self.pulse().await?;
        let mut changed = began;
        while changed.elapsed() < QUIET {
            tokio::time::sleep(STEP).await;
            let now = self.pulse().await?;
            if now != last {
                last = now;
                changed = Instant::now();
            }
            ensure!(began.elapsed() < PATIENCE, "it is still busy after {PATIENCE:?}");
        }
        Ok(changed - began)
    }

    /// Changes with every write to an API server or the ledger.
    async fn pulse(&self) -> Result<(Vec<String>, u64)> {
        let mut clients = vec![self.admin.clone()];
        for name in self.remotes.names() {
            clients.push(self.remotes.admin(&name)?);
        }
        let mut revisions = Vec::new();
        for client in clients {
            let request = http::Request::get("/api/v1/namespaces?limit=1").body(Vec::new())?;
            let list: Value = client.request(request).await?;
            let revision = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            revisions.push(revision.to_owned());
        }
        Ok((revisions, self.ledger.size()))
    }

    /// Puts a new cluster behind an address, and a Secret into home that leads there.
    ///
    /// # Errors
    /// When it does not open.
    pub async fn cluster(&self, name: &str) -> Result<()> {
        self.remotes.begin(name, self.clock.clone(), true).await?;
        self.kubeconfig(name, &Remotes::kubeconfig(name)).await
    }

    /// Makes home a cluster, as that of an engine that does not bring its own API server, and lets a
    /// Secret lead there, too.
    ///
    /// # Errors
    /// When the engine does not start anew.
    pub async fn live_in_a_cluster(&mut self) -> Result<()> {
        let namespace = self.get("/api/v1/namespaces/kube-system").await?;
        let uid = namespace["metadata"]["uid"].as_str().context("it has no uid")?.to_owned();
        self.home = Home::Cluster { uid };
        self.remotes.add("home", self.server.clone());
        self.kubeconfig("home", &Remotes::kubeconfig("home")).await?;
        self.restart().await
    }

    /// Exchanges a cluster while connections to it are open, and go on.
    ///
    /// # Errors
    /// When the new one does not open.
    pub async fn exchange(&self, name: &str) -> Result<()> {
        self.remotes.begin(name, self.clock.clone(), false).await
    }

    /// Puts a kubeconfig into a Secret.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn kubeconfig(&self, name: &str, text: &str) -> Result<()> {
        let place = Place::parse(&format!("secret/{name}"))?;
        let mut object = place.blank();
        object["stringData"] = serde_json::json!({"value": text});
        self.apply(&place.path(), &object).await.map(drop)
    }

    /// What the engine's own API answers.
    ///
    /// # Errors
    /// When no engine runs or the answer is no JSON.
    pub async fn ask(&self, path: &str) -> Result<Value> {
        let running = self.engine.as_ref().context("no engine runs")?;
        let answer = running.routes.answer(&http::Method::GET, path, "", true).await;
        serde_json::from_slice(answer.body()).context("the engine's answer is no JSON")
    }

    /// Reads from the API server as its administrator.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.send(http::Request::get(path), String::new()).await
    }

    /// As [`World::get`]; `None` where there is nothing.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn find(&self, path: &str) -> Result<Option<Value>> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(err) => match err.downcast_ref::<kube::Error>() {
                Some(kube::Error::Api(status)) if status.code == 404 => Ok(None),
                _ => Err(err),
            },
        }
    }

    /// Applies an object as its administrator.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn apply(&self, path: &str, object: &Value) -> Result<Value> {
        let request = http::Request::patch(format!("{path}?fieldManager=kubectl&force=true"))
            .header("content-type", "application/apply-patch+yaml");
        self.send(request, object.to_string()).await
    }

    /// Merges a patch as somebody with an editor.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn edit(&self, path: &str, patch: &Value) -> Result<Value> {
        self.merge(path, patch, "kubectl-edit").await
    }

    /// Merges a patch under the name of a manager.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn merge(&self, path: &str, patch: &Value, manager: &str) -> Result<Value> {
        let request = http::Request::patch(format!("{path}?fieldManager={manager}"))
            .header("content-type", "application/merge-patch+json");
        self.send(request, patch.to_string()).await
    }

    /// Deletes an object as its administrator.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn delete(&self, path: &str) -> Result<Value> {
        self.send(http::Request::delete(path), String::new()).await
    }

    async fn send(&self, request: http::request::Builder, body: String) -> Result<Value> {
        let request = request.body(body.into_bytes()).context("the request is malformed")?;
        let client = match &self.focus {
            Some(name) => self.remotes.admin(name)?,
            None => self.admin.clone(),
        };
        Ok(client.request::<Value>(request).await?)
    }
}

/// A clock that goes as tokio's does, and is wrong by as much as it is set.
fn clock(shift: Arc<AtomicI64>) -> Result<Clock> {
    let beginning: Timestamp = BEGINNING.parse().context("the beginning is no time")?;
    let began = Instant::now();
    Ok(Arc::new(move || {
        let wrong = SignedDuration::from_secs(shift.load(Ordering::SeqCst));
        beginning + began.elapsed() + wrong
    }))
}
