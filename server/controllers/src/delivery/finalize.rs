//! Takes down what a delivery put there, when the delivery itself is deleted.

use fixpoint_api_types::kustomization::DeletionPolicy;
use fixpoint_base::Key;
use fixpoint_plan::{DesiredSet, Plan, Policy, Verb, plan};

use super::reconcile::Run;
use super::scene::engine_owned;
use super::{Kept, inventory, owner};
use crate::looper::Next;
use crate::world::Kind;

/// Deletes what the inventory names, then lets the delivery go.
///
/// A suspended delivery, one that does not prune, and one that orphans leave everything where it
/// is, as Flux does.
pub async fn finalize(run: &Run<'_>, kept: &mut Kept) -> Option<Next> {
    let spec = &run.delivery.spec;
    let prunes = match spec.deletion_policy {
        None | Some(DeletionPolicy::MirrorPrune) => spec.prune,
        Some(DeletionPolicy::Delete | DeletionPolicy::WaitForTermination) => true,
        Some(DeletionPolicy::Orphan) => false,
    };
    if prunes
        && !spec.suspend
        && let Err(wait) = take_down(run, kept).await
    {
        let pause = run.ctx.failed(Kind::Delivery, run.name);
        return Some(Next::Retry(pause, wait));
    }
    run.ctx.drift.forget(run.name);
    match crate::let_go(run.ctx, Kind::Delivery, run.name, run.object).await {
        Ok(()) => {
            run.ctx.succeeded(Kind::Delivery, run.name);
            run.ctx.memories.forget(run.name);
            run.ctx.wanted.forget(run.name);
            None
        }
        Err(err) => Some(crate::unreadable(run.ctx, Kind::Delivery, run.name, &err)),
    }
}

/// Says what is still there, if anything is.
async fn take_down(run: &Run<'_>, kept: &mut Kept) -> Result<(), String> {
    let inventory = inventory(&run.delivery.status.clone().unwrap_or_default());
    let inventory = run.settled(inventory).await.map_err(|said| said.message().to_owned())?;
    if inventory.is_empty() {
        return Ok(());
    }
    let desired = DesiredSet::default();
    let live = run.observe(&desired, &inventory).await;
    let policy = Policy { finalizing: true, engine: engine_owned(), ..Policy::default() };
    let plan = plan(&owner(run.name), &desired, &live, &inventory, &policy, &kept.memory);
    if plan.count(Verb::Delete) > 0 {
        let report = run
            .carry_out(&plan, &desired, None, &inventory, None)
            .await
            .map_err(|said| said.message().to_owned())?;
        if !report.is_complete() {
            let failed: Vec<String> = report
                .failures()
                .map(|(key, failure)| format!("{key}: {}", failure.error))
                .collect();
            return Err(failed.join("; "));
        }
    }
    match unreadable(&plan).as_slice() {
        [] => Ok(()),
        unread => Err(unread.join("; ")),
    }
}

/// What could not be asked for cannot be said to be gone.
fn unreadable(plan: &Plan) -> Vec<String> {
    let unread = |(key, hold): (&Key, &fixpoint_plan::Hold)| match hold {
        fixpoint_plan::Hold::Unreadable { reason } => Some(format!("{key}: {reason}")),
        _ => None,
    };
    plan.left.iter().filter_map(unread).collect()
}
