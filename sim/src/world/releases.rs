//! Tracks that come out while the world runs, and those who want them at once.

use crate::world::happening::Happening;
use crate::world::player::Ending;
use crate::world::{Chance, World};

impl World {
    pub(super) fn plan_releases(&mut self) {
        for number in 0..self.scenario.release.len() {
            let Some(release) = self.scenario.release.get(number).copied() else {
                continue;
            };
            let from = self.settle + release.at.micros();
            for user in 0..self.seats.len() as u32 {
                let mut draws =
                    self.draws(Chance::Release, (number as u64) << 32 | u64::from(user));
                if draws.chance(release.followers.0) && self.listens(user) {
                    let at = from + draws.below(release.within.micros().max(1));
                    let number = number as u32;
                    self.queue.push(at, Happening::Release { user, number });
                }
            }
        }
    }

    /// Somebody wants to hear a release now, whatever plays.
    pub(super) fn release(&mut self, user: u32, number: u32) -> u64 {
        if self.session(user).is_none() {
            self.arrival(user);
        }
        let releases = &self.scenario.release;
        let before = releases.iter().take(number as usize);
        let first = self.music.tracks() + before.map(|release| release.tracks).sum::<u32>();
        let count = releases
            .get(number as usize)
            .map_or(0, |release| release.tracks);
        let until = self.now + self.stretch(user);
        self.seats[user as usize].person.stretches += 1;
        self.end_play(user, Ending::Heard);
        self.drop_expected(user);
        let Some(online) = self.node_mut(user) else {
            return 0;
        };
        online.release = Some((first + 1, first + count));
        online.listening_until = online.listening_until.max(until);
        self.start_play(user, first, None, false);
        1
    }

    /// The next track of the release that somebody is hearing.
    pub(super) fn next_released(&mut self, user: u32) -> Option<u32> {
        let online = self.node_mut(user)?;
        let (next, end) = online.release?;
        online.release = (next + 1 < end).then_some((next + 1, end));
        (next < end).then_some(next)
    }
}
