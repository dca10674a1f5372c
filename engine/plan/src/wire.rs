//! The JSON form of a plan, for those who read it elsewhere. A form of its own: the plan itself
//! may change without it.

use serde::{Deserialize, Serialize};

use crate::guard::Guard;
use crate::plan::{Plan, Step, Verb};

/// The version of this form.
pub const VERSION: u32 = 1;

/// A plan as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanForm {
    /// Version of this form.
    pub version: u32,
    /// The plan's id.
    pub id: String,
    /// `Kind/namespace/name` of the delivery.
    pub owner: String,
    /// The revision that it brings about.
    pub revision: String,
    /// What it was computed from.
    pub basis: String,
    /// What it does, in order.
    pub steps: Vec<StepForm>,
    /// What it leaves alone.
    pub left: Vec<HoldForm>,
    /// The deletion that waits for somebody to agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardForm>,
}

/// One step as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepForm {
    /// `create`, `apply`, `replace` or `delete`.
    pub verb: String,
    /// The object's `apiVersion`.
    pub api_version: String,
    /// `Kind/namespace/name`.
    pub object: String,
    /// Why it is done.
    pub why: String,
}

/// One hold as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldForm {
    /// The object's `apiVersion`.
    pub api_version: String,
    /// `Kind/namespace/name`.
    pub object: String,
    /// The hold's name, such as `UpToDate`.
    pub hold: String,
    /// The hold in words.
    pub why: String,
}

/// A guard as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardForm {
    /// What to acknowledge.
    pub id: String,
    /// How many objects would go.
    pub count: usize,
    /// Why that waits.
    pub reasons: Vec<String>,
}

impl From<&Plan> for PlanForm {
    fn from(plan: &Plan) -> Self {
        let Plan { owner, revision, basis, steps, left, guard } = plan;
        Self {
            version: VERSION,
            id: plan.id().to_string(),
            owner: owner.to_string(),
            revision: revision.clone(),
            basis: basis.to_string(),
            steps: steps.iter().map(StepForm::from).collect(),
            left: left
                .iter()
                .map(|(key, hold)| HoldForm {
                    api_version: key.gvk.api_version(),
                    object: key.to_string(),
                    hold: hold.name().to_owned(),
                    why: hold.to_string(),
                })
                .collect(),
            guard: guard.as_ref().map(GuardForm::from),
        }
    }
}

impl From<&Step> for StepForm {
    fn from(step: &Step) -> Self {
        let verb = match step.verb {
            Verb::Create => "create",
            Verb::Apply => "apply",
            Verb::Replace => "replace",
            Verb::Delete => "delete",
        };
        Self {
            verb: verb.to_owned(),
            api_version: step.key.gvk.api_version(),
            object: step.key.to_string(),
            why: step.why.to_string(),
        }
    }
}

impl From<&Guard> for GuardForm {
    fn from(guard: &Guard) -> Self {
        let Guard { id, reasons, count } = guard;
        Self {
            id: id.clone(),
            count: *count,
            reasons: reasons.iter().map(ToString::to_string).collect(),
        }
    }
}
