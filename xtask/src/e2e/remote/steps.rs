//! What happens, step by step.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{DELIVERIES, Scene, condition, is_ready, said};
use crate::e2e::client::Client;
use crate::e2e::cluster::{ENGINE, audit};
use crate::e2e::process::wait;

/// What the repository begins with.
pub const FILES: &[(&str, &str)] = &[
    (
        "app/all.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: shop}\n\
         data: {state: first}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: shop}\n\
         data: {state: first}\n---\n\
         apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: wide, namespace: shop}\n\
         spec: {size: 3}\n---\n\
         apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
         metadata: {name: widgets.example.org}\n\
         spec:\n  group: example.org\n  scope: Namespaced\n\
         \x20 names: {kind: Widget, listKind: WidgetList, plural: widgets, singular: widget}\n\
         \x20 versions:\n  - name: v1\n    served: true\n    storage: true\n\
         \x20   schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}\n",
    ),
    (
        "team/one.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ours, namespace: team}\n\
         data: {state: first}\n",
    ),
];

const MAPS: &str = "/api/v1/namespaces/shop/configmaps";
const WIDGET: &str = "/apis/example.org/v1/namespaces/shop/widgets/wide";
const OURS: &str = "/api/v1/namespaces/team/configmaps/ours";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1";

fn state(client: &Client, path: &str) -> Result<Option<String>> {
    let found = client.get(path)?;
    Ok(found.and_then(|map| map["data"]["state"].as_str().map(str::to_owned)))
}

fn await_state(client: &Client, path: &str, wanted: &str) -> Result<()> {
    wait(|| Ok(state(client, path)?.as_deref() == Some(wanted)))
        .with_context(|| format!("{path} does not become {wanted}"))
}

pub fn deliver(scene: &Scene) -> Result<()> {
    scene.store("prod", &scene.kubeconfig(0)?)?;
    scene.declare("app", "prod")?;
    scene.await_delivery("app", is_ready)?;
    await_state(&scene.first, &format!("{MAPS}/one"), "first")?;
    ensure!(scene.first.get(WIDGET)?.is_some(), "the widget is not there");
    ensure!(scene.home.get(&format!("{MAPS}/one"))?.is_none(), "it is at home, too");
    let plan = scene.fixpoint(&["plan", "kustomization/app"])?;
    ensure!(plan.contains("nothing to do"), "another plan finds something to do:\n{plan}");
    Ok(())
}

pub fn repair(scene: &Scene) -> Result<()> {
    let one = format!("{MAPS}/one");
    scene.first.merge(&one, &json!({"data": {"state": "hacked"}}))?.granted()?;
    await_state(&scene.first, &one, "first")?;
    let gone = scene.first.delete(WIDGET)?.granted()?;
    wait(|| {
        let uid = |object: &Value| object["metadata"]["uid"].as_str().map(str::to_owned);
        let before = uid(&gone).or_else(|| gone["details"]["uid"].as_str().map(str::to_owned));
        Ok(scene.first.get(WIDGET)?.is_some_and(|widget| uid(&widget) != before))
    })
    .context("the widget does not come back")
}

/// Objects of the delivery `app`.
const OBJECTS: usize = 5;

pub fn look_again(scene: &Scene) -> Result<()> {
    // What the repairs before have asked for is over by then.
    scene.hurry("app", "a first look")?;
    let log = scene.clusters[0].audit_log();
    let from = audit::length(&log)?;
    scene.hurry("app", "a second look")?;
    wait(|| Ok(audit::read(&log, ENGINE, from)?.len() >= OBJECTS))
        .context("the second look is not in the audit log")?;
    let requests = audit::read(&log, ENGINE, from)?;
    if let Some(change) = requests.iter().find(|request| request.is_mutation()) {
        bail!("it changed something: {} {}", change.verb, change.path);
    }
    // Health is asked of each object as well; and once, which cluster it is.
    let most = 2 * OBJECTS + 1;
    ensure!(requests.len() <= most, "{} requests for {OBJECTS} objects", requests.len());
    Ok(())
}

/// A kubeconfig with the token of a service account that may do little.
fn account(scene: &Scene) -> Result<Value> {
    let accounts = "/api/v1/namespaces/team/serviceaccounts";
    let token = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {}});
    let made = scene.first.create(&format!("{accounts}/deployer/token"), &token)?.granted()?;
    let mut config = scene.kubeconfig(0)?;
    config["users"][0]["user"] = json!({"token": made["status"]["token"]});
    Ok(config)
}

fn may(scene: &Scene, rules: &Value) -> Result<()> {
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "deployer"}, "rules": rules});
    let roles = format!("{ROLES}/namespaces/team/roles");
    let made = scene.first.create(&roles, &role)?;
    if made.code != 409 {
        return made.granted().map(drop);
    }
    let path = format!("{roles}/deployer");
    scene.first.merge(&path, &json!({"rules": rules}))?.granted().map(drop)
}

fn maps() -> Value {
    json!({"apiGroups": [""], "resources": ["configmaps"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"]})
}

pub fn cannot_tell(scene: &Scene) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    scene.first.create("/api/v1/namespaces", &namespace)?.granted()?;
    let account_object = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "deployer"}});
    let accounts = "/api/v1/namespaces/team/serviceaccounts";
    scene.first.create(accounts, &account_object)?.granted()?;
    may(scene, &json!([maps()]))?;
    let subjects = json!([{"kind": "ServiceAccount", "name": "deployer", "namespace": "team"}]);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "deployer"}, "subjects": subjects,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "deployer"}});
    scene.first.create(&format!("{ROLES}/namespaces/team/rolebindings"), &binding)?.granted()?;
    scene.store("team", &account(scene)?)?;
    scene.declare("team", "team")?;
    scene.await_delivery("team", |delivery| {
        said(delivery)
            .contains("allow the identity of the kubeconfig to get the namespace kube-system")
    })?;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "tells-the-cluster"}, "rules": [{"apiGroups": [""],
        "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}]});
    scene.first.create(&format!("{ROLES}/clusterroles"), &role)?.granted()?;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding", "metadata": {"name": "tells-the-cluster"},
        "subjects": subjects, "roleRef": {"apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole", "name": "tells-the-cluster"}});
    scene.first.create(&format!("{ROLES}/clusterrolebindings"), &binding)?.granted()?;
    scene.await_delivery("team", is_ready)?;
    await_state(&scene.first, OURS, "first")
}

fn is_watched(delivery: &Value) -> bool {
    condition(delivery, "DriftByInterval").is_null()
}

pub fn narrow_watch(scene: &Scene) -> Result<()> {
    scene.await_delivery("team", is_watched)?;
    for state in ["hacked", "hacked again"] {
        scene.first.merge(OURS, &json!({"data": {"state": state}}))?.granted()?;
        await_state(&scene.first, OURS, "first")?;
    }
    Ok(())
}

fn commit(scene: &Scene, file: &str, text: &str) -> Result<()> {
    scene.repository.commit(&[(file, text)])
}

pub fn no_watch(scene: &Scene) -> Result<()> {
    let quotas = json!({"apiGroups": [""], "resources": ["limitranges"],
        "verbs": ["get", "create", "patch", "delete"]});
    may(scene, &json!([maps(), quotas]))?;
    commit(
        scene,
        "team/two.yaml",
        "apiVersion: v1\nkind: LimitRange\nmetadata: {name: ours, namespace: team}\n\
         spec: {limits: [{type: Container, max: {cpu: '2'}}]}\n",
    )?;
    let delivery = scene.await_delivery("team", |delivery| {
        is_ready(delivery) && condition(delivery, "DriftByInterval")["status"] == "True"
    })?;
    let message = condition(&delivery, "DriftByInterval")["message"].as_str().unwrap_or_default();
    ensure!(message.contains("LimitRange in team"), "it says {message}");
    ensure!(!message.contains("ConfigMap"), "it says {message}");
    Ok(())
}

pub fn forbidden(scene: &Scene) -> Result<()> {
    commit(
        scene,
        "team/one.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ours, namespace: team}\n\
         data: {state: second}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {name: ours, namespace: team}\n\
         spec: {ports: [{port: 80}]}\n",
    )?;
    let delivery = scene.await_delivery("team", |delivery| {
        condition(delivery, "Ready")["status"] == "False"
            && said(delivery).contains("Service/team/ours")
    })?;
    await_state(&scene.first, OURS, "second")?;
    let message = said(&delivery);
    ensure!(!message.contains("ConfigMap"), "it says {message}");
    commit(
        scene,
        "team/one.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ours, namespace: team}\n\
         data: {state: third}\n",
    )?;
    await_state(&scene.first, OURS, "third")?;
    scene.await_delivery("team", is_ready).map(drop)
}

pub fn stranger(scene: &Scene) -> Result<()> {
    scene.road.lead_to(scene.clusters[1].address())?;
    // Whoever builds a cluster anew hands out its kubeconfig, too.
    scene.store("prod", &scene.kubeconfig(1)?)?;
    scene.hurry("app", "another cluster")?;
    let delivery = scene.await_delivery("app", |delivery| {
        condition(delivery, "TargetIdentity")["status"] == "False"
    })?;
    let message = condition(&delivery, "TargetIdentity")["message"].as_str().unwrap_or_default();
    for client in [&scene.first, &scene.second] {
        let system = client.get("/api/v1/namespaces/kube-system")?.unwrap_or_default();
        let uid = system["metadata"]["uid"].as_str().context("kube-system has no uid")?;
        ensure!(message.contains(uid), "{message} does not name {uid}");
    }
    if scene.second.get("/api/v1/namespaces/shop")?.is_some() {
        bail!("something was delivered to the other cluster");
    }
    scene.fixpoint(&["ack", "kustomization/app", "--reason", "built anew"])?;
    scene.await_delivery("app", |delivery| {
        is_ready(delivery) && condition(delivery, "TargetIdentity").is_null()
    })?;
    await_state(&scene.second, &format!("{MAPS}/one"), "first")
}

pub fn take_down(scene: &Scene) -> Result<()> {
    scene.home.delete(&format!("{DELIVERIES}/app"))?.granted()?;
    wait(|| Ok(scene.home.get(&format!("{DELIVERIES}/app"))?.is_none()))
        .context("the delivery stays")?;
    wait(|| Ok(scene.second.get("/api/v1/namespaces/shop")?.is_none()))
        .context("what was delivered stays")?;
    // What lies in a cluster that no delivery leads to is nobody's to delete.
    await_state(&scene.first, &format!("{MAPS}/one"), "first")
}
