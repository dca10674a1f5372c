//! All objects as they are, and the changes that made them so.
//!
//! A pure value: the writer applies changes to it, everything else reads. Nothing here is
//! announced before it is durable, because nothing gets in here before it is.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::watch;

use super::object::{Name, Object, Resource};

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was created.
    Added,
    /// It was changed.
    Modified,
    /// It was deleted.
    Deleted,
}

impl EventKind {
    /// How a watch line of this kind begins.
    pub const fn head(self) -> &'static [u8] {
        match self {
            Self::Added => b"{\"type\":\"ADDED\",\"object\":",
            Self::Modified => b"{\"type\":\"MODIFIED\",\"object\":",
            Self::Deleted => b"{\"type\":\"DELETED\",\"object\":",
        }
    }
}

/// One change of one object.
#[derive(Debug, Clone)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The object after it; for a deletion, its last state.
    pub object: Arc<Object>,
    /// The object before it.
    pub before: Option<Arc<Object>>,
}

/// Names any object.
pub type Ref = (Resource, Name);

/// Everything there is.
#[derive(Debug, Default)]
pub struct State {
    revision: u64,
    /// Changes after this revision can be watched; older ones are forgotten.
    oldest: u64,
    tables: HashMap<Resource, Table>,
    /// Revision, second and table of every remembered change, oldest first.
    recent: VecDeque<(u64, i64, Resource)>,
    dependents: HashMap<String, BTreeSet<Ref>>,
    uids: HashMap<String, Ref>,
    bytes: u64,
}

#[derive(Debug)]
struct Table {
    objects: BTreeMap<Name, Arc<Object>>,
    events: VecDeque<Arc<Event>>,
    changed: watch::Sender<u64>,
}

impl Default for Table {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), events: VecDeque::new(), changed: watch::Sender::new(0) }
    }
}

/// The page of a list that was asked for.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Only this namespace; all where absent.
    pub namespace: Option<String>,
    /// Only what comes after this name.
    pub after: Option<Name>,
}

/// A revision that is too old to be reconstructed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// The oldest one that is not.
    pub oldest: u64,
}

impl State {
    /// An empty state.
    pub fn new() -> Self {
        Self::default()
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The oldest revision that a watch can resume from.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Bytes that all objects take.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// One object.
    pub fn get(&self, resource: &Resource, name: &Name) -> Option<&Arc<Object>> {
        self.tables.get(resource)?.objects.get(name)
    }

    /// The object that has a UID.
    pub fn by_uid(&self, uid: &str) -> Option<&Arc<Object>> {
        let (resource, name) = self.find_uid(uid)?;
        self.get(resource, name)
    }

    /// What names the object that has a UID.
    pub fn find_uid(&self, uid: &str) -> Option<&Ref> {
        self.uids.get(uid)
    }

    /// Whether an object with this UID exists.
    pub fn has_uid(&self, uid: &str) -> bool {
        self.uids.contains_key(uid)
    }

    /// The objects that name this UID as an owner.
    pub fn dependents(&self, uid: &str) -> Vec<Ref> {
        self.dependents.get(uid).map(|refs| refs.iter().cloned().collect()).unwrap_or_default()
    }

    /// Objects of a table in order of their names.
    pub fn range<'a>(
        &'a self,
        resource: &Resource,
        page: &'a Page,
    ) -> Box<dyn Iterator<Item = &'a Arc<Object>> + 'a> {
        let Some(table) = self.tables.get(resource) else { return Box::new(std::iter::empty()) };
        let Page { namespace, after } = page;
        let from = match (after, namespace) {
            (Some(after), _) => Bound::Excluded(after.clone()),
            (None, Some(namespace)) => Bound::Included(Name::new(namespace.clone(), "")),
            (None, None) => Bound::Unbounded,
        };
        let objects = table.objects.range((from, Bound::Unbounded)).map(|(_, object)| object);
        match namespace {
            Some(wanted) => Box::new(objects.take_while(move |o| o.name.namespace == *wanted)),
            None => Box::new(objects),
        }
    }

    /// Objects of a table as they were at an earlier revision.
    ///
    /// Costs what changed since then plus what is listed: later changes are undone on the side.
    pub fn range_at(
        &self,
        resource: &Resource,
        page: &Page,
        revision: u64,
    ) -> Result<Vec<Arc<Object>>, Forgotten> {
        if revision < self.oldest || revision > self.revision {
            return Err(Forgotten { oldest: self.oldest });
        }
        let later = self.events_after(resource, revision, usize::MAX)?;
        let within = |name: &Name| {
            page.namespace.as_ref().is_none_or(|wanted| name.namespace == *wanted)
                && page.after.as_ref().is_none_or(|after| name > after)
        };
        let mut was: BTreeMap<&Name, Option<&Arc<Object>>> = BTreeMap::new();
        for event in later.iter().rev().filter(|event| within(&event.object.name)) {
            was.insert(&event.object.name, event.before.as_ref());
        }
        let mut out: Vec<Arc<Object>> = self
            .range(resource, page)
            .filter(|object| !was.contains_key(&object.name))
            .cloned()
            .collect();
        if !was.is_empty() {
            out.extend(was.into_values().flatten().cloned());
            out.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(out)
    }

    /// Changes of a table after a revision, oldest first, at most `limit` of them.
    pub fn events_after(
        &self,
        resource: &Resource,
        revision: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, Forgotten> {
        if revision < self.oldest {
            return Err(Forgotten { oldest: self.oldest });
        }
        let Some(table) = self.tables.get(resource) else { return Ok(Vec::new()) };
        let from = table.events.partition_point(|event| event.object.revision <= revision);
        Ok(table.events.range(from..).take(limit).cloned().collect())
    }

    /// Wakes whenever the table changes.
    pub fn subscribe(&mut self, resource: &Resource) -> watch::Receiver<u64> {
        self.tables.entry(resource.clone()).or_default().changed.subscribe()
    }

    /// All tables that hold anything, with how many objects they hold.
    pub fn tables(&self) -> impl Iterator<Item = (&Resource, usize)> {
        self.tables.iter().map(|(resource, table)| (resource, table.objects.len()))
    }

    /// Every object.
    pub fn all(&self) -> impl Iterator<Item = (&Resource, &Arc<Object>)> {
        self.tables
            .iter()
            .flat_map(|(resource, table)| table.objects.values().map(move |o| (resource, o)))
    }

    /// Takes one durable change in, without telling anyone yet.
    pub fn apply(
        &mut self,
        resource: &Resource,
        kind: EventKind,
        object: Arc<Object>,
        second: i64,
    ) {
        self.revision = self.revision.max(object.revision);
        let table = self.tables.entry(resource.clone()).or_default();
        let before = match kind {
            EventKind::Added | EventKind::Modified => {
                table.objects.insert(object.name.clone(), Arc::clone(&object))
            }
            EventKind::Deleted => table.objects.remove(&object.name),
        };
        let revision = object.revision;
        table.events.push_back(Arc::new(Event {
            kind,
            object: Arc::clone(&object),
            before: before.clone(),
        }));
        self.recent.push_back((revision, second, resource.clone()));
        if let Some(before) = before {
            self.forget_indexes(resource, &before);
        }
        if kind != EventKind::Deleted {
            self.index(resource, &object);
        }
    }

    /// Takes an object of a snapshot in: it is there, but how it came is not remembered.
    pub fn restore(&mut self, resource: &Resource, object: Arc<Object>) {
        let table = self.tables.entry(resource.clone()).or_default();
        let before = table.objects.insert(object.name.clone(), Arc::clone(&object));
        if let Some(before) = before {
            self.forget_indexes(resource, &before);
        }
        self.index(resource, &object);
    }

    /// Says that the snapshot was taken at this revision: nothing before it is remembered.
    pub fn restored_at(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
        self.oldest = self.oldest.max(revision);
    }

    /// Wakes the watches of these tables.
    pub fn announce<'a>(&self, resources: impl IntoIterator<Item = &'a Resource>) {
        for resource in resources {
            if let Some(table) = self.tables.get(resource) {
                table.changed.send_replace(self.revision);
            }
        }
    }

    /// Forgets changes beyond the bounds.
    pub fn forget(&mut self, keep: usize, older_than: i64) {
        while let Some((revision, second, _)) = self.recent.front() {
            if self.recent.len() <= keep && *second >= older_than {
                break;
            }
            self.oldest = *revision;
            let Some((_, _, resource)) = self.recent.pop_front() else { break };
            if let Some(table) = self.tables.get_mut(&resource) {
                table.events.pop_front();
            }
        }
    }

    fn index(&mut self, resource: &Resource, object: &Object) {
        self.bytes += object.size() as u64;
        self.uids.insert(object.uid.clone(), (resource.clone(), object.name.clone()));
        for owner in &object.owners {
            self.dependents
                .entry(owner.uid.clone())
                .or_default()
                .insert((resource.clone(), object.name.clone()));
        }
    }

    fn forget_indexes(&mut self, resource: &Resource, object: &Object) {
        self.bytes -= object.size() as u64;
        self.uids.remove(&object.uid);
        let this = (resource.clone(), object.name.clone());
        for owner in &object.owners {
            if let Some(refs) = self.dependents.get_mut(&owner.uid) {
                refs.remove(&this);
                if refs.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
    }
}
