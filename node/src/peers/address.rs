//! Between our names of nodes and addresses and libp2p's.

use std::net::SocketAddr;

use antiphon_protocol::NodeId;
use libp2p::identity::{PublicKey, ed25519};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// Multihash code of "the digest is the key itself", which libp2p uses for Ed25519.
const IDENTITY_HASH: u64 = 0;

/// The node with this peer id; nothing if it is not made from an Ed25519 key.
pub(super) fn node_of(peer: &PeerId) -> Option<NodeId> {
    let hash = peer.as_ref();
    if hash.code() != IDENTITY_HASH {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(NodeId(key.try_into_ed25519().ok()?.to_bytes()))
}

/// The peer id of a node; nothing if the id is not a key.
pub(super) fn peer_of(node: NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(node.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

pub(super) fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip())
        .with(Protocol::Udp(address.port()))
        .with(Protocol::QuicV1)
}

pub(super) fn tcp_multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

/// The address, if it is one of TCP and nothing else.
pub(super) fn tcp_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match (parts.next()?, parts.next()) {
        (Protocol::Tcp(port), None) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

pub(super) fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Udp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_and_its_peer_id_name_each_other() {
        let key = libp2p::identity::Keypair::generate_ed25519();
        let peer = key.public().to_peer_id();
        let node = node_of(&peer).expect("an Ed25519 peer");
        assert_eq!(peer_of(node), Some(peer));
    }

    #[test]
    fn a_hashed_peer_id_names_no_node() {
        let hash = libp2p::multihash::Multihash::<64>::wrap(0x12, &[7; 32]).expect("32 fit");
        let peer = PeerId::from_multihash(hash).expect("sha-256 is a legal peer id");
        assert_eq!(node_of(&peer), None);
    }

    #[test]
    fn socket_addresses_survive_the_way_through_libp2p() {
        for text in ["127.0.0.1:7701", "[::1]:1"] {
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(socket_address(&multiaddr(address)), Some(address));
            assert_eq!(tcp_address(&tcp_multiaddr(address)), Some(address));
            assert_eq!(tcp_address(&multiaddr(address)), None);
        }
    }
}
