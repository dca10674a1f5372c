//! One running engine.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use fixpoint_fixture::Produced;
use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::{Api, wait};

/// A process that runs `fixpoint up`; killed when it is dropped.
pub struct Engine {
    child: Child,
    data_dir: PathBuf,
    out: Heard,
    err: Heard,
    api: Option<Api>,
    produced: Arc<Produced>,
}

impl Engine {
    /// Starts the process; does not wait for anything.
    #[track_caller]
    pub fn spawn(mut command: Command, data_dir: &Path, produced: &Arc<Produced>) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let out = Heard::from(child.stdout.take().expect("it is piped"));
        let err = Heard::from(child.stderr.take().expect("it is piped"));
        let produced = Arc::clone(produced);
        Self { child, data_dir: data_dir.to_owned(), out, err, api: None, produced }
    }

    /// Waits for the line that says that it serves, and connects to it.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        wait("the engine to be ready", || {
            if let Some(status) = self.child.try_wait().expect("its own child") {
                panic!("the engine ended with {status}: {}", self.logs());
            }
            self.out.text().contains("ready: https://").then_some(())
        });
        self.api = Some(Api::new(&self.data_dir.join("kubeconfig")));
    }

    /// Its API, as the administrator.
    #[track_caller]
    pub fn api(&self) -> &Api {
        self.api.as_ref().expect("it is ready")
    }

    /// `127.0.0.1:PORT`.
    #[track_caller]
    pub fn address(&self) -> String {
        let text = self.out.text();
        let (_, rest) = text.split_once("ready: https://").expect("it is ready");
        rest.split_whitespace().next().expect("an address").to_owned()
    }

    /// Standard output so far.
    pub fn printed(&self) -> String {
        self.out.text()
    }

    /// Standard error so far.
    pub fn logs(&self) -> String {
        self.err.text()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("its own child").is_none()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        wait("the engine to end", || self.child.try_wait().expect("its own child"))
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.read_out();
        self.signal(Signal::TERM);
        let status = self.ended();
        (status, self.finish())
    }

    /// Ends it at once, as a power cut would, and hands out what it logged.
    #[track_caller]
    pub fn kill(mut self) -> String {
        self.child.kill().expect("its own child");
        self.child.wait().expect("its own child");
        self.finish()
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("its own child");
    }

    /// Lets it write files up to a size only, or of any size.
    #[track_caller]
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        rustix::process::prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit)
            .expect("its own child");
    }

    /// Resident memory in bytes, where the system says.
    pub fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    }

    /// Keeps what others may read of it, to be searched for secrets.
    fn read_out(&self) {
        let Some(api) = &self.api else { return };
        for path in [
            "/metrics",
            "/api/v1/events",
            "/apis/source.toolkit.fluxcd.io/v1/gitrepositories",
            "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations",
        ] {
            // An engine that cannot answer any more shows nothing either.
            if let Ok(answer) = api.send("GET", path, "application/json", String::new()) {
                self.produced.record(path, answer.text);
            }
        }
        for name in ["cmdline", "environ"] {
            let path = format!("/proc/{}/{name}", self.pid());
            self.produced.record(name, std::fs::read(path).unwrap_or_default());
        }
    }

    fn finish(&mut self) -> String {
        self.out.finish();
        self.err.finish();
        self.err.text()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.is_alive() {
            self.read_out();
        }
        // It may have ended already.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
        self.finish();
        self.produced.record("stdout", self.printed());
        self.produced.record("log", self.logs());
        if std::thread::panicking() {
            let logs = self.logs();
            let tail: Vec<&str> = logs.lines().rev().take(25).collect();
            for line in tail.iter().rev() {
                eprintln!("{}", line.chars().take(600).collect::<String>());
            }
        }
    }
}

/// What a pipe has said so far. Pipes, not files: a limit on file sizes must not bind the log.
pub struct Heard {
    text: Arc<Mutex<Vec<u8>>>,
    reading: Option<JoinHandle<()>>,
}

impl Heard {
    /// Listens to a pipe until it closes.
    pub fn from(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&text);
        let reading = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                kept.lock().expect("nobody panics with it").append(&mut line);
            }
        });
        Self { text, reading: Some(reading) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("nobody panics with it")).into_owned()
    }

    fn finish(&mut self) {
        if let Some(reading) = self.reading.take() {
            reading.join().expect("reading does not panic");
        }
    }

    /// Everything that was said, once the pipe is closed.
    pub fn finished(mut self) -> String {
        self.finish();
        self.text()
    }
}
