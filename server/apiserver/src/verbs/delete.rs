//! `DELETE`: of one object, and of all that a selection names.

use std::sync::Arc;

use fixpoint_api_machinery::status;
use http::StatusCode;
use serde_json::{Value, json};

use super::Target;
use super::commit::{Committed, current};
use super::options::{DeleteOptions, Propagation};
use super::select::Selection;
use super::update::is_finished;
use crate::bootstrap;
use crate::kinds::{DEFINITIONS, Kind, NAMESPACES};
use crate::present::{Shown, View};
use crate::server::Server;
use crate::store::{Change, Name, Object, state::Page};
use crate::wire::{Answer, Failure, Request, accept, reply};

/// What foreground deletion waits on.
pub const FOREGROUND: &str = "foregroundDeletion";
/// What makes dependents forget their owner before it goes.
pub const ORPHAN: &str = "orphan";
/// What a definition waits on: the deletion of its objects.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

const TRIES: usize = 50;

/// How a deletion ended.
pub enum Deleted {
    /// The object is gone; this was its last state.
    Gone(Arc<Object>),
    /// Its deletion has begun and waits for its finalizers.
    Waiting(Shown),
    /// It would be gone.
    WouldGo(Arc<Object>),
}

impl Server {
    /// Answers the deletion of one object.
    pub async fn delete(&self, request: &Request, target: &Target) -> Answer {
        let options = DeleteOptions::parse(request)?;
        let accepted = accept::objects(request.header(http::header::ACCEPT))?;
        let name = target.key();
        let deleted = self.delete_object(&target.kind, &name, &options).await?;
        Ok(match deleted.ok_or_else(|| target.not_found())? {
            Deleted::Gone(object) | Deleted::WouldGo(object) => {
                let Kind { group, plural, .. } = &*target.kind;
                let status = status::success(group, plural, &object.name.name, &object.uid);
                reply::value(StatusCode::OK, &status)
            }
            Deleted::Waiting(shown) => {
                let view = View::new(&target.kind, accepted, &request.query, self.now());
                view.one(StatusCode::OK, &shown)
            }
        })
    }

    /// Answers the deletion of a collection.
    pub async fn delete_collection(&self, request: &Request, target: &Target) -> Answer {
        let options = DeleteOptions::parse(request)?;
        let accepted = accept::objects(request.header(http::header::ACCEPT))?;
        let selection = Selection::parse(target, &request.query)?;
        let page = Page { namespace: target.namespace.clone(), after: None };
        let (found, revision): (Vec<Arc<Object>>, u64) = {
            let state = self.store.read();
            let objects = state.range(&target.kind.resource, &page);
            let selected = objects.filter(|object| selection.matches(object)).cloned().collect();
            (selected, state.revision())
        };
        self.delete_all(&target.kind, &found, &options).await?;
        let view = View::new(&target.kind, accepted, &request.query, self.now());
        Ok(view.list(&found, &json!({"resourceVersion": revision.to_string()})))
    }

    /// Deletes objects together, so that they share syncs. Objects that are gone are no error.
    pub async fn delete_all(
        &self,
        kind: &Kind,
        objects: &[Arc<Object>],
        options: &DeleteOptions,
    ) -> Result<(), Failure> {
        let chunk = self.options.limits.batch_writes.max(1);
        for chunk in objects.chunks(chunk) {
            let deletions = chunk.iter().map(|object| {
                let only = DeleteOptions {
                    uid: options.uid.clone().or_else(|| Some(object.uid.clone())),
                    ..options.clone()
                };
                async move { self.delete_object(kind, &object.name, &only).await }
            });
            for outcome in futures::future::join_all(deletions).await {
                match outcome {
                    Ok(_) => {}
                    // Another object has taken the name: not what was asked to go.
                    Err(failure) if failure.code() == 409 => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(())
    }

    /// Deletes one object, or begins to; `None` when there is none.
    pub async fn delete_object(
        &self,
        kind: &Kind,
        name: &Name,
        options: &DeleteOptions,
    ) -> Result<Option<Deleted>, Failure> {
        for _ in 0..TRIES {
            let Some(found) = current(&self.store, kind, name) else { return Ok(None) };
            check_preconditions(kind, &found, options)?;
            protect(self, kind, &found)?;
            let old = found.value();
            let has_dependents = !self.store.read().dependents(&found.uid).is_empty();
            let new = begin(kind, &old, options.propagation, has_dependents, &self.now_text());
            let gone = is_finished(kind, &new);
            if options.dry_run {
                return Ok(Some(if gone {
                    Deleted::WouldGo(found)
                } else {
                    Deleted::Waiting(Shown::Would(new))
                }));
            }
            if new == old {
                return Ok(Some(Deleted::Waiting(Shown::Stored(found))));
            }
            // What goes at once keeps its last state; the mark of deletion was only the decision.
            let change = if gone {
                Change::Remove(if found.deleting { new } else { old })
            } else {
                Change::Put(new)
            };
            match self.commit(kind, name.clone(), Some(found.revision), change).await? {
                Committed::Done(object) if gone => return Ok(Some(Deleted::Gone(object))),
                Committed::Done(object) => {
                    return Ok(Some(Deleted::Waiting(Shown::Stored(object))));
                }
                Committed::Stale => {}
            }
        }
        Err(status::conflict(&kind.group, &kind.plural, &name.name, status::MODIFIED).into())
    }
}

fn check_preconditions(
    kind: &Kind,
    found: &Object,
    options: &DeleteOptions,
) -> Result<(), Failure> {
    let conflict = |why: String| -> Failure {
        status::conflict(&kind.group, &kind.plural, &found.name.name, &why).into()
    };
    if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != found.uid) {
        let have = &found.uid;
        return Err(conflict(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {have}"
        )));
    }
    let have = found.revision.to_string();
    if let Some(wanted) = options.revision.as_ref().filter(|wanted| **wanted != have) {
        return Err(conflict(format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in \
             object meta: {have}"
        )));
    }
    Ok(())
}

/// The namespaces and the definitions that the server itself needs stay: with a definition every
/// object of its kind would go, and everything that those put anywhere.
fn protect(server: &Server, kind: &Kind, found: &Object) -> Result<(), Failure> {
    let name = &found.name.name;
    if kind.resource == *NAMESPACES && bootstrap::NAMESPACES.contains(&name.as_str()) {
        let why = "this namespace may not be deleted";
        return Err(status::forbidden("", "namespaces", name, why).into());
    }
    let own = |crd: &Value| crd["metadata"]["name"] == name.as_str();
    if kind.resource == *DEFINITIONS && server.options.crds.iter().any(own) {
        let why = "this definition is the engine's own and may not be deleted";
        let (group, plural) = ("apiextensions.k8s.io", "customresourcedefinitions");
        return Err(status::forbidden(group, plural, name, why).into());
    }
    Ok(())
}

/// Marks an object as being deleted, with the finalizers that its dependents call for.
fn begin(
    kind: &Kind,
    old: &Value,
    propagation: Option<Propagation>,
    has_dependents: bool,
    now: &str,
) -> Value {
    let mut new = old.clone();
    let finalizers = old["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let mut finalizers: Vec<Value> = match propagation {
        None => finalizers,
        Some(_) => {
            finalizers.into_iter().filter(|name| name != FOREGROUND && name != ORPHAN).collect()
        }
    };
    match propagation {
        // Without dependents there is nothing to wait for.
        Some(Propagation::Foreground) if has_dependents => finalizers.push(FOREGROUND.into()),
        Some(Propagation::Orphan) if has_dependents => finalizers.push(ORPHAN.into()),
        _ => {}
    }
    if kind.resource == *DEFINITIONS && !finalizers.iter().any(|name| name == CLEANUP) {
        let first = old["metadata"].get("deletionTimestamp").is_none();
        if first {
            finalizers.push(CLEANUP.into());
        }
    }
    let metadata = &mut new["metadata"];
    if let Some(metadata) = metadata.as_object_mut() {
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), finalizers.into());
        }
        if !metadata.contains_key("deletionTimestamp") {
            metadata.insert("deletionTimestamp".to_owned(), now.into());
            metadata.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
            if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
                metadata.insert("generation".to_owned(), (generation + 1).into());
            }
        }
    }
    if kind.resource == *NAMESPACES {
        new["status"]["phase"] = "Terminating".into();
    }
    if kind.resource == *DEFINITIONS {
        mark_terminating(&mut new, now);
    }
    new
}

fn mark_terminating(definition: &mut Value, now: &str) {
    let conditions = &mut definition["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else { return };
    if conditions.iter().any(|condition| condition["type"] == "Terminating") {
        return;
    }
    conditions.push(json!({"type": "Terminating", "status": "True",
        "reason": "InstanceDeletionPending", "lastTransitionTime": now,
        "message": "CustomResource deletion is in progress"}));
}
