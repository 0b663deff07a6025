//! People coming online and leaving.

use std::sync::Arc;

use antiphon_swarm::node::input::{Budget, Command, Restored, TrackerEvent};
use antiphon_swarm::{Duration, Input, NodeCore, RenditionKey};

use crate::world::happening::{Deferred, Happening};
use crate::world::online::Online;
use crate::world::player::Ending;
use crate::world::wakes::Wake;
use crate::world::{Chance, World, warm};

/// Those online at the start come within this.
const OPENING: u64 = 60_000_000;

/// How soon the tracker misses a node that left without a word: its QUIC idle timeout.
const TRACKER_NOTICES: u64 = 30_000_000;

/// Round trips of a cold connection to the tracker, login included.
const TRACKER_TRIPS: u64 = 2;

/// Activity by hour of the day, lowest at two, highest at 18 to 19, eight to one: Zhang et al. 2013
/// for the shape, the ratio is a guess. The mean is about one.
const BY_HOUR: [f64; 24] = [
    0.45, 0.30, 0.24, 0.25, 0.28, 0.35, 0.50, 0.80, 1.10, 1.30, 1.32, 1.25, 1.10, 1.12, 1.25, 1.35,
    1.50, 1.75, 1.92, 1.85, 1.60, 1.30, 0.95, 0.65,
];

impl World {
    /// How busy the hour `ahead` from now is.
    pub(super) fn activity(&self, user: u32, ahead: u64) -> f64 {
        if !self.scenario.population.diurnal {
            return 1.0;
        }
        BY_HOUR.get(self.hour(user, ahead)).copied().unwrap_or(1.0)
    }

    pub(super) fn plan_first_sessions(&mut self) {
        let population = self.scenario.population;
        let mean = mean_of(population.session_median.0, population.session_sigma);
        for user in 0..population.users {
            let mut draws = self.draws(Chance::Session, u64::from(user) << 32);
            let busy = population.sessions_per_day * mean / 86_400.0 * self.activity(user, 0);
            if population.sessions_per_day == 0.0 || draws.chance(busy.min(0.95)) {
                let at = draws.below(OPENING);
                self.after(at, Happening::Arrival { user });
            } else {
                self.plan_next_session(user);
            }
        }
    }

    /// The next time the user comes online: a Poisson process that follows the hours.
    fn plan_next_session(&mut self, user: u32) {
        let rate = self.scenario.population.sessions_per_day / 86_400e6;
        if rate <= 0.0 {
            return;
        }
        let number = u64::from(self.person(user).sessions) + 1;
        let mut draws = self.draws(Chance::Session, u64::from(user) << 32 | number);
        let busiest = BY_HOUR.iter().copied().fold(1.0, f64::max);
        let mut ahead = 0_u64;
        loop {
            ahead += draws.exponential(1.0 / (rate * busiest)) as u64 + 1;
            if self.now + ahead > self.end {
                return;
            }
            if draws.chance(self.activity(user, ahead) / busiest) {
                return self.after(ahead, Happening::Arrival { user });
            }
        }
    }

    pub(super) fn arrival(&mut self, user: u32) -> u64 {
        if self.seats[user as usize].online.is_some() {
            return 0;
        }
        self.seats[user as usize].person.sessions += 1;
        let person = *self.person(user);
        let session = person.sessions;
        let mut draws = self.draws(Chance::Core, u64::from(user) << 32 | u64::from(session));
        let budget = Budget {
            upload: person.upload,
            disk: person.disk,
            uploads: person.uploads && self.config.budget.uploads,
        };
        if session == 1 {
            // Who never comes online needs no cache.
            self.seats[user as usize].shelf = warm::shelf(
                &self.scenario,
                self.seed,
                user,
                &person,
                &self.music,
                &mut self.marks,
            );
        }
        let core = NodeCore::with_budget(Arc::clone(&self.config), budget, draws.bytes());
        self.seats[user as usize].online = Some(Box::new(Online::new(session, core)));
        self.tally.sessions += 1;
        self.restore(user);
        self.join_registry(user);
        if !self.faults.tracker_down {
            self.reaches_tracker(TRACKER_TRIPS * self.rtt_tracker(user), user);
        }
        let population = self.scenario.population;
        if population.sessions_per_day > 0.0 {
            let length = draws.log_normal(population.session_median.0, population.session_sigma);
            let length = (length.clamp(10.0, 7.0 * 86_400.0) * 1e6) as u64;
            self.after(length, Happening::Departure { user, session });
        }
        if self.begin_mischief(user) {
            return u64::from(session);
        }
        let busy = population.listening.0;
        // Who comes online wants to hear something; who is always online may be doing so.
        let listens = population.sessions_per_day > 0.0 || draws.chance(busy);
        let delay = if listens {
            2_000_000
        } else {
            self.idle_time(user)
        };
        self.after(delay, Happening::Listen { user, session });
        u64::from(session)
    }

    /// Lets a core know that it reaches the tracker and how far that is, as the node does.
    pub(super) fn reaches_tracker(&mut self, delay: u64, user: u32) {
        let rtt = Duration::from_micros(self.rtt_tracker(user));
        for event in [TrackerEvent::Reachable, TrackerEvent::Rtt(rtt)] {
            self.feed_after(delay, user, Input::Tracker(event));
        }
    }

    /// Tells the core what is on the disk, as the node does when it starts.
    fn restore(&mut self, user: u32) {
        let second = (self.now / 1_000_000) as i32;
        let shelf = &self.seats[user as usize].shelf;
        let restored = shelf
            .tracks()
            .iter()
            .map(|held| (held, self.music.spec(held.track)));
        let restored = restored.map(|(held, spec)| Restored {
            rendition: RenditionKey(held.track),
            spec,
            held: shelf.chunks(*held, spec.geometry),
            idle: Duration::from_secs(u64::try_from(second - held.used()).unwrap_or_default()),
            keep: held.keep(),
        });
        let restored = restored.collect();
        self.feed(user, Input::Command(Command::Restore(restored)));
    }

    pub(super) fn departure(&mut self, user: u32, session: u32) -> u64 {
        if self.session(user) != Some(session) {
            return 0;
        }
        let mut draws = self.draws(
            Chance::Session,
            u64::from(user) << 32 | 1 << 63 | u64::from(session),
        );
        let silent = draws.chance(self.scenario.population.silent_departures.0);
        self.leave(user, silent);
        1 + u64::from(silent)
    }

    /// Goes offline.
    pub(super) fn leave(&mut self, user: u32, silent: bool) {
        let Some(session) = self.session(user) else {
            return;
        };
        self.end_play(user, Ending::Left);
        self.drop_expected(user);
        if silent {
            self.part_with_all(user, false);
            self.defer(
                TRACKER_NOTICES,
                Deferred::Gone {
                    node: user,
                    session,
                },
            );
        } else {
            self.feed(user, Input::Command(Command::Shutdown));
            self.part_with_all(user, true);
            self.leave_registry(user);
        }
        self.close_node(user);
        self.plan_next_session(user);
    }

    /// Forgets the node of somebody who is gone.
    pub(super) fn close_node(&mut self, user: u32) {
        let Some(online) = self.seats[user as usize].online.take() else {
            return;
        };
        let incoming = online.incoming.iter().map(|incoming| incoming.transfer);
        for id in incoming.clone().chain(online.outgoing.iter().copied()) {
            self.stop_flow(id);
        }
        self.seats[user as usize].wake = Wake::NONE;
        self.tally.note_core(online.core.stats());
        for id in incoming {
            self.forget(id);
        }
        // Most people are offline most of the time.
        self.seats[user as usize].shelf.shrink();
        let person = *self.person(user);
        self.network.rest(person.up);
        self.network.rest(person.down);
    }

    /// Time until somebody who is online listens again.
    pub(super) fn idle_time(&self, user: u32) -> u64 {
        let population = self.scenario.population;
        let busy = population.listening.0;
        if busy <= 0.0 {
            return self.end;
        }
        let mean =
            mean_of(population.stretch_median.0, population.session_sigma) * (1.0 - busy) / busy;
        let number = u64::from(self.person(user).stretches);
        let mut draws = self.draws(Chance::Stretch, u64::from(user) << 32 | number);
        let idle = draws.exponential(mean) / self.activity(user, 0);
        (idle * 1e6) as u64 + 1
    }

    /// How long somebody listens from now on.
    pub(super) fn stretch(&self, user: u32) -> u64 {
        let population = self.scenario.population;
        let number = u64::from(self.person(user).stretches);
        let mut draws = self.draws(Chance::Stretch, u64::from(user) << 32 | 1 << 31 | number);
        let stretch = draws.log_normal(population.stretch_median.0, population.session_sigma);
        (stretch.clamp(5.0, 86_400.0) * 1e6) as u64
    }
}

/// The mean of a log-normal.
fn mean_of(median: f64, sigma: f64) -> f64 {
    median * libm::exp(sigma * sigma / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hours_average_to_one_and_differ_by_eight() {
        let mean = BY_HOUR.iter().sum::<f64>() / 24.0;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        let (low, high) = (0.24, 1.92);
        assert_eq!(BY_HOUR.iter().copied().fold(f64::MAX, f64::min), low);
        assert!((high / low - 8.0_f64).abs() < 1e-9);
    }
}
