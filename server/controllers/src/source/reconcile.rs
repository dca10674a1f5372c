//! One run for one source.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fixpoint_api_types::interval::Interval;
use fixpoint_api_types::names::{annotations, managers, reasons};
use fixpoint_api_types::{
    GitRepository, GitRepositoryRef, GitRepositoryStatus, unsupported_fields,
};
use fixpoint_base::{Chain, Classified as _, object};
use fixpoint_source::verdict::{self, Delivery, History, Read, Seen, Violation};
use fixpoint_source::{
    Ancestry, Content, Location, NameClass, Pointer, Reference, Selection, Store, StoreError,
};
use serde_json::Value;
use tokio::time::Instant;

use super::credentials::{self, Access, CredentialsError};
use super::inclusion::{self, Included};
use super::selection;
use super::status::{self, Said};
use super::storing::Version;
use super::verification::{Refused, Verified};
use crate::context::{Context, jittered};
use crate::events::Severity;
use crate::looper::{Named, Next};
use crate::record::{Acknowledged, Seeing};
use crate::stage::{Stage, StageName};
use crate::world::Kind;

/// Brings one source's artifact to what its store says, or records why it may not.
///
/// Takes no event: it reads the whole state each time, so a missed or doubled wake-up changes
/// nothing. Safe to run again at any point, including half way through.
pub async fn reconcile(ctx: Arc<Context>, name: Named) -> Option<Next> {
    let object = match crate::read(&ctx, Kind::Source, &name).await {
        Ok(object) => object?,
        Err(err) => return Some(crate::unreadable(&ctx, Kind::Source, &name, &err)),
    };
    let old = object["status"].clone();
    let repository: GitRepository = match serde_json::from_value(object.clone()) {
        Ok(repository) => repository,
        Err(err) => return Some(crate::malformed(&ctx, Kind::Source, &name, &object, &err).await),
    };
    let run = Run { ctx: &ctx, name: &name, object: &object, repository: &repository };
    if repository.metadata.deletion_timestamp.is_some() {
        return run.finalize().await;
    }
    if repository.spec.suspend {
        return Some(Next::Never("it is suspended".to_owned()));
    }
    if let Err(err) = crate::hold_on(&ctx, Kind::Source, &name, &object).await {
        return Some(crate::unreadable(&ctx, Kind::Source, &name, &err));
    }
    let said = run.advance().await;
    let next = run.next(&said);
    let status = run.status(&old, &said);
    let written = crate::status::write(
        &ctx.client,
        Kind::Source,
        &name,
        managers::SOURCE_STATUS,
        &old,
        &status,
    );
    match written.await {
        Ok(changed) => {
            if changed {
                run.announce(&old, &said).await;
            }
            Some(next)
        }
        Err(err) => Some(crate::unreadable(&ctx, Kind::Source, &name, &err)),
    }
}

pub(super) struct Run<'a> {
    pub ctx: &'a Arc<Context>,
    pub name: &'a Named,
    pub object: &'a Value,
    pub repository: &'a GitRepository,
}

/// What is declared of the version that is wanted.
struct Declared {
    reference: Reference,
    history: Option<History>,
    selection: Selection,
    /// What is wrong with these is told once the version is judged: a broken promise comes first.
    included: Result<Vec<Included>, Said>,
}

/// What a store is asked within one run, on a thread that may block.
struct Asked {
    pointer: Result<Pointer, StoreError>,
    /// What cannot be asked is an error, and no verdict is reached; what cannot be told is
    /// [`Ancestry::Unknown`].
    ancestry: Result<Ancestry, StoreError>,
}

impl Run<'_> {
    pub fn subject(&self) -> String {
        format!("GitRepository/{}", self.name)
    }

    async fn advance(&self) -> Said {
        match self.try_advance().await {
            Ok(said) => said,
            Err(said) => said,
        }
    }

    /// The belt up to the artifact: each step ends the run early with what it has to say.
    async fn try_advance(&self) -> Result<Said, Said> {
        let spec = &self.repository.spec;
        let unsupported = unsupported_fields(spec);
        if !unsupported.is_empty() {
            return Err(Said::unsupported(&unsupported));
        }
        let declared = self.declared()?;
        let store = self.open().await?;

        let began = Instant::now();
        let asked = self.ask(&store, &declared.reference).await;
        let pointer = match asked.pointer {
            Ok(pointer) => Some(pointer),
            Err(err) if self.is_gone(&declared.reference, &err) => None,
            Err(err) => return Err(self.fetch_failed(&err, began.elapsed())),
        };
        let settled = pointer.as_ref().is_some_and(|pointer| self.is_settled(&declared, pointer));
        let ancestry = asked.ancestry.map_err(|err| self.fetch_failed(&err, began.elapsed()));
        let signed = match &pointer {
            Some(pointer) => {
                // What was accepted stays so when its key expires, not when the key is taken away.
                let at = if settled { self.stored_at() } else { self.ctx.now().as_second() };
                match self.verify(&store, pointer, at, began).await? {
                    Ok(signed) => signed.map(Box::new),
                    Err(refused) => {
                        return self.refuse(&declared, pointer, ancestry?, refused, began).await;
                    }
                }
            }
            None => None,
        };
        if settled {
            return Ok(Said::Same { signed });
        }
        self.judge(store, declared, pointer, ancestry?, signed, began).await
    }

    fn declared(&self) -> Result<Declared, Said> {
        let (spec, limits) = (&self.repository.spec, &self.ctx.limits);
        let includes = inclusion::declared(spec, limits)?;
        Ok(Declared {
            reference: reference(spec.reference.as_ref()),
            history: self.history()?,
            selection: selection::declared(spec, limits)?,
            included: inclusion::find(self.ctx, self.name, includes),
        })
    }

    fn history(&self) -> Result<Option<History>, Said> {
        let declared = object::annotation(self.object, annotations::HISTORY);
        declared
            .map(str::parse)
            .transpose()
            .map_err(|err: verdict::UnknownHistory| Said::stalled("InvalidHistoryPolicy", &err))
    }

    async fn open(&self) -> Result<Arc<dyn Store>, Said> {
        let spec = &self.repository.spec;
        let access = credentials::read(&self.ctx.client, &self.name.namespace, spec)
            .await
            .map_err(|err| {
                let reason = match err {
                    CredentialsError::Unreadable { .. } => reasons::GIT_OPERATION_FAILED,
                    _ => reasons::AUTHENTICATION_FAILED,
                };
                Said::Failed { reason, message: Chain(&err).to_string() }
            })?;
        let Access { credentials, ca, certificate, proxy } = access;
        let (url, timeout) = (spec.url.clone(), timeout(&spec.timeout));
        let submodule_hosts = self.submodule_hosts();
        let location =
            Location { url, credentials, ca, certificate, proxy, submodule_hosts, timeout };
        match self.ctx.stores.open(location) {
            Ok(store) => Ok(Arc::from(store)),
            Err(err) => Err(self.fetch_failed(&err, Duration::ZERO)),
        }
    }

    /// Other servers that somebody allowed submodules to come from.
    fn submodule_hosts(&self) -> Vec<String> {
        let declared = object::annotation(self.object, annotations::SUBMODULE_HOSTS);
        let hosts = declared.unwrap_or_default().split(',').map(str::trim);
        hosts.filter(|host| !host.is_empty()).map(str::to_owned).collect()
    }

    /// Asks where the reference leads and, if the verdict needs it, how old and new relate.
    async fn ask(&self, store: &Arc<dyn Store>, reference: &Reference) -> Asked {
        let store = store.clone();
        let reference = reference.clone();
        let known = self.ctx.record.known(&self.subject(), &self.repository.spec.url);
        blocking(move || {
            let pointer = store.pointer(&reference);
            let ancestry = match &pointer {
                Ok(pointer) => match verdict::asks_about(known.position(&reference), pointer) {
                    Some(old) => store.ancestry(old, pointer),
                    None => Ok(Ancestry::Unknown),
                },
                Err(_) => Ok(Ancestry::Unknown),
            };
            Asked { pointer, ancestry }
        })
        .await
    }

    /// Whether the store says that a name is gone which it had before.
    fn is_gone(&self, reference: &Reference, err: &StoreError) -> bool {
        let known = self.ctx.record.known(&self.subject(), &self.repository.spec.url);
        matches!(err, StoreError::NoSuchName { .. }) && known.position(reference).is_some()
    }

    /// Whether the version is the one that is stored, accepted, and declared ready.
    fn is_settled(&self, declared: &Declared, pointer: &Pointer) -> bool {
        let Declared { reference, history: _, selection, included } = declared;
        let Ok(included) = included else { return false };
        let known = self.ctx.record.known(&self.subject(), &self.repository.spec.url);
        let accepted = known.position(reference).is_some_and(|known| {
            known.commit == pointer.commit
                && known.tag_object == pointer.tag_object
                && known.selection == selection.digest()
                && !known.gone
        });
        accepted && self.stored(pointer, included)
    }

    /// Whether the artifact in the status is of this version and really there.
    fn stored(&self, pointer: &Pointer, included: &[Included]) -> bool {
        self.repository.status.as_ref().is_some_and(|status| {
            selection::is_observed(&self.repository.spec, status)
                && inclusion::is_observed(&self.repository.spec, status, included)
                && status.artifact.as_ref().is_some_and(|artifact| {
                    artifact.revision == pointer.revision()
                        && self.ctx.artifacts.has(&artifact.path, &artifact.digest)
                })
        })
    }

    /// When the artifact in the status was stored.
    fn stored_at(&self) -> i64 {
        let artifact = self.repository.status.as_ref().and_then(|status| status.artifact.as_ref());
        artifact.map_or(i64::MAX, |artifact| artifact.last_update_time.0.as_second())
    }

    /// Puts on record that a version is refused for its signature.
    async fn refuse(
        &self,
        declared: &Declared,
        pointer: &Pointer,
        ancestry: Ancestry,
        refused: Refused,
        began: Instant,
    ) -> Result<Said, Said> {
        let url = &self.repository.spec.url;
        let known = self.ctx.record.known(&self.subject(), url);
        let finding = known.judge(&declared.reference, &Seen::At(pointer, None), ancestry);
        let seeing = Seeing {
            subject: self.subject(),
            url: url.clone(),
            reference: declared.reference.clone(),
            pointer: Some(pointer.clone()),
            read: None,
            included: Vec::new(),
            whole: None,
            signature: Some(refused.evidence.clone()),
            files: 0,
            bytes: 0,
            submodules: Vec::new(),
            verdict: finding.verdict,
            history: declared.history.unwrap_or(History::default_for(pointer.class)),
            artifact: None,
            now: self.ctx.now(),
        };
        self.record(self.ctx.record.refused(seeing)).await?;
        self.tell(StageName::Verdict, &refused.message, began.elapsed(), false);
        Ok(Said::Unverified { refused: Box::new(refused) })
    }

    async fn judge(
        &self,
        store: Arc<dyn Store>,
        declared: Declared,
        pointer: Option<Pointer>,
        ancestry: Ancestry,
        signed: Option<Box<Verified>>,
        began: Instant,
    ) -> Result<Said, Said> {
        let Declared { reference, history, selection, included } = declared;
        let url = &self.repository.spec.url;
        let known = self.ctx.record.known(&self.subject(), url);
        let fetched = match &pointer {
            Some(pointer) => Some(self.fetch(&store, pointer, &selection, began).await?),
            None => None,
        };
        let began = Instant::now();
        let read = fetched.as_ref().map(|(_, read)| *read);
        let seen = match &pointer {
            Some(pointer) => Seen::At(pointer, read),
            None => Seen::Gone,
        };
        let finding = known.judge(&reference, &seen, ancestry);
        let class = pointer.as_ref().map_or(NameClass::Branch, |pointer| pointer.class);
        let history = history.unwrap_or(History::default_for(class));
        let since = finding.old.as_ref().and_then(|old| {
            self.ctx.record.since(&self.subject(), url, &finding.name, &old.commit)
        });
        let broken = Violation::of(&self.subject(), &finding, since);
        let (acknowledged, unproven) = match self.acknowledged(broken.as_ref()).await {
            Ok(acknowledged) => (acknowledged, None),
            Err(why) => (None, Some(why)),
        };
        let ids: BTreeSet<String> = acknowledged.iter().map(|ack| ack.id.clone()).collect();
        let delivery = verdict::decide(&self.subject(), &finding, since, history, &ids);

        let seeing = Seeing {
            subject: self.subject(),
            url: url.clone(),
            reference,
            pointer: pointer.clone(),
            read,
            included: Vec::new(),
            whole: None,
            signature: signed.as_ref().map(|signed| signed.evidence.clone()),
            files: fetched.as_ref().map_or(0, |(content, _)| content.tree.len() as u64),
            bytes: fetched.as_ref().map_or(0, |(content, _)| content.tree.bytes()),
            submodules: fetched
                .as_ref()
                .map_or_else(Vec::new, |(content, _)| content.submodules.clone()),
            verdict: finding.verdict,
            history,
            artifact: None,
            now: self.ctx.now(),
        };
        match (delivery, pointer, fetched) {
            (Delivery::Hold { violation }, _, _) => {
                self.record(self.ctx.record.held(seeing, &violation)).await?;
                self.tell(StageName::Verdict, &violation.held(), began.elapsed(), false);
                Ok(Said::Held { violation: Box::new(violation), unproven, signed })
            }
            (Delivery::Deliver { warning }, Some(pointer), Some((content, _))) => {
                let answered = match (acknowledged, broken) {
                    (Some(ack), Some(broken)) if warning.is_none() && ack.id == broken.id => {
                        Some((ack, broken))
                    }
                    _ => None,
                };
                let version = Version { pointer, content, included: included?, signed };
                self.store(seeing, version, warning, answered, began).await
            }
            // A name that is gone is always held; without a pointer there is nothing to deliver.
            (Delivery::Deliver { .. }, _, _) => Ok(Said::Same { signed: None }),
        }
    }

    /// The answer to this violation, where there is one and it is proven who gave it.
    async fn acknowledged(
        &self,
        broken: Option<&Violation>,
    ) -> Result<Option<Acknowledged>, String> {
        let answer = Acknowledged::read(self.object, annotations::SOURCE_ACKNOWLEDGE);
        let to_this = |ack: &Acknowledged| broken.is_some_and(|broken| broken.id == ack.id);
        match answer.filter(to_this) {
            Some(ack) => self.ctx.proof.check(ack).await.map(Some),
            None => Ok(None),
        }
    }

    async fn fetch(
        &self,
        store: &Arc<dyn Store>,
        pointer: &Pointer,
        selection: &Selection,
        began: Instant,
    ) -> Result<(Content, Read), Said> {
        let (store, at, selection) = (store.clone(), pointer.clone(), selection.clone());
        let fetched = blocking(move || {
            let content = store.content(&at, &selection)?;
            let read = Read { tree: content.tree.digest(), selection: selection.digest() };
            Ok::<_, StoreError>((content, read))
        });
        let fetched = fetched.await;
        let (content, read) = fetched.map_err(|err| self.fetch_failed(&err, began.elapsed()))?;
        let detail = format!("{} {:?}", short(&pointer.revision()), content.subject);
        self.tell(StageName::Fetched, &detail, began.elapsed(), true);
        Ok((content, read))
    }

    pub async fn record(
        &self,
        written: impl Future<Output = Result<(), fixpoint_driver_store::LedgerError>>,
    ) -> Result<(), Said> {
        written.await.map_err(|err| Said::Failed {
            reason: "LedgerFailed",
            message: format!("nothing is delivered that is not on record: {}", Chain(&err)),
        })
    }

    pub fn fetch_failed(&self, err: &StoreError, took: Duration) -> Said {
        let mut message = Chain(err).to_string();
        if let Some(hint) = err.hint() {
            message = format!("{message} ({hint})");
        }
        self.tell(StageName::Fetched, &message, took, false);
        let reason = match err {
            StoreError::Unauthorised { .. }
            | StoreError::Credentials { .. }
            | StoreError::Untrusted { .. } => reasons::AUTHENTICATION_FAILED,
            StoreError::Url { .. } | StoreError::NotAllowed { .. } => reasons::URL_INVALID,
            _ => reasons::GIT_OPERATION_FAILED,
        };
        match err {
            StoreError::Url { .. }
            | StoreError::NotAllowed { .. }
            | StoreError::Reference { .. } => Said::Stalled { reason, message },
            StoreError::Unsupported { .. } => Said::Stalled { reason: "Unsupported", message },
            _ => Said::Failed { reason, message },
        }
    }

    pub fn tell(&self, name: StageName, detail: &str, took: Duration, ok: bool) {
        let (subject, detail) = (self.subject(), detail.to_owned());
        self.ctx.stages.tell(Stage { subject, name, detail, took, ok });
    }

    fn requested_at(&self) -> Option<String> {
        object::annotation(self.object, annotations::RECONCILE_REQUESTED_AT).map(str::to_owned)
    }

    fn status(&self, old: &Value, said: &Said) -> GitRepositoryStatus {
        let before: GitRepositoryStatus = serde_json::from_value(old.clone()).unwrap_or_default();
        let generation = self.repository.metadata.generation;
        let url = &self.repository.spec.url;
        let known = self.ctx.record.known(&self.subject(), url);
        let mut status = status::after(
            before,
            said,
            generation,
            self.ctx.now(),
            known.positions().next().is_some(),
            self.repository.spec.verify.is_some(),
        );
        if let Said::Stored { included, .. } = said {
            selection::observe(&self.repository.spec, &mut status);
            inclusion::observe(&self.repository.spec, &mut status, included);
        }
        if let Some(requested) = self.requested_at() {
            status.last_handled_reconcile_at = Some(requested);
        }
        status
    }

    fn next(&self, said: &Said) -> Next {
        let interval = duration(&self.repository.spec.interval);
        match said {
            Said::Same { .. } | Said::Stored { .. } => {
                self.ctx.succeeded(Kind::Source, self.name);
                Next::Settled(jittered(interval))
            }
            Said::Held { violation, .. } => {
                self.ctx.succeeded(Kind::Source, self.name);
                let wait =
                    format!("an acknowledgement, or the store's repair: {}", violation.fact());
                Next::Wait(jittered(interval), wait)
            }
            Said::Unverified { refused } if refused.stalled => Next::Never(refused.message.clone()),
            Said::Unverified { refused } => {
                let pause = self.ctx.failed(Kind::Source, self.name).min(interval);
                Next::Retry(pause, refused.message.clone())
            }
            Said::Unavailable { message, .. } => {
                self.ctx.succeeded(Kind::Source, self.name);
                // The watches wake us when what is included comes.
                Next::Wait(jittered(interval), message.clone())
            }
            Said::Failed { message, .. } => {
                Next::Retry(self.ctx.failed(Kind::Source, self.name).min(interval), message.clone())
            }
            Said::Stalled { message, .. } => Next::Never(message.clone()),
        }
    }

    async fn announce(&self, old: &Value, said: &Said) {
        let event = |severity, reason: &'static str, message: String| async move {
            self.ctx.event(Kind::Source, self.object, severity, reason, &message).await;
        };
        match said {
            Said::Same { .. } => {}
            Said::Unverified { refused } => {
                event(Severity::Warning, refused.reason, refused.message.clone()).await;
            }
            Said::Stored { artifact, .. } => {
                if old["artifact"]["digest"] != artifact.digest.as_str() {
                    let message = format!("stored artifact for revision '{}'", artifact.revision);
                    event(Severity::Normal, "NewArtifact", message).await;
                }
            }
            Said::Held { violation, unproven, .. } => {
                let message = status::held(violation, unproven.as_deref());
                event(Severity::Warning, reasons::GIT_SEMANTICS_VIOLATION, message).await;
            }
            Said::Unavailable { reason, message }
            | Said::Failed { reason, message }
            | Said::Stalled { reason, message } => {
                event(Severity::Warning, reason, message.clone()).await;
            }
        }
    }

    /// Removes what is stored of a source that is being deleted. Its history stays on record.
    async fn finalize(&self) -> Option<Next> {
        let artifacts = self.ctx.artifacts.clone();
        let (namespace, name) = (self.name.namespace.clone(), self.name.name.clone());
        let cleared = blocking(move || artifacts.clear("gitrepository", &namespace, &name)).await;
        if let Err(err) = cleared {
            let pause = self.ctx.failed(Kind::Source, self.name);
            return Some(Next::Retry(pause, Chain(&err).to_string()));
        }
        match crate::let_go(self.ctx, Kind::Source, self.name, self.object).await {
            Ok(()) => {
                self.ctx.succeeded(Kind::Source, self.name);
                None
            }
            Err(err) => Some(crate::unreadable(self.ctx, Kind::Source, self.name, &err)),
        }
    }
}

/// The version that is wanted, in Flux's order of precedence; nothing set means `master`.
fn reference(declared: Option<&GitRepositoryRef>) -> Reference {
    let Some(declared) = declared else { return Reference::Branch("master".to_owned()) };
    let GitRepositoryRef { branch, tag, semver, name, commit } = declared.clone();
    let set = |field: Option<String>| field.filter(|text| !text.is_empty());
    if let Some(id) = set(commit) {
        Reference::Commit { id, branch: set(branch) }
    } else if let Some(name) = set(name) {
        Reference::Name(name)
    } else if let Some(range) = set(semver) {
        Reference::Semver(range)
    } else if let Some(tag) = set(tag) {
        Reference::Tag(tag)
    } else {
        Reference::Branch(set(branch).unwrap_or_else(|| "master".to_owned()))
    }
}

/// The schema has checked the text; one that slips through counts as a minute.
fn duration(interval: &Interval) -> Duration {
    interval.duration().filter(|found| !found.is_zero()).unwrap_or(Duration::from_secs(60))
}

pub(super) fn timeout(declared: &Interval) -> Duration {
    duration(declared)
}

/// A revision with its id cut to what a person can compare.
pub(super) fn short(revision: &str) -> String {
    match revision.split_once("sha1:") {
        Some((name, id)) => format!("{name}sha1:{}", id.chars().take(8).collect::<String>()),
        None => revision.to_owned(),
    }
}

/// Runs what blocks where blocking is allowed. A panic goes on in the run that asked.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn precedence_of_references() {
        let parse = |value: Value| reference(Some(&serde_json::from_value(value).unwrap()));
        let all = json!({"commit": "c", "name": "n", "semver": "s", "tag": "t", "branch": "b"});
        let mut fields = all.as_object().unwrap().clone();
        let mut seen = Vec::new();
        for field in ["commit", "name", "semver", "tag", "branch"] {
            seen.push(format!("{:?}", parse(Value::Object(fields.clone()))));
            fields.remove(field);
        }
        seen.push(format!("{:?}", reference(None)));
        assert_eq!(
            seen,
            [
                "Commit { id: \"c\", branch: Some(\"b\") }",
                "Name(\"n\")",
                "Semver(\"s\")",
                "Tag(\"t\")",
                "Branch(\"b\")",
                "Branch(\"master\")"
            ]
        );
    }
}
