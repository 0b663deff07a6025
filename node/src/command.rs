//! What a person (through the terminal, the local API or a program) can tell a node.

use std::time::{Duration, Instant};

use antiphon_protocol::TrackId;
use antiphon_protocol::catalog::TrackSummary;
use antiphon_protocol::error_code::ErrorCode;
use tokio::sync::oneshot;

use crate::play_queue::Queued;
use crate::status::{LedgerEntry, PlayRecord, Status};

/// Where the answer to a command goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, CommandError>>;

/// One command to the driver.
pub(crate) enum NodeCommand {
    /// Replace the queue and play its first entry.
    Play {
        entries: Vec<Queued>,
        commanded: Instant,
        reply: Reply<()>,
    },
    /// Append to the queue; begins to play if nothing does.
    Enqueue {
        entries: Vec<Queued>,
        commanded: Instant,
        reply: Reply<usize>,
    },
    /// Something for the player.
    Transport {
        control: Control,
        commanded: Instant,
        reply: Reply<()>,
    },
    /// Fetch a track whole and keep it.
    Pin { track: TrackId, reply: Reply<()> },
    /// Words to tracks.
    Search {
        query: String,
        limit: u16,
        reply: Reply<Vec<TrackSummary>>,
    },
    /// A page of the catalog; whether more follow.
    Catalog {
        after: Option<TrackId>,
        limit: u16,
        reply: Reply<(Vec<TrackSummary>, bool)>,
    },
    /// The picture now.
    Status { reply: Reply<Status> },
    /// The plays since the start, oldest first, bounded.
    Plays { reply: Reply<Vec<PlayRecord>> },
    /// Renditions and where their bytes came from.
    Ledger { reply: Reply<Vec<LedgerEntry>> },
    /// Say goodbye and end.
    Shutdown { reply: Reply<()> },
}

/// The keys of a player.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Control {
    /// Stop sounding, keep the place.
    Pause,
    /// Go on.
    Resume,
    /// Jump.
    Seek(Duration),
    /// The next entry.
    Next,
    /// The former entry.
    Previous,
    /// Nothing plays any more; the queue stays.
    Stop,
    /// 0.0 to 1.0.
    Volume(f32),
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The node has ended or is ending.
    #[error("the node is shutting down")]
    Gone,
    /// This node was started without a player.
    #[error("this node has no player; start it with a --sink")]
    NoPlayer,
    /// The player refused.
    #[error("the player cannot do this: {0}")]
    Player(String),
    /// Nothing plays.
    #[error("nothing is playing")]
    NothingPlaying,
    /// Nothing was given to play.
    #[error("there is nothing to play")]
    NothingGiven,
    /// The tracker is not connected.
    #[error("the tracker is not reachable now; it is tried again by itself")]
    TrackerUnreachable,
    /// The tracker said no.
    #[error("the tracker refused: {0}")]
    Refused(ErrorCode),
    /// What the tracker sent is not genuine.
    #[error("the tracker's answer was not accepted: {0}")]
    NotGenuine(String),
    /// The disk.
    #[error("the chunk store failed: {0}")]
    Store(String),
}
