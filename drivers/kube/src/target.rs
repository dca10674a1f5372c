//! A Kubernetes API server as a target: observe, perform, preview.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fixpoint_apply::{Change, Done, action};
use fixpoint_base::{Digest, Gvk, Key, Secret};
use fixpoint_health::State;
use fixpoint_ledger::Permit;
use fixpoint_plan::order::is_definition;
use fixpoint_plan::{FIELD_MANAGER, Hold, Id, Live, LiveObject, LiveSet, Plan, Scopes, Step, Verb};
use futures::{StreamExt, stream};
use http::{Method, StatusCode};
use kube::Client;
use kube::core::Status;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::call::{self, Answer, Call};
use crate::connect::{Connection, Dials};
use crate::error::{Act, TargetError, What};
use crate::kinds::{Kind, Kinds};
use crate::rest::Rest;
use crate::timely::timely;
use crate::{identity, immutable, path, takeover};

/// How a target is spoken to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The target's name on record; a permit for another target changes nothing here.
    pub name: String,
    /// The name under which fields are applied.
    pub manager: String,
    /// Keys the digests of Secrets.
    pub secret_key: Arc<Secret<Vec<u8>>>,
    /// How long one call may take; the client itself has no limit.
    pub call_limit: Duration,
    /// How long a definition may take to be served.
    pub establish_limit: Duration,
    /// How long a replaced object may take to go away.
    pub replace_limit: Duration,
    /// Objects that are read at once.
    pub width: usize,
}

impl Settings {
    /// The defaults: Flux's field manager, 30 s for a call, 60 s for a definition or a
    /// replacement, 16 reads at once.
    pub fn new(name: impl Into<String>, secret_key: Arc<Secret<Vec<u8>>>) -> Self {
        Self {
            name: name.into(),
            manager: FIELD_MANAGER.to_owned(),
            secret_key,
            call_limit: Duration::from_secs(30),
            establish_limit: Duration::from_secs(60),
            replace_limit: Duration::from_secs(60),
            width: 16,
        }
    }
}

/// One API server, with one identity. Cheap to clone; clones share what they know of it.
#[derive(Clone)]
pub struct KubeTarget {
    pub(crate) client: Client,
    rest: Rest,
    settings: Arc<Settings>,
    kinds: Arc<Kinds>,
    /// What each object looked like when it was last right, so that a watch can tell somebody
    /// else's change from the echo of our own.
    looks: Arc<Mutex<HashMap<Id, Digest>>>,
}

impl std::fmt::Debug for KubeTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeTarget").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// How long between two looks at something that is on its way.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl KubeTarget {
    /// Takes a client as the target; its identity is whose permissions count.
    pub fn new(client: Client, settings: Settings) -> Self {
        Self::connected(
            Connection { client, dials: Dials::default(), rest: Rest::default() },
            settings,
        )
    }

    /// As [`KubeTarget::new`], over a connection that others use as well.
    pub fn connected(connection: Connection, settings: Settings) -> Self {
        let Connection { client, dials: _, rest } = connection;
        let settings = Arc::new(settings);
        // For the watches; a call to the target has its own, shorter limit.
        let client = timely(client);
        Self { client, rest, settings, kinds: Arc::default(), looks: Arc::default() }
    }

    /// The client, for what is not about objects of a delivery.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks the cluster which one it is; see [`crate::cluster_of`].
    ///
    /// # Errors
    /// When it does not say.
    pub async fn cluster(&self) -> Result<String, TargetError> {
        identity::cluster_of(&self.client, &self.rest).await
    }

    /// Looks at objects, [`Settings::width`] at once. What cannot be read is
    /// [`Live::Unreadable`] with the reason; the others are read all the same.
    pub async fn observe(&self, keys: &[Key]) -> LiveSet {
        stream::iter(keys.iter().cloned())
            .map(|key| async move {
                let live = self.observe_one(&key).await;
                (key, live)
            })
            .buffer_unordered(self.settings.width.max(1))
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect()
    }

    async fn observe_one(&self, key: &Key) -> Live {
        match self.get(key).await {
            Ok(Some(object)) => Live::Object(self.read(&object)),
            Ok(None) => Live::Absent,
            Err(TargetError::UnknownKind { .. }) => Live::UnknownKind,
            Err(err) => Live::Unreadable { reason: fixpoint_base::Chain(&err).to_string() },
        }
    }

    /// Reads one object whole; `None` where there is none.
    pub async fn get(&self, key: &Key) -> Result<Option<Value>, TargetError> {
        let kind = self.kind(&key.gvk).await?;
        let call = Call::get(Act::Read, What::object(key), path::object(key, &kind)?);
        match self.send(&call).await? {
            Answer::Ok(_, object) => Ok(Some(object)),
            Answer::Missing(status) => {
                self.check_kind_is_served(key, &status).await?;
                Ok(None)
            }
            Answer::No(code, status) => Err(call.refusal(code, &status)),
        }
    }

    /// Carries out one step of a plan that the permit covers.
    ///
    /// `desired` is the object of an apply; a deletion has no use for it. An apply is one write. A [`Verb::Replace`] deletes and creates only where fields stand in
    /// the way that cannot change, and only after the server agreed that the new object is valid.
    /// An applied definition counts as done once its kinds are served.
    pub async fn perform(
        &self,
        permit: &Permit,
        step: &Step,
        desired: &Value,
    ) -> Result<Done, TargetError> {
        let what = || step.key.to_string();
        let act = if step.verb == Verb::Delete { Act::Delete } else { Act::Apply };
        if permit.target() != self.settings.name || !permit.covers(&step.key, action(step.verb)) {
            return Err(TargetError::NotPermitted { act, what: what() });
        }
        if step.verb == Verb::Delete {
            return self.delete(step).await;
        }
        if Key::of(desired).is_none_or(|key| key.identity() != step.key.identity()) {
            return Err(TargetError::NoObject { what: what() });
        }
        if !step.merge && step.seen.as_ref().is_some_and(|seen| !seen.edited_by.is_empty()) {
            self.take_back(&step.key).await?;
        }
        let done = match self.apply(step, desired).await {
            Err(TargetError::Immutable { .. }) if step.verb == Verb::Replace => {
                self.replace(step, desired).await?
            }
            outcome => outcome?,
        };
        if is_definition(&step.key.gvk) {
            self.established(&step.key, self.settings.establish_limit).await?;
        }
        Ok(done)
    }

    /// What the object would be after an apply, without applying it.
    pub async fn dry_run(&self, desired: &Value) -> Result<Value, TargetError> {
        let key = named(desired)?;
        let kind = self.kind(&key.gvk).await?;
        let call = self.patch_call(&key, &kind, desired, "&dryRun=All")?;
        match self.send(&call).await? {
            Answer::Ok(_, object) => Ok(object),
            Answer::Missing(status) => Err(self.missing_on_write(&call, &key, &status).await),
            Answer::No(code, status) => Err(refused_apply(&call, code, &status)),
        }
    }

    /// Waits until a definition is established and its kinds can be asked for.
    pub async fn established(&self, definition: &Key, limit: Duration) -> Result<(), TargetError> {
        let until = Instant::now() + limit;
        let mut message = String::new();
        loop {
            if let Some(object) = self.get(definition).await? {
                let health = fixpoint_health::assess(&object);
                message = health.message;
                match health.state {
                    State::Current if self.serves(&object).await? => return Ok(()),
                    State::Current => "its kinds are not served yet".clone_into(&mut message),
                    State::Failed => {
                        let what = definition.to_string();
                        return Err(TargetError::NotEstablished { what, message, failed: true });
                    }
                    State::InProgress | State::Terminating | State::NotFound | State::Unknown => {}
                }
            }
            if Instant::now() + LOOK_AGAIN >= until {
                let what = definition.to_string();
                return Err(TargetError::NotEstablished { what, message, failed: false });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Takes note that the objects that a plan found up to date are right as they were observed,
    /// so that watches report them when they change and not before.
    ///
    /// Not for previews: what a preview saw, no run has dealt with.
    pub fn found_right(&self, plan: &Plan, live: &LiveSet) {
        for (key, hold) in &plan.left {
            if let (Hold::UpToDate, Some(Live::Object(live))) = (hold, live.get(key)) {
                self.settle(key, Some(live.look));
            }
        }
    }

    /// Whether every served version of a definition is among the kinds that can be asked for.
    async fn serves(&self, definition: &Value) -> Result<bool, TargetError> {
        for gvk in defined(definition) {
            self.kinds.forget(&gvk).await;
            match self.kind(&gvk).await {
                Ok(_) => {}
                Err(TargetError::UnknownKind { .. }) => return Ok(false),
                Err(err) => return Err(err),
            }
        }
        Ok(true)
    }

    async fn apply(&self, step: &Step, desired: &Value) -> Result<Done, TargetError> {
        let kind = self.kind(&step.key.gvk).await?;
        let call = self.patch_call(&step.key, &kind, desired, "")?;
        match self.send(&call).await? {
            Answer::Ok(code, object) => {
                let live = self.read(&object);
                self.settle(&step.key, Some(live.look));
                let change = change(code, step, &live);
                Ok(Done { change, uid: live.uid, owned: live.owned })
            }
            Answer::Missing(status) => Err(self.missing_on_write(&call, &step.key, &status).await),
            Answer::No(code, status) => Err(refused_apply(&call, code, &status)),
        }
    }

    /// Deletes an object that cannot be changed and makes it anew.
    async fn replace(&self, step: &Step, desired: &Value) -> Result<Done, TargetError> {
        self.check_can_be_made(&step.key, desired).await?;
        tracing::info!(object = %step.key, "replacing an object that cannot be changed");
        let uid = step.seen.as_ref().map(|seen| seen.uid.clone());
        self.remove(&step.key, uid.as_deref()).await?;
        self.gone(&step.key, uid.as_deref()).await?;
        let done = self.apply(step, desired).await?;
        Ok(Done { change: Change::Configured, ..done })
    }

    /// Asks the server whether it would make this object; that the name is taken means that
    /// nothing else is wrong.
    async fn check_can_be_made(&self, key: &Key, desired: &Value) -> Result<(), TargetError> {
        let kind = self.kind(&key.gvk).await?;
        let manager = &self.settings.manager;
        let call = Call {
            act: Act::Apply,
            what: What::object(key),
            method: Method::POST,
            path: format!("{}?dryRun=All&fieldManager={manager}", path::collection(key, &kind)?),
            content_type: "application/json",
            body: desired.to_string().into_bytes(),
        };
        match self.send(&call).await? {
            Answer::Ok(..) | Answer::No(409, _) => Ok(()),
            Answer::Missing(status) => Err(self.missing_on_write(&call, key, &status).await),
            Answer::No(code, status) => Err(call.refusal(code, &status)),
        }
    }

    async fn delete(&self, step: &Step) -> Result<Done, TargetError> {
        let uid = step.seen.as_ref().map(|seen| seen.uid.clone());
        self.remove(&step.key, uid.as_deref()).await?;
        Ok(Done { change: Change::Deleted, uid: uid.unwrap_or_default(), owned: None })
    }

    /// Deletes the object with this uid, and what belongs to it in the background. That it is gone
    /// already is as good.
    async fn remove(&self, key: &Key, uid: Option<&str>) -> Result<(), TargetError> {
        let kind = match self.kind(&key.gvk).await {
            Err(TargetError::UnknownKind { .. }) => return Ok(()),
            kind => kind?,
        };
        let options = json!({
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        });
        let call = Call {
            act: Act::Delete,
            what: What::object(key),
            method: Method::DELETE,
            path: path::object(key, &kind)?,
            content_type: "application/json",
            body: options.to_string().into_bytes(),
        };
        match self.send(&call).await? {
            Answer::Ok(..) | Answer::Missing(_) => {
                self.settle(key, None);
                if is_definition(&key.gvk) {
                    self.kinds.clear().await;
                }
                Ok(())
            }
            Answer::No(409, _) => Err(TargetError::Changed { what: key.to_string() }),
            Answer::No(code, status) => Err(call.refusal(code, &status)),
        }
    }

    /// Waits until the object with this uid is gone.
    async fn gone(&self, key: &Key, uid: Option<&str>) -> Result<(), TargetError> {
        let limit = self.settings.replace_limit;
        let until = Instant::now() + limit;
        loop {
            let there = self.get(key).await?;
            let same = there.is_some_and(|object| {
                uid.is_none() || object.pointer("/metadata/uid").and_then(Value::as_str) == uid
            });
            if !same {
                return Ok(());
            }
            if Instant::now() + LOOK_AGAIN >= until {
                return Err(TargetError::StillThere { what: key.to_string(), limit });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Folds the fields that people edited into ours, so that the apply that follows reverts them.
    async fn take_back(&self, key: &Key) -> Result<(), TargetError> {
        let kind = self.kind(&key.gvk).await?;
        let Some(live) = self.get(key).await? else { return Ok(()) };
        let Some(patch) = takeover::patch(&live, &self.settings.manager) else { return Ok(()) };
        let manager = &self.settings.manager;
        let call = Call {
            act: Act::Apply,
            what: What::object(key),
            method: Method::PATCH,
            path: format!("{}?fieldManager={manager}", path::object(key, &kind)?),
            content_type: "application/json-patch+json",
            body: patch.to_string().into_bytes(),
        };
        match self.send(&call).await? {
            Answer::Ok(..) | Answer::Missing(_) => Ok(()),
            Answer::No(code, status) => Err(call.refusal(code, &status)),
        }
    }

    fn patch_call(
        &self,
        key: &Key,
        kind: &Kind,
        desired: &Value,
        query: &str,
    ) -> Result<Call, TargetError> {
        let manager = &self.settings.manager;
        Ok(Call {
            act: Act::Apply,
            what: What::object(key),
            method: Method::PATCH,
            path: format!("{}?fieldManager={manager}&force=true{query}", path::object(key, kind)?),
            content_type: "application/apply-patch+yaml",
            // JSON is YAML.
            body: desired.to_string().into_bytes(),
        })
    }

    /// Which of these kinds have no namespace here; one that is not known here is left out.
    ///
    /// # Errors
    /// When the server cannot say what it serves: a wrong name must not be guessed.
    pub async fn scopes(&self, kinds: &BTreeSet<Gvk>) -> Result<Scopes, TargetError> {
        let mut scopes = Scopes::default();
        for gvk in kinds {
            match self.kind(gvk).await {
                Ok(kind) if !kind.namespaced => scopes.insert_cluster(&gvk.group, &gvk.kind),
                Ok(_) | Err(TargetError::UnknownKind { .. }) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(scopes)
    }

    pub(crate) async fn kind(&self, gvk: &Gvk) -> Result<Kind, TargetError> {
        self.kinds.find(&self.client, &self.rest, gvk, self.settings.call_limit).await
    }

    pub(crate) async fn forget_kind(&self, gvk: &Gvk) {
        self.kinds.forget(gvk).await;
    }

    async fn send(&self, call: &Call) -> Result<Answer, TargetError> {
        call::send(&self.client, &self.rest, call, self.settings.call_limit).await
    }

    fn read(&self, object: &Value) -> LiveObject {
        let key = self.settings.secret_key.expose("digests of Secrets are keyed");
        LiveObject::of(object, &self.settings.manager, key)
    }

    /// A missing object is a fact; a missing kind is another one.
    async fn check_kind_is_served(&self, key: &Key, status: &Status) -> Result<(), TargetError> {
        if status.details.as_ref().is_some_and(|details| details.name == key.name) {
            return Ok(());
        }
        self.kinds.forget(&key.gvk).await;
        self.kind(&key.gvk).await.map(drop)
    }

    /// A write finds nothing where the kind or the namespace is missing.
    async fn missing_on_write(&self, call: &Call, key: &Key, status: &Status) -> TargetError {
        match self.check_kind_is_served(key, status).await {
            Err(err) => err,
            Ok(()) => call.refusal(404, status),
        }
    }

    fn settle(&self, key: &Key, look: Option<Digest>) {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        match look {
            Some(look) => looks.insert(Id::from(key), look),
            None => looks.remove(&Id::from(key)),
        };
    }

    /// What the object looked like when it was last right; `None` where we know of none.
    pub(crate) fn look(&self, key: &Key) -> Option<Digest> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.get(&Id::from(key)).copied()
    }

    /// Forgets an object that went away.
    pub(crate) fn lost(&self, key: &Key) {
        self.settle(key, None);
    }
}

/// What an answered apply did to the object.
fn change(code: StatusCode, step: &Step, live: &LiveObject) -> Change {
    if code == StatusCode::CREATED {
        return Change::Created;
    }
    // A new version alone may be somebody's status; the fields that are ours tell.
    let same = step.seen.as_ref().is_some_and(|seen| {
        seen.uid == live.uid
            && (seen.resource_version == live.resource_version
                || (seen.owned.is_some() && seen.owned == live.owned && seen.edited_by.is_empty()))
    });
    if same { Change::Unchanged } else { Change::Configured }
}

fn refused_apply(call: &Call, code: u16, status: &Status) -> TargetError {
    match immutable::fields(code, status) {
        Some(fields) => TargetError::Immutable { what: call.what.name.clone(), fields },
        None => call.refusal(code, status),
    }
}

fn named(desired: &Value) -> Result<Key, TargetError> {
    Key::of(desired)
        .ok_or_else(|| TargetError::NoObject { what: "an object without a name".into() })
}

/// The kinds that a definition serves.
fn defined(definition: &Value) -> Vec<Gvk> {
    let text = |at: &str| definition.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    versions
        .into_iter()
        .flatten()
        .filter(|version| version.get("served").and_then(Value::as_bool) == Some(true))
        .filter_map(|version| version.get("name")?.as_str())
        .map(|version| Gvk::new(text("/spec/group"), version, text("/spec/names/kind")))
        .collect()
}
