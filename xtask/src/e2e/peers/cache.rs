//! The cache of peers: a folder that outlives a checkout.
//!
//! In: a module. Out: the folder with its programs. Two tasks never build the same module side by
//! side, and a build that was cut short is never taken for a finished one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::module::Module;
use crate::print;

/// Where the programs of a module are, or will be.
pub fn folder(module: &Module) -> Result<PathBuf> {
    Ok(root()?.join(format!("{}-{}", module.name, module.version)))
}

/// Builds a module unless that has been done; gives the folder of its programs.
pub fn build(module: &Module) -> Result<PathBuf> {
    build_in(&root()?, module)
}

fn root() -> Result<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => {
            let home =
                std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
            Path::new(&home).join(".cache")
        }
    };
    Ok(cache.join("fixpoint-peers"))
}

fn build_in(root: &Path, module: &Module) -> Result<PathBuf> {
    let name = format!("{}-{}", module.name, module.version);
    let (done, part) = (root.join(&name), root.join(format!("{name}.part")));
    if done.is_dir() {
        return Ok(done);
    }
    std::fs::create_dir_all(root).context("cannot make the cache of peers")?;
    let lock = File::create(root.join(format!("{name}.lock"))).context("cannot make a lock")?;
    lock.lock().context("cannot wait for another build")?;
    if done.is_dir() {
        return Ok(done);
    }
    print::note(&format!("building {} {}", module.name, module.version));
    let started = Instant::now();
    if part.exists() {
        std::fs::remove_dir_all(&part).context("cannot clear a build that was cut short")?;
    }
    let programs = part.join("bin");
    std::fs::create_dir_all(&programs).context("cannot make a folder for a peer")?;
    module.build(&part, &programs)?;
    // Named last, so that what is cut short before has another name.
    std::fs::rename(&programs, &done).context("cannot name the built peer")?;
    // Only the programs are of use.
    let _ = std::fs::remove_dir_all(&part);
    let took = started.elapsed().as_secs();
    print::note(&format!("built {} {} in {took} s", module.name, module.version));
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(steps: fn(&Path) -> Result<()>) -> Module {
        Module { name: "peer", version: "v1", written: steps, flags: String::new() }
    }

    #[test]
    fn a_build_that_fails_leaves_no_program() {
        let root = tempfile::tempdir().unwrap();
        let broken = module(|_| anyhow::bail!("no such version"));
        let err = build_in(root.path(), &broken).unwrap_err();
        assert_eq!(err.to_string(), "no such version");
        assert!(!root.path().join("peer-v1").exists());
    }

    #[test]
    fn what_is_built_is_not_built_again() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("peer-v1")).unwrap();
        let broken = module(|_| anyhow::bail!("built again"));
        assert_eq!(build_in(root.path(), &broken).unwrap(), root.path().join("peer-v1"));
    }
}
