//! A tree of files in memory: what a version of a source holds.
//!
//! In: paths, bytes and links as a store hands them out. Out: plain files under clean paths.
//! A tree never holds a link, a device, or a path that leaves it: the builder refuses the whole
//! version instead of cleaning it silently (negative suite A1–A3, A9).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fixpoint_base::{Class, Classified, Digest, Limits};

/// One file.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Content.
    pub bytes: Arc<[u8]>,
    /// Whether the store marks it executable.
    pub executable: bool,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File({} bytes)", self.bytes.len())
    }
}

/// Files by path: `/`-separated, relative, without `.` or `..`, in byte order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    files: BTreeMap<String, File>,
}

impl Tree {
    /// Looks a file up by its exact path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// All files in byte order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// Whether a folder has at least one file below it; the root (`""`) always exists.
    pub fn is_folder(&self, path: &str) -> bool {
        path.is_empty() || self.below(path).next().is_some()
    }

    /// All files below a folder (`""` for the root), with their full paths.
    pub fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a File)> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let start = prefix.clone();
        self.files
            .range(start..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, file)| (path.as_str(), file))
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes.len() as u64).sum()
    }

    /// Digest of every path, mode and content: two trees with one digest render alike.
    pub fn digest(&self) -> Digest {
        let mut parts: Vec<Vec<u8>> = Vec::with_capacity(self.files.len() * 3);
        for (path, file) in &self.files {
            parts.push(path.as_bytes().to_vec());
            parts.push(vec![u8::from(file.executable)]);
            parts.push(Digest::of(&file.bytes).as_bytes().to_vec());
        }
        Digest::of_parts(parts.iter().map(Vec::as_slice))
    }
}

/// Why a version cannot become a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeProblem {
    /// A path that no tree may hold.
    #[error("path {path:?} is not allowed: {reason}")]
    Path {
        /// The path as the store gave it, shortened.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A link that leads out of the tree, round in circles, or nowhere.
    #[error("symbolic link {path:?} is not allowed: {reason}")]
    Link {
        /// Where the link is.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More than the limits allow.
    #[error("{what} is over the limit of {limit}")]
    Limit {
        /// What is too much, with its name.
        what: String,
        /// The limit with its unit.
        limit: String,
    },
}

impl Classified for TreeProblem {
    fn class(&self) -> Class {
        match self {
            Self::Path { .. } | Self::Link { .. } => Class::User,
            Self::Limit { .. } => Class::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Path { .. } => Some("rename or remove the path in the source".to_owned()),
            Self::Link { .. } => {
                Some("point the link at a file within the same source, or remove it".to_owned())
            }
            Self::Limit { .. } => {
                Some("split the source, or keep large files out of it".to_owned())
            }
        }
    }
}

/// Collects what a store hands out and makes a [`Tree`] of it.
#[derive(Debug)]
pub struct TreeBuilder<'a> {
    limits: &'a Limits,
    tree: Tree,
    links: BTreeMap<String, String>,
    bytes: u64,
}

/// Links that may be followed to find one file.
const MAX_HOPS: usize = 8;

impl<'a> TreeBuilder<'a> {
    /// Starts an empty tree.
    pub fn new(limits: &'a Limits) -> Self {
        Self { limits, tree: Tree::default(), links: BTreeMap::new(), bytes: 0 }
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When the path is not clean, is there already, or a limit is hit.
    pub fn file(
        &mut self,
        path: &str,
        bytes: impl Into<Arc<[u8]>>,
        executable: bool,
    ) -> Result<(), TreeProblem> {
        self.check_new(path)?;
        self.insert(path.to_owned(), File { bytes: bytes.into(), executable })
    }

    /// Adds a symbolic link; it is followed when the tree is built.
    ///
    /// # Errors
    /// When the path is not clean or is there already.
    pub fn link(&mut self, path: &str, target: &str) -> Result<(), TreeProblem> {
        self.check_new(path)?;
        self.links.insert(path.to_owned(), target.to_owned());
        Ok(())
    }

    /// Follows the links, copies what they point at, and hands the tree out.
    ///
    /// # Errors
    /// When a link is absolute, leaves the tree, dangles, or takes more than eight hops.
    pub fn build(mut self) -> Result<Tree, TreeProblem> {
        let links = std::mem::take(&mut self.links);
        let plain = self.tree.clone();
        for path in links.keys() {
            for (suffix, file) in follow(&plain, &links, path, path, 0)? {
                let at = if suffix.is_empty() { path.clone() } else { format!("{path}/{suffix}") };
                self.insert(at, file)?;
            }
        }
        check_collisions(&self.tree)?;
        Ok(self.tree)
    }

    fn insert(&mut self, path: String, file: File) -> Result<(), TreeProblem> {
        let size = file.bytes.len() as u64;
        let limits = self.limits;
        if size > limits.file_bytes {
            return Err(over(format!("file {path:?} ({size} bytes)"), limits.file_bytes, "bytes"));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > limits.tree_bytes {
            return Err(over("the tree".to_owned(), limits.tree_bytes, "bytes"));
        }
        if self.tree.files.len() >= limits.files {
            return Err(over("the number of files".to_owned(), limits.files as u64, "files"));
        }
        self.tree.files.insert(path, file);
        Ok(())
    }

    fn check_new(&self, path: &str) -> Result<(), TreeProblem> {
        check_path(path, self.limits)?;
        if self.tree.files.contains_key(path) || self.links.contains_key(path) {
            return Err(bad_path(path, "it is there twice"));
        }
        Ok(())
    }
}

fn over(what: String, limit: u64, unit: &str) -> TreeProblem {
    TreeProblem::Limit { what, limit: format!("{limit} {unit}") }
}

fn bad_path(path: &str, reason: &'static str) -> TreeProblem {
    TreeProblem::Path { path: path.chars().take(200).collect(), reason }
}

/// Refuses every path that some file system or tool would read as something else.
///
/// # Errors
/// Names what is wrong with the path.
pub fn check_path(path: &str, limits: &Limits) -> Result<(), TreeProblem> {
    if path.is_empty() {
        return Err(bad_path(path, "it is empty"));
    }
    if path.len() > limits.path_bytes {
        return Err(over(
            format!("path {:?}…", path.chars().take(60).collect::<String>()),
            limits.path_bytes as u64,
            "bytes",
        ));
    }
    if path.starts_with('/') {
        return Err(bad_path(path, "it is absolute"));
    }
    if path.split('/').count() > limits.path_depth {
        return Err(over(
            format!("the depth of path {:?}", path.chars().take(60).collect::<String>()),
            limits.path_depth as u64,
            "folders",
        ));
    }
    for part in path.split('/') {
        check_part(part).map_err(|reason| bad_path(path, reason))?;
    }
    Ok(())
}

fn check_part(part: &str) -> Result<(), &'static str> {
    match part {
        "" => return Err("it has an empty part"),
        "." | ".." => return Err("it has a . or .. part"),
        _ => {}
    }
    if part.contains(['\\', '\0']) {
        return Err("it has a backslash or a NUL byte");
    }
    if part.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    // HFS+ ignores these characters, so `.g\u{200c}it` would be `.git` there.
    let plain: String =
        part.chars().filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}')).collect();
    let plain = plain.trim_end_matches(['.', ' ']).to_ascii_lowercase();
    if plain == ".git" || plain == "git~1" {
        return Err("it names a Git directory");
    }
    Ok(())
}

/// Two paths that one file system would take for the same are refused, as is a file that is
/// also a folder.
fn check_collisions(tree: &Tree) -> Result<(), TreeProblem> {
    let mut seen = BTreeSet::new();
    for path in tree.files.keys() {
        if !seen.insert(path.to_lowercase()) {
            return Err(bad_path(path, "another path differs from it in case only"));
        }
        let mut at = 0;
        while let Some(slash) = path[at..].find('/') {
            if tree.files.contains_key(&path[..at + slash]) {
                return Err(bad_path(path, "a folder of it is a file"));
            }
            at += slash + 1;
        }
    }
    Ok(())
}

/// Finds what `path` stands for: one file (with an empty suffix) or the files of a folder.
fn follow(
    tree: &Tree,
    links: &BTreeMap<String, String>,
    origin: &str,
    path: &str,
    hops: usize,
) -> Result<Vec<(String, File)>, TreeProblem> {
    let problem = |reason| TreeProblem::Link { path: origin.chars().take(200).collect(), reason };
    if hops > MAX_HOPS {
        return Err(problem("it takes more than 8 hops"));
    }
    // A link anywhere on the way is followed first.
    let mut at = 0;
    loop {
        let end = path[at..].find('/').map_or(path.len(), |slash| at + slash);
        if let Some(target) = links.get(&path[..end]) {
            let folder = path[..end].rsplit_once('/').map_or("", |(folder, _)| folder);
            let resolved = resolve(folder, target).map_err(problem)?;
            let rest = &path[end..];
            let next = if resolved.is_empty() {
                rest.trim_start_matches('/').to_owned()
            } else {
                format!("{resolved}{rest}")
            };
            if next.is_empty() || origin.starts_with(&format!("{next}/")) {
                return Err(problem("it points at a folder that holds it"));
            }
            return follow(tree, links, origin, &next, hops + 1);
        }
        if end == path.len() {
            break;
        }
        at = end + 1;
    }
    if let Some(file) = tree.file(path) {
        return Ok(vec![(String::new(), file.clone())]);
    }
    let mut found: Vec<(String, File)> = tree
        .below(path)
        .map(|(full, file)| (full[path.len() + 1..].to_owned(), file.clone()))
        .collect();
    let prefix = format!("{path}/");
    for inner in links.keys().filter(|link| link.starts_with(&prefix)) {
        for (suffix, file) in follow(tree, links, origin, inner, hops + 1)? {
            let at = &inner[prefix.len()..];
            found.push((
                if suffix.is_empty() { at.to_owned() } else { format!("{at}/{suffix}") },
                file,
            ));
        }
    }
    if found.is_empty() { Err(problem("it points at nothing")) } else { Ok(found) }
}

/// Joins a link's target to the folder the link is in, without leaving the tree.
fn resolve(folder: &str, target: &str) -> Result<String, &'static str> {
    if target.starts_with('/') {
        return Err("it is absolute");
    }
    if target.contains(['\\', '\0']) {
        return Err("its target has a backslash or a NUL byte");
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or("it leads out of the tree")?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A world in text: `path` is a file, `path -> target` a link; out come the paths or why not.
    fn check(world: &str, expected: &str) {
        let limits = Limits::default();
        let mut builder = TreeBuilder::new(&limits);
        let result = world
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .try_for_each(|line| match line.split_once(" -> ") {
                Some((path, target)) => builder.link(path, target),
                None => builder.file(line, line.as_bytes(), false),
            })
            .and_then(|()| builder.build());
        let text = match result {
            Ok(tree) => tree.files().map(|(path, _)| path).collect::<Vec<_>>().join(" "),
            Err(problem) => problem.to_string(),
        };
        assert_eq!(text, expected);
    }

    #[test]
    fn files_and_folders() {
        check("a/b\na/c\nd", "a/b a/c d");
        check("a-b\na/b", "a-b a/b");
    }

    #[test]
    fn links_within_the_tree_are_followed() {
        check("base/x\nlink -> base/x", "base/x link");
        check("base/x\nbase/y\nlinks/all -> ../base", "base/x base/y links/all/x links/all/y");
        check("x\na -> b\nb -> x", "a b x");
        check("d/x\nl -> d\nm -> l/x", "d/x l/x m");
    }

    #[test]
    fn links_that_lie_are_refused() {
        let no = |path, reason| format!("symbolic link {path:?} is not allowed: {reason}");
        check("a -> /etc/passwd", &no("a", "it is absolute"));
        check("d/a -> ../../x", &no("d/a", "it leads out of the tree"));
        check("a -> b\nb -> a", &no("a", "it takes more than 8 hops"));
        check("a -> nowhere", &no("a", "it points at nothing"));
        check("x\nd/a -> ../d", &no("d/a", "it points at a folder that holds it"));
    }

    #[test]
    fn paths_that_lie_are_refused() {
        let no = |path, reason| format!("path {path:?} is not allowed: {reason}");
        check("/a", &no("/a", "it is absolute"));
        check("a/../b", &no("a/../b", "it has a . or .. part"));
        check("a//b", &no("a//b", "it has an empty part"));
        check("a\\b", &no("a\\b", "it has a backslash or a NUL byte"));
        check(".GIT/config", &no(".GIT/config", "it names a Git directory"));
        check("README\nreadme", &no("readme", "another path differs from it in case only"));
        check("a\na", &no("a", "it is there twice"));
        check("a\na/b", &no("a/b", "a folder of it is a file"));
    }

    #[test]
    fn limits_bind_at_the_limit() {
        let limits = Limits { file_bytes: 4, tree_bytes: 6, files: 2, ..Limits::default() };
        let mut builder = TreeBuilder::new(&limits);
        assert!(builder.file("a", *b"1234", false).is_ok());
        assert!(builder.file("b", *b"12345", false).is_err());
        assert!(builder.file("c", *b"123", false).is_err());
        let mut builder = TreeBuilder::new(&limits);
        for path in ["a", "b"] {
            assert!(builder.file(path, *b"1", false).is_ok());
        }
        assert!(builder.file("c", *b"1", false).is_err());
    }

    #[test]
    fn the_digest_sees_paths_modes_and_content() {
        let limits = Limits::default();
        let tree = |path: &str, text: &str, executable| {
            let mut builder = TreeBuilder::new(&limits);
            builder.file(path, text.as_bytes(), executable).unwrap();
            builder.build().unwrap().digest()
        };
        let one = tree("a", "x", false);
        assert_eq!(one, tree("a", "x", false));
        assert_ne!(one, tree("b", "x", false));
        assert_ne!(one, tree("a", "y", false));
        assert_ne!(one, tree("a", "x", true));
    }
}
