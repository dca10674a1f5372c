//! A round: some trees delivered side by side, looked at, damaged, mended and taken down.
//!
//! In: trees that do not get into each other's way, and a server. Out: for each of them whether
//! it went as it should. Whatever went wrong with one, the others go on, and afterwards the
//! server is as empty as before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::change::{self, Change};
use super::kinds::{self, Kind, Kinds};
use super::tree::{self, Tree};
use crate::e2e::bed::Bed;
use crate::e2e::client::Client;
use crate::e2e::object::{condition, said};
use crate::e2e::process::{PATIENCE, wait};
use crate::print;

/// The namespace of sources and deliveries.
pub const HOME: &str = "corpus";

const DELIVERIES: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/corpus/kustomizations";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// The definitions that the engine lives on.
const ENGINES: [&str; 2] =
    ["gitrepositories.source.toolkit.fluxcd.io", "kustomizations.kustomize.toolkit.fluxcd.io"];

/// How often to look again.
const GLANCE: Duration = Duration::from_millis(50);

/// How many changes are offered to a server that refuses them.
const OFFERS: usize = 12;

/// A tree on its way, and why it came to an end if it did.
pub struct Delivery {
    /// The tree.
    pub tree: Tree,
    /// What went wrong.
    pub failure: Option<String>,
    /// Why the server takes it from nobody.
    pub refusal: Option<String>,
    /// Whether the server let a field of it be changed by hand.
    pub was_changed: bool,
    name: String,
    /// The namespace everything is put into; nothing where the tree stays as it is.
    target: Option<String>,
    revision: String,
    entries: Vec<Entry>,
    damage: Option<Damage>,
}

/// An object that was delivered.
#[derive(Debug, Clone)]
struct Entry {
    kind: Kind,
    name: String,
    path: String,
    uid: Value,
    version: Value,
    generation: Value,
}

/// What was done by hand.
struct Damage {
    path: String,
    change: Change,
}

/// Whether something has come about.
enum Look {
    Done,
    Not(String),
    /// It never will.
    Never(String),
}

impl Delivery {
    /// A tree that will be delivered; `number` is its own.
    pub fn new(tree: Tree, number: usize, revision: String) -> Self {
        let name = format!("tree-{number}");
        let target = tree.movable.then(|| name.clone());
        let (failure, refusal, entries, damage) = (None, None, vec![], None);
        let was_changed = false;
        Self { tree, failure, refusal, was_changed, name, target, revision, entries, damage }
    }

    fn is_on_its_way(&self) -> bool {
        self.failure.is_none() && self.refusal.is_none()
    }

    fn path(&self) -> String {
        format!("{DELIVERIES}/{}", self.name)
    }

    fn object(&self, bed: &Bed) -> Value {
        let mut spec = json!({
            // Nothing here waits for an interval: what happens, happens because it was seen.
            "interval": "1h",
            "prune": true,
            "path": format!("./{}", self.tree.place.folder),
            "sourceRef": {"kind": "GitRepository", "name": self.tree.place.project},
        });
        if let Some(target) = &self.target {
            spec["targetNamespace"] = json!(target);
        }
        bed.delivery(&self.name, HOME, spec)
    }

    /// The namespaces it needs and does not bring.
    fn namespaces(&self) -> BTreeSet<String> {
        let own = self.tree.own_namespaces();
        match &self.target {
            Some(target) if own.is_empty() => BTreeSet::from([target.clone()]),
            Some(_) => BTreeSet::new(),
            None => self.tree.namespaces().difference(&own).cloned().collect(),
        }
    }

    /// The rendered object behind an entry.
    fn wanted(&self, entry: &Entry) -> Option<&Value> {
        self.tree
            .objects
            .iter()
            .find(|object| Kind::of(object).0 == entry.kind && tree::name(object) == entry.name)
    }
}

/// Some trees, delivered side by side.
pub struct Round<'a> {
    bed: &'a Bed,
    deliveries: Vec<Delivery>,
    /// What was made for the trees and goes with them.
    made: Vec<String>,
}

impl<'a> Round<'a> {
    /// Delivers trees and takes them down again; gives what became of them.
    pub fn play(bed: &'a Bed, deliveries: Vec<Delivery>) -> Result<Vec<Delivery>> {
        let mut round = Self { bed, deliveries, made: vec![] };
        round.prepare()?;
        round.deliver()?;
        round.look_again()?;
        round.change_a_field()?;
        round.delete_an_object()?;
        round.take_down()?;
        round.clean_up()?;
        Ok(round.deliveries)
    }

    /// Makes the namespaces and definitions that the trees take for granted.
    fn prepare(&mut self) -> Result<()> {
        let namespaces: BTreeSet<String> =
            self.deliveries.iter().flat_map(Delivery::namespaces).collect();
        for name in namespaces {
            let namespace =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            self.make("/api/v1/namespaces", &namespace)?;
        }
        let known = Kinds::discover(self.bed.target())?;
        let mut used: BTreeMap<Kind, BTreeSet<String>> = BTreeMap::new();
        let mut defined = BTreeSet::new();
        for delivery in &self.deliveries {
            defined.extend(delivery.tree.definitions());
            for (kind, versions) in delivery.tree.kinds() {
                used.entry(kind).or_default().extend(versions);
            }
        }
        let mut definitions = vec![];
        for (kind, versions) in used {
            if !known.serve(&kind, &versions) && !defined.contains(&kind) {
                definitions.push(kinds::definition(&kind, &versions));
            }
        }
        let mut established = vec![];
        for definition in definitions {
            match self.make(DEFINITIONS, &definition) {
                Ok(()) => established.push(definition),
                Err(err) => self.go_without(&Kind::defined_by(&definition["spec"]), &err),
            }
        }
        for definition in &established {
            let path = format!("{DEFINITIONS}/{}", tree::name(definition));
            wait(|| {
                let object = self.bed.target().get(&path)?.unwrap_or_default();
                Ok(condition(&object, "Established")["status"] == "True")
            })
            .with_context(|| format!("{} is not established", tree::name(definition)))?;
        }
        Ok(())
    }

    /// Groups of Kubernetes itself have no other kinds than its own, and not those of the past:
    /// what uses one is delivered to nobody's server.
    fn go_without(&mut self, kind: &Kind, err: &anyhow::Error) {
        for delivery in &mut self.deliveries {
            if delivery.tree.kinds().contains_key(kind) {
                delivery.refusal = Some(format!("{} that this Kubernetes lacks", kind.kind));
            }
        }
        print::note(&format!("{} {}: {err:#}", kind.group, kind.kind));
    }

    /// Makes what is not there yet.
    fn make(&mut self, collection: &str, object: &Value) -> Result<()> {
        let answer = self.bed.target().create(collection, object)?;
        if answer.code != 409 {
            let name = tree::name(object);
            answer.granted().with_context(|| format!("cannot make {name} in {collection}"))?;
            self.made.push(format!("{collection}/{name}"));
        }
        Ok(())
    }

    fn deliver(&mut self) -> Result<()> {
        self.each(|bed, delivery| {
            bed.home().create(DELIVERIES, &delivery.object(bed))?.granted().map(drop)
        })?;
        self.stage("delivered", PATIENCE, |bed, delivery| {
            let object = bed.home().get(&delivery.path())?.unwrap_or_default();
            Ok(is_delivered(&object, &delivery.revision))
        })?;
        let kinds = Kinds::discover(self.bed.target())?;
        for delivery in self.deliveries.iter_mut().filter(|one| one.failure.is_some()) {
            if let Some(why) = objection(self.bed.target(), &kinds, delivery)? {
                (delivery.failure, delivery.refusal) = (None, Some(why));
            }
        }
        self.each(|bed, delivery| {
            let object = bed.home().get(&delivery.path())?.unwrap_or_default();
            delivery.entries = entries(bed.target(), &kinds, &object)?;
            delivery.entries.retain(|entry| !is_engines(&entry.kind, &entry.name));
            let of_others = delivery
                .tree
                .objects
                .iter()
                .filter(|object| !is_engines(&Kind::of(object).0, tree::name(object)));
            let (is, wanted) = (delivery.entries.len(), of_others.count());
            anyhow::ensure!(is == wanted, "{is} objects in the inventory, {wanted} rendered");
            Ok(())
        })
    }

    /// A second run finds nothing to do.
    fn look_again(&mut self) -> Result<()> {
        let token = "again";
        let patch =
            json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}});
        self.each(|bed, delivery| bed.home().merge(&delivery.path(), &patch)?.granted().map(drop))?;
        self.stage("looked at again", PATIENCE, |bed, delivery| {
            let object = bed.home().get(&delivery.path())?.unwrap_or_default();
            let handled = &object["status"]["lastHandledReconcileAt"];
            Ok(if handled == token {
                is_delivered(&object, &delivery.revision)
            } else {
                Look::Not(format!("the last request handled is {handled}"))
            })
        })?;
        self.each(|bed, delivery| {
            for entry in &delivery.entries {
                let object = bed.target().get(&entry.path)?.context("an object is gone")?;
                let metadata = &object["metadata"];
                let same = metadata["uid"] == entry.uid
                    && metadata["generation"] == entry.generation
                    // The engine writes the status of its own kinds when it likes.
                    && (entry.kind.is_ours() || metadata["resourceVersion"] == entry.version);
                anyhow::ensure!(same, "a second look changed {}", entry.path);
            }
            Ok(())
        })
    }

    /// A field that was changed by hand is what it was before long.
    fn change_a_field(&mut self) -> Result<()> {
        self.each(|bed, delivery| {
            delivery.damage = damage(bed.target(), delivery)?;
            delivery.was_changed = delivery.damage.is_some();
            Ok(())
        })?;
        self.stage("mended after a change of a field", PATIENCE, |bed, delivery| {
            let Some(Damage { path, change }) = &delivery.damage else { return Ok(Look::Done) };
            let object = bed.target().get(path)?.unwrap_or_default();
            let Change { pointer, good, bad: _ } = change;
            Ok(match object.pointer(pointer) {
                Some(value) if value == good => Look::Done,
                value => Look::Not(format!("{pointer} of {path} is {value:?}, not {good}")),
            })
        })
    }

    /// An object that was deleted by hand is there again before long.
    fn delete_an_object(&mut self) -> Result<()> {
        self.each(|bed, delivery| {
            if let Some(victim) = victim(delivery) {
                let path = delivery.entries[victim].path.clone();
                bed.target()
                    .delete(&path)?
                    .granted()
                    .with_context(|| format!("cannot delete {path}"))?;
                delivery.entries.swap(0, victim);
            }
            Ok(())
        })?;
        self.stage("mended after a deletion", PATIENCE, |bed, delivery| {
            let Some(victim) = delivery.entries.first() else { return Ok(Look::Done) };
            let object = bed.target().get(&victim.path)?.unwrap_or_default();
            let_go(bed.target(), victim, &object)?;
            let metadata = &object["metadata"];
            let is_back = metadata["uid"].is_string()
                && metadata["uid"] != victim.uid
                && metadata["deletionTimestamp"].is_null();
            Ok(match is_back {
                true => Look::Done,
                false => Look::Not(format!("{} is not back", victim.path)),
            })
        })
    }

    /// What was delivered goes with its delivery.
    fn take_down(&mut self) -> Result<()> {
        self.each(|bed, delivery| bed.home().delete(&delivery.path())?.granted().map(drop))?;
        self.stage("taken down", PATIENCE, |bed, delivery| {
            if let Some(object) = bed.home().get(&delivery.path())? {
                return Ok(Look::Not(format!("the delivery is still there: {}", said(&object))));
            }
            for name in ENGINES {
                if bed.home().get(&format!("{DEFINITIONS}/{name}"))?.is_none() {
                    return Ok(Look::Never(format!("the engine's own {name} went with it")));
                }
            }
            for entry in &delivery.entries {
                if let Some(object) = bed.target().get(&entry.path)? {
                    let_go(bed.target(), entry, &object)?;
                    return Ok(Look::Not(format!("{} is still there", entry.path)));
                }
            }
            Ok(Look::Done)
        })
    }

    /// Removes what failures left behind, and what was made for the round.
    fn clean_up(&mut self) -> Result<()> {
        for delivery in &self.deliveries {
            if delivery.is_on_its_way() {
                continue;
            }
            self.bed.home().delete(&delivery.path())?;
            let gone = wait(|| Ok(self.bed.home().get(&delivery.path())?.is_none()));
            if gone.is_err() {
                let free = json!({"metadata": {"finalizers": null}});
                self.bed.home().merge(&delivery.path(), &free)?;
            }
            for entry in &delivery.entries {
                let left = self.bed.target().delete(&entry.path)?;
                let_go(self.bed.target(), entry, &left.body)?;
            }
        }
        for path in self.made.iter().rev() {
            self.bed.target().delete(path)?;
        }
        for path in self.made.iter().rev() {
            wait(|| Ok(self.bed.target().get(path)?.is_none()))
                .with_context(|| format!("{path} does not go"))?;
        }
        Ok(())
    }

    /// Does something for each tree that is still on its way.
    fn each(&mut self, mut work: impl FnMut(&Bed, &mut Delivery) -> Result<()>) -> Result<()> {
        for delivery in self.deliveries.iter_mut().filter(|one| one.is_on_its_way()) {
            if let Err(err) = work(self.bed, delivery) {
                delivery.failure = Some(format!("{err:#}"));
            }
        }
        Ok(())
    }

    /// Waits until something has come about for each tree that is still on its way.
    fn stage(
        &mut self,
        what: &str,
        patience: Duration,
        look: impl Fn(&Bed, &Delivery) -> Result<Look>,
    ) -> Result<()> {
        let started = Instant::now();
        let mut waiting: Vec<&mut Delivery> =
            self.deliveries.iter_mut().filter(|one| one.is_on_its_way()).collect();
        while !waiting.is_empty() {
            let late = started.elapsed() >= patience;
            let mut still = vec![];
            for delivery in waiting {
                match look(self.bed, delivery)? {
                    Look::Done => {}
                    Look::Not(_) if !late => still.push(delivery),
                    Look::Not(why) | Look::Never(why) => {
                        delivery.failure = Some(format!("not {what}: {why}"));
                    }
                }
            }
            waiting = still;
            if !waiting.is_empty() {
                std::thread::sleep(GLANCE);
            }
        }
        Ok(())
    }
}

/// Some manifests name finalizers of controllers that are not here; whoever runs them lets the
/// object go, and so do we.
fn let_go(client: &Client, entry: &Entry, object: &Value) -> Result<()> {
    let metadata = &object["metadata"];
    let is_waiting = metadata["deletionTimestamp"].is_string()
        && metadata["finalizers"].as_array().is_some_and(|names| !names.is_empty());
    // Those of the server and of the engine are what is tried here.
    if is_waiting && weight(&entry.kind) == 0 {
        client.merge(&entry.path, &json!({"metadata": {"finalizers": null}}))?;
    }
    Ok(())
}

/// Whether a delivery is ready at a revision.
fn is_delivered(object: &Value, revision: &str) -> Look {
    let ready = condition(object, "Ready");
    let generation = &object["metadata"]["generation"];
    if ready["status"] == "True" && object["status"]["observedGeneration"] == *generation {
        return match object["status"]["lastAppliedRevision"].as_str() {
            Some(applied) if applied == revision => Look::Done,
            applied => Look::Not(format!("at revision {applied:?}, not {revision}")),
        };
    }
    let message = ready["message"].as_str().unwrap_or_default();
    if ready["reason"] == "BuildFailed" || message.contains("it is not valid") {
        return Look::Never(said(object));
    }
    Look::Not(said(object))
}

/// Why the server would not take an object of a tree from us either; `None` where it would.
fn objection(client: &Client, kinds: &Kinds, delivery: &Delivery) -> Result<Option<String>> {
    for object in &delivery.tree.objects {
        let (kind, version) = Kind::of(object);
        let mut object = object.clone();
        let metadata = &mut object["metadata"];
        if let Some(target) = &delivery.target {
            metadata["namespace"] = json!(target);
        }
        let namespace = metadata["namespace"].as_str().unwrap_or("default").to_owned();
        if kinds.has_no_namespace(&kind) {
            metadata.as_object_mut().map(|fields| fields.remove("namespace"));
        }
        let Some(path) = kinds.path(&kind, &version, &namespace, tree::name(&object)) else {
            continue;
        };
        let path = format!("{path}?fieldManager=corpus&force=true&dryRun=All");
        let answer = client.send("PATCH", &path, "application/apply-patch+yaml", Some(&object))?;
        let why = answer.body["message"].as_str().unwrap_or("no reason given");
        // What has fields of no known type is refused by a real server as its own failure.
        let is_untyped = answer.code == 500 && why.contains("failed to create typed patch object");
        if matches!(answer.code, 400 | 422) || is_untyped {
            return Ok(Some(format!("another {} than Kubernetes takes: {why}", kind.kind)));
        }
    }
    Ok(None)
}

/// The objects in the inventory of a delivery, as they are now.
fn entries(client: &Client, kinds: &Kinds, delivery: &Value) -> Result<Vec<Entry>> {
    let list = delivery["status"]["inventory"]["entries"].as_array();
    list.into_iter().flatten().map(|entry| read_entry(client, kinds, entry)).collect()
}

fn read_entry(client: &Client, kinds: &Kinds, entry: &Value) -> Result<Entry> {
    let id = entry["id"].as_str().context("an entry of the inventory has no id")?;
    let (kind, namespace, name) =
        parse_id(id).with_context(|| format!("{id} is no id of an inventory"))?;
    let version = entry["v"].as_str().unwrap_or_default();
    let path = kinds
        .path(&kind, version, &namespace, &name)
        .with_context(|| format!("the kind of {id} is not served"))?;
    let object = client
        .get(&path)?
        .with_context(|| format!("{id} is in the inventory and not on the server"))?;
    let metadata = &object["metadata"];
    let (uid, version) = (metadata["uid"].clone(), metadata["resourceVersion"].clone());
    Ok(Entry { kind, name, path, uid, version, generation: metadata["generation"].clone() })
}

/// Kind, namespace and name in an id as Flux writes it.
fn parse_id(id: &str) -> Option<(Kind, String, String)> {
    let (namespace, rest) = id.split_once('_')?;
    let (rest, kind) = rest.rsplit_once('_')?;
    let (name, group) = rest.rsplit_once('_')?;
    let name = if group == "rbac.authorization.k8s.io" {
        name.replace("__", ":")
    } else {
        name.to_owned()
    };
    let kind = Kind { group: group.to_owned(), kind: kind.to_owned() };
    Some((kind, namespace.to_owned(), name))
}

/// Changes one field of one object; `None` where the server lets none be changed.
fn damage(client: &Client, delivery: &Delivery) -> Result<Option<Damage>> {
    let mut order: Vec<&Entry> = delivery.entries.iter().collect();
    order.sort_by_key(|entry| weight(&entry.kind));
    for entry in order {
        let Some(wanted) = delivery.wanted(entry) else { continue };
        let live = client.get(&entry.path)?.unwrap_or_default();
        for change in change::changes(wanted, &live).into_iter().take(OFFERS) {
            let content = "application/json-patch+json";
            let answer = client.send("PATCH", &entry.path, content, Some(&change.patch()))?;
            if answer.is_granted() {
                return Ok(Some(Damage { path: entry.path.clone(), change }));
            }
        }
    }
    Ok(None)
}

/// The object to delete: not the changed one where there is another, and none that takes others
/// with it where there is one that does not.
fn victim(delivery: &Delivery) -> Option<usize> {
    let changed = delivery.damage.as_ref().map(|damage| damage.path.as_str());
    (0..delivery.entries.len()).min_by_key(|at| {
        let entry = &delivery.entries[*at];
        (weight(&entry.kind), changed == Some(entry.path.as_str()))
    })
}

/// Whether an object is the engine's own definition of a kind it acts upon: whatever a tree says
/// of it, it stays.
fn is_engines(kind: &Kind, name: &str) -> bool {
    kind.kind == "CustomResourceDefinition" && ENGINES.contains(&name)
}

/// How much hangs on an object of a kind.
fn weight(kind: &Kind) -> usize {
    match kind.kind.as_str() {
        "Namespace" => 3,
        "CustomResourceDefinition" => 2,
        _ if kind.is_ours() => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read() {
        let (kind, namespace, name) =
            parse_id("_system__node_rbac.authorization.k8s.io_ClusterRole").unwrap();
        assert_eq!((kind.kind.as_str(), namespace.as_str()), ("ClusterRole", ""));
        assert_eq!(name, "system:node");
        let (kind, namespace, name) = parse_id("shop_web__Service").unwrap();
        assert_eq!((kind.group.as_str(), namespace.as_str(), name.as_str()), ("", "shop", "web"));
        assert!(parse_id("nonsense").is_none());
    }

    #[test]
    fn ready_means_ready_at_the_revision() {
        let object = |status: &str, revision: &str| {
            json!({"metadata": {"generation": 1}, "status": {"observedGeneration": 1,
                "lastAppliedRevision": revision, "conditions": [
                    {"type": "Ready", "status": status, "message": "m"}]}})
        };
        assert!(matches!(is_delivered(&object("True", "a"), "a"), Look::Done));
        assert!(matches!(is_delivered(&object("True", "b"), "a"), Look::Not(_)));
        assert!(matches!(is_delivered(&object("False", "a"), "a"), Look::Not(_)));
        assert!(matches!(is_delivered(&json!({}), "a"), Look::Not(_)));
    }
}
