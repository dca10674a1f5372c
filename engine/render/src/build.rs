//! The recursion over kustomizations: resources, generators, components, then transformers.
//!
//! In: a folder of a tree. Out: its objects, and every problem that was found on the way. A base
//! is built again for each place that includes it, within a budget, and never within itself.

use std::sync::Arc;

use fixpoint_base::Limits;
use fixpoint_source::Tree;
use serde_json::Value;

use crate::error::Problem;
use crate::generate::{self, Kind};
use crate::kustomization::{FILE_NAMES, Generator, Kustomization, Patch};
use crate::patch::{self, Allowed, Loaded, Matcher};
use crate::resource::{Behavior, Resource};
use crate::set::Set;
use crate::{manifest, path, references, tables, transform};

/// Kustomizations that one build may visit, however often one is included.
const VISITS: usize = 10_000;

/// Kustomizations within kustomizations, whatever the limits say: the call stack is finite.
const DEPTH: usize = 200;

/// How many times the allowed output a build may handle in patches and labels on its way.
const WORK: usize = 8;

/// One build.
pub(crate) struct Build<'a> {
    tree: &'a Tree,
    limits: &'a Limits,
    problems: Vec<Problem>,
    /// The folders on the way from the root kustomization to this one.
    chain: Vec<String>,
    visits: usize,
    objects: usize,
    work: usize,
    /// A limit was hit: nothing that follows is worth its cost.
    exhausted: bool,
}

/// A kustomization and where it stands.
pub(crate) struct Place<'k> {
    pub(crate) folder: &'k str,
    /// The kustomization file, for messages.
    pub(crate) file: &'k str,
    pub(crate) kustomization: &'k Kustomization,
}

impl<'a> Build<'a> {
    pub(crate) fn new(tree: &'a Tree, limits: &'a Limits) -> Self {
        Self {
            tree,
            limits,
            problems: Vec::new(),
            chain: Vec::new(),
            visits: 0,
            objects: 0,
            work: 0,
            exhausted: false,
        }
    }

    /// Builds a root: accumulates, ends generated names, fixes references.
    pub(crate) fn root(&mut self, place: &Place<'_>) -> Vec<Resource> {
        self.chain.push(place.folder.to_owned());
        let mut set = Set::default();
        self.accumulate(&mut set, place);
        transform::hashes(&mut set);
        if self.problems.is_empty()
            && let Err((id, reason)) = references::fix(&mut set)
        {
            let file = set.by_id(&id).map_or(Arc::from(place.file), |found| found.file.clone());
            let message = format!("{id} holds a reference that is not clear {reason}");
            let hint = "give the objects different names, or refer to one of them by its new name";
            self.problems.push(Problem::new(&*file, message).hint(hint));
        }
        set.retain(|resource| !is_local(&resource.value));
        set.into_items()
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    pub(crate) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Finds and reads the kustomization file of a folder.
    pub(crate) fn read(&mut self, folder: &str) -> Option<(String, Kustomization)> {
        let found: Vec<String> = FILE_NAMES
            .iter()
            .map(|name| path::within(folder, name))
            .filter(|file| self.tree.file(file).is_some())
            .collect();
        let [file] = found.as_slice() else {
            let (message, hint) = match found.as_slice() {
                [] => ("has no kustomization file", "add a kustomization.yaml"),
                _ => ("has several kustomization files", "keep one of them"),
            };
            self.problems.push(Problem::new(folder, message).hint(hint));
            return None;
        };
        let bytes = &self.tree.file(file)?.bytes;
        let before = self.problems.len();
        let read = Kustomization::read(bytes, file, self.limits, &mut self.problems);
        (self.problems.len() == before).then(|| (file.clone(), read))
    }

    fn field_problem(&mut self, place: &Place<'_>, field: &str, reason: impl Into<String>) {
        self.problems.push(Problem::new(place.file, reason).field(field));
    }

    /// Counts work that grows with the product of objects and what is laid over them.
    fn charge(&mut self, place: &Place<'_>, work: usize) -> bool {
        self.work = self.work.saturating_add(work);
        let limit = self.limits.rendered_bytes.saturating_mul(WORK);
        if self.work > limit && !self.exhausted {
            self.exhausted = true;
            self.problems.push(Problem::limit(place.file, "the build takes too much work", limit));
        }
        !self.exhausted
    }

    fn accumulate(&mut self, set: &mut Set, place: &Place<'_>) {
        for entry in &place.kustomization.resources {
            self.resource(set, place, entry);
        }
        self.generators(set, place);
        for entry in &place.kustomization.components {
            self.folder(set, place, entry, true);
        }
        if self.problems.is_empty() {
            self.transform(set, place);
        } else {
            self.check_patches(place);
        }
    }

    fn resource(&mut self, set: &mut Set, place: &Place<'_>, entry: &str) {
        match path::join(place.folder, entry) {
            Some(file) if self.tree.file(&file).is_some() => self.file(set, place, &file),
            _ => self.folder(set, place, entry, false),
        }
    }

    fn file(&mut self, set: &mut Set, place: &Place<'_>, file: &str) {
        let Some(found) = self.tree.file(file).filter(|_| !self.exhausted) else { return };
        if !self.charge(place, found.bytes.len()) {
            return;
        }
        let values = match manifest::read(&found.bytes, file, self.limits) {
            Ok(values) => values,
            Err(problem) => {
                self.problems.push(problem);
                return;
            }
        };
        let file: Arc<str> = file.into();
        for value in values {
            self.add(set, Resource::new(value, Arc::clone(&file)));
        }
    }

    fn add(&mut self, set: &mut Set, resource: Resource) {
        self.objects += 1;
        if self.objects > self.limits.objects {
            if !self.exhausted {
                let limit = self.limits.objects;
                self.problems.push(Problem::limit(
                    &*resource.file,
                    "there are too many objects",
                    limit,
                ));
            }
            self.exhausted = true;
            return;
        }
        self.push(set, resource);
    }

    fn push(&mut self, set: &mut Set, resource: Resource) {
        if let Err(resource) = set.push(resource) {
            let first = set.by_id(&resource.id).map_or("", |first| &first.file);
            let message = format!("{} is there already, from {first}", resource.id);
            let hint = "remove one of the two, or give it another name";
            self.problems.push(Problem::new(&*resource.file, message).hint(hint));
        }
    }

    fn folder(&mut self, set: &mut Set, place: &Place<'_>, entry: &str, component: bool) {
        let field = if component { "components" } else { "resources" };
        let refuse =
            |reason: String, hint: &str| Problem::new(place.file, reason).field(field).hint(hint);
        let folder = path::join(place.folder, entry.trim_end_matches('/'));
        let folder = folder.filter(|folder| self.tree.is_folder(folder));
        let Some(folder) = folder else {
            let problem = if path::is_remote(entry) {
                let hint = "copy it into the source: a render never fetches";
                refuse(format!("names {entry:?}, which is not in the source"), hint)
            } else {
                let hint = "add the file, or remove the entry";
                refuse(format!("names {entry:?}, which does not exist"), hint)
            };
            self.problems.push(problem);
            return;
        };
        if self.chain.iter().any(|outer| path::holds(&folder, outer)) {
            let hint = "a kustomization cannot include a folder that includes it";
            self.problems.push(refuse(format!("names {entry:?}, which is a cycle"), hint));
            return;
        }
        if !self.enter(place) {
            return;
        }
        let Some((file, kustomization)) = self.read(&folder) else { return };
        if kustomization.is_component != component {
            let (is, hint) = if component {
                ("no component", "list it under resources, or make its kind Component")
            } else {
                ("a component", "list it under components")
            };
            self.problems.push(refuse(format!("names {entry:?}, which is {is}"), hint));
            return;
        }
        self.chain.push(folder.clone());
        let inner = Place { folder: &folder, file: &file, kustomization: &kustomization };
        if component {
            // A component works on the objects of the kustomization that includes it.
            self.accumulate(set, &inner);
        } else {
            let mut own = Set::default();
            self.accumulate(&mut own, &inner);
            for resource in own.into_items() {
                self.push(set, resource);
            }
        }
        self.chain.pop();
    }

    /// Counts a visit; refuses it beyond the limits.
    fn enter(&mut self, place: &Place<'_>) -> bool {
        self.visits += 1;
        let depth = self.limits.kustomization_depth.min(DEPTH);
        let problem = if self.visits > VISITS {
            Problem::limit(place.file, "too many kustomizations are included", VISITS)
        } else if self.chain.len() >= depth {
            Problem::limit(place.file, "kustomizations are nested too deep", depth)
        } else {
            return !self.exhausted;
        };
        if !self.exhausted {
            self.problems.push(problem);
        }
        self.exhausted = true;
        false
    }

    fn generators(&mut self, set: &mut Set, place: &Place<'_>) {
        let kustomization = place.kustomization;
        for (field, kind, all) in [
            ("configMapGenerator", Kind::ConfigMap, &kustomization.config_maps),
            ("secretGenerator", Kind::Secret, &kustomization.secrets),
        ] {
            for args in all {
                if let Err(reason) = self.generate(set, place, kind, args) {
                    self.field_problem(place, field, reason);
                }
            }
        }
    }

    fn generate(
        &mut self,
        set: &mut Set,
        place: &Place<'_>,
        kind: Kind,
        args: &Generator,
    ) -> Result<(), String> {
        let behavior = generate::behavior(args)?;
        let global = &place.kustomization.generator_options;
        let tree = self.tree;
        let files = |file: &str| {
            path::join(place.folder, file)
                .and_then(|file| tree.file(&file))
                .map(|file| file.bytes.to_vec())
                .ok_or_else(|| format!("names the file {file:?}, which does not exist"))
        };
        let value = generate::generate(kind, args, global, &files)?;
        let mut resource = Resource::new(value, place.file.into());
        resource.hashed =
            !args.options.disable_name_suffix_hash && !global.disable_name_suffix_hash;
        let found = set.by_any_id(&resource.id);
        match (found.as_slice(), behavior) {
            ([], Behavior::Create) => {
                self.add(set, resource);
                Ok(())
            }
            ([], _) => Err(format!("is to change {}, which does not exist", resource.id)),
            ([_], Behavior::Create) => {
                Err(format!("makes {} anew; its behavior must be merge or replace", resource.id))
            }
            ([at], _) => {
                generate::absorb(&mut resource, &set.items()[*at], behavior);
                let Ok(_) = set.change(*at, |old| {
                    *old = resource;
                    Ok::<(), std::convert::Infallible>(())
                });
                Ok(())
            }
            _ => Err(format!("is to change {}, which several objects are called", resource.id)),
        }
    }

    fn transform(&mut self, set: &mut Set, place: &Place<'_>) {
        let k = place.kustomization;
        self.merge_patches(set, place);
        for patch in &k.patches {
            self.patch(set, place, "patches", patch, true);
        }
        if let Err(reason) = transform::namespace(set, &k.namespace) {
            self.field_problem(place, "namespace", reason);
        }
        transform::prefix(set, &k.name_prefix);
        transform::suffix(set, &k.name_suffix);
        self.labels(set, place);
        for patch in &k.patches_json6902 {
            self.patch(set, place, "patchesJson6902", patch, false);
        }
        for replica in &k.replicas {
            if let Err(reason) = transform::replicas(set, replica) {
                self.field_problem(place, "replicas", reason);
            }
        }
        for image in &k.images {
            if !self.charge(place, set.len()) {
                return;
            }
            if let Err(reason) = transform::image(set, image) {
                self.field_problem(place, "images", reason);
            }
        }
    }

    fn labels(&mut self, set: &mut Set, place: &Place<'_>) {
        let k = place.kustomization;
        for label in &k.labels {
            match transform::label_fields(label) {
                Ok(fields) => self.pairs(set, place, "labels", &label.pairs, &fields),
                Err(reason) => self.field_problem(place, "labels", reason),
            }
        }
        self.pairs(set, place, "commonLabels", &k.common_labels, &tables::SELECTOR_LABELS);
        self.pairs(set, place, "commonAnnotations", &k.common_annotations, &tables::ANNOTATIONS);
    }

    fn pairs(
        &mut self,
        set: &mut Set,
        place: &Place<'_>,
        field: &str,
        pairs: &std::collections::BTreeMap<String, String>,
        fields: &[crate::fields::FieldSpec],
    ) {
        let bytes: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
        if !self.charge(place, bytes.saturating_mul(set.len())) {
            return;
        }
        if let Err(reason) = transform::pairs(set, pairs, fields) {
            self.field_problem(place, field, reason);
        }
    }

    fn merge_patches(&mut self, set: &mut Set, place: &Place<'_>) {
        for entry in &place.kustomization.patches_strategic_merge {
            if let Err(reason) = self.merge_patch(set, place, entry) {
                self.field_problem(place, "patchesStrategicMerge", reason);
            }
        }
    }

    /// An entry is a file or, as of old, the patch itself.
    fn merge_patch(&mut self, set: &mut Set, place: &Place<'_>, entry: &str) -> Result<(), String> {
        let file = path::join(place.folder, entry).and_then(|file| self.tree.file(&file));
        let bytes: &[u8] = file.map_or(entry.as_bytes(), |file| &file.bytes);
        let named = if file.is_some() { format!("names {entry:?}, which ") } else { String::new() };
        if file.is_none() && !entry.contains('\n') {
            return Err(format!("names {entry:?}, which does not exist"));
        }
        let patches = patch::read_merge(bytes, self.limits)
            .map_err(|reason| format!("{named}is no patch: {reason}"))?;
        for patch in &patches {
            patch::merge_named(set, patch, Allowed::default())
                .map_err(|reason| format!("{named}{reason}"))?;
        }
        Ok(())
    }

    /// Reads patches without an object to lay them over, for their own problems.
    fn check_patches(&mut self, place: &Place<'_>) {
        let k = place.kustomization;
        for (field, patches) in [("patches", &k.patches), ("patchesJson6902", &k.patches_json6902)]
        {
            for patch in patches {
                if let Err(reason) = self.load(place, patch) {
                    self.field_problem(place, field, reason);
                }
            }
        }
    }

    /// Reads a patch; also gives its size and how to speak of it.
    fn load(&self, place: &Place<'_>, patch: &Patch) -> Result<(Loaded, usize, String), String> {
        let inline = patch.patch.trim();
        let (bytes, about) = match (inline, patch.path.as_str()) {
            ("", "") => return Err("has an entry with neither patch nor path".to_owned()),
            ("", file) => {
                let found = path::join(place.folder, file).and_then(|file| self.tree.file(&file));
                let found = found.ok_or_else(|| format!("names {file:?}, which does not exist"))?;
                (&*found.bytes, format!("names {file:?}, which "))
            }
            (inline, "") => (inline.as_bytes(), "has an entry that ".to_owned()),
            _ => return Err("has an entry with both patch and path".to_owned()),
        };
        let loaded =
            patch::read(bytes, self.limits).map_err(|reason| format!("{about}{reason}"))?;
        Ok((loaded, bytes.len(), about))
    }

    fn patch(
        &mut self,
        set: &mut Set,
        place: &Place<'_>,
        field: &str,
        patch: &Patch,
        remember: bool,
    ) {
        if let Err(reason) = self.try_patch(set, place, patch, remember) {
            self.field_problem(place, field, reason);
        }
    }

    fn try_patch(
        &mut self,
        set: &mut Set,
        place: &Place<'_>,
        patch: &Patch,
        remember: bool,
    ) -> Result<(), String> {
        let (loaded, size, about) = self.load(place, patch)?;
        let explain = |reason: String| format!("{about}{reason}");
        let places = match &patch.target {
            Some(target) => Some(patch::selected(set, &Matcher::new(target)?)),
            None => None,
        };
        let targets = places.as_ref().map_or(1, Vec::len);
        if !self.charge(place, size.saturating_mul(targets).saturating_add(set.len())) {
            return Ok(());
        }
        let allows = |option: &str| patch.options.get(option).copied().unwrap_or_default();
        let allowed = Allowed { name: allows("allowNameChange"), kind: allows("allowKindChange") };
        match (loaded, places) {
            (Loaded::Json(patch), Some(places)) => {
                patch::apply_json(set, &places, &patch, remember, self.limits).map_err(explain)
            }
            (Loaded::Json(_), None) => Err(explain("is a JSON patch without a target".to_owned())),
            (Loaded::Merge(patches), Some(places)) => match patches.as_slice() {
                [patch] => patch::merge_at(set, &places, patch, allowed).map_err(explain),
                _ => Err(explain("has a target and not exactly one patch".to_owned())),
            },
            (Loaded::Merge(patches), None) => patches
                .iter()
                .try_for_each(|patch| patch::merge_named(set, patch, allowed))
                .map_err(explain),
        }
    }
}

/// Objects that are only for kustomize and other local tools.
fn is_local(value: &Value) -> bool {
    let mark = fixpoint_base::object::annotation(value, "config.kubernetes.io/local-config");
    mark.is_some_and(|mark| mark != "false")
}
