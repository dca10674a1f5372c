//! Gathers what a plan is made from: the rendering of the source's artifact, what is live, what is
//! recorded as ours, and what this delivery may do.
//!
//! Each step ends the run early with what it has to say. Nothing here changes a target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fixpoint_api_types::kustomization::SourceKind;
use fixpoint_api_types::names::{annotations, reasons};
use fixpoint_api_types::{KustomizationStatus, unsupported_fields};
use fixpoint_base::{Chain, Classified as _, Digest, Key};
use fixpoint_driver_kube::TargetError;
use fixpoint_plan::{DesiredSet, Id, Inventory, Live, LiveSet, Owner, Plan, Policy, plan};
use fixpoint_render::RenderError;
use serde_json::Value;
use tokio::time::Instant;

use super::reconcile::Run;
use super::status::{self, Said};
use super::target::NoTarget;
use super::{Kept, Rendered, desired, inventory as inventory_of, owner};
use crate::looper::Named;
use crate::record::{Acknowledged, Rendering};
use crate::stage::StageName;
use crate::targets::Target;
use crate::world::{self, Kind};

/// Everything that a plan is made from.
pub(super) struct Scene {
    pub target: Arc<Target>,
    pub revision: String,
    /// Digest of the artifact.
    pub artifact: String,
    pub rendered: Rendered,
    pub live: LiveSet,
    pub inventory: Inventory,
    /// Objects that were applied at another target and stay there.
    pub left_behind: usize,
    pub policy: Policy,
    /// Who agreed to the deletions that would be held otherwise.
    pub approval: Option<Acknowledged>,
    /// Why the answer that somebody gave is not taken.
    pub unproven: Option<String>,
}

/// What was looked at: one revision may have several artifacts, one after the other.
struct At {
    revision: String,
    /// Digest of the artifact.
    artifact: String,
}

impl Run<'_> {
    /// Gathers what a plan is made from; each step ends the run early with what it has to say.
    pub async fn scene(&self, kept: &mut Kept) -> Result<Scene, Said> {
        self.check_fields()?;
        let target = self.target().await.map_err(NoTarget::said)?;
        kept.goes_to(&target.name);
        if let Err(waits) = self.check_dependencies() {
            // Others must know what this delivery will take over, also while it waits; what is
            // wrong with it is told when its turn comes.
            let _rendered = self.rendered(&target, kept).await;
            return Err(waits);
        }
        let (At { revision, artifact }, rendered) = self.rendered(&target, kept).await?;
        let inventory = self.settled(&target, self.inventory_at(&target)).await?;
        let awaited = self.awaited(&target, &artifact, &rendered.desired, &inventory).await;
        let live = self.observe(&target, &rendered.desired, &inventory).await;
        let policy = Policy { awaited, ..self.policy(&target, &rendered.desired, &live) };
        let recorded = inventory_of(&self.status_before());
        let left_behind = if self.was_at(&target, self.name) { 0 } else { recorded.len() };
        let (approval, unproven) = (None, None);
        let mut scene = Scene {
            target,
            revision,
            artifact,
            rendered,
            live,
            inventory,
            left_behind,
            policy,
            approval,
            unproven,
        };
        self.agree(&mut scene, kept).await;
        Ok(scene)
    }

    pub fn plan(&self, scene: &Scene, kept: &Kept) -> Plan {
        let Scene { rendered, live, inventory, policy, .. } = scene;
        plan(&owner(self.name), &rendered.desired, live, inventory, policy, &kept.memory)
    }

    /// Takes note of who agreed to exactly the deletions that would be held otherwise.
    async fn agree(&self, scene: &mut Scene, kept: &Kept) {
        let ack = Acknowledged::read(self.object, annotations::DELIVERY_ACKNOWLEDGE);
        let Some(ack) = ack else { return };
        let held = self.plan(scene, kept).guard;
        if held.is_none_or(|guard| guard.id != ack.id) {
            return;
        }
        match self.ctx.proof.check(ack).await {
            Ok(ack) => {
                scene.policy.acknowledged = Some(ack.id.clone());
                scene.approval = Some(ack);
            }
            Err(why) => scene.unproven = Some(why),
        }
    }

    pub fn status_before(&self) -> KustomizationStatus {
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
            polls: false,
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
    /// ready, and at the source's revision where both follow the same source; and, which Flux does
    /// not ask, at the artifact that the revision has now.
    fn lack_of(&self, dependency: &Named) -> Option<String> {
        let Some(object) = self.ctx.world.get(Kind::Delivery, dependency) else {
            return Some("it does not exist".to_owned());
        };
        let status = &object["status"];
        let ready = status["conditions"]
            .as_array()
            .and_then(|all| all.iter().find(|condition| condition["type"] == "Ready"));
        if let Some(ready) = ready.filter(|ready| ready["status"] != "True") {
            return Some(ready["message"].as_str().unwrap_or("it does not say why").to_owned());
        }
        if ready.is_none() || object["metadata"]["generation"] != status["observedGeneration"] {
            return Some("its last change was not looked at yet".to_owned());
        }
        let source = world::source_of(self.name, self.object)?;
        if world::source_of(dependency, &object).as_ref() != Some(&source) {
            return None;
        }
        let artifact = self.ctx.world.get(Kind::Source, &source)?;
        let artifact = &artifact["status"]["artifact"];
        let revision = artifact["revision"].as_str().unwrap_or("the revision");
        if status["lastAppliedRevision"] != artifact["revision"] {
            return Some(format!("it is not at {revision} yet"));
        }
        let digest = artifact["digest"].as_str().unwrap_or_default();
        self.ctx
            .wanted
            .has_applied_another(dependency, digest)
            .then(|| format!("it is not at the new content of {revision} yet"))
    }

    /// The rendering of the source's artifact, done again only if an input changed.
    async fn rendered(&self, target: &Target, kept: &mut Kept) -> Result<(At, Rendered), Said> {
        let spec = &self.delivery.spec;
        if spec.source_ref.kind != SourceKind::GitRepository {
            return Err(Said::Stalled {
                reason: "UnsupportedSource",
                message: format!(
                    "sources of kind {} are not supported yet",
                    spec.source_ref.kind.as_str()
                ),
                polls: false,
            });
        }
        let declared = self.artifact()?;
        let text = |field: &str| declared[field].as_str().unwrap_or_default().to_owned();
        let (revision, path, digest) = (text("revision"), text("path"), text("digest"));
        let at = At { revision: revision.clone(), artifact: digest.clone() };
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
            // A definition that came meanwhile may have settled a name.
            let kinds = desired::kinds(&rendered.desired);
            let scopes = target.kube.scopes(&kinds).await;
            if scopes.map_err(|err| target_failed(&err))? == rendered.scopes {
                self.wants(target, &at, &rendered.desired);
                return Ok((at, rendered.clone()));
            }
        }
        let began = Instant::now();
        let us = owner(self.name);
        let made =
            desired::render(self.ctx, &target.kube, key, tree, us, revision.clone(), spec.clone());
        let mut rendered = made.await.map_err(|failed| match failed {
            desired::Failed::Target(err) => target_failed(&err),
            desired::Failed::Render(err) => {
                let message = said_with_hint(&err);
                self.ctx.wanted.refused(self.name, &at.artifact);
                self.tell(StageName::Rendered, &message, began.elapsed(), false);
                Said::Refused { revision: revision.clone(), message }
            }
        })?;
        rendered.index = self.record_rendering(&rendered, tree_digest, &revision).await?;
        let detail = format!("{} objects", rendered.desired.len());
        self.tell(StageName::Rendered, &detail, began.elapsed(), rendered.problems.is_empty());
        self.wants(target, &at, &rendered.desired);
        kept.rendered = Some(rendered.clone());
        Ok((at, rendered))
    }

    fn wants(&self, target: &Target, at: &At, desired: &DesiredSet) {
        if let Some(source) = world::source_of(self.name, self.object) {
            self.ctx.wanted.rendered(self.name, &target.name, source, &at.artifact, desired);
        }
    }

    /// Who takes over what this delivery no longer wants. Asked before anything is pruned, and
    /// only once the other deliveries of the source have had the time to look at the artifact.
    async fn awaited(
        &self,
        target: &Target,
        artifact: &str,
        desired: &DesiredSet,
        inventory: &Inventory,
    ) -> BTreeMap<Id, Owner> {
        let unwanted = inventory.keys().filter(|key| desired.get(key).is_none());
        let leaving: BTreeSet<Id> = unwanted.map(|key| Id::from(&key)).collect();
        let Some(source) = world::source_of(self.name, self.object) else { return BTreeMap::new() };
        if leaving.is_empty() {
            return BTreeMap::new();
        }
        let began = Instant::now();
        while began.elapsed() < OTHERS_LOOK {
            let mut behind = self.ctx.wanted.behind(self.name, &target.name, &source, artifact);
            behind.retain(|other| self.acts(other));
            if behind.is_empty() {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let others = self.ctx.wanted.others(self.name, &target.name, &leaving);
        let acting = others.into_iter().filter(|(_, other)| self.acts(other));
        acting.map(|(id, other)| (id, owner(&other))).collect()
    }

    /// Whether another delivery is there and neither suspended nor going.
    fn acts(&self, other: &Named) -> bool {
        self.ctx.world.get(Kind::Delivery, other).is_some_and(|object| {
            object["spec"]["suspend"] != true && object["metadata"]["deletionTimestamp"].is_null()
        })
    }

    /// What is recorded, each object under its one name.
    pub async fn settled(&self, target: &Target, inventory: Inventory) -> Result<Inventory, Said> {
        let kinds = inventory.keys().map(|key| key.gvk).collect();
        let scopes = target.kube.scopes(&kinds).await.map_err(|err| target_failed(&err))?;
        Ok(inventory.settled(&scopes))
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
                polls: false,
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
    pub async fn observe(
        &self,
        target: &Target,
        desired: &DesiredSet,
        inventory: &Inventory,
    ) -> LiveSet {
        let mut keys: Vec<Key> =
            desired.objects().iter().map(|wanted| wanted.key.clone()).collect();
        keys.extend(inventory.keys().filter(|key| desired.get(key).is_none()));
        target.kube.observe(&keys).await
    }

    fn policy(&self, target: &Target, desired: &DesiredSet, live: &LiveSet) -> Policy {
        let spec = &self.delivery.spec;
        Policy {
            prune: spec.prune,
            force: spec.force,
            claims: self.claims(target, desired, live),
            engine: self.engine_owned(target),
            ..Policy::default()
        }
    }

    /// What other deliveries claim of the objects that carry their labels: only those are asked.
    fn claims(&self, target: &Target, desired: &DesiredSet, live: &LiveSet) -> BTreeMap<Id, Owner> {
        let us = owner(self.name);
        let mut claims = BTreeMap::new();
        let mut inventories: BTreeMap<Named, Inventory> = BTreeMap::new();
        for wanted in desired.objects() {
            let Some(Live::Object(found)) = live.get(&wanted.key) else { continue };
            let Some(other) = found.owner.clone().filter(|other| *other != us) else { continue };
            let name = Named::new(&other.namespace, &other.name);
            let inventory = inventories.entry(name.clone()).or_insert_with(|| {
                if !self.was_at(target, &name) {
                    return Inventory::new();
                }
                let object = self.ctx.world.get(Kind::Delivery, &name);
                let status = object.and_then(|object| object.get("status").cloned());
                let status = status.and_then(|status| serde_json::from_value(status).ok());
                status.map_or_else(Inventory::new, |status| inventory_of(&status))
            });
            let id = Id::from(&wanted.key);
            if inventory.contains(&wanted.key) && !self.ctx.wanted.has_let_go(&name, &id) {
                claims.insert(id, other);
            }
        }
        claims
    }
}

/// How long pruning waits for the other deliveries of the source: rendering takes a fraction of it,
/// and one that is stuck must not keep the others from pruning.
const OTHERS_LOOK: Duration = Duration::from_secs(2);
/// Pause between two looks at them.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

fn said_with_hint(err: &RenderError) -> String {
    match err.hint() {
        Some(hint) => format!("{} ({hint})", Chain(err)),
        None => Chain(err).to_string(),
    }
}

fn target_failed(err: &TargetError) -> Said {
    Said::failed(reasons::RECONCILIATION_FAILED, err)
}

impl Run<'_> {
    /// What the inventory in the status names, where it was applied at this target. What was
    /// applied elsewhere is nothing to be looked for here, let alone pruned.
    pub fn inventory_at(&self, target: &Target) -> Inventory {
        if self.was_at(target, self.name) {
            inventory_of(&self.status_before())
        } else {
            Inventory::new()
        }
    }

    /// Whether a delivery's inventory is of this target, as the ledger has it. A ledger that knows
    /// nothing of the delivery is newer than its inventory, which was the target's then.
    fn was_at(&self, target: &Target, delivery: &Named) -> bool {
        let recorded = self.ctx.record.target_of(&format!("Kustomization/{delivery}"));
        recorded.is_none_or(|recorded| recorded == target.name)
    }

    /// What is nobody's to take away: our own definitions, where our own objects are.
    pub fn engine_owned(&self, target: &Target) -> BTreeSet<Id> {
        if self.ctx.targets.is_home(target) { engine_owned() } else { BTreeSet::new() }
    }
}

/// The definitions of our own kinds: who delivers Flux's manifests here must not replace them, and
/// above all not prune them, since every source and delivery would go with them.
fn engine_owned() -> BTreeSet<Id> {
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
