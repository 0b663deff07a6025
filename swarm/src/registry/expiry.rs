//! Forgetting what peers announced that went silent: a sweep that visits a bounded part of the peers
//! at a time. The peers themselves stay joined until they leave.
//!
//! Lookups never return what expired, swept or not.

use crate::key::PeerKey;
use crate::registry::SwarmRegistry;
use crate::time::{Duration, Instant};

/// Peers looked at, and entries that fall, in one step: some milliseconds. Guess.
const STEP_ENTRIES: usize = 32_768;

/// Pause between steps of one sweep, so that requests come in between. Guess.
const STEP_PAUSE: Duration = Duration::from_millis(5);

/// Shortest time between two sweeps. Guess.
const SWEEP_PAUSE: Duration = Duration::from_secs(5);

/// Where the sweep is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sweep {
    due: Option<Instant>,
    /// The next peer of a sweep under way.
    cursor: Option<PeerKey>,
    /// The earliest expiry that the sweep under way has seen and left.
    earliest: Option<u32>,
}

impl Sweep {
    /// Something will expire.
    pub(super) fn note(&mut self, expires: Instant) {
        if self.due.is_none() {
            // One second later, because expiry is counted in whole seconds.
            self.due = Some(expires + Duration::from_secs(1));
        }
    }
}

/// Whole seconds since the start, rounded up.
pub(super) fn to_seconds(at: Instant) -> u32 {
    u32::try_from(at.as_micros().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

impl SwarmRegistry {
    /// Forgets what expired. Due at [`SwarmRegistry::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.sweep.due.is_none_or(|due| due > now) {
            return;
        }
        let second = to_seconds(now);
        let from = self.sweep.cursor.take().unwrap_or(PeerKey(0));
        let mut seen = 0;
        let mut silent = Vec::new();
        for (peer, known) in self.peers.range_mut(from) {
            if seen >= STEP_ENTRIES {
                self.sweep.cursor = Some(peer);
                break;
            }
            seen += 1;
            if known.told() == 0 {
                continue;
            }
            if known.until <= second {
                seen += known.told();
                silent.push(peer);
            } else {
                let earliest = self.sweep.earliest.unwrap_or(u32::MAX);
                self.sweep.earliest = Some(earliest.min(known.until));
            }
        }
        let fallen = silent
            .into_iter()
            .map(|peer| self.peers.begin_session(peer, second))
            .sum();
        self.purge(fallen);
        self.sweep.due = if self.sweep.cursor.is_some() {
            Some(now + STEP_PAUSE)
        } else {
            let earliest = self.sweep.earliest.take();
            earliest.map(|second| {
                let at = Instant::START + Duration::from_secs(u64::from(second));
                at.max(now + SWEEP_PAUSE)
            })
        };
    }

    /// When something expires next.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.sweep.due
    }
}
