//! Notices commits in allowed local repositories by watching their references.
//!
//! In: the folders that `--allow-file-sources` names, the `file://` sources. Out: wake-ups of the
//! sources whose repository changed. A watch that cannot be kept costs time, not truth: the
//! interval still looks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::looper::{Named, Waker};
use crate::world::{Kind, World};

/// How often a repository that was not there when its source was declared is looked for.
const REFRESH: Duration = Duration::from_secs(30);

/// Git moves a reference in several steps; one look after them is enough.
const QUIET: Duration = Duration::from_millis(5);

/// Watches until it is dropped.
pub async fn run(world: Arc<World>, folders: Vec<PathBuf>, waker: Waker) {
    if folders.is_empty() {
        return;
    }
    let (tell, mut told) = mpsc::unbounded_channel();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event
            && !event.kind.is_access()
        {
            for path in event.paths {
                // The receiver lives as long as the watcher.
                let _gone = tell.send(path);
            }
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(err) => {
            tracing::warn!(error = %err, "local repositories are looked at by interval only");
            return;
        }
    };
    let mut watched: BTreeMap<PathBuf, Vec<Named>> = BTreeMap::new();
    let mut refresh = tokio::time::interval(REFRESH);
    loop {
        // All arms are cancel-safe: a note, a tick or a message not taken stays.
        tokio::select! {
            () = world.sources_changed() => {
                update(&mut watcher, &mut watched, &world, &folders, &waker);
            }
            _ = refresh.tick() => update(&mut watcher, &mut watched, &world, &folders, &waker),
            Some(path) = told.recv() => {
                tokio::time::sleep(QUIET).await;
                let mut paths = vec![path];
                while let Ok(path) = told.try_recv() {
                    paths.push(path);
                }
                for (folder, sources) in &watched {
                    if paths.iter().any(|path| path.starts_with(folder) && !is_lock(path)) {
                        sources.iter().for_each(|source| waker.wake(source.clone()));
                    }
                }
            }
        }
    }
}

/// A lock says that something will change; its release says that it has.
fn is_lock(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "lock")
}

fn update(
    watcher: &mut notify::RecommendedWatcher,
    watched: &mut BTreeMap<PathBuf, Vec<Named>>,
    world: &World,
    folders: &[PathBuf],
    waker: &Waker,
) {
    let mut wanted: BTreeMap<PathBuf, Vec<Named>> = BTreeMap::new();
    for (name, object) in world.all(Kind::Source) {
        let url = object["spec"]["url"].as_str().unwrap_or_default();
        if let Some(folder) = git_folder(url, folders) {
            wanted.entry(folder).or_default().push(name);
        }
    }
    for gone in watched.keys().filter(|folder| !wanted.contains_key(*folder)) {
        for (path, _) in places(gone) {
            // A folder that is gone has lost its watch already.
            let _unwatched = watcher.unwatch(&path);
        }
    }
    for (folder, sources) in &wanted {
        if watched.contains_key(folder) {
            continue;
        }
        for (path, mode) in places(folder) {
            if let Err(err) = watcher.watch(&path, mode) {
                tracing::warn!(error = %err, "a local repository is looked at by interval only");
            }
        }
        // What changed before the watch was there is looked at now.
        sources.iter().for_each(|source| waker.wake(source.clone()));
    }
    *watched = wanted;
}

/// Where Git keeps references: `HEAD` and `packed-refs` beside the tree of loose ones.
fn places(folder: &Path) -> [(PathBuf, RecursiveMode); 2] {
    [
        (folder.to_owned(), RecursiveMode::NonRecursive),
        (folder.join("refs"), RecursiveMode::Recursive),
    ]
}

/// The Git folder of an allowed `file://` URL.
fn git_folder(url: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = Path::new(url.strip_prefix("file://")?).canonicalize().ok()?;
    if !folders.iter().any(|folder| path.starts_with(folder)) {
        return None;
    }
    let inner = path.join(".git");
    Some(if inner.is_dir() { inner } else { path })
}
