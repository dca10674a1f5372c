//! From an artifact to the set of objects that a delivery wants.
//!
//! Rendering is work for a thread that may block; it is done once for equal inputs.

use std::sync::Arc;

use fixpoint_api_types::KustomizationSpec;
use fixpoint_api_types::kustomization::Selector as DeclaredSelector;
use fixpoint_base::{Digest, canonical};
use fixpoint_plan::{DesiredSet, Options, Owner};
use fixpoint_render::{Image, Overlay, Patch, RenderError, Selector};
use fixpoint_source::Tree;

use super::Rendered;
use crate::context::Context;

/// Names everything that the rendering depends on: the tree, and the spec that shapes it.
pub fn key(tree: &Digest, revision: &str, spec: &KustomizationSpec) -> Digest {
    // The whole spec: a field that does not matter costs one rendering when it changes.
    let spec = serde_json::to_value(spec).unwrap_or_default();
    Digest::of_parts([
        tree.as_bytes().as_slice(),
        revision.as_bytes(),
        canonical::digest(&spec).as_bytes(),
    ])
}

/// Renders and makes the desired set. The ledger index is filled in by the caller.
pub async fn render(
    ctx: &Context,
    key: Digest,
    tree: Arc<Tree>,
    owner: Owner,
    revision: String,
    spec: KustomizationSpec,
) -> Result<Rendered, RenderError> {
    let limits = ctx.limits.clone();
    let secret_key = ctx.secret_key.clone();
    let work = move || {
        let path = spec.path.clone().unwrap_or_default();
        let rendered = fixpoint_render::render(&tree, &path, &overlay(&spec), &limits)?;
        let metadata = spec.common_metadata.unwrap_or_default();
        let options = Options {
            revision: &revision,
            common_labels: &metadata.labels,
            common_annotations: &metadata.annotations,
            limits: &limits,
            secret_key: secret_key.expose("keys the digests of rendered Secrets"),
        };
        let (desired, problems) = DesiredSet::new(&owner, rendered.objects, options);
        Ok(Rendered { key, desired: Arc::new(desired), problems: Arc::new(problems), index: 0 })
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // A panic while rendering is ours to answer for; the looper isolates it to this object.
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// What the delivery adds to the kustomization, as Flux merges it in.
fn overlay(spec: &KustomizationSpec) -> Overlay {
    Overlay {
        namespace: spec.target_namespace.clone(),
        name_prefix: spec.name_prefix.clone(),
        name_suffix: spec.name_suffix.clone(),
        images: spec
            .images
            .iter()
            .map(|image| Image {
                name: image.name.clone(),
                new_name: image.new_name.clone().unwrap_or_default(),
                new_tag: image.new_tag.clone().unwrap_or_default(),
                digest: image.digest.clone().unwrap_or_default(),
                ..Image::default()
            })
            .collect(),
        patches: spec
            .patches
            .iter()
            .map(|patch| Patch {
                patch: patch.patch.clone(),
                target: patch.target.as_ref().map(selector),
                ..Patch::default()
            })
            .collect(),
        components: spec.components.clone(),
        ignore_missing_components: spec.ignore_missing_components,
    }
}

fn selector(declared: &DeclaredSelector) -> Selector {
    let DeclaredSelector {
        group,
        version,
        kind,
        name,
        namespace,
        annotation_selector,
        label_selector,
    } = declared.clone();
    Selector {
        group: group.unwrap_or_default(),
        version: version.unwrap_or_default(),
        kind: kind.unwrap_or_default(),
        name: name.unwrap_or_default(),
        namespace: namespace.unwrap_or_default(),
        annotation_selector: annotation_selector.unwrap_or_default(),
        label_selector: label_selector.unwrap_or_default(),
    }
}
