//! Who can connect to whom, and how long it takes.
//!
//! A pair's outcome is drawn once: two NATs that cannot be punched today cannot in a minute.

use crate::engine::random::Draws;

/// What stands between a node and others.
#[derive(Clone, Debug, PartialEq)]
pub struct NatClass {
    /// Its name in the scenario.
    pub name: String,
    /// Whether anybody may connect to it.
    pub inbound: bool,
    /// Whether it can use UDP at all; without, it reaches the origin over HTTP.
    pub udp: bool,
    /// Whether it can dial over TCP; without that and UDP, it reaches no peers.
    pub tcp: bool,
    /// The chance that a punched connection with each class works, by class number.
    pub punch: Vec<f64>,
}

/// What a dial leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dial {
    /// A connection after this many microseconds.
    Connects(u64),
    /// Failure after this many.
    Fails(u64),
}

/// Punches that succeed at the first try: 97.6 % (DCUtR measurement, 2025).
const FIRST_TRY: f64 = 0.976;

/// A punch is given up after this: three tries of the common relay protocol. Guess.
const PUNCH_PATIENCE: u64 = 3_000_000;

/// A dial waits this long for QUIC before it tries TCP too (`node/src/peers/limits.rs`).
const QUIC_HEAD_START: u64 = 250_000;

/// How the product connects: whether it punches, and whether the other side may connect back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// Hole punching through the tracker.
    pub punching: bool,
    /// The tracker asks the target to connect back.
    pub connect_back: bool,
    /// Whoever dials knows already whether UDP gets through: it has connections.
    pub experienced: bool,
}

/// The outcome of `from` dialing `to`. `pair` are draws of the unordered pair; `rtt` is theirs,
/// `rendezvous` the round trip through the tracker that introduces them.
#[must_use]
pub fn dial(
    classes: &[NatClass],
    (from, to): (u8, u8),
    means: Means,
    pair: &mut Draws,
    rtt: u64,
    rendezvous: u64,
) -> Dial {
    let (Some(ours), Some(theirs)) = (classes.get(from as usize), classes.get(to as usize)) else {
        return Dial::Fails(0);
    };
    // A handshake and the exchange of tickets.
    let direct = 2 * rtt;
    if !ours.udp && ours.tcp && theirs.inbound && theirs.tcp {
        // A node that takes connections does so over TCP at the same port. The handshakes of TCP
        // and of TLS, then the exchange of tickets.
        let wait = match means.experienced {
            true => 0,
            false => QUIC_HEAD_START,
        };
        return Dial::Connects(wait + 3 * rtt);
    }
    if !ours.udp || !theirs.udp {
        // Nobody connects back over TCP, and TCP is not punched.
        return Dial::Fails(PUNCH_PATIENCE);
    }
    if theirs.inbound {
        return Dial::Connects(direct);
    }
    if ours.inbound && (means.connect_back || means.punching) {
        return Dial::Connects(rendezvous + direct);
    }
    if !means.punching {
        return Dial::Fails(PUNCH_PATIENCE);
    }
    let chance = ours.punch.get(to as usize).copied().unwrap_or_default();
    if !pair.chance(chance) {
        return Dial::Fails(PUNCH_PATIENCE);
    }
    let tries = if pair.chance(FIRST_TRY) { 1 } else { 2 };
    Dial::Connects(tries * (rendezvous + rtt / 2) + direct)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<NatClass> {
        let class = |name: &str, inbound, (udp, tcp), punch: &[f64]| NatClass {
            name: name.to_owned(),
            inbound,
            udp,
            tcp,
            punch: punch.to_vec(),
        };
        vec![
            class("open", true, (true, true), &[1.0, 1.0, 0.0]),
            class("cone", false, (true, true), &[1.0, 0.7, 0.0]),
            class("web only", false, (false, false), &[0.0, 0.0, 0.0]),
            class("no UDP", false, (false, true), &[0.0, 0.0, 0.0]),
        ]
    }

    const ALL: Means = Means {
        punching: true,
        connect_back: true,
        experienced: true,
    };

    fn outcome(from: u8, to: u8, means: Means, pair: u64) -> Dial {
        dial(
            &classes(),
            (from, to),
            means,
            &mut Draws::of(1, 1, pair),
            20_000,
            40_000,
        )
    }

    #[test]
    fn open_nodes_are_dialed_in_two_round_trips_and_connect_back() {
        assert_eq!(outcome(1, 0, ALL, 0), Dial::Connects(40_000));
        assert_eq!(outcome(0, 1, ALL, 0), Dial::Connects(80_000));
        let never = Means {
            punching: false,
            connect_back: false,
            experienced: true,
        };
        assert!(matches!(outcome(0, 1, never, 0), Dial::Fails(_)));
        assert!(matches!(outcome(2, 0, ALL, 0), Dial::Fails(_)));
    }

    #[test]
    fn without_udp_open_nodes_are_dialed_over_tcp_and_nobody_else() {
        assert_eq!(outcome(3, 0, ALL, 0), Dial::Connects(60_000));
        let first = Means {
            experienced: false,
            ..ALL
        };
        assert_eq!(outcome(3, 0, first, 0), Dial::Connects(310_000));
        assert_eq!(outcome(1, 0, first, 0), Dial::Connects(40_000));
        for (from, to) in [(3, 1), (3, 3), (0, 3), (1, 3), (2, 0), (0, 2), (3, 2)] {
            let failed = matches!(outcome(from, to, ALL, 0), Dial::Fails(_));
            assert!(failed, "{from} to {to}");
        }
    }

    #[test]
    fn punches_succeed_as_often_as_the_classes_say_and_always_alike_for_a_pair() {
        let connects = |pair| matches!(outcome(1, 1, ALL, pair), Dial::Connects(_));
        let share = (0..10_000).filter(|pair| connects(*pair)).count() as f64 / 1e4;
        assert!((share - 0.7).abs() < 0.02, "{share}");
        assert!((0..100).all(|pair| connects(pair) == connects(pair)));
    }
}
