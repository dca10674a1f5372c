//! One line of an ignore file.
//!
//! In: the line and the folder it speaks for. Out: whether it has something to say about a path.
//! A pattern speaks of what it matches and of everything below.

use super::glob::Glob;

/// Longest line: a path has at most 1,024 bytes, and quoting may double a few of them.
pub(super) const LINE_BYTES: usize = 2048;

/// A pattern that was read from a line.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// The folder it speaks for; empty for the root.
    domain: String,
    /// Whether it keeps what it matches (`!`) instead of leaving it out.
    pub(super) keeps: bool,
    /// Whether it matches folders only.
    folders: bool,
    /// Whether it is matched from its folder on, and not at every depth.
    anchored: bool,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    /// `**`: any number of folders, none too.
    Folders,
    /// One name.
    Name(Glob),
}

impl Pattern {
    /// Reads a line; `None` for a comment, an empty line, and what can match nothing.
    pub(super) fn parse(line: &str, domain: &str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let (keeps, line) = match line.strip_prefix('!') {
            Some(line) => (true, line),
            None => (false, line),
        };
        let line = trimmed(line);
        let (folders, line) = match line.strip_suffix('/') {
            Some(line) => (true, line),
            None => (false, line),
        };
        if line.trim().is_empty() {
            return None;
        }
        let anchored = line.contains('/');
        let names: Vec<&str> = line.strip_prefix('/').unwrap_or(line).split('/').collect();
        let last = names.len() - 1;
        let mut parts = Vec::with_capacity(names.len());
        for (index, name) in names.into_iter().enumerate() {
            // To Git, more stars are no more than two.
            let any_depth = name.len() > 1 && name.bytes().all(|byte| byte == b'*');
            let part = match any_depth {
                true if index < last => Part::Folders,
                // Everything within: at least one name more.
                true => Part::Name(Glob::any()),
                false => Part::Name(Glob::parse(name)?),
            };
            let doubled = matches!((&part, parts.last()), (Part::Folders, Some(Part::Folders)));
            if !doubled {
                parts.push(part);
            }
        }
        Some(Self { domain: domain.to_owned(), keeps, folders, anchored, parts })
    }

    /// Whether it matches a path or one of the folders that the path is in.
    pub(super) fn matches(&self, path: &str, folder: bool) -> bool {
        let Some(path) = self.within(path) else { return false };
        let mut names = path.split('/').peekable();
        if !self.anchored {
            let Some(Part::Name(glob)) = self.parts.first() else { return false };
            while let Some(name) = names.next() {
                let is_folder = folder || names.peek().is_some();
                if (is_folder || !self.folders) && glob.matches(name) {
                    return true;
                }
            }
            return false;
        }
        let names: Vec<&str> = names.collect();
        match self.taken(&names) {
            Some(taken) => taken < names.len() || folder || !self.folders,
            None => false,
        }
    }

    /// How many names the pattern takes at the least; `None` where it does not match.
    fn taken(&self, names: &[&str]) -> Option<usize> {
        let (mut at, mut part) = (0, 0);
        let mut back: Option<(usize, usize)> = None;
        while let Some(wanted) = self.parts.get(part) {
            match wanted {
                Part::Folders => {
                    part += 1;
                    back = Some((part, at));
                }
                Part::Name(glob) if names.get(at).is_some_and(|name| glob.matches(name)) => {
                    at += 1;
                    part += 1;
                }
                Part::Name(_) => {
                    let (after, from) = back?;
                    if from >= names.len() {
                        return None;
                    }
                    at = from + 1;
                    part = after;
                    back = Some((after, at));
                }
            }
        }
        Some(at)
    }

    /// Whether it may match something below a folder.
    pub(super) fn reaches_into(&self, folder: &str) -> bool {
        let Some(folder) = self.within(folder) else {
            return is_within(&self.domain, folder);
        };
        if !self.anchored {
            return true;
        }
        for (name, part) in folder.split('/').zip(&self.parts) {
            match part {
                Part::Folders => return true,
                Part::Name(glob) if !glob.matches(name) => return false,
                Part::Name(_) => {}
            }
        }
        true
    }

    /// The path as the pattern's folder sees it; `None` where it is not within.
    fn within<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.domain.is_empty() {
            return Some(path);
        }
        path.strip_prefix(self.domain.as_str())?.strip_prefix('/')
    }
}

/// Whether a path is a folder or lies below it.
fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Without the spaces at the end, unless they are quoted.
fn trimmed(line: &str) -> &str {
    let bare = line.trim_end_matches(' ');
    let quotes = bare.len() - bare.trim_end_matches('\\').len();
    if quotes % 2 == 1 && bare.len() < line.len() { &line[..bare.len() + 1] } else { bare }
}
