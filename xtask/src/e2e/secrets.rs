//! The search for planted secrets in all that a suite produced.
//!
//! In: a suite's folder, with the logs, outputs, ledgers and audit logs in it, and the secrets that
//! were planted. Out: each file that shows one and is not there to hold it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use fixpoint_fixture::Canary;
use fixpoint_fixture::scan::SINKS;

/// What else holds secrets by design, and why.
const OTHERS: [(&str, &str); 3] = [
    ("repositories", "where people put what is delivered"),
    ("etcd", "the store of a cluster: it holds the Secret objects themselves"),
    ("engine.kubeconfig", "the key of the engine in a cluster"),
];

/// Fails where a secret shows.
pub fn show_nowhere(folder: &Path, planted: &[(&str, &Canary)]) -> Result<()> {
    let mut files = vec![];
    collect(folder, &mut files)?;
    if !files.iter().any(|file| file.ends_with("engine.log")) {
        bail!("there is no log to search");
    }
    let mut found = vec![];
    for file in &files {
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        for (place, canary) in planted {
            let forms = canary.scan_bytes(&bytes);
            if !forms.is_empty() {
                let file = file.strip_prefix(folder).unwrap_or(file);
                found.push(format!("{place} shows in {} as {forms:?}", file.display()));
            }
        }
    }
    if !found.is_empty() {
        bail!("{}", found.join("\n"));
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if SINKS.iter().chain(&OTHERS).any(|(sink, _why)| name == *sink) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_with_a_secret_is_found_and_a_store_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let canary = Canary::new();
        let planted = [("a password", &canary)];
        assert!(show_nowhere(dir.path(), &planted).is_err(), "nothing to search is no success");
        write("bed/engine.log", "ready");
        write("bed/data/apiserver/log", canary.secret());
        write("cluster-1/etcd/db", canary.secret());
        show_nowhere(dir.path(), &planted).unwrap();
        write("bed/data/ledger/tail", canary.secret());
        let said = show_nowhere(dir.path(), &planted).unwrap_err().to_string();
        assert_eq!(said, "a password shows in bed/data/ledger/tail as [\"raw\"]");
    }
}
