//! Which files of a repository are never part of a source.
//!
//! In: a path. Out: whether it is left out. The list is the one that Flux applies when
//! `spec.ignore` is not set: people rely on pictures, archives and CI files not reaching their
//! artifacts. A pattern without a slash applies at every depth, as in `.gitignore`.

/// Files that belong to version control: left out whatever else is declared.
const VCS: [&str; 4] = [".git/", ".gitignore", ".gitmodules", ".gitattributes"];

/// Patterns by their last part. One with a slash at the end leaves out folders only.
const DEFAULT: [&str; 20] = [
    "*.jpg",
    "*.jpeg",
    "*.gif",
    "*.png",
    "*.wmv",
    "*.flv",
    "*.tar.gz",
    "*.zip",
    ".github/",
    ".circleci/",
    ".travis.yml",
    ".gitlab-ci.yml",
    "appveyor.yml",
    ".drone.yml",
    "cloudbuild.yaml",
    "codeship-services.yml",
    "codeship-steps.yml",
    "**/.goreleaser.yml",
    "**/.sops.yaml",
    "**/.flux.yaml",
];

/// Whether a file is left out.
pub fn is_excluded_file(path: &str) -> bool {
    let (folders, name) =
        path.rsplit_once('/').map_or(("", path), |(folders, name)| (folders, name));
    is_excluded_folder(folders) || excluded(name, false)
}

/// Whether everything below a folder is left out.
pub fn is_excluded_folder(path: &str) -> bool {
    path.split('/').any(|part| excluded(part, true))
}

fn excluded(name: &str, folder: bool) -> bool {
    VCS.iter().chain(&DEFAULT).any(|pattern| matches(pattern, name, folder))
}

fn matches(pattern: &str, name: &str, folder: bool) -> bool {
    let pattern = pattern.strip_prefix("**/").unwrap_or(pattern);
    let pattern = match pattern.strip_suffix('/') {
        Some(_) if !folder => return false,
        Some(pattern) => pattern,
        None => pattern,
    };
    match pattern.strip_prefix('*') {
        Some(suffix) => name.ends_with(suffix),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &str, out: bool) {
        for path in paths.split_whitespace() {
            assert_eq!(is_excluded_file(path), out, "{path}");
        }
    }

    #[test]
    fn what_is_left_out() {
        check(".gitignore a/.gitignore .gitmodules .gitattributes a/.git/config", true);
        check("logo.png a/b/c.tar.gz x.zip/inner a/x.jpg/y", true);
        check(".github/workflows/x.yml a/.circleci/config.yml .travis.yml a/.drone.yml", true);
        check(".sops.yaml a/.sops.yaml a/b/.goreleaser.yml .flux.yaml", true);
    }

    #[test]
    fn what_stays() {
        check("a.yaml .github a/.circleci x.png.yaml png a.tar a.gz kustomization.yaml", false);
        check("my.travis.yml appveyor.yaml .sourceignore a/.helmignore gitignore", false);
    }
}
