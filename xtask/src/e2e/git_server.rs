//! Repositories over HTTP on this machine, for engines that may not read folders.
//!
//! In: a folder of repositories. Out: a server that the real `git upload-pack` answers behind, and
//! that ends with its owner. One request for each connection; nothing can be written.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// The longest head or body of a request: what is asked for is short.
const LONGEST: u64 = 4 << 20;
/// A client that is silent for longer is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// A running server.
pub struct GitServer {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl GitServer {
    /// Serves the repositories of a folder on a free port of loopback.
    pub fn start(folder: &Path) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("there is no free port")?;
        let address = listener.local_addr().context("a port has no number")?;
        let stopping = Arc::new(AtomicBool::new(false));
        let (folder, stop) = (folder.to_owned(), stopping.clone());
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let (Ok(stream), folder) = (stream, folder.clone()) else { continue };
                // A client that breaks off is not the server's concern.
                thread::spawn(move || answer(stream, &folder).is_ok());
            }
        });
        Ok(Self { address, stopping, accepting: Some(accepting) })
    }

    /// The URL of a repository in the folder.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // Wakes it up; where that fails it has ended.
        let _woken = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ended = accepting.join();
        }
    }
}

struct Request {
    method: String,
    target: String,
    protocol: String,
    body: Vec<u8>,
}

fn answer(mut stream: TcpStream, folder: &Path) -> Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let request = read(&stream)?;
    let (status, kind, body) = match serve(&request, folder) {
        Ok((kind, body)) => ("200 OK", kind, body),
        Err(err) => ("404 Not Found", "text/plain".to_owned(), format!("{err:#}\n").into_bytes()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    Ok(())
}

fn read(stream: &TcpStream) -> Result<Request> {
    let mut reader = BufReader::new(stream.take(LONGEST));
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut length, mut protocol) = (0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().context("the length is no number")?;
            }
            Some((name, value)) if name.eq_ignore_ascii_case("git-protocol") => {
                value.trim().clone_into(&mut protocol);
            }
            _ => {}
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    Ok(Request { method, target, protocol, body })
}

/// The type and the body of an answer.
fn serve(request: &Request, folder: &Path) -> Result<(String, Vec<u8>)> {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let path = path.trim_start_matches('/');
    if let Some(name) = path.strip_suffix("/info/refs") {
        if request.method != "GET" || query != "service=git-upload-pack" {
            bail!("repositories can only be read here");
        }
        let refs = upload_pack(&["--http-backend-info-refs"], &within(folder, name)?, request)?;
        let mut body = Vec::new();
        if !request.protocol.contains("version=2") {
            // Protocol 2 has no such line.
            body.extend(b"001e# service=git-upload-pack\n0000");
        }
        body.extend(refs);
        return Ok(("application/x-git-upload-pack-advertisement".to_owned(), body));
    }
    match path.strip_suffix("/git-upload-pack") {
        Some(name) if request.method == "POST" => {
            let pack = upload_pack(&["--stateless-rpc"], &within(folder, name)?, request)?;
            Ok(("application/x-git-upload-pack-result".to_owned(), pack))
        }
        _ => bail!("there is nothing at {path}"),
    }
}

fn within(folder: &Path, name: &str) -> Result<PathBuf> {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !plain {
        bail!("{name:?} is no repository");
    }
    Ok(folder.join(name))
}

fn upload_pack(args: &[&str], repository: &Path, request: &Request) -> Result<Vec<u8>> {
    let mut child = Command::new("git")
        .arg("upload-pack")
        .args(args)
        .arg(repository)
        .env("GIT_PROTOCOL", &request.protocol)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run git")?;
    let mut stdin = child.stdin.take().context("it is piped")?;
    let body = request.body.clone();
    // Beside the reading: neither side waits for the other's pipe to empty.
    let writing = thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output().context("cannot wait for git")?;
    // One that has read enough closes its end; how it ended is what counts.
    let _written = writing.join();
    if !output.status.success() {
        bail!("git upload-pack: {}", output.status);
    }
    Ok(output.stdout)
}
