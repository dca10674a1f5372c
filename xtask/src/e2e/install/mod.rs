//! An installation in a real cluster: what is applied, who leads, who may ask, who acknowledged.
//!
//! In: a cluster, and the program. Out: a step for each promise. Nothing runs pods here: what the
//! Deployment would start is started by hand, with the rights of its ServiceAccount.

mod deliver;
mod replicas;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use self::replicas::one_leads;
use super::client::Client;
use super::cluster::{Cluster, Parts};
use super::peers::Found;
use super::process::{Process, Scratch, wait};
use super::{Report, Scope, program};

/// The namespace of an installation.
const SYSTEM: &str = "fixpoint-system";
const SOURCES: &str = "/apis/source.toolkit.fluxcd.io/v1/namespaces/default/gitrepositories";

/// Installs, and asks everything.
pub fn run(root: &Path, _scope: Scope, report: &mut Report) -> Result<()> {
    let parts = match Parts::find()? {
        Found::Here(parts) => parts,
        Found::Missing(why) => {
            report.skip("install", &why);
            return Ok(());
        }
    };
    let (fixpoint, target) = program::build(root)?;
    let scratch = Scratch::new(&target, "install")?;
    let cluster = Cluster::start(&parts, scratch.path())?;
    let scene = Scene {
        client: cluster.client()?,
        cluster: &cluster,
        fixpoint,
        folder: scratch.path().to_owned(),
    };
    report.take("without its definitions the engine says what to do", scene.is_not_installed());
    report.take("an installation is applied", scene.install());
    report.take("applying it again changes nothing", scene.install_again());
    report.take("the Deployment's pod meets the restricted standard", scene.pod_is_restricted());
    report.take("only who acknowledges can be named", scene.acknowledges());
    one_leads(&scene, report)
}

/// A cluster, and what is done to it.
struct Scene<'a> {
    cluster: &'a Cluster,
    client: Client,
    fixpoint: PathBuf,
    folder: PathBuf,
}

impl Scene<'_> {
    /// The program with the kubeconfig of the administrator.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.fixpoint);
        command.args(args).arg("--kubeconfig").arg(self.cluster.kubeconfig());
        command.env("HOME", &self.folder).env_remove("KUBECONFIG").current_dir(&self.folder);
        command
    }

    /// Runs the program to its end; gives whether it went well, and what it printed.
    fn ask(&self, mut command: Command) -> Result<(bool, String)> {
        let mut process = Process::start(&mut command, "", self.folder.join("fixpoint.log"))?;
        let status = process.wait()?;
        Ok((status.success(), process.printed()))
    }

    fn granted(&self, args: &[&str]) -> Result<String> {
        let (well, printed) = self.ask(self.command(args))?;
        ensure!(well, "fixpoint {}: {printed}", args.join(" "));
        Ok(printed)
    }

    fn is_not_installed(&self) -> Result<()> {
        let mut command = self.command(&["controller", "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(self.folder.join("early"));
        let (well, printed) = self.ask(command)?;
        ensure!(!well, "it ran: {printed}");
        for wanted in ["gitrepositories.source.toolkit.fluxcd.io is not there", "fixpoint install"]
        {
            ensure!(printed.contains(wanted), "`{wanted}` is missing in: {printed}");
        }
        ensure!(!self.folder.join("early").exists(), "it made a data directory all the same");
        Ok(())
    }

    fn install(&self) -> Result<()> {
        let printed =
            self.granted(&["install", "--image", "registry.example.org/fixpoint:test"])?;
        ensure!(printed.contains("its kinds are served"), "{printed}");
        let (_, account) = self.deployment()?;
        ensure!(account == "fixpoint", "the Deployment runs as {account}");
        Ok(())
    }

    fn install_again(&self) -> Result<()> {
        let versions = || -> Result<Vec<Value>> {
            let paths = [
                "/apis/apps/v1/namespaces/fixpoint-system/deployments/fixpoint",
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/fixpoint",
                "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/\
                 fixpoint-acknowledgements",
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/\
                 kustomizations.kustomize.toolkit.fluxcd.io",
                "/api/v1/namespaces/fixpoint-system/persistentvolumeclaims/fixpoint",
            ];
            let read = |path: &&str| {
                let found = self.client.get(path)?.with_context(|| format!("no {path}"))?;
                Ok(found["metadata"]["generation"].clone())
            };
            paths.iter().map(read).collect()
        };
        let before = versions()?;
        self.granted(&["install", "--image", "registry.example.org/fixpoint:test"])?;
        let after = versions()?;
        ensure!(before == after, "generations were {before:?} and are {after:?}");
        Ok(())
    }

    /// The pod of the Deployment, and the ServiceAccount that it runs as.
    fn deployment(&self) -> Result<(Value, String)> {
        let path = format!("/apis/apps/v1/namespaces/{SYSTEM}/deployments/fixpoint");
        let deployment = self.client.get(&path)?.context("there is no Deployment")?;
        let template = &deployment["spec"]["template"];
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "fixpoint", "labels": template["metadata"]["labels"]},
            "spec": template["spec"]});
        let account = template["spec"]["serviceAccountName"].as_str().unwrap_or_default();
        Ok((pod, account.to_owned()))
    }

    /// Asks the admission of the real API server, which enforces the label of the namespace.
    fn pod_is_restricted(&self) -> Result<()> {
        let (pod, _) = self.deployment()?;
        let path = format!("/api/v1/namespaces/{SYSTEM}/pods?dryRun=All");
        self.client.create(&path, &pod)?.granted().context("the pod is refused")?;
        let mut loose = pod;
        loose["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
        let answer = self.client.create(&path, &loose)?;
        ensure!(answer.code == 403, "a pod that may escalate is answered {}", answer.code);
        let message = answer.body["message"].as_str().unwrap_or_default();
        ensure!(message.contains("PodSecurity \"restricted"), "{message}");
        Ok(())
    }

    /// The policy binds the name in an acknowledgement to the user that the server knows.
    fn acknowledges(&self) -> Result<()> {
        let source = json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "acked"},
            "spec": {"interval": "1h", "url": "https://git.example.org/a", "suspend": true}});
        self.client.create(SOURCES, &source)?.granted()?;
        let at = format!("{SOURCES}/acked");
        let (alice, bob) = (self.cluster.client_of("alice")?, self.cluster.client_of("bob")?);
        let ack = |by: Value, id: &str| {
            json!({"metadata": {"annotations": {
                "source.fixpoint.dev/acknowledge": id,
                "source.fixpoint.dev/acknowledge-by": by,
                "source.fixpoint.dev/acknowledge-reason": "checked"}}})
        };
        let refused = |who: &Client, patch: &Value, what: &str| -> Result<()> {
            let answer = who.merge(&at, patch)?;
            let message = answer.body["message"].as_str().unwrap_or_default().to_owned();
            if answer.code != 403 || !message.contains("whoever writes the acknowledgement") {
                bail!("{what} is answered {}: {message}", answer.code);
            }
            Ok(())
        };
        // A policy works a moment after it was applied.
        wait(|| Ok(refused(&alice, &ack("bob".into(), "1"), "it").is_ok()))
            .context("somebody else can be named")?;
        refused(&alice, &ack(Value::Null, "1"), "an acknowledgement of nobody")?;
        alice.merge(&at, &ack("alice".into(), "1"))?.granted()?;
        let label = json!({"metadata": {"labels": {"touched": "true"}}});
        bob.merge(&at, &label)?.granted().context("others cannot change other things")?;
        refused(&bob, &ack("alice".into(), "2"), "an answer in the name of the last one")?;
        let reason = json!({"metadata": {"annotations": {
            "source.fixpoint.dev/acknowledge-reason": "forged"}}});
        refused(&bob, &reason, "another reason in her name")?;
        let none = json!({"metadata": {"annotations": {
            "source.fixpoint.dev/acknowledge": null,
            "source.fixpoint.dev/acknowledge-by": null,
            "source.fixpoint.dev/acknowledge-reason": null}}});
        bob.merge(&at, &none)?.granted().context("an acknowledgement cannot be taken back")?;
        let mut forged = source;
        forged["metadata"] = ack("alice".into(), "3")["metadata"].clone();
        forged["metadata"]["name"] = "forged".into();
        let answer = bob.create(SOURCES, &forged)?;
        ensure!(answer.code == 403, "a forged one can be created: {}", answer.code);
        self.client.delete(&at)?.granted()?;
        Ok(())
    }

    /// A token of a ServiceAccount, for an audience or for the API server.
    fn token(&self, namespace: &str, account: &str, audience: Option<&str>) -> Result<String> {
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": audience.map(|one| vec![one]).unwrap_or_default(),
                     "expirationSeconds": 3600}});
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let made = self.client.create(&path, &request)?.granted()?;
        made["status"]["token"].as_str().map(str::to_owned).context("there is no token in it")
    }
}
