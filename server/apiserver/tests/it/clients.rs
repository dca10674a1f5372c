//! The client that the controllers use, over the transport inside the process.

use std::collections::BTreeMap;

use fixpoint_apiserver::{ApiServer, Options, User};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch,
    PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::support::{block_on, widgets};

async fn client() -> Client {
    let server = ApiServer::open(Options::memory()).await.unwrap();
    Client::new(server.service(User::engine()), "default")
}

fn map(name: &str) -> ConfigMap {
    let data = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    let metadata = kube::api::ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
    ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }
}

#[test]
fn objects_are_made_changed_and_deleted() {
    block_on(async {
        let maps: Api<ConfigMap> = Api::default_namespaced(client().await);
        let made = maps.create(&PostParams::default(), &map("a")).await.unwrap();
        let patch = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"labels": {"x": "y"}}}));
        let patched = maps.patch("a", &PatchParams::apply("us").force(), &patch).await.unwrap();
        assert_eq!(patched.labels()["x"], "y");
        let conflict = maps.replace("a", &PostParams::default(), &made).await.unwrap_err();
        assert!(matches!(&conflict, kube::Error::Api(status) if status.code == 409), "{conflict}");
        maps.delete("a", &DeleteParams::background()).await.unwrap();
        assert!(maps.get_opt("a").await.unwrap().is_none());
        let listed = maps.list(&ListParams::default().labels("x=y")).await.unwrap();
        assert_eq!(listed.items.len(), 0);
    });
}

#[test]
fn watches_of_every_sort() {
    block_on(async {
        let client = client().await;
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        maps.create(&PostParams::default(), &map("a")).await.unwrap();
        for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
            let mut events = watcher::watcher(maps.clone(), config.clone()).boxed();
            let mut names = Vec::new();
            while let Some(event) = events.try_next().await.unwrap() {
                match event {
                    Event::InitApply(object) => names.push(object.name_any()),
                    Event::InitDone => break,
                    _ => {}
                }
            }
            assert_eq!(names, ["a"]);
            maps.create(&PostParams::default(), &map("b")).await.unwrap();
            let event = events.try_next().await.unwrap().unwrap();
            assert!(matches!(event, Event::Apply(object) if object.name_any() == "b"));
            maps.delete("b", &DeleteParams::default()).await.unwrap();
            let event = events.try_next().await.unwrap().unwrap();
            assert!(matches!(event, Event::Delete(object) if object.name_any() == "b"));

            let only: Api<PartialObjectMeta<ConfigMap>> = Api::default_namespaced(client.clone());
            let mut events = watcher::watcher(only, config).boxed();
            while let Some(event) = events.try_next().await.unwrap() {
                if let Event::InitApply(object) = event {
                    assert_eq!(object.name_any(), "a");
                    break;
                }
            }
        }
        let mut plain = maps.watch(&WatchParams::default().timeout(10), "0").await.unwrap().boxed();
        let first = plain.try_next().await.unwrap().unwrap();
        assert!(matches!(first, WatchEvent::Added(object) if object.name_any() == "a"));
    });
}

#[test]
fn kinds_of_definitions() {
    block_on(async {
        let client = client().await;
        let definition = ApiResource::from_gvk(&GroupVersionKind::gvk(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
        ));
        let definitions: Api<DynamicObject> = Api::all_with(client.clone(), &definition);
        let body: DynamicObject = serde_json::from_str(&widgets()).unwrap();
        definitions.create(&PostParams::default(), &body).await.unwrap();
        let (widget, _) = kube::discovery::pinned_kind(
            &client,
            &GroupVersionKind::gvk("example.com", "v1", "Widget"),
        )
        .await
        .unwrap();
        let widgets: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &widget);
        let params = PatchParams::apply("us");
        let body = json!({"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"size": 2}});
        widgets.patch("w", &params, &Patch::Apply(body)).await.unwrap();
        let status = json!({"apiVersion": "example.com/v1", "kind": "Widget",
            "status": {"ready": true}});
        let seen = widgets.patch_status("w", &params, &Patch::Apply(status)).await.unwrap();
        assert_eq!(seen.data["status"]["ready"], true);
        assert_eq!(seen.metadata.generation, Some(1));
        assert_eq!(widgets.get_metadata("w").await.unwrap().name_any(), "w");
        let version = client.apiserver_version().await.unwrap();
        assert_eq!(version.minor, "36");
        let namespaces: Api<Namespace> = Api::all(client);
        assert_eq!(namespaces.list(&ListParams::default()).await.unwrap().items.len(), 3);
    });
}
