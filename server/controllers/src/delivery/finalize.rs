//! Takes down what a delivery put there, when the delivery itself is deleted.

use fixpoint_api_types::kustomization::DeletionPolicy;
use fixpoint_api_types::names::{managers, reasons};
use fixpoint_base::Key;
use fixpoint_plan::{DesiredSet, Inventory, Plan, Policy, Verb, plan};
use serde_json::Value;
use tokio::time::Instant;

use super::reconcile::Run;
use super::status::Said;
use super::target::NoTarget;
use super::{Kept, inventory, owner};
use crate::looper::Next;
use crate::targets::Target;
use crate::world::Kind;

/// How a delivery goes whose target does not come back.
const LET_GO: &str = "to let it go and leave its objects, set spec.deletionPolicy to Orphan";

/// Deletes what the inventory names, then lets the delivery go.
///
/// A suspended delivery, one that does not prune, and one that orphans leave everything where it
/// is, as Flux does. So does one whose kubeconfig is gone: nothing leads there any more, and a
/// namespace that is deleted takes Secret and delivery together.
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
        return Some(explain(run, wait).await);
    }
    match crate::let_go(run.ctx, Kind::Delivery, run.name, run.object).await {
        Ok(()) => {
            run.ctx.succeeded(Kind::Delivery, run.name);
            run.ctx.targets.forget(run.name);
            run.ctx.memories.forget(run.name);
            run.ctx.wanted.forget(run.name);
            None
        }
        Err(err) => Some(crate::unreadable(run.ctx, Kind::Delivery, run.name, &err)),
    }
}

/// Says in the status why the delivery is still there, and tries again.
async fn explain(run: &Run<'_>, wait: Said) -> Next {
    let message = wait.message().to_owned();
    let old: &Value = &run.object["status"];
    let status = run.status(old, &wait, Instant::now().elapsed());
    let manager = managers::KUSTOMIZE_STATUS;
    let client = &run.ctx.client;
    let written =
        crate::status::write(client, Kind::Delivery, run.name, manager, old, &status).await;
    match written {
        Ok(_) => Next::Retry(run.ctx.failed(Kind::Delivery, run.name), message),
        Err(err) => crate::unreadable(run.ctx, Kind::Delivery, run.name, &err),
    }
}

/// Says what is still there, if anything is.
async fn take_down(run: &Run<'_>, kept: &mut Kept) -> Result<(), Said> {
    let recorded = inventory(&run.status_before());
    if recorded.is_empty() {
        return Ok(());
    }
    let target = match run.target().await {
        Ok(target) => target,
        Err(NoTarget::NoSecret { secret }) => {
            run.leave(recorded.len(), &format!("Secret {secret} does not exist any more")).await;
            return Ok(());
        }
        Err(NoTarget::Said(said)) => return Err(said.with_note(LET_GO)),
    };
    kept.goes_to(&target.name);
    let inventory = run.settled(&target, run.inventory_at(&target)).await?;
    if inventory.is_empty() {
        run.leave(recorded.len(), "the delivery names another target now").await;
        return Ok(());
    }
    delete(run, &target, &inventory, kept).await
}

/// Deletes what the inventory names at the target.
async fn delete(
    run: &Run<'_>,
    target: &Target,
    inventory: &Inventory,
    kept: &mut Kept,
) -> Result<(), Said> {
    let desired = DesiredSet::default();
    let live = run.observe(target, &desired, inventory).await;
    let engine = run.engine_owned(target);
    let policy = Policy { finalizing: true, engine, ..Policy::default() };
    let plan = plan(&owner(run.name), &desired, &live, inventory, &policy, &kept.memory);
    if plan.count(Verb::Delete) > 0 {
        let report = run.carry_out(target, &plan, &desired, None, inventory, None).await?;
        if !report.is_complete() {
            let failed: Vec<String> = report
                .failures()
                .map(|(key, failure)| format!("{key}: {}", failure.error))
                .collect();
            return Err(prune_failed(failed));
        }
    }
    match unreadable(&plan) {
        unread if unread.is_empty() => Ok(()),
        unread => Err(prune_failed(unread)),
    }
}

fn prune_failed(what: Vec<String>) -> Said {
    Said::Failed { reason: reasons::PRUNE_FAILED, message: what.join("; ") }
}

/// What could not be asked for cannot be said to be gone.
fn unreadable(plan: &Plan) -> Vec<String> {
    let unread = |(key, hold): (&Key, &fixpoint_plan::Hold)| match hold {
        fixpoint_plan::Hold::Unreadable { reason } => Some(format!("{key}: {reason}")),
        _ => None,
    };
    plan.left.iter().filter_map(unread).collect()
}
