//! The rules of the kinds that Kubernetes itself brings.

use fixpoint_base::Gvk;
use serde_json::Value;

use crate::Health;
use crate::read::{condition, current, failed, in_progress, number, text};

/// Assesses an object of a built-in kind; `None` for any other.
pub fn assess(object: &Value, gvk: &Gvk) -> Option<Health> {
    let rule = match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Service") => service,
        ("", "Pod") => pod,
        ("", "PersistentVolumeClaim") => claim,
        ("", "Namespace") => namespace,
        ("", "Secret" | "ConfigMap") | ("batch", "CronJob") => always,
        ("apps" | "extensions", "Deployment") => deployment,
        ("apps" | "extensions", "ReplicaSet") => replica_set,
        ("apps" | "extensions", "DaemonSet") => daemon_set,
        ("apps", "StatefulSet") => stateful_set,
        ("policy", "PodDisruptionBudget") => budget,
        ("batch", "Job") => job,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition,
        ("apiregistration.k8s.io", "APIService") => api_service,
        _ => return None,
    };
    Some(rule(object))
}

fn always(_: &Value) -> Health {
    current("Resource is always ready")
}

fn service(object: &Value) -> Health {
    if text(object, "/spec/type") == "LoadBalancer" && text(object, "/spec/clusterIP").is_empty() {
        return in_progress("ClusterIP not set. Service type: LoadBalancer");
    }
    current("Service is ready")
}

fn claim(object: &Value) -> Health {
    match text(object, "/status/phase") {
        "Bound" => current("PVC is Bound"),
        "" => in_progress("PVC is not Bound. phase: unknown"),
        phase => in_progress(format!("PVC is not Bound. phase: {phase}")),
    }
}

fn namespace(object: &Value) -> Health {
    match text(object, "/status/phase") {
        "Terminating" => in_progress("Namespace is terminating"),
        _ => current("Resource is current"),
    }
}

/// Calls a rollout in progress where one count is less than another: `Ready: 1/3`.
fn behind(what: &str, have: i64, want: i64) -> Option<Health> {
    (have < want).then(|| in_progress(format!("{what}: {have}/{want}")))
}

fn leaving(have: i64, want: i64) -> Option<Health> {
    (have > want).then(|| in_progress(format!("Pending termination: {}", have - want)))
}

fn first<const N: usize>(findings: [Option<Health>; N]) -> Option<Health> {
    findings.into_iter().flatten().next()
}

fn deployment(object: &Value) -> Health {
    let progressing = condition(object, "Progressing");
    if progressing.is_some_and(|p| p.reason == "ProgressDeadlineExceeded") {
        return failed("Progress deadline exceeded");
    }
    let want = number(object, "/spec/replicas", 1);
    let have = |field: &str| number(object, &format!("/status/{field}"), 0);
    let counts = first([
        behind("Replicas", have("replicas"), want),
        behind("Updated", have("updatedReplicas"), want),
        leaving(have("replicas"), want),
        behind("Available", have("availableReplicas"), have("updatedReplicas")),
        behind("Ready", have("readyReplicas"), want),
    ]);
    if let Some(counts) = counts {
        return counts;
    }
    // Without a deadline there is no Progressing condition; the largest 32-bit number means none.
    let deadline = number(object, "/spec/progressDeadlineSeconds", i64::from(i32::MAX));
    let rolled_out =
        progressing.is_some_and(|p| p.is_true() && p.reason == "NewReplicaSetAvailable");
    if deadline != i64::from(i32::MAX) && !rolled_out {
        return in_progress("ReplicaSet not Available");
    }
    if !condition(object, "Available").is_some_and(|available| available.is_true()) {
        return in_progress("Deployment not Available");
    }
    current(format!("Deployment is available. Replicas: {}", have("replicas")))
}

fn replica_set(object: &Value) -> Health {
    if let Some(failure) = condition(object, "ReplicaFailure")
        && failure.is_true()
    {
        return in_progress(failure.says("Replica Failure condition. Check Pods"));
    }
    let want = number(object, "/spec/replicas", 1);
    let have = |field: &str| number(object, &format!("/status/{field}"), 0);
    first([
        behind("Labelled", have("fullyLabeledReplicas"), want),
        behind("Available", have("availableReplicas"), want),
        behind("Ready", have("readyReplicas"), want),
        leaving(have("replicas"), want),
    ])
    .unwrap_or_else(|| current(format!("ReplicaSet is available. Replicas: {}", have("replicas"))))
}

fn daemon_set(object: &Value) -> Health {
    let want = number(object, "/status/desiredNumberScheduled", -1);
    if want < 0 {
        return in_progress("Missing .status.desiredNumberScheduled");
    }
    if object.pointer("/status/observedGeneration").is_none() {
        return in_progress("Controller has not observed the DaemonSet");
    }
    let have = |field: &str| number(object, &format!("/status/{field}"), 0);
    first([
        behind("Current", have("currentNumberScheduled"), want),
        behind("Updated", have("updatedNumberScheduled"), want),
        behind("Available", have("numberAvailable"), want),
        behind("Ready", have("numberReady"), want),
    ])
    .unwrap_or_else(|| current(format!("All replicas scheduled as expected. Replicas: {want}")))
}

fn stateful_set(object: &Value) -> Health {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return current("StatefulSet is using the ondelete update strategy");
    }
    let want = number(object, "/spec/replicas", 1);
    let have = |field: &str| number(object, &format!("/status/{field}"), 0);
    let counts = first([
        behind("Replicas", have("replicas"), want),
        behind("Ready", have("readyReplicas"), want),
        leaving(have("replicas"), want),
    ]);
    if let Some(counts) = counts {
        return counts;
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition", 0);
    if partition > 0 {
        let updated = have("updatedReplicas");
        return behind("Updated", updated, want - partition)
            .unwrap_or_else(|| current(format!("Partition rollout complete. updated: {updated}")));
    }
    if let Some(current) = behind("Current", have("currentReplicas"), want) {
        return current;
    }
    if text(object, "/status/currentRevision") != text(object, "/status/updateRevision") {
        return in_progress("Waiting for updated revision to match current");
    }
    current(format!("All replicas scheduled as expected. Replicas: {}", have("replicas")))
}

fn budget(object: &Value) -> Health {
    if object.pointer("/status/observedGeneration").is_none() {
        return in_progress("AllowedDisruptions has not been computed");
    }
    current("AllowedDisruptions has been computed.")
}

/// A running job is in progress until it ends: dependents wait for its result, not for its start.
fn job(object: &Value) -> Health {
    let count = |field: &str| number(object, &format!("/status/{field}"), 0);
    let completions = number(object, "/spec/completions", 1);
    if condition(object, "Complete").is_some_and(|complete| complete.is_true()) {
        return current(format!("Job Completed. succeeded: {}/{completions}", count("succeeded")));
    }
    if condition(object, "Failed").is_some_and(|failed| failed.is_true()) {
        return failed(format!("Job Failed. failed: {}/{completions}", count("failed")));
    }
    if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return current("Job is suspended");
    }
    if text(object, "/status/startTime").is_empty() {
        return in_progress("Job not started");
    }
    in_progress(format!(
        "Job in progress. success:{}, active: {}, failed: {}",
        count("succeeded"),
        count("active"),
        count("failed")
    ))
}

fn definition(object: &Value) -> Health {
    if let Some(names) = condition(object, "NamesAccepted")
        && names.is_false()
    {
        return failed(names.says("The names of the definition are taken"));
    }
    match condition(object, "Established") {
        Some(established) if established.is_true() => current("CRD is established"),
        Some(established) if established.is_false() && established.reason != "Installing" => {
            failed(established.says("CRD is not established"))
        }
        _ => in_progress("Install in progress"),
    }
}

fn api_service(object: &Value) -> Health {
    match condition(object, "Available") {
        Some(available) if available.is_true() => current("APIService is available"),
        Some(available) => in_progress(available.says("APIService is not available")),
        None => in_progress("APIService has not been probed"),
    }
}

fn pod(object: &Value) -> Health {
    match text(object, "/status/phase") {
        "Succeeded" => current("Pod has completed successfully"),
        "Failed" => failed("Pod has completed, but not successfully"),
        "Running" => running_pod(object),
        "Pending" => match condition(object, "PodScheduled") {
            Some(scheduled) if scheduled.is_false() && scheduled.reason == "Unschedulable" => {
                in_progress("Pod has not been scheduled")
            }
            _ => in_progress("Pod is in the Pending phase"),
        },
        "" => in_progress("Pod phase not available"),
        phase => in_progress(format!("Pod is in the {phase} phase")),
    }
}

fn running_pod(object: &Value) -> Health {
    if condition(object, "Ready").is_some_and(|ready| ready.is_true()) {
        return current("Pod is Ready");
    }
    let crashing: Vec<&str> = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .filter_map(|field| object.pointer(&format!("/status/{field}"))?.as_array())
        .flatten()
        .filter(|status| text(status, "/state/waiting/reason") == "CrashLoopBackOff")
        .map(|status| text(status, "/name"))
        .collect();
    if crashing.is_empty() {
        in_progress("Pod is running but is not Ready")
    } else {
        failed(format!("Containers in CrashLoop state: {}", crashing.join(",")))
    }
}
