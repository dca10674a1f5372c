//! The world of most cases: a delivery that a case spoils, and its neighbour, which must not
//! notice.

use fixpoint_fixture::Repo;
use serde_json::Value;

use super::{Engine, Home, message, plain, ready, wait};

/// An engine with two deliveries from two repositories, at their fixpoint.
pub struct Scene {
    /// The repository that a case spoils. It delivers the ConfigMaps `shop` and `shop-kept`.
    pub shop: Repo,
    /// The repository that nobody touches. It delivers the ConfigMap and the Secret `neighbour`.
    pub neighbour: Repo,
    /// The running engine.
    pub engine: Engine,
    /// Where it lives.
    pub home: Home,
}

impl Scene {
    /// Starts an engine and waits until both deliveries have come.
    #[track_caller]
    pub fn new() -> Self {
        Self::at(Home::new())
    }

    /// As [`Scene::new`], in a home that is prepared already.
    #[track_caller]
    pub fn at(home: Home) -> Self {
        let (shop, neighbour) = (Repo::new(), Repo::new());
        shop.commit(&[
            ("deploy/shop.yaml", &config_map("shop", "good")),
            ("deploy/kept.yaml", &config_map("shop-kept", "good")),
        ]);
        let secret = home.produced().plant("a Secret that the neighbour delivers");
        neighbour.commit(&[
            ("deploy/neighbour.yaml", &config_map("neighbour", "first")),
            ("deploy/secret.yaml", &secret_of("neighbour", &secret)),
        ]);
        let home = home.allow(shop.root()).allow(neighbour.root());
        let engine = home.up();
        engine.api().apply(&source("shop", &shop.url()));
        engine.api().apply(&source("neighbour", &neighbour.url()));
        engine.api().apply(&delivery("shop", "shop", "./deploy"));
        engine.api().apply(&delivery("neighbour", "neighbour", "./deploy"));
        let scene = Self { shop, neighbour, engine, home };
        scene.converges("shop", &scene.shop.head());
        scene.converges("neighbour", &scene.neighbour.head());
        scene
    }

    /// Waits until a delivery is ready at a commit.
    #[track_caller]
    pub fn converges(&self, name: &str, commit: &str) -> Value {
        self.engine.api().wait("Kustomization", name, "converge", |delivery| {
            let revision = delivery["status"]["lastAppliedRevision"].as_str().unwrap_or_default();
            ready(delivery) == "True" && revision.ends_with(commit)
        })
    }

    /// Waits until an object says no with these words in it, and hands out all it says. `why`
    /// must say the same, and exit with 2.
    #[track_caller]
    pub fn refused(&self, kind: &str, name: &str, words: &str) -> String {
        let object = self.engine.api().wait(kind, name, &format!("say {words:?}"), |object| {
            ready(object) == "False" && message(object).contains(words)
        });
        let why = self.home.run_for(2, &["why", kind, name]);
        assert!(why.out.contains(words), "{why:#?}");
        self.plain(message(&object))
    }

    /// The last good state is there, nothing of it is pruned, and the neighbour goes on.
    #[track_caller]
    pub fn last_good_stays(&self) {
        self.neighbour_goes_on();
        for name in ["shop", "shop-kept"] {
            let object = self.engine.api().get("ConfigMap", name);
            let object = object.unwrap_or_else(|| panic!("{name} was pruned"));
            assert_eq!(object["data"]["state"], "good", "{name}");
        }
    }

    /// The neighbour still converges, whatever happened beside it.
    #[track_caller]
    pub fn neighbour_goes_on(&self) {
        let count = self.neighbour.git(&["rev-list", "--count", "HEAD"]);
        let state = format!("commit {count}");
        let commit =
            self.neighbour.commit(&[("deploy/neighbour.yaml", &config_map("neighbour", &state))]);
        self.converges("neighbour", &commit);
        let object = self.engine.api().get("ConfigMap", "neighbour").expect("it is delivered");
        assert_eq!(object["data"]["state"], state.as_str());
    }

    /// A commit that puts things right is delivered without anybody's help.
    #[track_caller]
    pub fn mends(&self) {
        let commit = self.shop.commit(&[
            ("deploy/shop.yaml", &config_map("shop", "mended")),
            ("deploy/kept.yaml", &config_map("shop-kept", "good")),
        ]);
        // Nobody watches a server: a look that came just before the commit would be the last one
        // until the interval is over.
        let source = self.engine.api().get("GitRepository", "shop").expect("it is declared");
        if source["spec"]["url"].as_str().is_some_and(|url| url.starts_with("http")) {
            self.engine.api().hurry("GitRepository", "shop");
        }
        self.converges("shop", &commit);
        let object = self.engine.api().get("ConfigMap", "shop").expect("it is delivered");
        assert_eq!(object["data"]["state"], "mended");
    }

    /// The events about an object, newest last.
    #[track_caller]
    pub fn events(&self, kind: &str, name: &str) -> Vec<String> {
        let list = self.engine.api().read("/api/v1/namespaces/default/events").granted();
        let about = |event: &&Value| {
            event["involvedObject"]["kind"] == kind && event["involvedObject"]["name"] == name
        };
        let text = |event: &Value| event["message"].as_str().unwrap_or_default().to_owned();
        list["items"].as_array().into_iter().flatten().filter(about).map(text).collect()
    }

    /// Waits for an event with these words.
    #[track_caller]
    pub fn event(&self, kind: &str, name: &str, words: &str) {
        wait(&format!("an event about {kind}/{name} with {words:?}"), || {
            self.events(kind, name).iter().any(|text| text.contains(words)).then_some(())
        });
    }

    /// A text as it is on every machine.
    pub fn plain(&self, text: &str) -> String {
        plain(
            text,
            &[
                (&self.shop.path().display().to_string(), "/SHOP"),
                (&self.neighbour.path().display().to_string(), "/NEIGHBOUR"),
                (&self.home.path().display().to_string(), "/HOME"),
            ],
        )
    }
}

/// A ConfigMap with one value.
pub fn config_map(name: &str, state: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: default\n\
         data:\n  state: {state}\n"
    )
}

/// A Secret with one value.
pub fn secret_of(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: default\n\
         stringData:\n  value: {value:?}\n"
    )
}

/// A source of branch `main`.
pub fn source(name: &str, url: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\n\
         metadata:\n  name: {name}\n  namespace: default\n\
         spec:\n  interval: 1m\n  url: {url:?}\n  ref:\n    branch: main\n"
    )
}

/// A delivery of a folder of a source.
pub fn delivery(name: &str, source: &str, path: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
         metadata:\n  name: {name}\n  namespace: default\n\
         spec:\n  interval: 1m\n  retryInterval: 1s\n  timeout: 30s\n  path: {path}\n\
         \x20 prune: true\n  sourceRef:\n    kind: GitRepository\n    name: {source}\n"
    )
}
