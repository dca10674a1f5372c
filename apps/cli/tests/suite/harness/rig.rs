//! An engine that delivers into another API server, through a proxy that plays faults.
//!
//! The other server is a second engine's, over TLS; or, where `FIXPOINT_TARGET_KUBECONFIG` names a
//! kubeconfig, that one's, as `cargo xtask e2e chaos` does. What the server saw is held against the
//! ledger at the end: as the proxy wrote it down, and as the server's own audit log has it where
//! `FIXPOINT_TARGET_AUDIT` names one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fixpoint_audit::{Intents, Log, Options};
use fixpoint_evil::{Evil, Kubeconfig, Proxy, Remote, Rule, Secured, Witness};
use fixpoint_fixture::Repo;
use serde_json::Value;

use super::{Api, Engine, Home, config_map, delivery, message, ready, source};

/// Who the engine is, in a real cluster's audit log and in the proxy's.
const USER: &str = "fixpoint";
/// Some faults take a call's whole limit of 30 s, twice.
const PATIENCE: Duration = Duration::from_secs(180);

/// A kubeconfig of a real API server, where there is one.
fn real() -> Option<String> {
    let path = std::env::var_os("FIXPOINT_TARGET_KUBECONFIG")?;
    Some(std::fs::read_to_string(path).expect("FIXPOINT_TARGET_KUBECONFIG is there"))
}

/// The audit log of a real API server, where there is one, from a line on.
fn server_log(from: usize) -> Option<String> {
    let path = std::env::var_os("FIXPOINT_TARGET_AUDIT")?;
    let log = std::fs::read_to_string(path).expect("FIXPOINT_TARGET_AUDIT is there");
    // The last line may be on its way.
    let whole = log.rfind('\n').map_or(0, |end| end + 1);
    Some(log[..whole].lines().skip(from).map(|line| format!("{line}\n")).collect())
}

/// The engine, its repository and its target.
pub struct Rig {
    /// What is delivered: the ConfigMaps `PREFIX-a`, `PREFIX-b` and `PREFIX-c`.
    pub repo: Repo,
    /// The target, not through the proxy.
    pub there: Api,
    engine: Option<Engine>,
    home: Home,
    proxy: Proxy,
    witness: Witness,
    prefix: &'static str,
    /// Lines of the real server's log from before.
    earlier: usize,
    /// Dropped last: whoever serves the target.
    _server: Option<(Engine, Home)>,
}

impl Rig {
    /// Starts everything, and waits until the first version has come.
    #[track_caller]
    pub fn new(prefix: &'static str) -> Self {
        let earlier = server_log(0).map_or(0, |log| log.lines().count());
        let repo = Repo::new();
        let home = Home::new().allow(repo.root());
        let server = real().is_none().then(|| {
            let home = Home::new();
            (home.up(), home)
        });
        let text = match &server {
            Some((_, home)) => std::fs::read_to_string(home.data_dir().join("kubeconfig"))
                .expect("the engine wrote it"),
            None => real().expect("it was there just now"),
        };
        let file = home.path().join("target.kubeconfig");
        std::fs::write(&file, &text).expect("a home can be written to");
        let (witness, proxy, through) = proxy(&text);
        let engine = home.up();
        engine.api().apply(&source("app", &repo.url()));
        engine.api().apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: there\n  namespace: default\n\
             stringData:\n  value: {}\n",
            Value::from(through)
        ));
        let local = delivery("app", "app", "./deploy");
        let remote = format!("{local}  kubeConfig:\n    secretRef:\n      name: there\n");
        engine.api().apply(&remote);
        let rig = Self {
            repo,
            there: Api::new(&file),
            engine: Some(engine),
            home,
            proxy,
            witness,
            prefix,
            earlier,
            _server: server,
        };
        let commit = rig.commit("first", &["a", "b", "c"]);
        rig.converges(&commit);
        rig
    }

    /// The engine that delivers.
    #[track_caller]
    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it runs")
    }

    /// Commits these objects with a state, and takes away the others.
    pub fn commit(&self, state: &str, names: &[&str]) -> String {
        let mut files = Vec::new();
        for name in ["a", "b", "c"] {
            let path = format!("deploy/{name}.yaml");
            if names.contains(&name) {
                files.push((path, config_map(&format!("{}-{name}", self.prefix), state)));
            } else if self.repo.path().join(&path).exists() {
                self.repo.remove(&path);
            }
        }
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        self.repo.commit(&files)
    }

    /// Makes requests to the target go wrong; `*` at the end of a path is any of our objects.
    #[track_caller]
    pub fn fault(&self, rule: &str) {
        self.proxy.evil().add(rule.parse::<Rule>().expect("tests write rules well"));
    }

    /// Waits until every fault was really met, and lets nothing go wrong any more.
    #[track_caller]
    pub fn played(&self) {
        self.wait("every fault to be met", || self.proxy.evil().all_played().is_ok());
        self.proxy.evil().heal();
    }

    /// Lets nothing go wrong any more.
    pub fn heal(&self) {
        self.proxy.evil().heal();
    }

    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn app(&self) -> Value {
        self.engine().api().get("Kustomization", "app").expect("it is declared")
    }

    /// Waits until the delivery is ready at a commit.
    #[track_caller]
    pub fn converges(&self, commit: &str) {
        self.wait("the delivery to converge", || {
            let app = self.app();
            let revision = app["status"]["lastAppliedRevision"].as_str().unwrap_or_default();
            ready(&app) == "True" && revision.ends_with(commit)
        });
    }

    /// Waits until the delivery says no with these words in it.
    #[track_caller]
    pub fn refused(&self, words: &str) {
        self.wait(&format!("the delivery to say {words:?}"), || {
            let app = self.app();
            ready(&app) == "False" && message(&app).contains(words)
        });
    }

    /// The state of each object in the target; `-` where it is not there.
    pub fn states(&self) -> String {
        let state = |name: &str| {
            let object = self.there.get("ConfigMap", &format!("{}-{name}", self.prefix));
            let state = object.map(|object| object["data"]["state"].clone());
            state.and_then(|state| state.as_str().map(str::to_owned)).unwrap_or("-".to_owned())
        };
        ["a", "b", "c"].map(state).join(" ")
    }

    /// Ends the engine as a power cut would, and starts another one on the same data.
    #[track_caller]
    pub fn crash(&mut self) {
        self.engine.take().expect("it runs").kill();
        self.heal();
        self.engine = Some(self.home.up());
    }

    /// Proves that a second run finds nothing to do, and that what the target saw is what the
    /// ledger says.
    #[track_caller]
    pub fn ends_well(mut self) {
        self.proxy.evil().all_played().expect("every fault was met");
        let root =
            || self.home.run_for(0, &["ledger", "verify", "-o", "json"]).json()["root"].clone();
        let (before, writes) = (root(), self.witness.log().lines().count());
        self.home.run_for(0, &["reconcile", "ks/app", "--with-source"]);
        assert_eq!(before, root(), "a second run found something to do");
        assert_eq!(writes, self.witness.log().lines().count(), "a second run wrote something");
        let (status, logs) = self.engine.take().expect("it runs").stop();
        assert!(status.success() && !logs.contains("panicked"), "{logs}");
        let whole = fixpoint_driver_store::ledger::read_whole(&self.home.data_dir());
        let whole = whole.expect("the ledger verifies");
        let intents = Intents::read(&whole.entries, |digest| whole.bodies.get(digest).cloned());
        for text in [Some(self.witness.log()), server_log(self.earlier)].into_iter().flatten() {
            let log = Log::read(text.as_bytes(), USER).expect("a log has no holes");
            let report = fixpoint_audit::check(&intents, &log, &Options::default());
            assert!(report.holds() && report.mutations > 0, "{report}");
            println!("{report}");
        }
    }
}

/// A proxy to the server of a kubeconfig, and a kubeconfig that leads to the proxy.
fn proxy(kubeconfig: &str) -> (Witness, Proxy, String) {
    let target = Kubeconfig::read(kubeconfig.as_bytes()).expect("the kubeconfig is whole");
    let witness = Witness::new(USER, Arc::new(jiff::Timestamp::now));
    let secured = Secured::new().expect("certificates can be made");
    let remote =
        Remote::secured(&target.address, &target.trust).expect("its certificates are good");
    let evil = Evil::default().watched_by(witness.clone());
    let proxy = Proxy::start(evil, remote, Some(&secured)).expect("loopback has a port");
    let through = Kubeconfig::through(&proxy.address().to_string(), secured.ca());
    (witness, proxy, through)
}
