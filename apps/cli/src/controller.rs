//! Puts the engine together with a cluster as home.
//!
//! In: access to the cluster, and where to listen. Out: an engine that leads or stands by. The data
//! directory is opened only by the leader: a replica that stands by has read nothing, so it has
//! nothing old when its turn comes.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fixpoint_apiserver::pki::Pki;
use fixpoint_apiserver::system_clock;
use fixpoint_base::Limits;
use fixpoint_cluster::announce::{Announcement, announce};
use fixpoint_cluster::health::{Health, Phase};
use fixpoint_cluster::lease::Lost;
use fixpoint_cluster::listener::{self, Handler};
use fixpoint_cluster::names::SERVER_NAME;
use fixpoint_cluster::pin::{self, Claim};
use fixpoint_cluster::review::{Denied, Reviewer, bearer};
use fixpoint_cluster::{
    Access, Candidate, Connection, Leader, Tenure, Terms, connect, installed, policy,
};
use fixpoint_controllers::{Engine, Fence, Home, Metrics, Parts, Proof, Routes};
use fixpoint_driver_git::{Git, GitOptions};
use fixpoint_driver_kube::Dialer;
use fixpoint_driver_store::Artifacts;
use futures::FutureExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::past;
use crate::report::advice;

/// What a controller is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How the cluster is reached.
    pub access: Access,
    /// Where the ledger and the artifacts are.
    pub data_dir: PathBuf,
    /// Where health and metrics are served, without TLS.
    pub listen: SocketAddr,
    /// Where the engine's own API is served.
    pub engine_listen: SocketAddr,
    /// Where others find it; by default where it listens.
    pub engine_address: Option<String>,
    /// Whether Git servers on this machine's loopback may be asked.
    pub allow_loopback_sources: bool,
}

/// A replica that is connected to its cluster and does not lead yet.
pub struct Replica {
    settings: Settings,
    connection: Connection,
    candidate: Candidate,
    health: Health,
    metrics: Metrics,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    /// Where health is served.
    pub address: SocketAddr,
}

impl Replica {
    /// Connects, checks that the cluster has what is needed, and serves health.
    ///
    /// # Errors
    /// When the cluster cannot be reached, may not be used, or has no definitions of our kinds.
    pub async fn connect(settings: Settings) -> Result<Self> {
        let connection = connect::connect(&settings.access).await?;
        let client = connection.client()?;
        installed::check(&client).await?;
        let candidate = Candidate::new(client, &own_name(), Terms::default());
        let metrics = Metrics::default();
        let shown = metrics.clone();
        let health = Health::new(candidate.tenure(), move || shown.text());

        let listener = listen(settings.listen, "--listen").await?;
        let address = listener.local_addr()?;
        let (stop, _) = watch::channel(false);
        let answers = health.clone();
        let handler: Handler = Arc::new(move |request| {
            let answer = answers.answer(request.method(), request.uri().path());
            std::future::ready(answer).boxed()
        });
        let serving =
            tokio::spawn(listener::serve(listener, None, handler, std::future::pending()));
        Ok(Self { settings, connection, candidate, health, metrics, stop, serving, address })
    }

    /// Its name in the lease.
    pub fn name(&self) -> &str {
        self.candidate.name()
    }

    /// The uid of the cluster.
    pub fn cluster(&self) -> &str {
        &self.connection.uid
    }

    /// Waits until it leads; each leader that it stands by is told. Cancel-safe.
    ///
    /// # Errors
    /// When there is no place for a lease, or the data directory or the ledger cannot be used; the
    /// lease is let go then.
    pub async fn lead(self, mut stands_by: impl FnMut(&str)) -> Result<Leading> {
        let Self { settings, connection, candidate, health, metrics, stop, serving, address: _ } =
            self;
        let name = candidate.name().to_owned();
        let standing = health.clone();
        let told = |holder: &str| {
            standing.set(Phase::StandingBy);
            stands_by(holder);
        };
        let leads = candidate.acquire(told).await;
        let mut leader = leads.map_err(|err| advice(err.to_string(), INSTALL))?;
        health.set(Phase::Opening);
        let tenure = leader.tenure().clone();
        let opened = {
            let opening = Opening { settings, connection, tenure, metrics, name };
            // A run that is cut off here has opened files and changed nothing.
            tokio::select! {
                opened = opening.open(stop.subscribe()) => opened,
                lost = leader.lost() => Err(lost.into()),
            }
        };
        match opened {
            Ok(opened) => {
                health.set(Phase::Leading);
                Ok(Leading { opened, leader, health, stop, serving })
            }
            Err(err) => {
                leader.release().await;
                Err(err)
            }
        }
    }
}

/// What it takes to open an engine.
struct Opening {
    settings: Settings,
    connection: Connection,
    tenure: Tenure,
    metrics: Metrics,
    name: String,
}

/// An engine that was opened.
struct Opened {
    address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
    _claim: Claim,
}

impl Opening {
    async fn open(self, stopped: watch::Receiver<bool>) -> Result<Opened> {
        let client = self.connection.guarded(self.tenure.clone())?;
        let claim = self.claim().await?;
        let base = format!("https://{SERVER_NAME}:{PORT}/artifacts");
        let ours = format!("{base}/");
        let delivered = past::delivered(&client, |url| url.starts_with(&ours)).await?;
        let ledger = past::open_ledger(&self.settings.data_dir, &delivered).await?;
        let engine = Engine::new(Parts {
            client: client.clone(),
            home: Home::Cluster { uid: self.connection.uid.clone() },
            clusters: Arc::new(Dialer { allow_loopback: self.settings.allow_loopback_sources }),
            stores: Arc::new(self.stores()),
            ledger,
            artifacts: Artifacts::open(&self.settings.data_dir.join("artifacts"))
                .context("could not open the artifacts")?,
            clock: system_clock(),
            limits: Limits::default(),
            artifact_url: base,
            local_folders: Vec::new(),
            metrics: self.metrics.clone(),
            fence: self.fence(),
            proof: self.proof()?,
        })
        .context("could not read the ledger")?;

        let listener = listen(self.settings.engine_listen, "--engine-listen").await?;
        let address = listener.local_addr()?;
        let at = self.address(address);
        let pki = self.certificates(&at)?;
        let tls = pki.server_config().context("could not set TLS up")?;
        let handler = gate(engine.routes(), Reviewer::new(self.connection.client()?));
        let serve = listener::serve(listener, Some(tls), handler, wait(stopped.clone()));
        let tasks = vec![tokio::spawn(serve), tokio::spawn(engine.run(wait(stopped)))];
        let said = Announcement::new(at, pki.authority().to_owned(), self.name);
        announce(&client, &said)
            .await
            .map_err(crate::client::plain)
            .context("could not write where the engine's own API is")?;
        Ok(Opened { address, tasks, _claim: claim })
    }

    /// Where others find what listens there: an address of its own may come without a port.
    fn address(&self, listens: SocketAddr) -> String {
        match &self.settings.engine_address {
            None => listens.to_string(),
            Some(at) => match at.parse::<IpAddr>() {
                Ok(ip) => SocketAddr::new(ip, listens.port()).to_string(),
                Err(_) => at.clone(),
            },
        }
    }

    async fn claim(&self) -> Result<Claim> {
        let (dir, uid) = (self.settings.data_dir.clone(), self.connection.uid.clone());
        let claimed = tokio::task::spawn_blocking(move || -> Result<Claim> {
            past::make_private(&dir)?;
            Ok(pin::claim(&dir, &uid)?)
        });
        claimed.await?
    }

    fn stores(&self) -> Git {
        Git::new(GitOptions {
            dir: self.settings.data_dir.join("git"),
            limits: Limits::default(),
            allow_file: Vec::new(),
            allow_loopback: self.settings.allow_loopback_sources,
            user_agent: concat!("fixpoint/", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    }

    fn fence(&self) -> Fence {
        let tenure = self.tenure.clone();
        Fence::of(move || tenure.holds())
    }

    fn proof(&self) -> Result<Proof> {
        let client = self.connection.client()?;
        Ok(Proof::asked(move || {
            let client = client.clone();
            async move { policy::proven(&client).await.map_err(|why| why.to_string()) }.boxed()
        }))
    }

    fn certificates(&self, address: &str) -> Result<Pki> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_matches(['[', ']']).to_owned();
        let names = [SERVER_NAME.to_owned(), host];
        Pki::open(&self.settings.data_dir.join("pki"), &names, jiff::Timestamp::now())
            .context("could not open the certificates")
    }
}

const INSTALL: &str = "install what is missing with `fixpoint install --kubeconfig FILE`";

/// The port of the Service, by which an artifact's URL stays the same wherever the engine runs.
const PORT: u16 = 9443;

/// The engine's own API, for whom the cluster knows and lets.
fn gate(routes: Routes, reviewer: Reviewer) -> Handler {
    let reviewer = Arc::new(reviewer);
    Arc::new(move |request| {
        let (routes, reviewer) = (routes.clone(), reviewer.clone());
        async move {
            let path = request.uri().path();
            let token = bearer(&request);
            let granted = match token {
                Some(token) => reviewer.may_read(token, path).await,
                None => Err(Denied::Unknown),
            };
            match granted {
                Ok(()) => {
                    let query = request.uri().query().unwrap_or_default();
                    routes.answer(request.method(), path, query, true).await
                }
                Err(denied) => denied.response(path),
            }
        }
        .boxed()
    })
}

/// How long running reconciles may take to finish after a stop.
const DRAIN: Duration = Duration::from_secs(20);

/// A replica that leads.
pub struct Leading {
    opened: Opened,
    leader: Leader,
    health: Health,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

/// Why leading ended by itself.
#[derive(Debug)]
pub enum Ended {
    /// Somebody else may lead.
    Lost(Lost),
    /// A part of the engine ended, which none should.
    Failed,
}

impl Leading {
    /// Where the engine's own API listens.
    pub fn address(&self) -> SocketAddr {
        self.opened.address
    }

    /// Resolves when leading ends by itself. Cancel-safe.
    pub async fn ended(&mut self) -> Ended {
        let tasks = futures::future::select_all(self.opened.tasks.iter_mut());
        // Both arms are cancel-safe: a task that ended stays ended.
        tokio::select! {
            lost = self.leader.lost() => Ended::Lost(lost),
            _ = tasks => Ended::Failed,
        }
    }

    /// Stops taking work, lets what runs finish while the lease is kept, and lets go of the lease.
    pub async fn stop(self) {
        self.health.set(Phase::Stopping);
        // Nobody listening any more means that everything has stopped already.
        let _stopped = self.stop.send(true);
        let drained = tokio::time::timeout(DRAIN, async {
            for task in self.opened.tasks {
                if let Err(err) = task.await {
                    tracing::error!(error = %err, "a part of the engine failed");
                }
            }
        });
        if drained.await.is_err() {
            tracing::warn!(seconds = DRAIN.as_secs(), "stopped before everything had finished");
        }
        self.leader.release().await;
        self.serving.abort();
    }
}

async fn wait(mut stopped: watch::Receiver<bool>) {
    // The sender going away stops everything too.
    let _gone = stopped.wait_for(|stop| *stop).await;
}

async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("could not listen on {address}; choose another with {flag}"))
}

/// The pod's name, or this machine's; what makes it unique is added to it.
fn own_name() -> String {
    let pod = std::env::var("POD_NAME").ok();
    let machine = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = pod.or_else(machine).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "fixpoint".to_owned() } else { name.to_owned() }
}
