//! `PUT`, and the loop that all changes of existing objects share.

use std::sync::Arc;

use fixpoint_api_machinery::{FieldError, status};
use http::StatusCode;
use serde_json::Value;

use super::Target;
use super::commit::{Committed, current};
use super::options::WriteOptions;
use super::prepare::Draft;
use crate::convert;
use crate::kinds::{Kind, NAMESPACES};
use crate::present::{Shown, View};
use crate::server::Server;
use crate::store::{Change, Object};
use crate::wire::{Answer, Failure, Request, accept, reply};

/// Tries to decide on an object that others keep changing. Each try waits for a batch to become
/// durable, so this many means that the client had better slow down.
const TRIES: usize = 50;

/// Where the new state of an object comes from, given the present one.
pub type Make<'a> = dyn Fn(&Value, &mut Draft<'_>) -> Result<Value, Failure> + Send + Sync + 'a;

impl Server {
    /// Answers an update.
    pub async fn update(&self, request: &Request, target: &Target) -> Answer {
        let options = WriteOptions::parse(request)?;
        let accepted = accept::objects(request.header(http::header::ACCEPT))?;
        let mut body = request.object()?;
        let key = target.key();
        let now = self.now_text();
        let draft = Draft {
            target,
            options: &options,
            user: &request.user,
            now: &now,
            applied: false,
            warnings: Vec::new(),
        };
        draft.address(&mut body)?;
        let view = View::new(&target.kind, accepted, &request.query, self.now());
        let revision = body["metadata"]["resourceVersion"].as_str().unwrap_or("");
        if current(&self.store, &target.kind, &key).is_none() {
            let may_create = target.kind.creates_on_update() && target.subresource.is_none();
            if !may_create || !revision.is_empty() {
                return Err(target.not_found());
            }
            let (shown, warnings) =
                self.create_object(request, target, &options, body, false).await?;
            let mut response = view.one(StatusCode::CREATED, &shown);
            reply::warn(&mut response, &warnings);
            return Ok(response);
        }
        if revision.is_empty() && target.kind.needs_revision() {
            let Kind { group, kind, .. } = &*target.kind;
            let path = "metadata.resourceVersion";
            let error = FieldError::invalid(path, 0.into(), "must be specified for an update");
            return Err(status::invalid(group, kind, &key.name, &[error]).into());
        }
        let make = |_: &Value, _: &mut Draft<'_>| Ok(body.clone());
        let (shown, warnings) = self.change(request, target, &options, false, &make).await?;
        let mut response = view.one(StatusCode::OK, &shown);
        reply::warn(&mut response, &warnings);
        Ok(response)
    }

    /// Changes an object: decides on what is there, and again while others are faster.
    ///
    /// A change that changes nothing writes nothing.
    pub async fn change(
        &self,
        request: &Request,
        target: &Target,
        options: &WriteOptions,
        applied: bool,
        make: &Make<'_>,
    ) -> Result<(Shown, Vec<String>), Failure> {
        let key = target.key();
        let kind = &target.kind;
        let now = self.now_text();
        for _ in 0..TRIES {
            let found = current(&self.store, kind, &key).ok_or_else(|| target.not_found())?;
            let old = convert::value(kind, &found);
            let mut draft = Draft {
                target,
                options,
                user: &request.user,
                now: &now,
                applied,
                warnings: self.warnings(target),
            };
            let new = make(&old, &mut draft)?;
            let mut new = draft.next_object(&old, new)?;
            if target.subresource.is_none() {
                self.finish_definition(kind, &mut new);
            }
            let warnings = draft.warnings;
            if new == old {
                return Ok((Shown::Stored(found), warnings));
            }
            if options.dry_run {
                return Ok((Shown::Would(new), warnings));
            }
            if let Some(shown) = self.store_change(target, &found, new).await? {
                return Ok((shown, warnings));
            }
        }
        Err(status::conflict(&kind.group, &kind.plural, &key.name, status::MODIFIED).into())
    }

    /// Stores the next state of an object, which is none when its last finalizer is gone.
    async fn store_change(
        &self,
        target: &Target,
        found: &Arc<Object>,
        mut new: Value,
    ) -> Result<Option<Shown>, Failure> {
        let name = found.name.clone();
        let revision = Some(found.revision);
        let committed = if is_finished(&target.kind, &new) {
            convert::to_stored(&target.kind, &mut new);
            self.commit(&target.kind, name, revision, Change::Remove(new)).await?
        } else {
            self.put(target, name, revision, new).await?
        };
        Ok(match committed {
            Committed::Done(object) => Some(Shown::Stored(object)),
            Committed::Stale => None,
        })
    }
}

/// Whether an object that is being deleted has nothing left to wait for.
pub fn is_finished(kind: &Kind, object: &Value) -> bool {
    let empty =
        |pointer: &str| object.pointer(pointer).and_then(Value::as_array).is_none_or(Vec::is_empty);
    object["metadata"].get("deletionTimestamp").is_some()
        && empty("/metadata/finalizers")
        && (kind.resource != *NAMESPACES || empty("/spec/finalizers"))
}
