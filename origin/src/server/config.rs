//! What an operator can set on an origin, with defaults that fit a small server.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use antiphon_protocol::{ByteCount, Millis};
use serde::{Deserialize, Serialize};

/// Settings of an origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OriginConfig {
    /// Where the objects are.
    pub objects: ObjectsLocation,
    /// Folder of the certificate and its key, made on first start.
    pub state: PathBuf,
    /// Where to listen: QUIC on the UDP port, HTTP on the TCP port of the same number.
    pub listen: SocketAddr,
    /// The tracker's Ed25519 public key. With it, content is only given to who shows a capability
    /// the tracker signed; without it, to everybody. Content is ciphertext either way.
    pub capability_key: Option<[u8; 32]>,
    /// QUIC connections at a time; later ones are refused.
    pub quic_connections_max: usize,
    /// The same from one address (IPv6: from one /64). Many listeners may share one behind their
    /// provider's address translation.
    pub quic_connections_per_address: usize,
    /// QUIC handshakes a second from one address, in the long run; later ones are refused.
    pub handshakes_per_address_per_second: u32,
    /// QUIC handshakes from one address in a burst.
    pub handshakes_per_address_burst: u32,
    /// HTTP connections at a time; later ones wait in the system's queue.
    pub http_connections_max: usize,
    /// Handshakes from addresses that have not been proven, above which newcomers must prove
    /// theirs first (QUIC Retry).
    pub unproven_handshakes_max: usize,
    /// Answers being sent at a time; each holds at most two pieces
    /// (`PIECE_CHUNKS`) in memory. Later requests are told to come back.
    pub answers_max: usize,
    /// Bytes of outboards kept in memory.
    pub outboard_cache: ByteCount,
    /// TLS sessions remembered for 0-RTT.
    pub tls_sessions: usize,
    /// How long a request may take to arrive once its stream or connection is open.
    pub request_timeout: Millis,
    /// How long the object store may take for one read.
    pub store_timeout: Millis,
    /// How long one piece of an answer may take to be taken by the receiver.
    pub send_timeout: Millis,
    /// How long a connection may be silent.
    pub idle_timeout: Millis,
    /// How long running answers may take to end on shutdown.
    pub drain_timeout: Millis,
}

/// Where the objects are. Another engine is another variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ObjectsLocation {
    /// A local folder, laid out as [`crate::library`] says (its `objects` folder).
    Folder(PathBuf),
}

impl Default for OriginConfig {
    fn default() -> Self {
        Self {
            objects: ObjectsLocation::Folder(PathBuf::from("/var/lib/antiphon/library/objects")),
            state: PathBuf::from("/var/lib/antiphon/origin"),
            listen: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), PORT),
            capability_key: None,
            // With the send window of a connection (`quic::transport`) this bounds what unread
            // answers can hold at 1 GiB; one connection is one listener. Guess.
            quic_connections_max: 2_048,
            // An eighth of all. Guess.
            quic_connections_per_address: 256,
            // Under a hundredth of a core; after a restart a few hundred listeners behind one
            // address are back within seconds. Guess.
            handshakes_per_address_per_second: 20,
            handshakes_per_address_burst: 200,
            // HTTP is the second way in; a proxy in front multiplexes. Guess.
            http_connections_max: 512,
            // As many as one node allows in total before any check (reliability study).
            unproven_handshakes_max: 64,
            // Two pieces of 256 KiB each: 256 MiB at most.
            answers_max: 512,
            // The outboard of a four-minute track is 19 KiB: 3,400 tracks. Guess.
            outboard_cache: ByteCount::mib(64),
            // About half a KiB each; two are used up by each connection.
            tls_sessions: 32 * 1024,
            // A request is one packet; five seconds are five losses of it.
            request_timeout: Millis(5_000),
            store_timeout: Millis(10_000),
            // 256 KiB in 15 s is 140 kbit/s: who is slower cannot play the standard rung.
            send_timeout: Millis(15_000),
            idle_timeout: Millis(60_000),
            drain_timeout: Millis(5_000),
        }
    }
}

/// The origin's port, UDP and TCP.
const PORT: u16 = 7790;
