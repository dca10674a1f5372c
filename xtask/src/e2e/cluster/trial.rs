//! The test bed itself: that a cluster is a real one, and goes without a trace.
//!
//! In: the parts of a cluster. Out: a step for each thing that the other suites rely upon.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{ADMIN, Cluster, ENGINE, Parts, audit};
use crate::e2e::client::Client;
use crate::e2e::peers::{self, Found, Peer};
use crate::e2e::process::{Process, Scratch, wait};
use crate::e2e::{Report, Scope};

const NAMESPACES: &str = "/api/v1/namespaces";
const MAPS: &str = "/api/v1/namespaces/bed/configmaps";

/// Starts a cluster, looks at it, and takes it down.
pub fn run(root: &Path, _scope: Scope, report: &mut Report) -> Result<()> {
    let (parts, kubectl) = match (Parts::find()?, peers::find(Peer::Kubectl)?) {
        (Found::Here(parts), Found::Here(kubectl)) => (parts, kubectl),
        (Found::Missing(why), _) | (_, Found::Missing(why)) => {
            report.skip("bed", &why);
            return Ok(());
        }
    };
    let scratch = Scratch::new(&root.join("target"), "bed")?;
    let mut cluster = Cluster::start(&parts, scratch.path())?;
    let client = cluster.client()?;
    report.take("kubectl and the server are of one version", versions(&kubectl, &cluster));
    report.take("a kubeconfig stands for itself", kubeconfig_is_whole(&kubectl, &cluster));
    report.take("a namespace comes and goes", namespace_goes(&client));
    report.take("what belongs to an object goes with it", owned_goes(&client));
    report.take("roles are summed up", roles_are_summed_up(&client));
    report.take("the audit log tells who did what", audit_tells(&cluster, &client));
    report.take("all parts still run", cluster.check());
    let address = cluster.address().trim_start_matches("https://").to_owned();
    drop(cluster);
    let is_gone = match std::net::TcpStream::connect(&address) {
        Err(_) => Ok(()),
        Ok(_) => Err(anyhow::anyhow!("{address} still answers")),
    };
    report.take("nothing is left of it", is_gone);
    Ok(())
}

fn versions(kubectl: &Path, cluster: &Cluster) -> Result<()> {
    let versions = ask(kubectl, cluster.kubeconfig(), &["version", "--output=json"])?;
    let minor = |side: &str| {
        let text = versions[side]["minor"].as_str().unwrap_or_default();
        text.parse::<i64>().with_context(|| format!("there is no {side} in {versions}"))
    };
    let (ours, theirs) = (minor("clientVersion")?, minor("serverVersion")?);
    if (ours - theirs).abs() > 1 {
        bail!("kubectl is 1.{ours}, the server 1.{theirs}");
    }
    Ok(())
}

/// A kubeconfig that is carried elsewhere is as good there.
fn kubeconfig_is_whole(kubectl: &Path, cluster: &Cluster) -> Result<()> {
    let folder = cluster.kubeconfig().with_file_name("elsewhere");
    std::fs::create_dir(&folder).context("cannot make a folder")?;
    let kubeconfig = folder.join("kubeconfig");
    std::fs::write(&kubeconfig, cluster.kubeconfig_of(ENGINE)?).context("cannot write")?;
    let who = ask(kubectl, &kubeconfig, &["auth", "whoami", "--output=json"])?;
    match who["status"]["userInfo"]["username"].as_str() {
        Some(ENGINE) => Ok(()),
        other => bail!("it is that of {other:?}"),
    }
}

fn ask(kubectl: &Path, kubeconfig: &Path, args: &[&str]) -> Result<Value> {
    let folder = kubeconfig.parent().context("the kubeconfig lies in no folder")?;
    let mut command = Command::new(kubectl);
    command.args(args).env("KUBECONFIG", kubeconfig).env("HOME", folder);
    let mut process = Process::start(&mut command, "", folder.join("kubectl.log"))?;
    let status = process.wait()?;
    let printed = process.printed();
    serde_json::from_str(&printed)
        .with_context(|| format!("kubectl {}: {status}\n{printed}", args.join(" ")))
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

fn namespace_goes(client: &Client) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bed"}});
    client.create(NAMESPACES, &namespace)?.granted()?;
    client.create(MAPS, &map("one"))?.granted()?;
    client.delete(&format!("{NAMESPACES}/bed"))?.granted()?;
    wait(|| Ok(client.get(&format!("{NAMESPACES}/bed"))?.is_none()))
        .context("the namespace stays")?;
    client.create(NAMESPACES, &namespace)?.granted()?;
    Ok(())
}

fn owned_goes(client: &Client) -> Result<()> {
    let owner = client.create(MAPS, &map("owner"))?.granted()?;
    let mut owned = map("owned");
    owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap",
        "name": "owner", "uid": owner["metadata"]["uid"]}]);
    client.create(MAPS, &owned)?.granted()?;
    client.delete(&format!("{MAPS}/owner"))?.granted()?;
    wait(|| Ok(client.get(&format!("{MAPS}/owned"))?.is_none()))
        .context("what belonged to a deleted object stays")
}

fn roles_are_summed_up(client: &Client) -> Result<()> {
    const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let role = |name: &str, labels: Value| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": labels}})
    };
    let mut part = role("bed-part", json!({"bed": "part"}));
    part["rules"] = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    let mut sum = role("bed-sum", json!({}));
    sum["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"bed": "part"}}]});
    sum["rules"] = json!([]);
    client.create(ROLES, &part)?.granted()?;
    client.create(ROLES, &sum)?.granted()?;
    wait(|| {
        let role = client.get(&format!("{ROLES}/bed-sum"))?.unwrap_or_default();
        Ok(role["rules"] == part["rules"])
    })
    .context("the role has not got the rules of its part")
}

/// Other suites tell by the audit log what the engine did.
fn audit_tells(cluster: &Cluster, client: &Client) -> Result<()> {
    let log = cluster.audit_log();
    let from = audit::length(&log)?;
    let engine = cluster.client_of(ENGINE)?;
    engine.create(MAPS, &map("told"))?.granted()?;
    engine.get(&format!("{MAPS}/told"))?.context("what was made is not there")?;
    client.delete(&format!("{MAPS}/told"))?.granted()?;
    let told = |user: &str| -> Result<Vec<(String, bool)>> {
        let requests = audit::read(&log, user, from)?.into_iter();
        let ours = requests.filter(|request| request.path.starts_with(MAPS));
        Ok(ours.map(|request| (request.verb.clone(), request.is_mutation())).collect())
    };
    let engines = [("create".to_owned(), true), ("get".to_owned(), false)];
    let ours = [("delete".to_owned(), true)];
    // A line is written before its request is answered, and still it may lie in a buffer.
    wait(|| Ok(told(ENGINE)? == engines && told(ADMIN)? == ours))
        .with_context(|| format!("it tells {:?} and {:?}", told(ENGINE), told(ADMIN)))
}
