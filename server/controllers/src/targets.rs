//! Where deliveries go: home, and the clusters that their kubeconfigs lead to.
//!
//! In: what a delivery says of its target. Out: a target whose identity is known and on record, one
//! connection for all that come with the same server, trust and credentials. A connection that no
//! delivery uses any more is closed, with its watches. Never here: a credential in an error; two
//! clusters taken for one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fixpoint_base::{Digest, Secret};
use fixpoint_driver_kube::{
    Access, ConnectError, Connection, Dialer, Dials, KubeTarget, Settings, TargetError, cluster_of,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::drift::Drift;
use crate::looper::{Named, Waker};
use crate::record::Place;

/// Opens connections to clusters; simulations bring their own.
pub trait Clusters: Send + Sync {
    /// Makes a client for a cluster; nothing needs to be connected yet.
    ///
    /// # Errors
    /// When there can be none: the cluster may not be connected to, or what it takes cannot be
    /// used.
    fn open(&self, access: &Access) -> Result<Connection, ConnectError>;
}

impl Clusters for Dialer {
    fn open(&self, access: &Access) -> Result<Connection, ConnectError> {
        Dialer::open(self, access)
    }
}

/// Where our own objects are, which is where deliveries go that name no other target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// The API server in this process.
    InProcess,
    /// A cluster, known by the uid of its namespace kube-system.
    Cluster {
        /// That uid.
        uid: String,
    },
}

impl Home {
    /// The name of home as a target.
    pub fn target(&self) -> String {
        match self {
            Self::InProcess => "in-process".to_owned(),
            Self::Cluster { uid } => cluster(uid),
        }
    }
}

/// The name of a cluster as a target.
pub fn cluster(uid: &str) -> String {
    format!("cluster/{uid}")
}

/// Connections at once; each may keep watches and sockets open.
const MAX_CONNECTIONS: usize = 256;

/// For so long a cluster is taken to be the one that it was, unless a connection was made anew.
/// Before anything is changed it is asked in any case.
const TRUSTED: Duration = Duration::from_secs(30);

/// One target, met.
pub struct Target {
    /// Its name on record: `in-process`, or `cluster/` and a uid.
    pub name: String,
    /// Who we are there, for the record.
    pub identity: &'static str,
    /// The API server.
    pub kube: KubeTarget,
    /// Watches over what was delivered there.
    pub drift: Arc<Drift>,
    /// The uid that makes it this target; `None` where nothing else can answer.
    uid: Option<String>,
    dials: Dials,
    seen: Mutex<Seen>,
    /// Keeps the watches; the loop of home runs with the engine.
    watching: Option<JoinHandle<()>>,
}

/// When the target was last asked which one it is.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    dials: u64,
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(watching) = &self.watching {
            watching.abort();
        }
    }
}

impl Target {
    /// As it is on record.
    pub fn place(&self) -> Place<'_> {
        Place { target: &self.name, identity: self.identity }
    }

    /// Says whether still the same cluster answers; asks it, whatever was seen before.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn is_still_there(&self) -> Result<bool, TargetError> {
        let Some(uid) = &self.uid else { return Ok(true) };
        // Counted before: a connection that is made meanwhile is asked about the next time.
        let dials = self.dials.count();
        let same = self.kube.cluster().await? == *uid;
        // No connection has the number that is kept for another cluster: the next run asks again.
        let dials = if same { dials } else { u64::MAX };
        *lock(&self.seen) = Seen { at: Instant::now(), dials };
        Ok(same)
    }

    fn is_fresh(&self) -> bool {
        let seen = *lock(&self.seen);
        seen.at.elapsed() < TRUSTED && seen.dials == self.dials.count()
    }
}

/// All targets in use.
pub struct Targets {
    home: Arc<Target>,
    runs_workloads: bool,
    clusters: Arc<dyn Clusters>,
    secret_key: Arc<Secret<Vec<u8>>>,
    waker: Waker,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    by_access: BTreeMap<Digest, Slot>,
    used_by: BTreeMap<Named, Digest>,
}

/// A connection, and the target that it was last found to lead to.
#[derive(Clone)]
struct Slot {
    connection: Connection,
    target: Option<Arc<Target>>,
    /// Held while the cluster is asked which one it is, so that it is asked once.
    asking: Arc<tokio::sync::Mutex<()>>,
}

/// What answers at the other end of a connection.
pub struct Answering {
    connection: Connection,
    access: Digest,
    identity: &'static str,
    /// The uid of the cluster.
    pub uid: String,
}

/// Why there is no telling which cluster answers.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// There can be no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It does not answer, or not as it should.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Another delivery is asking, and has been for a while.
    #[error("the cluster has not said yet which one it is")]
    Asked,
    /// There are too many connections.
    #[error("{MAX_CONNECTIONS} clusters are connected to already, which is the limit")]
    TooMany,
}

/// How long a delivery waits for another one that asks the same cluster: a cluster that hangs
/// occupies one run, not all.
const OTHER_ASKS: Duration = Duration::from_secs(2);

impl Targets {
    /// Knows home only.
    pub fn new(
        home: &Home,
        client: kube::Client,
        clusters: Arc<dyn Clusters>,
        secret_key: Arc<Secret<Vec<u8>>>,
        waker: Waker,
    ) -> Self {
        let name = home.target();
        let kube = KubeTarget::new(client, Settings::new(name.clone(), secret_key.clone()));
        let uid = match home {
            Home::InProcess => None,
            Home::Cluster { uid } => Some(uid.clone()),
        };
        let home_target = Target {
            name,
            identity: "fixpoint:engine",
            drift: Arc::new(Drift::new(kube.clone())),
            kube,
            uid,
            dials: Dials::default(),
            seen: Mutex::new(Seen { at: Instant::now(), dials: 0 }),
            watching: None,
        };
        Self {
            home: Arc::new(home_target),
            runs_workloads: *home != Home::InProcess,
            clusters,
            secret_key,
            waker,
            pool: Mutex::default(),
        }
    }

    /// The API server that holds our own objects.
    pub fn home(&self) -> &Arc<Target> {
        &self.home
    }

    /// Whether a target is the one that holds our own objects, however it was reached.
    pub fn is_home(&self, target: &Target) -> bool {
        target.name == self.home.name
    }

    /// Whether a delivered workload is run by anybody there.
    pub fn runs_workloads(&self, target: &Target) -> bool {
        self.runs_workloads || !self.is_home(target)
    }

    /// Takes note that a delivery goes home.
    pub fn goes_home(&self, delivery: &Named) {
        self.uses(delivery, None);
    }

    /// The target that the last run of a delivery went to, to look at; `None` where it goes to
    /// another cluster that was not reached yet. Nobody is asked.
    pub fn last_of(&self, delivery: &Named, elsewhere: bool) -> Option<Arc<Target>> {
        if !elsewhere {
            return Some(self.home.clone());
        }
        let pool = self.pool();
        pool.by_access.get(pool.used_by.get(delivery)?)?.target.clone()
    }

    /// Forgets a delivery that is gone, and what only it used.
    pub fn forget(&self, delivery: &Named) {
        self.home.drift.forget(delivery);
        self.uses(delivery, None);
    }

    /// Connects to a cluster on behalf of a delivery and asks which one it is. What was met and
    /// has not been connected to anew is not asked again.
    ///
    /// # Errors
    /// When there is no connection, or no answer.
    pub async fn ask(&self, delivery: &Named, access: &Access) -> Result<Answering, Unreached> {
        let slot = self.slot(delivery, access)?;
        let digest = access.digest();
        let answering = |uid: String| Answering {
            connection: slot.connection.clone(),
            access: digest,
            identity: access.identity.described(),
            uid,
        };
        if let Some(uid) = self.fresh(digest) {
            return Ok(answering(uid));
        }
        let asking = tokio::time::timeout(OTHER_ASKS, slot.asking.lock()).await;
        let _asking = asking.map_err(|_| Unreached::Asked)?;
        // Whoever asked meanwhile asked for all.
        if let Some(uid) = self.fresh(digest) {
            return Ok(answering(uid));
        }
        let dials = slot.connection.dials.count();
        let uid = cluster_of(&slot.connection.client, &slot.connection.rest).await?;
        if let Some(target) = slot.target.filter(|target| target.uid.as_ref() == Some(&uid)) {
            *lock(&target.seen) = Seen { at: Instant::now(), dials };
        }
        Ok(answering(uid))
    }

    /// The target that was asked and is the one on record.
    pub fn met(&self, answering: Answering) -> Arc<Target> {
        let Answering { connection, access, identity, uid } = answering;
        let mut pool = self.pool();
        let known = pool.by_access.get(&access).and_then(|slot| slot.target.clone());
        if let Some(target) = known.filter(|target| target.uid.as_ref() == Some(&uid)) {
            return target;
        }
        let target = Arc::new(self.target(&connection, identity, uid));
        if let Some(slot) = pool.by_access.get_mut(&access) {
            slot.target = Some(target.clone());
        }
        target
    }

    fn target(&self, connection: &Connection, identity: &'static str, uid: String) -> Target {
        let name = cluster(&uid);
        let settings = Settings::new(name.clone(), self.secret_key.clone());
        let kube = KubeTarget::connected(connection.clone(), settings);
        let dials = connection.dials.clone();
        let drift = Arc::new(Drift::new(kube.clone()));
        let (watched, waker) = (drift.clone(), self.waker.clone());
        let seen = Mutex::new(Seen { at: Instant::now(), dials: dials.count() });
        Target {
            name,
            identity,
            kube,
            drift,
            uid: Some(uid),
            dials,
            seen,
            watching: Some(tokio::spawn(async move { watched.run(waker).await })),
        }
    }

    fn fresh(&self, access: Digest) -> Option<String> {
        let pool = self.pool();
        let target = pool.by_access.get(&access)?.target.as_ref()?;
        target.uid.clone().filter(|_| target.is_fresh())
    }

    fn slot(&self, delivery: &Named, access: &Access) -> Result<Slot, Unreached> {
        let digest = access.digest();
        self.uses(delivery, Some(digest));
        let mut pool = self.pool();
        if let Some(slot) = pool.by_access.get(&digest) {
            return Ok(slot.clone());
        }
        if pool.by_access.len() >= MAX_CONNECTIONS {
            return Err(Unreached::TooMany);
        }
        let connection = self.clusters.open(access)?;
        let slot = Slot { connection, target: None, asking: Arc::default() };
        pool.by_access.insert(digest, slot.clone());
        Ok(slot)
    }

    /// Notes what a delivery uses now; what nobody uses any more is dropped.
    fn uses(&self, delivery: &Named, access: Option<Digest>) {
        let mut pool = self.pool();
        let before = match access {
            Some(access) => pool.used_by.insert(delivery.clone(), access),
            None => pool.used_by.remove(delivery),
        };
        if before == access {
            return;
        }
        if access.is_some() {
            self.home.drift.forget(delivery);
        }
        let Some(before) = before else { return };
        if pool.used_by.values().any(|used| *used == before) {
            let left = pool.by_access.get(&before).and_then(|slot| slot.target.as_ref());
            if let Some(target) = left {
                target.drift.forget(delivery);
            }
        } else {
            pool.by_access.remove(&before);
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        lock(&self.pool)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
