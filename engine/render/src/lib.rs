//! From a tree to objects.
//!
//! In: a tree of files, a folder in it, and what the delivery adds. Out: the objects that
//! `kustomize build` would print for it, in its order, or every problem that was found. Nothing
//! here fetches, reads a clock or knows a cluster: equal trees give equal objects.
//!
//! # Where this differs from kustomize 5.5
//!
//! Fields that are not built yet are refused by name, as are remote bases. On purpose:
//!
//! * Any file of the tree may be included, not only files below the kustomization (as in Flux).
//! * A kustomization without content renders to nothing and is no error.
//! * A field that is written without any value (`key:`) counts as `key: null`; kustomize drops the
//!   former when another patch touches the object.
//! * Folded text (`>`) with indented lines keeps its lines; kustomize adds blank ones.
//! * An item without its merge key stays in its list beside the others; kustomize drops those.
//!
//! # Examples
//!
//! ```
//! use fixpoint_base::Limits;
//! use fixpoint_source::TreeBuilder;
//!
//! let limits = Limits::default();
//! let mut tree = TreeBuilder::new(&limits);
//! tree.file("kustomization.yaml", *b"namePrefix: my-\nresources: [a.yaml]\n", false)?;
//! tree.file("a.yaml", *b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", false)?;
//! let tree = tree.build()?;
//!
//! let objects = fixpoint_render::build(&tree, "", &limits)?;
//! assert_eq!(objects[0]["metadata"]["name"], "my-a");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod build;
mod error;
mod fields;
mod generate;
mod kustomization;
mod manifest;
mod order;
mod overlay;
mod patch;
mod path;
mod references;
mod resource;
mod schema;
mod set;
mod tables;
mod transform;

pub use error::{Problem, RenderError};
pub use kustomization::{Image, Patch, Selector};
pub use overlay::{Overlay, Rendered, build, render};
