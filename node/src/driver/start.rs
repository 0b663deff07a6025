//! How a node comes up: keys, store, transports, player, and then the loop.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_player::SinkSpec;
use antiphon_protocol::identity::{DeviceSecret, NodeSecret};
use antiphon_protocol::peer::PeerLimits;
use antiphon_protocol::tracker::Attached;
use antiphon_protocol::{BitRate, ByteCount, ContentId, ErrorCode, NodeId, Rung, TrackId};
use antiphon_swarm::directory::Directory;
use antiphon_swarm::node::input::{Budget, Command, RenditionSpec, Restored};
use antiphon_swarm::{Input, NodeConfig as CoreConfig, NodeCore};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use super::stage::Stage;
use super::{DONE_MAX, Driver, OriginEvent, PeerEvent, PeerHandle, READS_MAX, Sources};
use crate::api::{self, TOKEN_FILE};
use crate::clock::{Clock, core_duration, unix_now};
use crate::command::NodeCommand;
use crate::config::NodeConfig;
use crate::identity::{Identity, IdentityError, secret_file};
use crate::licenses::{Licenses, TrustedKeys};
use crate::node::{COMMANDS_MAX, Node, NodeHandle};
use crate::origin_client::OriginClient;
use crate::peers::{self, PeerSockets, PeerTransport, PeerTransportConfig};
use crate::play_log::PlayLog;
use crate::play_queue::PlayQueue;
use crate::session::{Credentials, Session, SessionError, load_network};
use crate::span_io::{ChunkSink, SpanSource};
use crate::store::{ChunkStore, Held, OpenStoreError, StoreOptions};
use crate::tracker_client::{LinkEvent, ParseTrackerAddressError, TrackerAddress};
use crate::tracker_client::{TrackerLink, TrackerLinkConfig};

/// How long a first start waits for the tracker, without which it cannot go on.
const TRACKER_PATIENCE: Duration = Duration::from_secs(5);
/// How long a later start waits before it goes on with what it remembers.
const TRACKER_PATIENCE_REMEMBERED: Duration = Duration::from_millis(500);
/// Spans served to one neighbor at the same time (`docs/protocol.md`, "Limits").
const SPANS_PER_NEIGHBOR: u8 = 2;

impl Node {
    /// Starts a node. Without a session in its data folder, `credentials` log it in first.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        config: NodeConfig,
        credentials: Option<Credentials>,
    ) -> Result<Self, StartError> {
        let session = session(&config, credentials).await?;
        let identity = Arc::new(Identity::load_or_create(&config.data_folder)?);
        let (store, held) = open_store(&config).await?;
        let wake = Arc::new(Notify::new());
        let stage = open_stage(&config, &wake)?;
        // The peers' port must be known before the tracker is told of it, and the tracker's key
        // before peers are let in; so the port is opened first, the tracker dialed from it, and
        // then handed over.
        let listen = peers::bind(&config.listen)?;
        let (tracker, link, attached) = attach(&config, &session, &identity, &listen).await?;
        let trusted = trusted(&attached)?;
        let (peers, peer_events) =
            start_peers(&config, (&identity, &store), listen, &trusted).await?;
        let rtt_file = config.data_folder.join("origin-rtt");
        let sink = Arc::new(store.clone());
        let (origin, origin_events) =
            OriginClient::new(attached.origins.clone(), sink, Some(rtt_file))
                .map_err(StartError::Socket)?;
        let parts = Parts {
            config: &config,
            identity,
            store,
            stage,
            tracker,
            peers,
            origin,
            trusted,
        };
        let listening = parts.peers.listen_addresses().to_vec();
        let id = parts.identity.node;
        let events = Events {
            peers: peer_events,
            origin: origin_events,
            link,
            wake,
        };
        let (mut driver, sources, commands) = assemble(parts, events)?;
        driver.restore(held);
        // Passes of an earlier run may still be good when the tracker does not answer.
        driver.use_passes(&attached.passes);
        let handle = NodeHandle::new(commands);
        let api = match config.api {
            Some(address) => Some(start_api(&config, address, &handle).await?),
            None => None,
        };
        let api_address = api.as_ref().map(|api| api.address);
        let task = tokio::spawn(async move {
            driver.run(sources).await;
            if let Some(api) = api {
                api.task.abort();
            }
        });
        Ok(Self {
            handle,
            id,
            listening,
            api: api_address,
            task,
        })
    }
}

async fn start_peers(
    config: &NodeConfig,
    (identity, store): (&Identity, &ChunkStore),
    listen: PeerSockets,
    trusted: &TrustedKeys,
) -> Result<(PeerHandle, mpsc::Receiver<PeerEvent>), StartError> {
    let sink: Arc<dyn ChunkSink> = Arc::new(store.clone());
    let source: Arc<dyn SpanSource> = Arc::new(store.clone());
    let transport = PeerTransportConfig {
        identity: *identity.transport,
        listen,
        tracker_key: trusted.tracker,
        limits: PeerLimits {
            spans_in_flight: SPANS_PER_NEIGHBOR,
            uploads: config.uploads,
        },
        now: Arc::new(unix_now),
    };
    Ok(PeerTransport::start(transport, sink, source).await?)
}

/// What a driver is made of.
struct Parts<'a> {
    config: &'a NodeConfig,
    identity: Arc<Identity>,
    store: ChunkStore,
    stage: Option<Stage>,
    tracker: TrackerLink,
    peers: PeerHandle,
    origin: OriginClient,
    trusted: TrustedKeys,
}

/// Where its parts report.
struct Events {
    peers: mpsc::Receiver<PeerEvent>,
    origin: mpsc::Receiver<OriginEvent>,
    link: mpsc::Receiver<LinkEvent>,
    wake: Arc<Notify>,
}

fn assemble(
    parts: Parts<'_>,
    events: Events,
) -> Result<(Driver, Sources, mpsc::Sender<NodeCommand>), StartError> {
    let Parts {
        config,
        identity,
        store,
        stage,
        tracker,
        peers,
        origin,
        trusted,
    } = parts;
    let (reads, reads_out) = mpsc::channel(READS_MAX);
    let (done, done_out) = mpsc::channel(DONE_MAX);
    let (commands, commands_out) = mpsc::channel(COMMANDS_MAX);
    let sources = Sources {
        commands: commands_out,
        peers: events.peers,
        origin: events.origin,
        link: events.link,
        store: store.notices().ok_or(StartError::Store)?,
        reads: reads_out,
        done: done_out,
        player: events.wake,
    };
    let driver = Driver {
        clock: Clock::start(),
        core: NodeCore::new(core_config(config), rand::random()),
        directory: Directory::default(),
        store,
        peers,
        origin,
        tracker,
        identity,
        trusted,
        licenses: Licenses::default(),
        stage,
        queue: PlayQueue::default(),
        log: PlayLog::default(),
        reads,
        done,
        rung: config.rung,
        data_folder: config.data_folder.clone(),
        tracker_connected: false,
        outside: None,
        core_plays: None,
        waits: None,
        summaries: BTreeMap::new(),
        tracks: BTreeMap::new(),
        uploads: BTreeMap::new(),
        renew_at: None,
        corrupt_chunks: 0,
        corrupt_played: Arc::default(),
        uploaded: ByteCount::ZERO,
        notices: VecDeque::new(),
        ending: false,
    };
    Ok((driver, sources, commands))
}

impl Driver {
    /// Tells the core what the store kept from earlier.
    fn restore(&mut self, held: Vec<Held>) {
        let mut restored = Vec::with_capacity(held.len());
        for Held {
            content,
            geometry,
            held,
            idle,
            keep,
        } in held
        {
            let Some(rendition) = self.directory.intern_content(content) else {
                continue;
            };
            let known = self.known_content(content);
            let bit_rate = known
                .as_ref()
                .map_or(Rung::Standard.nominal(), |known| known.bit_rate);
            if let Some(known) = known {
                self.tracks.insert(rendition, known.track);
            }
            let spec = RenditionSpec { geometry, bit_rate };
            restored.push(Restored {
                rendition,
                spec,
                held: Some(held),
                idle: core_duration(idle),
                keep,
            });
        }
        self.feed(Input::Command(Command::Restore(restored)));
    }

    fn known_content(&self, content: ContentId) -> Option<KnownContent> {
        let bytes = self.store.state_get(&content_key(content)).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    /// Keeps what a restart must know of a rendition besides its bytes.
    pub(super) fn remember_content(&self, content: ContentId, track: TrackId, spec: RenditionSpec) {
        let store = self.store.clone();
        let known = KnownContent {
            track,
            bit_rate: spec.bit_rate,
        };
        tokio::task::spawn_blocking(move || {
            let bytes = serde_json::to_vec(&known).unwrap_or_default();
            if let Err(error) = store.state_put(&content_key(content), &bytes) {
                tracing::warn!(%error, "a rendition's rate is not kept for the next start");
            }
        });
    }
}

/// What is kept of a rendition besides its bytes.
#[derive(Debug, Serialize, Deserialize)]
struct KnownContent {
    track: TrackId,
    bit_rate: BitRate,
}

/// Half of the name tells renditions of one cache apart, and fits a key of the store.
fn content_key(content: ContentId) -> String {
    let name = content.to_string();
    format!("content-{}", name.get(..32).unwrap_or(&name))
}

async fn session(
    config: &NodeConfig,
    credentials: Option<Credentials>,
) -> Result<Session, StartError> {
    if let Some(session) = Session::load(&config.data_folder)?
        && config
            .tracker
            .as_ref()
            .is_none_or(|tracker| *tracker == session.tracker)
    {
        return Ok(session);
    }
    let credentials = credentials.ok_or(StartError::NotLoggedIn)?;
    let tracker = config.tracker.as_deref().ok_or(StartError::NotLoggedIn)?;
    let tracker: TrackerAddress = tracker.parse()?;
    Ok(Session::log_in(&config.data_folder, &tracker, credentials).await?)
}

async fn open_store(config: &NodeConfig) -> Result<(ChunkStore, Vec<Held>), StartError> {
    let folder = config.cache_folder.clone();
    let opened =
        tokio::task::spawn_blocking(move || ChunkStore::open(&folder, StoreOptions::default()));
    Ok(opened.await.map_err(|_| StartError::Store)??)
}

fn open_stage(config: &NodeConfig, wake: &Arc<Notify>) -> Result<Option<Stage>, StartError> {
    let Some(sink) = &config.sink else {
        return Ok(None);
    };
    let sink: SinkSpec = sink
        .parse()
        .map_err(|error| StartError::Sink(format!("{error}")))?;
    let stage = Stage::open(&sink, Arc::clone(wake));
    stage
        .map(Some)
        .map_err(|error| StartError::Sink(error.to_string()))
}

/// Connects to the tracker; goes on with what is remembered if it does not answer.
async fn attach(
    config: &NodeConfig,
    session: &Session,
    identity: &Arc<Identity>,
    listen: &PeerSockets,
) -> Result<(TrackerLink, mpsc::Receiver<LinkEvent>, Attached), StartError> {
    let remembered = load_network(&config.data_folder)?;
    let link_config = TrackerLinkConfig {
        address: session.tracker.parse()?,
        token: session.token.clone(),
        device: Arc::new(DeviceSecret::from_bytes(&identity.device.to_bytes())),
        node: Arc::new(NodeSecret::from_bytes(&identity.transport)),
        addresses: listen.addresses().to_vec(),
        outlets: listen.outlets(),
    };
    let (link, mut events) = TrackerLink::start(link_config);
    // The event goes back to the driver's queue, so that it is handled once, like any later one.
    let patience = if remembered.is_some() {
        TRACKER_PATIENCE_REMEMBERED
    } else {
        TRACKER_PATIENCE
    };
    let first = tokio::time::timeout(patience, events.recv()).await;
    let (again, events_again) = mpsc::channel(16);
    let attached = match (first, remembered) {
        (Ok(Some(LinkEvent::Up(attached))), _) => {
            let _ = again.try_send(LinkEvent::Up(attached.clone()));
            *attached
        }
        (Ok(Some(LinkEvent::LoggedOut { code })), None) => return Err(StartError::Refused(code)),
        (_, Some(remembered)) => {
            let _ = again.try_send(LinkEvent::Down);
            remembered
        }
        _ => return Err(StartError::TrackerUnreachable(session.tracker.clone())),
    };
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if again.send(event).await.is_err() {
                return;
            }
        }
    });
    Ok((link, events_again, attached))
}

fn trusted(attached: &Attached) -> Result<TrustedKeys, StartError> {
    let key = |bytes| VerifyingKey::from_bytes(bytes).map_err(|_| StartError::Keys);
    Ok(TrustedKeys {
        tracker: key(&attached.tracker_key)?,
        catalog: key(&attached.catalog_key)?,
    })
}

fn core_config(config: &NodeConfig) -> CoreConfig {
    let mut core = if config.origin_only {
        CoreConfig::origin_only()
    } else {
        CoreConfig::antiphon()
    };
    core.budget = Budget {
        upload: config.upload,
        disk: config.cache_budget(),
        uploads: config.uploads && config.upload.0 > 0,
    };
    core.placement.share_permille = config.placement_percent.min(100) * 10;
    core.placement.first_ask =
        antiphon_swarm::Duration::from_secs(u64::from(config.placement_after_secs));
    core
}

async fn start_api(
    config: &NodeConfig,
    address: SocketAddr,
    handle: &NodeHandle,
) -> Result<api::Api, StartError> {
    let token = secret_file(&config.data_folder.join(TOKEN_FILE), || {
        let random: [u8; 32] = rand::random();
        NodeId(random).to_string().into_bytes()
    })?;
    let token = String::from_utf8_lossy(&token).trim().to_owned();
    let served = api::serve(address, handle.clone(), token).await;
    served.map_err(|source| StartError::Listen { address, source })
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Nobody is logged in on this machine.
    #[error("nobody is logged in here; run `antiphon login NAME --tracker TRACKER` first")]
    NotLoggedIn,
    /// The login failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The machine's keys cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The tracker's address cannot be read.
    #[error(transparent)]
    Address(#[from] ParseTrackerAddressError),
    /// The tracker does not answer, and never did before.
    #[error("the tracker {0} does not answer, and this machine has never been connected to it")]
    TrackerUnreachable(String),
    /// The tracker refuses the session.
    #[error("the tracker refuses this session ({0}); log in again")]
    Refused(ErrorCode),
    /// The tracker's keys are none.
    #[error("the tracker told keys that are none; its version may not fit")]
    Keys,
    /// The cache cannot be opened.
    #[error(transparent)]
    OpenStore(#[from] OpenStoreError),
    /// The store ended while it was opened.
    #[error("the chunk store ended while it was opened")]
    Store,
    /// An address is taken or does not exist.
    #[error("cannot listen on {address}: {source}; choose another address or port 0")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The peer transport did not start.
    #[error(transparent)]
    Peers(#[from] peers::StartError),
    /// No socket for the origin.
    #[error("cannot open a UDP socket: {0}")]
    Socket(std::io::Error),
    /// The sound output cannot be used.
    #[error("{0}")]
    Sink(String),
}
