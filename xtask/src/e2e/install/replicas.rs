//! Replicas of one installation, as the pods of its Deployment would be: each with the rights of the
//! ServiceAccount, all with one data directory.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{SYSTEM, Scene, deliver};
use crate::e2e::Report;
use crate::e2e::process::{Process, wait};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/fixpoint-system/leases/fixpoint";

/// Runs two replicas and takes one after the other away.
pub fn one_leads(scene: &Scene<'_>, report: &mut Report) -> Result<()> {
    let engines = Engines::new(scene)?;
    report.take("who may not read its kinds is told so", engines.tells_what_is_forbidden());
    let first = engines.start("first", "leading")?;
    let mut second = engines.start("second", "standing by")?;
    report.take("of two replicas one leads and one stands by; both are ready", {
        engines
            .is_ready(&first, "ok: leading")
            .and_then(|()| engines.is_ready(&second, "ok: standing by"))
    });
    report.take("the engine's own API is for whom the cluster knows and lets", {
        engines.answers_whom_it_may()
    });
    deliver::delivers(scene, report)?;
    first.kill()?;
    report.take("a killed leader is followed by the other", engines.follows(&mut second));
    report.take("who is told to stop lets go of the lease", engines.lets_go(second));
    Ok(())
}

/// How replicas are started.
pub struct Engines<'a> {
    scene: &'a Scene<'a>,
    kubeconfig: PathBuf,
}

/// A running replica.
pub struct Replica {
    process: Process,
    health: String,
}

impl Replica {
    /// Ends it as a lost machine would.
    fn kill(self) -> Result<()> {
        // Dropping ends the process with SIGKILL.
        drop(self.process);
        Ok(())
    }
}

impl<'a> Engines<'a> {
    fn new(scene: &'a Scene<'a>) -> Result<Self> {
        let token = scene.token(SYSTEM, "fixpoint", None)?;
        let text = scene.cluster.kubeconfig_of("nobody")?;
        let kubeconfig = scene.folder.join("engine.kubeconfig");
        std::fs::write(&kubeconfig, with_token(&text, &token)?).context("cannot write")?;
        Ok(Self { scene, kubeconfig })
    }

    /// A controller with the rights of nobody says which it lacks.
    fn tells_what_is_forbidden(&self) -> Result<()> {
        let scene = self.scene;
        let token = scene.token(SYSTEM, "fixpoint-reader", None)?;
        let kubeconfig = scene.folder.join("reader.kubeconfig");
        let text = scene.cluster.kubeconfig_of("nobody")?;
        std::fs::write(&kubeconfig, with_token(&text, &token)?).context("cannot write")?;
        let mut command = Command::new(&scene.fixpoint);
        command.args(["controller", "--listen", "127.0.0.1:0"]);
        command.arg("--kubeconfig").arg(&kubeconfig).arg("--data-dir").arg(&scene.folder);
        let (well, printed) = scene.ask(command)?;
        ensure!(!well, "it ran: {printed}");
        let wanted = "cannot get resource \"namespaces\"";
        ensure!(printed.contains(wanted) && printed.contains("hint: "), "{printed}");
        Ok(())
    }

    fn start(&self, name: &str, until: &str) -> Result<Replica> {
        let mut command = Command::new(&self.scene.fixpoint);
        command
            .args(["controller", "--listen", "127.0.0.1:0", "--engine-listen", "127.0.0.1:0"])
            .arg("--allow-loopback-sources")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--data-dir")
            .arg(self.scene.folder.join("data"))
            .env("HOME", &self.scene.folder)
            .env("POD_NAME", name)
            .env_remove("KUBECONFIG");
        let output = self.scene.folder.join(format!("{name}.log"));
        let mut process = Process::start(&mut command, "", output)?;
        let printed = process.wait_for(|printed| printed.contains(until))?;
        ensure!(printed.contains(until), "{name} does not say `{until}`: {printed}");
        let health = printed
            .split_once("health at ")
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .context("it does not say where its health is")?;
        Ok(Replica { health: health.to_owned(), process })
    }

    fn is_ready(&self, replica: &Replica, wanted: &str) -> Result<()> {
        let client = reqwest::blocking::Client::builder().no_proxy().build()?;
        wait(|| {
            let answer = client.get(format!("{}/readyz", replica.health)).send()?;
            Ok(answer.status().is_success() && answer.text()?.trim() == wanted)
        })
        .with_context(|| format!("{} is not `{wanted}`", replica.health))
    }

    /// The program reads it by a token of its own; strangers and the uninvited read nothing.
    fn answers_whom_it_may(&self) -> Result<()> {
        let scene = self.scene;
        let printed = scene.granted(&["ledger", "verify"])?;
        ensure!(printed.contains("verified"), "{printed}");

        let path = format!("/api/v1/namespaces/{SYSTEM}/configmaps/fixpoint-engine");
        let said = scene.client.get(&path)?.context("the engine has not announced itself")?;
        let text = |key: &str| said["data"][key].as_str().unwrap_or_default().to_owned();
        let authority = reqwest::Certificate::from_pem(text("ca.crt").as_bytes())?;
        let (name, address) = (text("serverName"), text("address").parse()?);
        let client = reqwest::blocking::Client::builder()
            .tls_certs_only([authority])
            .resolve(&name, address)
            .no_proxy()
            .build()?;
        let ask = |token: Option<String>| -> Result<u16> {
            let url = format!("https://{name}:{}/fixpoint/v1/ledger/checkpoint", address.port());
            let mut request = client.get(url);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            Ok(request.send()?.status().as_u16())
        };
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "uninvited"}});
        scene.client.create("/api/v1/namespaces/default/serviceaccounts", &account)?.granted()?;
        let audience = Some("fixpoint-engine");
        let answers = [
            ask(None)?,
            ask(Some("no token of anybody".to_owned()))?,
            ask(Some(scene.token("default", "uninvited", audience)?))?,
            ask(Some(scene.token("default", "uninvited", None)?))?,
            ask(Some(scene.token(SYSTEM, "fixpoint-reader", Some("vault"))?))?,
            ask(Some(scene.token(SYSTEM, "fixpoint-reader", audience)?))?,
        ];
        let wanted = [401, 401, 403, 403, 401, 200];
        ensure!(answers == wanted, "answers are {answers:?} and not {wanted:?}");
        Ok(())
    }

    fn follows(&self, second: &mut Replica) -> Result<()> {
        let printed = second.process.wait_for(|printed| printed.contains("ready: leading"))?;
        ensure!(printed.contains("ready: leading"), "it does not lead: {printed}");
        let lease = self.lease()?;
        let holder = lease["holderIdentity"].as_str().unwrap_or_default();
        ensure!(holder.starts_with("second_"), "{holder} holds the lease");
        ensure!(lease["leaseTransitions"] == 1, "{lease}");
        self.is_ready(second, "ok: leading")
    }

    fn lets_go(&self, mut second: Replica) -> Result<()> {
        second.process.terminate()?;
        let status = second.process.wait()?;
        ensure!(status.success(), "it ended with {status}: {}", second.process.printed());
        let lease = self.lease()?;
        let holder = lease["holderIdentity"].as_str().unwrap_or_default();
        ensure!(holder.is_empty(), "{holder} still holds the lease");
        Ok(())
    }

    fn lease(&self) -> Result<Value> {
        Ok(self.scene.client.get(LEASE)?.context("there is no lease")?["spec"].take())
    }
}

/// A kubeconfig with a token in the place of a certificate.
fn with_token(kubeconfig: &str, token: &str) -> Result<String> {
    let mut kubeconfig: Value =
        serde_json::from_str(kubeconfig).context("the kubeconfig is no JSON")?;
    for user in kubeconfig["users"].as_array_mut().into_iter().flatten() {
        user["user"] = json!({"token": token});
    }
    Ok(kubeconfig.to_string())
}
