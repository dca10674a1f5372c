//! One run for one delivery.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fixpoint_api_types::names::{annotations, managers, reasons};
use fixpoint_api_types::{Kustomization, KustomizationStatus, unsupported_fields};
use fixpoint_base::{Classified as _, Digest, Key, object};
use fixpoint_plan::{DesiredSet, Hold, Inventory, Plan};
use serde_json::Value;
use tokio::time::Instant;

use super::carry_out::carry_out;
use super::health::{self, Checked};
use super::scene::Scene;
use super::status::{self, Facts, Said};
use super::{Kept, finalize};
use crate::context::{Context, jittered};
use crate::events::Severity;
use crate::looper::{Named, Next};
use crate::record::Acknowledged;
use crate::stage::{Stage, StageName};
use crate::targets::Target;
use crate::world::Kind;

/// Brings one target to what a delivery says, or records why it could not.
///
/// Takes no event: it reads the whole state each time, so a missed or doubled wake-up changes
/// nothing. Safe to run again at any point, including half way through.
pub async fn reconcile(ctx: Arc<Context>, name: Named) -> Option<Next> {
    let object = match crate::read(&ctx, Kind::Delivery, &name).await {
        Ok(Some(object)) => object,
        Ok(None) => {
            ctx.memories.forget(&name);
            ctx.wanted.forget(&name);
            ctx.targets.forget(&name);
            return None;
        }
        Err(err) => return Some(crate::unreadable(&ctx, Kind::Delivery, &name, &err)),
    };
    let old = object["status"].clone();
    let delivery: Kustomization = match serde_json::from_value(object.clone()) {
        Ok(delivery) => delivery,
        Err(err) => {
            return Some(crate::malformed(&ctx, Kind::Delivery, &name, &object, &err).await);
        }
    };
    let kept = ctx.memories.of(&name);
    let mut kept = kept.lock().await;
    let run = Run { ctx: &ctx, name: &name, object: &object, delivery: &delivery };
    if delivery.metadata.deletion_timestamp.is_some() {
        return finalize::finalize(&run, &mut kept).await;
    }
    if delivery.spec.suspend {
        return Some(Next::Never("it is suspended".to_owned()));
    }
    if let Err(err) = crate::hold_on(&ctx, Kind::Delivery, &name, &object).await {
        return Some(crate::unreadable(&ctx, Kind::Delivery, &name, &err));
    }
    let began = Instant::now();
    let said = run.deliver(&mut kept).await.unwrap_or_else(|said| said);
    let status = run.status(&old, &said, began.elapsed());
    let written = crate::status::write(
        &ctx.client,
        Kind::Delivery,
        &name,
        managers::KUSTOMIZE_STATUS,
        &old,
        &status,
    );
    match written.await {
        Ok(_) => {
            run.announce(&mut kept, &said).await;
            // Only now, with the inventory written, is what they take over free.
            for other in kept.handed_to.drain(..) {
                ctx.world.waker(Kind::Delivery).wake(other);
            }
            if std::mem::take(&mut kept.news) {
                ctx.world.wake_dependents(Kind::Delivery, &name);
            }
            Some(run.next(&said))
        }
        Err(err) => Some(crate::unreadable(&ctx, Kind::Delivery, &name, &err)),
    }
}

/// What the next run would do, without doing it: the plan, and what it was made from.
///
/// # Errors
/// When the delivery cannot be planned: it says so as its status would.
pub async fn preview(ctx: &Arc<Context>, name: &Named) -> Result<Option<Preview>, String> {
    let read = crate::read(ctx, Kind::Delivery, name).await.map_err(|err| err.to_string())?;
    let Some(object) = read else { return Ok(None) };
    let delivery: Kustomization =
        serde_json::from_value(object.clone()).map_err(|err| err.to_string())?;
    let kept = ctx.memories.of(name);
    let mut kept = kept.lock().await;
    let run = Run { ctx, name, object: &object, delivery: &delivery };
    let scene = run.scene(&mut kept).await.map_err(|said| said.message().to_owned())?;
    let plan = run.plan(&scene, &kept);
    Ok(Some(Preview { plan, desired: scene.rendered.desired, target: scene.target }))
}

/// A plan that is not carried out.
pub struct Preview {
    /// What would be done.
    pub plan: Plan,
    /// The objects that its steps refer to.
    pub desired: Arc<DesiredSet>,
    /// Where it would be done.
    pub target: Arc<Target>,
}

pub(super) struct Run<'a> {
    pub ctx: &'a Arc<Context>,
    pub name: &'a Named,
    pub object: &'a Value,
    pub delivery: &'a Kustomization,
}

impl Run<'_> {
    pub fn subject(&self) -> String {
        format!("Kustomization/{}", self.name)
    }

    /// Read, decide, do, report.
    async fn deliver(&self, kept: &mut Kept) -> Result<Said, Said> {
        let scene = self.scene(kept).await?;
        let plan = self.plan(&scene, kept);
        scene.target.kube.found_right(&plan, &scene.live);
        let report = self.apply(&scene, &plan, kept).await?;
        if scene.left_behind > 0 {
            self.leave(scene.left_behind, "the delivery goes to another target now").await;
        }
        kept.handed_to = plan.left.values().filter_map(handed_to).collect();
        let left = plan.unfinished().map(|(key, hold)| format!("{key}: {hold}")).collect();
        self.ctx.memories.leave(self.name, left);
        let after = report.inventory(&plan, &scene.inventory);
        scene.target.drift.watch(self.name, after.keys().collect());

        let facts = Facts {
            revision: scene.revision.clone(),
            rendered: scene.rendered.desired.digest(),
            inventory: after,
            problems: scene.rendered.problems.iter().map(problem_line).collect(),
            failures: report.failures().map(|(key, failure)| failure_line(key, failure)).collect(),
            unfinished: status::unfinished(&plan),
            guard: plan.guard.clone(),
            unproven: scene.unproven.clone(),
            changes: report.changes(),
            transient: report.is_transient(),
            workloads: self.workloads_not_run(&scene),
            unwatched: scene.target.drift.unwatched(self.name),
        };
        if !facts.is_clean() {
            return Ok(Said::Partly(Box::new(facts)));
        }
        kept.news |= self.ctx.wanted.applied(self.name, &scene.artifact);
        let checked = self.health(&scene, kept).await;
        Ok(Said::Applied { facts: Box::new(facts), checked })
    }

    /// Carries the plan out: the inventory is widened before, so that a crash orphans nothing,
    /// and the intent is on record before the first change.
    async fn apply(
        &self,
        scene: &Scene,
        plan: &Plan,
        kept: &mut Kept,
    ) -> Result<fixpoint_apply::Report, Said> {
        if plan.is_empty() {
            return Ok(fixpoint_apply::Report::default());
        }
        let began = Instant::now();
        self.tell(StageName::Planned, &summary(plan), Duration::ZERO, true);
        self.widen_inventory(scene, plan).await?;
        let approval =
            scene.approval.clone().filter(|_| plan.count(fixpoint_plan::Verb::Delete) > 0);
        let Scene { target, rendered, inventory, .. } = scene;
        let report = self
            .carry_out(target, plan, &rendered.desired, Some(rendered.index), inventory, approval)
            .await?;
        report.remember(&scene.rendered.desired, &mut kept.memory);
        let counts = report.counts();
        let detail = status::counts_line(&counts);
        self.tell(
            StageName::Applied,
            &detail,
            began.elapsed(),
            counts.failed + counts.skipped == 0,
        );
        self.ctx.metrics.applied(&counts);
        Ok(report)
    }

    /// Puts the intent on record, walks the plan, and puts what came of it on record.
    pub async fn carry_out(
        &self,
        target: &Target,
        plan: &Plan,
        desired: &DesiredSet,
        render: Option<u64>,
        inventory: &Inventory,
        approval: Option<Acknowledged>,
    ) -> Result<fixpoint_apply::Report, Said> {
        self.check_still_there(target).await?;
        let fence = &self.ctx.fence;
        fence.check().map_err(|err| Said::failed(reasons::RECONCILIATION_FAILED, &err))?;
        let ledger = |err| Said::failed("LedgerFailed", &err);
        let record = &self.ctx.record;
        let subject = self.subject();
        let now = self.ctx.now();
        let intended = record
            .intend(&subject, target.place(), plan, desired, render, inventory, approval, now)
            .await
            .map_err(ledger)?;
        let timeout = self.delivery.spec.run_timeout().unwrap_or(Duration::from_secs(300));
        let report = carry_out(&target.kube, fence, &intended.permit, plan, desired, timeout).await;
        let after = report.inventory(plan, inventory);
        let now = self.ctx.now();
        record.outcome(&subject, &intended, plan, &report, &after, now).await.map_err(ledger)?;
        Ok(report)
    }

    async fn widen_inventory(&self, scene: &Scene, plan: &Plan) -> Result<(), Said> {
        let mut wide = scene.inventory.clone();
        for step in plan.steps.iter().filter(|step| step.desired.is_some()) {
            wide.insert(&step.key);
        }
        if wide.len() == scene.inventory.len() {
            return Ok(());
        }
        let before = self.status_before();
        let widened = KustomizationStatus {
            inventory: Some(status::inventory_form(&wide)),
            ..before.clone()
        };
        let old = serde_json::to_value(&before).unwrap_or_default();
        crate::status::write(
            &self.ctx.client,
            Kind::Delivery,
            self.name,
            managers::KUSTOMIZE_STATUS,
            &old,
            &widened,
        )
        .await
        .map(|_| ())
        .map_err(|err| Said::failed(reasons::RECONCILIATION_FAILED, &err))
    }

    /// Asks for health where the delivery wants it, and how long it has waited already.
    async fn health(&self, scene: &Scene, kept: &mut Kept) -> Checked {
        let desired = &scene.rendered.desired;
        let subjects = health::subjects(&self.delivery.spec, &self.name.namespace, desired);
        let began = Instant::now();
        let checked = health::check(&scene.target.kube, &subjects).await;
        let round =
            Digest::of_parts([desired.digest().as_bytes().as_slice(), scene.revision.as_bytes()]);
        match &checked {
            Checked::NotAsked => {
                self.tell_once(kept, round, "nothing to check".to_owned(), began, true);
                Checked::NotAsked
            }
            Checked::Well(count) => {
                kept.waiting = None;
                self.tell_once(kept, round, format!("{count} objects"), began, true);
                checked
            }
            Checked::Failed(_) => checked,
            Checked::Waiting(what) => {
                let since = match kept.waiting {
                    Some((of, since)) if of == round => since,
                    _ => {
                        kept.waiting = Some((round, began));
                        began
                    }
                };
                let timeout = self.delivery.spec.run_timeout().unwrap_or(Duration::from_secs(300));
                if since.elapsed() < timeout {
                    return checked;
                }
                Checked::Failed(vec![format!(
                    "timeout after {} s waiting for: {}",
                    timeout.as_secs(),
                    what.join("; ")
                )])
            }
        }
    }

    /// Tells that objects stay where they were applied.
    pub async fn leave(&self, count: usize, why: &str) {
        let what = match count {
            1 => "1 object is left where it was".to_owned(),
            count => format!("{count} objects are left where they were"),
        };
        let message = format!("{what} applied: {why}");
        tracing::warn!(delivery = %self.name, count, why, "objects are left behind");
        let reason = status::OBJECTS_LEFT;
        self.ctx.event(Kind::Delivery, self.object, Severity::Warning, reason, &message).await;
    }

    fn workloads_not_run(&self, scene: &Scene) -> Vec<String> {
        let run = self.ctx.targets.runs_workloads(&scene.target);
        if run { Vec::new() } else { workloads(&scene.rendered.desired) }
    }

    fn tell_once(&self, kept: &mut Kept, round: Digest, detail: String, began: Instant, ok: bool) {
        if kept.told != Some(round) {
            kept.told = Some(round);
            self.tell(StageName::Healthy, &detail, began.elapsed(), ok);
        }
    }

    pub fn tell(&self, name: StageName, detail: &str, took: Duration, ok: bool) {
        let (subject, detail) = (self.subject(), detail.to_owned());
        self.ctx.stages.tell(Stage { subject, name, detail, took, ok });
    }

    pub fn status(&self, old: &Value, said: &Said, took: Duration) -> KustomizationStatus {
        let before: KustomizationStatus = serde_json::from_value(old.clone()).unwrap_or_default();
        let generation = self.delivery.metadata.generation;
        let noted: Vec<&str> = unsupported_fields(&self.delivery.spec)
            .into_iter()
            .filter(|field| status::NOTED_FIELDS.contains(field))
            .collect();
        let mut status = status::after(before, said, generation, took, self.ctx.now());
        status::note_fields(&mut status, &noted, generation, self.ctx.now());
        if let Some(requested) =
            object::annotation(self.object, annotations::RECONCILE_REQUESTED_AT)
        {
            status.last_handled_reconcile_at = Some(requested.to_owned());
        }
        status
    }

    fn next(&self, said: &Said) -> Next {
        let spec = &self.delivery.spec;
        let interval = spec.interval.duration().unwrap_or(Duration::from_secs(60));
        let retry = spec.retry_after().unwrap_or(interval);
        match said {
            Said::Applied { checked: Checked::Waiting(what), .. } => {
                // The drift watches wake us sooner where they see the change.
                Next::Wait(HEALTH_POLL, format!("health: {}", what.join("; ")))
            }
            Said::Applied { checked: Checked::Failed(what), .. } => {
                Next::Retry(retry, what.join("; "))
            }
            Said::Applied { .. } => {
                self.ctx.succeeded(Kind::Delivery, self.name);
                Next::Settled(jittered(interval))
            }
            Said::Partly(facts) => {
                Next::Retry(retry.min(self.partial_retry(facts)), facts.message())
            }
            Said::Refused { message, .. } => Next::Wait(jittered(interval), message.clone()),
            Said::Waiting { message, polls: false, .. } => {
                Next::Wait(jittered(interval), message.clone())
            }
            Said::Waiting { message, polls: true, .. } | Said::Failed { message, .. } => {
                let pause = self.ctx.failed(Kind::Delivery, self.name);
                Next::Retry(pause.min(retry), message.clone())
            }
            Said::Stranger { message } | Said::Stalled { message, polls: true, .. } => {
                Next::Wait(jittered(interval), message.clone())
            }
            Said::Stalled { message, polls: false, .. } => Next::Never(message.clone()),
        }
    }

    /// What waits for the target alone (a name being freed, a definition to appear) is looked at
    /// sooner than the interval says.
    fn partial_retry(&self, facts: &Facts) -> Duration {
        let waits = facts.failures.is_empty() || facts.transient;
        if waits && facts.problems.is_empty() && facts.guard.is_none() {
            self.ctx.failed(Kind::Delivery, self.name)
        } else {
            Duration::MAX
        }
    }

    async fn announce(&self, kept: &mut Kept, said: &Said) {
        let (severity, reason, message) = match said {
            Said::Applied { checked: Checked::Failed(what), .. } => {
                (Severity::Warning, reasons::HEALTH_CHECK_FAILED, what.join("\n"))
            }
            Said::Applied { facts, .. } if facts.changes.is_empty() => {
                // What was complained about is well again: that is worth a line, once.
                if kept.complained.take().is_none() {
                    return;
                }
                let message = format!("Applied revision: {}", facts.revision);
                (Severity::Normal, reasons::RECONCILIATION_SUCCEEDED, message)
            }
            Said::Applied { facts, .. } => {
                (Severity::Normal, reasons::RECONCILIATION_SUCCEEDED, facts.changes.join("\n"))
            }
            Said::Partly(facts) => {
                (Severity::Warning, reasons::RECONCILIATION_FAILED, facts.message())
            }
            Said::Refused { message, .. } => {
                (Severity::Warning, reasons::BUILD_FAILED, message.clone())
            }
            Said::Failed { reason, message } | Said::Stalled { reason, message, .. } => {
                (Severity::Warning, *reason, message.clone())
            }
            Said::Stranger { message } => {
                (Severity::Warning, status::TARGET_CHANGED, message.clone())
            }
            Said::Waiting { .. } => return,
        };
        // The same complaint at every interval is noise.
        let said = Digest::of_parts([reason.as_bytes(), message.as_bytes()]);
        if severity == Severity::Warning && kept.complained == Some(said) {
            return;
        }
        kept.complained = (severity == Severity::Warning).then_some(said);
        self.ctx.event(Kind::Delivery, self.object, severity, reason, &message).await;
    }
}

/// Short enough that a person does not wait for it, long enough to cost nothing.
const HEALTH_POLL: Duration = Duration::from_secs(2);

fn summary(plan: &Plan) -> String {
    use fixpoint_plan::Verb;
    let parts: Vec<String> = [
        (plan.count(Verb::Create), "to create"),
        (plan.count(Verb::Apply), "to apply"),
        (plan.count(Verb::Replace), "to replace"),
        (plan.count(fixpoint_plan::Verb::Delete), "to delete"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") }
}

fn handed_to(hold: &Hold) -> Option<Named> {
    match hold {
        Hold::HandedOver { to } => Some(Named::new(&to.namespace, &to.name)),
        _ => None,
    }
}

/// Kinds of delivered objects that somebody has to run, each once.
fn workloads(desired: &DesiredSet) -> Vec<String> {
    let kinds: BTreeSet<&str> = desired
        .objects()
        .iter()
        .filter(|wanted| fixpoint_health::is_workload(&wanted.key.gvk))
        .map(|wanted| wanted.key.gvk.kind.as_str())
        .collect();
    kinds.into_iter().map(str::to_owned).collect()
}

fn problem_line(problem: &fixpoint_plan::Problem) -> String {
    match problem.hint() {
        Some(hint) => format!("{problem} ({hint})"),
        None => problem.to_string(),
    }
}

fn failure_line(key: &Key, failure: &fixpoint_apply::Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{key}: {} ({hint})", failure.error),
        None => format!("{key}: {}", failure.error),
    }
}
