//! Copies what other sources hold into the tree of a version.
//!
//! In: the version's own tree, and for each included source its tree, from where and to where. Out:
//! one tree within the limits of any other. What is copied never covers what is there: the
//! version is refused instead.

use std::sync::Arc;

use fixpoint_base::{Class, Classified, Limits};

use crate::ignore::Sieve;
use crate::tree::{File, Tree, TreeBuilder, TreeProblem, check_path};

/// Sources that one source may include.
pub const MAX_INCLUDES: usize = 64;

/// One source to include, as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// The source.
    pub name: String,
    /// What to copy; empty for all of it.
    from: String,
    /// Where to.
    to: String,
}

/// Why a source cannot be included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InclusionProblem {
    /// Too many of them.
    #[error("spec.include names {0} sources, over the limit of {MAX_INCLUDES}")]
    TooMany(usize),
    /// A path that no tree may hold.
    #[error("spec.include of {name} has a bad {field}")]
    Path {
        /// The included source.
        name: String,
        /// Which path.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: TreeProblem,
    },
    /// It would cover what is there.
    #[error("{name} cannot be copied to {to:?}: {taken:?} is there already")]
    Taken {
        /// The included source.
        name: String,
        /// Where it should go.
        to: String,
        /// What is in the way.
        taken: String,
    },
    /// There is nothing to copy.
    #[error("there is no {from:?} in {name}")]
    Missing {
        /// The included source.
        name: String,
        /// What should be copied.
        from: String,
    },
    /// All of it together is no tree.
    #[error("the version with what it includes is refused")]
    Tree(#[from] TreeProblem),
}

impl Classified for InclusionProblem {
    fn class(&self) -> Class {
        match self {
            Self::TooMany(_) => Class::Refused,
            Self::Path { .. } | Self::Taken { .. } | Self::Missing { .. } => Class::User,
            Self::Tree(problem) => problem.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TooMany(_) => Some("include a source that includes some of them".to_owned()),
            Self::Path { source, .. } => source.hint(),
            Self::Taken { .. } => {
                Some("set toPath to a path that the repository does not have".to_owned())
            }
            Self::Missing { .. } => Some("check fromPath".to_owned()),
            Self::Tree(problem) => problem.hint(),
        }
    }
}

impl Inclusion {
    /// Reads what is declared. As in Flux, all of it is copied, to the source's name, unless said
    /// otherwise.
    ///
    /// # Errors
    /// When a path leaves the tree, or is none.
    pub fn declared(
        name: &str,
        from: Option<&str>,
        to: Option<&str>,
        limits: &Limits,
    ) -> Result<Self, InclusionProblem> {
        let bad =
            |field| move |source| InclusionProblem::Path { name: name.to_owned(), field, source };
        let from = plain(from.unwrap_or_default());
        if !from.is_empty() {
            check_path(from, limits).map_err(bad("fromPath"))?;
        }
        let to = match to {
            None | Some("") => name,
            Some(to) => plain(to),
        };
        check_path(to, limits).map_err(bad("toPath"))?;
        Ok(Self { name: name.to_owned(), from: from.to_owned(), to: to.to_owned() })
    }

    /// The files to copy, each with the path that it gets.
    fn files<'a>(&'a self, tree: &'a Tree) -> Vec<(String, &'a File)> {
        if let Some(file) = tree.file(&self.from) {
            return vec![(self.to.clone(), file)];
        }
        let skip = if self.from.is_empty() { 0 } else { self.from.len() + 1 };
        tree.below(&self.from)
            .map(|(path, file)| (format!("{}/{}", self.to, &path[skip..]), file))
            .collect()
    }

    /// What is in the way of it: a path at, below or above the one that it gets.
    fn in_the_way<'a>(&self, taken: &'a Tree, others: &'a [(&Self, Arc<Tree>)]) -> Option<String> {
        let above = |path: &str| {
            path.match_indices('/')
                .map(|(at, _)| &path[..at])
                .any(|folder| taken.file(folder).is_some())
        };
        if taken.file(&self.to).is_some() || above(&self.to) {
            return Some(self.to.clone());
        }
        if let Some((path, _)) = taken.below(&self.to).next() {
            return Some(path.to_owned());
        }
        let meets = |a: &str, b: &str| {
            a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'))
        };
        others
            .iter()
            .find(|(other, _)| meets(&other.to, &self.to) || meets(&self.to, &other.to))
            .map(|(other, _)| other.to.clone())
    }
}

/// Without what may stand before and after a path, as in `./apps/`.
fn plain(path: &str) -> &str {
    let path = path.strip_prefix("./").unwrap_or(path);
    let path = path.trim_matches('/');
    if path == "." { "" } else { path }
}

/// Copies all that is included into a tree. What is ignored is ignored there too. `look` is
/// called now and then and may end the work.
///
/// # Errors
/// When something is in the way, there is nothing to copy, or a limit is hit; the inner result is
/// for what `look` says.
pub fn include<E>(
    tree: &Tree,
    parts: &[(&Inclusion, Arc<Tree>)],
    sieve: &Sieve,
    limits: &Limits,
    look: &mut dyn FnMut() -> Result<(), E>,
) -> Result<Result<Tree, InclusionProblem>, E> {
    let mut builder = TreeBuilder::new(limits);
    for (path, file) in tree.files() {
        if let Err(problem) = builder.file(path, Arc::clone(&file.bytes), file.executable) {
            return Ok(Err(problem.into()));
        }
    }
    for (at, (part, from)) in parts.iter().enumerate() {
        let (name, to) = (part.name.clone(), part.to.clone());
        if let Some(taken) = part.in_the_way(tree, &parts[..at]) {
            return Ok(Err(InclusionProblem::Taken { name, to, taken }));
        }
        let files = part.files(from);
        if files.is_empty() {
            return Ok(Err(InclusionProblem::Missing { name, from: part.from.clone() }));
        }
        for (path, file) in files {
            if sieve.drops_file(&path, look)? {
                continue;
            }
            if let Err(problem) = builder.file(&path, Arc::clone(&file.bytes), file.executable) {
                return Ok(Err(problem.into()));
            }
        }
    }
    Ok(builder.build().map_err(InclusionProblem::from))
}

#[cfg(test)]
mod tests {
    use fixpoint_base::Chain;

    use super::*;
    use crate::ignore::SieveBuilder;

    fn tree(paths: &str) -> Arc<Tree> {
        let limits = Limits::default();
        let mut builder = TreeBuilder::new(&limits);
        for path in paths.split_whitespace() {
            builder.file(path, path.as_bytes(), path.ends_with(".sh")).unwrap();
        }
        Arc::new(builder.build().unwrap())
    }

    fn inclusion(text: &str) -> Result<Inclusion, InclusionProblem> {
        let (name, paths) = text.split_once(':').unwrap_or((text, ""));
        let (from, to) = paths.split_once('>').unwrap_or((paths, ""));
        let some = |path: &'static str| Some(path).filter(|path| !path.is_empty());
        let (from, to) = (from.to_owned().leak(), to.to_owned().leak());
        Inclusion::declared(name, some(from), some(to), &Limits::default())
    }

    /// Includes sources (`name:from>to`) that all hold the same, and says what comes out.
    fn check(own: &str, parts: &str, ignore: Option<&str>, expected: &str) {
        let theirs = tree("a.yaml b/c.yaml b/run.sh d.md");
        let sieve = SieveBuilder::default().finish(ignore).unwrap();
        let limits = Limits { files: 8, ..Limits::default() };
        let found = parts
            .split_whitespace()
            .map(inclusion)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|parts| {
                let parts: Vec<_> = parts.iter().map(|part| (part, Arc::clone(&theirs))).collect();
                include(&tree(own), &parts, &sieve, &limits, &mut || Ok::<_, ()>(())).unwrap()
            });
        let text = match found {
            Ok(tree) => tree.files().map(|(path, _)| path).collect::<Vec<_>>().join(" "),
            Err(problem) => Chain(&problem).to_string(),
        };
        assert_eq!(text, expected, "{parts}");
    }

    #[test]
    fn what_is_copied_and_where_to() {
        check("x", "lib", None, "lib/a.yaml lib/b/c.yaml lib/b/run.sh lib/d.md x");
        check("x", "lib:b", None, "lib/c.yaml lib/run.sh x");
        check("x", "lib:./b/>deep/er/", None, "deep/er/c.yaml deep/er/run.sh x");
        check("x", "lib:/b>/y", None, "x y/c.yaml y/run.sh");
        check("x", "lib:a.yaml>y.yaml", None, "x y.yaml");
        check("x", "one:b two:b", None, "one/c.yaml one/run.sh two/c.yaml two/run.sh x");
        check("x", "lib", Some("*.md\n/lib/b/*.sh"), "lib/a.yaml lib/b/c.yaml x");
        check("lib2/x", "lib:b", None, "lib/c.yaml lib/run.sh lib2/x");
    }

    #[test]
    fn nothing_is_covered() {
        let taken = |to: &str, what: &str| {
            format!("lib cannot be copied to {to:?}: {what:?} is there already")
        };
        check("lib", "lib", None, &taken("lib", "lib"));
        check("lib/x", "lib", None, &taken("lib", "lib/x"));
        check("y", "lib:>y/z", None, &taken("y/z", "y/z"));
        check("x", "one:b>y lib:b>y/z", None, &taken("y/z", "y"));
        check("x", "one:b>y/z lib:b>y", None, &taken("y", "y/z"));
    }

    #[test]
    fn what_is_refused() {
        check("x", "lib:no", None, "there is no \"no\" in lib");
        let no = |field, path, why| {
            format!("spec.include of lib has a bad {field}: path {path:?} is not allowed: {why}")
        };
        check("x", "lib:../a", None, &no("fromPath", "../a", "it has a . or .. part"));
        check("x", "lib:>a/../..", None, &no("toPath", "a/../..", "it has a . or .. part"));
        check("x", "lib:>.", None, &no("toPath", "", "it is empty"));
        check("x", "lib:>.git", None, &no("toPath", ".git", "it names a Git directory"));
        check(
            "x",
            "one two three",
            None,
            "the version with what it includes is refused: the number of files is over the limit \
             of 8 files",
        );
    }
}
