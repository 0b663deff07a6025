//! A small network of real `antiphon` processes on loopback, for what only the whole shows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::process::Second;

/// Origin and tracker of one library.
pub struct Network {
    program: PathBuf,
    folder: PathBuf,
    tracker: String,
    _processes: [Second; 2],
}

/// A listener's node.
pub struct Listener {
    pub process: Second,
    api: SocketAddr,
    token: String,
}

impl Network {
    /// Starts origin and tracker of the library at `library`; their state goes to `folder`.
    ///
    /// # Errors
    /// If one does not start.
    pub fn start(program: &Path, library: &Path, folder: &Path) -> anyhow::Result<Self> {
        let library = library.to_str().context("a readable path")?;
        let data = folder.join("tracker");
        let data = data.to_str().context("a readable path")?;
        let tracker = ["tracker", "--library", library, "--data", data];
        let ports = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let (_, ready) = service(program, &[&tracker[..], &["--init"]].concat())?;
        let key = text(&ready, "tracker_key")?;
        let state = folder.join("origin");
        let state = state.to_str().context("a readable path")?;
        let origin = ["origin", "--library", library, "--data", state];
        let more = ["--listen", "127.0.0.1:0", "--tracker-key", &key];
        let (origin, ready) = service(program, &[&origin[..], &more].concat())?;
        let name = text(&ready, "origin")?;
        let more = ["--open-registration", "--origin", &name];
        let (tracker, ready) = service(program, &[&tracker[..], &ports, &more].concat())?;
        Ok(Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            tracker: text(&ready, "tracker")?,
            _processes: [origin, tracker],
        })
    }

    /// Starts a node with a silent sink.
    ///
    /// # Errors
    /// If it does not start.
    pub fn listener(&self, name: &str) -> anyhow::Result<Listener> {
        let data = self.folder.join(name);
        let cache = data.join("cache");
        let (data_text, cache) = (data.to_str(), cache.to_str());
        let arguments = [
            "node",
            "--tracker",
            &self.tracker,
            "--data",
            data_text.context("a readable path")?,
            "--cache",
            cache.context("a readable path")?,
            "--listen",
            "127.0.0.1:0",
            "--api",
            "127.0.0.1:0",
            "--sink",
            "null",
            "--user",
            name,
            "--register",
        ];
        let (process, ready) = service(&self.program, &arguments)?;
        let token = std::fs::read_to_string(data.join(antiphon_node::api::TOKEN_FILE))?;
        Ok(Listener {
            process,
            api: text(&ready, "api")?.parse()?,
            token: token.trim().to_owned(),
        })
    }
}

impl Listener {
    /// Asks the node's local API.
    ///
    /// # Errors
    /// If it does not answer with JSON or nothing.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let mut stream = TcpStream::connect(self.api)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.api,
            self.token,
            body.len()
        )?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
        let status = head.split_whitespace().nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "{method} {path}: {head} {body}");
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(body).with_context(|| format!("{method} {path}: {body:?}"))
    }
}

fn service(program: &Path, arguments: &[&str]) -> anyhow::Result<(Second, Value)> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args(["--json", "--until-stdin-closes"])
        .env("ANTIPHON_PASSWORD", PASSWORD);
    let process = Second::start(command)?;
    let ready = process
        .hear(PATIENCE)
        .with_context(|| format!("antiphon {}", arguments.join(" ")))?;
    Ok((process, ready))
}

fn text(ready: &Value, key: &str) -> anyhow::Result<String> {
    let text = ready.get(key).and_then(Value::as_str);
    Ok(text
        .with_context(|| format!("no {key} in {ready}"))?
        .to_owned())
}

/// Of accounts that live as long as a measurement.
const PASSWORD: &str = "antiphon-bench";
const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: u64 = 1 << 20;
