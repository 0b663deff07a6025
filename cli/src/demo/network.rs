//! The parts of the demo's network and how they are started, stopped and restarted.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::local_api::LocalApi;

use super::processes::Part;

/// Tracker, origin, and the means to start listeners.
pub struct Network {
    folder: PathBuf,
    tracker: Part,
    origin: Option<Part>,
    tracker_key: String,
    origin_listen: String,
}

/// A started listener.
pub struct Listener {
    /// Its process.
    pub part: Part,
    /// Its local API.
    pub api: LocalApi,
}

impl Network {
    /// Starts origin and tracker over the library in `folder`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs)?;
        let tracker_data = path_text(&folder.join("tracker"));
        let library = path_text(&folder.join("library"));
        let init = words(&[
            "tracker",
            "--init",
            "--data",
            &tracker_data,
            "--library",
            &library,
        ]);
        let made = Part::start("tracker-init", &init, &logs).await?;
        let tracker_key = made.said("tracker_key")?.to_owned();
        made.end().await;
        let any = "127.0.0.1:0";
        let origin = start_origin(folder, any, &tracker_key).await?;
        let origin_listen = origin.said("listen")?.to_owned();
        let origin_name = origin.said("origin")?.to_owned();
        let tracker = words(&[
            "tracker",
            "--data",
            &tracker_data,
            "--library",
            &library,
            "--listen",
            any,
            "--http",
            any,
            "--open-registration",
            "--origin",
            &origin_name,
        ]);
        let tracker = Part::start("tracker", &tracker, &logs).await?;
        Ok(Self {
            folder: folder.to_owned(),
            tracker,
            origin: Some(origin),
            tracker_key,
            origin_listen,
        })
    }

    /// Starts listener `number`; sound goes to `sink`.
    pub async fn listener(&self, number: usize, sink: &str) -> anyhow::Result<Listener> {
        let name = format!("listener-{number}");
        let home = self.folder.join(&name);
        let data = home.join("data");
        let arguments = words(&[
            "node",
            "--tracker",
            self.tracker.said("tracker")?,
            "--data",
            &path_text(&data),
            "--cache",
            &path_text(&home.join("cache")),
            "--cache-mb",
            "500",
            "--listen",
            "127.0.0.1:0",
            "--api",
            "127.0.0.1:0",
            "--sink",
            sink,
            "--user",
            &name,
            "--register",
            // Loopback has no uplink to spare; without this the default for homes would apply.
            "--upload-kbit",
            "100000",
        ]);
        let part = Part::start(&name, &arguments, &self.folder.join("logs")).await?;
        let address: SocketAddr = part.said("api")?.parse().context("the API's address")?;
        let api = LocalApi::open(address, &data)?;
        Ok(Listener { part, api })
    }

    /// Whether the origin runs.
    pub const fn origin_up(&self) -> bool {
        self.origin.is_some()
    }

    /// Kills the origin, or starts it again at the same address.
    pub async fn toggle_origin(&mut self) -> anyhow::Result<&'static str> {
        if let Some(mut origin) = self.origin.take() {
            origin.kill().await?;
            return Ok("the origin is gone; what peers hold plays on");
        }
        let listen = self.origin_listen.clone();
        self.origin = Some(start_origin(&self.folder, &listen, &self.tracker_key).await?);
        Ok("the origin is back")
    }

    /// Ends tracker and origin.
    pub async fn end(&mut self) {
        if let Some(origin) = self.origin.take() {
            origin.end().await;
        }
        let _ = self.tracker.kill().await;
    }
}

async fn start_origin(folder: &Path, listen: &str, tracker_key: &str) -> anyhow::Result<Part> {
    let library = path_text(&folder.join("library"));
    let data = path_text(&folder.join("origin"));
    let arguments = words(&[
        "origin",
        "--library",
        &library,
        "--data",
        &data,
        "--listen",
        listen,
        "--tracker-key",
        tracker_key,
    ]);
    Part::start("origin", &arguments, &folder.join("logs")).await
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
