//! A running `fixpoint up`, and how programs are run at all.
//!
//! In: the program and a folder. Out: a server that is ready. It ends with its owner: no process
//! outlives a suite.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long anything may take here; only a defect takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look again.
const GLANCE: Duration = Duration::from_millis(20);

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
        let mut child = command
            .stdin(stdin)
            .stdout(file)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not want its input says so by how it ends.
            let _ = stdin.write_all(input.as_bytes());
        }
        Ok(Self { child, output })
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

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot ask whether a program has ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A standalone engine that serves.
pub struct Server {
    /// How to reach it.
    pub kubeconfig: PathBuf,
    process: Process,
}

impl Server {
    /// Starts an engine on a free port with its state under `folder`, and further options.
    pub fn start(fixpoint: &Path, folder: &Path, options: &[&OsStr]) -> Result<Self> {
        let data = folder.join("data");
        let mut command = Command::new(fixpoint);
        command.arg("up").arg("--data-dir").arg(&data).args(["--listen", "127.0.0.1:0"]);
        command.args(options);
        let mut process = Process::start(&mut command, "", folder.join("up.log"))?;
        let printed = process.wait_for(|printed| printed.contains("ready"))?;
        let kubeconfig = data.join("kubeconfig");
        if !printed.contains("ready") {
            bail!("fixpoint up did not become ready:\n{printed}");
        }
        if !kubeconfig.is_file() {
            bail!("fixpoint up wrote no kubeconfig:\n{printed}");
        }
        Ok(Self { kubeconfig, process })
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.process.printed()
    }
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
    }
}
