//! The driver: one loop that turns sockets, disk, player and people into the core's inputs and
//! carries out what the core decides.
//!
//! The loop waits for one thing, feeds it to the core, drains the core's outputs, and sleeps until
//! the core's next deadline. What takes long (requests to the tracker, the disk, decoding) goes
//! out and comes back as another thing to wait for. No decision of the swarm is made here.

mod commands;
mod controls;
mod effects;
mod introductions;
mod network;
mod placement;
mod player_events;
mod playing;
mod queries;
mod stage;
mod start;
mod tracker_link;
mod waiting;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant as SystemInstant;

use antiphon_protocol::catalog::TrackSummary;
use antiphon_protocol::{ByteCount, ChunkIndex, Rung, TrackId};
use antiphon_swarm::directory::Directory;
use antiphon_swarm::{Input, NodeCore, PlayId, RenditionKey, UploadId};
use tokio::sync::{Notify, mpsc};

use crate::clock::Clock;
use crate::command::NodeCommand;
use crate::identity::Identity;
use crate::licenses::{Licenses, TrustedKeys};
use crate::origin_client::{OriginClient, OriginEvent};
use crate::peers::{PeerEvent, PeerHandle};
use crate::play_log::PlayLog;
use crate::play_queue::PlayQueue;
use crate::store::{ChunkStore, StoreNotice};
use crate::tracker_client::{LinkEvent, TrackerLink};

pub use start::StartError;

use stage::Stage;

/// Results of spawned work that may wait; spawned tasks wait when it is full.
const DONE_MAX: usize = 256;
/// Reports of readers that may wait. A lost one is made good by the next.
const READS_MAX: usize = 1_024;
/// Notices a person may still want to see.
const NOTICES_MAX: usize = 20;

/// A reader entered a chunk.
#[derive(Clone, Copy, Debug)]
struct ChunkRead {
    play: PlayId,
    chunk: ChunkIndex,
}

/// Everything the loop waits for besides commands.
struct Sources {
    commands: mpsc::Receiver<NodeCommand>,
    peers: mpsc::Receiver<PeerEvent>,
    origin: mpsc::Receiver<OriginEvent>,
    link: mpsc::Receiver<LinkEvent>,
    store: mpsc::Receiver<StoreNotice>,
    reads: mpsc::Receiver<ChunkRead>,
    done: mpsc::Receiver<tracker_link::Done>,
    player: Arc<Notify>,
}

/// The state behind the loop.
struct Driver {
    clock: Clock,
    core: NodeCore,
    directory: Directory,
    store: ChunkStore,
    peers: PeerHandle,
    origin: OriginClient,
    tracker: TrackerLink,
    identity: Arc<Identity>,
    trusted: TrustedKeys,
    licenses: Licenses,
    stage: Option<Stage>,
    queue: PlayQueue,
    log: PlayLog,
    reads: mpsc::Sender<ChunkRead>,
    done: mpsc::Sender<tracker_link::Done>,
    rung: Rung,
    data_folder: std::path::PathBuf,
    tracker_connected: bool,
    /// Where the tracker sees the peers' socket, if it does.
    outside: Option<SocketAddr>,
    /// The play the core was told of last.
    core_plays: Option<PlayId>,
    /// The queue stands still because the tracker is gone.
    waits: Option<waiting::Waits>,
    /// What the catalog said of tracks lately.
    summaries: BTreeMap<TrackId, TrackSummary>,
    /// Renditions by track, for the ledger, and whose spans peers asked for.
    tracks: BTreeMap<RenditionKey, TrackId>,
    uploads: BTreeMap<UploadId, RenditionKey>,
    /// When passes are to be renewed.
    renew_at: Option<SystemInstant>,
    corrupt_chunks: u64,
    corrupt_played: Arc<std::sync::atomic::AtomicU64>,
    uploaded: ByteCount,
    notices: VecDeque<String>,
    ending: bool,
}

/// What woke the loop.
enum Woken {
    Command(NodeCommand),
    Peer(PeerEvent),
    Origin(OriginEvent),
    Link(LinkEvent),
    Store(StoreNotice),
    Read(ChunkRead),
    Done(tracker_link::Done),
    Player,
    Deadline,
}

impl Driver {
    /// Runs until told to end.
    async fn run(mut self, mut sources: Sources) {
        while !self.ending {
            let deadline = self.deadline();
            let woken = tokio::select! {
                Some(command) = sources.commands.recv() => Woken::Command(command),
                Some(event) = sources.peers.recv() => Woken::Peer(event),
                Some(event) = sources.origin.recv() => Woken::Origin(event),
                Some(event) = sources.link.recv() => Woken::Link(event),
                Some(notice) = sources.store.recv() => Woken::Store(notice),
                Some(read) = sources.reads.recv() => Woken::Read(read),
                Some(done) = sources.done.recv() => Woken::Done(done),
                () = sources.player.notified() => Woken::Player,
                () = tokio::time::sleep_until(deadline.into()) => Woken::Deadline,
            };
            self.apply(woken);
        }
        self.end().await;
    }

    fn apply(&mut self, woken: Woken) {
        match woken {
            Woken::Command(command) => self.on_command(command),
            Woken::Peer(event) => self.on_peer(event),
            Woken::Origin(event) => self.on_origin(event),
            Woken::Link(event) => self.on_link(event),
            Woken::Store(notice) => self.on_store(notice),
            Woken::Read(read) => self.on_read(read),
            Woken::Done(done) => self.on_done(done),
            Woken::Player => self.on_player(),
            Woken::Deadline => self.on_deadline(),
        }
    }

    /// The earliest of the core's deadline, the renewal of passes, and what the tracker had no time for.
    fn deadline(&self) -> SystemInstant {
        let core = self.core.poll_timeout().map(|at| self.clock.system(at));
        let far = SystemInstant::now() + std::time::Duration::from_secs(3_600);
        [core, self.renew_at, self.asks_again_at()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(far)
    }

    fn on_deadline(&mut self) {
        if self.renew_at.is_some_and(|at| SystemInstant::now() >= at) {
            self.renew_at = None;
            self.renew_passes();
        }
        self.ask_again();
        if self
            .core
            .poll_timeout()
            .is_some_and(|at| at <= self.clock.now())
        {
            self.feed(Input::Timeout);
        }
    }

    /// Feeds one input and carries out everything that follows from it.
    fn feed(&mut self, input: Input) {
        self.core.handle(self.clock.now(), input);
        while let Some(output) = self.core.poll_output() {
            self.carry_out(output);
        }
    }

    fn on_store(&mut self, notice: StoreNotice) {
        use antiphon_swarm::node::input::StoreEvent;
        match notice {
            StoreNotice::Lost { content, span } => {
                let rendition = self.directory.rendition_of(content);
                self.notice(format!(
                    "{} chunks on disk were damaged; fetched again",
                    span.count()
                ));
                if let Some(rendition) = rendition {
                    self.feed(Input::Store(StoreEvent::Lost { rendition, span }));
                }
            }
            StoreNotice::Full => {
                self.notice("the disk is full; playing from memory, nothing is cached".to_owned());
                self.feed(Input::Store(StoreEvent::Full));
            }
            StoreNotice::Writable => {
                self.notice("the disk takes music again".to_owned());
                self.feed(Input::Store(StoreEvent::Writable));
            }
            StoreNotice::IndexDamaged => {
                self.notice("the cache's index was damaged; the cache starts anew".to_owned());
            }
            other => tracing::warn!(?other, "the store noticed something"),
        }
    }

    fn notice(&mut self, text: String) {
        tracing::warn!("{text}");
        if self.notices.len() == NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(text);
    }

    /// Says goodbye, stops the sound, and writes down what is in memory.
    async fn end(mut self) {
        self.feed(Input::Command(
            antiphon_swarm::node::input::Command::Shutdown,
        ));
        let leave = self
            .tracker
            .request(antiphon_protocol::tracker::TrackerRequest::Leave);
        // A courtesy; without it the tracker notices that the connection is gone.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(300), leave).await;
        // It goes out from the peers' socket, so it says goodbye before that closes.
        if let Some(client) = self.tracker.client() {
            client.close();
        }
        drop(self.tracker);
        self.peers.shutdown().await;
        if let Some(stage) = self.stage.take() {
            stage.end().await;
        }
        let store = self.store.clone();
        if tokio::task::spawn_blocking(move || store.close())
            .await
            .is_err()
        {
            tracing::error!("the chunk store did not close well");
        }
    }
}

/// Whether a play is for a person's command, and of which track.
#[derive(Clone, Copy, Debug)]
struct Wish {
    track: TrackId,
    commanded: bool,
    began: SystemInstant,
}
