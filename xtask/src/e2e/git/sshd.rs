//! A real `sshd`, run as whoever runs the suite.
//!
//! In: a folder. Out: a server at a free port of loopback, with keys of its own for both sides. It
//! reads nothing of the machine's configuration and lets in nobody but the keys of its folder.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::e2e::process::{PATIENCE, Process};

/// Whether the variable that asks for a version of Git's protocol is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variables {
    /// It is.
    Accepted,
    /// It is not: the server's `git` speaks as it did before version 2.
    Ignored,
}

/// A running server.
pub struct Sshd {
    port: u16,
    folder: PathBuf,
    variables: Variables,
    process: Option<Process>,
}

/// Where the program is: it must be named by its whole path.
pub fn find() -> Option<PathBuf> {
    ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}

/// A port that nobody listens on now.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot bind a port")?;
    Ok(listener.local_addr().context("a port has no number")?.port())
}

/// Makes a key with `ssh-keygen`.
pub fn keygen(file: &Path, args: &[&str]) -> Result<()> {
    let status = Command::new("ssh-keygen")
        .arg("-q")
        .args(args)
        .arg("-f")
        .arg(file)
        .status()
        .context("cannot run ssh-keygen")?;
    if !status.success() {
        bail!("ssh-keygen {} failed", args.join(" "));
    }
    Ok(())
}

impl Sshd {
    /// Starts a server that lets in the keys of `authorized_keys` in its folder.
    pub fn start(program: &Path, folder: &Path, variables: Variables) -> Result<Self> {
        std::fs::create_dir_all(folder).context("cannot make a folder for sshd")?;
        let (port, folder) = (free_port()?, folder.to_owned());
        let mut sshd = Self { port, folder, variables, process: None };
        sshd.start_with_new_key(program)?;
        Ok(sshd)
    }

    /// Starts again at the same port, with a host key that nobody has seen.
    pub fn change_key(&mut self, program: &Path) -> Result<()> {
        self.process = None;
        std::fs::remove_file(self.folder.join("host")).context("there is no host key")?;
        self.start_with_new_key(program)
    }

    /// What belongs into `known_hosts`.
    pub fn known_hosts(&self) -> Result<String> {
        let key = std::fs::read_to_string(self.folder.join("host.pub"))
            .context("the host key cannot be read")?;
        Ok(format!("[127.0.0.1]:{} {key}", self.port))
    }

    /// The URL of a repository in a folder of this machine.
    pub fn url(&self, user: &str, path: &Path) -> String {
        format!("ssh://{user}@127.0.0.1:{}{}", self.port, path.display())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::printed).unwrap_or_default()
    }

    fn start_with_new_key(&mut self, program: &Path) -> Result<()> {
        let at = |name: &str| self.folder.join(name).display().to_string();
        keygen(&self.folder.join("host"), &["-t", "ed25519", "-N", ""])?;
        let accept = match self.variables {
            Variables::Accepted => "AcceptEnv GIT_PROTOCOL\n",
            Variables::Ignored => "",
        };
        let config = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\n\
             AuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n{accept}",
            self.port,
            at("host"),
            at("authorized_keys"),
        );
        std::fs::write(self.folder.join("config"), config).context("cannot configure sshd")?;
        if rustix::process::getuid().is_root() {
            // Where it locks itself in until somebody has signed on; empty, and shared.
            std::fs::create_dir_all("/run/sshd").context("cannot make sshd's empty folder")?;
        }
        let mut command = Command::new(program);
        command.args(["-D", "-e", "-f"]).arg(self.folder.join("config"));
        self.process = Some(Process::start(&mut command, "", self.folder.join("log"))?);
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else { bail!("sshd was not started") };
        let printed = process.wait_for(|printed| printed.contains("Server listening"))?;
        if !printed.contains("Server listening") {
            bail!("sshd does not listen:\n{printed}");
        }
        Ok(())
    }
}

/// Waits for a port to answer.
pub fn wait_for_port(port: u16) -> Result<()> {
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if started.elapsed() > PATIENCE {
            bail!("nobody answers at port {port} after {} s", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
