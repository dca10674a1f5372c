//! What a run says, and what that makes of the status. Pure.

use std::error::Error;
use std::time::Duration;

use fixpoint_api_types::condition::{self, Condition, ConditionStatus};
use fixpoint_api_types::inventory::record;
use fixpoint_api_types::names::{conditions, reasons};
use fixpoint_api_types::{Interval, KustomizationStatus, ResourceInventory, ResourceRef, Snapshot};
use fixpoint_apply::Counts;
use fixpoint_base::{Chain, Digest};
use fixpoint_plan::{Guard, Hold, Inventory, Plan};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::health::Checked;

/// Fields that are accepted and not acted on, but change neither what is delivered nor where:
/// they are named in a condition. All others refuse the delivery.
pub const NOTED_FIELDS: &[&str] = &["spec.buildMetadata", "spec.healthCheckExprs"];

/// Some deletions wait for somebody to agree.
const DELETION_GUARD: &str = "DeletionGuard";
/// Some fields are not acted on.
const FIELDS_IGNORED: &str = "FieldsIgnored";
/// Some delivered objects are stored here but nothing runs them.
const WORKLOADS_NOT_RUN: &str = "WorkloadsNotRun";
/// Which cluster the target is; present only where it is not the one on record.
pub const TARGET_IDENTITY: &str = "TargetIdentity";
/// The reason while the target is another cluster than the one on record.
pub const TARGET_CHANGED: &str = "TargetChanged";
/// Some of what was delivered cannot be watched.
const DRIFT_BY_INTERVAL: &str = "DriftByInterval";
/// The reason of an event about objects that nobody keeps any more.
pub const OBJECTS_LEFT: &str = "ObjectsLeft";
/// The reason while deletions wait.
const DELETION_HELD: &str = "DeletionHeld";

/// What one run has to say.
#[derive(Debug)]
pub enum Said {
    /// Everything wanted is there.
    Applied {
        /// What was done.
        facts: Box<Facts>,
        /// How it is doing.
        checked: Checked,
    },
    /// Some of what is wanted is not there, or something is held.
    Partly(Box<Facts>),
    /// The revision cannot be rendered; what was there before stays.
    Refused {
        /// The revision.
        revision: String,
        /// Why.
        message: String,
    },
    /// Something else has to happen first.
    Waiting {
        /// One word.
        reason: &'static str,
        /// One sentence.
        message: String,
        /// Whether nothing will wake us when it happens.
        polls: bool,
    },
    /// Something failed that may mend itself.
    Failed {
        /// One word.
        reason: &'static str,
        /// One sentence.
        message: String,
    },
    /// What is declared is wrong.
    Stalled {
        /// One word.
        reason: &'static str,
        /// One sentence.
        message: String,
        /// Whether it may be mended without a change of the object that would wake us.
        polls: bool,
    },
    /// Another cluster is where the target was; somebody has to agree before anything goes there.
    Stranger {
        /// One sentence, with what to acknowledge.
        message: String,
    },
}

impl Said {
    /// A failure with its causes.
    pub fn failed(reason: &'static str, err: &(dyn Error + 'static)) -> Self {
        Self::Failed { reason, message: Chain(err).to_string() }
    }

    /// Adds to the sentence what somebody can do.
    pub fn with_note(mut self, note: &str) -> Self {
        match &mut self {
            Self::Refused { message, .. }
            | Self::Waiting { message, .. }
            | Self::Failed { message, .. }
            | Self::Stalled { message, .. } => *message = format!("{message}; {note}"),
            // What is to be acknowledged stays last.
            Self::Stranger { message } => *message = format!("{note}; {message}"),
            Self::Applied { .. } | Self::Partly(_) => {}
        }
        self
    }

    /// The sentence, for those who only want that.
    pub fn message(&self) -> &str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Partly(_) => "applied in part",
            Self::Refused { message, .. }
            | Self::Waiting { message, .. }
            | Self::Failed { message, .. }
            | Self::Stalled { message, .. }
            | Self::Stranger { message } => message,
        }
    }
}

/// What a run did and found.
#[derive(Debug)]
pub struct Facts {
    /// The revision.
    pub revision: String,
    /// Digest of what is wanted.
    pub rendered: Digest,
    /// What is there by our hand.
    pub inventory: Inventory,
    /// Rendered objects that cannot be applied.
    pub problems: Vec<String>,
    /// Objects that could not be applied or deleted.
    pub failures: Vec<String>,
    /// Objects that wait for somebody or something, without those whose deletion is guarded.
    pub unfinished: Vec<String>,
    /// Deletions that wait for somebody to agree.
    pub guard: Option<Guard>,
    /// Why the answer that somebody gave to the guard is not taken.
    pub unproven: Option<String>,
    /// What changed, a line for each object.
    pub changes: Vec<String>,
    /// Whether every failure may mend itself.
    pub transient: bool,
    /// Kinds among the objects that nothing runs on this server.
    pub workloads: Vec<String>,
    /// What is looked at by interval only, and why.
    pub unwatched: Vec<String>,
}

impl Facts {
    /// Whether nothing is left to be done by anybody.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
            && self.failures.is_empty()
            && self.unfinished.is_empty()
            && self.guard.is_none()
    }

    /// Everything that is not as it should be, a line each.
    pub fn message(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.failures.iter().cloned());
        lines.extend(self.problems.iter().cloned());
        lines.extend(self.unfinished.iter().cloned());
        lines.extend(self.guard_line());
        lines.join("\n")
    }

    fn guard_line(&self) -> Option<String> {
        let Guard { id, reasons, count } = self.guard.as_ref()?;
        let plural = if *count == 1 { "" } else { "s" };
        let mut why: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        why.extend(self.unproven.clone());
        Some(format!("{count} deletion{plural} held: {} [ack {id}]", why.join(", ")))
    }
}

/// The holds that somebody or something must resolve, other than the guard's, which has a
/// condition of its own.
pub fn unfinished(plan: &Plan) -> Vec<String> {
    plan.unfinished()
        .filter(|(_, hold)| !matches!(hold, Hold::GuardedDeletion { .. }))
        .map(|(key, hold)| format!("{key}: {hold}"))
        .collect()
}

/// `3 created, 1 deleted`.
pub fn counts_line(counts: &Counts) -> String {
    let Counts { created, configured, unchanged, deleted, failed, skipped } = *counts;
    let parts: Vec<String> = [
        (created, "created"),
        (configured, "configured"),
        (unchanged, "unchanged"),
        (deleted, "deleted"),
        (failed, "failed"),
        (skipped, "skipped"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    parts.join(", ")
}

/// The inventory as Flux writes it.
pub fn inventory_form(inventory: &Inventory) -> ResourceInventory {
    ResourceInventory { entries: inventory.keys().map(|key| ResourceRef::of(&key)).collect() }
}

/// The status after a run; equal to the one before where the run says nothing new.
pub fn after(
    mut status: KustomizationStatus,
    said: &Said,
    generation: Option<i64>,
    took: Duration,
    now: Timestamp,
) -> KustomizationStatus {
    let mut write = Writer { status: &mut status, generation, now };
    match said {
        Said::Applied { facts, checked } => write.applied(facts, checked, took),
        Said::Partly(facts) => write.partly(facts, took),
        Said::Refused { revision, message } => {
            write.status.last_attempted_revision = Some(revision.clone());
            write.clear(TARGET_IDENTITY);
            write.not_ready(reasons::BUILD_FAILED, message);
        }
        Said::Waiting { reason, message, .. } | Said::Failed { reason, message } => {
            write.not_ready(reason, message);
        }
        Said::Stranger { message } => {
            write.set(TARGET_IDENTITY, ConditionStatus::False, TARGET_CHANGED, message);
            write.not_ready(TARGET_CHANGED, message);
        }
        Said::Stalled { reason, message, polls: _ } => {
            write.set(conditions::READY, ConditionStatus::False, reason, message);
            write.set(conditions::STALLED, ConditionStatus::True, reason, message);
            write.clear(conditions::RECONCILING);
            write.status.observed_generation = generation;
        }
    }
    status
}

struct Writer<'a> {
    status: &'a mut KustomizationStatus,
    generation: Option<i64>,
    now: Timestamp,
}

impl Writer<'_> {
    fn set(&mut self, kind: &str, truth: ConditionStatus, reason: &str, message: &str) {
        let now = Time(self.now);
        let new = Condition::new(kind, truth, reason, message, self.generation, now);
        condition::set(&mut self.status.conditions, new);
    }

    fn clear(&mut self, kind: &str) {
        condition::remove(&mut self.status.conditions, kind);
    }

    fn not_ready(&mut self, reason: &str, message: &str) {
        let retry = reasons::PROGRESSING_WITH_RETRY;
        self.set(conditions::READY, ConditionStatus::False, reason, message);
        self.set(conditions::RECONCILING, ConditionStatus::True, retry, message);
        self.clear(conditions::STALLED);
    }

    fn applied(&mut self, facts: &Facts, checked: &Checked, took: Duration) {
        self.attempted(facts);
        self.clear(DELETION_GUARD);
        self.clear(conditions::STALLED);
        match checked {
            Checked::NotAsked | Checked::Well(_) => {
                let message = format!("Applied revision: {}", facts.revision);
                self.set(
                    conditions::READY,
                    ConditionStatus::True,
                    reasons::RECONCILIATION_SUCCEEDED,
                    &message,
                );
                match checked {
                    Checked::Well(count) => {
                        let message = format!("{count} objects are healthy");
                        self.set(
                            conditions::HEALTHY,
                            ConditionStatus::True,
                            reasons::SUCCEEDED,
                            &message,
                        );
                    }
                    _ => self.clear(conditions::HEALTHY),
                }
                self.clear(conditions::RECONCILING);
                self.remember(facts, reasons::RECONCILIATION_SUCCEEDED, took);
                self.status.last_applied_revision = Some(facts.revision.clone());
                self.status.observed_generation = self.generation;
            }
            Checked::Waiting(what) => {
                let message = format!("waiting for health: {}", what.join("; "));
                for kind in [conditions::READY, conditions::HEALTHY] {
                    self.set(kind, ConditionStatus::Unknown, reasons::PROGRESSING, &message);
                }
                self.set(
                    conditions::RECONCILING,
                    ConditionStatus::True,
                    reasons::PROGRESSING,
                    &message,
                );
            }
            Checked::Failed(what) => {
                let message = what.join("; ");
                for kind in [conditions::READY, conditions::HEALTHY] {
                    self.set(kind, ConditionStatus::False, reasons::HEALTH_CHECK_FAILED, &message);
                }
                self.set(
                    conditions::RECONCILING,
                    ConditionStatus::True,
                    reasons::PROGRESSING_WITH_RETRY,
                    &message,
                );
                self.remember(facts, reasons::HEALTH_CHECK_FAILED, took);
            }
        }
    }

    fn partly(&mut self, facts: &Facts, took: Duration) {
        self.attempted(facts);
        let message = facts.message();
        let broken = !facts.failures.is_empty() || !facts.problems.is_empty();
        let reason = match facts.guard_line() {
            Some(held) => {
                self.set(DELETION_GUARD, ConditionStatus::True, DELETION_HELD, &held);
                if broken { reasons::RECONCILIATION_FAILED } else { DELETION_HELD }
            }
            None => {
                self.clear(DELETION_GUARD);
                reasons::RECONCILIATION_FAILED
            }
        };
        self.not_ready(reason, &message);
        self.remember(facts, reason, took);
    }

    fn attempted(&mut self, facts: &Facts) {
        self.clear(TARGET_IDENTITY);
        self.status.last_attempted_revision = Some(facts.revision.clone());
        self.status.inventory = Some(inventory_form(&facts.inventory));
        if facts.unwatched.is_empty() {
            self.clear(DRIFT_BY_INTERVAL);
        } else {
            let lines = facts.unwatched.join("; ");
            let message = format!("changes by others are noticed at the interval only: {lines}");
            self.set(DRIFT_BY_INTERVAL, ConditionStatus::True, "NotWatched", &message);
        }
        if facts.workloads.is_empty() {
            self.clear(WORKLOADS_NOT_RUN);
        } else {
            let kinds = facts.workloads.join(", ");
            let message = format!("stored here, but the embedded server runs nothing: {kinds}");
            self.set(WORKLOADS_NOT_RUN, ConditionStatus::True, "NoNodes", &message);
        }
    }

    /// Adds the run to the history where it says something that the newest entry does not; a
    /// steady system writes nothing.
    fn remember(&mut self, facts: &Facts, reason: &str, took: Duration) {
        let digest = facts.rendered.to_string();
        let newest = self.status.history.first();
        let same = newest.is_some_and(|newest| {
            newest.digest == digest
                && newest.last_reconciled_status == reason
                && newest.metadata.get("revision") == Some(&facts.revision)
        });
        if same && facts.changes.is_empty() {
            return;
        }
        let snapshot = Snapshot {
            digest,
            first_reconciled: Time(self.now),
            last_reconciled: Time(self.now),
            last_reconciled_duration: Interval::from(took).to_string(),
            last_reconciled_status: reason.to_owned(),
            total_reconciliations: 1,
            metadata: [("revision".to_owned(), facts.revision.clone())].into(),
        };
        record(&mut self.status.history, snapshot);
    }
}

/// Names the fields that are accepted and not acted on.
pub fn note_fields(
    status: &mut KustomizationStatus,
    fields: &[&str],
    generation: Option<i64>,
    now: Timestamp,
) {
    let mut write = Writer { status, generation, now };
    if fields.is_empty() {
        write.clear(FIELDS_IGNORED);
    } else {
        let message = format!("accepted but not acted on yet: {}", fields.join(", "));
        write.set(FIELDS_IGNORED, ConditionStatus::True, "UnsupportedField", &message);
    }
}
