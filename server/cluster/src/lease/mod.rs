//! One replica leads: it holds a Lease, and renews it for as long as it leads.
//!
//! In: a client that nothing guards, and a name that no other replica has. Out: a leader, and how
//! its leading ended. Nobody is taken over who may still lead, and nobody who cannot renew goes on.

mod decide;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::decide::{Act, Sight};
use crate::names::{NAME, NAMESPACE};
use crate::tenure::Tenure;

/// How long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// For so long after a renewal that it saw, nobody else takes the lease.
    pub duration: Duration,
    /// For so long after a renewal the leader acts; what is left of the duration is what clocks
    /// and late requests may be off by.
    pub deadline: Duration,
    /// Pause between two looks or renewals.
    pub retry: Duration,
}

impl Default for Terms {
    /// client-go's: 15 s, 10 s and 2 s.
    fn default() -> Self {
        let [duration, deadline, retry] = [15, 10, 2].map(Duration::from_secs);
        Self { duration, deadline, retry }
    }
}

/// Why a replica cannot stand for the lease at all.
#[derive(Debug, thiserror::Error)]
#[error("namespace {NAMESPACE} does not exist, so there is no place for the lease")]
pub struct NoPlace;

/// How leading ended without our doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Somebody else holds the lease.
    #[error("the lease passed to {holder}")]
    Taken {
        /// Who.
        holder: String,
    },
    /// Somebody deleted it, or took our name out of it: another replica may have led since.
    #[error("the lease is not ours any more, and nobody's")]
    Gone,
    /// It could not be renewed in time.
    #[error("the lease could not be renewed within {} s: {why}", deadline.as_secs())]
    Lapsed {
        /// How long that was tried.
        deadline: Duration,
        /// What stood in the way last.
        why: String,
    },
}

/// A replica that would lead.
pub struct Candidate {
    leases: Api<Lease>,
    me: String,
    terms: Terms,
    sight: Option<Sight>,
    tenure: Tenure,
}

/// What one try came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Leads,
    StandsBy { holder: String },
}

/// Why one try came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Api(String),
    #[error("the API server did not answer within {} s", ANSWER.as_secs())]
    NoAnswer,
    #[error("{NAMESPACE} does not exist")]
    NoNamespace,
}

/// One try takes no longer, so that there are several within the deadline.
const ANSWER: Duration = Duration::from_secs(4);

impl Candidate {
    /// Stands for the lease under a name that no other process has: `name`, and something random.
    pub fn new(client: kube::Client, name: &str, terms: Terms) -> Self {
        let me = format!("{name}_{}", uuid::Uuid::new_v4());
        let leases = Api::namespaced(client, NAMESPACE);
        Self { leases, me, terms, sight: None, tenure: Tenure::default() }
    }

    /// Its name in the lease.
    pub fn name(&self) -> &str {
        &self.me
    }

    /// Whether it certainly leads; it does not yet.
    pub fn tenure(&self) -> Tenure {
        self.tenure.clone()
    }

    /// Waits until it leads, for as long as it takes. Each leader that it stands by is told.
    ///
    /// Cancel-safe but for a lease that was just written and will lapse.
    ///
    /// # Errors
    /// When there is no place for a lease.
    pub async fn acquire(mut self, mut stands_by: impl FnMut(&str)) -> Result<Leader, NoPlace> {
        let mut told = String::new();
        loop {
            match self.attempt().await {
                Ok(Standing::Leads) => return Ok(Leader::begin(self)),
                Ok(Standing::StandsBy { holder }) => {
                    if told != holder {
                        stands_by(&holder);
                        told = holder;
                    }
                }
                Err(Failure::NoNamespace) => return Err(NoPlace),
                Err(failure) => {
                    tracing::warn!(error = %failure, "the lease cannot be asked for");
                }
            }
            tokio::time::sleep(self.terms.retry).await;
        }
    }

    /// Reads the lease, and takes it where it is to be had.
    async fn attempt(&mut self) -> Result<Standing, Failure> {
        bounded(async {
            self.look().await?;
            match self.write().await {
                // Somebody was faster: who, the next look says.
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    self.look().await?;
                    let holder = self.sight.as_ref().and_then(Sight::holder);
                    Ok(Standing::StandsBy { holder: holder.unwrap_or("nobody").to_owned() })
                }
                done => done.map_err(|err| failure(&err)),
            }
        })
        .await
    }

    /// Writes the lease that we hold once more. Where it was changed meanwhile, it may have been by
    /// ourselves, in a renewal whose answer was lost: then it still names us, and nothing is lost.
    async fn renew(&mut self) -> Result<Option<Lost>, Failure> {
        bounded(async {
            match self.write().await {
                Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {}
                Err(err) => return Err(failure(&err)),
                Ok(_) => return Ok(None),
            }
            self.look().await?;
            match self.sight.as_ref().map(Sight::holder) {
                Some(Some(holder)) if holder == self.me => {
                    self.write().await.map(|_| None).map_err(|err| failure(&err))
                }
                Some(Some(holder)) => Ok(Some(Lost::Taken { holder: holder.to_owned() })),
                Some(None) | None => Ok(Some(Lost::Gone)),
            }
        })
        .await
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let found = self.leases.get_opt(NAME).await.map_err(|err| failure(&err))?;
        self.sight = found.map(|lease| Sight::see(self.sight.take(), lease, Instant::now()));
        Ok(())
    }

    async fn write(&mut self) -> Result<Standing, kube::Error> {
        let began = Instant::now();
        let written = match decide::next(self.sight.as_ref(), &self.me, self.terms, began) {
            Act::StandBy { holder } => return Ok(Standing::StandsBy { holder }),
            Act::Create => {
                let lease = Lease {
                    metadata: ObjectMeta { name: Some(NAME.to_owned()), ..Default::default() },
                    spec: Some(self.spec(None)),
                };
                self.leases.create(&PostParams::default(), &lease).await?
            }
            Act::Write { mut lease } => {
                lease.spec = Some(self.spec(lease.spec.as_ref()));
                self.leases.replace(NAME, &PostParams::default(), &lease).await?
            }
        };
        // Counted from before the request: whoever waits for us began to wait later.
        self.tenure.extend(began + self.terms.deadline);
        self.sight = Some(Sight::see(self.sight.take(), written, Instant::now()));
        Ok(Standing::Leads)
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        let ours = before.is_some_and(|spec| spec.holder_identity.as_ref() == Some(&self.me));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: Some(seconds(self.terms.duration)),
            acquire_time: if ours {
                before.and_then(|spec| spec.acquire_time.clone())
            } else {
                now.clone()
            },
            renew_time: now,
            lease_transitions: Some(match before {
                Some(_) if !ours => transitions.saturating_add(1),
                _ => transitions,
            }),
            ..LeaseSpec::default()
        }
    }

    /// Renews until it cannot, or is told to stop.
    async fn keep(&mut self, stop: &mut oneshot::Receiver<()>) -> Option<Lost> {
        loop {
            // Both arms are cancel-safe.
            tokio::select! {
                _ = &mut *stop => return None,
                () = tokio::time::sleep(self.terms.retry) => {}
            }
            let why = match self.renew().await {
                Ok(None) => continue,
                Ok(Some(lost)) => {
                    self.tenure.end();
                    return Some(lost);
                }
                Err(failure) => failure.to_string(),
            };
            if !self.tenure.holds() {
                self.tenure.end();
                return Some(Lost::Lapsed { deadline: self.terms.deadline, why });
            }
            tracing::warn!(error = why, "the lease could not be renewed; trying again");
        }
    }

    /// Lets go of the lease, so that the next one need not wait. As client-go does: nobody holds
    /// it, and it lasts a second.
    async fn release(&mut self) -> Result<(), Failure> {
        if !self.tenure.holds() {
            return Ok(());
        }
        self.tenure.end();
        let Some(sight) = self.sight.take().filter(|sight| sight.is_held_by(&self.me)) else {
            return Ok(());
        };
        let mut lease = sight.lease;
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        bounded(async {
            let replaced = self.leases.replace(NAME, &PostParams::default(), &lease).await;
            replaced.map(|_| ()).map_err(|err| failure(&err))
        })
        .await
    }
}

async fn bounded<T>(attempt: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(ANSWER, attempt).await.map_err(|_| Failure::NoAnswer)?
}

/// The replica that leads, for as long as its tenure holds.
pub struct Leader {
    tenure: Tenure,
    stop: oneshot::Sender<()>,
    keeping: JoinHandle<Option<Lost>>,
}

impl Leader {
    fn begin(mut candidate: Candidate) -> Self {
        let tenure = candidate.tenure.clone();
        let (stop, mut stopped) = oneshot::channel();
        let keeping = tokio::spawn(async move {
            let lost = candidate.keep(&mut stopped).await;
            if lost.is_none()
                && let Err(failure) = candidate.release().await
            {
                tracing::warn!(error = %failure, "the lease was not released and will lapse");
            }
            lost
        });
        Self { tenure, stop, keeping }
    }

    /// Whether it certainly leads.
    pub fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// Resolves when it leads no more, which is for the process to end on. Cancel-safe.
    pub async fn lost(&mut self) -> Lost {
        match (&mut self.keeping).await {
            Ok(Some(lost)) => lost,
            Ok(None) => std::future::pending().await,
            Err(err) => {
                self.tenure.end();
                let deadline = Duration::ZERO;
                Lost::Lapsed { deadline, why: format!("an internal error: {err}") }
            }
        }
    }

    /// Lets go of the lease; nothing may be changed from here on.
    pub async fn release(self) {
        // A receiver that is gone has lost the lease already.
        let _lost = self.stop.send(());
        if let Err(err) = self.keeping.await {
            tracing::error!(error = %err, "the lease was not released");
        }
    }
}

fn failure(err: &kube::Error) -> Failure {
    match err {
        kube::Error::Api(status)
            if status.code == 404
                && status.details.as_ref().is_some_and(|details| details.kind == "namespaces") =>
        {
            Failure::NoNamespace
        }
        err => Failure::Api(crate::words(err)),
    }
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}
