//! The options of writes.

use fixpoint_api_machinery::status;
use serde_json::Value;

use crate::wire::{Failure, Request, request};

/// What happens to fields that the schema does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped, and the client is told.
    Warn,
    /// The write is refused.
    Strict,
}

/// The options of a create, update or patch.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Whether nothing may be stored.
    pub dry_run: bool,
    /// Who manages the fields that are written.
    pub manager: String,
    /// What happens to unknown fields.
    pub validation: FieldValidation,
    /// Whether an apply takes fields from others.
    pub force: bool,
}

impl WriteOptions {
    /// Reads them from a request.
    ///
    /// # Errors
    /// 400 for values that mean nothing.
    pub fn parse(request: &Request) -> Result<Self, Failure> {
        let validation = match request.query.get("fieldValidation") {
            Some("Strict") => FieldValidation::Strict,
            Some("Ignore") => FieldValidation::Ignore,
            None | Some("Warn") => FieldValidation::Warn,
            Some(other) => {
                return Err(status::bad_request(format!(
                    "fieldValidation: Unsupported value: \"{other}\": supported values: \
                     \"Ignore\", \"Warn\", \"Strict\""
                ))
                .into());
            }
        };
        let manager = request.field_manager();
        if manager.len() > 128 {
            return Err(status::bad_request(
                "fieldManager: Too long: may not be more than 128 bytes",
            )
            .into());
        }
        Ok(Self {
            dry_run: request.dry_run()?,
            manager,
            validation,
            force: request.query.flag("force"),
        })
    }
}

/// What happens to the dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after it.
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay and forget it.
    Orphan,
}

/// The options of a delete.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Whether nothing may be stored.
    pub dry_run: bool,
    /// What happens to dependents; what the object's finalizers say where absent.
    pub propagation: Option<Propagation>,
    /// Only the object with this UID.
    pub uid: Option<String>,
    /// Only the object at this revision.
    pub revision: Option<String>,
}

impl DeleteOptions {
    /// Reads them from the query and the body of a request.
    ///
    /// # Errors
    /// 400 for values that mean nothing.
    pub fn parse(request: &Request) -> Result<Self, Failure> {
        let body = if request.body.is_empty() {
            Value::Null
        } else {
            match request.media() {
                "application/yaml" => request::yaml(&request.body)?,
                _ => request.object()?,
            }
        };
        let dry_body =
            body["dryRun"].as_array().is_some_and(|values| values.iter().any(|v| v == "All"));
        let policy = request.query.get("propagationPolicy").or(body["propagationPolicy"].as_str());
        let orphan = match request.query.get("orphanDependents") {
            Some(value) => Some(value == "true"),
            None => body["orphanDependents"].as_bool(),
        };
        let propagation = match (policy, orphan) {
            (Some("Background"), _) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (None, Some(false)) => Some(Propagation::Background),
            (None, None) => None,
            (Some(other), _) => {
                return Err(status::bad_request(format!(
                    "propagationPolicy: Unsupported value: \"{other}\": supported values: \
                     \"Foreground\", \"Background\", \"Orphan\""
                ))
                .into());
            }
        };
        let precondition = |field: &str| {
            let value = body.get("preconditions").and_then(|value| value.get(field));
            value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Ok(Self {
            dry_run: request.dry_run()? || dry_body,
            propagation,
            uid: precondition("uid"),
            revision: precondition("resourceVersion"),
        })
    }
}
