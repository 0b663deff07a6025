//! Things that go wrong on schedule, and the clock of the series.

use antiphon_swarm::node::input::TrackerEvent;
use antiphon_swarm::{Input, SwarmRegistry};

use crate::scenario::FaultKind;
use crate::world::happening::Happening;
use crate::world::{Chance, World};

/// Nodes notice within this that the tracker's connection is dead: the QUIC idle timeout.
const NOTICE_MICROS: u64 = 10_000_000;

/// Nodes are back at the tracker within this: their reconnect back-off. Guess.
const RECONNECT_MICROS: u64 = 10_000_000;

/// A row of the series a minute.
const SAMPLE_MICROS: u64 = 60_000_000;

/// What is wrong now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub(super) origin_lost: bool,
    pub(super) origin_refuses: bool,
    pub(super) tracker_down: bool,
}

impl World {
    pub(super) fn plan_faults(&mut self) {
        for number in 0..self.scenario.fault.len() {
            let Some((at, lasts)) = self.scenario.fault.get(number).map(|f| (f.at, f.lasts)) else {
                continue;
            };
            let begins = self.settle + at.micros();
            let number = number as u32;
            self.queue.push(
                begins,
                Happening::Fault {
                    number,
                    begins: true,
                },
            );
            if lasts.0 > 0.0 {
                self.queue.push(
                    begins + lasts.micros(),
                    Happening::Fault {
                        number,
                        begins: false,
                    },
                );
            }
        }
    }

    pub(super) fn fault(&mut self, number: u32, begins: bool) {
        let Some((kind, share)) = self
            .scenario
            .fault
            .get(number as usize)
            .map(|f| (f.kind, f.share.0))
        else {
            return;
        };
        match kind {
            FaultKind::OriginLost => self.faults.origin_lost = begins,
            FaultKind::OriginRefuses => self.faults.origin_refuses = begins,
            FaultKind::OriginBrownout => {
                let whole = self.scenario.origin.egress.bytes();
                let capacity = if begins {
                    (whole * share).max(1.0)
                } else {
                    whole
                };
                self.network
                    .set_capacity(self.now, self.origin_link, capacity);
                self.plan_steps();
            }
            FaultKind::TrackerRestart => self.tracker_fault(begins),
            FaultKind::MassLeave if begins => self.mass_leave(number, share),
            FaultKind::MassLeave => {}
        }
    }

    fn tracker_fault(&mut self, begins: bool) {
        self.faults.tracker_down = begins;
        let spread = if begins {
            NOTICE_MICROS
        } else {
            RECONNECT_MICROS
        };
        if begins {
            for overlay in 0..self.registries.len() {
                let mut draws = self.draws(Chance::Fault, 1 << 62 | overlay as u64);
                if let Some(registry) = self.registries.get_mut(overlay) {
                    *registry = SwarmRegistry::new(self.registry_config, draws.bytes());
                }
            }
        }
        for user in 0..self.seats.len() as u32 {
            if self.session(user).is_none() {
                continue;
            }
            let mut draws = self.draws(Chance::Fault, 1 << 61 | u64::from(user));
            let delay = draws.below(spread);
            if begins {
                self.feed_after(delay, user, Input::Tracker(TrackerEvent::Unreachable));
            } else {
                self.join_registry(user);
                self.reaches_tracker(delay, user);
            }
        }
    }

    fn mass_leave(&mut self, number: u32, share: f64) {
        for user in 0..self.seats.len() as u32 {
            let entity = 1 << 60 | u64::from(number) << 32 | u64::from(user);
            if self.session(user).is_some() && self.draws(Chance::Fault, entity).chance(share) {
                self.leave(user, true);
            }
        }
    }

    pub(super) fn plan_sample(&mut self) {
        self.after(SAMPLE_MICROS, Happening::Sample);
    }

    /// A row of the series.
    pub(super) fn sample(&mut self) {
        self.tidy_registries();
        debug_assert!(self.wakes_are_secured(), "a core would sleep for ever");
        let (mut online, mut listening, mut connections) = (0, 0, 0);
        for node in self.seats.iter().filter_map(|seat| seat.online.as_deref()) {
            online += 1;
            listening += u64::from(node.playing.is_some());
            connections += node.connections().len() as u64;
        }
        let copies: usize = self.registries.iter().map(SwarmRegistry::len).sum();
        // The row is about the minute that ends now.
        let measured = self.now > self.settle;
        self.tally
            .note_sample(measured, [online, listening, connections, copies as u64]);
        self.plan_sample();
    }
}
