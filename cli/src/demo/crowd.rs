//! The demo's listeners: people in front of nodes.

use std::time::{Duration, Instant};

use antiphon_node::api::{ApiTrack, TracksBody};
use antiphon_node::clock::unix_micros;
use antiphon_node::status::{LedgerEntry, PlayRecord, Status};
use anyhow::Context as _;
use serde::Deserialize;

use super::network::{Listener, Network};
use super::person::{Patience, Person};
use super::report::{self, Account, Report};

/// Within this time all first listeners have come.
const ARRIVALS_WITHIN: Duration = Duration::from_secs(8);

struct Member {
    name: String,
    listener: Option<Listener>,
    account: Account,
    person: Person,
    arrives: Instant,
    /// Plays seen so far, and when the latest was seen and is left.
    plays_seen: u64,
    leaves: Option<Instant>,
}

/// All listeners.
pub struct Crowd {
    members: Vec<Member>,
    tracks: Vec<ApiTrack>,
    seed: u64,
}

#[derive(Deserialize)]
struct Page {
    tracks: Vec<ApiTrack>,
    more: bool,
}

impl Crowd {
    /// Starts `count` listeners and reads the catalog through the first.
    pub async fn gather(network: &Network, count: u64, seed: u64) -> anyhow::Result<Self> {
        let mut crowd = Self {
            members: Vec::new(),
            tracks: Vec::new(),
            seed,
        };
        let audible = network.listener(1, "device").await;
        let first = match audible {
            Ok(listener) => listener,
            // No sound card is an ordinary situation: the first listener is silent like the rest.
            Err(_) => network.listener(1, "null").await?,
        };
        crowd.tracks = catalog(&first).await?;
        anyhow::ensure!(!crowd.tracks.is_empty(), "the tracker's catalog is empty");
        crowd.admit(first);
        for number in 2..=count as usize {
            let listener = network.listener(number, "null").await?;
            crowd.admit(listener);
        }
        let now = Instant::now();
        for member in &mut crowd.members {
            member.arrives = now + member.person.arrival(ARRIVALS_WITHIN);
        }
        Ok(crowd)
    }

    /// Starts one more.
    pub async fn add(&mut self, network: &Network) -> anyhow::Result<String> {
        let listener = network.listener(self.members.len() + 1, "null").await?;
        self.admit(listener);
        Ok(format!("listener {} has come", self.members.len()))
    }

    /// Kills the first listener alive, as `kill -9` does.
    pub async fn kill_one(&mut self) -> anyhow::Result<String> {
        let alive = self
            .members
            .iter_mut()
            .find(|member| member.listener.is_some());
        let member = alive.context("nobody is left")?;
        if let Some(mut listener) = member.listener.take() {
            listener.part.kill().await?;
        }
        Ok(format!("{} was killed", member.name))
    }

    /// Looks at every listener and does what its person would do now.
    pub async fn look(&mut self, network: &Network) {
        let tracks = &self.tracks;
        let turns = self.members.iter_mut().map(|member| member.turn(tracks));
        futures::future::join_all(turns).await;
        let _ = network;
    }

    /// The figures now.
    pub fn report(&self, seconds: u64) -> Report {
        let accounts: Vec<Account> = self
            .members
            .iter()
            .map(|member| member.account.clone())
            .collect();
        report::report(&accounts, self.tracks.len(), seconds)
    }

    /// Name, account and life of each.
    pub fn listeners(&self) -> Vec<(&str, &Account, bool)> {
        let each = self.members.iter();
        each.map(|member| {
            (
                member.name.as_str(),
                &member.account,
                member.listener.is_some(),
            )
        })
        .collect()
    }

    fn admit(&mut self, listener: Listener) {
        let number = self.members.len() as u64 + 1;
        self.members.push(Member {
            name: format!("listener {number}"),
            listener: Some(listener),
            account: Account::default(),
            person: Person::new(self.seed, number, self.tracks.len()),
            arrives: Instant::now(),
            plays_seen: 0,
            leaves: None,
        });
    }
}

impl Member {
    async fn turn(&mut self, tracks: &[ApiTrack]) {
        if self.refresh().await.is_err() {
            let ended = self.listener.as_mut().is_some_and(|l| l.part.has_ended());
            if ended {
                self.listener = None;
            }
            return;
        }
        if Instant::now() < self.arrives {
            return;
        }
        if let Err(error) = self.behave(tracks).await {
            tracing::warn!(listener = self.name, %error, "a listener's wish was not carried out");
        }
    }

    async fn refresh(&mut self) -> anyhow::Result<()> {
        let listener = self.listener.as_ref().context("gone")?;
        let status: Status = listener.api.get("status").await?;
        let plays: Vec<PlayRecord> = listener.api.get("plays").await?;
        let ledger: Vec<LedgerEntry> = listener.api.get("ledger").await?;
        self.account = Account {
            status,
            plays,
            ledger,
            last_seen_unix_us: unix_micros(),
        };
        Ok(())
    }

    async fn behave(&mut self, tracks: &[ApiTrack]) -> anyhow::Result<()> {
        let status = &self.account.status;
        if status.plays > self.plays_seen {
            self.plays_seen = status.plays;
            let length = status
                .playing
                .as_ref()
                .map_or(0, |playing| playing.duration_ms);
            self.leaves = match self.person.patience(Duration::from_millis(length)) {
                Patience::ToTheEnd => None,
                Patience::Leaves(after) => Some(Instant::now() + after),
            };
        }
        let bored = self.leaves.is_some_and(|leaves| Instant::now() >= leaves);
        let over = status.playing.is_none();
        if over || (bored && (self.person.chooses() || status.queued == 0)) {
            let chosen = self.person.choose();
            let ids = chosen.into_iter().filter_map(|index| tracks.get(index));
            let body = TracksBody {
                tracks: ids.map(|track| track.track.clone()).collect(),
            };
            self.leaves = None;
            self.post("play", &body).await?;
        } else if bored {
            self.leaves = None;
            self.post("next", &()).await?;
        }
        Ok(())
    }

    async fn post<B: serde::Serialize + Sync>(&self, path: &str, body: &B) -> anyhow::Result<()> {
        self.listener
            .as_ref()
            .context("gone")?
            .api
            .post(path, body)
            .await
    }
}

async fn catalog(listener: &Listener) -> anyhow::Result<Vec<ApiTrack>> {
    let mut tracks: Vec<ApiTrack> = Vec::new();
    loop {
        let after = tracks.last().map(|track| format!("&after={}", track.track));
        let path = format!("catalog?limit=100{}", after.unwrap_or_default());
        let page: Page = listener.api.get(&path).await?;
        let more = page.more && !page.tracks.is_empty();
        tracks.extend(page.tracks);
        if !more {
            return Ok(tracks);
        }
    }
}
