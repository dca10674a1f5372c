//! One run for one delivery.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fixpoint_api_types::kustomization::SourceKind;
use fixpoint_api_types::names::{annotations, managers, reasons};
use fixpoint_api_types::{Kustomization, KustomizationStatus, unsupported_fields};
use fixpoint_base::{Chain, Classified as _, Digest, Key, object};
use fixpoint_plan::{DesiredSet, Id, Inventory, Live, LiveSet, Owner, Plan, Policy, plan};
use serde_json::Value;
use tokio::time::Instant;

use super::carry_out::carry_out;
use super::health::{self, Checked};
use super::status::{self, Facts, Said};
use super::{Kept, Rendered, desired, finalize, inventory, owner};
use crate::context::{Context, jittered};
use crate::events::Severity;
use crate::looper::{Named, Next};
use crate::record::Rendering;
use crate::stage::{Stage, StageName};
use crate::world::{self, Kind};

/// Brings one target to what a delivery says, or records why it could not.
///
/// Takes no event: it reads the whole state each time, so a missed or doubled wake-up changes
/// nothing. Safe to run again at any point, including half way through.
pub async fn reconcile(ctx: Arc<Context>, name: Named) -> Option<Next> {
    let object = match crate::read(&ctx, Kind::Delivery, &name).await {
        Ok(Some(object)) => object,
        Ok(None) => {
            ctx.memories.forget(&name);
            ctx.drift.forget(&name);
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
    Ok(Some(Preview { plan, desired: scene.rendered.desired }))
}

/// A plan that is not carried out.
pub struct Preview {
    /// What would be done.
    pub plan: Plan,
    /// The objects that its steps refer to.
    pub desired: Arc<DesiredSet>,
}

pub(super) struct Run<'a> {
    pub ctx: &'a Arc<Context>,
    pub name: &'a Named,
    pub object: &'a Value,
    pub delivery: &'a Kustomization,
}

/// Everything that a plan is made from.
struct Scene {
    revision: String,
    rendered: Rendered,
    live: LiveSet,
    inventory: Inventory,
    policy: Policy,
}

impl Run<'_> {
    pub fn subject(&self) -> String {
        format!("Kustomization/{}", self.name)
    }

    /// Read, decide, do, report.
    async fn deliver(&self, kept: &mut Kept) -> Result<Said, Said> {
        let scene = self.scene(kept).await?;
        let plan = self.plan(&scene, kept);
        self.ctx.target.found_right(&plan, &scene.live);
        let report = self.apply(&scene, &plan, kept).await?;
        kept.left = plan.unfinished().map(|(key, hold)| format!("{key}: {hold}")).collect();
        let after = report.inventory(&plan, &scene.inventory);
        self.ctx.drift.watch(self.name, after.keys().collect());

        let facts = Facts {
            revision: scene.revision.clone(),
            rendered: scene.rendered.desired.digest(),
            inventory: after,
            problems: scene.rendered.problems.iter().map(problem_line).collect(),
            failures: report.failures().map(|(key, failure)| failure_line(key, failure)).collect(),
            unfinished: status::unfinished(&plan),
            guard: plan.guard.clone(),
            changes: report.changes(),
            workloads: workloads(&scene.rendered.desired),
        };
        if !facts.is_clean() {
            return Ok(Said::Partly(Box::new(facts)));
        }
        let checked = self.health(&scene, kept).await;
        Ok(Said::Applied { facts: Box::new(facts), checked })
    }

    /// Gathers what a plan is made from; each step ends the run early with what it has to say.
    async fn scene(&self, kept: &mut Kept) -> Result<Scene, Said> {
        self.check_fields()?;
        self.check_dependencies()?;
        let (revision, rendered) = self.rendered(kept).await?;
        let inventory = inventory(&self.status_before());
        let live = self.observe(&rendered.desired, &inventory).await;
        let policy = self.policy(&rendered.desired, &live);
        Ok(Scene { revision, rendered, live, inventory, policy })
    }

    fn plan(&self, scene: &Scene, kept: &Kept) -> Plan {
        let Scene { revision: _, rendered, live, inventory, policy } = scene;
        plan(&owner(self.name), &rendered.desired, live, inventory, policy, &kept.memory)
    }

    fn status_before(&self) -> KustomizationStatus {
        self.delivery.status.clone().unwrap_or_default()
    }

    /// Fields that would change what is delivered, or where, refuse the delivery until they are
    /// acted on.
    fn check_fields(&self) -> Result<(), Said> {
        let refused: Vec<&str> = unsupported_fields(&self.delivery.spec)
            .into_iter()
            .filter(|field| !status::NOTED_FIELDS.contains(field))
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        let plural = if refused.len() == 1 { "is" } else { "are" };
        Err(Said::Stalled {
            reason: "UnsupportedField",
            message: format!("{} {plural} not supported yet; remove to go on", refused.join(", ")),
        })
    }

    fn check_dependencies(&self) -> Result<(), Said> {
        let world = &self.ctx.world;
        let circle = world::cycle(self.name, |at| {
            world
                .get(Kind::Delivery, at)
                .map(|object| world::dependencies_of(at, &object))
                .unwrap_or_default()
        });
        if let Some(circle) = circle {
            let mut names: Vec<String> = circle.iter().map(Named::to_string).collect();
            names.push(self.name.to_string());
            return Err(Said::Waiting {
                reason: reasons::DEPENDENCY_NOT_READY,
                message: format!("the dependencies go round in a circle: {}", names.join(" → ")),
                polls: false,
            });
        }
        for dependency in world::dependencies_of(self.name, self.object) {
            if let Some(lack) = self.lack_of(&dependency) {
                return Err(Said::Waiting {
                    reason: reasons::DEPENDENCY_NOT_READY,
                    message: format!("dependency '{dependency}' is not ready: {lack}"),
                    polls: false,
                });
            }
        }
        Ok(())
    }

    /// What a dependency lacks, by Flux's rule: it exists, its generation was looked at, it is
    /// ready, and at the source's revision where both follow the same source.
    fn lack_of(&self, dependency: &Named) -> Option<String> {
        let Some(object) = self.ctx.world.get(Kind::Delivery, dependency) else {
            return Some("it does not exist".to_owned());
        };
        let status = &object["status"];
        if object["metadata"]["generation"] != status["observedGeneration"] {
            return Some("its last change was not looked at yet".to_owned());
        }
        let ready = status["conditions"]
            .as_array()
            .and_then(|all| all.iter().find(|condition| condition["type"] == "Ready"));
        if ready.is_none_or(|ready| ready["status"] != "True") {
            let message = ready.and_then(|ready| ready["message"].as_str()).unwrap_or("no status");
            return Some(message.to_owned());
        }
        let source = world::source_of(self.name, self.object)?;
        if world::source_of(dependency, &object).as_ref() != Some(&source) {
            return None;
        }
        let artifact = self.ctx.world.get(Kind::Source, &source)?;
        let wanted = &artifact["status"]["artifact"]["revision"];
        (status["lastAppliedRevision"] != *wanted)
            .then(|| format!("it is not at {} yet", wanted.as_str().unwrap_or("the revision")))
    }

    /// The rendering of the source's artifact, done again only if an input changed.
    async fn rendered(&self, kept: &mut Kept) -> Result<(String, Rendered), Said> {
        let spec = &self.delivery.spec;
        if spec.source_ref.kind != SourceKind::GitRepository {
            return Err(Said::Stalled {
                reason: "UnsupportedSource",
                message: format!(
                    "sources of kind {} are not supported yet",
                    spec.source_ref.kind.as_str()
                ),
            });
        }
        let artifact = self.artifact()?;
        let text = |field: &str| artifact[field].as_str().unwrap_or_default().to_owned();
        let (revision, path, digest) = (text("revision"), text("path"), text("digest"));
        let artifacts = self.ctx.artifacts.clone();
        let loaded = tokio::task::spawn_blocking(move || artifacts.tree(&path, &digest)).await;
        let tree =
            loaded.map_err(|err| Said::failed(reasons::ARTIFACT_FAILED, &err))?.map_err(|err| {
                // The source notices the loss on its own next look; hurry it.
                self.hurry_source();
                Said::failed(reasons::ARTIFACT_FAILED, &err)
            })?;
        let tree_digest = tree.digest();
        let key = desired::key(&tree_digest, &revision, spec);
        if let Some(rendered) = kept.rendered.as_ref().filter(|rendered| rendered.key == key) {
            return Ok((revision, rendered.clone()));
        }
        let began = Instant::now();
        let mut rendered =
            desired::render(self.ctx, key, tree, owner(self.name), revision.clone(), spec.clone())
                .await
                .map_err(|err| {
                    let mut message = Chain(&err).to_string();
                    if let Some(hint) = err.hint() {
                        message = format!("{message} ({hint})");
                    }
                    self.tell(StageName::Rendered, &message, began.elapsed(), false);
                    Said::Refused { revision: revision.clone(), message }
                })?;
        rendered.index = self.record_rendering(&rendered, tree_digest, &revision).await?;
        let detail = format!("{} objects", rendered.desired.len());
        self.tell(StageName::Rendered, &detail, began.elapsed(), rendered.problems.is_empty());
        kept.rendered = Some(rendered.clone());
        Ok((revision, rendered))
    }

    /// Nothing is rendered for a target that is not on record as admitted.
    async fn record_rendering(
        &self,
        rendered: &Rendered,
        tree: Digest,
        revision: &str,
    ) -> Result<u64, Said> {
        let (subject, source) = (self.subject(), self.source_subject());
        let recorded = self.ctx.record.rendered(Rendering {
            subject: &subject,
            source: &source,
            revision,
            tree,
            options: rendered.key,
            output: rendered.desired.digest(),
            objects: rendered.desired.len(),
            now: self.ctx.now(),
        });
        match recorded.await {
            Ok(Some(index)) => Ok(index),
            Ok(None) => {
                self.hurry_source();
                Err(Said::Waiting {
                    reason: reasons::ARTIFACT_FAILED,
                    message: format!("{source} at {revision} is not on record as accepted"),
                    polls: true,
                })
            }
            Err(err) => Err(Said::failed("LedgerFailed", &err)),
        }
    }

    fn hurry_source(&self) {
        if let Some(source) = world::source_of(self.name, self.object) {
            self.ctx.world.waker(Kind::Source).wake(source);
        }
    }

    fn source_subject(&self) -> String {
        match world::source_of(self.name, self.object) {
            Some(source) => format!("GitRepository/{source}"),
            None => String::new(),
        }
    }

    /// The artifact that the source has stored. A held source keeps its last good one.
    fn artifact(&self) -> Result<Value, Said> {
        let Some(name) = world::source_of(self.name, self.object) else {
            return Err(Said::Stalled {
                reason: reasons::ARTIFACT_FAILED,
                message: "spec.sourceRef names no source".to_owned(),
            });
        };
        let waiting =
            |message| Said::Waiting { reason: reasons::ARTIFACT_FAILED, message, polls: false };
        let source = self
            .ctx
            .world
            .get(Kind::Source, &name)
            .ok_or_else(|| waiting(format!("GitRepository/{name} does not exist")))?;
        match source["status"].get("artifact") {
            Some(artifact) => Ok(artifact.clone()),
            None => Err(waiting(format!("GitRepository/{name} has no artifact yet"))),
        }
    }

    /// Looks at everything that is wanted or recorded.
    pub async fn observe(&self, desired: &DesiredSet, inventory: &Inventory) -> LiveSet {
        let mut keys: Vec<Key> =
            desired.objects().iter().map(|wanted| wanted.key.clone()).collect();
        keys.extend(inventory.keys().filter(|key| desired.get(key).is_none()));
        self.ctx.target.observe(&keys).await
    }

    fn policy(&self, desired: &DesiredSet, live: &LiveSet) -> Policy {
        let spec = &self.delivery.spec;
        Policy {
            prune: spec.prune,
            force: spec.force,
            acknowledged: object::annotation(self.object, annotations::DELIVERY_ACKNOWLEDGE)
                .map(str::to_owned),
            claims: self.claims(desired, live),
            engine: engine_owned(),
            ..Policy::default()
        }
    }

    /// What other deliveries claim of the objects that carry their labels: only those are asked.
    fn claims(&self, desired: &DesiredSet, live: &LiveSet) -> BTreeMap<Id, Owner> {
        let us = owner(self.name);
        let mut claims = BTreeMap::new();
        let mut inventories: BTreeMap<Named, Inventory> = BTreeMap::new();
        for wanted in desired.objects() {
            let Some(Live::Object(found)) = live.get(&wanted.key) else { continue };
            let Some(other) = found.owner.clone().filter(|other| *other != us) else { continue };
            let name = Named::new(&other.namespace, &other.name);
            let inventory = inventories.entry(name.clone()).or_insert_with(|| {
                let object = self.ctx.world.get(Kind::Delivery, &name);
                let status = object.and_then(|object| object.get("status").cloned());
                let status = status.and_then(|status| serde_json::from_value(status).ok());
                status.map_or_else(Inventory::new, |status| inventory(&status))
            });
            if inventory.contains(&wanted.key) {
                claims.insert(Id::from(&wanted.key), other);
            }
        }
        claims
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
        let Scene { rendered, inventory, .. } = scene;
        let report =
            self.carry_out(plan, &rendered.desired, Some(rendered.index), inventory).await?;
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
        plan: &Plan,
        desired: &DesiredSet,
        render: Option<u64>,
        inventory: &Inventory,
    ) -> Result<fixpoint_apply::Report, Said> {
        let ledger = |err| Said::failed("LedgerFailed", &err);
        let record = &self.ctx.record;
        let subject = self.subject();
        let now = self.ctx.now();
        let intended =
            record.intend(&subject, plan, desired, render, inventory, now).await.map_err(ledger)?;
        let timeout = self.delivery.spec.run_timeout().unwrap_or(Duration::from_secs(300));
        let report = carry_out(&self.ctx.target, &intended.permit, plan, desired, timeout).await;
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
        let checked = health::check(&self.ctx.target, &subjects).await;
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

    fn status(&self, old: &Value, said: &Said, took: Duration) -> KustomizationStatus {
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
            Said::Stalled { message, .. } => Next::Never(message.clone()),
        }
    }

    /// What waits for the target alone (a name being freed, a definition to appear) is looked at
    /// sooner than the interval says.
    fn partial_retry(&self, facts: &Facts) -> Duration {
        if facts.failures.is_empty() && facts.problems.is_empty() && facts.guard.is_none() {
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
            Said::Applied { facts, .. } if facts.changes.is_empty() => return,
            Said::Applied { facts, .. } => {
                (Severity::Normal, reasons::RECONCILIATION_SUCCEEDED, facts.changes.join("\n"))
            }
            Said::Partly(facts) => {
                (Severity::Warning, reasons::RECONCILIATION_FAILED, facts.message())
            }
            Said::Refused { message, .. } => {
                (Severity::Warning, reasons::BUILD_FAILED, message.clone())
            }
            Said::Failed { reason, message } | Said::Stalled { reason, message } => {
                (Severity::Warning, *reason, message.clone())
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
        (plan.count(Verb::Delete), "to delete"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") }
}

/// The definitions of our own kinds: who delivers Flux's manifests here must not replace them, and
/// above all not prune them, since every source and delivery would go with them.
pub(super) fn engine_owned() -> BTreeSet<Id> {
    [Kind::Source, Kind::Delivery]
        .into_iter()
        .map(|kind| {
            let resource = kind.resource();
            Id {
                group: "apiextensions.k8s.io".to_owned(),
                kind: "CustomResourceDefinition".to_owned(),
                namespace: String::new(),
                name: format!("{}.{}", resource.plural, resource.group),
            }
        })
        .collect()
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
