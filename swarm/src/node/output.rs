//! Everything the core can ask of a driver.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::peer::{Extent, Priority};
use antiphon_protocol::{ByteCount, Span};

use crate::key::{FetchId, PeerKey, PlayId, RenditionKey, UploadId};
use crate::node::input::{Keep, Message};
use crate::time::Duration;

/// One effect for the driver to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a control message to a connected peer.
    Send {
        /// To whom.
        peer: PeerKey,
        /// What.
        message: Message,
    },
    /// Connect to a peer.
    Dial {
        /// To whom.
        peer: PeerKey,
    },
    /// End a connection.
    Close {
        /// With whom.
        peer: PeerKey,
        /// The reason to tell.
        code: ErrorCode,
    },
    /// Ask a source for a span.
    Fetch {
        /// Names it in [`crate::Input::Fetch`].
        fetch: FetchId,
        /// Whom to ask.
        source: Source,
        /// Of what.
        rendition: RenditionKey,
        /// Which chunks.
        span: Span,
        /// How urgent.
        priority: Priority,
        /// How long from now the bytes are useful.
        deadline: Duration,
    },
    /// The fetch is not wanted any more. The driver reports nothing further of it.
    Cancel {
        /// Which.
        fetch: FetchId,
    },
    /// Serve a span that was asked of us.
    AcceptUpload {
        /// Which.
        upload: UploadId,
    },
    /// Do not serve it.
    DeclineUpload {
        /// Which.
        upload: UploadId,
        /// Why.
        code: ErrorCode,
        /// When to ask again.
        retry_after: Duration,
    },
    /// End an accepted upload early; [`crate::Input::UploadEnded`] still follows.
    EndUpload {
        /// Which.
        upload: UploadId,
        /// Why.
        code: ErrorCode,
    },
    /// Ask the tracker for holders.
    Lookup {
        /// Of what.
        rendition: RenditionKey,
        /// How many.
        limit: u8,
    },
    /// Tell the tracker what this node can serve.
    Announce {
        /// Changes since the last, or everything after [`crate::node::input::TrackerEvent::Reachable`];
        /// none to say that nothing changed.
        entries: Vec<(RenditionKey, Extent)>,
    },
    /// Ask the tracker what to keep for others. Introduce what it names, tell its holders, and
    /// [`crate::node::input::Command::Place`] it.
    AskPlacements {
        /// How many renditions at most.
        limit: u8,
    },
    /// Remember how firmly a rendition is kept, for [`crate::node::input::Command::Restore`].
    Keep {
        /// Which.
        rendition: RenditionKey,
        /// How firmly.
        keep: Keep,
    },
    /// Drop a rendition from the store; [`crate::node::input::StoreEvent::Evicted`] answers.
    Evict {
        /// Which.
        rendition: RenditionKey,
    },
    /// Something worth telling.
    Event(Event),
}

/// Where a span is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A connected peer.
    Peer(PeerKey),
    /// The origin.
    Origin(OriginRoute),
}

/// The two ways to the origin, so that one may fail without the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OriginRoute {
    /// QUIC.
    Quic,
    /// HTTP over TCP.
    Http,
}

/// Something for the person, the log, the metrics or the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Chunks that were fetched, for a play or ahead of one, are there now; says where they came
    /// from.
    Received {
        /// The rendition.
        rendition: RenditionKey,
        /// From where.
        source: Source,
        /// Verified bytes, once each.
        bytes: ByteCount,
        /// Verified bytes that were there already (a lost race).
        wasted: ByteCount,
    },
    /// No source can deliver what the play needs next; it goes on by itself when one appears.
    Starved {
        /// The play.
        play: PlayId,
    },
    /// The play that was starved gets data again.
    Fed {
        /// The play.
        play: PlayId,
    },
    /// A peer was penalized.
    Penalized {
        /// Who.
        peer: PeerKey,
        /// For what.
        offense: Offense,
    },
}

/// What a peer is penalized for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Offense {
    /// Bytes that failed verification.
    Corrupt,
    /// Said it had what it then declined as not held.
    Lied,
    /// Let an urgent span stall.
    Stalled,
    /// Broke the protocol.
    Misbehaved,
}
