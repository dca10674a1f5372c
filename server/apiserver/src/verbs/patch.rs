//! `PATCH`: JSON, merge, strategic merge and apply patches.

use fixpoint_api_machinery::{
    ApplyError, FieldError, Manager, Operation, PatchError, managed, patch, status,
};
use http::StatusCode;
use serde_json::{Value, json};

use super::Target;
use super::commit::current;
use super::options::WriteOptions;
use super::prepare::Draft;
use crate::kinds::Kind;
use crate::present::{Shown, View};
use crate::server::Server;
use crate::typed;
use crate::wire::{Answer, Failure, Request, accept, reply, request as body};

/// The media types of patches.
const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A patch that is not an apply.
pub enum Patch {
    /// RFC 6902.
    Json(Value),
    /// RFC 7386.
    Merge(Value),
    /// Kubernetes' own.
    Strategic(Value),
}

impl Patch {
    /// Reads a patch for a kind.
    ///
    /// # Errors
    /// 415 for media types that the kind does not take, 400 when it is not JSON.
    pub fn read(request: &Request, kind: &Kind) -> Result<Self, Failure> {
        let parse = || body::yaml_or_json(request);
        match request.media() {
            JSON => Ok(Self::Json(parse()?)),
            MERGE => Ok(Self::Merge(parse()?)),
            STRATEGIC if kind.custom.is_none() => Ok(Self::Strategic(parse()?)),
            _ if kind.custom.is_some() => {
                Err(status::unsupported_media_type(&[JSON, MERGE, APPLY]).into())
            }
            _ => Err(status::unsupported_media_type(&[JSON, MERGE, STRATEGIC, APPLY]).into()),
        }
    }

    /// Applies it to an object.
    ///
    /// # Errors
    /// 400 when it is malformed, 422 when it does not fit, 413 when it makes too much.
    pub fn apply(&self, old: &Value, kind: &Kind) -> Result<Value, Failure> {
        let patched = match self {
            Self::Json(operations) => patch::json_patch(old, operations),
            Self::Merge(changes) => {
                if !changes.is_object() {
                    return Err(status::bad_request("a merge patch must be an object").into());
                }
                let mut new = old.clone();
                patch::merge_patch(&mut new, changes);
                Ok(new)
            }
            Self::Strategic(changes) => patch::strategic_merge(old, changes, kind.types()),
        };
        patched.map_err(|err| {
            let message = err.to_string();
            match err {
                PatchError::Malformed(_) => status::bad_request(message),
                PatchError::TooLarge(_) => status::too_large(message),
                PatchError::Unprocessable { cause } => {
                    let mut status = status::unprocessable(message);
                    status["details"] = json!({"causes": [{"message": cause}]});
                    status
                }
            }
            .into()
        })
    }
}

impl Server {
    /// Answers a patch.
    pub async fn patch(&self, request: &Request, target: &Target) -> Answer {
        let options = WriteOptions::parse(request)?;
        let accepted = accept::objects(request.header(http::header::ACCEPT))?;
        let view = View::new(&target.kind, accepted, &request.query, self.now());
        let (code, shown, warnings) = if request.media() == APPLY {
            self.apply(request, target, &options).await?
        } else {
            let patch = Patch::read(request, &target.kind)?;
            let make = |old: &Value, _: &mut Draft<'_>| patch.apply(old, &target.kind);
            let (shown, warnings) = self.change(request, target, &options, false, &make).await?;
            (StatusCode::OK, shown, warnings)
        };
        let mut response = view.one(code, &shown);
        reply::warn(&mut response, &warnings);
        Ok(response)
    }

    async fn apply(
        &self,
        request: &Request,
        target: &Target,
        options: &WriteOptions,
    ) -> Result<(StatusCode, Shown, Vec<String>), Failure> {
        if request.query.get("fieldManager").is_none() {
            let error = FieldError::required("fieldManager", "is required for apply patch");
            return Err(status::invalid("meta.k8s.io", "PatchOptions", "", &[error]).into());
        }
        let mut config = body::yaml(&request.body)?;
        let now = self.now_text();
        let mut draft = Draft {
            target,
            options,
            user: &request.user,
            now: &now,
            applied: true,
            warnings: Vec::new(),
        };
        draft.address(&mut config)?;
        if config["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
            return Err(status::bad_request("metadata.managedFields must be nil").into());
        }
        let unknown = prepare_config(target, &mut config);
        draft.report_unknown(&unknown)?;
        let told = draft.warnings;
        let (code, shown, mut warnings) =
            self.apply_config(request, target, options, &config).await?;
        warnings.extend(told);
        Ok((code, shown, warnings))
    }

    async fn apply_config(
        &self,
        request: &Request,
        target: &Target,
        options: &WriteOptions,
        config: &Value,
    ) -> Result<(StatusCode, Shown, Vec<String>), Failure> {
        let api_version = target.kind.api_version();
        let merge = |live: Option<&Value>, now: &str| {
            let manager = Manager {
                name: &options.manager,
                operation: Operation::Apply,
                subresource: target.subresource.as_deref().unwrap_or(""),
                api_version: &api_version,
                now,
            };
            managed::apply(live, config, &manager, options.force, target.kind.types())
                .map_err(|err| refuse_apply(&err))
        };
        let make = |old: &Value, draft: &mut Draft<'_>| {
            let mut new = merge(Some(old), draft.now)?;
            // A version that the configuration names is a precondition.
            if let Some(version) = config["metadata"].get("resourceVersion") {
                new["metadata"]["resourceVersion"] = version.clone();
            }
            Ok(new)
        };
        let exists = || current(&self.store, &target.kind, &target.key()).is_some();
        loop {
            if exists() {
                let (shown, warnings) = self.change(request, target, options, true, &make).await?;
                return Ok((StatusCode::OK, shown, warnings));
            }
            if target.subresource.is_some() {
                return Err(target.not_found());
            }
            if config["metadata"]["uid"].as_str().is_some_and(|uid| !uid.is_empty()) {
                let Kind { group, plural, .. } = &*target.kind;
                let why = "uid mismatch: the provided object specified a uid, and no existing \
                     object was found";
                let name = target.name.as_deref().unwrap_or("");
                return Err(status::conflict(group, plural, name, why).into());
            }
            let object = merge(None, &self.now_text())?;
            match self.create_object(request, target, options, object, true).await {
                Ok((shown, warnings)) => return Ok((StatusCode::CREATED, shown, warnings)),
                // Somebody else was first, so there is something to apply onto.
                Err(failure) if failure.code() == 409 && exists() => {}
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Takes out of a configuration what the endpoint does not write; returns the unknown fields.
fn prepare_config(target: &Target, config: &mut Value) -> Vec<String> {
    let kind = &target.kind;
    let status_only = target.subresource.as_deref() == Some("status");
    if let Some(fields) = config.as_object_mut() {
        if status_only {
            fields.retain(|key, _| {
                matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status")
            });
        } else if kind.status {
            fields.remove("status");
        }
    }
    if status_only && let Some(metadata) = config["metadata"].as_object_mut() {
        metadata.retain(|key, _| {
            matches!(key.as_str(), "name" | "namespace" | "uid" | "resourceVersion")
        });
    }
    if kind.group.is_empty() && kind.plural == "secrets" {
        typed::fold_string_data(config);
    }
    let schema = kind.custom.as_ref().and_then(|custom| custom.schema());
    schema.map(|schema| schema.prune(config)).unwrap_or_default()
}

fn refuse_apply(err: &ApplyError) -> Failure {
    let message = err.to_string();
    match err {
        ApplyError::Conflicts(conflicts) => status::apply_conflict(&message, conflicts).into(),
        ApplyError::Invalid(_) => status::bad_request(message).into(),
    }
}
