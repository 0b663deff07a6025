//! Messages between a node and the tracker.
//!
//! One warm QUIC connection a node. Each request is one frame on its own bidirectional stream and
//! gets one frame back; a notice of the tracker is one frame on its own unidirectional stream.
//! `Register` and `Login` need nothing; all others need a successful `AttachNode` or `Attach` on the
//! same connection, which prove that the device of the access token opened it.

use core::net::SocketAddr;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::catalog::TrackSummary;
use crate::error_code::ErrorCode;
use crate::id::{AccountId, ContentId, NodeId, SwarmId, TrackId};
use crate::identity::DevicePublic;
use crate::license::License;
use crate::limits::{
    ADDRESSES_PER_NODE_MAX, ANNOUNCES_PER_REQUEST_MAX, CATALOG_PAGE_MAX, HOLDERS_PER_ANSWER_MAX,
    ORIGINS_MAX, PLACEMENTS_PER_ANSWER_MAX, TEXT_BYTES_MAX,
};
use crate::manifest::{Rung, TrackManifest};
use crate::peer::{Extent, PeerContact};
use crate::signed::Signed;
use crate::ticket::{Capability, Ticket};
use crate::units::{Millis, UnixSeconds};

/// A random access token, good for one device. Wiped when dropped; never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct AccessToken(pub [u8; 32]);

impl core::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

/// A password on its way to the tracker. Wiped when dropped; never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Password(
    #[serde(deserialize_with = "crate::bounded::text::<_, TEXT_BYTES_MAX>")] pub String,
);

impl core::fmt::Debug for Password {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A request to the tracker. Variants are only appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrackerRequest {
    /// Creates an account, where the operator allows it, and logs in.
    Register {
        /// 1..=64 bytes.
        #[serde(deserialize_with = "crate::bounded::text::<_, TEXT_BYTES_MAX>")]
        name: String,
        /// 8..=256 bytes.
        password: Password,
        /// The device to bind the token to.
        device: DevicePublic,
    },
    /// Logs in.
    Login {
        /// The account's name.
        #[serde(deserialize_with = "crate::bounded::text::<_, TEXT_BYTES_MAX>")]
        name: String,
        /// Its password.
        password: Password,
        /// The device to bind the token to.
        device: DevicePublic,
    },
    /// Authenticates this connection for an account, and for no node: what nodes sent before there
    /// was [`TrackerRequest::AttachNode`]. Whoever comes this way is never named to others.
    Attach {
        /// From `Register` or `Login`.
        token: AccessToken,
        /// The device's signature over this connection's channel binding.
        proof: ([u8; 32], [u8; 32]),
        /// The transport key of this node, for its ticket. Not proven.
        node: NodeId,
        /// Where peers reach it; the tracker replaces unspecified IPs by the one it sees. An
        /// unspecified IP with port 0 stands for the whole address it sees: this connection comes
        /// from the socket that peers are served on.
        #[serde(deserialize_with = "crate::bounded::list::<_, _, ADDRESSES_PER_NODE_MAX>")]
        addresses: Vec<SocketAddr>,
    },
    /// A page of the catalog in a stable order.
    Catalog {
        /// The last track of the page before.
        after: Option<TrackId>,
        /// At most [`crate::limits::CATALOG_PAGE_MAX`].
        limit: u16,
    },
    /// Tracks that match words of title, artist or album.
    Search {
        /// What people type.
        #[serde(deserialize_with = "crate::bounded::text::<_, TEXT_BYTES_MAX>")]
        query: String,
        /// At most [`crate::limits::CATALOG_PAGE_MAX`].
        limit: u16,
    },
    /// Everything needed to play a track, in one reply.
    Open {
        /// The track.
        track: TrackId,
        /// The quality wished for.
        rung: Rung,
    },
    /// What this node can serve. Soft state: forgotten some time after the last word of it.
    Announce {
        /// At most [`crate::limits::ANNOUNCES_PER_REQUEST_MAX`].
        #[serde(deserialize_with = "crate::bounded::list::<_, _, ANNOUNCES_PER_REQUEST_MAX>")]
        entries: Vec<AnnounceEntry>,
    },
    /// Holders of a rendition.
    Lookup {
        /// The rendition.
        content: ContentId,
        /// At most [`crate::limits::HOLDERS_PER_ANSWER_MAX`].
        limit: u8,
    },
    /// A new ticket and capability for this node.
    Renew,
    /// The node is going offline; forget what it holds.
    Leave,
    /// What this node should keep for others, because few hold it.
    Placements {
        /// At most [`crate::limits::PLACEMENTS_PER_ANSWER_MAX`].
        limit: u8,
    },
    /// Tells a peer, which the tracker has named to this node, to connect to it: routers may let
    /// connections of one of the two through only after the other has sent something.
    Introduce {
        /// The peer.
        node: NodeId,
    },
    /// Authenticates this connection for an account and a node.
    AttachNode {
        /// From `Register` or `Login`.
        token: AccessToken,
        /// The device's signature over this connection's channel binding.
        proof: ([u8; 32], [u8; 32]),
        /// The transport key of this node.
        node: NodeId,
        /// That key's signature over this connection's channel binding.
        node_proof: ([u8; 32], [u8; 32]),
        /// As in `Attach`.
        #[serde(deserialize_with = "crate::bounded::list::<_, _, ADDRESSES_PER_NODE_MAX>")]
        addresses: Vec<SocketAddr>,
    },
    /// `Open` by who has all of the music already: the same reply, without holders.
    OpenHeld {
        /// The track.
        track: TrackId,
        /// The quality held.
        rung: Rung,
    },
}

/// One rendition a node can serve, by its content: the tracker knows both names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnounceEntry {
    /// The rendition.
    pub content: ContentId,
    /// How much of it.
    pub extent: Extent,
}

/// Where the origin is and how to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginAddress {
    /// `host:port` of its QUIC and HTTP ports.
    #[serde(deserialize_with = "crate::bounded::text::<_, TEXT_BYTES_MAX>")]
    pub host: String,
    /// BLAKE3 of its certificate (DER).
    pub certificate: [u8; 32],
}

/// Passes for peers and origins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passes {
    /// For peers.
    pub ticket: Signed<Ticket>,
    /// For origins.
    pub capability: Signed<Capability>,
    /// When to ask for new ones, from receipt.
    pub renew_after: Millis,
}

/// A reply of the tracker. Variants are only appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrackerReply {
    /// No.
    Refused {
        /// Why.
        code: ErrorCode,
        /// When asking again makes sense.
        retry_after: Millis,
    },
    /// Answers `Register` and `Login`.
    Session {
        /// The account.
        account: AccountId,
        /// For `AttachNode`.
        token: AccessToken,
        /// When the token ends.
        expires: UnixSeconds,
    },
    /// Answers `AttachNode` and `Attach`.
    Attached(Box<Attached>),
    /// Answers `Catalog` and `Search`.
    Tracks {
        /// The page.
        #[serde(deserialize_with = "crate::bounded::list::<_, _, CATALOG_PAGE_MAX>")]
        tracks: Vec<TrackSummary>,
        /// Whether more follow.
        more: bool,
    },
    /// Answers `Open`, and `OpenHeld` with no holders.
    Opened(Box<OpenedTrack>),
    /// Answers `Announce`: the swarm names of the day, in the order of the entries; none for
    /// content the catalog does not know.
    Announced {
        /// As many as entries.
        #[serde(deserialize_with = "crate::bounded::list::<_, _, ANNOUNCES_PER_REQUEST_MAX>")]
        swarms: Vec<Option<SwarmId>>,
        /// When to say it again, from receipt.
        again_after: Millis,
    },
    /// Answers `Lookup`.
    Holders {
        /// The swarm of the day.
        swarm: SwarmId,
        /// Best first.
        #[serde(deserialize_with = "crate::bounded::list::<_, _, HOLDERS_PER_ANSWER_MAX>")]
        holders: Vec<Holder>,
    },
    /// Answers `Renew`.
    Passes(Box<Passes>),
    /// Answers `Leave`.
    Left,
    /// Answers an `Announce` without entries: what was announced before is believed on.
    Renewed {
        /// Whether the tracker wants to hear everything again, because it forgot some of it or
        /// because the swarms have new names.
        everything: bool,
        /// When to say it again, from receipt.
        again_after: Millis,
    },
    /// Answers `Placements`, most wanted first. No keys come with it: what is kept is sealed.
    Placements {
        /// What to keep.
        #[serde(deserialize_with = "crate::bounded::list::<_, _, PLACEMENTS_PER_ANSWER_MAX>")]
        placements: Vec<Placement>,
    },
    /// Answers `Introduce`: the peer is being told.
    Introduced,
}

/// What the tracker says unasked, each on its own unidirectional stream. Variants are only
/// appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrackerNotice {
    /// A node that this one was named to wants to connect, and its dial is not answered.
    Introduction {
        /// Who.
        node: NodeId,
        /// Where the tracker sees the socket that it serves peers on.
        address: SocketAddr,
    },
    /// This node is elsewhere than it has proved with its connection's handshake. Attaching on a new
    /// one lets others be told where.
    Moved,
}

/// A rendition that a node is asked to keep for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// What the track is.
    pub manifest: Signed<TrackManifest>,
    /// Its rendition.
    pub content: ContentId,
    /// Its swarm of the day.
    pub swarm: SwarmId,
    /// Who can serve it, best first; none if it is to come from the origin.
    #[serde(deserialize_with = "crate::bounded::list::<_, _, HOLDERS_PER_ANSWER_MAX>")]
    pub holders: Vec<Holder>,
}

/// Answers `AttachNode` and `Attach`: what a node needs to know of this network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The account.
    pub account: AccountId,
    /// Signs licenses, tickets and capabilities (Ed25519).
    pub tracker_key: [u8; 32],
    /// Signs manifests (Ed25519).
    pub catalog_key: [u8; 32],
    /// Origins, best first.
    #[serde(deserialize_with = "crate::bounded::list::<_, _, ORIGINS_MAX>")]
    pub origins: Vec<OriginAddress>,
    /// Passes for this node.
    pub passes: Passes,
    /// The address this connection comes from, as the tracker sees it.
    pub observed: SocketAddr,
    /// The tracker's clock, as a beacon.
    pub now: UnixSeconds,
}

/// A peer that can serve a rendition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Where it is.
    pub contact: PeerContact,
    /// Whether it has all of it.
    pub full: bool,
}

/// Answers `Open`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedTrack {
    /// What the track is.
    pub manifest: Signed<TrackManifest>,
    /// Its keys for this device.
    pub license: Signed<License>,
    /// The rendition chosen for the rung asked for.
    pub content: ContentId,
    /// Its swarm of the day.
    pub swarm: SwarmId,
    /// Who can serve it, best first.
    #[serde(deserialize_with = "crate::bounded::list::<_, _, HOLDERS_PER_ANSWER_MAX>")]
    pub holders: Vec<Holder>,
}
