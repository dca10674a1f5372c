//! What of a version is wanted: all of it but what is ignored, or only some folders.
//!
//! In: `spec.sparseCheckout` and `spec.ignore`. Out: answers about paths, and a digest that tells
//! one selection from another: the content of one version differs with what was selected.

use fixpoint_base::{Class, Classified, Digest, Limits};

use crate::ignore::{IgnoreProblem, Sieve, SieveBuilder};
use crate::tree::{TreeProblem, check_path};

/// Folders that one source may name.
pub const MAX_FOLDERS: usize = 256;

/// What of a version is wanted. The default is all of it but what is always ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Folders, sorted; empty for all of them.
    folders: Vec<String>,
    ignore: Option<String>,
    /// Whether repositories within it belong to it.
    submodules: bool,
}

/// Why a selection cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionProblem {
    /// A folder that no tree may hold.
    #[error("spec.sparseCheckout cannot be used")]
    Folder(#[source] TreeProblem),
    /// Too many folders.
    #[error("spec.sparseCheckout names {0} folders, over the limit of {MAX_FOLDERS}")]
    Folders(usize),
    /// Patterns that are refused.
    #[error(transparent)]
    Ignore(#[from] IgnoreProblem),
}

impl Classified for SelectionProblem {
    fn class(&self) -> Class {
        match self {
            Self::Folder(_) => Class::User,
            Self::Folders(_) => Class::Refused,
            Self::Ignore(problem) => problem.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Folder(_) => {
                Some("name folders from the root of the repository, such as apps/shop".to_owned())
            }
            Self::Folders(_) => Some("name the folder that they are in".to_owned()),
            Self::Ignore(problem) => problem.hint(),
        }
    }
}

impl Selection {
    /// Reads what is declared.
    ///
    /// # Errors
    /// When a folder is absolute, leaves the tree or is none, or a limit is hit.
    pub fn declared(
        sparse: &[String],
        ignore: Option<&str>,
        limits: &Limits,
    ) -> Result<Self, SelectionProblem> {
        if sparse.len() > MAX_FOLDERS {
            return Err(SelectionProblem::Folders(sparse.len()));
        }
        let mut folders = Vec::with_capacity(sparse.len());
        for folder in sparse {
            let plain = folder.strip_prefix("./").unwrap_or(folder).trim_end_matches('/');
            check_path(plain, limits).map_err(SelectionProblem::Folder)?;
            folders.push(plain.to_owned());
        }
        folders.sort();
        folders.dedup();
        // Said now, not at the first version.
        SieveBuilder::default().finish(ignore)?;
        Ok(Self { folders, ignore: ignore.map(str::to_owned), submodules: false })
    }

    /// With the repositories within it, or without.
    #[must_use]
    pub fn with_submodules(self, submodules: bool) -> Self {
        Self { submodules, ..self }
    }

    /// Whether repositories within it belong to it.
    pub fn submodules(&self) -> bool {
        self.submodules
    }

    /// Tells this selection from others; `None` for the default one.
    pub fn digest(&self) -> Option<Digest> {
        if *self == Self::default() {
            return None;
        }
        let Self { folders, ignore, submodules } = self;
        let ignore = match ignore {
            Some(text) => ["ignore", text.as_str()],
            None => ["all", ""],
        };
        // No folder is called so.
        let submodules = submodules.then_some("//submodules");
        let folders = folders.iter().map(String::as_str).chain(submodules);
        let parts = ignore.into_iter().chain(folders);
        Some(Digest::of_parts(parts.map(str::as_bytes)))
    }

    /// The folders that must be there.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(String::as_str)
    }

    /// Whether a path is within the selected folders.
    pub fn has(&self, path: &str) -> bool {
        self.folders.is_empty() || self.folders.iter().any(|folder| is_at_or_below(path, folder))
    }

    /// Whether a folder is within the selected ones, or leads to one.
    pub fn leads(&self, path: &str) -> bool {
        self.has(path) || self.folders.iter().any(|folder| is_at_or_below(folder, path))
    }

    /// Closes the list of patterns that were found in the version.
    ///
    /// # Errors
    /// When there are too many.
    pub fn sieve(&self, found: SieveBuilder) -> Result<Sieve, IgnoreProblem> {
        found.finish(self.ignore.as_deref())
    }
}

fn is_at_or_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use fixpoint_base::Chain;

    use super::*;

    fn sparse(folders: &str) -> Result<Selection, String> {
        let folders: Vec<String> = folders.split(',').map(str::to_owned).collect();
        Selection::declared(&folders, None, &Limits::default())
            .map_err(|problem| Chain(&problem).to_string())
    }

    #[test]
    fn folders_and_what_leads_to_them() {
        let selection = sparse("./apps/web/,infra,infra").unwrap();
        assert_eq!(selection.folders().collect::<Vec<_>>(), ["apps/web", "infra"]);
        for (path, has, leads) in [
            ("apps/web/a", true, true),
            ("infra", true, true),
            ("apps", false, true),
            ("apps/web2/a", false, false),
            ("README", false, false),
        ] {
            assert_eq!((selection.has(path), selection.leads(path)), (has, leads), "{path}");
        }
        assert!(Selection::default().has("anything"));
    }

    #[test]
    fn folders_that_lie_are_refused() {
        for (folder, reason) in [
            ("/etc", "it is absolute"),
            ("a/../../b", "it has a . or .. part"),
            ("", "it is empty"),
            ("/", "it is empty"),
            (".git", "it names a Git directory"),
        ] {
            let found = sparse(folder).unwrap_err();
            assert!(found.ends_with(reason), "{folder}: {found}");
        }
        let many = vec!["a".to_owned(); MAX_FOLDERS + 1];
        let found = Selection::declared(&many, None, &Limits::default()).unwrap_err();
        assert_eq!(
            found.to_string(),
            "spec.sparseCheckout names 257 folders, over the limit of 256"
        );
    }

    #[test]
    fn digests_tell_selections_apart() {
        let make = |sparse: &[&str], ignore| {
            let sparse: Vec<String> = sparse.iter().map(|folder| (*folder).to_owned()).collect();
            Selection::declared(&sparse, ignore, &Limits::default()).unwrap().digest()
        };
        assert_eq!(make(&[], None), None);
        let all = [
            make(&[], Some("")),
            make(&[], Some("a")),
            make(&["a"], None),
            make(&["a"], Some("a")),
            make(&["a", "b"], None),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(one.is_some());
            assert!(!all[at + 1..].contains(one), "{at}");
        }
        let nested = Selection::default().with_submodules(true).digest();
        assert!(nested.is_some() && !all.contains(&nested));
        assert_eq!(make(&["b", "a"], None), make(&["a/", "./b"], None));
    }
}
