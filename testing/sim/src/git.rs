//! Git as the simulation has it: a graph of commits in memory, and the ways in which a server can
//! let us down.
//!
//! In: what people do to repositories, and what is to go wrong. Out: the four answers of
//! [`fixpoint_source::Store`]. Ids are made from the order of the commands alone, so that a script
//! tells the same story each time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use fixpoint_base::digest::hex;
use fixpoint_base::{Digest, Limits, Secret};
use fixpoint_driver_git::range::{Range, tag_version};
use fixpoint_source::{
    Ancestry, Content, Credentials, Location, Name, NameClass, Objects, Pointer, Reference,
    Selection, SieveBuilder, Store, StoreError, Stores, TreeBuilder,
};

/// Where all repositories are.
pub const HOST: &str = "https://git.example/";

/// Some servers' worth of repositories; clones are the same ones.
#[derive(Clone, Default)]
pub struct Git(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    /// Every id that was ever made, with what a script calls it.
    labels: Vec<(String, String)>,
    commits: usize,
    tags: usize,
}

#[derive(Default)]
struct Repository {
    commits: BTreeMap<String, Commit>,
    /// By full name.
    refs: BTreeMap<String, Target>,
    faults: Faults,
}

#[derive(Clone)]
struct Commit {
    parent: Option<String>,
    files: BTreeMap<String, File>,
    subject: String,
}

#[derive(Clone)]
struct Target {
    id: String,
    peeled: Option<String>,
}

/// What a path holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// Text.
    Text(String),
    /// A symbolic link to this path.
    Link(String),
}

/// What a commit does to one path; `None` removes it.
pub type Edit = (String, Option<File>);

/// How a server lets us down.
#[derive(Default)]
struct Faults {
    /// Questions that are answered before the outage begins.
    answered: usize,
    /// Questions that nobody answers.
    outages: usize,
    /// How long every answer takes.
    slow: Duration,
    /// The password that is asked for.
    password: Option<String>,
    /// Whether the history is too long to tell how commits relate.
    shallow: bool,
}

impl Git {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits edits to a branch, which is made where it is missing; gives the commit's label.
    ///
    /// # Errors
    /// When a removed path is not there.
    pub fn commit(&self, repository: &str, branch: &str, edits: Vec<Edit>) -> Result<String> {
        let mut state = self.state();
        let label = letters(state.commits);
        let id = id_of(&["commit", repository, &label]);
        let found = state.repositories.entry(repository.to_owned()).or_default();
        let full = format!("refs/heads/{branch}");
        let parent = found.refs.get(&full).map(|target| target.id.clone());
        let mut files = parent
            .as_ref()
            .and_then(|parent| found.commits.get(parent))
            .map(|parent| parent.files.clone())
            .unwrap_or_default();
        for (path, edit) in edits {
            match edit {
                Some(file) => drop(files.insert(path, file)),
                None => drop(files.remove(&path).with_context(|| format!("no file {path}"))?),
            }
        }
        let subject = format!("Change {label}");
        found.commits.insert(id.clone(), Commit { parent, files, subject });
        found.refs.insert(full, Target { id: id.clone(), peeled: None });
        state.commits += 1;
        state.labels.push((id, label.clone()));
        Ok(label)
    }

    /// Makes a branch lead to a commit, whatever it led to before.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn set_branch(&self, repository: &str, branch: &str, at: &str) -> Result<()> {
        let mut state = self.state();
        let id = state.resolve(repository, at)?;
        let target = Target { id, peeled: None };
        state.repository(repository)?.refs.insert(format!("refs/heads/{branch}"), target);
        Ok(())
    }

    /// Makes a tag lead to a commit, whatever it led to before.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn set_tag(&self, repository: &str, tag: &str, at: &str, annotated: bool) -> Result<()> {
        let mut state = self.state();
        let id = state.resolve(repository, at)?;
        let target = if annotated {
            let label = format!("tag-object-{}", state.tags + 1);
            let object = id_of(&["tag", repository, &label]);
            state.tags += 1;
            state.labels.push((object.clone(), label));
            Target { id: object, peeled: Some(id) }
        } else {
            Target { id, peeled: None }
        };
        state.repository(repository)?.refs.insert(format!("refs/tags/{tag}"), target);
        Ok(())
    }

    /// Deletes a name such as `refs/heads/main`.
    ///
    /// # Errors
    /// When there is none.
    pub fn delete(&self, repository: &str, full: &str) -> Result<()> {
        let mut state = self.state();
        let removed = state.repository(repository)?.refs.remove(full);
        removed.map(|_| ()).with_context(|| format!("there is no {full}"))
    }

    /// Leaves questions about a repository unanswered, after some that are answered.
    pub fn outages(&self, repository: &str, count: usize, after: usize) {
        self.faults(repository, |faults| (faults.outages, faults.answered) = (count, after));
    }

    /// Makes every answer take this long.
    pub fn slow(&self, repository: &str, delay: Duration) {
        self.faults(repository, |faults| faults.slow = delay);
    }

    /// Asks for a password from now on; `None` lets everybody in.
    pub fn protect(&self, repository: &str, password: Option<String>) {
        self.faults(repository, |faults| faults.password = password);
    }

    /// Whether nobody can tell any more how commits relate.
    pub fn shallow(&self, repository: &str, shallow: bool) {
        self.faults(repository, |faults| faults.shallow = shallow);
    }

    fn faults(&self, repository: &str, change: impl FnOnce(&mut Faults)) {
        let mut state = self.state();
        change(&mut state.repositories.entry(repository.to_owned()).or_default().faults);
    }

    /// Replaces the ids of commits, whole or cut short, by what the script calls them.
    pub fn plain(&self, text: &str) -> String {
        /// As revisions, statuses and log lines cut them.
        const LENGTHS: [usize; 4] = [40, 12, 8, 7];
        let mut text = text.to_owned();
        for (id, label) in &self.state().labels {
            for length in LENGTHS {
                text = text.replace(&id[..length], label);
            }
        }
        text
    }
}

impl State {
    fn repository(&mut self, name: &str) -> Result<&mut Repository> {
        self.repositories.get_mut(name).with_context(|| format!("there is no repository {name}"))
    }

    /// A commit by its label or by the branch or tag that leads to it.
    fn resolve(&mut self, repository: &str, at: &str) -> Result<String> {
        let labelled = self.labels.iter().find(|(_, label)| label == at).map(|(id, _)| id.clone());
        let found = self.repository(repository)?;
        if let Some(id) = labelled.filter(|id| found.commits.contains_key(id)) {
            return Ok(id);
        }
        for folder in ["heads", "tags"] {
            if let Some(target) = found.refs.get(&format!("refs/{folder}/{at}")) {
                return Ok(target.peeled.clone().unwrap_or_else(|| target.id.clone()));
            }
        }
        bail!("there is no commit {at} in {repository}")
    }
}

impl Stores for Git {
    fn open(&self, location: Location) -> Result<Box<dyn Store>, StoreError> {
        match location.url.strip_prefix(HOST) {
            Some(name) if !name.is_empty() => {
                let repository = name.to_owned();
                Ok(Box::new(Opened { git: self.clone(), repository, location }))
            }
            _ => Err(StoreError::NotAllowed {
                url: location.url,
                reason: "the simulation has one host".to_owned(),
                hint: Some(format!("use {HOST}")),
            }),
        }
    }
}

struct Opened {
    git: Git,
    repository: String,
    location: Location,
}

impl Opened {
    /// Answers a question, unless the server lets us down.
    fn ask<T>(
        &self,
        answer: impl FnOnce(&Repository) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let url = || self.location.url.clone();
        let mut state = self.git.state();
        let Some(found) = state.repositories.get_mut(&self.repository) else {
            return Err(StoreError::NotFound { url: url() });
        };
        if found.faults.answered > 0 {
            found.faults.answered -= 1;
        } else if found.faults.outages > 0 {
            found.faults.outages -= 1;
            return Err(StoreError::Unreachable {
                url: url(),
                reason: "connection refused".to_owned(),
            });
        }
        if found.faults.slow > self.location.timeout {
            let seconds = self.location.timeout.as_secs();
            return Err(StoreError::Timeout { url: url(), seconds });
        }
        if found.faults.password.is_some() && found.faults.password != self.password() {
            return Err(StoreError::Unauthorised { url: url() });
        }
        if found.commits.is_empty() {
            return Err(StoreError::NotFound { url: url() });
        }
        answer(found)
    }

    fn password(&self) -> Option<String> {
        let expose = |secret: &Secret<String>| secret.expose("the server compares it").clone();
        match &self.location.credentials {
            Credentials::Anonymous => None,
            Credentials::Basic { password, .. } => Some(expose(password)),
            Credentials::Bearer(token) => Some(expose(token)),
            // The simulation has no ssh servers.
            Credentials::Ssh(_) => None,
        }
    }

    fn no_such_name(&self, wanted: String, repository: &Repository) -> StoreError {
        let known = repository.refs.keys().take(10).cloned().collect();
        StoreError::NoSuchName { wanted, url: self.location.url.clone(), known }
    }
}

impl Store for Opened {
    fn names(&self) -> Result<Vec<Name>, StoreError> {
        self.ask(|found| {
            let name = |(full, target): (&String, &Target)| Name {
                full: full.clone(),
                target: target.id.clone(),
                peeled: target.peeled.clone(),
            };
            Ok(found.refs.iter().map(name).collect())
        })
    }

    fn pointer(&self, reference: &Reference) -> Result<Pointer, StoreError> {
        self.ask(|found| match reference {
            Reference::Commit { id, branch } => {
                if !found.commits.contains_key(id) {
                    return Err(self.no_such_name(format!("commit {id}"), found));
                }
                let full = branch.as_ref().map(|branch| format!("refs/heads/{branch}"));
                Ok(Pointer {
                    name: branch.clone().unwrap_or_default(),
                    full: full.unwrap_or_default(),
                    class: NameClass::Commit,
                    commit: id.clone(),
                    tag_object: None,
                })
            }
            Reference::Name(full) => {
                let class = match full.starts_with("refs/tags/") {
                    true => NameClass::Tag,
                    false => NameClass::Branch,
                };
                found
                    .pointer(full, full, class)
                    .ok_or_else(|| self.no_such_name(full.clone(), found))
            }
            Reference::Branch(branch) => {
                let full = format!("refs/heads/{branch}");
                let pointer = found.pointer(&full, branch, NameClass::Branch);
                pointer.ok_or_else(|| self.no_such_name(format!("branch {branch}"), found))
            }
            Reference::Tag(tag) => {
                let full = format!("refs/tags/{tag}");
                let pointer = found.pointer(&full, tag, NameClass::Tag);
                pointer.ok_or_else(|| self.no_such_name(format!("tag {tag}"), found))
            }
            Reference::Semver(text) => {
                let range = Range::parse(text).map_err(|reason| StoreError::Reference {
                    what: format!("range {text:?}"),
                    reason,
                })?;
                let highest = found.highest(&range);
                highest.ok_or_else(|| self.no_such_name(format!("tag in range {text}"), found))
            }
        })
    }

    fn content(&self, pointer: &Pointer, selection: &Selection) -> Result<Content, StoreError> {
        self.ask(|found| {
            let commit = found
                .commits
                .get(&pointer.commit)
                .ok_or_else(|| self.no_such_name(format!("commit {}", pointer.commit), found))?;
            let limits = Limits::default();
            let sieve = selection.sieve(SieveBuilder::default())?;
            let mut tree = TreeBuilder::new(&limits);
            for (path, file) in &commit.files {
                if !selection.has(path)
                    || sieve.drops_file(path, &mut || Ok::<_, StoreError>(()))?
                {
                    continue;
                }
                match file {
                    File::Text(text) => tree.file(path, text.as_bytes(), false)?,
                    File::Link(target) => tree.link(path, target)?,
                }
            }
            Ok(Content {
                tree: tree.build()?,
                sieve,
                subject: commit.subject.clone(),
                author: "Ada <ada@git.example>".to_owned(),
                committed: 0,
                submodules: Vec::new(),
            })
        })
    }

    fn objects(&self, pointer: &Pointer) -> Result<Objects, StoreError> {
        // Commits of scripts have no bytes; nobody could have signed them.
        self.ask(|_| {
            let commit = format!("tree {}\n", pointer.commit).into_bytes();
            Ok(Objects { commit, tag: None })
        })
    }

    fn ancestry(&self, old: &str, new: &Pointer) -> Result<Ancestry, StoreError> {
        self.ask(|found| {
            if old == new.commit {
                return Ok(Ancestry::Same);
            }
            if found.faults.shallow {
                return Ok(Ancestry::Unknown);
            }
            Ok(if found.ancestors(&new.commit).contains(old) {
                Ancestry::Forward
            } else if found.ancestors(old).contains(&new.commit) {
                Ancestry::Backward
            } else {
                Ancestry::Diverged
            })
        })
    }
}

impl Repository {
    fn pointer(&self, full: &str, name: &str, class: NameClass) -> Option<Pointer> {
        let target = self.refs.get(full)?;
        Some(Pointer {
            name: name.to_owned(),
            full: full.to_owned(),
            class,
            commit: target.peeled.clone().unwrap_or_else(|| target.id.clone()),
            tag_object: target.peeled.as_ref().map(|_| target.id.clone()),
        })
    }

    fn highest(&self, range: &Range) -> Option<Pointer> {
        let within = self.refs.keys().filter_map(|full| {
            let tag = full.strip_prefix("refs/tags/")?;
            let version = tag_version(tag)?;
            range.holds(&version).then_some((version, tag, full))
        });
        let (_, tag, full) = within.max()?;
        self.pointer(full, tag, NameClass::Semver)
    }

    /// A commit and all that it descends from.
    fn ancestors(&self, from: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut next = Some(from.to_owned());
        while let Some(id) = next.take() {
            next = self.commits.get(&id).and_then(|commit| commit.parent.clone());
            seen.insert(id);
        }
        seen
    }
}

/// `A` to `Z`, then `AA` and so on.
fn letters(number: usize) -> String {
    let last = char::from(b'A' + (number % 26) as u8);
    match number / 26 {
        0 => last.to_string(),
        rest => format!("{}{last}", letters(rest - 1)),
    }
}

/// Forty hex digits, as Git has them.
fn id_of(parts: &[&str]) -> String {
    let digest = Digest::of_parts(parts.iter().map(|part| part.as_bytes()));
    hex(&digest.as_bytes()[..20])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(git: &Git) -> Box<dyn Store> {
        git.open(Location {
            url: format!("{HOST}shop"),
            timeout: Duration::from_secs(60),
            ..Location::default()
        })
        .unwrap()
    }

    fn commit(git: &Git, branch: &str) -> String {
        git.commit("shop", branch, Vec::new()).unwrap()
    }

    #[test]
    fn ancestry_follows_the_parents() {
        let git = Git::default();
        let branch = Reference::Branch("main".to_owned());
        commit(&git, "main");
        let a = open(&git).pointer(&branch).unwrap();
        commit(&git, "main");
        let b = open(&git).pointer(&branch).unwrap();
        git.set_branch("shop", "main", "A").unwrap();
        commit(&git, "main");
        let c = open(&git).pointer(&branch).unwrap();
        let ask = |old: &Pointer, new| open(&git).ancestry(&old.commit, new).unwrap();
        assert_eq!(ask(&a, &b), Ancestry::Forward);
        assert_eq!(ask(&b, &a), Ancestry::Backward);
        assert_eq!(ask(&b, &c), Ancestry::Diverged);
        assert_eq!(ask(&a, &a), Ancestry::Same);
        assert_eq!(git.plain(&c.revision()), "main@sha1:C");
    }

    #[test]
    fn a_range_takes_the_highest_tag() {
        let git = Git::default();
        commit(&git, "main");
        for tag in ["v1.2.0", "v1.10.0", "v2.0.0", "latest"] {
            git.set_tag("shop", tag, "main", false).unwrap();
        }
        let found = open(&git).pointer(&Reference::Semver("1.x".to_owned())).unwrap();
        assert_eq!(found.name, "v1.10.0");
    }

    #[test]
    fn an_outage_ends_after_as_many_questions() {
        let git = Git::default();
        commit(&git, "main");
        git.outages("shop", 2, 1);
        let answers: Vec<bool> = (0..4).map(|_| open(&git).names().is_ok()).collect();
        assert_eq!(answers, [true, false, false, true]);
    }

    #[test]
    fn labels_go_on_after_z() {
        assert_eq!([0, 25, 26, 27, 52].map(letters), ["A", "Z", "AA", "AB", "BA"]);
    }
}
