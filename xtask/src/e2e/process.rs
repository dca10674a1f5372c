//! Programs that run beside the task, and folders that it works in.
//!
//! In: a command. Out: a running program whose output can be read. It ends with its owner: no
//! process and no folder outlives a task, also where that fails, panics, or is told to stop.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// How long anything may take here; only a defect takes longer.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How often to look again.
const GLANCE: Duration = Duration::from_millis(20);

/// What has to go when the task is told to stop and nothing is dropped.
static LEFT: Mutex<Left> = Mutex::new(Left { groups: BTreeSet::new(), folders: BTreeSet::new() });

struct Left {
    groups: BTreeSet<i32>,
    folders: BTreeSet<PathBuf>,
}

/// From now on a task that is told to stop takes its programs and folders with it.
///
/// The programs have process groups of their own, so that Ctrl-C reaches the task alone and they
/// end in one order, and in one place.
pub fn clean_up_when_stopped() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot listen for signals")?;
    thread::spawn(move || {
        runtime.block_on(stopped());
        clean_up();
        std::process::exit(130);
    });
    Ok(())
}

/// Waits until the task is told to stop.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    // Where there are no signals to be had, it is never told.
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

fn clean_up() {
    let Ok(left) = LEFT.lock() else { return };
    for group in &left.groups {
        end(*group);
    }
    for folder in &left.folders {
        // What is left lies in the build's folder.
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// Ends a process group, which may have ended by itself.
fn end(group: i32) {
    if let Some(group) = Pid::from_raw(group) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Changes what is left; whether it was so before makes no difference.
fn remember(change: impl FnOnce(&mut Left) -> bool) {
    if let Ok(mut left) = LEFT.lock() {
        change(&mut left);
    }
}

/// A process that writes what it prints to a file, and is stopped when it is dropped.
pub struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts a program with its output in a file and `input` to read.
    pub fn start(command: &mut Command, input: &str, output: PathBuf) -> Result<Self> {
        let file = File::create(&output).context("cannot make a file for output")?;
        let errors = file.try_clone().context("cannot share a file for output")?;
        let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
        let mut child =
            command
                .process_group(0)
                .stdin(stdin)
                .stdout(file)
                .stderr(errors)
                .spawn()
                .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let group = child.id().cast_signed();
        remember(|left| left.groups.insert(group));
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not want its input says so by how it ends.
            let _ = stdin.write_all(input.as_bytes());
        }
        Ok(Self { child, output })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        let mut bytes = vec![];
        let read = File::open(&self.output).and_then(|mut file| file.read_to_end(&mut bytes));
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(err) => format!("(the output cannot be read: {err})"),
        }
    }

    /// Waits for it to end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            thread::sleep(GLANCE);
        }
        bail!("still runs after {} s:\n{}", PATIENCE.as_secs(), self.printed())
    }

    /// Waits until what it has printed satisfies `enough`, and gives it; the last it has printed
    /// where that never comes.
    pub fn wait_for(&mut self, enough: impl Fn(&str) -> bool) -> Result<String> {
        let started = Instant::now();
        loop {
            let ended = self.ended()?.is_some();
            let printed = self.printed();
            if enough(&printed) || ended || started.elapsed() >= PATIENCE {
                return Ok(printed);
            }
            thread::sleep(GLANCE);
        }
    }

    /// Tells it to stop, as a service manager would.
    pub fn terminate(&self) -> Result<()> {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM)
            .context("cannot tell a program to stop")
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot ask whether a program has ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = self.child.id().cast_signed();
        end(group);
        // It may have been waited for.
        let _ = self.child.wait();
        remember(|left| left.groups.remove(&group));
    }
}

/// Waits until something is so.
pub fn wait(mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if is_so()? {
            return Ok(());
        }
        thread::sleep(GLANCE);
    }
    bail!("it is not so after {} s", PATIENCE.as_secs())
}

/// A folder of our own that goes when it is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty folder under the build's.
    pub fn new(target: &Path, name: &str) -> Result<Self> {
        let folder = target.join("e2e").join(format!("{name}-{}", std::process::id()));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).context("cannot clear an old folder")?;
        }
        std::fs::create_dir_all(&folder).context("cannot make a folder")?;
        let folder = folder.canonicalize().context("cannot find the folder")?;
        remember(|left| left.folders.insert(folder.clone()));
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left lies in the build's folder.
        let _ = std::fs::remove_dir_all(&self.0);
        remember(|left| left.folders.remove(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program started ends with it, too.
    #[test]
    fn nothing_outlives_its_owner() {
        let scratch = Scratch::new(&std::env::temp_dir(), "process").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let mut process = Process::start(&mut command, "", scratch.path().join("output")).unwrap();
        let printed = process.wait_for(|printed| printed.ends_with('\n')).unwrap();
        let grandchild = Pid::from_raw(printed.trim().parse().unwrap()).unwrap();
        assert!(rustix::process::test_kill_process(grandchild).is_ok());
        drop(process);
        let started = Instant::now();
        // Whoever adopted it has to notice; until then it is there and dead.
        while started.elapsed() < PATIENCE && runs(grandchild) {
            thread::sleep(GLANCE);
        }
        assert!(!runs(grandchild), "{grandchild:?} still runs");
        let folder = scratch.path().to_owned();
        drop(scratch);
        assert!(!folder.exists());
    }

    fn runs(pid: Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }
}
