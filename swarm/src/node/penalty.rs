//! Strikes against peers, and how long they are not dealt with.
//!
//! Not here: what an offense is.

use crate::key::PeerKey;
use crate::limits::PENALTIES_MAX;
use crate::node::output::Offense;
use crate::time::{Duration, Instant};

/// First corrupt span: 10 minutes; reliability reference T1.
const FIRST: Duration = Duration::from_secs(600);

/// From the third on: a day; same source.
const THIRD: Duration = Duration::from_secs(86_400);

/// Lies forgiven before they count as a strike: caches change between announce and request. Guess.
const LIES_PER_STRIKE: u8 = 4;

/// Stalled spans in a row, without one that came to its end, that count as a strike: each costs the
/// victim a hedge, and a congested uplink delivers in between. Guess.
const STALLS_PER_STRIKE: u8 = 4;

#[derive(Clone, Copy, Debug)]
struct Record {
    peer: PeerKey,
    strikes: u8,
    lies: u8,
    /// In a row.
    stalls: u8,
    until: Instant,
}

/// Peers that misbehaved, by key.
#[derive(Debug, Default)]
pub(crate) struct Penalties {
    records: Vec<Record>,
}

impl Penalties {
    /// Notes an offense. True if the peer is not to be dealt with any more for now.
    pub(crate) fn note(&mut self, now: Instant, peer: PeerKey, offense: Offense) -> bool {
        let at = match self.at(peer) {
            Ok(at) => at,
            Err(_) => {
                if self.records.len() >= PENALTIES_MAX {
                    self.forget_oldest();
                }
                let at = self.at(peer).unwrap_or_else(|at| at);
                let record = Record {
                    peer,
                    strikes: 0,
                    lies: 0,
                    stalls: 0,
                    until: Instant::START,
                };
                self.records.insert(at, record);
                at
            }
        };
        let record = &mut self.records[at];
        let strike = match offense {
            Offense::Corrupt | Offense::Misbehaved => true,
            Offense::Lied => {
                record.lies = record.lies.saturating_add(1);
                record.lies.is_multiple_of(LIES_PER_STRIKE)
            }
            Offense::Stalled => {
                record.stalls = record.stalls.saturating_add(1);
                record.stalls.is_multiple_of(STALLS_PER_STRIKE)
            }
        };
        if strike {
            record.strikes = record.strikes.saturating_add(1);
            let term = if record.strikes >= 3 { THIRD } else { FIRST };
            record.until = record.until.max(now + term);
        }
        record.until > now
    }

    /// The peer brought a span to its end.
    pub(crate) fn delivered(&mut self, peer: PeerKey) {
        if !self.records.is_empty()
            && let Ok(at) = self.at(peer)
        {
            self.records[at].stalls = 0;
        }
    }

    /// Whether the peer is in quarantine.
    pub(crate) fn bars(&self, now: Instant, peer: PeerKey) -> bool {
        !self.records.is_empty() && self.at(peer).is_ok_and(|at| self.records[at].until > now)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let sorted = self.records.is_sorted_by(|a, b| a.peer < b.peer);
        if !sorted || self.records.len() > PENALTIES_MAX {
            return Err("penalties are out of bounds or order".to_owned());
        }
        Ok(())
    }

    fn forget_oldest(&mut self) {
        let oldest = self
            .records
            .iter()
            .enumerate()
            .min_by_key(|(_, r)| (r.until, r.peer));
        if let Some((at, _)) = oldest {
            self.records.remove(at);
        }
    }

    fn at(&self, peer: PeerKey) -> Result<usize, usize> {
        self.records
            .binary_search_by_key(&peer, |record| record.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corruption_costs_ten_minutes_and_at_the_third_time_a_day() {
        let mut penalties = Penalties::default();
        let (mut now, peer) = (Instant::START, PeerKey(1));
        assert!(penalties.note(now, peer, Offense::Corrupt));
        now += Duration::from_secs(601);
        assert!(!penalties.bars(now, peer));
        penalties.note(now, peer, Offense::Corrupt);
        penalties.note(now, peer, Offense::Corrupt);
        assert!(penalties.bars(now + Duration::from_secs(86_000), peer));
        assert!(!penalties.bars(now + Duration::from_secs(86_401), peer));
    }

    #[test]
    fn single_lies_and_stalls_are_forgiven() {
        let mut penalties = Penalties::default();
        let peer = PeerKey(1);
        for _ in 1..LIES_PER_STRIKE {
            assert!(!penalties.note(Instant::START, peer, Offense::Lied));
        }
        for _ in 1..STALLS_PER_STRIKE {
            assert!(!penalties.note(Instant::START, peer, Offense::Stalled));
        }
        penalties.delivered(peer);
        assert!(!penalties.note(Instant::START, peer, Offense::Stalled));
        assert!(penalties.note(Instant::START, peer, Offense::Lied));
    }

    #[test]
    fn who_only_ever_stalls_is_barred_like_a_polluter() {
        let (mut penalties, peer) = (Penalties::default(), PeerKey(1));
        let bars = (0..STALLS_PER_STRIKE)
            .map(|_| penalties.note(Instant::START, peer, Offense::Stalled))
            .collect::<Vec<_>>();
        assert_eq!(bars, [false, false, false, true]);
        assert!(penalties.bars(Instant::START, peer));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut penalties = Penalties::default();
        for peer in 0..PENALTIES_MAX as u32 + 10 {
            penalties.note(Instant::START, PeerKey(peer), Offense::Corrupt);
        }
        penalties.check().expect("bounded");
    }
}
