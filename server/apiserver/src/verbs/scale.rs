//! The scale subresource: the number of replicas of whatever has one.

use fixpoint_api_machinery::status;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Target;
use super::commit::current;
use super::options::WriteOptions;
use super::patch::Patch;
use super::prepare::Draft;
use crate::convert;
use crate::kinds::Scale;
use crate::present::Shown;
use crate::server::Server;
use crate::wire::{Answer, Failure, Request, accept, reply};

impl Server {
    /// Answers requests on the scale of an object.
    pub async fn scale(&self, request: &Request, target: &Target, scale: &Scale) -> Answer {
        accept::objects(request.header(http::header::ACCEPT))?;
        let shown = match request.method {
            Method::GET => {
                let found = current(&self.store, &target.kind, &target.key());
                Shown::Stored(found.ok_or_else(|| target.not_found())?)
            }
            Method::PUT | Method::PATCH => self.rescale(request, target, scale).await?,
            _ => return Err(status::verb_not_allowed().into()),
        };
        let object = match &shown {
            Shown::Stored(object) => convert::value(&target.kind, object),
            Shown::Would(value) => value.clone(),
        };
        Ok(reply::value(StatusCode::OK, &scale_of(&object, scale)))
    }

    async fn rescale(
        &self,
        request: &Request,
        target: &Target,
        scale: &Scale,
    ) -> Result<Shown, Failure> {
        let options = WriteOptions::parse(request)?;
        let put = if request.method == Method::PUT { Some(request.object()?) } else { None };
        let patch = match &put {
            Some(_) => None,
            None => Some(Patch::read(request, &target.kind)?),
        };
        let make = |old: &Value, _: &mut Draft<'_>| {
            let wanted = match (&put, &patch) {
                (Some(body), _) => body.clone(),
                (None, Some(patch)) => patch.apply(&scale_of(old, scale), &target.kind)?,
                (None, None) => return Ok(old.clone()),
            };
            let mut new = old.clone();
            set(&mut new, &scale.spec, wanted["spec"]["replicas"].clone());
            if let Some(version) = wanted["metadata"].get("resourceVersion") {
                new["metadata"]["resourceVersion"] = version.clone();
            }
            Ok(new)
        };
        Ok(self.change(request, target, &options, false, &make).await?.0)
    }
}

fn scale_of(object: &Value, scale: &Scale) -> Value {
    let at = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_else(|| 0.into());
    let metadata = &object["metadata"];
    let mut status = json!({"replicas": at(&scale.status)});
    if let Some(selector) = scale.selector.as_ref().and_then(|path| object.pointer(path)) {
        status["selector"] = selector.clone();
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"],
            "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"]},
        "spec": {"replicas": at(&scale.spec)}, "status": status})
}

/// Sets a field deep in an object, making the maps on the way.
fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for segment in pointer.split('/').filter(|segment| !segment.is_empty()) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[segment];
    }
    *at = value;
}
