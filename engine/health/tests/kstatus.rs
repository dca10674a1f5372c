//! The state of live objects, as a table: a status in, a verdict out.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use expect_test::{Expect, expect};
use fixpoint_health::{assess, assess_found, is_workload};
use serde_json::{Value, json};

/// Each line is `apiVersion Kind {…}`, the rest of the object as JSON; `//` starts a comment.
fn check(cases: &str, want: Expect) {
    let mut out = String::new();
    for line in cases.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let (api_version, kind) = (words.next().unwrap(), words.next().unwrap());
        let mut object: Value = serde_json::from_str(words.next().unwrap_or("{}")).unwrap();
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
        out += &format!("{}\n", assess(&object));
    }
    want.assert_eq(&out);
}

#[test]
fn every_kind_can_say_that_it_is_not_there_yet() {
    check(
        r#"
        v1 ConfigMap {"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"}}
        x/v1 Thing {"metadata":{"generation":2},"status":{"observedGeneration":1}}
        x/v1 Thing {"metadata":{"generation":1},"status":{"observedGeneration":-1}}
        x/v1 Thing {"metadata":{"generation":2},"status":{"observedGeneration":2}}
        x/v1 Thing {"status":{"conditions":[{"type":"Reconciling","status":"True","message":"Fetching"}]}}
        x/v1 Thing {"status":{"conditions":[{"type":"Stalled","status":"True","message":"Bad path"}]}}
        x/v1 Thing {"status":{"conditions":[{"type":"Stalled","status":"True"}]}}
        x/v1 Thing {"status":{"conditions":[{"type":"Ready","status":"True","message":"Applied revision: main"}]}}
        x/v1 Thing {"status":{"conditions":[{"type":"Ready","status":"False","message":"no"}]}}
        x/v1 Thing {"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}
        x/v1 Thing {"status":{"conditions":"nonsense"}}
        x/v1 Thing
        "#,
        expect![[r#"
            Terminating: Resource scheduled for deletion
            InProgress: Thing generation is 2, but latest observed generation is 1
            InProgress: Thing generation is 1, but latest observed generation is -1
            Current: Resource is current
            InProgress: Fetching
            Failed: Bad path
            Failed: Resource is stalled
            Current: Applied revision: main
            InProgress: no
            InProgress: Ready condition is Unknown
            Current: Resource is current
            Current: Resource is current
        "#]],
    );
}

#[test]
fn deployments() {
    check(
        r#"
        apps/v1 Deployment {"spec":{"replicas":3}}
        apps/v1 Deployment {"spec":{"replicas":3},"status":{"replicas":3,"updatedReplicas":1}}
        apps/v1 Deployment {"spec":{"replicas":3},"status":{"replicas":4,"updatedReplicas":3}}
        apps/v1 Deployment {"spec":{"replicas":3},"status":{"replicas":3,"updatedReplicas":3,"availableReplicas":2}}
        apps/v1 Deployment {"spec":{"replicas":3},"status":{"replicas":3,"updatedReplicas":3,"availableReplicas":3,"readyReplicas":2}}
        apps/v1 Deployment {"spec":{"replicas":1,"progressDeadlineSeconds":600},"status":{"replicas":1,"updatedReplicas":1,"availableReplicas":1,"readyReplicas":1}}
        apps/v1 Deployment {"spec":{"replicas":1},"status":{"replicas":1,"updatedReplicas":1,"availableReplicas":1,"readyReplicas":1}}
        apps/v1 Deployment {"spec":{"progressDeadlineSeconds":600},"status":{"replicas":1,"updatedReplicas":1,"availableReplicas":1,"readyReplicas":1,"conditions":[{"type":"Progressing","status":"True","reason":"NewReplicaSetAvailable"},{"type":"Available","status":"True"}]}}
        apps/v1 Deployment {"status":{"conditions":[{"type":"Progressing","status":"False","reason":"ProgressDeadlineExceeded"}]}}
        apps/v1 Deployment {"spec":{"replicas":0},"status":{"conditions":[{"type":"Available","status":"True"}]}}
        "#,
        expect![[r#"
            InProgress: Replicas: 0/3
            InProgress: Updated: 1/3
            InProgress: Pending termination: 1
            InProgress: Available: 2/3
            InProgress: Ready: 2/3
            InProgress: ReplicaSet not Available
            InProgress: Deployment not Available
            Current: Deployment is available. Replicas: 1
            Failed: Progress deadline exceeded
            Current: Deployment is available. Replicas: 0
        "#]],
    );
}

#[test]
fn other_controllers_of_pods() {
    check(
        r#"
        apps/v1 ReplicaSet {"spec":{"replicas":2},"status":{"replicas":2,"fullyLabeledReplicas":1}}
        apps/v1 ReplicaSet {"status":{"conditions":[{"type":"ReplicaFailure","status":"True","message":"quota"}]}}
        apps/v1 ReplicaSet {"spec":{"replicas":1},"status":{"replicas":1,"fullyLabeledReplicas":1,"availableReplicas":1,"readyReplicas":1}}
        apps/v1 DaemonSet
        apps/v1 DaemonSet {"status":{"desiredNumberScheduled":2}}
        apps/v1 DaemonSet {"status":{"observedGeneration":1,"desiredNumberScheduled":2,"currentNumberScheduled":2,"updatedNumberScheduled":1}}
        apps/v1 DaemonSet {"status":{"observedGeneration":1,"desiredNumberScheduled":0}}
        apps/v1 StatefulSet {"spec":{"updateStrategy":{"type":"OnDelete"}}}
        apps/v1 StatefulSet {"spec":{"replicas":3},"status":{"replicas":3,"readyReplicas":2}}
        apps/v1 StatefulSet {"spec":{"replicas":3,"updateStrategy":{"rollingUpdate":{"partition":2}}},"status":{"replicas":3,"readyReplicas":3,"updatedReplicas":0}}
        apps/v1 StatefulSet {"spec":{"replicas":3,"updateStrategy":{"rollingUpdate":{"partition":2}}},"status":{"replicas":3,"readyReplicas":3,"updatedReplicas":1}}
        apps/v1 StatefulSet {"spec":{"replicas":1},"status":{"replicas":1,"readyReplicas":1,"currentReplicas":1,"currentRevision":"a","updateRevision":"b"}}
        apps/v1 StatefulSet {"spec":{"replicas":1},"status":{"replicas":1,"readyReplicas":1,"currentReplicas":1,"currentRevision":"b","updateRevision":"b"}}
        "#,
        expect![[r#"
            InProgress: Labelled: 1/2
            InProgress: quota
            Current: ReplicaSet is available. Replicas: 1
            InProgress: Missing .status.desiredNumberScheduled
            InProgress: Controller has not observed the DaemonSet
            InProgress: Updated: 1/2
            Current: All replicas scheduled as expected. Replicas: 0
            Current: StatefulSet is using the ondelete update strategy
            InProgress: Ready: 2/3
            InProgress: Updated: 0/1
            Current: Partition rollout complete. updated: 1
            InProgress: Waiting for updated revision to match current
            Current: All replicas scheduled as expected. Replicas: 1
        "#]],
    );
}

#[test]
fn pods_and_jobs() {
    check(
        r#"
        v1 Pod
        v1 Pod {"status":{"phase":"Pending"}}
        v1 Pod {"status":{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable"}]}}
        v1 Pod {"status":{"phase":"Running"}}
        v1 Pod {"status":{"phase":"Running","containerStatuses":[{"name":"app","state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}}
        v1 Pod {"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}
        v1 Pod {"status":{"phase":"Succeeded"}}
        v1 Pod {"status":{"phase":"Failed"}}
        batch/v1 Job
        batch/v1 Job {"status":{"startTime":"2026-01-01T00:00:00Z","active":1}}
        batch/v1 Job {"spec":{"suspend":true}}
        batch/v1 Job {"spec":{"completions":2},"status":{"succeeded":2,"conditions":[{"type":"Complete","status":"True"}]}}
        batch/v1 Job {"status":{"failed":1,"conditions":[{"type":"Failed","status":"True"}]}}
        batch/v1 CronJob
        "#,
        expect![[r#"
            InProgress: Pod phase not available
            InProgress: Pod is in the Pending phase
            InProgress: Pod has not been scheduled
            InProgress: Pod is running but is not Ready
            Failed: Containers in CrashLoop state: app
            Current: Pod is Ready
            Current: Pod has completed successfully
            Failed: Pod has completed, but not successfully
            InProgress: Job not started
            InProgress: Job in progress. success:0, active: 1, failed: 0
            Current: Job is suspended
            Current: Job Completed. succeeded: 2/2
            Failed: Job Failed. failed: 1/1
            Current: Resource is always ready
        "#]],
    );
}

#[test]
fn the_rest_of_the_built_in_kinds() {
    check(
        r#"
        v1 Service {"spec":{"type":"LoadBalancer"}}
        v1 Service {"spec":{"type":"LoadBalancer","clusterIP":"10.0.0.1"}}
        v1 Service
        v1 PersistentVolumeClaim {"status":{"phase":"Pending"}}
        v1 PersistentVolumeClaim {"status":{"phase":"Bound"}}
        v1 Namespace {"status":{"phase":"Active"}}
        v1 Namespace
        policy/v1 PodDisruptionBudget
        policy/v1 PodDisruptionBudget {"metadata":{"generation":1},"status":{"observedGeneration":1}}
        apiextensions.k8s.io/v1 CustomResourceDefinition
        apiextensions.k8s.io/v1 CustomResourceDefinition {"status":{"conditions":[{"type":"Established","status":"False","reason":"Installing"}]}}
        apiextensions.k8s.io/v1 CustomResourceDefinition {"status":{"conditions":[{"type":"NamesAccepted","status":"False","message":"taken"}]}}
        apiextensions.k8s.io/v1 CustomResourceDefinition {"status":{"conditions":[{"type":"Established","status":"True"}]}}
        apiregistration.k8s.io/v1 APIService
        apiregistration.k8s.io/v1 APIService {"status":{"conditions":[{"type":"Available","status":"False","message":"no endpoints"}]}}
        apiregistration.k8s.io/v1 APIService {"status":{"conditions":[{"type":"Available","status":"True"}]}}
        autoscaling/v2 HorizontalPodAutoscaler {"status":{"conditions":[{"type":"ScalingActive","status":"False"}]}}
        networking.k8s.io/v1 Ingress {"status":{"loadBalancer":{}}}
        v1 PersistentVolume {"status":{"phase":"Available"}}
        v1 ReplicationController {"spec":{"replicas":2},"status":{"replicas":1}}
        "#,
        expect![[r#"
            InProgress: ClusterIP not set. Service type: LoadBalancer
            Current: Service is ready
            Current: Service is ready
            InProgress: PVC is not Bound. phase: Pending
            Current: PVC is Bound
            Current: Resource is current
            Current: Resource is current
            InProgress: AllowedDisruptions has not been computed
            Current: AllowedDisruptions has been computed.
            InProgress: Install in progress
            InProgress: Install in progress
            Failed: taken
            Current: CRD is established
            InProgress: APIService has not been probed
            InProgress: no endpoints
            Current: APIService is available
            Current: Resource is current
            Current: Resource is current
            Current: Resource is current
            Current: Resource is current
        "#]],
    );
}

#[test]
fn what_is_no_object_is_unknown_and_what_is_missing_is_not_found() {
    expect!["Unknown: the object has no apiVersion and kind"]
        .assert_eq(&assess(&json!({"kind": 7})).to_string());
    expect!["NotFound: Resource not found"].assert_eq(&assess_found(None).to_string());
}

#[test]
fn workloads_need_something_to_run_them() {
    let gvk = |group: &str, kind: &str| fixpoint_base::Gvk::new(group, "v1", kind);
    assert!(is_workload(&gvk("apps", "Deployment")));
    assert!(is_workload(&gvk("batch", "Job")));
    assert!(!is_workload(&gvk("", "ConfigMap")));
    assert!(!is_workload(&gvk("example.org", "Deployment")));
}
