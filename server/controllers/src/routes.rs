//! The engine's own API: what is no object. Served beside the Kubernetes API and behind the same
//! authentication; everything here is read-only.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fixpoint_base::{Key, object};
use fixpoint_driver_kube::KubeTarget;
use fixpoint_health::Health;
use fixpoint_plan::{Plan, PlanForm, Step, diff};
use http::{Method, Response, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::context::Context;
use crate::delivery::{self, Preview};
use crate::looper::{Named, Next};
use crate::world::Kind;

/// Answers requests below `/fixpoint/v1/` and `/artifacts/`. Cheap to clone.
#[derive(Clone)]
pub struct Routes {
    ctx: Arc<Context>,
}

type Answer = Response<Bytes>;

/// Entries of the ledger that one answer may hold.
const MAX_ENTRIES: usize = 10_000;
/// Objects whose health one answer may hold: each is a request to the target.
const MAX_ASSESSED: usize = 200;
/// How long a target may take to say how objects do: somebody waits.
const PATIENCE: Duration = Duration::from_secs(5);

impl Routes {
    pub(crate) fn new(ctx: Arc<Context>) -> Self {
        Self { ctx }
    }

    /// Answers one request of an authenticated user; only administrators may read here yet.
    pub async fn answer(&self, method: &Method, path: &str, query: &str, admin: bool) -> Answer {
        if !admin {
            return refuse(StatusCode::FORBIDDEN, "Forbidden", "only administrators may read here");
        }
        if method != Method::GET {
            let message = "everything here is read-only";
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["artifacts", rest @ ..] => self.artifact(&rest.join("/")),
            ["fixpoint", "v1", "ledger", "entries"] => self.entries(query).await,
            ["fixpoint", "v1", "ledger", "checkpoint"] => self.checkpoint().await,
            ["fixpoint", "v1", "ledger", "verify"] => self.verify().await,
            ["fixpoint", "v1", "plan", "kustomizations", namespace, name] => {
                self.plan(&Named::new(*namespace, *name)).await
            }
            ["fixpoint", "v1", "health", "kustomizations", namespace, name] => {
                self.health(&Named::new(*namespace, *name), query).await
            }
            ["fixpoint", "v1", "why", plural, namespace, name] => {
                self.why(plural, &Named::new(*namespace, *name)).await
            }
            _ => not_found(&format!("there is nothing at {path}")),
        }
    }

    fn artifact(&self, path: &str) -> Answer {
        match self.ctx.artifacts.bytes(path) {
            Ok(bytes) => respond(StatusCode::OK, "application/gzip", bytes),
            Err(_) => not_found(&format!("there is no artifact at {path}")),
        }
    }

    async fn entries(&self, query: &str) -> Answer {
        let mut tail = 100;
        let mut subject = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("tail", count)) => match count.parse::<usize>() {
                    Ok(count) if count <= MAX_ENTRIES => tail = count,
                    _ => {
                        let message = format!("tail must be a number up to {MAX_ENTRIES}");
                        return refuse(StatusCode::BAD_REQUEST, "BadRequest", &message);
                    }
                },
                Some(("subject", name)) => subject = Some(name.replace("%2F", "/")),
                _ => {
                    let message = format!("query {pair:?} is not known; there are tail, subject");
                    return refuse(StatusCode::BAD_REQUEST, "BadRequest", &message);
                }
            }
        }
        let ctx = self.ctx.clone();
        // Reads files.
        let read = tokio::task::spawn_blocking(move || ctx.record.tail(tail, subject.as_deref()));
        match read.await {
            Ok(Ok(entries)) => json_answer(&Value::Array(entries)),
            Ok(Err(err)) => failed(&err.to_string()),
            Err(err) => failed(&err.to_string()),
        }
    }

    async fn checkpoint(&self) -> Answer {
        match self.ctx.record.checkpoint().await {
            Ok(text) => json_answer(&json!({"checkpoint": text})),
            Err(err) => failed(&err.to_string()),
        }
    }

    async fn verify(&self) -> Answer {
        match self.ctx.record.verify().await {
            Ok(report) => json_answer(&json!({
                "entries": report.size,
                "origin": report.origin,
                "key": report.key,
                "root": report.root,
                "open": report.open,
                "problems": report.problems,
            })),
            Err(err) => failed(&err.to_string()),
        }
    }

    /// The next plan as a program and as a person reads it, with the diff of every step.
    async fn plan(&self, name: &Named) -> Answer {
        let Preview { plan, desired, target } = match delivery::preview(&self.ctx, name).await {
            Ok(Some(preview)) => preview,
            Ok(None) => return not_found(&format!("Kustomization/{name} does not exist")),
            Err(message) => {
                return refuse(StatusCode::UNPROCESSABLE_ENTITY, "CannotPlan", &message);
            }
        };
        let mut text = String::new();
        for step in &plan.steps {
            let wanted = step.desired.and_then(|place| desired.at(place));
            text.push_str(
                &step_diff(&target.kube, step, wanted.map(|wanted| &wanted.object)).await,
            );
        }
        let held = plan.unfinished().count();
        json_answer(&json!({
            "target": target.name,
            "plan": PlanForm::from(&plan),
            "changes": plan.steps.len(),
            "held": held,
            "diff": text,
            "text": plan.to_string(),
            "summary": summary(&plan, held),
        }))
    }

    /// How objects do where the delivery last went; not known where that does not answer.
    async fn states(&self, name: &Named, found: &Value, keys: Vec<Key>) -> Vec<(Key, Health)> {
        let elsewhere = found["spec"]["kubeConfig"].is_object();
        let unknown = |why: &str| {
            keys.iter().map(|key| (key.clone(), Health::unknown(why))).collect::<Vec<_>>()
        };
        let Some(target) = self.ctx.targets.last_of(name, elsewhere) else {
            return unknown("its cluster was not reached yet");
        };
        let asked = tokio::time::timeout(PATIENCE, delivery::states(&target.kube, &keys)).await;
        asked.unwrap_or_else(|_| unknown("its cluster does not answer in time"))
    }

    async fn why(&self, plural: &str, name: &Named) -> Answer {
        let kind = match plural {
            "gitrepositories" => Kind::Source,
            "kustomizations" => Kind::Delivery,
            _ => return not_found(&format!("{plural} are not kept by this engine")),
        };
        let found = match crate::read(&self.ctx, kind, name).await {
            Ok(Some(found)) => found,
            Ok(None) => return not_found(&format!("{}/{name} does not exist", kind.name())),
            Err(err) => return failed(&err.to_string()),
        };
        let look = self.ctx.world.waker(kind).look(name);
        let mut reasons = reasons(&found);
        if kind == Kind::Delivery {
            reasons.extend(self.about_source(name, &found));
        }
        // A run writes its status before it says what it waits for: until then the last run's word
        // is still there, and the status knows better.
        let at_rest = found["spec"]["suspend"] == true
            || condition(&found, "Ready").is_some_and(|ready| ready["status"] == "True");
        let settled =
            at_rest && look.as_ref().is_some_and(|look| matches!(look.next, Next::Settled(_)));
        if let Some(look) = look.as_ref().filter(|look| !matches!(look.next, Next::Settled(_))) {
            reasons.push(format!("waits for: {}", look.next.because()));
        }
        let next = match &look {
            Some(look) => match look.at {
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now()).as_secs();
                    format!("in {left} s, or sooner when something changes")
                }
                None => "when the object changes".to_owned(),
            },
            None => "now".to_owned(),
        };
        let left = match kind {
            Kind::Delivery => self.ctx.memories.left(name),
            Kind::Source => Vec::new(),
        };
        json_answer(&json!({
            "settled": settled,
            "reasons": reasons,
            "left": left,
            "next": next,
            "nextAt": look.and_then(|look| look.at).and_then(|at| self.time_of(at)),
        }))
    }

    /// The time that an instant to come stands for.
    fn time_of(&self, at: Instant) -> Option<String> {
        let left = SignedDuration::try_from(at.saturating_duration_since(Instant::now())).ok()?;
        self.ctx.now().checked_add(left).ok().map(|time| time.to_string())
    }

    /// How the objects of an inventory do, a part of them at a time.
    async fn health(&self, name: &Named, query: &str) -> Answer {
        let (mut from, mut count) = (0, MAX_ASSESSED);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let number = pair.split_once('=').and_then(|(_, text)| text.parse::<usize>().ok());
            match (pair.split('=').next(), number) {
                (Some("from"), Some(number)) => from = number,
                (Some("count"), Some(number)) if number <= MAX_ASSESSED => count = number,
                _ => {
                    let message = format!(
                        "query {pair:?} is not known; there are from, and count up to \
                         {MAX_ASSESSED}"
                    );
                    return refuse(StatusCode::BAD_REQUEST, "BadRequest", &message);
                }
            }
        }
        let Some(found) = self.ctx.world.get(Kind::Delivery, name) else {
            return not_found(&format!("Kustomization/{name} does not exist"));
        };
        let (total, keys) = delivery::inventory_part(&found, from, count);
        let states = self.states(name, &found, keys).await;
        let objects = states.into_iter().map(|(key, health)| {
            json!({
                "object": key.to_string(),
                "kind": key.gvk.kind,
                "apiVersion": key.gvk.api_version(),
                "namespace": key.namespace,
                "name": key.name,
                "state": health.state.to_string(),
                "message": health.message,
            })
        });
        let objects: Vec<Value> = objects.collect();
        json_answer(&json!({"total": total, "from": from, "objects": objects}))
    }

    /// A delivery at its fixpoint may still be behind its store: the source says why.
    fn about_source(&self, name: &Named, delivery: &Value) -> Option<String> {
        let source = crate::world::source_of(name, delivery)?;
        let found = self.ctx.world.get(Kind::Source, &source)?;
        let held = reasons(&found);
        let ready = condition(&found, "Ready")?;
        (ready["status"] != "True")
            .then(|| format!("its source GitRepository/{source} is not ready: {}", held.join("; ")))
    }
}

/// What a step changes, as the target itself would do it; where it will not say, as wanted.
async fn step_diff(target: &KubeTarget, step: &Step, wanted: Option<&Value>) -> String {
    let live = target.get(&step.key).await.ok().flatten();
    let after = match wanted {
        Some(wanted) => match target.dry_run(wanted).await {
            Ok(after) => Some(after),
            Err(err) => return format!("# {}: {err}\n", step.key),
        },
        None => None,
    };
    diff(live.as_ref(), after.as_ref())
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// What the conditions say, those that say something is wrong first.
fn reasons(found: &Value) -> Vec<String> {
    let mut reasons = Vec::new();
    if object::annotation(found, "reconcile.fluxcd.io/requestedAt")
        .is_none_or(|requested| found["status"]["lastHandledReconcileAt"] == requested)
        && found["metadata"]["generation"] != found["status"]["observedGeneration"]
    {
        reasons.push("its last change has not come through yet".to_owned());
    }
    if found["spec"]["suspend"] == true {
        reasons.push("it is suspended".to_owned());
    }
    for kind in ["Ready", "TargetIdentity", "DeletionGuard", "FieldsIgnored", "DriftByInterval"] {
        if let Some(condition) = condition(found, kind) {
            let message = condition["message"].as_str().unwrap_or_default();
            let line = format!("{kind}={}: {message}", condition["status"].as_str().unwrap_or("?"));
            reasons.push(line);
        }
    }
    reasons
}

fn summary(plan: &Plan, held: usize) -> String {
    let count = plan.steps.len();
    match (count, held) {
        (0, 0) => "nothing to do: it is at its fixpoint".to_owned(),
        (0, held) => format!("nothing to do; {held} held"),
        (1, 0) => "1 change".to_owned(),
        (count, 0) => format!("{count} changes"),
        (1, held) => format!("1 change; {held} held"),
        (count, held) => format!("{count} changes; {held} held"),
    }
}

fn json_answer(value: &Value) -> Answer {
    respond(StatusCode::OK, "application/json", value.to_string().into())
}

fn not_found(message: &str) -> Answer {
    refuse(StatusCode::NOT_FOUND, "NotFound", message)
}

fn failed(message: &str) -> Answer {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
}

/// Refusals have the shape that Kubernetes clients understand.
fn refuse(code: StatusCode, reason: &str, message: &str) -> Answer {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code.as_u16(),
    });
    respond(code, "application/json", status.to_string().into())
}

fn respond(code: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
