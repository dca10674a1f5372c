//! How much of anything is too much.

/// The bounds of every input, with the defaults of the project.
///
/// Hitting one is an error on the one object that brought the input; the last good state stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one fetch may receive.
    pub fetch_bytes: u64,
    /// Bytes of one file that is not a manifest.
    pub file_bytes: u64,
    /// Bytes of one manifest.
    pub manifest_bytes: u64,
    /// Files in one tree.
    pub files: usize,
    /// Bytes of one path.
    pub path_bytes: usize,
    /// Folders within folders.
    pub path_depth: usize,
    /// Bytes of a whole tree.
    pub tree_bytes: u64,
    /// Nesting of one YAML or JSON document.
    pub yaml_depth: usize,
    /// Nodes of one YAML document, aliases counted as what they stand for.
    pub yaml_nodes: usize,
    /// Aliases in one YAML stream.
    pub yaml_aliases: usize,
    /// Documents in one YAML stream.
    pub yaml_documents: usize,
    /// Objects of one delivery.
    pub objects: usize,
    /// Bytes of one object as JSON.
    pub object_bytes: usize,
    /// Bytes of everything one delivery renders.
    pub rendered_bytes: usize,
    /// Kustomizations within kustomizations.
    pub kustomization_depth: usize,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

impl Default for Limits {
    fn default() -> Self {
        Self {
            fetch_bytes: 512 * MIB,
            file_bytes: 16 * MIB,
            manifest_bytes: 5 * MIB,
            files: 100_000,
            path_bytes: 1024,
            path_depth: 64,
            tree_bytes: 256 * MIB,
            yaml_depth: 64,
            yaml_nodes: 250_000,
            yaml_aliases: 1000,
            yaml_documents: 5000,
            objects: 20_000,
            object_bytes: (3 * MIB) as usize,
            rendered_bytes: (32 * MIB) as usize,
            kustomization_depth: 64,
        }
    }
}

impl Limits {
    /// No bounds at all: for `fixpoint build --limits off` on a person's own files.
    pub fn off() -> Self {
        Self {
            fetch_bytes: u64::MAX,
            file_bytes: u64::MAX,
            manifest_bytes: u64::MAX,
            files: usize::MAX,
            path_bytes: usize::MAX,
            path_depth: usize::MAX,
            tree_bytes: u64::MAX,
            yaml_depth: 1024, // the parser recurses; the stack is the bound that stays
            yaml_nodes: usize::MAX,
            yaml_aliases: usize::MAX,
            yaml_documents: usize::MAX,
            objects: usize::MAX,
            object_bytes: usize::MAX,
            rendered_bytes: usize::MAX,
            kustomization_depth: 1024,
        }
    }
}
