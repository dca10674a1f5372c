//! A browser, driven by WebDriver: JSON over plain HTTP on loopback.
//!
//! In: what to open, and scripts to ask it with. Out: what is on the page, what the console said,
//! and which addresses were asked. It reaches nothing but loopback, and ends with its owner.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::e2e::process::{PATIENCE, Process};

/// How often to look again.
const GLANCE: Duration = Duration::from_millis(50);

/// What the driver says when it listens.
const STARTED: &str = "was started successfully on port ";

/// One browser with one window.
pub struct Browser {
    port: u16,
    session: String,
    _driver: Process,
}

/// The driver's program, where there is one and a browser for it.
pub fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let on_path = |program: &str| {
        std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
    };
    on_path("chromium").or_else(|| on_path("google-chrome"))?;
    on_path("chromedriver")
}

impl Browser {
    /// Starts a browser that keeps everything it writes in a folder.
    pub fn start(driver: &Path, folder: &Path) -> Result<Self> {
        let mut command = Command::new(driver);
        command.arg("--port=0").env("HOME", folder).env("TMPDIR", folder).current_dir(folder);
        let mut process = Process::start(&mut command, "", folder.join("driver.log"))?;
        let printed = process.wait_for(|printed| {
            printed.split_once(STARTED).is_some_and(|(_, rest)| rest.contains('.'))
        })?;
        let port = printed
            .split_once(STARTED)
            .and_then(|(_, rest)| rest.split('.').next()?.parse().ok())
            .with_context(|| format!("the driver does not say where it listens:\n{printed}"))?;
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"args": arguments(folder)},
        }}});
        let answer = ask(port, "POST", "/session", Some(&wanted))?;
        let session = answer["sessionId"].as_str().context("the driver gave no session")?;
        Ok(Self { port, session: session.to_owned(), _driver: process })
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        ask(self.port, method, &format!("/session/{}{path}", self.session), body)
    }

    /// Opens an address, as if it were typed.
    pub fn open(&self, url: &str) -> Result<()> {
        self.ask("POST", "/url", Some(&json!({"url": url}))).map(drop)
    }

    /// Runs a script in the page and gives what it returns.
    pub fn run(&self, script: &str) -> Result<Value> {
        self.ask("POST", "/execute/sync", Some(&json!({"script": script, "args": []})))
    }

    /// What a person reads on the page.
    pub fn text(&self) -> Result<String> {
        let text = self.run("return document.body.innerText")?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until a person reads all of this on the page.
    pub fn sees(&self, wanted: &[&str]) -> Result<()> {
        let started = Instant::now();
        loop {
            let text = self.text()?;
            let missing = wanted.iter().find(|wanted| !text.contains(**wanted));
            match missing {
                None => return Ok(()),
                Some(missing) if started.elapsed() > PATIENCE => {
                    bail!("waited for {missing:?}; the page says:\n{text}")
                }
                Some(_) => thread::sleep(GLANCE),
            }
        }
    }

    /// Waits until a script returns true.
    pub fn waits(&self, what: &str, script: &str) -> Result<()> {
        let started = Instant::now();
        while self.run(script)? != true {
            if started.elapsed() > PATIENCE {
                bail!("waited for {what}");
            }
            thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// Presses and lets go of a key, by its code in the WebDriver standard.
    pub fn press(&self, key: char) -> Result<()> {
        let key = key.to_string();
        let actions = json!({"actions": [{"type": "key", "id": "keys", "actions": [
            {"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]}]});
        self.ask("POST", "/actions", Some(&actions)).map(drop)
    }

    /// A picture of the page as far down as `most`, as PNG.
    pub fn picture(&self, most: u64) -> Result<Vec<u8>> {
        let height = self.run("return document.documentElement.scrollHeight")?;
        self.resize(WIDTH, height.as_u64().unwrap_or(HEIGHT).clamp(HEIGHT, most))?;
        let picture = self.ask("GET", "/screenshot", None)?;
        self.resize(WIDTH, HEIGHT)?;
        let text = picture.as_str().context("the driver gave no picture")?;
        STANDARD.decode(text).context("the driver's picture cannot be read")
    }

    /// Gives the page itself so many pixels; what is around it comes on top.
    fn resize(&self, width: u64, height: u64) -> Result<()> {
        let around = self.run(
            "return [window.outerWidth - window.innerWidth, window.outerHeight - window.innerHeight]",
        )?;
        let more = |at: usize| around[at].as_u64().unwrap_or_default();
        let rect = json!({"width": width + more(0), "height": height + more(1)});
        self.ask("POST", "/window/rect", Some(&rect)).map(drop)
    }

    /// What was said in the console since it was asked last.
    pub fn console(&self) -> Result<Vec<String>> {
        let lines = self.log("browser")?;
        let text = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
        Ok(lines.iter().map(text).collect())
    }

    /// The addresses that were asked since this was asked last.
    pub fn requests(&self) -> Result<Vec<String>> {
        let mut urls = vec![];
        for line in self.log("performance")? {
            let text = line["message"].as_str().unwrap_or_default();
            let event: Value = serde_json::from_str(text).unwrap_or_default();
            let message = &event["message"];
            if message["method"] == "Network.requestWillBeSent"
                && let Some(url) = message["params"]["request"]["url"].as_str()
            {
                urls.push(url.to_owned());
            }
        }
        Ok(urls)
    }

    fn log(&self, kind: &str) -> Result<Vec<Value>> {
        let lines = self.ask("POST", "/se/log", Some(&json!({"type": kind})))?;
        Ok(lines.as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser; where it cannot, the browser goes with it.
        let _ = self.ask("DELETE", "", None);
    }
}

/// Pixels of the page.
const WIDTH: u64 = 1200;
const HEIGHT: u64 = 800;

fn arguments(folder: &Path) -> Vec<String> {
    let mut all: Vec<String> = [
        "--headless=new",
        // The sandbox needs rights that a container does not give; only our own pages are opened.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-extensions",
        "--disable-sync",
        "--no-first-run",
        "--no-default-browser-check",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
        "--lang=en",
        // Names other than ours lead nowhere.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    all.push(format!("--window-size={WIDTH},{HEIGHT}"));
    all.push(format!("--user-data-dir={}", folder.join("profile").display()));
    all
}

/// One request to the driver, over a connection of its own.
fn ask(port: u16, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("the driver is gone")?;
    stream.set_read_timeout(Some(PATIENCE)).context("the connection takes no time limit")?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).context("the driver does not read")?;
    stream.write_all(body.as_bytes()).context("the driver does not read")?;
    let body = body_of(stream).context("the driver does not answer")?;
    let answer: Value = serde_json::from_slice(&body).context("the driver's answer is no JSON")?;
    let value = answer["value"].clone();
    match value["error"].as_str() {
        Some(error) => bail!("{error}: {}", value["message"].as_str().unwrap_or_default()),
        None => Ok(value),
    }
}

/// The body of an answer, by its length: the driver leaves the connection open.
fn body_of(stream: TcpStream) -> std::io::Result<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}
