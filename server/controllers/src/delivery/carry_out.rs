//! The async half of apply: walks a plan against a target. Decides nothing.

use std::time::Duration;

use fixpoint_apply::{Done, Failure, Pace, Report, Run, Walk};
use fixpoint_driver_kube::{KubeTarget, TargetError};
use fixpoint_ledger::Permit;
use fixpoint_plan::{DesiredSet, Plan};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use serde_json::Value;
use tokio::time::Instant;

use crate::fence::Fence;

/// One quick second try within a run, for a conflict or a connection that broke. What needs longer
/// ends the run, so that the status tells, and the next run comes with the delivery's back-off.
const PACE: Pace = Pace {
    width: 8,
    attempts: 2,
    first_pause: Duration::from_millis(250),
    longest_pause: Duration::from_secs(30),
    deadline: None,
};

type Flying<'a> = FuturesUnordered<BoxFuture<'a, (usize, Result<Done, Failure>)>>;

/// Carries a plan out under its permit and tells what became of every step. A step is taken only
/// while the fence lets it.
pub async fn carry_out(
    target: &KubeTarget,
    fence: &Fence,
    permit: &Permit,
    plan: &Plan,
    desired: &DesiredSet,
    timeout: Duration,
) -> Report {
    let began = Instant::now();
    let mut run = Run::new(plan, Pace { deadline: Some(timeout), ..PACE });
    let mut flying = Flying::new();
    loop {
        match run.next(began.elapsed()) {
            Walk::Do(at) => {
                flying.push(Box::pin(perform(target, fence, permit, plan, desired, at)));
            }
            Walk::InFlight => land(&mut run, &mut flying, began).await,
            Walk::Wait(pause) if flying.is_empty() => tokio::time::sleep(pause).await,
            // Both arms are cancel-safe: what is in flight stays in the set.
            Walk::Wait(pause) => tokio::select! {
                () = land(&mut run, &mut flying, began) => {}
                () = tokio::time::sleep(pause) => {}
            },
            Walk::Finished => return run.report(),
        }
    }
}

async fn land(run: &mut Run, flying: &mut Flying<'_>, began: Instant) {
    if let Some((at, outcome)) = flying.next().await {
        run.record(at, outcome, began.elapsed());
    }
}

async fn perform(
    target: &KubeTarget,
    fence: &Fence,
    permit: &Permit,
    plan: &Plan,
    desired: &DesiredSet,
    at: usize,
) -> (usize, Result<Done, Failure>) {
    if let Err(err) = fence.check() {
        return (at, Err(Failure::of(&err, None)));
    }
    let step = &plan.steps[at];
    let wanted = step.desired.and_then(|place| desired.at(place));
    let object = wanted.map_or(&Value::Null, |wanted| &wanted.object);
    (at, target.perform(permit, step, object).await.map_err(|err| failure(&err)))
}

fn failure(err: &TargetError) -> Failure {
    Failure::of(err, err.retry_after())
}
