//! Git over a real `sshd`, through a real proxy, with submodules; the whole way to what is
//! delivered, through `fixpoint up`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use serde_json::{Value, json};

use super::sshd::{self, Sshd, Variables};
use crate::e2e::client::Client;
use crate::e2e::peers::{self, Found, Peer};
use crate::e2e::process::{PATIENCE, Process, Scratch};
use crate::e2e::server::Server;
use crate::e2e::{Report, Scope, program};
use crate::print;

const SOURCES: &str = "/apis/source.toolkit.fluxcd.io/v1/namespaces/default/gitrepositories";
const DELIVERIES: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/default/kustomizations";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

/// What opens the key that has a passphrase, and the proxy.
const PASSWORD: &str = "open-sesame";

/// Keys that `ssh-keygen` makes, by name, and how.
const KEYS: &[(&str, &[&str])] = &[
    ("ed25519", &["-t", "ed25519", "-N", ""]),
    ("ecdsa", &["-t", "ecdsa", "-b", "256", "-N", ""]),
    ("rsa", &["-t", "rsa", "-b", "3072", "-N", ""]),
    ("rsa-pem", &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]),
    ("encrypted", &["-t", "ed25519", "-N", PASSWORD]),
];

/// Builds the program and lets it read from real servers.
pub fn run(root: &Path, scope: Scope, report: &mut Report) -> Result<()> {
    let Some(program) = sshd::find() else {
        report.skip("sshd", "sshd is missing: install openssh-server");
        return Ok(());
    };
    let kubectl = match peers::find(Peer::Kubectl)? {
        Found::Here(kubectl) => kubectl,
        Found::Missing(why) => {
            report.skip("kubectl", &why);
            return Ok(());
        }
    };
    let (fixpoint, target) = program::build(root)?;
    let scratch = Scratch::new(&target, "transports")?;
    let folder = scratch.path();
    let repositories = Repositories::make(folder)?;
    let server = Server::start(&fixpoint, folder, &[])?;
    let client = Client::start(&kubectl, &server.kubeconfig, folder)?;
    let mut stage = Stage { sshd: program, folder, repositories, client, user: user()? };
    let failed = report.failed;
    report.take("keys of every kind open a real sshd", stage.keys(scope));
    report.take("a server that ignores variables is read as before version 2", stage.old());
    report.take("a host key that changes is refused, and taken when it is known", stage.changed());
    report.take("submodules are delivered", stage.submodules());
    stage.proxy(report)?;
    if report.failed > failed {
        print::note(&format!("the server said:\n{}", server.log()));
    }
    Ok(())
}

/// Who runs the suite: nobody else can sign on to a server that is not root's.
fn user() -> Result<String> {
    let output = Command::new("id").arg("-un").output().context("cannot run id")?;
    Ok(String::from_utf8(output.stdout).context("the user has no plain name")?.trim().to_owned())
}

/// Repositories with something to deliver.
struct Repositories {
    shop: PathBuf,
}

impl Repositories {
    fn make(folder: &Path) -> Result<Self> {
        let (shop, lib) = (folder.join("shop"), folder.join("lib.git"));
        init(&lib)?;
        write(&lib, "kustomization.yaml", "resources: [map.yaml]\n")?;
        write(&lib, "map.yaml", &config_map("from-lib"))?;
        let commit = commit(&lib)?;
        init(&shop)?;
        write(&shop, "deploy/map.yaml", &config_map("from-shop"))?;
        write(
            &shop,
            ".gitmodules",
            "[submodule \"lib\"]\n\tpath = deploy/lib\n\turl = ../lib.git\n",
        )?;
        git(&shop, &["add", "--all"])?;
        let link = format!("160000,{commit},deploy/lib");
        git(&shop, &["update-index", "--add", "--cacheinfo", &link])?;
        git(&shop, &["commit", "--quiet", "--message", "shop"])?;
        Ok(Self { shop })
    }
}

fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: default\n")
}

fn init(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).context("cannot make a repository")?;
    git(folder, &["init", "--quiet", "--initial-branch=main"]).map(drop)
}

fn write(folder: &Path, path: &str, text: &str) -> Result<()> {
    let path = folder.join(path);
    let parent = path.parent().context("a file lies in a folder")?;
    std::fs::create_dir_all(parent).context("cannot make a folder")?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn commit(folder: &Path) -> Result<String> {
    git(folder, &["add", "--all"])?;
    git(folder, &["commit", "--quiet", "--message", "all"])?;
    git(folder, &["rev-parse", "HEAD"])
}

fn git(folder: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org"])
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .current_dir(folder)
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!("git {} failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// All that the steps share.
struct Stage<'a> {
    sshd: PathBuf,
    folder: &'a Path,
    repositories: Repositories,
    client: Client,
    user: String,
}

impl Stage<'_> {
    /// Starts a server that knows the keys of these names.
    fn start(&self, name: &str, keys: &[&str], variables: Variables) -> Result<Sshd> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).context("cannot make a folder")?;
        let mut authorized = String::new();
        for (key, args) in KEYS.iter().filter(|(key, _)| keys.contains(key)) {
            let file = folder.join(key);
            sshd::keygen(&file, args)?;
            let public = std::fs::read_to_string(file.with_extension("pub"));
            authorized.push_str(&public.context("a key has no public half")?);
        }
        std::fs::write(folder.join("authorized_keys"), authorized).context("cannot write keys")?;
        Sshd::start(&self.sshd, &folder, variables)
    }

    /// Stores a Secret with one of the keys of a server.
    fn secret(&self, name: &str, server: &str, key: &str, sshd: &Sshd) -> Result<()> {
        let identity = std::fs::read_to_string(self.folder.join(server).join(key))
            .context("there is no such key")?;
        let mut data = json!({"identity": identity, "known_hosts": sshd.known_hosts()?});
        if key == "encrypted" {
            data["password"] = json!(PASSWORD);
        }
        self.put_secret(name, data)
    }

    /// Creates a Secret, or replaces what it holds.
    fn put_secret(&self, name: &str, data: Value) -> Result<()> {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": data});
        let answer = self.client.create(SECRETS, &secret)?;
        if answer.code != 409 {
            return answer.granted().map(drop);
        }
        let encode = |value: &Value| {
            base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default())
        };
        let fields = data.as_object().context("a Secret has keys")?;
        let encoded: serde_json::Map<String, Value> =
            fields.iter().map(|(key, value)| (key.clone(), json!(encode(value)))).collect();
        let patch = json!({"data": encoded});
        self.client.merge(&format!("{SECRETS}/{name}"), &patch)?.granted().map(drop)
    }

    fn source(&self, name: &str, sshd: &Sshd, more: &Value) -> Result<()> {
        let url = sshd.url(&self.user, &self.repositories.shop);
        let mut spec = json!({"url": url, "interval": "10m", "ref": {"branch": "main"},
            "secretRef": {"name": name}});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let source = json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": name}, "spec": spec});
        self.client.create(SOURCES, &source)?.granted().map(drop)
    }

    /// Waits until a condition of an object says what it should.
    fn wait(&self, path: &str, status: &str, words: &str) -> Result<Value> {
        let started = Instant::now();
        loop {
            let found = self.client.get(path)?.unwrap_or_default();
            let conditions = found["status"]["conditions"].as_array();
            let ready = conditions.into_iter().flatten().find(|one| one["type"] == "Ready");
            let said = ready.cloned().unwrap_or_default();
            let message = said["message"].as_str().unwrap_or_default();
            if said["status"] == status && message.contains(words) {
                return Ok(said);
            }
            if started.elapsed() > PATIENCE {
                bail!("{path} is not {status} with {words:?} after {PATIENCE:?}: {said}");
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn hurry(&self, name: &str, at: usize) -> Result<()> {
        let asked = json!({"metadata": {"annotations": {
            "reconcile.fluxcd.io/requestedAt": format!("e2e-{at}")}}});
        self.client.merge(&format!("{SOURCES}/{name}"), &asked)?.granted().map(drop)
    }

    fn is_ready(&self, name: &str) -> Result<()> {
        self.wait(&format!("{SOURCES}/{name}"), "True", "stored artifact").map(drop)
    }

    fn keys(&mut self, scope: Scope) -> Result<()> {
        let names: Vec<&str> = KEYS
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| scope == Scope::Whole || !name.starts_with("rsa-"))
            .collect();
        let sshd = self.start("keys", &names, Variables::Accepted)?;
        for key in names {
            let name = format!("key-{key}");
            self.secret(&name, "keys", key, &sshd)?;
            self.source(&name, &sshd, &json!({}))?;
            self.is_ready(&name).with_context(|| format!("sshd said:\n{}", sshd.log()))?;
        }
        Ok(())
    }

    fn old(&mut self) -> Result<()> {
        let sshd = self.start("old", &["ed25519"], Variables::Ignored)?;
        self.secret("old", "old", "ed25519", &sshd)?;
        self.source("old", &sshd, &json!({}))?;
        self.is_ready("old").with_context(|| format!("sshd said:\n{}", sshd.log()))
    }

    fn changed(&mut self) -> Result<()> {
        let mut sshd = self.start("changed", &["ed25519"], Variables::Accepted)?;
        self.secret("changed", "changed", "ed25519", &sshd)?;
        self.source("changed", &sshd, &json!({}))?;
        self.is_ready("changed")?;
        sshd.change_key(&self.sshd)?;
        self.hurry("changed", 1)?;
        let path = format!("{SOURCES}/changed");
        let said = self.wait(&path, "False", "its host key has changed")?;
        if said["reason"] != "AuthenticationFailed" {
            bail!("the reason is {}", said["reason"]);
        }
        self.secret("changed", "changed", "ed25519", &sshd)?;
        self.hurry("changed", 2)?;
        self.is_ready("changed")
    }

    fn submodules(&mut self) -> Result<()> {
        let sshd = self.start("modules", &["ed25519"], Variables::Accepted)?;
        self.secret("modules", "modules", "ed25519", &sshd)?;
        self.source("modules", &sshd, &json!({"recurseSubmodules": true}))?;
        self.is_ready("modules").with_context(|| format!("sshd said:\n{}", sshd.log()))?;
        let delivery = json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization", "metadata": {"name": "modules"},
            "spec": {"interval": "10m", "prune": true, "path": "./deploy/lib",
                "sourceRef": {"kind": "GitRepository", "name": "modules"}}});
        self.client.create(DELIVERIES, &delivery)?.granted()?;
        self.wait(&format!("{DELIVERIES}/modules"), "True", "Applied revision")?;
        let map = self.client.get("/api/v1/namespaces/default/configmaps/from-lib")?;
        map.map(drop).context("what the submodule holds is not there")
    }

    /// Through a real proxy that asks for a name and a password.
    fn proxy(&mut self, report: &mut Report) -> Result<()> {
        let step = "a proxy connects to a real sshd for whoever it knows";
        let port = sshd::free_port()?;
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\n\
             BasicAuth ann {PASSWORD}\n"
        );
        let file = self.folder.join("tinyproxy.conf");
        std::fs::write(&file, config).context("cannot configure the proxy")?;
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(&file);
        match Process::start(&mut command, "", self.folder.join("tinyproxy.log")) {
            Ok(process) => report.take(step, self.through(port, &process)),
            Err(err) => report.skip(step, &format!("{err:#}: install tinyproxy-bin")),
        }
        Ok(())
    }

    fn through(&mut self, port: u16, proxy: &Process) -> Result<()> {
        sshd::wait_for_port(port)?;
        let sshd = self.start("proxied", &["ed25519"], Variables::Accepted)?;
        self.secret("proxied", "proxied", "ed25519", &sshd)?;
        let address = format!("http://127.0.0.1:{port}");
        let login = |password: &str| json!({"address": address.clone(), "username": "ann", "password": password});
        self.put_secret("proxy", login("wrong"))?;
        self.source("proxied", &sshd, &json!({"proxySecretRef": {"name": "proxy"}}))?;
        let path = format!("{SOURCES}/proxied");
        self.wait(&path, "False", "the proxy refused the credentials")?;
        self.put_secret("proxy", login(PASSWORD))?;
        self.hurry("proxied", 1)?;
        self.is_ready("proxied")?;
        let wanted = format!("CONNECT 127.0.0.1:{}", sshd.port());
        if !proxy.printed().contains(&wanted) {
            bail!("the proxy was not asked to {wanted}:\n{}", proxy.printed());
        }
        Ok(())
    }
}
