//! One running server: its state, its kinds, and the tasks that tend them.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use fixpoint_base::Chain;
use fixpoint_driver_store::log::{Log, LogError, LogOptions};
use http::{Request, Response};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::body::Body;
use crate::bootstrap;
use crate::gc::Collector;
use crate::kinds::{DEFINITIONS, Registry};
use crate::local::LocalService;
use crate::metrics::Metrics;
use crate::options::{OpenError, Options, Storage};
use crate::serve::{self, Mount};
use crate::store::{State, Store, persist};
use crate::user::User;
use crate::wire::Request as Whole;

/// One running server; clones are handles to the same one.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

struct Inner {
    server: Arc<Server>,
    /// Released when the server closes, or when the last handle is dropped.
    lock: Mutex<Option<std::fs::File>>,
}

/// What the verbs work on.
pub struct Server {
    /// What it was opened with.
    pub options: Options,
    /// Objects and their history.
    pub store: Store,
    /// What it counts.
    pub metrics: Metrics,
    /// What waits to be collected.
    pub collector: Arc<Collector>,
    registry: Arc<RwLock<Arc<Registry>>>,
    ready: AtomicBool,
    closing: watch::Sender<bool>,
}

impl Server {
    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.options.clock)()
    }

    /// The time as objects carry it: RFC 3339, UTC, to the second.
    pub fn now_text(&self) -> String {
        self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The kinds that are served now.
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Becomes true when the server stops serving.
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Whether the program said that it is ready.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

impl ApiServer {
    /// Opens a server on its data. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When another engine has the data, the data cannot be read, or the definitions of
    /// `options.crds` cannot be installed.
    pub async fn open(options: Options) -> Result<ApiServer, OpenError> {
        let (lock, log, state) = match options.data.clone() {
            Storage::Memory => (None, Log::in_memory(), State::new()),
            Storage::Dir(dir) => blocking(move || open_dir(&dir)).await?,
            Storage::Disk(disk) => {
                blocking(move || {
                    let fatal = |err: &LogError| {
                        tracing::error!(error = %Chain(err), "the simulated disk failed");
                    };
                    let options = LogOptions { fatal: Arc::new(fatal), ..LogOptions::default() };
                    let opened = Log::open_on(disk, "objects", options);
                    let (log, state) = replay(opened, Path::new("objects"))?;
                    Ok((None, log, state))
                })
                .await?
            }
        };
        let server = Arc::new(start(options, log, state));
        let collector = Arc::clone(&server.collector);
        tokio::spawn(collector.run(Arc::downgrade(&server), server.closing()));
        bootstrap::run(&server).await?;
        Ok(Self(Arc::new(Inner { server, lock: Mutex::new(lock) })))
    }

    /// The transport inside the process; requests act as this user.
    pub fn service(&self, user: User) -> LocalService {
        LocalService { server: self.clone(), user }
    }

    /// Serves on the listener until the shutdown future resolves, then drains: watches end,
    /// requests that were begun are answered.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(
        &self,
        listener: tokio::net::TcpListener,
        tls: Arc<rustls::ServerConfig>,
        mounts: Vec<Mount>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        serve::serve(self.clone(), listener, tls, mounts, shutdown).await
    }

    /// Says whether `/readyz` answers yes.
    pub fn set_ready(&self, ready: bool) {
        self.0.server.ready.store(ready, Ordering::Release);
    }

    /// Ends all watches, makes everything durable and lets the data go.
    pub async fn close(&self) {
        self.0.server.closing.send_replace(true);
        self.0.server.store.close().await;
        self.0.lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    }

    /// The UID of the `kube-system` namespace, which is the identity of this server.
    pub fn identity(&self) -> String {
        let name = crate::store::Name::new("", "kube-system");
        let state = self.0.server.store.read();
        state.get(&crate::kinds::NAMESPACES, &name).map(|o| o.uid.clone()).unwrap_or_default()
    }

    pub(crate) fn limits(&self) -> &crate::options::ServerLimits {
        &self.0.server.options.limits
    }

    /// Answers a request of a user, or of nobody.
    pub(crate) async fn answer<B>(&self, request: Request<B>, user: Option<User>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
    {
        let Some(user) = user else {
            // Nothing is read of what strangers send: they may ask for health only.
            let request = request.map(|_| Body::whole(Bytes::new()));
            return self.routed(request, User::new("system:anonymous", []), true).await;
        };
        self.routed(request, user, false).await
    }

    async fn routed<B>(&self, request: Request<B>, user: User, anonymous: bool) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
    {
        let limit = self.limits().body_bytes;
        match Whole::read(request, user, limit).await {
            Ok(request) => self.0.server.route(&request, anonymous).await,
            Err(failure) => failure.into_response(),
        }
    }
}

type Opened = (Option<std::fs::File>, Log, State);

/// Opening waits for the disk; the runtime must not.
async fn blocking(
    open: impl FnOnce() -> Result<Opened, OpenError> + Send + 'static,
) -> Result<Opened, OpenError> {
    let opened = tokio::task::spawn_blocking(open).await;
    opened.map_err(|err| OpenError::Format(err.to_string()))?
}

/// Locks the folder and reads what is in it.
fn open_dir(dir: &Path) -> Result<Opened, OpenError> {
    let failed = |source| OpenError::Io { path: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let lock = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("lock"))
        .map_err(failed)?;
    match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::Locked(dir.to_owned())),
        Err(err) => return Err(failed(err.into())),
    }
    let opened = Log::open(&dir.join("objects"), LogOptions::default());
    let (log, state) = replay(opened, dir)?;
    Ok((Some(lock), log, state))
}

/// Takes in what the log held.
fn replay(
    opened: Result<(Log, Vec<Vec<u8>>), LogError>,
    dir: &Path,
) -> Result<(Log, State), OpenError> {
    let (log, records) = opened.map_err(|err| match err {
        LogError::InUse { .. } => OpenError::Locked(dir.to_owned()),
        err => OpenError::Log(Box::new(err)),
    })?;
    let mut state = State::new();
    for record in records {
        persist::replay(&mut state, &record).map_err(OpenError::Format)?;
    }
    Ok((log, state))
}

/// Starts the writer and wires it to the kinds and to the collector.
fn start(options: Options, log: Log, mut state: State) -> Server {
    let limits = options.limits.clone();
    let horizon = (options.clock)().as_second().saturating_sub(limits.history_seconds);
    state.forget(limits.history_revisions, horizon);
    let registry = Arc::new(RwLock::new(Arc::new(Registry::build(&state, &Registry::default()))));
    let collector = Arc::new(Collector::default());
    collector.begin_with(&state);
    let observer = {
        let (registry, collector) = (Arc::clone(&registry), Arc::clone(&collector));
        let clock = Arc::clone(&options.clock);
        move |state: &State, applied: &[crate::store::writer::Applied]| {
            if applied.iter().any(|applied| applied.resource == *DEFINITIONS) {
                let before =
                    Arc::clone(&registry.read().unwrap_or_else(|poisoned| poisoned.into_inner()));
                let after = Arc::new(Registry::build(state, &before));
                *registry.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = after;
            }
            collector.observe(state, applied, clock().as_second());
        }
    };
    let clock = Arc::clone(&options.clock);
    let store = Store::start(state, log, clock, limits, Box::new(observer));
    Server {
        options,
        store,
        metrics: Metrics::default(),
        collector,
        registry,
        ready: AtomicBool::new(false),
        closing: watch::Sender::new(false),
    }
}
