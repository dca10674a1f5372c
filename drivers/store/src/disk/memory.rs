//! A folder in memory that forgets what was not synced, and fails when told to.
//!
//! For the simulation and for fault sweeps: the operation that a fault hits is named by its
//! number, so a test can try them all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Disk;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Puts bytes into a file.
    Write,
    /// Cuts a file.
    Truncate,
    /// Makes content or names durable.
    Sync,
    /// Renames or removes a file.
    Name,
}

/// What goes wrong with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full.
    NoSpace,
    /// The file may not grow further.
    TooBig,
    /// A write stops half-way and the next one finds no space.
    Short,
    /// The device fails.
    Io,
    /// The machine stops: this and every later operation fails.
    Crash,
}

type Decide = dyn Fn(u64, Op) -> Option<Fault> + Send + Sync;

#[derive(Clone, Default)]
struct Node {
    /// What a reader sees.
    now: Vec<u8>,
    /// What would be there after a crash.
    safe: Vec<u8>,
}

#[derive(Default)]
struct State {
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    safe_names: BTreeMap<String, usize>,
    ops: u64,
    short: bool,
    crashed: bool,
    locked: BTreeSet<String>,
}

/// A folder in memory; clones are the same folder.
#[derive(Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    decide: Arc<Decide>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Memory({} files)", self.state().names.len())
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::faulty(|_, _| None)
    }
}

impl Memory {
    /// An empty folder whose operations, counted from 0, fail as `decide` says.
    pub fn faulty(decide: impl Fn(u64, Op) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self { state: Arc::default(), decide: Arc::new(decide) }
    }

    /// How many changing operations there were.
    pub fn ops(&self) -> u64 {
        self.state().ops
    }

    /// The folder as another process finds it now, without faults.
    pub fn reopened(&self) -> Self {
        let state = self.state();
        let names = state.names.clone();
        let nodes = state.nodes.iter().map(|node| settled(node.now.clone())).collect();
        Self::with(nodes, names)
    }

    /// The folder as it is after a power cut: what was not synced is gone, except for `torn`
    /// bytes of what was appended to each file since.
    pub fn after_power_cut(&self, torn: usize) -> Self {
        let state = self.state();
        let nodes = state
            .nodes
            .iter()
            .map(|Node { now, safe }| {
                let mut bytes = safe.clone();
                if now.len() > safe.len() && now.starts_with(safe) {
                    let end = now.len().min(safe.len() + torn);
                    bytes.extend_from_slice(&now[safe.len()..end]);
                }
                settled(bytes)
            })
            .collect();
        Self::with(nodes, state.safe_names.clone())
    }

    /// All files with their content.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        state.names.iter().map(|(name, at)| (name.clone(), state.nodes[*at].now.clone())).collect()
    }

    /// Puts a file in place, as an intruder or a failing disk would.
    pub fn overwrite(&self, path: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let at = node(&mut state, path);
        state.nodes[at] = settled(bytes);
        state.safe_names.insert(path.to_owned(), at);
    }

    fn with(nodes: Vec<Node>, names: BTreeMap<String, usize>) -> Self {
        let memory = Self::default();
        {
            let mut state = memory.state();
            state.nodes = nodes;
            state.safe_names = names.clone();
            state.names = names;
        }
        memory
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation and lets it fail if that is its fate.
    fn begin(&self, op: Op) -> io::Result<(MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = self.state();
        if state.crashed {
            return Err(io::Error::other("the machine stopped"));
        }
        if op == Op::Write && std::mem::take(&mut state.short) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let number = state.ops;
        state.ops += 1;
        // Without the lock: a test may hold one operation back and let others through.
        drop(state);
        let fate = (self.decide)(number, op);
        let mut state = self.state();
        match fate {
            None => Ok((state, None)),
            Some(Fault::NoSpace) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::TooBig) => Err(io::ErrorKind::FileTooLarge.into()),
            Some(Fault::Io) => Err(io::Error::other("input/output error")),
            Some(Fault::Short) => Ok((state, Some(Fault::Short))),
            Some(Fault::Crash) => {
                state.crashed = true;
                Err(io::Error::other("the machine stopped"))
            }
        }
    }
}

fn settled(bytes: Vec<u8>) -> Node {
    Node { now: bytes.clone(), safe: bytes }
}

fn node(state: &mut State, path: &str) -> usize {
    if let Some(at) = state.names.get(path) {
        return *at;
    }
    state.nodes.push(Node::default());
    let at = state.nodes.len() - 1;
    state.names.insert(path.to_owned(), at);
    at
}

fn find(state: &State, path: &str) -> io::Result<usize> {
    state.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl Disk for Memory {
    fn lock(&self, dir: &str) -> io::Result<bool> {
        Ok(self.state().locked.insert(dir.to_owned()))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let state = self.state();
        Ok(state
            .names
            .iter()
            .filter_map(|(name, at)| Some((name.strip_prefix(&prefix)?, *at)))
            .filter(|(name, _)| !name.contains('/'))
            .map(|(name, at)| (name.to_owned(), state.nodes[at].now.len() as u64))
            .collect())
    }

    fn reader(&self, path: &str) -> io::Result<Box<dyn Read + Send>> {
        let state = self.state();
        let at = find(&state, path)?;
        Ok(Box::new(Cursor::new(state.nodes[at].now.clone())))
    }

    fn write_at(&self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let (mut state, fault) = self.begin(Op::Write)?;
        let written = if fault == Some(Fault::Short) {
            state.short = true;
            bytes.len() / 2
        } else {
            bytes.len()
        };
        let at = node(&mut state, path);
        let file = &mut state.nodes[at].now;
        let offset = offset as usize;
        if file.len() < offset + written {
            file.resize(offset + written, 0);
        }
        file[offset..offset + written].copy_from_slice(&bytes[..written]);
        Ok(written)
    }

    fn truncate(&self, path: &str, len: u64) -> io::Result<()> {
        let (mut state, _) = self.begin(Op::Truncate)?;
        let at = find(&state, path)?;
        state.nodes[at].now.resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self, path: &str) -> io::Result<()> {
        let (mut state, _) = self.begin(Op::Sync)?;
        let at = find(&state, path)?;
        let node = &mut state.nodes[at];
        node.safe = node.now.clone();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (mut state, _) = self.begin(Op::Name)?;
        let at = find(&state, from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), at);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let (mut state, _) = self.begin(Op::Name)?;
        state.names.remove(path);
        Ok(())
    }

    fn remove_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn make_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let (mut state, _) = self.begin(Op::Sync)?;
        let here = |name: &str| super::parent(name) == dir;
        let names: Vec<(String, usize)> = state
            .names
            .iter()
            .filter(|(name, _)| here(name))
            .map(|(name, at)| (name.clone(), *at))
            .collect();
        state.safe_names.retain(|name, _| !here(name));
        state.safe_names.extend(names);
        Ok(())
    }
}
