//! Names that changed, written where other objects refer to them.
//!
//! In: the whole set after all renames. Out: the same set with every reference pointing at the
//! object it pointed at before. Candidates are found by the name that is referred to, so the work
//! grows with the references and not with their product with the objects.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use crate::fields::{self, Create};
use crate::resource::{Id, Resource, field_text, text};
use crate::set::Set;
use crate::tables::{REFERENCES, Reference};

/// Points every reference at the current name of its object.
///
/// # Errors
/// Where a reference could mean several objects of different names; with the object that refers.
pub(crate) fn fix(set: &mut Set) -> Result<(), (Id, String)> {
    let names = Names::of(set.items());
    if names.by_name.is_empty() {
        return Ok(());
    }
    set.edit_all(|resource| {
        let original = resource.original().clone();
        let Some(references) = REFERENCES.get(original.kind.as_str()) else { return Ok(()) };
        let mut value = resource.value.take();
        let referrer = Referrer::new(resource, &value);
        let mut fields = references.iter().filter(|reference| reference.field.covers(&original));
        let result =
            fields.try_for_each(|reference| names.fix_field(&mut value, &referrer, reference));
        resource.value = value;
        result
    })
}

/// The object that refers, as far as it says what it can mean.
struct Referrer<'a> {
    resource: &'a Resource,
    /// Namespaces of the accounts that a role binding names.
    account_namespaces: BTreeSet<String>,
    role: Option<(String, String)>,
}

impl<'a> Referrer<'a> {
    fn new(resource: &'a Resource, value: &Value) -> Self {
        let account_namespaces = match resource.id.kind.as_str() {
            "RoleBinding" => account_namespaces(value),
            _ => BTreeSet::new(),
        };
        Self { resource, account_namespaces, role: role_of(value) }
    }

    /// Whether it can refer to an object at all.
    fn reaches(&self, candidate: &Known) -> bool {
        let id = &self.resource.id;
        id.is_cluster_scoped()
            || candidate.id.is_cluster_scoped()
            || id.namespace == candidate.id.namespace
            || self.account_namespaces.contains(&candidate.namespace)
    }

    fn shares_namespace(&self, candidate: &Known) -> bool {
        let id = &self.resource.id;
        id.is_cluster_scoped()
            || candidate.id.is_cluster_scoped()
            || candidate.id.kind == "ServiceAccount"
            || id.namespace == candidate.id.namespace
    }
}

fn account_namespaces(binding: &Value) -> BTreeSet<String> {
    let subjects = binding.get("subjects").and_then(Value::as_array).into_iter().flatten();
    subjects
        .filter(|subject| field_text(subject, "kind").is_some_and(|kind| kind == "ServiceAccount"))
        .filter_map(|subject| field_text(subject, "namespace").map(Cow::into_owned))
        .collect()
}

fn role_of(binding: &Value) -> Option<(String, String)> {
    let role = binding.get("roleRef")?;
    Some((field_text(role, "apiGroup")?.into_owned(), field_text(role, "kind")?.into_owned()))
}

/// What is known of an object that was renamed.
struct Known {
    id: Id,
    previous: Vec<Id>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    /// As written; empty where there is none.
    namespace: String,
}

impl Known {
    fn of(resource: &Resource) -> Self {
        Self {
            id: resource.id.clone(),
            previous: resource.previous.clone(),
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
            namespace: resource.namespace().into_owned(),
        }
    }

    fn original(&self) -> &Id {
        self.previous.first().unwrap_or(&self.id)
    }

    fn was(&self, test: impl FnMut(&Id) -> bool) -> bool {
        self.previous.iter().any(test)
    }
}

/// Renamed objects by the names they have had.
struct Names {
    items: Vec<Known>,
    by_name: HashMap<String, Vec<usize>>,
    /// Which namespaces the objects are in now that were in one at first.
    moved: HashMap<String, BTreeSet<String>>,
}

impl Names {
    fn of(all: &[Resource]) -> Self {
        let mut items: Vec<Known> = Vec::new();
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let mut moved: HashMap<String, BTreeSet<String>> = HashMap::new();
        for resource in all {
            let (from, to) = (&resource.original().namespace, &resource.id.namespace);
            if !moved.get(from).is_some_and(|now| now.contains(to)) {
                moved.entry(from.clone()).or_default().insert(to.clone());
            }
            for id in &resource.previous {
                let places = by_name.entry(id.name.clone()).or_default();
                if places.last() != Some(&items.len()) {
                    places.push(items.len());
                }
            }
            if !resource.previous.is_empty() {
                items.push(Known::of(resource));
            }
        }
        Self { items, by_name, moved }
    }

    fn fix_field(
        &self,
        value: &mut Value,
        referrer: &Referrer<'_>,
        reference: &Reference,
    ) -> Result<(), String> {
        let mut set_one = |node: &mut Value| match node {
            Value::Object(fields) => self.fix_mapping(fields, referrer, reference),
            Value::Array(_) | Value::Null => Ok(()),
            scalar => self.fix_scalar(scalar, referrer, reference),
        };
        fields::walk(value, &reference.field.path, Create::Nothing, &mut |node| match node {
            Value::Array(items) => items.iter_mut().try_for_each(&mut set_one),
            node => set_one(node),
        })
        .map_err(|reason| format!("at {}: {reason}", reference.field.path.join("/")))
    }

    fn fix_scalar(
        &self,
        node: &mut Value,
        referrer: &Referrer<'_>,
        reference: &Reference,
    ) -> Result<(), String> {
        let Some(old) = text(node).map(Cow::into_owned) else { return Ok(()) };
        let found = self.find(&old, referrer, reference, None)?;
        if let Some(found) = found
            && found.id.name != old
        {
            *node = Value::String(found.id.name.clone());
        }
        Ok(())
    }

    /// A mapping names an object by `name` and `namespace`.
    fn fix_mapping(
        &self,
        fields: &mut Map<String, Value>,
        referrer: &Referrer<'_>,
        reference: &Reference,
    ) -> Result<(), String> {
        let Some(old) = fields.get("name").and_then(text).map(Cow::into_owned) else {
            return Err("there is no name in the reference".to_owned());
        };
        let namespace = fields.get("namespace").map(|n| text(n).unwrap_or_default().into_owned());
        let scope = namespace.as_deref().map(|namespace| self.scope(namespace, referrer));
        let Some(found) = self.find(&old, referrer, reference, scope.as_ref())? else {
            return Ok(());
        };
        if found.id.name == old && found.namespace.is_empty() {
            return Ok(());
        }
        fields.insert("name".to_owned(), Value::String(found.id.name.clone()));
        if !found.namespace.is_empty() {
            fields.insert("namespace".to_owned(), Value::String(found.namespace.clone()));
        }
        Ok(())
    }

    /// A namespace in a reference means the original one if anything within reach was in it.
    fn scope(&self, namespace: &str, referrer: &Referrer<'_>) -> Scope {
        let id = &referrer.resource.id;
        let was_there = self.moved.get(namespace).is_some_and(|now| {
            id.is_cluster_scoped()
                || now
                    .iter()
                    .any(|now| *now == id.namespace || referrer.account_namespaces.contains(now))
        });
        if was_there {
            Scope::Original(namespace.to_owned())
        } else {
            Scope::Current(namespace.to_owned())
        }
    }

    fn find(
        &self,
        name: &str,
        referrer: &Referrer<'_>,
        reference: &Reference,
        scope: Option<&Scope>,
    ) -> Result<Option<&Known>, String> {
        let Some(places) = self.by_name.get(name) else { return Ok(None) };
        let (group, version, kind) = reference.target;
        let by_role = reference.field.path.last().is_some_and(|last| last == "name")
            && reference.field.path.iter().rev().nth(1).is_some_and(|part| part == "roleRef");
        let role = referrer.role.as_ref().filter(|_| by_role);
        let mut candidates: Vec<&Known> = places
            .iter()
            .map(|at| &self.items[*at])
            .filter(|candidate| referrer.reaches(candidate))
            .filter(|candidate| scope.is_none_or(|scope| scope.holds(candidate)))
            .filter(|candidate| candidate.was(|id| id.matches(group, version, kind)))
            .filter(|candidate| {
                role.is_none_or(|(group, kind)| candidate.was(|id| id.matches(group, "", kind)))
            })
            .filter(|candidate| referrer.shares_namespace(candidate))
            .collect();
        if candidates.len() > 1 {
            candidates.retain(|candidate| same_context(candidate, referrer.resource, true));
        }
        if candidates.len() > 1 {
            candidates.retain(|candidate| same_context(candidate, referrer.resource, false));
        }
        let Some(first) = candidates.first().copied() else { return Ok(None) };
        let alike = candidates.iter().all(|other| {
            other.id.name == first.id.name
                && (scope.is_none() || other.namespace == first.namespace)
        });
        if alike { Ok(Some(first)) } else { Err(ambiguous(name, &candidates)) }
    }
}

fn ambiguous(name: &str, candidates: &[&Known]) -> String {
    let ids: Vec<String> = candidates.iter().take(5).map(|found| found.id.to_string()).collect();
    format!("{name:?} could mean {}", ids.join(" or "))
}

enum Scope {
    Original(String),
    Current(String),
}

impl Scope {
    fn holds(&self, candidate: &Known) -> bool {
        match self {
            Self::Original(namespace) => candidate.original().namespace == *namespace,
            Self::Current(namespace) => candidate.id.namespace == *namespace,
        }
    }
}

/// Whether two objects were renamed by the same kustomizations; `loose` lets an object that was
/// never renamed pass.
fn same_context(a: &Known, b: &Resource, loose: bool) -> bool {
    let same = |a: &[String], b: &[String]| {
        if loose && (a.is_empty() || b.is_empty()) {
            return true;
        }
        let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
        if short.is_empty() { long.is_empty() } else { long.ends_with(short) }
    };
    same(&a.prefixes, &b.prefixes) && same(&a.suffixes, &b.suffixes)
}
