//! A data directory that an engine takes up again: what was delivered before must be in its ledger.
//!
//! In: the directory, and the state in the API server. Out: the ledger, or why the engine does not
//! go on from there by itself.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use fixpoint_driver_store::Ledger;

use crate::report::advice;

/// The sources that were delivered, each with its commit, as the stored state has them.
///
/// Asked for are those whose artifact lies at a URL that is `ours`: others were delivered by somebody
/// else, whose history is not in our ledger.
pub async fn delivered(
    client: &kube::Client,
    ours: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String)>> {
    // Untyped: one source that cannot be read must not keep the engine from starting.
    let resource = crate::commands::kind::Kind::GitRepository.resource();
    let sources: kube::Api<kube::api::DynamicObject> =
        kube::Api::all_with(client.clone(), &resource);
    let found = sources.list(&Default::default()).await.map_err(crate::client::plain)?;
    let mut delivered = Vec::new();
    for source in found.items {
        let artifact = &source.data["status"]["artifact"];
        if !ours(artifact["url"].as_str().unwrap_or_default()) {
            continue;
        }
        let revision = artifact["revision"].as_str().unwrap_or_default();
        if let (Some((_, commit)), Some(namespace), Some(name)) =
            (revision.rsplit_once("sha1:"), source.metadata.namespace, source.metadata.name)
        {
            delivered.push((format!("GitRepository/{namespace}/{name}"), commit.to_owned()));
        }
    }
    Ok(delivered)
}

/// A directory whose ledger is about a cluster is not for an engine of its own.
///
/// # Errors
/// When it is such a one.
pub fn must_be_standalone(dir: &Path) -> Result<()> {
    if fixpoint_cluster::pin::is_pinned(dir) {
        return Err(advice(
            format!("the data directory {} belongs to a cluster", dir.display()),
            "choose another directory with --data-dir",
        ));
    }
    Ok(())
}

/// Opens the ledger of a data directory, which must know what was delivered.
///
/// # Errors
/// When it is gone, older than what was delivered, damaged, or in use.
pub async fn open_ledger(dir: &Path, delivered: &[(String, String)]) -> Result<Ledger> {
    if !delivered.is_empty() && !dir.join("ledger").is_dir() {
        return Err(lost(dir, "is gone"));
    }
    warn_of_changes(dir).await;
    let ledger = Ledger::open(dir)
        .await
        .with_context(|| format!("could not open the ledger in {}", dir.display()))?;
    must_know(&ledger, delivered, dir)?;
    Ok(ledger)
}

/// Sources that were delivered have their history in the ledger, written before their status was.
/// A ledger that does not know them is gone, or an older copy: on it a rewritten branch would be
/// taken for an honest one, so the engine does not go on from there by itself.
fn must_know(ledger: &Ledger, delivered: &[(String, String)], dir: &Path) -> Result<()> {
    if delivered.is_empty() {
        return Ok(());
    }
    if ledger.size() == 0 {
        return Err(lost(dir, "is empty"));
    }
    let replay = ledger.replay().context("could not read the ledger")?;
    for (subject, commit) in delivered {
        let known = replay.sources.get(subject).is_some_and(|source| {
            source.admitted.keys().any(|(_, _, admitted)| admitted == commit)
        });
        if !known {
            let short: String = commit.chars().take(8).collect();
            let what = format!("is older than the state: it does not know {short} of {subject}");
            return Err(lost(dir, &what));
        }
    }
    Ok(())
}

fn lost(dir: &Path, what: &str) -> anyhow::Error {
    advice(
        format!("the ledger in {} {what}", dir.display()),
        "put the newest ledger, blobs and keys folders back in place; to begin anew and trust \
         every source as it is now, start with another data directory",
    )
}

/// Bytes of a ledger that is verified whole at each start; a longer one takes longer than a start
/// should, and is verified by `fixpoint ledger verify`.
const VERIFIED_AT_START: u64 = 8 * 1024 * 1024;

/// Verifies the ledger as it lies there, before anything is written to it: what is opened next
/// mends files from the tail, and a change that it mends must not go unsaid.
async fn warn_of_changes(dir: &Path) {
    let dir = dir.to_owned();
    let verified = tokio::task::spawn_blocking(move || {
        let small = dir.join("ledger").is_dir() && size_of(&dir.join("ledger")) < VERIFIED_AT_START;
        small.then(|| fixpoint_driver_store::ledger::verify(&dir, None))
    });
    // A ledger that cannot be read at all is an error of the opening that follows.
    if let Ok(Some(Ok(report))) = verified.await
        && let Some(problem) = report.problems.first()
    {
        tracing::error!(
            problem,
            more = report.problems.len() - 1,
            "the ledger was changed from outside while the engine was down"
        );
    }
}

fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size_of(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The folders of `--allow-file-sources` without links.
pub fn canonical(folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    folders
        .iter()
        .map(|folder| {
            folder.canonicalize().with_context(|| {
                format!("could not open the folder {} of --allow-file-sources", folder.display())
            })
        })
        .collect()
}

/// Makes a folder that only its owner may read.
pub fn make_private(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("could not make the data directory {}", dir.display()))
}
