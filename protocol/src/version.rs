//! Protocol versions. One line each on what changed.

/// Version of the node-to-node protocol: 1, the first.
pub const PEER: u16 = 1;
/// ALPN between nodes and the tracker, version 1.
pub const TRACKER_ALPN: &[u8] = b"antiphon-tracker/1";
/// ALPN between nodes and the origin, version 1.
pub const ORIGIN_ALPN: &[u8] = b"antiphon-origin/1";
/// libp2p protocol of the control stream, version 1.
pub const PEER_CONTROL: &str = "/antiphon/control/1";
/// libp2p protocol of the data streams, version 1.
pub const PEER_DATA: &str = "/antiphon/data/1";
