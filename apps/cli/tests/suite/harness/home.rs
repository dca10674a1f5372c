//! A home folder with an engine's state in it, and the commands that run there.
//!
//! Commands see no environment but what is said here: nothing of the person who runs the tests
//! reaches them. When a home goes, everything that was said in it is searched for the secrets that
//! were planted (I10).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fixpoint_fixture::{Canary, Produced};
use tempfile::TempDir;

use super::engine::Heard;
use super::{Engine, PATIENCE};

/// A folder that stands for a person's home.
pub struct Home {
    _temp: TempDir,
    root: PathBuf,
    allowed: Vec<PathBuf>,
    log: &'static str,
    produced: Arc<Produced>,
}

impl Home {
    /// Makes an empty home.
    pub fn new() -> Self {
        let temp = TempDir::with_prefix("fixpoint-home-").expect("temporary folder");
        // Links in the way would make allow-lists miss.
        let root = temp.path().canonicalize().expect("temporary folder");
        Self {
            _temp: temp,
            root,
            allowed: Vec::new(),
            log: "warn,fixpoint=debug",
            produced: Arc::default(),
        }
    }

    /// What was produced here, and the secrets that must not show in it.
    pub fn produced(&self) -> &Arc<Produced> {
        &self.produced
    }

    /// Lets repositories below a folder be sources.
    pub fn allow(mut self, dir: &Path) -> Self {
        self.allowed.push(dir.to_owned());
        self
    }

    /// Makes the engine log everything that it and its libraries can say.
    pub fn trace(mut self) -> Self {
        self.log = "trace";
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Where the engine keeps its state: the default below `$XDG_STATE_HOME`.
    pub fn data_dir(&self) -> PathBuf {
        self.root.join("fixpoint")
    }

    /// The binary, not yet run.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fixpoint"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.root)
            .env("XDG_STATE_HOME", &self.root)
            .env("FIXPOINT_LOG", self.log)
            .current_dir(&self.root)
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// `fixpoint up` on a free port, not yet run.
    pub fn up_command(&self, more: &[&str]) -> Command {
        let mut command = self.command(&["up", "--listen", "127.0.0.1:0"]);
        for folder in &self.allowed {
            command.arg("--allow-file-sources").arg(folder);
        }
        command.args(more);
        command
    }

    /// Starts the engine and waits until it is ready.
    #[track_caller]
    pub fn up(&self) -> Engine {
        self.up_with(&[])
    }

    /// As [`Home::up`], with more arguments.
    #[track_caller]
    pub fn up_with(&self, more: &[&str]) -> Engine {
        let mut engine = self.spawn(self.up_command(more));
        engine.wait_ready();
        self.watch_keys();
        engine
    }

    /// Starts an engine of this home by a command of its own; does not wait for anything.
    #[track_caller]
    pub fn spawn(&self, command: Command) -> Engine {
        Engine::spawn(command, &self.data_dir(), &self.produced)
    }

    /// The keys that the installation made for itself are secrets like any other.
    #[track_caller]
    fn watch_keys(&self) {
        for folder in ["pki", "keys"] {
            let entries = std::fs::read_dir(self.data_dir().join(folder)).expect("it was made");
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.extension().is_some_and(|end| end == "key") {
                    let key = std::fs::read_to_string(&path).expect("keys are text");
                    // The longest line of a PEM file is all key.
                    let line = key.lines().max_by_key(|line| line.len()).expect("it is not empty");
                    self.produced.watch(&path.display().to_string(), Canary::of(line));
                }
            }
        }
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Said {
        let said = Said::of(self.command(args));
        self.produced.record(&format!("fixpoint {}", args.join(" ")), format!("{said:?}"));
        said
    }

    /// Runs a command and expects an exit code.
    #[track_caller]
    pub fn run_for(&self, code: i32, args: &[&str]) -> Said {
        let said = self.run(args);
        assert_eq!(said.code, code, "fixpoint {}: {said:#?}", args.join(" "));
        said
    }

    /// Proves the ledger of a stopped engine.
    #[track_caller]
    pub fn verify_offline(&self) -> Said {
        let dir = self.data_dir();
        self.run(&["ledger", "verify", "--data-dir", dir.to_str().expect("paths are UTF-8")])
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let found = self.produced.findings(&self.data_dir()).join("\n");
            assert!(found.is_empty(), "secrets show where they should not:\n{found}");
        }
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Runs a command; one that does not end is killed, and fails the test.
    #[track_caller]
    pub fn of(mut command: Command) -> Self {
        let said = format!("{:?}", command.get_args().collect::<Vec<_>>());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary runs");
        let out = Heard::from(child.stdout.take().expect("it is piped"));
        let err = Heard::from(child.stderr.take().expect("it is piped"));
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("its own child") {
                break status;
            }
            if began.elapsed() > PATIENCE {
                child.kill().expect("its own child");
                child.wait().expect("its own child");
                panic!("fixpoint {said} did not end: {} {}", out.finished(), err.finished());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Self { code: status.code().unwrap_or(-1), out: out.finished(), err: err.finished() }
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|err| panic!("{err}: {self:#?}"))
    }
}
