//! Worlds in text: `==> path` starts a file.

use fixpoint_base::Limits;
use fixpoint_source::{Tree, TreeBuilder};

/// Makes a tree of a text.
pub fn tree(world: &str) -> Tree {
    let limits = Limits::default();
    let mut builder = TreeBuilder::new(&limits);
    for part in world.split("==> ").skip(1) {
        let (path, text) = part.split_once('\n').expect("a path has a line of its own");
        builder.file(path.trim(), text.as_bytes(), false).expect("the case names clean paths");
    }
    builder.build().expect("the case makes a tree")
}
