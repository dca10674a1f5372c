//! Paths within a tree: joined, cleaned, and never out of it.

/// Joins a relative path to a folder; `None` where it would leave the tree.
pub(crate) fn join(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The last part of a path.
pub(crate) fn base(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// A file in a folder; the root folder is empty.
pub(crate) fn within(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

/// Whether `inner` is `outer` or lies below it.
pub(crate) fn holds(outer: &str, inner: &str) -> bool {
    outer.is_empty()
        || inner == outer
        || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a path names something outside of every tree: a URL or a Git host.
pub(crate) fn is_remote(path: &str) -> bool {
    let scp = path.split_once(':').is_some_and(|(host, _)| host.contains('@'));
    path.contains("://")
        || path.contains("?ref=")
        || path.contains("//")
        || path.contains(".git/")
        || path.ends_with(".git")
        || scp
        || ["github.com", "gitlab.com", "bitbucket.org", "gh:"]
            .iter()
            .any(|host| path.starts_with(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(join("a/b", "../c").as_deref(), Some("a/c"));
        assert_eq!(join("", "./a//b/.").as_deref(), Some("a/b"));
        assert_eq!(join("a", "../..").as_deref(), None);
        assert_eq!(join("a", "/etc").as_deref(), None);
        assert!(holds("a", "a/b") && holds("", "x") && !holds("a", "ab"));
    }

    #[test]
    fn what_is_remote() {
        for path in ["https://x/y", "github.com/o/r", "git@host:o/r", "host/o/r?ref=v1", "a//b"] {
            assert!(is_remote(path), "{path}");
        }
        for path in ["../base", "a/b.yaml", "x.github.com-notes"] {
            assert!(!is_remote(path), "{path}");
        }
    }
}
