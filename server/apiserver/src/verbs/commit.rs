//! Handing a decision to the writer.

use std::sync::Arc;

use fixpoint_api_machinery::status;
use fixpoint_base::Chain;
use fixpoint_driver_store::log::LogError;
use serde_json::Value;

use super::Target;
use crate::convert;
use crate::kinds::{DEFINITIONS, Kind, NAMESPACES};
use crate::server::Server;
use crate::store::{Change, Guard, Meta, Name, Object, Refused, Store, Write};
use crate::wire::Failure;

/// How a write ended.
pub enum Committed {
    /// It is durable.
    Done(Arc<Object>),
    /// The object has moved on: decide again.
    Stale,
}

/// What must be there for a new object of a kind to be made.
pub fn guards(kind: &Kind, name: &Name) -> Vec<Guard> {
    let mut guards = Vec::new();
    if kind.namespaced {
        guards.push(Guard::Alive(NAMESPACES.clone(), Name::new("", &*name.namespace)));
    }
    if let Some(custom) = &kind.custom {
        guards.push(Guard::Alive(DEFINITIONS.clone(), custom.definition.clone()));
    }
    guards
}

impl Server {
    /// Stores an object that was decided on from the revision `expect`.
    ///
    /// # Errors
    /// When something it depends on is missing, or the disk does not take it.
    pub async fn put(
        &self,
        target: &Target,
        name: Name,
        expect: Option<u64>,
        mut object: Value,
    ) -> Result<Committed, Failure> {
        let kind = &target.kind;
        convert::to_stored(kind, &mut object);
        self.commit(kind, name, expect, Change::Put(object)).await
    }

    /// Makes a write of stored values.
    ///
    /// # Errors
    /// As [`Server::put`].
    pub async fn commit(
        &self,
        kind: &Kind,
        name: Name,
        expect: Option<u64>,
        change: Change,
    ) -> Result<Committed, Failure> {
        let meta = match &change {
            Change::Put(value) => {
                self.check_size(value)?;
                Meta::of(value)
            }
            Change::Remove(value) => Meta::of(value),
        };
        let meta = meta.map_err(|err| status::bad_request(format!("metadata: {err}")))?;
        let guards = if expect.is_none() { guards(kind, &name) } else { Vec::new() };
        let write = Write { resource: kind.resource.clone(), name, expect, change, meta, guards };
        let (plural, group) = (kind.plural.clone(), kind.group.clone());
        let object = write.name.name.clone();
        match self.store.write(write).await {
            Ok(object) => Ok(Committed::Done(object)),
            Err(Refused::Stale) => Ok(Committed::Stale),
            Err(refused) => Err(refusal(&refused, &group, &plural, &object)),
        }
    }

    fn check_size(&self, object: &Value) -> Result<(), Failure> {
        if is_deeper_than(object, DEPTH) {
            let message = format!("the object is nested more than {DEPTH} levels deep");
            return Err(status::bad_request(message).into());
        }
        let bytes = counted(object);
        let limit = self.options.limits.body_bytes;
        if bytes > limit {
            return Err(status::too_large(format!(
                "the object has {bytes} bytes and the limit is {limit}"
            ))
            .into());
        }
        Ok(())
    }

    /// Whether a write would meet its guards now; a dry run asks instead of writing.
    ///
    /// # Errors
    /// As [`Server::put`].
    pub fn check_guards(&self, kind: &Kind, name: &Name) -> Result<(), Failure> {
        for guard in guards(kind, name) {
            let Guard::Alive(resource, guarded) = &guard else { continue };
            let found = self.store.read().get(resource, guarded).cloned();
            if found.as_ref().is_none_or(|object| object.deleting) {
                let refused = Refused::Guard { guard, exists: found.is_some() };
                return Err(refusal(&refused, &kind.group, &kind.plural, &name.name));
            }
        }
        Ok(())
    }
}

/// Levels of an object. JSON readers stop at 128, and lists and watches wrap objects; patches
/// could otherwise build up what no request could bring.
const DEPTH: usize = 100;

fn is_deeper_than(value: &Value, levels: usize) -> bool {
    let Some(levels) = levels.checked_sub(1) else { return true };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper_than(item, levels)),
        Value::Object(fields) => fields.values().any(|field| is_deeper_than(field, levels)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Counts the bytes of a value's text without keeping it.
fn counted(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail, and values have string keys.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// Words a refusal of the writer.
pub fn refusal(refused: &Refused, group: &str, plural: &str, name: &str) -> Failure {
    match refused {
        Refused::Stale => status::conflict(group, plural, name, status::MODIFIED).into(),
        Refused::Guard { guard: Guard::Alive(resource, missing), exists: false } => {
            status::not_found(&resource.group, &resource.plural, &missing.name).into()
        }
        Refused::Guard { guard: Guard::Alive(resource, going), exists: true } => {
            if *resource == *NAMESPACES {
                return terminating(group, plural, name, &going.name);
            }
            status::method_not_allowed(group, plural, "create").into()
        }
        Refused::Guard { guard: Guard::Empty(_), .. } => {
            status::conflict(group, plural, name, "it still has contents").into()
        }
        Refused::Storage(err) => storage(err),
        Refused::Closed => status::unavailable("the server is shutting down").into(),
    }
}

fn terminating(group: &str, plural: &str, name: &str, namespace: &str) -> Failure {
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let mut status = status::forbidden(group, plural, name, &why);
    status["details"]["causes"] = serde_json::json!([{"reason": "NamespaceTerminating",
        "message": format!("namespace {namespace} is being terminated"),
        "field": "metadata.namespace"}]);
    status.into()
}

fn storage(err: &LogError) -> Failure {
    match err {
        LogError::NoSpace { .. } => status::insufficient_storage(
            "the server has no space left to store anything; reads go on, and writes will again \
             when there is space",
        )
        .into(),
        LogError::Closed => status::unavailable("the server is shutting down").into(),
        err => status::internal(Chain(err).to_string()).into(),
    }
}

/// The store of a server, for those who only read.
pub fn current(store: &Store, kind: &Kind, name: &Name) -> Option<Arc<Object>> {
    store.read().get(&kind.resource, name).cloned()
}
