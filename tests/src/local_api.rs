//! Client of a node's local API.

use std::path::Path;
use std::time::Duration;

use antiphon_node::api::{ApiTrack, TOKEN_FILE, TracksBody};
use antiphon_node::status::{LedgerEntry, PlayRecord, Status};
use anyhow::{Context as _, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An answer that takes longer hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A node's local API.
#[derive(Clone, Debug)]
pub struct LocalApi {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl LocalApi {
    /// The node at `address` whose data folder is `data`.
    ///
    /// # Errors
    /// If the token is not there.
    pub fn open(address: &str, data: &Path) -> anyhow::Result<Self> {
        let token = std::fs::read_to_string(data.join(TOKEN_FILE)).context("the API's token")?;
        let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).build()?;
        Ok(Self {
            base: format!("http://{address}/v1/"),
            token: token.trim().to_owned(),
            http,
        })
    }

    /// The whole picture.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn status(&self) -> anyhow::Result<Status> {
        self.get("status").await
    }

    /// The plays since the start.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn plays(&self) -> anyhow::Result<Vec<PlayRecord>> {
        self.get("plays").await
    }

    /// The play begun last.
    ///
    /// # Errors
    /// If the node does not answer or has played nothing.
    pub async fn latest_play(&self) -> anyhow::Result<PlayRecord> {
        let mut plays = self.plays().await?;
        plays.pop().context("nothing has been played")
    }

    /// Where each rendition's bytes came from.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn ledger(&self) -> anyhow::Result<Vec<LedgerEntry>> {
        self.get("ledger").await
    }

    /// Words to tracks.
    ///
    /// # Errors
    /// If the node does not answer or the tracker cannot be asked.
    pub async fn search(&self, word: &str) -> anyhow::Result<Vec<ApiTrack>> {
        self.get(&format!("search?q={word}")).await
    }

    /// Plays these tracks, nothing else.
    ///
    /// # Errors
    /// If the node does not answer or refuses.
    pub async fn play(&self, tracks: &[&str]) -> anyhow::Result<()> {
        self.post("play", &body(tracks)).await
    }

    /// Plays these tracks after what is queued.
    ///
    /// # Errors
    /// If the node does not answer or refuses.
    pub async fn enqueue(&self, tracks: &[&str]) -> anyhow::Result<()> {
        self.post("queue", &body(tracks)).await
    }

    /// Fetches a track whole and keeps it.
    ///
    /// # Errors
    /// If the node does not answer or refuses.
    pub async fn pin(&self, track: &str) -> anyhow::Result<()> {
        self.post("pin", &body(&[track])).await
    }

    /// A command without a body, such as `stop`.
    ///
    /// # Errors
    /// If the node does not answer or refuses.
    pub async fn command(&self, name: &str) -> anyhow::Result<()> {
        self.post(name, &()).await
    }

    /// Goes to this place in the track.
    ///
    /// # Errors
    /// If the node does not answer or refuses.
    pub async fn seek(&self, to: Duration) -> anyhow::Result<()> {
        let value = to.as_millis() as u64;
        self.post("seek", &serde_json::json!({ "value": value }))
            .await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.finish(self.http.get(format!("{}{path}", self.base)))
            .await
    }

    async fn post(&self, path: &str, body: &(impl Serialize + Sync)) -> anyhow::Result<()> {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        self.finish::<serde_json::Value>(request).await.map(drop)
    }

    async fn finish<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<T> {
        let answer = request.bearer_auth(&self.token).send().await?;
        let status = answer.status();
        if !status.is_success() {
            bail!("the node refused ({status}): {}", answer.text().await?);
        }
        Ok(answer.json().await?)
    }
}

fn body(tracks: &[&str]) -> TracksBody {
    TracksBody {
        tracks: tracks.iter().map(|track| (*track).to_owned()).collect(),
    }
}
