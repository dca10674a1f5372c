//! Chapters about a delivery that brings a definition, what it defines, and workloads.
//!
//! In: the scene as the last chapter left it. Out: nothing, or why the story is another one. There
//! is no kubelet: the story itself says how the workloads do, as their controllers would.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::Scene;
use crate::e2e::object::{condition, is_ready, said};
use crate::e2e::process::wait;

/// The deliveries of the story, each after those that it needs.
pub const DELIVERIES: [&str; 3] = ["infrastructure", "apps", "workloads"];

/// What is delivered; the definition comes last in it.
const WORKLOADS: &str = include_str!("workloads.yaml");

const WIDGET: &str = "/apis/workloads.fixpoint.dev/v1/namespaces/quickstart/widgets/first";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/quickstart/deployments/web";

/// What the controllers of workloads would say of them, in the order in which it is said here.
fn statuses() -> [(&'static str, Value); 5] {
    let time = "2026-01-01T00:00:00Z";
    [
        (
            DEPLOYMENT,
            json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2,
                "readyReplicas": 2, "availableReplicas": 2, "conditions": [
                    {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                    {"type": "Progressing", "status": "True",
                        "reason": "NewReplicaSetAvailable"}]}),
        ),
        (
            "/apis/apps/v1/namespaces/quickstart/statefulsets/store",
            json!({"observedGeneration": 1, "replicas": 1, "readyReplicas": 1,
                "currentReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1,
                "currentRevision": "one", "updateRevision": "one"}),
        ),
        (
            "/apis/apps/v1/namespaces/quickstart/daemonsets/agent",
            json!({"observedGeneration": 1, "currentNumberScheduled": 1,
                "desiredNumberScheduled": 1, "numberAvailable": 1, "numberReady": 1,
                "updatedNumberScheduled": 1, "numberMisscheduled": 0}),
        ),
        (
            "/apis/batch/v1/namespaces/quickstart/jobs/migrate",
            json!({"startTime": time, "completionTime": time, "succeeded": 1,
                "uncountedTerminatedPods": {}, "conditions": [
                    {"type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached"},
                    {"type": "Complete", "status": "True", "reason": "CompletionsReached"}]}),
        ),
        ("/api/v1/namespaces/quickstart/persistentvolumeclaims/data", json!({"phase": "Bound"})),
    ]
}

pub fn deliver(scene: &Scene) -> Result<()> {
    scene.repository.write("workloads/workloads.yaml", WORKLOADS)?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password"},
        "stringData": {"password": scene.secret.secret()}});
    scene.repository.write("workloads/secret.yaml", &secret.to_string())?;
    let revision = scene.repository.commit("Add workloads")?;
    // An earlier delivery has to be at the revision, so that the source surely is.
    scene.delivered("infrastructure", &revision)?;
    scene.declare("workloads", "./workloads", &json!({"targetNamespace": "quickstart"}))?;
    scene.becomes(WIDGET, "/spec/size", &json!(3))?;
    scene.becomes(DEPLOYMENT, "/spec/replicas", &json!(2))
}

pub fn become_healthy(scene: &Scene) -> Result<()> {
    for (path, status) in statuses() {
        wait(|| Ok(scene.live(path)?.is_some()))
            .with_context(|| format!("{path} is not delivered"))?;
        let delivery = scene.delivery("workloads")?;
        if condition(&delivery, "Ready")["status"] == "True" {
            bail!("the delivery is ready, and {path} is not healthy: {}", said(&delivery));
        }
        let patch = json!({"status": status});
        scene
            .bed
            .target()
            .merge(&format!("{path}/status"), &patch)?
            .granted()
            .with_context(|| format!("cannot say how {path} does"))?;
    }
    wait(|| Ok(is_ready(&scene.delivery("workloads")?))).with_context(|| {
        format!("it is not ready: {:?}", scene.delivery("workloads").map(|object| said(&object)))
    })
}
