//! Which addresses of a node are told to others: only ones on the IP address that the tracker
//! itself sees, so that nobody can have a third party dialed. A router may give the node's packets
//! another port than it listens at, so a node says whether the port seen is one to dial, too.

use std::net::{IpAddr, SocketAddr};

use antiphon_protocol::limits::ADDRESSES_PER_NODE_MAX;

/// Whether a node says that its connection comes from the socket it serves peers on. One without a
/// port, which came over TCP, does not.
pub(crate) fn is_peer_socket(claimed: &[SocketAddr], observed: SocketAddr) -> bool {
    let mut claimed = claimed.iter().take(ADDRESSES_PER_NODE_MAX);
    observed.port() != 0 && claimed.any(as_seen)
}

fn as_seen(claim: &SocketAddr) -> bool {
    claim.ip().to_canonical().is_unspecified() && claim.port() == 0
}

/// The addresses of `claimed` that others may dial, for a node seen at `observed`.
pub(crate) fn dialable(claimed: &[SocketAddr], observed: SocketAddr) -> Vec<SocketAddr> {
    let seen = observed.ip().to_canonical();
    let mut kept: Vec<SocketAddr> = Vec::with_capacity(ADDRESSES_PER_NODE_MAX);
    for claim in claimed.iter().take(ADDRESSES_PER_NODE_MAX) {
        let ip = match claim.ip().to_canonical() {
            ip if ip.is_unspecified() => seen,
            ip => ip,
        };
        // On one machine a node may use either loopback address.
        let same = ip == seen || (ip.is_loopback() && seen.is_loopback());
        let port = match as_seen(claim) {
            true => observed.port(),
            false => claim.port(),
        };
        let address = SocketAddr::new(ip, port);
        if same && port != 0 && !kept.contains(&address) {
            kept.push(address);
        }
    }
    kept
}

/// The /24 or /48 a node comes from, hashed under a key of this process.
pub(super) fn prefix(key: &[u8; 32], ip: IpAddr) -> u32 {
    let prefix: Vec<u8> = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.octets().iter().copied().take(3).collect(),
        IpAddr::V6(ip) => ip.octets().iter().copied().take(6).collect(),
    };
    let hash = blake3::keyed_hash(key, &prefix);
    let first = hash.as_bytes().iter().take(4);
    first.fold(0, |value, byte| value << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(claimed: &[&str], observed: &str) -> Vec<String> {
        let claimed: Vec<_> = claimed.iter().map(|text| text.parse().unwrap()).collect();
        let kept = dialable(&claimed, observed.parse().unwrap());
        kept.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_the_address_the_tracker_sees_is_passed_on() {
        let claimed = ["0.0.0.0:1", "192.0.2.1:2", "198.51.100.9:3", "192.0.2.1:0"];
        assert_eq!(
            kept(&claimed, "192.0.2.1:9"),
            ["192.0.2.1:1", "192.0.2.1:2"]
        );
    }

    #[test]
    fn the_port_the_tracker_sees_is_passed_on_if_peers_are_served_there() {
        let claimed = ["0.0.0.0:0", "0.0.0.0:7701"];
        assert_eq!(
            kept(&claimed, "192.0.2.1:9"),
            ["192.0.2.1:9", "192.0.2.1:7701"]
        );
        assert_eq!(kept(&claimed, "192.0.2.1:7701"), ["192.0.2.1:7701"]);
        let parsed = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let seen = SocketAddr::from(([192, 0, 2, 1], 9));
        assert!(is_peer_socket(&parsed(&claimed), seen));
        assert!(is_peer_socket(&parsed(&["[::]:0"]), seen));
        let no = parsed(&["0.0.0.0:7701", "192.0.2.1:0"]);
        assert!(!is_peer_socket(&no, seen));
        // Over TCP no port of UDP is seen.
        let seen = SocketAddr::new(seen.ip(), 0);
        assert!(!is_peer_socket(&parsed(&claimed), seen));
        assert_eq!(kept(&claimed, "192.0.2.1:0"), ["192.0.2.1:7701"]);
    }

    #[test]
    fn loopback_is_only_for_nodes_on_the_trackers_machine() {
        assert_eq!(kept(&["127.0.0.1:1"], "192.0.2.1:9"), [""; 0]);
        assert_eq!(kept(&["[::1]:1"], "127.0.0.1:9"), ["[::1]:1"]);
        assert_eq!(kept(&["192.0.2.1:1"], "127.0.0.1:9"), [""; 0]);
    }

    #[test]
    fn mapped_addresses_and_repetitions_are_one() {
        let claimed = ["[::ffff:192.0.2.1]:1", "0.0.0.0:1", "[::]:1"];
        assert_eq!(kept(&claimed, "[::ffff:192.0.2.1]:9"), ["192.0.2.1:1"]);
    }

    #[test]
    fn a_prefix_is_a_24_or_a_48() {
        let prefix = |text: &str| prefix(&[1; 32], text.parse().unwrap());
        assert_eq!(prefix("192.0.2.1"), prefix("192.0.2.200"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.3.1"));
        assert_eq!(prefix("2001:db8:1:2::1"), prefix("2001:db8:1:3::1"));
        assert_ne!(prefix("2001:db8:1::1"), prefix("2001:db8:2::1"));
    }
}
