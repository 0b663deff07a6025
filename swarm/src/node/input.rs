//! Everything a driver can tell the core.

use std::sync::Arc;

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::peer::{Extent, Priority};
use antiphon_protocol::{BitRate, ByteCount, ChunkIndex, ChunkSet, Geometry, QueryId, Span};

use crate::key::{FetchId, PeerKey, PlayId, RenditionKey, UploadId};
use crate::time::{Duration, Instant};

/// One event. See the variants' types for what each means.
#[derive(Clone, Debug)]
pub enum Input {
    /// The person or the player wants something.
    Command(Command),
    /// A connection to a peer came, went, or was measured.
    Neighbor {
        /// Which peer.
        peer: PeerKey,
        /// What happened.
        event: NeighborEvent,
    },
    /// A control message of a connected peer, decoded and translated to keys.
    Message {
        /// From whom.
        peer: PeerKey,
        /// What it says.
        message: Message,
    },
    /// A peer asks us for a span.
    SpanAsked {
        /// The driver's name for it, in the answer and in [`Input::UploadEnded`].
        upload: UploadId,
        /// Who asks.
        peer: PeerKey,
        /// Of what; the driver declines swarms it has no key for.
        rendition: RenditionKey,
        /// Which chunks.
        span: Span,
        /// How urgent it is to the asker.
        priority: Priority,
        /// How long it is useful to the asker.
        deadline: Duration,
    },
    /// An accepted upload is over.
    UploadEnded {
        /// Which.
        upload: UploadId,
        /// Bytes that left.
        sent: ByteCount,
        /// Whether the whole span left.
        complete: bool,
    },
    /// News of a span the core asked for.
    Fetch {
        /// Which.
        fetch: FetchId,
        /// What happened.
        event: FetchEvent,
    },
    /// News from the tracker.
    Tracker(TrackerEvent),
    /// News from the chunk store.
    Store(StoreEvent),
    /// The deadline of [`crate::NodeCore::poll_timeout`] has come.
    Timeout,
}

/// What the core must know of a rendition before it can fetch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenditionSpec {
    /// Its size and chunks.
    pub geometry: Geometry,
    /// Its mean rate.
    pub bit_rate: BitRate,
}

/// What the person, the player or the operator wants.
#[derive(Clone, Debug)]
pub enum Command {
    /// The renditions that are (partly) in the store from earlier; said at the start.
    Restore(Vec<Restored>),
    /// Introduces a rendition, before any other command names it.
    Introduce {
        /// Which.
        rendition: RenditionKey,
        /// What it is.
        spec: RenditionSpec,
    },
    /// Play this now, from the chunk given. Ends the former play.
    Play {
        /// Names this play in events.
        play: PlayId,
        /// What.
        rendition: RenditionKey,
        /// First chunk of audio needed; chunk 0 (the codec's setup) is needed too.
        from: ChunkIndex,
    },
    /// Where the player reads now. Said when the reader enters another chunk; between reports the
    /// core extrapolates at the rendition's rate.
    Playhead {
        /// The chunk being read.
        chunk: ChunkIndex,
        /// Whether sound is coming out; false while paused.
        playing: bool,
    },
    /// The player jumped.
    Seek {
        /// The chunk needed next.
        to: ChunkIndex,
    },
    /// Nothing plays any more.
    Stop,
    /// What will probably play next, most probable first; replaces the former list.
    Expect {
        /// At most [`crate::limits::EXPECTED_MAX`] are looked at.
        next: Vec<Expected>,
    },
    /// Fetch all of it in the background and never evict it (a seed, offline music).
    Pin {
        /// Which.
        rendition: RenditionKey,
    },
    /// Fetch all of it in the background and keep it for others, within the share of the disk that
    /// placement may take.
    Place {
        /// Which.
        rendition: RenditionKey,
    },
    /// It may be evicted again.
    Unpin {
        /// Which.
        rendition: RenditionKey,
    },
    /// Changes the budgets.
    Budget(Budget),
    /// The program will end: say goodbye to everybody.
    Shutdown,
}

/// One rendition of [`Command::Restore`].
#[derive(Clone, Debug)]
pub struct Restored {
    /// Which.
    pub rendition: RenditionKey,
    /// What it is.
    pub spec: RenditionSpec,
    /// What of it is there; nothing means all of it.
    pub held: Option<ChunkSet>,
    /// How long ago it was last used.
    pub idle: Duration,
    /// How firmly it is kept, from an earlier run.
    pub keep: Keep,
}

/// How firmly a rendition is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Until the room is needed.
    #[default]
    Cached,
    /// For others, because few hold it: within the share of the disk that placement may take.
    Placed,
    /// Until the person says otherwise.
    Pinned,
}

/// A rendition that may be heard soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Which.
    pub rendition: RenditionKey,
    /// How probable, in thousandths.
    pub chance_permille: u16,
}

/// What the node may spend. Zero is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Upload rate.
    pub upload: BitRate,
    /// Bytes of audio on disk.
    pub disk: ByteCount,
    /// Whether uploads are allowed at all (not on metered links).
    pub uploads: bool,
}

/// A connection's life. The driver has checked ticket and version before `Connected`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighborEvent {
    /// Ready for messages and spans.
    Connected {
        /// Whether we dialed.
        outbound: bool,
        /// Round trip as measured by the handshake.
        rtt: Duration,
        /// Spans it will serve us at the same time.
        spans_in_flight: u8,
        /// Whether it uploads at all.
        uploads: bool,
    },
    /// A dial did not lead to a connection.
    DialFailed,
    /// The connection is gone; every fetch on it fails by itself too.
    Disconnected {
        /// The code the peer gave, if any.
        code: Option<ErrorCode>,
    },
    /// A new measurement of the round trip.
    Rtt(Duration),
    /// It did something no honest peer does (unparsable frame, wrong ticket); the driver closed
    /// or will close on [`crate::Output::Close`].
    Misbehaved,
}

/// A control message with keys for wire names. See [`antiphon_protocol::peer::PeerMessage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// What the sender holds.
    Have {
        /// Pairs of rendition and extent.
        holdings: Vec<(RenditionKey, Extent)>,
    },
    /// Overlay search.
    Find {
        /// The search.
        query: QueryId,
        /// What is sought.
        rendition: RenditionKey,
        /// Hops left.
        hops: u8,
    },
    /// Answer to a search.
    Found {
        /// The search.
        query: QueryId,
        /// What was sought.
        rendition: RenditionKey,
        /// Who holds it.
        holders: Vec<PeerKey>,
    },
    /// What the sender wants to hear `Have` of.
    Interest {
        /// Replaces the former list. Shared, because many neighbors are told the same.
        renditions: Arc<[RenditionKey]>,
    },
    /// The sender will close.
    Bye {
        /// Why.
        code: ErrorCode,
    },
}

/// A fetch's life: any number of `Verified`, or `Arrived` of a part, then exactly one of the others, or silence
/// after [`crate::Output::Cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchEvent {
    /// The source agreed to send; the first bytes are on their way.
    Accepted,
    /// All chunks of the span before this one are verified and in the store.
    Verified {
        /// The chunk after the last verified one.
        until: ChunkIndex,
    },
    /// Several things at once, for a driver that tells of a span only now and then: the first chunk came at `first`,
    /// and by now all before `until` are verified and in the store. The last event if that is the whole span.
    Arrived {
        /// When the first chunk was there.
        first: Instant,
        /// The chunk after the last verified one.
        until: ChunkIndex,
    },
    /// The whole span is verified and in the store.
    Done,
    /// The source will not send.
    Declined {
        /// Why.
        code: ErrorCode,
        /// When to ask again.
        retry_after: Duration,
    },
    /// The source sent bytes that failed verification.
    Corrupt,
    /// The transfer broke: connection lost, reset, refused, unreachable.
    Failed,
}

/// What the tracker said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackerEvent {
    /// Answer to [`crate::Output::Lookup`], or holders that came with an opened track.
    Holders {
        /// Of what.
        rendition: RenditionKey,
        /// Best first; whether each has all of it.
        holders: Vec<(PeerKey, bool)>,
    },
    /// A lookup or announce failed; the driver reconnects by itself.
    Unreachable,
    /// The connection is up (again): announce everything.
    Reachable,
    /// A measurement of the round trip to the tracker.
    Rtt(Duration),
    /// Answer to [`crate::Output::Announce`].
    Announced {
        /// When to say that it still holds.
        again_after: Duration,
    },
    /// The tracker forgot what was announced, or names it anew: it wants to hear everything.
    AnnounceAll,
}

/// What the store noticed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// Chunks that were counted as held turned out wrong or gone when read.
    Lost {
        /// Of what.
        rendition: RenditionKey,
        /// Which.
        span: Span,
    },
    /// The disk takes nothing more; chunks are kept in a small window in memory.
    Full,
    /// The disk takes chunks again.
    Writable,
    /// An [`crate::Output::Evict`] is carried out.
    Evicted {
        /// What.
        rendition: RenditionKey,
    },
}
