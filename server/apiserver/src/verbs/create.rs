//! `POST`: new objects.

use fixpoint_api_machinery::{Crd, crd, status};
use http::StatusCode;
use serde_json::Value;

use super::Target;
use super::commit::Committed;
use super::options::WriteOptions;
use super::prepare::{Draft, name_new};
use crate::kinds::{APIEXTENSIONS, DEFINITIONS, Kind};
use crate::present::{Shown, View};
use crate::server::Server;
use crate::store::Name;
use crate::wire::{Answer, Failure, Request, accept, reply};

/// Tries for a made name before giving up; with 27^5 suffixes two tries are already rare.
const NAME_TRIES: usize = 8;

impl Server {
    /// Answers a create.
    pub async fn create(&self, request: &Request, target: &Target) -> Answer {
        let options = WriteOptions::parse(request)?;
        let accepted = accept::objects(request.header(http::header::ACCEPT))?;
        let body = request.object()?;
        if body["metadata"]["resourceVersion"].as_str().is_some_and(|text| !text.is_empty()) {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(status::bad_request(message).into());
        }
        let (shown, warnings) = self.create_object(request, target, &options, body, false).await?;
        let view = View::new(&target.kind, accepted, &request.query, self.now());
        let mut response = view.one(StatusCode::CREATED, &shown);
        reply::warn(&mut response, &warnings);
        Ok(response)
    }

    /// Makes an object; `applied` says that its fields' owners are already worked out.
    pub async fn create_object(
        &self,
        request: &Request,
        target: &Target,
        options: &WriteOptions,
        body: Value,
        applied: bool,
    ) -> Result<(Shown, Vec<String>), Failure> {
        let now = self.now_text();
        let user = &request.user;
        let mut draft =
            Draft { target, options, user, now: &now, applied, warnings: self.warnings(target) };
        let mut body = body;
        draft.address(&mut body)?;
        for _ in 0..NAME_TRIES {
            let mut object = body.clone();
            let made = name_new(target, &mut object)?;
            let name = Name::new(
                super::prepare::namespace_of(&object),
                object["metadata"]["name"].as_str().unwrap_or(""),
            );
            let mut object = draft.new_object(object)?;
            self.finish_definition(&target.kind, &mut object);
            let taken = self.store.read().get(&target.kind.resource, &name).is_some();
            if !taken {
                if options.dry_run {
                    self.check_guards(&target.kind, &name)?;
                    return Ok((Shown::Would(object), draft.warnings));
                }
                match self.put(target, name.clone(), None, object).await? {
                    Committed::Done(object) => return Ok((Shown::Stored(object), draft.warnings)),
                    Committed::Stale => {}
                }
            }
            if !made {
                let Kind { group, plural, .. } = &*target.kind;
                return Err(status::already_exists(group, plural, &name.name).into());
            }
        }
        let base = body["metadata"]["generateName"].as_str().unwrap_or("");
        let Kind { group, plural, .. } = &*target.kind;
        Err(status::already_exists(group, plural, base).into())
    }

    /// Warnings that the use of a kind brings.
    pub fn warnings(&self, target: &Target) -> Vec<String> {
        target.kind.deprecation.iter().cloned().collect()
    }

    /// A definition is established in the write that makes it: there is nothing to wait for.
    pub fn finish_definition(&self, kind: &Kind, object: &mut Value) {
        if kind.group != APIEXTENSIONS || kind.resource != *DEFINITIONS {
            return;
        }
        let taken = Crd::read(object).ok().and_then(|definition| self.names_taken(&definition));
        crd::set_status(object, taken.as_deref(), &self.now_text());
    }

    /// Says why the names of a definition cannot be had, if they cannot.
    fn names_taken(&self, definition: &Crd) -> Option<String> {
        let (group, kind) = (definition.group.as_str(), definition.kind.as_str());
        let own = format!("{}.{group}", definition.plural);
        let registry = self.registry();
        let kinds = registry.groups().filter(|(found, _)| *found == group);
        let mut kinds = kinds.flat_map(|(_, versions)| versions).flat_map(|v| v.kinds.values());
        let taken = kinds.find(|other| {
            let same = other.kind == kind || other.plural == definition.plural;
            same && other.custom.as_ref().is_none_or(|custom| custom.definition.name != own)
        });
        taken.map(|other| format!("\"{}\" is already in use", other.kind))
    }
}
