//! Which addresses a node dials because somebody else says so: those of the open network, and those
//! that are no closer than the one who says it. A tracker on the internet leads nobody into a home's
//! network; one in the same network may name what is there, one on this machine this machine, too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Machine,
    /// A home, a company, or a provider's own network.
    Site,
    Open,
    /// Not one interface's, or not for use.
    None,
}

/// Whether `address`, named by whoever is at `namer`, may be dialed.
#[must_use]
pub fn is_dialable(address: SocketAddr, namer: SocketAddr) -> bool {
    let as_far = match scope(address.ip()) {
        Scope::Machine => scope(namer.ip()) == Scope::Machine,
        Scope::Site => matches!(scope(namer.ip()), Scope::Machine | Scope::Site),
        Scope::Open => true,
        Scope::None => false,
    };
    as_far && address.port() != 0
}

fn scope(ip: IpAddr) -> Scope {
    match ip.to_canonical() {
        IpAddr::V4(ip) => scope_v4(ip),
        IpAddr::V6(ip) => scope_v6(ip),
    }
}

/// After the IANA registry of special-purpose IPv4 addresses (RFC 6890).
fn scope_v4(ip: Ipv4Addr) -> Scope {
    let [a, b, c, _] = ip.octets();
    match (a, b, c) {
        (127, ..) => Scope::Machine,
        (10, ..) | (192, 168, _) | (172, 16..=31, _) | (100, 64..=127, _) => Scope::Site,
        // This network, link-local, protocol assignments, relays, benchmarks, documentation,
        // multicast and what is reserved.
        (0, ..) | (169, 254, _) | (192, 0, 0 | 2) | (192, 88, 99) => Scope::None,
        (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) | (224.., ..) => Scope::None,
        _ => Scope::Open,
    }
}

/// Open is global unicast, 2000::/3, without documentation and the tunnels that hide an IPv4
/// address (6to4, Teredo).
fn scope_v6(ip: Ipv6Addr) -> Scope {
    let [first, second, ..] = ip.segments();
    match (first, second) {
        _ if ip.is_loopback() => Scope::Machine,
        (0xfc00..=0xfdff, _) => Scope::Site,
        (0x2001, 0x0db8 | 0x0000) | (0x2002, _) | (0x3fff, 0..=0x0fff) => Scope::None,
        (0x2000..=0x3fff, _) => Scope::Open,
        _ => Scope::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialable(address: &str, namer: &str) -> bool {
        let parse = |text: &str| text.parse().expect("an address");
        is_dialable(parse(address), parse(namer))
    }

    #[test]
    fn open_addresses_are_dialed_whoever_names_them() {
        for namer in ["8.8.8.8:1", "127.0.0.1:1", "[2606:4700::1]:1"] {
            assert!(dialable("1.2.3.4:5", namer));
            assert!(dialable("[2606:4700::2]:5", namer));
        }
    }

    #[test]
    fn near_addresses_are_dialed_only_if_the_namer_is_as_near() {
        assert!(dialable("127.0.0.1:5", "127.0.0.1:1"));
        assert!(dialable("[::1]:5", "127.0.0.1:1"));
        assert!(dialable("192.168.1.7:5", "10.0.0.1:1"));
        assert!(dialable("192.168.1.7:5", "127.0.0.1:1"), "nearer still");
        assert!(dialable("[fd00::2]:5", "[fd00::1]:1"));
        for near in [
            "127.0.0.1:5",
            "192.168.1.7:5",
            "100.64.0.1:5",
            "[fd00::2]:5",
        ] {
            assert!(!dialable(near, "8.8.8.8:1"), "{near}");
        }
        assert!(!dialable("127.0.0.1:5", "192.168.1.1:1"));
        assert!(!dialable("[::ffff:127.0.0.1]:5", "8.8.8.8:1"));
    }

    #[test]
    fn what_is_no_interface_of_anybody_is_never_dialed() {
        for none in [
            "0.0.0.0:5",
            "169.254.1.1:5",
            "192.0.2.1:5",
            "198.51.100.1:5",
            "203.0.113.1:5",
            "224.0.0.1:5",
            "255.255.255.255:5",
            "1.2.3.4:0",
            "[::]:5",
            "[fe80::1]:5",
            "[ff02::1]:5",
            "[2001:db8::1]:5",
            "[2002:7f00:1::]:5",
        ] {
            assert!(!dialable(none, "127.0.0.1:1"), "{none}");
            assert!(!dialable(none, "8.8.8.8:1"), "{none}");
        }
    }
}
