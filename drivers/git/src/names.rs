//! Chooses what a reference means among the names that a repository lists.
//!
//! In: a reference and names. Out: a pointer, or the names that come closest. Nothing here asks
//! anybody.

use fixpoint_source::{Name, NameClass, Pointer, Reference, StoreError};

use crate::range::{Range, tag_version};

/// Names that an error shows.
const SHOWN: usize = 10;

/// The start of every name that can answer to a reference; a server lists only these.
pub(crate) fn prefix(reference: &Reference) -> String {
    match reference {
        Reference::Name(full) => full.clone(),
        Reference::Semver(_) => "refs/tags/".to_owned(),
        Reference::Tag(tag) => format!("refs/tags/{tag}"),
        Reference::Branch(branch) => format!("refs/heads/{branch}"),
        Reference::Commit { branch, .. } => {
            format!("refs/heads/{}", branch.as_deref().unwrap_or(""))
        }
    }
}

/// The start of the names that an error lists when none answers.
pub(crate) fn neighbours(reference: &Reference) -> &'static str {
    match reference {
        Reference::Name(_) => "refs/",
        Reference::Semver(_) | Reference::Tag(_) => "refs/tags/",
        Reference::Branch(_) | Reference::Commit { .. } => "refs/heads/",
    }
}

/// Refuses references that no name can answer to, before anybody is asked.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn check(reference: &Reference) -> Result<(), StoreError> {
    let what = wanted(reference);
    let bad = |reason: String| StoreError::Reference { what: what.clone(), reason };
    match reference {
        Reference::Commit { id, branch } => {
            check_id(id).map_err(bad)?;
            branch.as_deref().map_or(Ok(()), |branch| check_name(branch).map_err(bad))
        }
        Reference::Name(full) if full != "HEAD" && !full.starts_with("refs/") => {
            Err(bad("a full name starts with refs/".to_owned()))
        }
        Reference::Name(name) | Reference::Tag(name) | Reference::Branch(name) => {
            check_name(name).map_err(bad)
        }
        Reference::Semver(range) => Range::parse(range).map(|_| ()).map_err(bad),
    }
}

/// Whether a text is a commit id.
pub(crate) fn check_id(id: &str) -> Result<(), String> {
    if id.len() == 40 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(())
    } else {
        Err("an id has 40 lower-case hex digits".to_owned())
    }
}

/// The rules of `git check-ref-format`, and no leading dash.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let part = |part: &str| {
        part.is_empty() || part.starts_with('.') || part.ends_with('.') || part.ends_with(".lock")
    };
    if name.is_empty() {
        Err("it is empty".to_owned())
    } else if name.len() > 1024 {
        Err("it is longer than 1024 bytes".to_owned())
    } else if name.starts_with('-') || name == "@" {
        Err("no name starts with a dash or is @".to_owned())
    } else if name.contains(odd) || name.contains("..") || name.contains("@{") {
        Err("it has characters that no name may have".to_owned())
    } else if name.split('/').any(part) {
        Err("a part of it is empty or starts or ends with a dot".to_owned())
    } else {
        Ok(())
    }
}

/// How messages call what a reference asks for.
pub(crate) fn wanted(reference: &Reference) -> String {
    let text = match reference {
        Reference::Commit { id, branch: None } => format!("commit {id}"),
        Reference::Commit { id, branch: Some(branch) } => format!("commit {id} on branch {branch}"),
        Reference::Name(full) => full.clone(),
        Reference::Semver(range) => format!("tag in range {range}"),
        Reference::Tag(tag) => format!("tag {tag}"),
        Reference::Branch(branch) => format!("branch {branch}"),
    };
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Finds what a reference points to; `None` when nothing answers to it.
pub(crate) fn choose(reference: &Reference, names: &[Name]) -> Option<Pointer> {
    match reference {
        Reference::Commit { id, branch } => Some(Pointer {
            name: branch.clone().unwrap_or_default(),
            full: branch.as_ref().map(|branch| format!("refs/heads/{branch}")).unwrap_or_default(),
            class: NameClass::Commit,
            commit: id.clone(),
            tag_object: None,
        }),
        Reference::Name(full) => {
            let class =
                if full.starts_with("refs/tags/") { NameClass::Tag } else { NameClass::Branch };
            Some(pointer(find(names, full)?, full, class))
        }
        Reference::Tag(tag) => {
            let name = find(names, &format!("refs/tags/{tag}"))?;
            Some(pointer(name, tag, NameClass::Tag))
        }
        Reference::Branch(branch) => {
            let name = find(names, &format!("refs/heads/{branch}"))?;
            Some(pointer(name, branch, NameClass::Branch))
        }
        Reference::Semver(range) => highest(&Range::parse(range).ok()?, names),
    }
}

/// The highest tag in range. Of tags that only build metadata tells apart, the one that sorts
/// last: Flux asks for the time of each commit, which would mean to fetch them all.
fn highest(range: &Range, names: &[Name]) -> Option<Pointer> {
    names
        .iter()
        .filter_map(|name| {
            let tag = name.full.strip_prefix("refs/tags/")?;
            let version = tag_version(tag)?;
            range.holds(&version).then_some((version, tag, name))
        })
        .max_by(|(a, a_tag, _), (b, b_tag, _)| a.cmp(b).then_with(|| a_tag.cmp(b_tag)))
        .map(|(_, tag, name)| pointer(name, tag, NameClass::Semver))
}

fn find<'a>(names: &'a [Name], full: &str) -> Option<&'a Name> {
    names.iter().find(|name| name.full == full)
}

fn pointer(found: &Name, name: &str, class: NameClass) -> Pointer {
    Pointer {
        name: name.to_owned(),
        full: found.full.clone(),
        class,
        commit: found.peeled.clone().unwrap_or_else(|| found.target.clone()),
        tag_object: found.peeled.as_ref().map(|_| found.target.clone()),
    }
}

/// Up to ten names that somebody who wrote the reference may have meant, closest first.
pub(crate) fn closest(reference: &Reference, names: &[Name]) -> Vec<String> {
    let start = neighbours(reference);
    let short = |name: &Name| name.full.strip_prefix(start).map(ToOwned::to_owned);
    let mut known: Vec<String> = match reference {
        Reference::Name(_) => names.iter().map(|name| name.full.clone()).collect(),
        _ => names.iter().filter_map(short).collect(),
    };
    known.retain(|name| !name.contains(char::is_control));
    match reference {
        // The highest versions say best why none is in range.
        Reference::Semver(_) => {
            known.sort_by_cached_key(|tag| std::cmp::Reverse((tag_version(tag), tag.clone())));
        }
        Reference::Name(wanted) | Reference::Tag(wanted) | Reference::Branch(wanted) => {
            known.sort_by_cached_key(|name| (distance(wanted, name), name.clone()));
        }
        Reference::Commit { branch, .. } => {
            let wanted = branch.clone().unwrap_or_default();
            known.sort_by_cached_key(|name| (distance(&wanted, name), name.clone()));
        }
    }
    known.truncate(SHOWN);
    known
}

/// Letters to change, add or drop to make one word of the other; words over 64 bytes are far.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names in text, `name target [peeled]`; out comes the revision or what is close.
    fn check_choice(names: &str, reference: &Reference, expected: &str) {
        let names: Vec<Name> = names
            .lines()
            .map(|line| {
                let mut words = line.split_whitespace();
                let mut next = || words.next().map(ToOwned::to_owned);
                Name { full: next().unwrap(), target: next().unwrap(), peeled: next() }
            })
            .collect();
        let text = match choose(reference, &names) {
            Some(pointer) => format!("{} {:?}", pointer.revision(), pointer.class),
            None => format!("none: {}", closest(reference, &names).join(" ")),
        };
        assert_eq!(text, expected);
    }

    const NAMES: &str = "HEAD a\nrefs/heads/main a\nrefs/heads/dev b\nrefs/heads/mainline c\n\
        refs/pull/7/head d\nrefs/tags/v1.0.0 e f\nrefs/tags/1.1.0 g\nrefs/tags/v2.0.0-rc.1 h\n\
        refs/tags/nightly i";

    #[test]
    fn references_choose() {
        let branch = |name: &str| Reference::Branch(name.to_owned());
        let semver = |range: &str| Reference::Semver(range.to_owned());
        check_choice(NAMES, &branch("main"), "main@sha1:a Branch");
        check_choice(NAMES, &branch("mian"), "none: main dev mainline");
        check_choice(NAMES, &Reference::Tag("v1.0.0".into()), "v1.0.0@sha1:f Tag");
        check_choice(NAMES, &semver(">=1.0.0"), "1.1.0@sha1:g Semver");
        check_choice(NAMES, &semver("1.0.x"), "v1.0.0@sha1:f Semver");
        check_choice(NAMES, &semver(">=2.0.0-0"), "v2.0.0-rc.1@sha1:h Semver");
        check_choice(NAMES, &semver("^3"), "none: v2.0.0-rc.1 1.1.0 v1.0.0 nightly");
        check_choice(
            NAMES,
            &Reference::Name("refs/pull/7/head".into()),
            "refs/pull/7/head@sha1:d Branch",
        );
        check_choice(NAMES, &Reference::Commit { id: "f".into(), branch: None }, "sha1:f Commit");
    }

    #[test]
    fn references_that_lie_are_refused() {
        for name in
            ["", "-x", "a..b", "a b", "a~1", "a^", "a:b", "a//b", ".a", "a.lock", "@", "a\n"]
        {
            assert!(check(&Reference::Branch(name.to_owned())).is_err(), "{name:?}");
        }
        for name in ["main", "release/1.0", "v1.0.0", "feat-x", "a@b"] {
            assert!(check(&Reference::Branch(name.to_owned())).is_ok(), "{name:?}");
        }
        assert!(check(&Reference::Name("main".into())).is_err());
        assert!(check(&Reference::Commit { id: "abc".into(), branch: None }).is_err());
    }
}
