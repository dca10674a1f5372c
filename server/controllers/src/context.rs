//! What both loops work with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fixpoint_base::{Limits, Secret};
use fixpoint_driver_store::Artifacts;
use fixpoint_source::Stores;
use jiff::Timestamp;
use serde_json::Value;

use crate::delivery::{Memories, Wanted};
use crate::events::{self, Severity};
use crate::fence::Fence;
use crate::looper::Named;
use crate::metrics::Metrics;
use crate::proof::Proof;
use crate::record::Record;
use crate::stage::Stages;
use crate::targets::Targets;
use crate::world::{Kind, World};

/// Tells the time; simulations bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Everything that a reconciler may use.
pub struct Context {
    /// Our objects, as the engine itself.
    pub client: kube::Client,
    /// Where versions come from.
    pub stores: Arc<dyn Stores>,
    /// The ledger and what it knows of every name.
    pub record: Record,
    /// Stored versions.
    pub artifacts: Artifacts,
    /// What the watches saw.
    pub world: Arc<World>,
    /// Where deliveries go.
    pub targets: Targets,
    /// Told to whoever listens.
    pub stages: Stages,
    /// Tells the time.
    pub clock: Clock,
    /// The bounds of every input.
    pub limits: Limits,
    /// Where artifacts are served.
    pub artifact_url: String,
    /// Keys the digests of Secrets.
    pub secret_key: Arc<Secret<Vec<u8>>>,
    /// Folders whose repositories are watched.
    pub local_folders: Vec<PathBuf>,
    /// Counts.
    pub metrics: Metrics,
    /// Whether this engine may act.
    pub fence: Fence,
    /// Whether acknowledgements are proven.
    pub proof: Proof,
    /// What is remembered of deliveries.
    pub memories: Memories,
    /// What deliveries want.
    pub wanted: Wanted,
    /// Failures in a row and events so far.
    pub tally: Tally,
}

/// What is counted between runs.
pub struct Tally {
    failures: Mutex<BTreeMap<(Kind, Named), u32>>,
    events: AtomicU64,
}

impl Tally {
    /// Starts counting. Names of events must not repeat after a restart; the time of the start
    /// sees to that.
    pub fn new(now: Timestamp) -> Self {
        let started = u64::try_from(now.as_nanosecond()).unwrap_or_default();
        Self { failures: Mutex::default(), events: AtomicU64::new(started) }
    }
}

impl Context {
    /// The time in whole seconds, as Kubernetes writes it.
    pub fn now(&self) -> Timestamp {
        let now = (self.clock)();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// Notes a failure and says how long to wait: 1 s, doubled each time, at most 15 minutes
    /// (Flux's longest retry delay).
    pub fn failed(&self, kind: Kind, name: &Named) -> Duration {
        let mut failures = self.tally.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry((kind, name.clone())).or_default();
        *count = count.saturating_add(1);
        const LONGEST: Duration = Duration::from_secs(15 * 60);
        Duration::from_secs(1 << (*count - 1).min(10)).min(LONGEST)
    }

    /// Forgets the failures of an object that succeeded.
    pub fn succeeded(&self, kind: Kind, name: &Named) {
        self.tally
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(kind, name.clone()));
    }

    /// Writes an event about an object.
    pub async fn event(
        &self,
        kind: Kind,
        about: &Value,
        severity: Severity,
        reason: &str,
        message: &str,
    ) {
        let unique = self.tally.events.fetch_add(1, Ordering::Relaxed);
        let now = self.now().to_string();
        let event = events::event(kind, about, severity, reason, message, &now, unique);
        if let Some(name) = crate::world::name_of(about) {
            events::publish(&self.client, &name, event).await;
        }
    }
}

/// A duration with up to 5 % taken off or added, so that objects declared together do not look
/// together for ever (Flux's `--interval-jitter-percentage`).
pub fn jittered(interval: Duration) -> Duration {
    let share: f64 = rand::random_range(-0.05..=0.05);
    interval.mul_f64(1.0 + share)
}
