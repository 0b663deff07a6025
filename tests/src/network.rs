//! A tracker and an origin over the shared library, and what can happen to them.

use std::path::Path;
use std::sync::Arc;

use antiphon_node::tracker_client::TrackerClient;
use anyhow::Context as _;

use crate::library::{Known, Library};
use crate::listener::{Listener, ListenerOptions};
use crate::outsider::Outsider;
use crate::part::Part;
use crate::peer_source::PeerSource;
use crate::program;
use crate::scratch::{Scratch, text};
use crate::wait::{self, PATIENCE};

const LOOPBACK: &str = "127.0.0.1";
const ANY: &str = "127.0.0.1:0";

/// A running network without listeners.
#[derive(Debug)]
pub struct Network {
    // Before the folder, so that processes end before their files go.
    tracker: Option<Part>,
    origin: Option<Part>,
    tracker_name: String,
    tracker_http: String,
    tracker_key: String,
    origin_name: String,
    /// Where tracker and origin listen, with any port.
    any: String,
    library: Arc<Library>,
    folder: Scratch,
}

impl Network {
    /// Starts tracker and origin for the test called `name`.
    ///
    /// # Errors
    /// If one does not start.
    pub async fn start(name: &str) -> anyhow::Result<Self> {
        Self::start_at(name, LOOPBACK).await
    }

    /// Like [`Network::start`], with tracker and origin at this IP.
    ///
    /// # Errors
    /// If one does not start.
    pub async fn start_at(name: &str, ip: &str) -> anyhow::Result<Self> {
        let library = Library::shared().await?;
        Self::start_with(Scratch::new(name)?, library, ip).await
    }

    /// Like [`Network::start`], with a copy of the shared library in which the key of `title` does not open it.
    ///
    /// # Errors
    /// If one does not start.
    pub async fn start_with_wrong_key(name: &str, title: &str) -> anyhow::Result<Self> {
        let folder = Scratch::new(name)?;
        let library = Library::shared().await?;
        let library = library.with_wrong_key(title, &folder.join("library"))?;
        Self::start_with(folder, Arc::new(library), LOOPBACK).await
    }

    async fn start_with(folder: Scratch, library: Arc<Library>, ip: &str) -> anyhow::Result<Self> {
        let data = text(&folder.join("tracker"));
        let shared = text(library.folder());
        let init = ["tracker", "--init", "--json", "--data", &data];
        let init = init.into_iter().chain(["--library", &shared]);
        let made = program::antiphon(init).await?.success()?.json()?;
        let tracker_key = made["tracker_key"].as_str().context("the tracker's key")?;
        let mut network = Self {
            tracker: None,
            origin: None,
            tracker_name: String::new(),
            tracker_http: ANY.to_owned(),
            tracker_key: tracker_key.to_owned(),
            origin_name: String::new(),
            any: format!("{ip}:0"),
            library,
            folder,
        };
        network.start_origin().await?;
        network.start_tracker().await?;
        Ok(network)
    }

    /// Its library: the shared one, or a copy.
    #[must_use]
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// The test's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The tracker as `host:port#fingerprint`.
    #[must_use]
    pub fn tracker(&self) -> &str {
        &self.tracker_name
    }

    /// A connection to the tracker of one's own, not logged in.
    ///
    /// # Errors
    /// If the tracker does not answer.
    pub async fn tracker_client(&self) -> anyhow::Result<TrackerClient> {
        Ok(TrackerClient::connect(&self.tracker().parse()?).await?)
    }

    /// What the tracker counts, as Prometheus reads it.
    ///
    /// # Errors
    /// If the tracker does not answer.
    pub async fn tracker_metrics(&self) -> anyhow::Result<String> {
        let url = format!("http://{}/metrics", self.tracker_http);
        Ok(reqwest::get(url).await?.text().await?)
    }

    /// The key that signs tickets, capabilities and licenses, hexadecimal.
    #[must_use]
    pub fn tracker_key(&self) -> &str {
        &self.tracker_key
    }

    /// Where the tracker keeps its state.
    #[must_use]
    pub fn tracker_data(&self) -> std::path::PathBuf {
        self.folder.join("tracker")
    }

    /// Starts a listener that plays into nothing, in real time.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn listener(&self, name: &str) -> anyhow::Result<Listener> {
        self.listener_with(name, ListenerOptions::default()).await
    }

    /// Starts a listener.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn listener_with(
        &self,
        name: &str,
        options: ListenerOptions,
    ) -> anyhow::Result<Listener> {
        Listener::start(self.folder(), name, self.tracker(), options).await
    }

    /// Starts a seed that keeps `piece`.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn seed(&self, name: &str, piece: &Known) -> anyhow::Result<Part> {
        let home = self.folder.join(name);
        let arguments = [
            "seed",
            "--keep",
            &piece.id(),
            "--tracker",
            self.tracker(),
            "--data",
            &text(&home.join("data")),
            "--cache",
            &text(&home.join("cache")),
            "--listen",
            ANY,
            "--api",
            ANY,
            "--user",
            name,
            "--register",
        ];
        Part::start(name, &words(&arguments), &self.logs()).await
    }

    /// Waits until the tracker tells others that this node holds `piece` whole.
    ///
    /// # Errors
    /// If it does not come to that.
    pub async fn knows_holder(&self, piece: &Known, node: &str) -> anyhow::Result<()> {
        let name = format!("observer-{:08x}", rand::random::<u32>());
        let observer = Outsider::join(self, &name, PeerSource::honest(piece)).await?;
        wait::until("the tracker knows a holder", PATIENCE, async || {
            let (_, holders) = observer.look_up(piece).await?;
            let mut full = holders.into_iter().filter(|holder| holder.full);
            let known = full.any(|holder| holder.contact.node.to_string() == node);
            Ok(known.then_some(()))
        })
        .await
    }

    /// `kill -9` of the tracker.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill_tracker(&mut self) -> anyhow::Result<()> {
        let mut tracker = self.tracker.take().context("the tracker runs")?;
        tracker.kill().await
    }

    /// Freezes the tracker: connections stay, and nothing is answered.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn freeze_tracker(&mut self) -> anyhow::Result<()> {
        let tracker = self.tracker.as_mut().context("the tracker runs")?;
        tracker.freeze().await
    }

    /// Lets a frozen tracker go on.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn thaw_tracker(&mut self) -> anyhow::Result<()> {
        let tracker = self.tracker.as_mut().context("the tracker runs")?;
        tracker.thaw().await
    }

    /// Starts the tracker, at its former address if it had one.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_tracker(&mut self) -> anyhow::Result<()> {
        let data = text(&self.tracker_data());
        let library = text(self.library.folder());
        let listen = address(&self.tracker_name, &self.any);
        let arguments = [
            "tracker",
            "--data",
            &data,
            "--library",
            &library,
            "--listen",
            listen,
            "--http",
            &self.tracker_http,
            "--open-registration",
            "--origin",
            &self.origin_name,
        ];
        let tracker = Part::start("tracker", &words(&arguments), &self.logs()).await?;
        tracker.said("tracker")?.clone_into(&mut self.tracker_name);
        tracker.said("http")?.clone_into(&mut self.tracker_http);
        self.tracker = Some(tracker);
        Ok(())
    }

    /// `kill -9` of the origin.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill_origin(&mut self) -> anyhow::Result<()> {
        let mut origin = self.origin.take().context("the origin runs")?;
        origin.kill().await
    }

    /// Starts the origin, at its former address if it had one.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_origin(&mut self) -> anyhow::Result<()> {
        let data = text(&self.folder.join("origin"));
        let library = text(self.library.folder());
        let listen = address(&self.origin_name, &self.any);
        let arguments = [
            "origin",
            "--library",
            &library,
            "--data",
            &data,
            "--listen",
            listen,
            "--tracker-key",
            &self.tracker_key,
        ];
        let origin = Part::start("origin", &words(&arguments), &self.logs()).await?;
        origin.said("origin")?.clone_into(&mut self.origin_name);
        self.origin = Some(origin);
        Ok(())
    }

    fn logs(&self) -> std::path::PathBuf {
        self.folder.join("logs")
    }
}

/// `host:port` of `host:port#fingerprint`; any port if there is none yet.
fn address<'a>(name: &'a str, any: &'a str) -> &'a str {
    match name.split_once('#') {
        Some((address, _)) => address,
        None => any,
    }
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
