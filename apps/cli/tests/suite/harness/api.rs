//! A client of the engine's API that blocks, and that shows refusals as they are.

use std::path::Path;
use std::sync::Arc;

use fixpoint_base::Limits;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::wait;

/// A client. Cheap to clone, and of use on many threads at once.
#[derive(Clone)]
pub struct Api {
    runtime: Arc<Runtime>,
    client: kube::Client,
    ca: Vec<Vec<u8>>,
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub code: u16,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|err| panic!("{err}: {self:?}"))
    }

    /// The body, of a request that must have been granted.
    #[track_caller]
    pub fn granted(&self) -> Value {
        assert!((200..300).contains(&self.code), "{self:?}");
        self.json()
    }
}

impl Api {
    /// A client with the credentials of a kubeconfig.
    #[track_caller]
    pub fn new(kubeconfig: &Path) -> Self {
        Self::with(Kubeconfig::read_from(kubeconfig).expect("the engine wrote it"))
    }

    /// A client that knows the server and says nothing about itself.
    #[track_caller]
    pub fn anonymous(kubeconfig: &Path) -> Self {
        let mut config = Kubeconfig::read_from(kubeconfig).expect("the engine wrote it");
        for named in &mut config.auth_infos {
            named.auth_info = Some(AuthInfo::default());
        }
        Self::with(config)
    }

    #[track_caller]
    fn with(kubeconfig: Kubeconfig) -> Self {
        // The first provider installed wins; all are the same here.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads can be made");
        let options = KubeConfigOptions::default();
        let (client, ca) = runtime.block_on(async {
            let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .expect("the engine wrote it");
            config.read_timeout = Some(std::time::Duration::from_secs(30));
            let ca = config.root_cert.clone().unwrap_or_default();
            (kube::Client::try_from(config).expect("the engine wrote it"), ca)
        });
        Self { runtime: Arc::new(runtime), client, ca }
    }

    /// The certificates that the server's is signed with, as DER.
    pub fn ca(&self) -> &[Vec<u8>] {
        &self.ca
    }

    /// Sends a request; an error is that of the connection.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: String,
    ) -> Result<Answer, String> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .body(kube::client::Body::from(body.into_bytes()))
            .expect("tests write paths well");
        self.runtime.block_on(async {
            let response = self.client.send(request).await.map_err(|err| format!("{err:?}"))?;
            let code = response.status().as_u16();
            let bytes =
                response.into_body().collect_bytes().await.map_err(|err| format!("{err:?}"))?;
            Ok(Answer { code, text: String::from_utf8_lossy(&bytes).into_owned() })
        })
    }

    /// Reads a path.
    #[track_caller]
    pub fn read(&self, path: &str) -> Answer {
        self.send("GET", path, "application/json", String::new()).expect("the server answers")
    }

    /// Reads an object; `None` where there is none.
    #[track_caller]
    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let answer = self.read(&path(kind, name));
        (answer.code != 404).then(|| answer.granted())
    }

    /// Creates an object.
    pub fn create(&self, object: &Value) -> Result<Answer, String> {
        let kind = object["kind"].as_str().expect("objects have a kind");
        self.send("POST", &collection(kind), "application/json", object.to_string())
    }

    /// Changes fields of an object.
    pub fn merge(&self, kind: &str, name: &str, patch: &Value) -> Result<Answer, String> {
        let body = patch.to_string();
        self.send("PATCH", &path(kind, name), "application/merge-patch+json", body)
    }

    /// Deletes an object.
    #[track_caller]
    pub fn delete(&self, kind: &str, name: &str) {
        let answer = self.send("DELETE", &path(kind, name), "application/json", String::new());
        answer.expect("the server answers").granted();
    }

    /// Writes a whole object over the one that is there.
    pub fn replace(&self, object: &Value) -> Result<Answer, String> {
        let kind = object["kind"].as_str().expect("objects have a kind");
        let name = object["metadata"]["name"].as_str().expect("objects have a name");
        self.send("PUT", &path(kind, name), "application/json", object.to_string())
    }

    /// Applies manifests; answers for each of them.
    #[track_caller]
    pub fn try_apply(&self, manifests: &str) -> Vec<Answer> {
        let objects = fixpoint_yaml::parse(manifests.as_bytes(), &Limits::default());
        let objects = objects.expect("tests write YAML well");
        let apply = |object: &Value| {
            let kind = object["kind"].as_str().expect("objects have a kind");
            let name = object["metadata"]["name"].as_str().expect("objects have a name");
            let path = format!("{}?fieldManager=test&force=true", path(kind, name));
            self.send("PATCH", &path, "application/apply-patch+yaml", object.to_string())
                .expect("the server answers")
        };
        objects.iter().map(apply).collect()
    }

    /// Applies manifests that must be let in.
    #[track_caller]
    pub fn apply(&self, manifests: &str) {
        for answer in self.try_apply(manifests) {
            answer.granted();
        }
    }

    /// Asks for a run now.
    #[track_caller]
    pub fn hurry(&self, kind: &str, name: &str) {
        let now = jiff::Timestamp::now().to_string();
        let patch = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": now}}});
        self.merge(kind, name, &patch).expect("the server answers").granted();
    }

    /// Waits until an object is as it should be.
    #[track_caller]
    pub fn wait(&self, kind: &str, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait(&format!("{kind}/{name} to {what}"), || {
                last = self.get(kind, name);
                last.clone().filter(|object| is(object))
            })
        }));
        seen.unwrap_or_else(|_| panic!("{kind}/{name} did not {what}: {last:#?}"))
    }

    /// Waits until an object is gone.
    #[track_caller]
    pub fn wait_gone(&self, kind: &str, name: &str) {
        wait(&format!("{kind}/{name} to go"), || self.get(kind, name).is_none().then_some(()));
    }
}

/// Where objects of a kind are.
pub fn collection(kind: &str) -> String {
    let in_group = |group: &str, plural| format!("/apis/{group}/v1/namespaces/default/{plural}");
    match kind {
        "Namespace" => "/api/v1/namespaces".to_owned(),
        "ConfigMap" => "/api/v1/namespaces/default/configmaps".to_owned(),
        "Secret" => "/api/v1/namespaces/default/secrets".to_owned(),
        "Event" => "/api/v1/namespaces/default/events".to_owned(),
        "GitRepository" => in_group("source.toolkit.fluxcd.io", "gitrepositories"),
        "Kustomization" => in_group("kustomize.toolkit.fluxcd.io", "kustomizations"),
        "CustomResourceDefinition" => {
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned()
        }
        kind => panic!("tests know no {kind}"),
    }
}

fn path(kind: &str, name: &str) -> String {
    format!("{}/{name}", collection(kind))
}
