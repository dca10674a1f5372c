//! The loops: one reconciler for each kind, woken by watches, timers and each other.
//!
//! In: our objects in an API server, stores, a target. Out: a target that equals what the stores
//! say, and status that explains what is not. A reconciler never learns why it was woken; it
//! reads the whole state each time.

mod board;
mod context;
mod delivery;
mod drift;
mod engine;
mod events;
mod fence;
mod local;
pub mod looper;
mod metrics;
mod proof;
mod record;
mod routes;
mod source;
mod stage;
mod status;
mod targets;
mod world;

use fixpoint_api_types::names::{FINALIZER, managers};
use fixpoint_base::Chain;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

pub use board::{Board, Shown};
pub use context::Clock;
pub use engine::{Engine, Parts};
pub use fence::{Fence, NotLeading};
pub use metrics::Metrics;
pub use proof::Proof;
pub use routes::Routes;
pub use stage::{Stage, StageName, Stages};
pub use targets::{Clusters, Home};

use crate::context::Context;
use crate::events::Severity;
use crate::looper::{Named, Next};
use crate::world::Kind;

/// Reads an object afresh; `None` where it is gone.
async fn read(ctx: &Context, kind: Kind, name: &Named) -> Result<Option<Value>, kube::Error> {
    match kind.api(&ctx.client, &name.namespace).get_opt(&name.name).await? {
        Some(object) => serde_json::to_value(object).map(Some).map_err(kube::Error::SerdeError),
        None => Ok(None),
    }
}

/// The API server did not answer as it should: tries again, and says so in the log, since the
/// status cannot be written either.
fn unreadable(ctx: &Context, kind: Kind, name: &Named, err: &kube::Error) -> Next {
    let pause = ctx.failed(kind, name);
    let words = words(err);
    tracing::warn!(kind = kind.name(), object = %name, error = words, "API server failed us");
    Next::Retry(pause, format!("the API server: {words}"))
}

/// What the API server said, in its own words and without the client's.
fn words(err: &kube::Error) -> String {
    match err {
        kube::Error::Api(status) => status.message.clone(),
        err => Chain(err).to_string(),
    }
}

/// An object that the schema let through and that cannot be read all the same: it stalls alone.
async fn malformed(
    ctx: &Context,
    kind: Kind,
    name: &Named,
    object: &Value,
    err: &serde_json::Error,
) -> Next {
    let message = format!("the object cannot be read: {err}");
    let mut condition = json!({
        "type": "Ready",
        "status": "False",
        "reason": "Malformed",
        "message": message,
        "observedGeneration": object["metadata"]["generation"],
        "lastTransitionTime": ctx.now().to_string(),
    });
    let mut conditions = vec![condition.clone()];
    condition["type"] = "Stalled".into();
    condition["status"] = "True".into();
    conditions.push(condition);
    let manager = manager(kind);
    let old = &object["status"];
    if old["conditions"][0]["message"] != message.as_str() {
        let mut new = old.clone();
        new["conditions"] = conditions.into();
        if let Err(err) = status::write(&ctx.client, kind, name, manager, old, &new).await {
            return unreadable(ctx, kind, name, &err);
        }
        ctx.event(kind, object, Severity::Warning, "Malformed", &message).await;
    }
    Next::Never(message)
}

/// The name under which a kind's bookkeeping is written; Flux's own.
fn manager(kind: Kind) -> &'static str {
    match kind {
        Kind::Source => managers::SOURCE_STATUS,
        Kind::Delivery => managers::KUSTOMIZE_STATUS,
    }
}

/// Puts our finalizer on an object, so that it cannot go without us.
async fn hold_on(
    ctx: &Context,
    kind: Kind,
    name: &Named,
    object: &Value,
) -> Result<(), kube::Error> {
    let mut finalizers = finalizers(object);
    if finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(());
    }
    finalizers.push(FINALIZER.into());
    set_finalizers(ctx, kind, name, object, finalizers).await
}

/// Takes our finalizer off an object that is being deleted.
async fn let_go(
    ctx: &Context,
    kind: Kind,
    name: &Named,
    object: &Value,
) -> Result<(), kube::Error> {
    let mut finalizers = finalizers(object);
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    match set_finalizers(ctx, kind, name, object, finalizers).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        done => done,
    }
}

fn finalizers(object: &Value) -> Vec<Value> {
    object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default()
}

/// The resource version guards against a finalizer that somebody else set meanwhile.
async fn set_finalizers(
    ctx: &Context,
    kind: Kind,
    name: &Named,
    object: &Value,
    finalizers: Vec<Value>,
) -> Result<(), kube::Error> {
    let patch = json!({"metadata": {
        "finalizers": finalizers,
        "resourceVersion": object["metadata"]["resourceVersion"],
    }});
    let params =
        PatchParams { field_manager: Some(manager(kind).to_owned()), ..Default::default() };
    kind.api(&ctx.client, &name.namespace)
        .patch(&name.name, &params, &Patch::Merge(&patch))
        .await
        .map(|_| ())
}
