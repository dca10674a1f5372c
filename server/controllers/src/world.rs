//! What the API server holds of our kinds, as the watches last saw it, and who must look when it
//! changes.
//!
//! In: watch events. Out: wake-ups that carry nothing but a name. Reconcilers read their own
//! object afresh; this cache only answers questions about others (who depends on me, what is my
//! source's artifact).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use fixpoint_base::object;
use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::looper::{Named, Waker};

/// The kinds that this engine reconciles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `GitRepository`: yields versions.
    Source,
    /// `Kustomization`: brings a version to a target.
    Delivery,
}

impl Kind {
    /// The kind's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "GitRepository",
            Self::Delivery => "Kustomization",
        }
    }

    /// Group and version.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Source => "source.toolkit.fluxcd.io/v1",
            Self::Delivery => "kustomize.toolkit.fluxcd.io/v1",
        }
    }

    /// How the API serves it.
    pub fn resource(self) -> ApiResource {
        let plural = match self {
            Self::Source => "gitrepositories",
            Self::Delivery => "kustomizations",
        };
        let (group, version) = self.api_version().split_once('/').unwrap_or_default();
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version().to_owned(),
            kind: self.name().to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// A client for the kind in one namespace.
    pub fn api(self, client: &kube::Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), namespace, &self.resource())
    }
}

type Objects = RwLock<BTreeMap<Named, Arc<Value>>>;

/// The cache and the wakers. One per engine.
pub struct World {
    sources: Objects,
    deliveries: Objects,
    wake_source: Waker,
    wake_delivery: Waker,
    sources_changed: Notify,
    version: watch::Sender<u64>,
}

impl World {
    /// Starts with nothing known.
    pub fn new(wake_source: Waker, wake_delivery: Waker) -> Self {
        Self {
            sources: Objects::default(),
            deliveries: Objects::default(),
            wake_source,
            wake_delivery,
            sources_changed: Notify::new(),
            version: watch::Sender::new(0),
        }
    }

    /// Resolves when a source was declared, changed or removed since it resolved last. For one
    /// listener.
    pub async fn sources_changed(&self) {
        self.sources_changed.notified().await;
    }

    /// Changes whenever an object here does; the number itself means nothing.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The waker of a kind.
    pub fn waker(&self, kind: Kind) -> &Waker {
        match kind {
            Kind::Source => &self.wake_source,
            Kind::Delivery => &self.wake_delivery,
        }
    }

    fn objects(&self, kind: Kind) -> &Objects {
        match kind {
            Kind::Source => &self.sources,
            Kind::Delivery => &self.deliveries,
        }
    }

    /// One object as the watch last saw it.
    pub fn get(&self, kind: Kind, name: &Named) -> Option<Arc<Value>> {
        self.objects(kind).read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All objects of a kind.
    pub fn all(&self, kind: Kind) -> Vec<(Named, Arc<Value>)> {
        let objects = self.objects(kind).read().unwrap_or_else(PoisonError::into_inner);
        objects.iter().map(|(name, object)| (name.clone(), object.clone())).collect()
    }

    /// Follows one kind until the task is dropped. Watches reconnect with back-off; after a gap
    /// everything is read anew, so nothing is missed.
    pub async fn follow(&self, kind: Kind, client: kube::Client) {
        let api: Api<DynamicObject> = Api::all_with(client, &kind.resource());
        let mut events =
            watcher::watcher(api, watcher::Config::default()).default_backoff().boxed();
        let mut listed = BTreeSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(found)) => {
                    if let Some(name) = self.saw(kind, found) {
                        listed.insert(name);
                    }
                }
                Ok(Event::InitDone) => {
                    for (gone, _) in self.all(kind) {
                        if !listed.contains(&gone) {
                            self.lost(kind, &gone);
                        }
                    }
                }
                Ok(Event::Apply(found)) => {
                    self.saw(kind, found);
                }
                Ok(Event::Delete(found)) => {
                    if let Some(name) = named(&found) {
                        self.lost(kind, &name);
                    }
                }
                Err(err) => {
                    tracing::warn!(kind = kind.name(), error = %err, "watch interrupted");
                }
            }
        }
    }

    fn saw(&self, kind: Kind, found: DynamicObject) -> Option<Named> {
        let name = named(&found)?;
        let new = Arc::new(serde_json::to_value(found).ok()?);
        let old = self
            .objects(kind)
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.clone(), new.clone());
        self.version.send_modify(|version| *version += 1);
        let changed =
            |facet: fn(&Value) -> Value| old.as_ref().is_none_or(|old| facet(old) != facet(&new));
        if changed(declared) {
            self.waker(kind).wake(name.clone());
            self.note_source(kind);
        }
        if changed(outcome) {
            self.wake_dependents(kind, &name);
        }
        Some(name)
    }

    fn lost(&self, kind: Kind, name: &Named) {
        self.objects(kind).write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.version.send_modify(|version| *version += 1);
        self.waker(kind).wake(name.clone());
        self.note_source(kind);
        self.wake_dependents(kind, name);
    }

    fn note_source(&self, kind: Kind) {
        if kind == Kind::Source {
            self.sources_changed.notify_one();
        }
    }

    /// Wakes whoever builds on an object.
    pub fn wake_dependents(&self, kind: Kind, name: &Named) {
        if kind == Kind::Source {
            for (source, object) in self.all(Kind::Source) {
                if includes_of(&source, &object).contains(name) {
                    self.wake_source.wake(source);
                }
            }
        }
        for (delivery, object) in self.all(Kind::Delivery) {
            let depends = match kind {
                Kind::Source => source_of(&delivery, &object).as_ref() == Some(name),
                Kind::Delivery => dependencies_of(&delivery, &object).contains(name),
            };
            if depends {
                self.wake_delivery.wake(delivery);
            }
        }
    }
}

fn named(found: &DynamicObject) -> Option<Named> {
    Some(Named::new(
        found.metadata.namespace.clone().unwrap_or_default(),
        found.metadata.name.clone()?,
    ))
}

/// What a person can change about an object: its own reconciler looks when this changes.
fn declared(object: &Value) -> Value {
    let metadata = &object["metadata"];
    serde_json::json!([
        metadata["uid"],
        metadata["generation"],
        metadata["annotations"],
        metadata["labels"],
        metadata["finalizers"],
        metadata["deletionTimestamp"],
    ])
}

/// What others build on: dependents look when this changes.
fn outcome(object: &Value) -> Value {
    let status = &object["status"];
    let truth = |kind: &str| {
        status["conditions"]
            .as_array()
            .and_then(|all| all.iter().find(|condition| condition["type"] == kind))
            .map_or(Value::Null, |condition| {
                // The words too: what waits for this repeats them.
                serde_json::json!([condition["status"], condition["message"]])
            })
    };
    serde_json::json!([
        object["metadata"]["uid"],
        object["metadata"]["generation"],
        status["observedGeneration"],
        status["artifact"]["revision"],
        status["artifact"]["digest"],
        status["lastAppliedRevision"],
        truth("Ready"),
        truth("GitSemantics"),
    ])
}

/// The source that a delivery names.
pub fn source_of(delivery: &Named, object: &Value) -> Option<Named> {
    let source = object.get("spec")?.get("sourceRef")?;
    let namespace = source["namespace"].as_str().unwrap_or(&delivery.namespace);
    Some(Named::new(namespace, source["name"].as_str()?))
}

/// The sources that a source includes.
pub fn includes_of(source: &Named, object: &Value) -> BTreeSet<Named> {
    object["spec"]["include"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|include| {
            Some(Named::new(&source.namespace, include["repository"]["name"].as_str()?))
        })
        .collect()
}

/// The deliveries that a delivery depends on.
pub fn dependencies_of(delivery: &Named, object: &Value) -> BTreeSet<Named> {
    object["spec"]["dependsOn"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|dependency| {
            let namespace = dependency["namespace"].as_str().unwrap_or(&delivery.namespace);
            Some(Named::new(namespace, dependency["name"].as_str()?))
        })
        .collect()
}

/// Finds a circle of dependencies through `start`, in order, if there is one.
pub fn cycle(start: &Named, edges: impl Fn(&Named) -> BTreeSet<Named>) -> Option<Vec<Named>> {
    let mut path = vec![start.clone()];
    let mut seen = BTreeSet::new();
    let found = walk(start, start, &edges, &mut path, &mut seen);
    found.then_some(path)
}

fn walk(
    start: &Named,
    at: &Named,
    edges: &impl Fn(&Named) -> BTreeSet<Named>,
    path: &mut Vec<Named>,
    seen: &mut BTreeSet<Named>,
) -> bool {
    for next in edges(at) {
        if next == *start {
            return true;
        }
        // Depth is bounded by the set of seen objects; a chain of 10,000 would be a mistake too,
        // so it is cut where the stack is still safe.
        if path.len() < 1000 && seen.insert(next.clone()) {
            path.push(next.clone());
            if walk(start, &next, edges, path, seen) {
                return true;
            }
            path.pop();
        }
    }
    false
}

/// `namespace/name` of an object.
pub fn name_of(object: &Value) -> Option<Named> {
    Some(Named::new(object::namespace(object), object::name(object)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circle(start: &str, edges: &[(&str, &str)]) -> String {
        let name = |name: &str| Named::new("ns", name);
        let found = cycle(&name(start), |at| {
            edges.iter().filter(|(from, _)| *from == at.name).map(|(_, to)| name(to)).collect()
        });
        found.map_or_else(
            || "none".to_owned(),
            |path| path.iter().map(|at| at.name.as_str()).collect::<Vec<_>>().join(" → "),
        )
    }

    #[test]
    fn circles_are_found_from_within_only() {
        assert_eq!(circle("a", &[("a", "a")]), "a");
        assert_eq!(circle("a", &[("a", "b"), ("b", "c"), ("c", "a")]), "a → b → c");
        assert_eq!(circle("x", &[("x", "a"), ("a", "b"), ("b", "a")]), "none");
        assert_eq!(circle("a", &[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]), "none");
    }
}
