//! From what a client sent to what would be stored.
//!
//! Pure but for the UID of a new object: everything that decides the content of an object is
//! here, in the order in which kube-apiserver does it.

use fixpoint_api_machinery::{FieldError, Manager, Operation, managed, names, status};
use fixpoint_base::Gvk;
use fixpoint_base::object::namespace;
use serde_json::{Map, Value, json};

use super::Target;
use super::options::{FieldValidation, WriteOptions};
use crate::kinds::{Kind, NAMESPACES};
use crate::user::User;
use crate::wire::Failure;
use crate::{admission, typed};

/// A write on its way through the checks.
pub struct Draft<'a> {
    /// What it is about.
    pub target: &'a Target,
    /// Its options.
    pub options: &'a WriteOptions,
    /// Who asks.
    pub user: &'a User,
    /// When, to the second.
    pub now: &'a str,
    /// Whether the fields' owners were already worked out, as an apply does.
    pub applied: bool,
    /// What the client is told besides the answer.
    pub warnings: Vec<String>,
}

/// Metadata that only the server writes.
const SERVER_FIELDS: [&str; 6] = [
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "uid",
];

impl Draft<'_> {
    fn kind(&self) -> &Kind {
        &self.target.kind
    }

    fn is_namespace(&self) -> bool {
        self.kind().resource == *NAMESPACES
    }

    /// Checks that a body is of the kind and the place that the path names, and completes it.
    ///
    /// # Errors
    /// 400 when it is something else.
    pub fn address(&self, object: &mut Value) -> Result<(), Failure> {
        let kind = self.kind();
        let fields =
            object.as_object_mut().ok_or_else(|| bad("the request body is not an object"))?;
        fields.entry("apiVersion").or_insert_with(|| kind.api_version().into());
        fields.entry("kind").or_insert_with(|| kind.kind.as_str().into());
        let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
        if metadata.is_null() {
            *metadata = json!({});
        }
        let Some(metadata) = metadata.as_object_mut() else {
            return Err(bad("metadata: must be an object"));
        };
        if let Some(namespace) = self.target.namespace.as_deref() {
            match metadata.get("namespace").and_then(Value::as_str).unwrap_or("") {
                "" => {
                    metadata.insert("namespace".to_owned(), namespace.into());
                }
                same if same == namespace => {}
                _ => {
                    return Err(bad("the namespace of the provided object does not match the \
                         namespace sent on the request"));
                }
            }
        } else {
            metadata.remove("namespace");
        }
        if let Some(wanted) = &self.target.name {
            match metadata.get("name").and_then(Value::as_str).unwrap_or("") {
                "" => {
                    metadata.insert("name".to_owned(), wanted.as_str().into());
                }
                same if same == wanted => {}
                other => {
                    return Err(bad(format!(
                        "the name of the object ({other}) does not match the name on the URL ({wanted})"
                    )));
                }
            }
        }
        self.check_type(object)
    }

    fn check_type(&self, object: &Value) -> Result<(), Failure> {
        let kind = self.kind();
        let wanted = Gvk::new(&*kind.group, &*kind.version, &*kind.kind);
        if Gvk::of(object).as_ref() == Some(&wanted) {
            return Ok(());
        }
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or("");
        let (found_version, found_kind) = (text("apiVersion"), text("kind"));
        if found_kind != kind.kind {
            return Err(bad(format!(
                "{found_kind} in version \"{found_version}\" cannot be handled as a {}: the kind \
                 in the data does not match the expected kind ({found_kind} != {})",
                kind.kind, kind.kind
            )));
        }
        Err(bad(format!(
            "the API version in the data ({found_version}) does not match the expected API \
             version ({})",
            kind.api_version()
        )))
    }

    /// Makes a new object of what a client sent; its name is already there.
    ///
    /// # Errors
    /// 400 and 422 with everything that is wrong.
    pub fn new_object(&mut self, mut object: Value) -> Result<Value, Failure> {
        let kind = &self.target.kind;
        let counts = kind.counts_generations();
        let has_status = kind.status && !self.is_namespace();
        let metadata = self.metadata(&mut object)?;
        for field in SERVER_FIELDS {
            metadata.remove(field);
        }
        metadata.remove("resourceVersion");
        if !self.applied {
            metadata.remove("managedFields");
        }
        metadata.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
        metadata.insert("creationTimestamp".to_owned(), self.now.into());
        if counts {
            metadata.insert("generation".to_owned(), 1.into());
        }
        if has_status && let Some(object) = object.as_object_mut() {
            object.remove("status");
        }
        self.complete(None, &mut object)?;
        self.check(None, &object)?;
        self.track(None, &mut object);
        Ok(object)
    }

    /// Makes the next state of an object of what a client sent.
    ///
    /// # Errors
    /// 400, 409 and 422 with everything that is wrong.
    pub fn next_object(&mut self, old: &Value, mut new: Value) -> Result<Value, Failure> {
        self.check_type(&new)?;
        self.metadata(&mut new)?;
        self.check_preconditions(old, &new)?;
        let mut new = match self.target.subresource.as_deref() {
            None | Some("scale") => self.main_part(old, new),
            Some("finalize") => finalize_part(old, new),
            Some(_) => status_part(old, new),
        };
        self.keep_server_fields(old, &mut new);
        self.complete(Some(old), &mut new)?;
        self.count_generation(old, &mut new);
        let same = without_bookkeeping(old) == without_bookkeeping(&new);
        if same && !self.applied && !self.brings_owners(old, &new) {
            return Ok(old.clone());
        }
        self.check(Some(old), &new)?;
        self.track(Some(old), &mut new);
        Ok(new)
    }

    fn metadata<'o>(&self, object: &'o mut Value) -> Result<&'o mut Map<String, Value>, Failure> {
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        metadata.ok_or_else(|| bad("metadata: must be an object"))
    }

    fn check_preconditions(&self, old: &Value, new: &Value) -> Result<(), Failure> {
        let kind = self.kind();
        let text = |object: &Value, field: &str| {
            object["metadata"][field].as_str().unwrap_or("").to_owned()
        };
        let name = text(old, "name");
        let conflict = |why: &str| status::conflict(&kind.group, &kind.plural, &name, why);
        let (was, wanted) = (text(old, "resourceVersion"), text(new, "resourceVersion"));
        if !wanted.is_empty() && wanted != was && wanted != "0" {
            return Err(conflict(status::MODIFIED).into());
        }
        let (was, wanted) = (text(old, "uid"), text(new, "uid"));
        if !wanted.is_empty() && wanted != was {
            return Err(conflict(&format!(
                "Precondition failed: UID in precondition: {wanted}, UID in object meta: {was}"
            ))
            .into());
        }
        for field in ["name", "namespace"] {
            let (was, wanted) = (text(old, field), text(new, field));
            if wanted != was {
                let error = FieldError::invalid(
                    format!("metadata.{field}"),
                    wanted.into(),
                    "field is immutable",
                );
                return Err(status::invalid(&kind.group, &kind.kind, &name, &[error]).into());
            }
        }
        Ok(())
    }

    /// The main endpoint does not write the status.
    fn main_part(&self, old: &Value, mut new: Value) -> Value {
        if self.kind().status {
            copy(old, &mut new, "status");
        }
        if self.is_namespace()
            && let Some(finalizers) = old.pointer("/spec/finalizers")
        {
            new["spec"] = json!({"finalizers": finalizers});
        }
        new
    }

    /// Whether a client states who owns what, other than it is on record: that is how fields are
    /// taken over. Only the main endpoint listens to it, and what says nothing changes nothing.
    fn brings_owners(&self, old: &Value, new: &Value) -> bool {
        let stated = new["metadata"].get("managedFields").filter(|fields| !fields.is_null());
        self.target.subresource.is_none()
            && stated.is_some_and(|fields| *fields != old["metadata"]["managedFields"])
    }

    fn keep_server_fields(&self, old: &Value, new: &mut Value) {
        let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) else { return };
        for field in SERVER_FIELDS.into_iter().chain(["resourceVersion", "generateName"]) {
            match old["metadata"].get(field) {
                Some(value) => metadata.insert(field.to_owned(), value.clone()),
                None => metadata.remove(field),
            };
        }
    }

    /// Prunes and sets defaults.
    fn complete(&mut self, old: Option<&Value>, object: &mut Value) -> Result<(), Failure> {
        let kind = std::sync::Arc::clone(&self.target.kind);
        typed::default(&kind, old, object);
        if let Some(schema) = kind.custom.as_ref().and_then(|custom| custom.schema()) {
            let unknown = schema.prune(object);
            self.report_unknown(&unknown)?;
            schema.default(object);
        }
        admission::stamp(old, object, self.user);
        tidy_metadata(object);
        Ok(())
    }

    /// Tells the client which fields mean nothing.
    pub fn report_unknown(&mut self, unknown: &[String]) -> Result<(), Failure> {
        let said = unknown.iter().map(|path| format!("unknown field \"{path}\""));
        match self.options.validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => {
                for warning in said {
                    if !self.warnings.contains(&warning) {
                        self.warnings.push(warning);
                    }
                }
            }
            FieldValidation::Strict if unknown.is_empty() => {}
            FieldValidation::Strict => {
                let all: Vec<String> = said.collect();
                return Err(bad(format!("strict decoding error: {}", all.join(", "))));
            }
        }
        Ok(())
    }

    fn check(&self, old: Option<&Value>, new: &Value) -> Result<(), Failure> {
        let kind = self.kind();
        let mut errors = names::validate_metadata(new, kind.namespaced, kind.rule);
        if let Some(old) = old {
            errors.extend(names::validate_metadata_update(new, old));
        }
        errors.extend(typed::validate(kind, old, new));
        if let Some(schema) = kind.custom.as_ref().and_then(|custom| custom.schema()) {
            errors.extend(match old {
                Some(old) => schema.validate_update(new, old),
                None => schema.validate(new),
            });
        }
        if errors.is_empty() {
            return Ok(());
        }
        let name = new["metadata"]["name"].as_str().unwrap_or("");
        Err(status::invalid(&kind.group, &kind.kind, name, &errors).into())
    }

    fn count_generation(&self, old: &Value, new: &mut Value) {
        if self.kind().counts_generations()
            && content(old, self.kind()) != content(new, self.kind())
        {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            new["metadata"]["generation"] = (generation + 1).into();
        }
    }

    fn track(&self, old: Option<&Value>, new: &mut Value) {
        if self.applied {
            return;
        }
        let api_version = self.kind().api_version();
        let manager = Manager {
            name: &self.options.manager,
            operation: Operation::Update,
            subresource: self.target.subresource.as_deref().unwrap_or(""),
            api_version: &api_version,
            now: self.now,
        };
        managed::track_update(old, new, &manager, self.kind().types());
    }
}

fn bad(message: impl Into<String>) -> Failure {
    status::bad_request(message).into()
}

fn copy(from: &Value, to: &mut Value, field: &str) {
    let Some(to) = to.as_object_mut() else { return };
    match from.get(field) {
        Some(value) => to.insert(field.to_owned(), value.clone()),
        None => to.remove(field),
    };
}

/// The status endpoint writes nothing else, besides who owns what.
fn status_part(old: &Value, new: Value) -> Value {
    let mut out = old.clone();
    copy(&new, &mut out, "status");
    if let Some(fields) = new["metadata"].get("managedFields") {
        out["metadata"]["managedFields"] = fields.clone();
    }
    out
}

/// The finalize endpoint of namespaces writes `spec.finalizers`.
fn finalize_part(old: &Value, new: Value) -> Value {
    let mut out = old.clone();
    out["spec"]["finalizers"] = new["spec"].get("finalizers").cloned().unwrap_or_else(|| json!([]));
    out
}

/// Drops what says nothing: empty maps and lists of metadata, and nulls.
fn tidy_metadata(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    metadata.retain(|key, value| match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty() || !matches!(key.as_str(), "labels" | "annotations"),
        Value::Array(list) => {
            !list.is_empty()
                || !matches!(key.as_str(), "finalizers" | "ownerReferences" | "managedFields")
        }
        _ => true,
    });
}

/// What a generation counts: everything but metadata and, where it has an endpoint of its own,
/// status.
fn content<'a>(object: &'a Value, kind: &Kind) -> Vec<(&'a String, &'a Value)> {
    let fields = object.as_object().into_iter().flatten();
    fields
        .filter(|(key, _)| match key.as_str() {
            "metadata" | "apiVersion" | "kind" => false,
            "status" => !kind.status,
            _ => true,
        })
        .collect()
}

/// An object without the record of who owns what, which alone is no reason to write.
fn without_bookkeeping(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// The name of a new object: the one it has, or a made one.
///
/// # Errors
/// 422 when it has neither.
pub fn name_new(target: &Target, object: &mut Value) -> Result<bool, Failure> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
    let name = &object["metadata"]["name"];
    // A name that is no text is there too, and is refused with everything else that is wrong.
    if !name.is_null() && name.as_str() != Some("") {
        return Ok(false);
    }
    let base = text("generateName");
    if base.is_empty() {
        let error = FieldError::required("metadata.name", "name or generateName is required");
        return Err(status::invalid(&target.kind.group, &target.kind.kind, "", &[error]).into());
    }
    object["metadata"]["name"] = names::generate_name(&base, &random_suffix()).into();
    Ok(true)
}

/// Five characters that make no words.
fn random_suffix() -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..5).map(|_| LETTERS[rand::random_range(0..LETTERS.len())] as char).collect()
}

/// The namespace an object says it is in.
pub fn namespace_of(object: &Value) -> String {
    namespace(object).to_owned()
}
