//! The demo's figures: gathered from every listener, dead or alive, and summed up.

use std::collections::BTreeMap;

use antiphon_node::status::{BytesBySource, LedgerEntry, PlayRecord, Status};
use serde::{Deserialize, Serialize};

/// The last that was heard of one listener.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Its latest status.
    pub status: Status,
    /// All its plays.
    pub plays: Vec<PlayRecord>,
    /// All its renditions.
    pub ledger: Vec<LedgerEntry>,
    /// When it was last online, in microseconds since 1970.
    pub last_seen_unix_us: u64,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half are faster.
    pub p50: f64,
    /// 95 of 100 are faster.
    pub p95: f64,
    /// 99 of 100 are faster.
    pub p99: f64,
}

/// Chunks that failed verification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Corrupt {
    /// On arrival.
    pub received: u64,
    /// When the decoder's bytes were checked once more.
    pub played: u64,
}

/// What `antiphon demo --headless --json` prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Plays begun.
    pub plays: u64,
    /// Of these, chosen by a person; the rest followed in order without a gap.
    pub plays_chosen: u64,
    /// Times a sink wanted samples and had none.
    pub stalls: u64,
    /// From the command to the first sample at the sink, over the chosen plays that sounded.
    pub start_ms: Percentiles,
    /// Chosen plays that were left or failed before they sounded.
    pub never_sounded: u64,
    /// Audio bytes by where they came from.
    pub bytes: BytesBySource,
    /// Of the network bytes of tracks that another online listener already held whole when the
    /// first byte was asked for: the origin's share.
    pub origin_share_when_held: f64,
    /// Those network bytes.
    pub bytes_when_held: u64,
    /// Verified bytes that came twice.
    pub wasted: u64,
    /// Failed verifications.
    pub corrupt_chunks: Corrupt,
    /// Tracks in the catalog.
    pub tracks: usize,
    /// Listeners that took part.
    pub listeners: usize,
    /// How long they listened.
    pub seconds: u64,
}

/// Sums up `accounts`.
pub fn report(accounts: &[Account], tracks: usize, seconds: u64) -> Report {
    let plays: Vec<&PlayRecord> = accounts.iter().flat_map(|account| &account.plays).collect();
    let chosen = plays.iter().filter(|play| play.commanded);
    let starts: Vec<u64> = chosen.clone().filter_map(|play| play.start_us).collect();
    let (held, from_origin) = bytes_when_held(accounts);
    let sum = |of: fn(&Status) -> u64| accounts.iter().map(|account| of(&account.status)).sum();
    Report {
        plays: plays.len() as u64,
        plays_chosen: chosen.clone().count() as u64,
        stalls: sum(|status| status.stalls),
        never_sounded: chosen.filter(|play| play.start_us.is_none()).count() as u64,
        start_ms: percentiles(starts),
        bytes: BytesBySource {
            cache: sum(|status| status.bytes.cache),
            peers: sum(|status| status.bytes.peers),
            origin: sum(|status| status.bytes.origin),
        },
        origin_share_when_held: if held == 0 {
            0.0
        } else {
            from_origin as f64 / held as f64
        },
        bytes_when_held: held,
        wasted: sum(|status| status.wasted),
        corrupt_chunks: Corrupt {
            received: sum(|status| status.corrupt_chunks),
            played: sum(|status| status.corrupt_played),
        },
        tracks,
        listeners: accounts.len(),
        seconds,
    }
}

/// Network bytes, and the origin's among them, of renditions that somebody else online held whole.
fn bytes_when_held(accounts: &[Account]) -> (u64, u64) {
    // For each track: who held it whole, from when to when.
    let mut holders: BTreeMap<&str, Vec<(usize, u64, u64)>> = BTreeMap::new();
    for (number, account) in accounts.iter().enumerate() {
        for entry in &account.ledger {
            if let Some(complete) = entry.complete_unix_us {
                let online = (number, complete, account.last_seen_unix_us);
                holders.entry(&entry.track).or_default().push(online);
            }
        }
    }
    let (mut all, mut from_origin) = (0, 0);
    for (number, account) in accounts.iter().enumerate() {
        for entry in &account.ledger {
            let asked = entry.first_asked_unix_us;
            let others = holders.get(entry.track.as_str()).into_iter().flatten();
            let held = others
                .into_iter()
                .any(|(other, from, until)| *other != number && (*from..*until).contains(&asked));
            if held {
                all += entry.bytes.peers + entry.bytes.origin;
                from_origin += entry.bytes.origin;
            }
        }
    }
    (all, from_origin)
}

fn percentiles(mut micros: Vec<u64>) -> Percentiles {
    micros.sort_unstable();
    let at = |share: f64| {
        let rank = (share * micros.len() as f64).ceil() as usize;
        let value = micros
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or_default();
        value as f64 / 1_000.0
    };
    Percentiles {
        p50: at(0.50),
        p95: at(0.95),
        p99: at(0.99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(asked: u64, complete: Option<u64>, peers: u64, origin: u64) -> LedgerEntry {
        LedgerEntry {
            track: "t".to_owned(),
            first_asked_unix_us: asked,
            complete_unix_us: complete,
            bytes: BytesBySource {
                cache: 0,
                peers,
                origin,
            },
        }
    }

    #[test]
    fn only_tracks_that_somebody_else_online_held_count() {
        let account = |ledger, last_seen_unix_us| Account {
            ledger: vec![ledger],
            last_seen_unix_us,
            ..Account::default()
        };
        let first = account(entry(10, Some(20), 0, 100), 50);
        let later = account(entry(30, None, 90, 10), 100);
        let too_late = account(entry(60, None, 0, 100), 100);
        assert_eq!(bytes_when_held(&[first, later, too_late]), (100, 10));
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let micros = (1..=100).map(|value| value * 1_000).collect();
        assert_eq!(
            percentiles(micros),
            Percentiles {
                p50: 50.0,
                p95: 95.0,
                p99: 99.0
            }
        );
        assert_eq!(percentiles(Vec::new()), Percentiles::default());
    }
}
