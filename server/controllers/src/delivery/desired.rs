//! From an artifact to the set of objects that a delivery wants.
//!
//! Rendering is work for a thread that may block; it is done once for equal inputs.

use std::collections::BTreeSet;
use std::sync::Arc;

use fixpoint_api_types::KustomizationSpec;
use fixpoint_api_types::kustomization::Selector as DeclaredSelector;
use fixpoint_base::{Digest, Gvk, canonical};
use fixpoint_driver_kube::{KubeTarget, TargetError};
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

/// Renders, settles the names with the target, and makes the desired set. The ledger index is
/// filled in by the caller.
pub async fn render(
    ctx: &Context,
    target: &KubeTarget,
    key: Digest,
    tree: Arc<Tree>,
    owner: Owner,
    revision: String,
    spec: KustomizationSpec,
) -> Result<Rendered, Failed> {
    let (limits, shape) = (ctx.limits.clone(), spec.clone());
    let objects = blocking(move || {
        let path = shape.path.clone().unwrap_or_default();
        fixpoint_render::render(&tree, &path, &overlay(&shape), &limits)
    })
    .await
    .map_err(Failed::Render)?
    .objects;

    let kinds = objects.iter().filter_map(Gvk::of).collect();
    let known = target.scopes(&kinds).await.map_err(Failed::Target)?;
    let mut scopes = known.clone();
    scopes.learn(&objects);

    let (limits, secret_key) = (ctx.limits.clone(), ctx.secret_key.clone());
    let (desired, problems) = blocking(move || {
        let metadata = spec.common_metadata.unwrap_or_default();
        let options = Options {
            revision: &revision,
            common_labels: &metadata.labels,
            common_annotations: &metadata.annotations,
            limits: &limits,
            secret_key: secret_key.expose("keys the digests of rendered Secrets"),
            scopes: &scopes,
        };
        DesiredSet::new(&owner, objects, options)
    })
    .await;
    Ok(Rendered {
        key,
        scopes: known,
        desired: Arc::new(desired),
        problems: Arc::new(problems),
        index: 0,
    })
}

/// Why there is no desired set.
#[derive(Debug)]
pub enum Failed {
    /// What the source says cannot be rendered.
    Render(RenderError),
    /// The target did not say which kinds have a namespace.
    Target(TargetError),
}

/// The kinds that a desired set names.
pub fn kinds(desired: &DesiredSet) -> BTreeSet<Gvk> {
    desired.objects().iter().map(|wanted| wanted.key.gvk.clone()).collect()
}

/// Runs what takes long where blocking is allowed. A panic goes on in the run that asked; the
/// looper isolates it to this object.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
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
