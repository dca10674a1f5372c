//! From rendered objects to the set that a delivery wants.
//!
//! In: objects as rendering gave them. Out: the same objects with the owner's labels, cleaned of
//! what only a server may say, each once, in apply order, each with its digest; and every problem
//! found. Never: one bad object keeps its neighbours from going on, or makes the set look complete.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fixpoint_base::object::{self, set_annotation, set_label};
use fixpoint_base::{Class, Classified, Digest, Gvk, Key, Limits};
use serde_json::{Map, Value};

use crate::controls::Controls;
use crate::fingerprint;
use crate::inventory::Id;
use crate::names;
use crate::order::{self, Stage};
use crate::owner::Owner;
use crate::scope::Scopes;

/// What a desired set is made with.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The revision that was rendered, as the plan will name it.
    pub revision: &'a str,
    /// Labels that every object gets, over its own.
    pub common_labels: &'a BTreeMap<String, String>,
    /// Annotations that every object gets, over its own.
    pub common_annotations: &'a BTreeMap<String, String>,
    /// How many objects, and how large.
    pub limits: &'a Limits,
    /// Keys the digests of Secrets.
    pub secret_key: &'a [u8],
    /// Which kinds have no namespace, whatever the rendering says.
    pub scopes: &'a Scopes,
}

/// One object that a delivery wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its name.
    pub key: Key,
    /// What is applied.
    pub object: Value,
    /// Digest of what is applied; keyed for a Secret.
    pub digest: Digest,
    /// When it is applied.
    pub stage: Stage,
    /// What its labels and annotations ask for.
    pub controls: Controls,
    /// The definition and the namespace in the same set that it needs first.
    pub needs: Vec<Key>,
}

/// Everything that a delivery wants, in apply order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DesiredSet {
    /// The revision that was rendered.
    pub revision: String,
    objects: Vec<Wanted>,
    places: BTreeMap<Id, usize>,
    rejected: usize,
}

/// Why a rendered object is not in the set. Places count from one, in rendered order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A document that is no object.
    #[error("rendered document {place} is not an object with apiVersion and kind")]
    NotAnObject {
        /// Which document.
        place: usize,
    },
    /// An object without a name.
    #[error("rendered document {place}, a {kind}, has no metadata.name")]
    NoName {
        /// Which document.
        place: usize,
        /// Its kind.
        kind: String,
    },
    /// Names that cannot be part of a request's path.
    #[error("rendered document {place} has a name that cannot be used: {fault}")]
    BadName {
        /// Which document.
        place: usize,
        /// What is wrong.
        fault: String,
    },
    /// The same object twice.
    #[error("{key} is rendered twice, as documents {first} and {place}")]
    Duplicate {
        /// The object.
        key: Box<Key>,
        /// The document that stays.
        first: usize,
        /// The document that is left out.
        place: usize,
    },
    /// An object over the limit.
    #[error("{key} has {bytes} bytes, more than the {limit} that one object may have")]
    TooLarge {
        /// The object.
        key: Box<Key>,
        /// Its bytes as JSON.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More objects than the limit; the rest was not read.
    #[error("{count} objects are rendered, more than the {limit} that one delivery may have")]
    TooMany {
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
}

impl Classified for Problem {
    fn class(&self) -> Class {
        match self {
            Self::NotAnObject { .. }
            | Self::NoName { .. }
            | Self::BadName { .. }
            | Self::Duplicate { .. } => Class::User,
            Self::TooLarge { .. } | Self::TooMany { .. } => Class::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAnObject { .. } => "write apiVersion and kind, or remove the document".into(),
            Self::NoName { .. } => "set metadata.name; generateName cannot be kept equal".into(),
            Self::BadName { .. } => "use a DNS name".into(),
            Self::Duplicate { .. } => "remove one of the two from the source".into(),
            Self::TooLarge { .. } => "split the object, or fetch its content another way".into(),
            Self::TooMany { .. } => "split the delivery".into(),
        })
    }
}

impl DesiredSet {
    /// Makes the set that `owner` wants, and tells every problem found.
    pub fn new(owner: &Owner, objects: Vec<Value>, options: Options<'_>) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut wanted = Vec::new();
        let mut seen: BTreeMap<Id, usize> = BTreeMap::new();
        let count = objects.len();
        let limit = options.limits.objects;
        for (at, object) in objects.into_iter().enumerate().take(limit) {
            match admit(owner, object, at + 1, &mut seen, options) {
                Ok(object) => wanted.push(object),
                Err(problem) => problems.push(problem),
            }
        }
        if count > limit {
            problems.push(Problem::TooMany { count, limit });
        }
        let set = Self::sorted(options.revision, wanted, problems.len());
        (set, problems)
    }

    fn sorted(revision: &str, mut objects: Vec<Wanted>, rejected: usize) -> Self {
        objects.sort_by(|a, b| order::compare(&a.key, &b.key));
        let made = definitions(&objects);
        for wanted in &mut objects {
            wanted.needs = needs(&wanted.key, &made);
        }
        let places = objects.iter().enumerate().map(|(at, w)| (Id::from(&w.key), at)).collect();
        Self { revision: revision.to_owned(), objects, places, rejected }
    }

    /// The objects, in apply order.
    pub fn objects(&self) -> &[Wanted] {
        &self.objects
    }

    /// The object of that name, in any version.
    pub fn get(&self, key: &Key) -> Option<&Wanted> {
        self.places.get(&Id::from(key)).map(|at| &self.objects[*at])
    }

    /// The object that a step of a plan names by its place.
    pub fn at(&self, place: usize) -> Option<&Wanted> {
        self.objects.get(place)
    }

    /// How many objects are wanted.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether every rendered object is in the set. From an incomplete one nothing is deleted: the
    /// missing object may be one that could not be read.
    pub fn is_complete(&self) -> bool {
        self.rejected == 0
    }

    /// Says that something is missing that this set cannot know of, such as a file that rendering
    /// could not read.
    pub fn mark_incomplete(&mut self) {
        self.rejected += 1;
    }

    /// Digest of everything wanted.
    pub fn digest(&self) -> Digest {
        Digest::of_parts(self.objects.iter().map(|wanted| wanted.digest.as_bytes().as_slice()))
    }
}

fn admit(
    owner: &Owner,
    mut object: Value,
    place: usize,
    seen: &mut BTreeMap<Id, usize>,
    options: Options<'_>,
) -> Result<Wanted, Problem> {
    options.scopes.settle_object(&mut object);
    let key = checked_key(&object, place)?;
    if let Some(first) = seen.get(&Id::from(&key)) {
        return Err(Problem::Duplicate { key: Box::new(key), first: *first, place });
    }
    clean(&mut object, &key);
    mark(&mut object, owner, options);
    let bytes = json_length(&object);
    let limit = options.limits.object_bytes;
    if bytes > limit {
        return Err(Problem::TooLarge { key: Box::new(key), bytes, limit });
    }
    seen.insert(Id::from(&key), place);
    let digest = fingerprint::rendered(&object, options.secret_key);
    let controls = Controls::of(&object);
    let stage = Stage::of(&key.gvk);
    Ok(Wanted { key, object, digest, stage, controls, needs: Vec::new() })
}

fn checked_key(object: &Value, place: usize) -> Result<Key, Problem> {
    let gvk = Gvk::of(object).ok_or(Problem::NotAnObject { place })?;
    if object::name(object).unwrap_or_default().is_empty() {
        return Err(Problem::NoName { place, kind: names::clip(&gvk.kind) });
    }
    let key = Key::of(object).ok_or(Problem::NotAnObject { place })?;
    match names::fault(&key) {
        Some(fault) => Err(Problem::BadName { place, fault }),
        None => Ok(key),
    }
}

/// Length as JSON, without keeping the text.
fn json_length(object: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail, and a value is always writable.
    let _ = serde_json::to_writer(&mut count, object);
    count.0
}

/// What only a server may say.
const SERVERS: [&str; 8] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What `kubectl apply` leaves in exported manifests; a copy of it would make kubectl believe
/// that it applied this object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn clean(object: &mut Value, key: &Key) {
    let Some(fields) = object.as_object_mut() else { return };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, value| {
            let empty_map = (field == "labels" || field == "annotations") && value.is_null();
            !SERVERS.contains(&field.as_str()) && !empty_map
        });
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
    }
    if order::is_secret(&key.gvk) {
        fold_string_data(fields);
    }
    if order::is_definition(&key.gvk) {
        drop_bad_ca_bundle(object);
    }
}

/// Writes a Secret's `stringData` into its `data`, as the server would: `stringData` can only be
/// written, so fields applied there could never be seen to differ.
fn fold_string_data(secret: &mut Map<String, Value>) {
    let Some(Value::Object(plain)) = secret.remove("stringData") else { return };
    let data = secret.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    let Some(data) = data.as_object_mut() else { return };
    for (name, value) in plain {
        // Anything but a string is left for the server to refuse.
        let value = match value {
            Value::String(text) => Value::String(BASE64.encode(text)),
            other => other,
        };
        data.insert(name, value);
    }
}

/// Removes a definition's conversion `caBundle` that is no certificate: generators leave
/// placeholders there (`Cg==`), which servers refuse until an injector has been at work.
fn drop_bad_ca_bundle(definition: &mut Value) {
    let Some(config) = definition.pointer_mut("/spec/conversion/webhook/clientConfig") else {
        return;
    };
    let is_certificate = config
        .get("caBundle")
        .and_then(Value::as_str)
        .and_then(|text| BASE64.decode(text).ok())
        .is_some_and(|pem| pem.windows(27).any(|part| part == b"-----BEGIN CERTIFICATE-----"));
    if !is_certificate && let Some(config) = config.as_object_mut() {
        config.remove("caBundle");
    }
}

fn mark(object: &mut Value, owner: &Owner, options: Options<'_>) {
    for (label, value) in options.common_labels {
        set_label(object, label, value);
    }
    for (annotation, value) in options.common_annotations {
        set_annotation(object, annotation, value);
    }
    for (label, value) in owner.labels() {
        set_label(object, &label, &value);
    }
}

/// The definitions and namespaces of a set: kind (group, kind) or namespace to what makes it.
struct Made {
    kinds: BTreeMap<(String, String), Key>,
    namespaces: BTreeMap<String, Key>,
}

fn definitions(objects: &[Wanted]) -> Made {
    let mut made = Made { kinds: BTreeMap::new(), namespaces: BTreeMap::new() };
    for Wanted { key, object, .. } in objects {
        if order::is_definition(&key.gvk) {
            let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default();
            let kind = (text("/spec/group").to_owned(), text("/spec/names/kind").to_owned());
            made.kinds.insert(kind, key.clone());
        } else if order::is_namespace(&key.gvk) {
            made.namespaces.insert(key.name.clone(), key.clone());
        }
    }
    made
}

fn needs(key: &Key, made: &Made) -> Vec<Key> {
    let definition = made.kinds.get(&(key.gvk.group.clone(), key.gvk.kind.clone()));
    let namespace = made.namespaces.get(&key.namespace);
    let needs: BTreeSet<&Key> = definition.into_iter().chain(namespace).collect();
    needs.into_iter().cloned().collect()
}
