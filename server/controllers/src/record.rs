//! The ledger as the loops use it: what they saw, decided and did, and what is known because of
//! it.
//!
//! In: facts of a run. Out: durable entries, permits, and the state that all entries amount to.
//! That state is read from the ledger alone, so it cannot disagree with it.

mod meeting;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fixpoint_apply::Counts;
use fixpoint_base::{Digest, canonical, object};
use fixpoint_driver_store::{Indexed, Ledger, LedgerError, Report};
use fixpoint_ledger::entry::{
    Ack, Approve, Body, Draft, Entry, Included, Input, Observe, Outcome, Prune, Render, Resolve,
    Signature, Submodule, Violation as ViolationEntry,
};
use fixpoint_ledger::{Intent, Permit, Replay};
use fixpoint_plan::{DesiredSet, Inventory, Plan, Verb, Why};
use fixpoint_source::verdict::{self, History, Known, Position, Read, Verdict, Violation};
use fixpoint_source::{Pointer, Reference};
use jiff::Timestamp;
use serde_json::{Value, json};

pub use meeting::Answering;

/// Who acts when nobody asked.
const ENGINE: &str = "engine";

/// Who acknowledged where the object does not say.
const UNKNOWN: &str = "unknown";

/// What a store was seen to say.
#[derive(Debug, Clone)]
pub struct Seeing {
    /// The source.
    pub subject: String,
    /// URL of the store.
    pub url: String,
    /// The name that is followed.
    pub reference: Reference,
    /// Where it leads; `None` where it is gone.
    pub pointer: Option<Pointer>,
    /// What its content is.
    pub read: Option<Read>,
    /// Digest of the stored artifact.
    pub artifact: Option<Digest>,
    /// What was copied in, and the digest of the tree with it.
    pub included: Vec<Included>,
    /// Digest of the tree that the artifact holds, where something was copied in.
    pub whole: Option<Digest>,
    /// What came of checking its signature.
    pub signature: Option<Signature>,
    /// Files in the tree.
    pub files: u64,
    /// Bytes in the tree.
    pub bytes: u64,
    /// Repositories within it.
    pub submodules: Vec<fixpoint_source::Submodule>,
    /// What it means.
    pub verdict: Verdict,
    /// The policy in force.
    pub history: History,
    /// When.
    pub now: Timestamp,
}

fn submodule(seen: fixpoint_source::Submodule) -> Submodule {
    let fixpoint_source::Submodule { path, url, commit } = seen;
    Submodule { path, store: url, commit }
}

/// What somebody answered for.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// Id of the violation.
    pub id: String,
    /// The authenticated user.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Acknowledged {
    /// Reads an acknowledgement from the annotation that carries its id and the two beside it:
    /// `-by`, which the API server writes itself, and `-reason`.
    pub fn read(object: &Value, annotation: &str) -> Option<Self> {
        let read = |suffix: &str| {
            object::annotation(object, &format!("{annotation}{suffix}")).map(str::to_owned)
        };
        Some(Self {
            id: read("")?,
            by: read("-by").unwrap_or_else(|| UNKNOWN.to_owned()),
            reason: read("-reason").unwrap_or_default(),
        })
    }

    /// Whether it says who wrote it.
    pub fn is_signed(&self) -> bool {
        self.by != UNKNOWN && !self.by.is_empty()
    }
}

/// What went into a rendering and came out.
#[derive(Debug, Clone)]
pub struct Rendering<'a> {
    /// The delivery.
    pub subject: &'a str,
    /// The source.
    pub source: &'a str,
    /// The source's revision.
    pub revision: &'a str,
    /// Digest of the tree.
    pub tree: Digest,
    /// Digest of the options.
    pub options: Digest,
    /// Digest of what came out.
    pub output: Digest,
    /// Objects in it.
    pub objects: usize,
    /// When.
    pub now: Timestamp,
}

/// A durable intent and the right to carry it out.
pub struct Intended {
    /// The right.
    pub permit: Permit,
    /// Index of the inventory that the deletions go by.
    inventory: Option<u64>,
}

/// A target as it is on record.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// `in-process`, or `cluster/` and its uid.
    pub target: &'a str,
    /// The identity that it sees.
    pub identity: &'a str,
}

/// What is known from the entries.
#[derive(Default)]
struct State {
    replay: Replay,
    renders: BTreeMap<String, (u64, Render)>,
}

impl State {
    fn entry(&mut self, index: u64, entry: &Entry) {
        self.replay.entry(index, entry);
        if let Body::Render(render) = &entry.body {
            self.renders.insert(entry.subject.clone(), (index, render.clone()));
        }
    }
}

/// The ledger and what it amounts to.
pub struct Record {
    ledger: Ledger,
    state: Mutex<State>,
    /// Held from the question what is on record of a cluster until the answer is: deliveries that
    /// meet a cluster at once put it on record once.
    meeting: tokio::sync::Mutex<()>,
}

impl Record {
    /// Reads all entries once.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn open(ledger: Ledger) -> Result<Self, LedgerError> {
        let mut state = State::default();
        for Indexed { index, entry } in ledger.entries(0..ledger.size())? {
            state.entry(index, &entry);
        }
        Ok(Self { ledger, state: Mutex::new(state), meeting: tokio::sync::Mutex::new(()) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was accepted of a source's names in one store.
    pub fn known(&self, subject: &str, url: &str) -> Known {
        let state = self.state();
        let source = state.replay.sources.get(subject);
        source.and_then(|source| source.known.get(url)).cloned().unwrap_or_default()
    }

    /// Where the acceptance of a name's version is on record.
    pub fn since(&self, subject: &str, url: &str, name: &str, commit: &str) -> Option<u64> {
        let state = self.state();
        let source = state.replay.sources.get(subject)?;
        let key = (url.to_owned(), name.to_owned(), commit.to_owned());
        source.admitted.get(&key).copied()
    }

    async fn append(
        &self,
        subject: &str,
        actor: &str,
        now: Timestamp,
        body: Body,
    ) -> Result<u64, LedgerError> {
        let draft = Draft {
            time: now.to_string(),
            actor: actor.to_owned(),
            subject: subject.to_owned(),
            body,
        };
        let receipt = self.ledger.append(draft.clone()).await?;
        self.state().entry(receipt.index(), &draft.placed(None));
        Ok(receipt.index())
    }

    /// Records that a version was seen and is held, once for each violation.
    ///
    /// # Errors
    /// When the entry cannot be made durable.
    pub async fn held(&self, seeing: Seeing, violation: &Violation) -> Result<(), LedgerError> {
        if self.violation_index(&seeing.subject, &violation.id).is_some() {
            return Ok(());
        }
        let (subject, now) = (seeing.subject.clone(), seeing.now);
        let body = violation_entry(violation, &seeing.url, true);
        self.observe(seeing, false, None).await?;
        self.append(&subject, ENGINE, now, body).await?;
        Ok(())
    }

    /// Records that a version was seen and is refused for its signature, once for each version.
    ///
    /// # Errors
    /// When the entry cannot be made durable.
    pub async fn refused(&self, seeing: Seeing) -> Result<(), LedgerError> {
        let Some(pointer) = &seeing.pointer else { return Ok(()) };
        let version = (
            seeing.url.clone(),
            verdict::name_of(&seeing.reference),
            pointer.commit.clone(),
            pointer.tag_object.clone(),
        );
        let known = {
            let state = self.state();
            let source = state.replay.sources.get(&seeing.subject);
            source.is_some_and(|source| source.refused.contains(&version))
        };
        if known { Ok(()) } else { self.observe(seeing, false, None).await }
    }

    /// Records that a version was seen and is delivered: what is wrong with it, who answered for
    /// it. Nothing is written where nothing is new.
    ///
    /// # Errors
    /// When an entry cannot be made durable.
    pub async fn accepted(
        &self,
        seeing: Seeing,
        warning: Option<&Violation>,
        answered: Option<(Acknowledged, Violation)>,
    ) -> Result<(), LedgerError> {
        if self.is_old(&seeing) {
            return Ok(());
        }
        if let Some(warning) = warning
            && self.violation_index(&seeing.subject, &warning.id).is_none()
        {
            let body = violation_entry(warning, &seeing.url, false);
            self.append(&seeing.subject, ENGINE, seeing.now, body).await?;
        }
        let ack = match answered {
            Some((ack, violation)) => Some(self.acknowledge(&seeing, ack, &violation).await?),
            None => None,
        };
        self.observe(seeing, true, ack).await
    }

    /// Whether the last admitted observation says the very same.
    fn is_old(&self, seeing: &Seeing) -> bool {
        let known = self.known(&seeing.subject, &seeing.url);
        let position = seeing.pointer.as_ref().map(|pointer| Position::of(pointer, seeing.read));
        known.position(&seeing.reference) == position.as_ref()
            && self.last_artifact(seeing) == seeing.artifact
    }

    fn last_artifact(&self, seeing: &Seeing) -> Option<Digest> {
        let state = self.state();
        let source = state.replay.sources.get(&seeing.subject)?;
        let key = (seeing.url.clone(), verdict::name_of(&seeing.reference));
        source.artifacts.get(&key).copied()
    }

    async fn acknowledge(
        &self,
        seeing: &Seeing,
        ack: Acknowledged,
        violation: &Violation,
    ) -> Result<u64, LedgerError> {
        let recorded = {
            let state = self.state();
            let source = state.replay.sources.get(&seeing.subject);
            source.and_then(|source| source.acknowledged.get(&ack.id).copied())
        };
        if let Some(index) = recorded {
            return Ok(index);
        }
        let at = match self.violation_index(&seeing.subject, &ack.id) {
            Some(index) => index,
            // Answered for before it was ever held: the fact is recorded all the same.
            None => {
                let body = violation_entry(violation, &seeing.url, true);
                self.append(&seeing.subject, ENGINE, seeing.now, body).await?
            }
        };
        let body = Body::Ack(Ack { id: ack.id, violation: at, reason: shorten(ack.reason) });
        self.append(&seeing.subject, &ack.by, seeing.now, body).await
    }

    fn violation_index(&self, subject: &str, id: &str) -> Option<u64> {
        let state = self.state();
        let source = state.replay.sources.get(subject)?;
        source.violations.get(id).map(|(index, _)| *index)
    }

    async fn observe(
        &self,
        seeing: Seeing,
        admitted: bool,
        ack: Option<u64>,
    ) -> Result<(), LedgerError> {
        let body = Body::Observe(Observe {
            store: seeing.url,
            name: verdict::name_of(&seeing.reference),
            revision: seeing.pointer.as_ref().map(Pointer::revision).unwrap_or_default(),
            position: seeing.pointer.as_ref().map(|pointer| Position::of(pointer, seeing.read)),
            verdict: seeing.verdict,
            history: seeing.history,
            admitted,
            ack,
            artifact: seeing.artifact,
            files: seeing.files,
            bytes: seeing.bytes,
            included: seeing.included,
            whole: seeing.whole,
            signature: seeing.signature,
            submodules: seeing.submodules.into_iter().map(submodule).collect(),
        });
        self.append(&seeing.subject, ENGINE, seeing.now, body).await?;
        Ok(())
    }

    /// Records a rendering; gives the index of its entry. The same rendering is recorded once.
    ///
    /// # Errors
    /// When its input is not on record as admitted, or the entry cannot be made durable.
    pub async fn rendered(&self, rendering: Rendering<'_>) -> Result<Option<u64>, LedgerError> {
        let Some(observe) = self.admitted(rendering.source, rendering.revision) else {
            return Ok(None);
        };
        let render = Render {
            inputs: vec![Input {
                observe,
                revision: rendering.revision.to_owned(),
                tree: rendering.tree,
            }],
            renderer: concat!("fixpoint/", env!("CARGO_PKG_VERSION")).to_owned(),
            options: rendering.options,
            output: rendering.output,
            objects: rendering.objects as u64,
        };
        let last = self.state().renders.get(rendering.subject).cloned();
        if let Some((index, last)) = last
            && last == render
        {
            return Ok(Some(index));
        }
        let body = Body::Render(render);
        self.append(rendering.subject, ENGINE, rendering.now, body).await.map(Some)
    }

    /// Index of the last admitted observation of a revision.
    pub fn admitted(&self, source: &str, revision: &str) -> Option<u64> {
        let (_, commit) = revision.rsplit_once("sha1:")?;
        let state = self.state();
        let admitted = &state.replay.sources.get(source)?.admitted;
        let of_commit = admitted.iter().filter(|((_, _, at), _)| at == commit);
        of_commit.map(|(_, index)| *index).max()
    }

    /// Makes the intent to carry out a plan durable; only then there is a permit.
    ///
    /// # Errors
    /// When an entry cannot be made durable.
    pub async fn intend(
        &self,
        subject: &str,
        place: Place<'_>,
        plan: &Plan,
        desired: &DesiredSet,
        render: Option<u64>,
        owned: &Inventory,
        approval: Option<Acknowledged>,
        now: Timestamp,
    ) -> Result<Intended, LedgerError> {
        self.resolve(subject, place, plan, now).await?;
        let actor = match approval {
            Some(approval) => self.approve(subject, approval, plan, now).await?,
            None => ENGINE.to_owned(),
        };
        let deletes = plan.count(Verb::Delete) > 0;
        let inventory =
            if deletes { Some(self.inventory(subject, place, owned, now).await?) } else { None };
        let intent = Intent {
            render,
            inventory,
            basis: plan.basis,
            steps: fixpoint_apply::steps(plan, desired),
            actor,
            ..blank(subject, place, now)
        };
        let permit = self.commit(intent).await?;
        Ok(Intended { permit, inventory })
    }

    /// Records who agreed to the deletions of a plan, and why; gives who that was.
    async fn approve(
        &self,
        subject: &str,
        approval: Acknowledged,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<String, LedgerError> {
        let Acknowledged { id, by, reason } = approval;
        let count = plan.count(Verb::Delete) as u64;
        let body = Body::Approve(Approve { id, count, reason: shorten(reason) });
        self.append(subject, &by, now, body).await?;
        Ok(by)
    }

    async fn commit(&self, intent: Intent) -> Result<Permit, LedgerError> {
        let entry = intent.draft().placed(None);
        let permit = self.ledger.commit(intent).await?;
        self.state().entry(permit.index(), &entry);
        Ok(permit)
    }

    /// The record of what is ours. Where none is left (the ledger was begun anew), the inventory
    /// in the status is put on record first: nothing is deleted that the ledger does not name.
    async fn inventory(
        &self,
        subject: &str,
        place: Place<'_>,
        owned: &Inventory,
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        if let Some(index) = self.state().replay.inventories.get(subject).copied() {
            return Ok(index);
        }
        let permit = self.commit(blank(subject, place, now)).await?;
        let body = Body::Outcome(Outcome {
            intent: permit.index(),
            created: 0,
            configured: 0,
            unchanged: 0,
            deleted: 0,
            failed: 0,
            held: 0,
            results: Digest::of(b""),
            inventory: Some(inventory_digest(owned)),
        });
        self.append(subject, ENGINE, now, body).await
    }

    /// Settles what a crash left open: the target has been read anew, and the new plan names what
    /// is still to be done. What was open at another target stays so: nobody looked there.
    async fn resolve(
        &self,
        subject: &str,
        place: Place<'_>,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let open: Vec<u64> = {
            let state = self.state();
            let of_subject = state
                .replay
                .open
                .iter()
                .filter(|(_, open)| open.subject == subject && open.target == place.target);
            of_subject.map(|(index, _)| *index).collect()
        };
        let missing = |why: &Why| matches!(why, Why::Missing | Why::Changed | Why::Unwanted);
        let to_do = plan.steps.iter().filter(|step| missing(&step.why)).count() as u64;
        let done = plan.steps.len() as u64 - to_do;
        for intent in open {
            let body = Body::Resolve(Resolve { intent, done, open: to_do });
            self.append(subject, ENGINE, now, body).await?;
        }
        Ok(())
    }

    /// Records what came of an intent.
    ///
    /// # Errors
    /// When an entry cannot be made durable.
    pub async fn outcome(
        &self,
        subject: &str,
        intended: &Intended,
        plan: &Plan,
        report: &fixpoint_apply::Report,
        owned: &Inventory,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let Counts { created, configured, unchanged, deleted, failed, skipped } = report.counts();
        let intent = intended.permit.index();
        let body = Body::Outcome(Outcome {
            intent,
            created: created as u64,
            configured: configured as u64,
            unchanged: unchanged as u64,
            deleted: deleted as u64,
            failed: failed as u64,
            held: (skipped + plan.unfinished().count()) as u64,
            results: report.digest(),
            inventory: Some(inventory_digest(owned)),
        });
        if let Some(inventory) = intended.inventory.filter(|_| deleted > 0) {
            let prune = Body::Prune(Prune {
                intent,
                inventory,
                objects: pruned_digest(plan, report),
                count: deleted as u64,
            });
            self.append(subject, ENGINE, now, prune).await?;
        }
        self.append(subject, ENGINE, now, body).await?;
        Ok(())
    }

    /// Where a delivery last changed anything, or was about to: what its inventory names is there.
    pub fn target_of(&self, subject: &str) -> Option<String> {
        self.state().replay.targets.get(subject).cloned()
    }

    /// The newest entries, oldest first, each with its index.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn tail(&self, count: usize, subject: Option<&str>) -> Result<Vec<Value>, LedgerError> {
        let found = match subject {
            Some(subject) => self.ledger.subject(subject, count)?,
            None => self.ledger.tail(count as u64)?,
        };
        let numbered = found.into_iter().map(|Indexed { index, entry }| {
            let mut value = serde_json::to_value(entry).unwrap_or_default();
            value["index"] = index.into();
            value
        });
        Ok(numbered.collect())
    }

    /// The newest signed checkpoint, over everything that is durable by now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn checkpoint(&self) -> Result<String, LedgerError> {
        self.ledger.publish().await?;
        Ok(self.ledger.checkpoint())
    }

    /// Verifies the whole ledger as it is on disk, with the key that this engine signs with.
    ///
    /// # Errors
    /// When it cannot be read at all; what is wrong with it is in the report.
    pub async fn verify(&self) -> Result<Report, LedgerError> {
        self.ledger.verify().await
    }
}

/// An intent that touches nothing yet.
fn blank(subject: &str, place: Place<'_>, now: Timestamp) -> Intent {
    Intent {
        time: now.to_string(),
        actor: ENGINE.to_owned(),
        subject: subject.to_owned(),
        target: place.target.to_owned(),
        identity: place.identity.to_owned(),
        render: None,
        inventory: None,
        basis: Digest::of(b""),
        steps: Vec::new(),
    }
}

fn violation_entry(violation: &Violation, url: &str, held: bool) -> Body {
    Body::Violation(ViolationEntry {
        id: violation.id.clone(),
        store: url.to_owned(),
        name: violation.name.clone(),
        verdict: violation.verdict,
        old: violation.old.clone(),
        new: violation.new.clone(),
        held,
    })
}

fn inventory_digest(inventory: &Inventory) -> Digest {
    let entries: Vec<Value> =
        inventory.entries().iter().map(|entry| json!([entry.id, entry.v])).collect();
    canonical::digest(&Value::Array(entries))
}

/// Digest of the objects that are gone, with the uids they had.
fn pruned_digest(plan: &Plan, report: &fixpoint_apply::Report) -> Digest {
    let gone = plan.steps.iter().filter(|step| {
        step.verb == Verb::Delete
            && matches!(report.get(&step.key), Some(fixpoint_apply::Fate::Done(_)))
    });
    let uid = |step: &fixpoint_plan::Step| step.seen.as_ref().map(|seen| seen.uid.clone());
    let list = gone.map(|step| json!([step.key.to_string(), uid(step)])).collect();
    canonical::digest(&Value::Array(list))
}

/// The ledger refuses texts over 4,096 bytes; a long reason is cut, not refused.
fn shorten(mut text: String) -> String {
    const LONGEST: usize = 4000;
    if text.len() > LONGEST {
        let mut end = LONGEST;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
