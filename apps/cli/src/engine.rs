//! Starts the standalone engine: the one place where the parts are put together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use fixpoint_apiserver::{ApiServer, Mount, MountRequest, Options, User, pki::Pki, system_clock};
use fixpoint_base::Limits;
use fixpoint_controllers::{Engine, Fence, Home, Parts, Proof, Stages};
use fixpoint_driver_git::{Git, GitOptions};
use fixpoint_driver_kube::Dialer;
use fixpoint_driver_store::Artifacts;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::page::{self, PageAt};
use crate::past::{self, canonical, make_private};
use crate::report::advice;

/// What a standalone engine is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where all state lives.
    pub data_dir: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Folders whose repositories may be sources.
    pub allow_file_sources: Vec<PathBuf>,
    /// Where the page is.
    pub page: PageAt,
}

/// A running engine.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the page is; `None` where it is off.
    pub page: Option<String>,
    /// The kubeconfig it wrote.
    pub kubeconfig: PathBuf,
    /// How long it took from the first step to serving.
    pub ready_after: Duration,
    /// A client that acts as the administrator, in process.
    pub admin: kube::Client,
    /// What the belt is doing.
    pub stages: Stages,
    server: ApiServer,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// How long running reconciles and open requests may take to finish after a stop.
const DRAIN: Duration = Duration::from_secs(20);

impl Running {
    /// Stops taking work, lets what runs finish, and makes everything durable.
    pub async fn stop(self) {
        self.server.set_ready(false);
        // Nobody listening any more means that everything has stopped already.
        let _stopped = self.stop.send(true);
        let drained = tokio::time::timeout(DRAIN, async {
            for task in self.tasks {
                if let Err(err) = task.await {
                    tracing::error!(error = %err, "a part of the engine failed");
                }
            }
        });
        if drained.await.is_err() {
            tracing::warn!(seconds = DRAIN.as_secs(), "stopped before everything had finished");
        }
        self.server.close().await;
    }

    /// Resolves when a part of the engine ends by itself, which none should.
    pub async fn failed(&mut self) {
        let ended = futures::future::select_all(self.tasks.iter_mut());
        let (_result, _index, _rest) = ended.await;
    }
}

/// Starts an engine; returns once it serves.
///
/// # Errors
/// When the port is taken, the data directory is in use or damaged, or the ledger was tampered
/// with.
pub async fn start(settings: Settings) -> Result<Running> {
    let began = Instant::now();
    let listener = bind(settings.listen, "--listen").await?;
    let address = listener.local_addr()?;
    let page_listener = page::bind(settings.page, settings.listen).await?;
    make_private(&settings.data_dir)?;
    past::must_be_standalone(&settings.data_dir)?;

    let metrics = fixpoint_controllers::Metrics::default();
    let shown = metrics.clone();
    let server = ApiServer::open(Options {
        crds: fixpoint_api_types::crds_with_file_sources(),
        metrics: Some(Arc::new(move || shown.text())),
        ..Options::dir(settings.data_dir.join("apiserver"))
    })
    .await
    .with_context(|| format!("could not start on {}", settings.data_dir.display()))?;

    let client = kube::Client::new(server.service(User::engine()), "default");
    let delivered = past::delivered(&client, |_| true).await?;
    let ledger = past::open_ledger(&settings.data_dir, &delivered).await?;

    let artifacts = Artifacts::open(&settings.data_dir.join("artifacts"))
        .context("could not open the artifacts")?;
    let stores = Git::new(GitOptions {
        dir: settings.data_dir.join("git"),
        limits: Limits::default(),
        allow_file: canonical(&settings.allow_file_sources)?,
        allow_loopback: true,
        user_agent: concat!("fixpoint/", env!("CARGO_PKG_VERSION")).to_owned(),
    });
    let engine = Engine::new(Parts {
        client,
        home: Home::InProcess,
        clusters: Arc::new(Dialer { allow_loopback: true }),
        stores: Arc::new(stores),
        ledger,
        artifacts,
        clock: system_clock(),
        limits: Limits::default(),
        artifact_url: format!("https://{address}/artifacts"),
        local_folders: canonical(&settings.allow_file_sources)?,
        metrics,
        fence: Fence::none(),
        proof: Proof::of_the_server(),
    })
    .context("could not read the ledger")?;

    let now = jiff::Timestamp::now();
    let pki = Pki::open(&settings.data_dir.join("pki"), &[], now)
        .context("could not open the certificates")?;
    let tls = pki.server_config().context("could not set TLS up")?;
    let kubeconfig = settings.data_dir.join("kubeconfig");
    let admin = pki.admin(now).context("could not issue the administrator's certificate")?;
    let text = pki.kubeconfig(&format!("https://{address}"), "fixpoint", &admin);
    write_private(&kubeconfig, &text)?;

    let (stop, stopped) = watch::channel(false);
    let page = match page_listener {
        Some(listener) => Some((page::page(&engine, listener.local_addr()?), listener)),
        None => None,
    };
    let mut mounts = mounts(&engine);
    mounts.insert(0, page::mount(page.as_ref().map(|(page, _)| page.clone())));
    let stages = engine.stages();
    let serving = server.clone();
    let until = wait(stopped.clone());
    let serve = tokio::spawn(async move {
        if let Err(err) = serving.serve(listener, tls, mounts, until).await {
            tracing::error!(error = %err, "the API server stopped");
        }
    });
    let mut tasks = vec![serve, tokio::spawn(engine.run(wait(stopped.clone())))];
    let page_url = page.as_ref().map(|(page, _)| page.url());
    if let Some((page, listener)) = page {
        tasks.push(tokio::spawn(page.serve(listener, wait(stopped))));
    }
    server.set_ready(true);
    let client = kube::Client::new(server.service(User::admin()), "default");
    Ok(Running {
        address,
        page: page_url,
        kubeconfig,
        ready_after: began.elapsed(),
        admin: client,
        stages,
        server,
        stop,
        tasks,
    })
}

async fn wait(mut stopped: watch::Receiver<bool>) {
    // The sender going away stops the engine too.
    let _gone = stopped.wait_for(|stop| *stop).await;
}

/// Listens on a loopback address, or says what to do; `flag` names another one.
pub async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    if !address.ip().is_loopback() {
        return Err(advice(
            format!("{address} is not a loopback address"),
            "listen on 127.0.0.1 or [::1]; put a proxy of your own in front to serve others",
        ));
    }
    TcpListener::bind(address).await.map_err(|err| match err.kind() {
        std::io::ErrorKind::AddrInUse => advice(
            format!("{address} is taken by another process"),
            format!("choose another port with {flag} 127.0.0.1:PORT, or 0 for a free one"),
        ),
        _ => anyhow::Error::new(err).context(format!("could not listen on {address}")),
    })
}

/// The engine's own API, beside the Kubernetes one and behind the same authentication.
fn mounts(engine: &Engine) -> Vec<Mount> {
    ["/fixpoint/v1/", "/artifacts/"]
        .into_iter()
        .map(|prefix| {
            let routes = engine.routes();
            Mount {
                prefix: prefix.to_owned(),
                handler: Arc::new(move |request: MountRequest| {
                    let routes = routes.clone();
                    Box::pin(async move {
                        let MountRequest { method, path, query, body: _, user } = request;
                        routes.answer(&method, &path, &query, user.is_master()).await
                    })
                }),
            }
        })
        .collect()
}

/// Writes a file that only its owner may read; whoever reads it sees the old or the new one.
fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().with_context(|| format!("could not write {}", path.display()))
}
