//! What a run says, and what that makes of the status. Pure.

use fixpoint_api_types::condition::{self, Condition, ConditionStatus};
use fixpoint_api_types::names::{conditions, reasons};
use fixpoint_api_types::{Artifact, GitRepositoryStatus};
use fixpoint_base::{Chain, Classified};
use fixpoint_driver_store::Stored;
use fixpoint_source::verdict::{Verdict, Violation};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::verification::{self, Refused, Verified};

/// What one run has to say.
#[derive(Debug)]
pub enum Said {
    /// The store says what is stored already.
    Same {
        /// Who signed it.
        signed: Option<Box<Verified>>,
    },
    /// A version was accepted and stored.
    Stored {
        /// What is stored.
        artifact: Box<Artifact>,
        /// What the version meant.
        verdict: Verdict,
        /// What is wrong with it, under a policy that only warns.
        warning: Option<Box<Violation>>,
        /// What was copied in.
        included: Vec<Artifact>,
        /// Who signed it.
        signed: Option<Box<Verified>>,
    },
    /// The version is not signed as it has to be; the last good one stays.
    Unverified {
        /// Why.
        refused: Box<Refused>,
    },
    /// The last good version stays until somebody answers.
    Held {
        /// What the store did.
        violation: Box<Violation>,
        /// Why the answer that somebody gave is not taken.
        unproven: Option<String>,
        /// Who signed it all the same.
        signed: Option<Box<Verified>>,
    },
    /// What is included cannot be had yet; the last good version stays.
    Unavailable {
        /// One word.
        reason: &'static str,
        /// One sentence.
        message: String,
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
    },
}

impl Said {
    /// Fields that would change what is delivered, were they acted on, refuse the source.
    pub fn unsupported(fields: &[&str]) -> Self {
        let plural = if fields.len() == 1 { "is" } else { "are" };
        Self::Stalled {
            reason: "UnsupportedField",
            message: format!("{} {plural} not supported yet; remove to go on", fields.join(", ")),
        }
    }

    /// Who signed the version that was looked at.
    fn signed(&self) -> Option<&Verified> {
        match self {
            Self::Same { signed } | Self::Stored { signed, .. } | Self::Held { signed, .. } => {
                signed.as_deref()
            }
            Self::Unverified { .. }
            | Self::Unavailable { .. }
            | Self::Failed { .. }
            | Self::Stalled { .. } => None,
        }
    }

    /// An error in what is declared.
    pub fn stalled(reason: &'static str, err: &impl Classified) -> Self {
        let mut message = Chain(err).to_string();
        if let Some(hint) = err.hint() {
            message = format!("{message} ({hint})");
        }
        Self::Stalled { reason, message }
    }
}

/// What is held, and why the answer that was given does not count.
pub fn held(violation: &Violation, unproven: Option<&str>) -> String {
    match unproven {
        Some(why) => format!("{}; {why}", violation.held()),
        None => violation.held(),
    }
}

/// Describes a stored version as clients read it.
pub fn artifact(stored: &Stored, base: &str, revision: &str, now: Timestamp) -> Artifact {
    Artifact {
        path: stored.path.clone(),
        url: format!("{base}/{}", stored.path),
        revision: revision.to_owned(),
        digest: stored.digest.to_string(),
        last_update_time: Time(now),
        size: i64::try_from(stored.size).ok(),
        metadata: Default::default(),
    }
}

/// The status after a run; equal to the one before where the run says nothing new. `known` is
/// whether anything was accepted, `verifies` whether signatures are required.
pub fn after(
    mut status: GitRepositoryStatus,
    said: &Said,
    generation: Option<i64>,
    now: Timestamp,
    known: bool,
    verifies: bool,
) -> GitRepositoryStatus {
    let all = &mut status.conditions;
    let set = |all: &mut Vec<Condition>, kind, truth, reason: &str, message: &str| {
        let new = Condition::new(kind, truth, reason, message, generation, Time(now));
        condition::set(all, new);
    };
    match said {
        Said::Same { .. } | Said::Stored { .. } => {
            if let Said::Stored { artifact, .. } = said {
                status.artifact = Some((**artifact).clone());
            }
            let revision = status.artifact.as_ref().map_or("", |artifact| &artifact.revision);
            let message = format!("stored artifact for revision '{revision}'");
            for kind in [conditions::READY, conditions::ARTIFACT_IN_STORAGE] {
                set(all, kind, ConditionStatus::True, reasons::SUCCEEDED, &message);
            }
            match said {
                Said::Stored { warning: Some(warning), .. } => {
                    let reason = reasons::GIT_SEMANTICS_VIOLATION;
                    set(
                        all,
                        conditions::GIT_SEMANTICS,
                        ConditionStatus::True,
                        reason,
                        &warning.warned(),
                    );
                }
                Said::Stored { verdict, warning: None, .. } => {
                    let (reason, message) = match verdict.is_honest() {
                        true => (
                            "HistoryKept",
                            format!("history is kept; the last verdict is {verdict}"),
                        ),
                        false => (
                            "ViolationAccepted",
                            format!("the last verdict is {verdict}, and it is accepted"),
                        ),
                    };
                    set(all, conditions::GIT_SEMANTICS, ConditionStatus::True, reason, &message);
                }
                // A held store that went back to what was accepted is honest again.
                _ if condition::find(all, conditions::GIT_SEMANTICS)
                    .is_none_or(|held| !held.is_true()) =>
                {
                    let message = "history is kept; the last verdict is same";
                    set(
                        all,
                        conditions::GIT_SEMANTICS,
                        ConditionStatus::True,
                        "HistoryKept",
                        message,
                    );
                }
                _ => {}
            }
            clear(all, &[conditions::RECONCILING, conditions::STALLED]);
            clear(all, &[conditions::FETCH_FAILED, conditions::ARTIFACT_OUTDATED]);
            status.observed_generation = generation;
        }
        Said::Held { violation, unproven, signed: _ } => {
            let reason = reasons::GIT_SEMANTICS_VIOLATION;
            let message = held(violation, unproven.as_deref());
            let message = format!("{message} [ack {}]", violation.id);
            for kind in [conditions::READY, conditions::GIT_SEMANTICS] {
                set(all, kind, ConditionStatus::False, reason, &message);
            }
            clear(all, &[conditions::RECONCILING, conditions::STALLED, conditions::FETCH_FAILED]);
            status.observed_generation = generation;
        }
        Said::Unverified { refused } => {
            let Refused { reason, message, stalled, .. } = &**refused;
            for kind in [conditions::READY, conditions::SOURCE_VERIFIED] {
                set(all, kind, ConditionStatus::False, reason, message);
            }
            clear(all, &[conditions::FETCH_FAILED]);
            if *stalled {
                clear(all, &[conditions::RECONCILING]);
                set(all, conditions::STALLED, ConditionStatus::True, reason, message);
                status.observed_generation = generation;
            } else {
                clear(all, &[conditions::STALLED]);
                let retry = reasons::PROGRESSING_WITH_RETRY;
                set(all, conditions::RECONCILING, ConditionStatus::True, retry, message);
            }
            // What was held before is not what is refused now.
            if condition::find(all, conditions::GIT_SEMANTICS).is_some_and(|held| !held.is_true()) {
                clear(all, &[conditions::GIT_SEMANTICS]);
            }
        }
        Said::Unavailable { reason, message } => {
            set(all, conditions::READY, ConditionStatus::False, reason, message);
            set(all, conditions::INCLUDE_UNAVAILABLE, ConditionStatus::True, reason, message);
            let waits = reasons::PROGRESSING_WITH_RETRY;
            set(all, conditions::RECONCILING, ConditionStatus::True, waits, message);
            clear(all, &[conditions::STALLED, conditions::FETCH_FAILED]);
        }
        Said::Failed { reason, message } => {
            set(all, conditions::READY, ConditionStatus::False, reason, message);
            match *reason {
                reasons::GIT_OPERATION_FAILED | reasons::AUTHENTICATION_FAILED => {
                    set(all, conditions::FETCH_FAILED, ConditionStatus::True, reason, message);
                }
                _ => clear(all, &[conditions::FETCH_FAILED]),
            }
            if matches!(*reason, reasons::ARCHIVE_OPERATION_FAILED | reasons::COPY_FAILURE) {
                let storage = conditions::STORAGE_OPERATION_FAILED;
                set(all, storage, ConditionStatus::True, reason, message);
            }
            let retry = reasons::PROGRESSING_WITH_RETRY;
            set(all, conditions::RECONCILING, ConditionStatus::True, retry, message);
            clear(all, &[conditions::STALLED]);
        }
        Said::Stalled { reason, message } => {
            set(all, conditions::READY, ConditionStatus::False, reason, message);
            set(all, conditions::STALLED, ConditionStatus::True, reason, message);
            clear(all, &[conditions::RECONCILING, conditions::FETCH_FAILED]);
            status.observed_generation = generation;
        }
    }
    if let Some(Verified { mode, message, .. }) = said.signed() {
        let verified = conditions::SOURCE_VERIFIED;
        set(all, verified, ConditionStatus::True, reasons::SUCCEEDED, message);
        status.source_verification_mode = Some(verification::word(*mode).to_owned());
    }
    // What an earlier state or an earlier declaration left behind goes.
    let unchecked = !matches!(said, Said::Unverified { .. })
        && condition::find(all, conditions::SOURCE_VERIFIED)
            .is_some_and(|verified| verified.observed_generation != generation);
    if !verifies || unchecked {
        clear(all, &[conditions::SOURCE_VERIFIED]);
    }
    if !verifies {
        status.source_verification_mode = None;
    }
    if !matches!(said, Said::Unavailable { .. }) {
        clear(all, &[conditions::INCLUDE_UNAVAILABLE]);
    }
    let storage_failed = matches!(
        said,
        Said::Failed { reason: reasons::ARCHIVE_OPERATION_FAILED | reasons::COPY_FAILURE, .. }
    );
    if !storage_failed {
        clear(all, &[conditions::STORAGE_OPERATION_FAILED]);
    }
    let outdated = condition::find(all, conditions::GIT_SEMANTICS)
        .is_some_and(|held| !held.is_true() && held.observed_generation != generation);
    if outdated {
        clear(all, &[conditions::GIT_SEMANTICS]);
    }
    // Before anything was accepted there is no history to keep.
    if !known && !matches!(said, Said::Held { .. }) {
        clear(all, &[conditions::GIT_SEMANTICS]);
    }
    status
}

fn clear(all: &mut Vec<Condition>, kinds: &[&str]) {
    for kind in kinds {
        condition::remove(all, kind);
    }
}
