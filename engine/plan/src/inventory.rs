//! The list of what a delivery put there, in the form Flux keeps in a status.

use std::collections::BTreeMap;
use std::fmt;

use fixpoint_base::{Class, Classified, Gvk, Key};
use serde::{Deserialize, Serialize};

use crate::names;
use crate::scope::Scopes;

/// What an object is, whatever version it is written in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for a cluster-scoped object.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl From<&Key> for Id {
    fn from(key: &Key) -> Self {
        let (group, kind, namespace, name) = key.identity();
        Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl Id {
    /// Names the object in one API version.
    pub fn key(&self, version: &str) -> Key {
        let gvk = Gvk::new(&self.group, version, &self.kind);
        Key::new(gvk, &self.namespace, &self.name)
    }

    fn is_rbac(&self) -> bool {
        self.group == "rbac.authorization.k8s.io"
            && ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"]
                .contains(&self.kind.as_str())
    }
}

/// `<namespace>_<name>_<group>_<kind>`; a `:` in the name of an RBAC object is written `__`.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, kind, namespace, name } = self;
        let name = if self.is_rbac() { name.replace(':', "__") } else { name.clone() };
        write!(f, "{namespace}_{name}_{group}_{kind}")
    }
}

/// One line of an inventory as it stands in a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `<namespace>_<name>_<group>_<kind>`.
    pub id: String,
    /// API version.
    pub v: String,
}

/// An inventory entry that names no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the inventory entry {id:?} names no object: {fault}")]
pub struct BadEntry {
    /// The entry's id, cut to a readable length.
    pub id: String,
    /// What is wrong with it.
    pub fault: String,
}

impl Classified for BadEntry {
    fn class(&self) -> Class {
        Class::User
    }

    fn hint(&self) -> Option<String> {
        Some(
            "remove the entry from status.inventory, or write it as namespace_name_group_Kind"
                .into(),
        )
    }
}

/// What a delivery put there: each object once, with the version it was last applied in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    entries: BTreeMap<Id, String>,
}

impl Inventory {
    /// An empty inventory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the entries of a status. An entry that cannot be read is reported and left out, so
    /// what it meant is never deleted by a guess.
    pub fn from_entries(entries: &[Entry]) -> (Self, Vec<BadEntry>) {
        let mut inventory = Self::new();
        let mut bad = Vec::new();
        for entry in entries {
            match parse(entry) {
                Ok(key) => inventory.insert(&key),
                Err(fault) => bad.push(BadEntry { id: names::clip(&entry.id), fault }),
            }
        }
        (inventory, bad)
    }

    /// The same objects, each under its one name: an entry that was written with a namespace for a
    /// kind that has none names the object without it.
    #[must_use]
    pub fn settled(&self, scopes: &Scopes) -> Self {
        let mut settled = Self::new();
        for key in self.keys() {
            settled.insert(&scopes.settle(key));
        }
        settled
    }

    /// Writes the entries of a status, sorted by what they name.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.iter().map(|(id, v)| Entry { id: id.to_string(), v: v.clone() }).collect()
    }

    /// Records an object.
    pub fn insert(&mut self, key: &Key) {
        self.entries.insert(Id::from(key), key.gvk.version.clone());
    }

    /// Forgets an object.
    pub fn remove(&mut self, key: &Key) {
        self.entries.remove(&Id::from(key));
    }

    /// Whether the object is recorded, in any version.
    pub fn contains(&self, key: &Key) -> bool {
        self.entries.contains_key(&Id::from(key))
    }

    /// Every recorded object.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.entries.iter().map(|(id, version)| id.key(version))
    }

    /// Every recorded object, without its version.
    pub fn ids(&self) -> impl Iterator<Item = &Id> {
        self.entries.keys()
    }

    /// How many objects are recorded.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Everything that either records; where both do, `other`'s version counts.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        let Self { entries } = other;
        self.entries.extend(entries.iter().map(|(id, v)| (id.clone(), v.clone())));
        self
    }

    /// What is recorded here and not in `other`, whatever the version.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let entries = self
            .entries
            .iter()
            .filter(|(id, _)| !other.entries.contains_key(*id))
            .map(|(id, v)| (id.clone(), v.clone()))
            .collect();
        Self { entries }
    }
}

impl<'a> FromIterator<&'a Key> for Inventory {
    fn from_iter<I: IntoIterator<Item = &'a Key>>(keys: I) -> Self {
        let mut inventory = Self::new();
        keys.into_iter().for_each(|key| inventory.insert(key));
        inventory
    }
}

/// Kinds, groups and namespaces have no `_`, so a name with one (or with `__` for `:`) is found
/// by reading from both ends.
fn parse(entry: &Entry) -> Result<Key, String> {
    let shape = || "it is not of the form namespace_name_group_Kind".to_owned();
    let (namespace, rest) = entry.id.split_once('_').ok_or_else(shape)?;
    let (rest, kind) = rest.rsplit_once('_').ok_or_else(shape)?;
    let (name, group) = rest.rsplit_once('_').ok_or_else(shape)?;
    let mut id = Id {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    if id.is_rbac() {
        id.name = id.name.replace("__", ":");
    }
    let key = id.key(&entry.v);
    names::fault(&key).map_or(Ok(key), Err)
}
