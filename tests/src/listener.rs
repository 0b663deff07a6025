//! A listener: an account, a folder, and a node that plays.

use std::path::{Path, PathBuf};
use std::time::Duration;

use antiphon_node::status::{PlayRecord, Status};
use antiphon_protocol::ContentId;
use anyhow::{Context as _, ensure};

use crate::library::Known;
use crate::local_api::LocalApi;
use crate::network::{Network, words};
use crate::part::Part;
use crate::program;
use crate::scratch::text;
use crate::wait::{self, PATIENCE};

/// How a listener is started.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Where the sound goes.
    pub sink: String,
    /// Most that it uploads.
    pub upload_kbit: u32,
    /// Where its cache is; in its own folder if not told.
    pub cache: Option<PathBuf>,
    /// Seconds after which it offers to keep copies for others.
    pub placement_after: u32,
    /// Where it serves peers.
    pub listen: String,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            sink: "null".to_owned(),
            upload_kbit: 100_000,
            cache: None,
            placement_after: 600,
            listen: "127.0.0.1:0".to_owned(),
        }
    }
}

impl ListenerOptions {
    /// Serves peers on every interface.
    #[must_use]
    pub fn anywhere(self) -> Self {
        Self {
            listen: "0.0.0.0:0".to_owned(),
            ..self
        }
    }

    /// Writes the sound to this file as fast as the music comes, so that the listener soon holds
    /// what it plays.
    #[must_use]
    pub fn fast(file: &Path) -> Self {
        Self {
            sink: format!("wav:{}", file.display()),
            ..Self::default()
        }
    }

    /// Like [`ListenerOptions::fast`], with every bit of every sample.
    #[must_use]
    pub fn exact(file: &Path) -> Self {
        Self {
            sink: format!("wavf32:{}", file.display()),
            ..Self::default()
        }
    }
}

/// A listener whose node runs, unless it was killed.
#[derive(Debug)]
pub struct Listener {
    /// Its local API.
    pub api: LocalApi,
    part: Part,
    home: PathBuf,
    name: String,
    tracker: String,
    options: ListenerOptions,
    logs: PathBuf,
}

impl Listener {
    pub(crate) async fn start(
        folder: &Path,
        name: &str,
        tracker: &str,
        options: ListenerOptions,
    ) -> anyhow::Result<Self> {
        let home = folder.join(name);
        let logs = folder.join("logs");
        let arguments = arguments(&home, tracker, &options);
        let account = words(&["--user", name, "--register"]);
        let arguments = [arguments, account].concat();
        let part = Part::start(name, &arguments, &logs).await?;
        let api = LocalApi::open(part.said("api")?, &home.join("data"))?;
        Ok(Self {
            api,
            part,
            home,
            name: name.to_owned(),
            tracker: tracker.to_owned(),
            options,
            logs,
        })
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.part.kill().await
    }

    /// Freezes the node: its connections stay, but nothing is done any more.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub async fn freeze(&mut self) -> anyhow::Result<()> {
        self.part.freeze().await
    }

    /// Starts the node again after a kill, with what it kept: no name, no password.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let arguments = arguments(&self.home, &self.tracker, &self.options);
        self.part = Part::start(&self.name, &arguments, &self.logs).await?;
        self.api = LocalApi::open(self.part.said("api")?, &self.data())?;
        Ok(())
    }

    /// Ends the node in good order.
    ///
    /// # Errors
    /// If it does not end well.
    pub async fn end(&mut self) -> anyhow::Result<Home> {
        let home = Home {
            data: self.data(),
            cache: self.cache(),
            tracker: self.tracker.clone(),
        };
        self.part.end().await?;
        Ok(home)
    }

    /// Where its local API answers.
    ///
    /// # Errors
    /// If it did not say so.
    pub fn api_address(&self) -> anyhow::Result<String> {
        self.part.said("api").map(str::to_owned)
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Its cache folder.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        cache(&self.home, &self.options)
    }

    /// Plays a track from its start.
    ///
    /// # Errors
    /// If the node refuses.
    pub async fn play(&self, piece: &Known) -> anyhow::Result<()> {
        self.api.play(&[&piece.id()]).await
    }

    /// Waits until it holds the track whole.
    ///
    /// # Errors
    /// If it does not come to that.
    pub async fn holds(&self, piece: &Known) -> anyhow::Result<()> {
        let id = piece.id();
        let what = format!("{} holds {} whole", self.name, piece.manifest.title);
        wait::until(&what, PATIENCE, async || {
            let ledger = self.api.ledger().await?;
            let entry = ledger.into_iter().find(|entry| entry.track == id);
            Ok(entry.and_then(|entry| entry.complete_unix_us).map(drop))
        })
        .await
    }

    /// Waits until the play sounds and has come this far.
    ///
    /// # Errors
    /// If it does not come to that.
    pub async fn has_heard(&self, time: Duration) -> anyhow::Result<Status> {
        let wanted = time.as_millis() as u64;
        self.status_when(&format!("has heard {time:?}"), |status| {
            let playing = status.playing.as_ref();
            playing.is_some_and(|now| now.state == "playing" && now.position_ms >= wanted)
        })
        .await
    }

    /// Plays a track and waits until it holds it whole, and the tracker knows.
    ///
    /// # Errors
    /// If it does not come to that.
    pub async fn gets(&self, network: &Network, piece: &Known) -> anyhow::Result<()> {
        self.play(piece).await?;
        self.holds(piece).await?;
        network.knows_holder(piece, &self.node()?).await
    }

    /// Its transport key, hexadecimal.
    ///
    /// # Errors
    /// If it did not say so.
    pub fn node(&self) -> anyhow::Result<String> {
        self.part.said("node").map(str::to_owned)
    }

    /// Waits until nothing plays any more, and tells how the latest play went.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn has_played(&self) -> anyhow::Result<PlayRecord> {
        let what = format!("{}'s play ends", self.name);
        wait::until(&what, PATIENCE, async || {
            let status = self.api.status().await?;
            Ok(status.playing.is_none().then_some(()))
        })
        .await?;
        self.api.latest_play().await
    }

    /// Waits until the status is as wanted.
    ///
    /// # Errors
    /// If it does not come to that.
    pub async fn status_when(
        &self,
        what: &str,
        wanted: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<Status> {
        let what = format!("{}: {what}", self.name);
        let mut latest = None;
        let seen = wait::until(&what, PATIENCE, async || {
            let status = self.api.status().await?;
            if wanted(&status) {
                return Ok(Some(status));
            }
            latest = Some(status);
            Ok(None)
        })
        .await;
        seen.with_context(|| format!("instead: {latest:?}"))
    }

    /// The file of a rendition in its cache.
    #[must_use]
    pub fn cached_file(&self, content: ContentId) -> PathBuf {
        cached_file(&self.cache(), content)
    }
}

/// What is left of a listener when its node has ended.
#[derive(Clone, Debug)]
pub struct Home {
    /// Keys, session, state.
    pub data: PathBuf,
    /// Cached audio.
    pub cache: PathBuf,
    /// The tracker it is logged in at.
    pub tracker: String,
}

impl Home {
    /// Plays the best match of `query` with `antiphon play`; its record and talk.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn play(&self, query: &str, sink: &str) -> anyhow::Result<PlayRecord> {
        let (data, cache) = (text(&self.data), text(&self.cache));
        let arguments = [
            "play",
            query,
            "--one",
            "--json",
            "--sink",
            sink,
            "--data",
            &data,
            "--cache",
            &cache,
            "--tracker",
            &self.tracker,
            "--listen",
            "127.0.0.1:0",
        ];
        let played = program::antiphon(arguments).await?.success()?;
        let mut plays: Vec<PlayRecord> = serde_json::from_str(&played.stdout)?;
        ensure!(plays.len() == 1, "one play was asked for: {played:?}");
        plays.pop().context("one play")
    }

    /// The file of a rendition in its cache.
    #[must_use]
    pub fn cached_file(&self, content: ContentId) -> PathBuf {
        cached_file(&self.cache, content)
    }
}

fn cached_file(cache: &Path, content: ContentId) -> PathBuf {
    let name = content.to_string();
    let first = name.get(..2).unwrap_or_default();
    cache.join("audio").join(first).join(format!("{name}.enc"))
}

fn cache(home: &Path, options: &ListenerOptions) -> PathBuf {
    let own = || home.join("cache");
    options.cache.clone().unwrap_or_else(own)
}

fn arguments(home: &Path, tracker: &str, options: &ListenerOptions) -> Vec<String> {
    words(&[
        "node",
        "--tracker",
        tracker,
        "--data",
        &text(&home.join("data")),
        "--cache",
        &text(&cache(home, options)),
        "--cache-mb",
        "500",
        "--listen",
        &options.listen,
        "--api",
        "127.0.0.1:0",
        "--sink",
        &options.sink,
        "--upload-kbit",
        &options.upload_kbit.to_string(),
        "--placement-after",
        &options.placement_after.to_string(),
    ])
}
