//! The chapters that the quickstart tells as well.
//!
//! In: the scene as the last chapter left it. Out: nothing, or why the story is another one.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{DELIVERIES, SOURCE, Scene};
use crate::e2e::object::{condition, is_ready, said};
use crate::e2e::process::wait;

const GREETING: &str =
    "/apis/quickstart.fixpoint.dev/v1alpha1/namespaces/quickstart/greetings/welcome";
const SERVICE: &str = "/api/v1/namespaces/quickstart/services/site";
const SETTINGS: &str = "/api/v1/namespaces/quickstart/configmaps/cluster-settings";

/// Where the text of the greeting is.
const TEXT: &str = "/spec/text";

/// Where the greeting is written in Git.
const PATCH: &str = "apps/overlays/local/greeting-patch.yaml";

pub fn converge(scene: &Scene) -> Result<()> {
    scene.declare_source()?;
    scene.declare("infrastructure", "./infrastructure", &Value::Null)?;
    let after = json!({"dependsOn": [{"name": "infrastructure"}]});
    scene.declare("apps", "./apps/overlays/local", &after)?;
    let revision = scene.repository.revision()?;
    scene.delivered("infrastructure", &revision)?;
    scene.delivered("apps", &revision)?;
    scene.is_still(GREETING, TEXT, &json!("Hello from your own machine."))?;
    scene.is_still(SERVICE, "/spec/ports/0/port", &json!(8080))
}

pub fn commit(scene: &Scene) -> Result<()> {
    set_greeting(scene, "Hello, world.")?;
    let revision = scene.repository.commit("Greet the world")?;
    scene.becomes(GREETING, TEXT, &json!("Hello, world."))?;
    scene.delivered("apps", &revision)
}

pub fn change_by_hand(scene: &Scene) -> Result<()> {
    let target = scene.bed.target();
    target.merge(GREETING, &json!({"spec": {"text": "changed by hand"}}))?.granted()?;
    scene.becomes(GREETING, TEXT, &json!("Hello, world."))?;
    // Not the number of the port: it names the port, and a server-side apply would put the good
    // one beside the bad one, which the server refuses because both are called the same.
    let port = json!([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9}]);
    target.send("PATCH", SERVICE, "application/json-patch+json", Some(&port))?.granted()?;
    scene.becomes(SERVICE, "/spec/ports/0/targetPort", &json!(8080))
}

pub fn delete_by_hand(scene: &Scene) -> Result<()> {
    let uid = scene.live(SETTINGS)?.unwrap_or_default()["metadata"]["uid"].clone();
    scene.bed.target().delete(SETTINGS)?.granted()?;
    wait(|| Ok(scene.live(SETTINGS)?.is_some_and(|object| object["metadata"]["uid"] != uid)))
        .context("the deleted object is not back")?;
    scene.is_still(SETTINGS, "/data/cluster", &json!("local"))
}

pub fn broken_commit(scene: &Scene) -> Result<()> {
    let good = scene.repository.read(PATCH)?;
    scene.repository.write(PATCH, &good.replace("spec:", "spec: ["))?;
    let before = scene.delivery("apps")?["status"]["lastAppliedRevision"].clone();
    let revision = scene.repository.commit("Break the greeting")?;
    wait(|| {
        let delivery = scene.delivery("apps")?;
        Ok(condition(&delivery, "Ready")["status"] == "False"
            && delivery["status"]["lastAttemptedRevision"] == revision)
    })
    .context("the broken commit is not refused")?;
    let delivery = scene.delivery("apps")?;
    if delivery["status"]["lastAppliedRevision"] != before {
        bail!("the broken commit counts as applied: {}", said(&delivery));
    }
    if !said(&delivery).contains("greeting-patch.yaml") {
        bail!("the refusal does not name the file: {}", said(&delivery));
    }
    scene.is_still(GREETING, TEXT, &json!("Hello, world."))?;
    scene.repository.write(PATCH, &good)
}

pub fn mend(scene: &Scene) -> Result<()> {
    set_greeting(scene, "Hello again.")?;
    let revision = scene.repository.commit("Mend the greeting")?;
    scene.becomes(GREETING, TEXT, &json!("Hello again."))?;
    scene.delivered("apps", &revision)
}

pub fn force_push(scene: &Scene) -> Result<()> {
    set_greeting(scene, "Rewritten.")?;
    let revision = scene.repository.amend("Rewrite history")?;
    let is_held =
        || -> Result<bool> { Ok(condition(&scene.source()?, "GitSemantics")["status"] == "False") };
    wait(is_held).context("the rewritten branch is not held")?;
    // A delivery that looks now sees the last good version and finds nothing to do.
    scene.bed.fixpoint(&["reconcile", "kustomization/apps", "-n", super::HOME])?;
    scene.is_still(GREETING, TEXT, &json!("Hello again."))?;
    let delivery = scene.delivery("apps")?;
    if !is_ready(&delivery) {
        bail!("a held source made its delivery fail: {}", said(&delivery));
    }
    let reason = ["--reason", "it is only a story"];
    let ack = ["ack", "source/quickstart", "-n", super::HOME];
    scene.bed.fixpoint(&[&ack[..], &reason[..]].concat())?;
    scene.becomes(GREETING, TEXT, &json!("Rewritten."))?;
    scene.delivered("apps", &revision)
}

pub fn remove(scene: &Scene) -> Result<()> {
    let list = "infrastructure/kustomization.yaml";
    let text = scene.repository.read(list)?.replace("  - cluster-settings.yaml\n", "");
    scene.repository.write(list, &text)?;
    scene.repository.remove("infrastructure/cluster-settings.yaml")?;
    let revision = scene.repository.commit("Remove the settings")?;
    wait(|| Ok(scene.live(SETTINGS)?.is_none())).context("what was removed is still there")?;
    scene.delivered("infrastructure", &revision)?;
    scene.is_still(GREETING, TEXT, &json!("Rewritten."))
}

/// Looks at every delivery again, with nothing new, and finds every object as it was.
pub fn look_again(scene: &Scene) -> Result<()> {
    let paths = [GREETING, SERVICE, "/api/v1/namespaces/quickstart"];
    let versions = || -> Result<Vec<Value>> {
        let objects = paths.iter().map(|path| scene.live(path));
        objects
            .map(|object| Ok(object?.unwrap_or_default()["metadata"]["resourceVersion"].clone()))
            .collect()
    };
    let before = versions()?;
    for name in super::workloads::DELIVERIES {
        let what = format!("kustomization/{name}");
        scene.bed.fixpoint(&["reconcile", what.as_str(), "-n", super::HOME])?;
    }
    let after = versions()?;
    if before != after {
        bail!("the versions of {paths:?} were {before:?} and are {after:?}");
    }
    Ok(())
}

/// Deletes the deliveries and the source, and waits for everything they brought to go.
pub fn take_down(scene: &Scene) -> Result<()> {
    let home = scene.bed.home();
    let mut names = super::workloads::DELIVERIES.to_vec();
    // What others need goes last.
    names.reverse();
    for name in names {
        let path = format!("{DELIVERIES}/{name}");
        home.delete(&path)?.granted()?;
        wait(|| Ok(home.get(&path)?.is_none()))
            .with_context(|| format!("the delivery {name} does not go"))?;
    }
    let source = format!("{SOURCE}/quickstart");
    home.delete(&source)?.granted()?;
    wait(|| Ok(home.get(&source)?.is_none())).context("the source does not go")?;
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let all = [
        "/api/v1/namespaces/quickstart".to_owned(),
        format!("{DEFINITIONS}/greetings.quickstart.fixpoint.dev"),
        format!("{DEFINITIONS}/widgets.workloads.fixpoint.dev"),
    ];
    for path in all {
        wait(|| Ok(scene.live(&path)?.is_none())).with_context(|| format!("{path} is left"))?;
    }
    Ok(())
}

fn set_greeting(scene: &Scene, text: &str) -> Result<()> {
    let patch = scene.repository.read(PATCH)?;
    let lines: Vec<String> = patch
        .lines()
        .map(|line| match line.trim_start().starts_with("text:") {
            true => format!("  text: {text:?}"),
            false => line.to_owned(),
        })
        .collect();
    scene.repository.write(PATCH, &(lines.join("\n") + "\n"))
}
