//! The engine: both loops, the watches that wake them, and what they share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fixpoint_base::{Limits, Secret};
use fixpoint_driver_kube::timely;
use fixpoint_driver_store::{Artifacts, Ledger, LedgerError};
use fixpoint_source::Stores;
use futures::FutureExt as _;

use crate::board::Board;
use crate::context::{Clock, Context, Tally};
use crate::delivery::{Memories, Wanted};
use crate::fence::{Fence, NotLeading};
use crate::looper::{self, Looper, Named, Next, Waker};
use crate::metrics::Metrics;
use crate::proof::Proof;
use crate::record::Record;
use crate::routes::Routes;
use crate::stage::Stages;
use crate::targets::{Clusters, Home, Targets};
use crate::world::{Kind, World};
use crate::{delivery, local, source};

/// What an engine is made of.
pub struct Parts {
    /// The API server that holds our objects, as the engine itself.
    pub client: kube::Client,
    /// What that API server is.
    pub home: Home,
    /// How other clusters are reached.
    pub clusters: Arc<dyn Clusters>,
    /// Where versions come from.
    pub stores: Arc<dyn Stores>,
    /// The ledger.
    pub ledger: Ledger,
    /// Where versions are kept.
    pub artifacts: Artifacts,
    /// Tells the time.
    pub clock: Clock,
    /// The bounds of every input.
    pub limits: Limits,
    /// Where artifacts are served, without a slash at the end.
    pub artifact_url: String,
    /// Folders whose repositories are watched for commits.
    pub local_folders: Vec<PathBuf>,
    /// Counts.
    pub metrics: Metrics,
    /// Whether this engine may act, where it is one of several.
    pub fence: Fence,
    /// Whether it is proven who acknowledged.
    pub proof: Proof,
}

/// Runs at once for each kind. Fetching and rendering are bounded by the threads that may block.
const CONCURRENCY: usize = 64;

/// A running engine's parts; see [`Engine::run`].
pub struct Engine {
    ctx: Arc<Context>,
    sources: Looper,
    deliveries: Looper,
    wake_delivery: Waker,
    wake_source: Waker,
}

impl Engine {
    /// Puts an engine together; nothing runs yet.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn new(parts: Parts) -> Result<Self, LedgerError> {
        let Parts {
            client,
            home,
            clusters,
            stores,
            ledger,
            artifacts,
            clock,
            limits,
            artifact_url,
            local_folders,
            metrics,
            fence,
            proof,
        } = parts;
        let (wake_source, sources) = looper::looper(CONCURRENCY);
        let (wake_delivery, deliveries) = looper::looper(CONCURRENCY);
        let world = Arc::new(World::new(wake_source.clone(), wake_delivery.clone()));
        let secret_key = Arc::new(Secret::new(ledger.realm_key().to_vec()));
        let tally = Tally::new(clock());
        let keys = secret_key.clone();
        // Nobody else bounds what the engine asks of its home.
        let client = timely(client);
        let targets = Targets::new(&home, client.clone(), clusters, keys, wake_delivery.clone());
        let ctx = Arc::new(Context {
            targets,
            client,
            stores,
            record: Record::open(ledger)?,
            artifacts,
            world,
            clock,
            limits,
            artifact_url,
            secret_key,
            local_folders,
            metrics,
            fence,
            proof,
            stages: Stages::default(),
            memories: Memories::default(),
            wanted: Wanted::default(),
            tally,
        });
        Ok(Self { ctx, sources, deliveries, wake_delivery, wake_source })
    }

    /// What the belt is doing, live.
    pub fn stages(&self) -> Stages {
        self.ctx.stages.clone()
    }

    /// The engine's own API.
    pub fn routes(&self) -> Routes {
        Routes::new(self.ctx.clone())
    }

    /// What the page looks at.
    pub fn board(&self) -> Board {
        Board::new(self.ctx.clone())
    }

    /// Runs until `stop` resolves, then lets what runs finish.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let Self { ctx, sources, deliveries, wake_delivery, wake_source } = self;
        let stop = stop.shared();
        let source_ctx = ctx.clone();
        let run_source = move |name: Named| {
            let ctx = source_ctx.clone();
            ctx.metrics.source_run();
            async move {
                if let Err(fenced) = ctx.fence.check() {
                    return Some(not_now(&fenced));
                }
                source::reconcile(ctx, name).await
            }
        };
        let delivery_ctx = ctx.clone();
        let run_delivery = move |name: Named| {
            let ctx = delivery_ctx.clone();
            ctx.metrics.delivery_run();
            async move {
                if let Err(fenced) = ctx.fence.check() {
                    return Some(not_now(&fenced));
                }
                delivery::reconcile(ctx, name).await
            }
        };
        let loops = futures::future::join(
            sources.run(run_source, stop.clone()),
            deliveries.run(run_delivery, stop.clone()),
        );
        let watches = async {
            futures::join!(
                ctx.world.follow(Kind::Source, ctx.client.clone()),
                ctx.world.follow(Kind::Delivery, ctx.client.clone()),
                ctx.targets.home().drift.run(wake_delivery),
                local::run(ctx.world.clone(), ctx.local_folders.clone(), wake_source),
            );
            // Watches may end (no local folders, say); the loops are what keeps the engine up.
            std::future::pending::<()>().await;
        };
        // Dropping the watches is safe at any point: they only wake.
        tokio::select! {
            _ = loops => {}
            () = watches => {}
        }
    }
}

/// The fence opens within seconds, or the process ends.
fn not_now(fenced: &NotLeading) -> Next {
    Next::Retry(Duration::from_secs(1), fenced.to_string())
}
