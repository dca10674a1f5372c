//! A home folder with an engine's state in it, and the commands that run there.
//!
//! Commands see no environment but what is said here: nothing of the person who runs the tests
//! reaches them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::engine::Heard;
use super::{Engine, PATIENCE};

/// A folder that stands for a person's home.
pub struct Home {
    _temp: TempDir,
    root: PathBuf,
    allowed: Vec<PathBuf>,
    log: &'static str,
}

impl Home {
    /// Makes an empty home.
    pub fn new() -> Self {
        let temp = TempDir::with_prefix("fixpoint-home-").expect("temporary folder");
        // Links in the way would make allow-lists miss.
        let root = temp.path().canonicalize().expect("temporary folder");
        Self { _temp: temp, root, allowed: Vec::new(), log: "warn,fixpoint=debug" }
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
        let mut engine = Engine::spawn(self.up_command(more), &self.data_dir());
        engine.wait_ready();
        engine
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Said {
        Said::of(self.command(args))
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
