//! Plays by what stands around them: NAT, access line, cause of the stall; and dials by pair of
//! NAT classes.

use crate::measure::stall::StallCause;
use crate::measure::tally::PlayRow;
use crate::world::Ending;

/// Plays of one class of people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupRow {
    /// Plays that ended.
    pub plays: u64,
    /// Of them those with a stall.
    pub stalled_plays: u64,
    /// Of them those given up for want of a license or of any source.
    pub refused_plays: u64,
    /// Bytes heard by source.
    pub server: u64,
    /// See `server`.
    pub peers: u64,
    /// See `server`.
    pub cache: u64,
}

/// Dials from one NAT class to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DialRow {
    /// Dials to nodes that were online.
    pub tried: u64,
    /// Of them those that led to a connection.
    pub connected: u64,
    /// Dials to nodes that had left.
    pub gone: u64,
}

/// How a dial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialed {
    Connected,
    Failed,
    /// Nobody was there any more.
    Gone,
}

/// All of it for one run.
#[derive(Clone, Debug, Default)]
pub struct Breakdown {
    /// By NAT class, as the scenario lists them.
    pub by_nat: Vec<GroupRow>,
    /// By access line.
    pub by_access: Vec<GroupRow>,
    /// Stalls by [`StallCause::ALL`].
    pub by_cause: [u64; StallCause::ALL.len()],
    /// Dials, those of the first class first.
    pub dials: Vec<DialRow>,
    classes: usize,
}

impl Breakdown {
    pub(crate) fn new(nats: usize, accesses: usize) -> Self {
        Self {
            by_nat: vec![GroupRow::default(); nats],
            by_access: vec![GroupRow::default(); accesses],
            by_cause: [0; StallCause::ALL.len()],
            dials: vec![DialRow::default(); nats * nats],
            classes: nats,
        }
    }

    pub(crate) fn note_play(&mut self, row: &PlayRow) {
        // The player counts those for want of data as they happen.
        for _ in 0..row.local_stalls {
            self.note_stall(StallCause::Machine);
        }
        let nat = self.by_nat.get_mut(row.nat as usize);
        let access = self.by_access.get_mut(row.access as usize);
        for group in nat.into_iter().chain(access) {
            group.plays += 1;
            group.stalled_plays += u64::from(row.stalls > 0);
            group.refused_plays += u64::from(row.ending == Ending::Refused);
            let [server, peers, cache] = row.heard();
            group.server += server;
            group.peers += peers;
            group.cache += cache;
        }
    }

    pub(crate) fn note_stall(&mut self, cause: StallCause) {
        if let Some(count) = self.by_cause.get_mut(cause as usize) {
            *count += 1;
        }
    }

    pub(crate) fn note_dial(&mut self, (from, to): (u8, u8), dialed: Dialed) {
        let at = from as usize * self.classes + to as usize;
        let Some(row) = self.dials.get_mut(at) else {
            return;
        };
        match dialed {
            Dialed::Gone => row.gone += 1,
            Dialed::Failed => row.tried += 1,
            Dialed::Connected => {
                row.tried += 1;
                row.connected += 1;
            }
        }
    }

    /// The dials between two classes, by their places in the scenario.
    #[must_use]
    pub fn dial(&self, from: usize, to: usize) -> DialRow {
        let row = self.dials.get(from * self.classes + to);
        row.copied().unwrap_or_default()
    }
}
