//! The two ways in: a plain `kustomize build`, and a delivery with what it adds.

use fixpoint_base::{Digest, Limits, canonical};
use fixpoint_source::Tree;
use serde_json::Value;

use crate::build::{Build, Place};
use crate::error::{Problem, RenderError};
use crate::kustomization::{FILE_NAMES, Image, Kustomization, Patch, SortOptions};
use crate::resource::Resource;
use crate::{order, path};

/// What a delivery adds to the kustomization of its folder, as Flux merges it in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overlay {
    /// The namespace of all namespaced objects.
    pub namespace: Option<String>,
    /// What every name starts with.
    pub name_prefix: Option<String>,
    /// What every name ends with.
    pub name_suffix: Option<String>,
    /// Images; one that the kustomization names too replaces it there.
    pub images: Vec<Image>,
    /// Patches, after those of the kustomization. A `path` in one is refused.
    pub patches: Vec<Patch>,
    /// Components, after those of the kustomization; paths from its folder.
    pub components: Vec<String>,
    /// Leave out components that do not exist.
    pub ignore_missing_components: bool,
}

/// What a folder renders to.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Rendered {
    /// The objects in the order that `kustomize build` prints.
    pub objects: Vec<Value>,
    /// Digest of the objects in canonical form and in that order. It is taken of Secrets too and
    /// therefore is for comparing within the process, not for publishing.
    pub digest: Digest,
}

/// Renders a folder for a delivery.
///
/// A folder without a kustomization file gets one as Flux makes it: all manifests below it, and
/// each folder that has a kustomization of its own as a base. A folder with nothing to render
/// gives no objects.
///
/// # Errors
/// Where the folder does not exist, or with all problems that were found in it.
pub fn render(
    tree: &Tree,
    path: &str,
    overlay: &Overlay,
    limits: &Limits,
) -> Result<Rendered, RenderError> {
    let folder = clean(tree, path)?;
    let mut build = Build::new(tree, limits);
    let has_file = FILE_NAMES.iter().any(|name| tree.file(&path::within(&folder, name)).is_some());
    let (file, mut kustomization) = if has_file {
        match build.read(&folder) {
            Some(read) => read,
            None => return Err(RenderError::Problems(build.into_problems())),
        }
    } else {
        (folder.clone(), generated(tree, &folder))
    };
    overlay.merge_into(&mut kustomization, tree, &folder, &file, &mut build);
    let objects = finish(build, &folder, &file, &kustomization, limits)?;
    let digest = digest(&objects);
    Ok(Rendered { objects, digest })
}

/// Renders a folder as `kustomize build` does; it must hold a kustomization file.
///
/// # Errors
/// As [`render`].
pub fn build(tree: &Tree, path: &str, limits: &Limits) -> Result<Vec<Value>, RenderError> {
    let folder = clean(tree, path)?;
    let mut build = Build::new(tree, limits);
    match build.read(&folder) {
        Some((file, kustomization)) => finish(build, &folder, &file, &kustomization, limits),
        None => Err(RenderError::Problems(build.into_problems())),
    }
}

fn clean(tree: &Tree, path: &str) -> Result<String, RenderError> {
    let shortened = || path.chars().take(200).collect::<String>();
    // Flux takes a leading slash for the root of the source.
    let folder = path::join("", path.trim_start_matches('/'))
        .ok_or_else(|| RenderError::Outside { path: shortened() })?;
    if tree.is_folder(&folder) {
        Ok(folder)
    } else {
        Err(RenderError::Missing { path: shortened() })
    }
}

fn finish(
    mut build: Build<'_>,
    folder: &str,
    file: &str,
    kustomization: &Kustomization,
    limits: &Limits,
) -> Result<Vec<Value>, RenderError> {
    let mut items = build.root(&Place { folder, file, kustomization });
    sort(&mut items, kustomization.sort_options.as_ref(), file, &mut build);
    let mut bytes: usize = 0;
    let mut objects = Vec::with_capacity(items.len());
    for Resource { mut value, id, file, .. } in items {
        tidy(&mut value);
        let size = weight(&value);
        if size > limits.object_bytes {
            let what = format!("{id} has too many bytes");
            build.problem(Problem::limit(&*file, &what, limits.object_bytes));
        }
        bytes = bytes.saturating_add(size);
        objects.push(value);
    }
    if bytes > limits.rendered_bytes {
        let what = "the objects have too many bytes together";
        build.problem(Problem::limit(file, what, limits.rendered_bytes));
    }
    let problems = build.into_problems();
    if problems.is_empty() { Ok(objects) } else { Err(RenderError::Problems(problems)) }
}

fn sort(items: &mut [Resource], options: Option<&SortOptions>, file: &str, build: &mut Build<'_>) {
    if let Err(reason) = order::sort(items, options) {
        build.problem(Problem::new(file, reason).field("sortOptions"));
    }
}

/// Kustomize leaves no empty annotations behind.
fn tidy(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let empty = match metadata.get("annotations") {
        Some(Value::Null) => true,
        Some(Value::Object(annotations)) => annotations.is_empty(),
        _ => false,
    };
    if empty {
        metadata.remove("annotations");
    }
}

/// Bytes of a value as JSON, nearly: escapes are not counted.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| weight(item) + 1).sum::<usize>() + 2,
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| key.len() + weight(value) + 4).sum::<usize>() + 2
        }
    }
}

fn digest(objects: &[Value]) -> Digest {
    let texts: Vec<String> = objects.iter().map(canonical::to_string).collect();
    Digest::of_parts(texts.iter().map(String::as_bytes))
}

/// The kustomization that Flux makes for a folder without one.
fn generated(tree: &Tree, folder: &str) -> Kustomization {
    let strip = if folder.is_empty() { 0 } else { folder.len() + 1 };
    let mut resources: Vec<String> = Vec::new();
    let mut files: Vec<&str> = tree.below(folder).map(|(path, _)| &path[strip..]).collect();
    // As a walk over the folders meets them: by the names of one folder after the other.
    files.sort_by(|a, b| a.split('/').cmp(b.split('/')));
    let mut base: Option<String> = None;
    for file in files {
        if base.as_ref().is_some_and(|base| path::holds(base, file)) {
            continue;
        }
        if let Some(found) = outermost_base(tree, folder, file) {
            resources.push(found.clone());
            base = Some(found);
        } else if file.ends_with(".yaml") || file.ends_with(".yml") {
            resources.push(file.to_owned());
        }
    }
    Kustomization { resources, ..Kustomization::default() }
}

/// The first folder on the way to a file that has a kustomization of its own.
fn outermost_base(tree: &Tree, folder: &str, file: &str) -> Option<String> {
    let ends = file.match_indices('/').map(|(at, _)| at);
    ends.map(|end| &file[..end])
        .find(|inner| {
            let inner = path::within(folder, inner);
            FILE_NAMES.iter().any(|name| tree.file(&path::within(&inner, name)).is_some())
        })
        .map(str::to_owned)
}

impl Overlay {
    fn merge_into(
        &self,
        kustomization: &mut Kustomization,
        tree: &Tree,
        folder: &str,
        file: &str,
        build: &mut Build<'_>,
    ) {
        let Self {
            namespace,
            name_prefix,
            name_suffix,
            images,
            patches,
            components,
            ignore_missing_components,
        } = self;
        for (ours, theirs) in [
            (&mut kustomization.namespace, namespace),
            (&mut kustomization.name_prefix, name_prefix),
            (&mut kustomization.name_suffix, name_suffix),
        ] {
            if let Some(theirs) = theirs {
                ours.clone_from(theirs);
            }
        }
        for image in images {
            match kustomization.images.iter_mut().find(|own| own.name == image.name) {
                Some(own) => own.clone_from(image),
                None => kustomization.images.push(image.clone()),
            }
        }
        for patch in patches {
            if !patch.path.is_empty() {
                let problem = Problem::new(file, "of the delivery has an entry with a path");
                build.problem(problem.field("patches").hint("write the patch into the delivery"));
            }
            kustomization.patches.push(patch.clone());
        }
        for component in components {
            let found = path::join(folder, component).is_some_and(|path| tree.is_folder(&path));
            if found || !ignore_missing_components {
                kustomization.components.push(component.clone());
            }
        }
    }
}
