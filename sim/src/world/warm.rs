//! Caches as weeks of listening leave them, without the weeks: only what is held, no network.

use crate::engine::random::Draws;
use crate::scenario::Scenario;
use crate::world::Chance;
use crate::world::catalog::Music;
use crate::world::people::Person;
use crate::world::shelf::Shelf;

/// Time between two tracks that came into a cache: a few new ones an hour of listening. Guess;
/// only the order matters, to what is evicted first and to leases.
const BETWEEN_SECS: i32 = 1_800;

/// Plays looked at for each track the cache holds, before a small catalog counts as exhausted.
const TRIES_PER_TRACK: u64 = 20;

/// Plays drawn before the sizes of their tracks are looked at, which lie far from each other. Guess.
const TOGETHER: usize = 8;

/// What somebody holds before they come online for the first time. Replays of what is held
/// change the order only, so the last distinct tracks played are drawn by popularity until the
/// budget is full.
pub(super) fn shelf(
    scenario: &Scenario,
    seed: u64,
    user: u32,
    person: &Person,
    music: &Music,
    marks: &mut Marks,
) -> Shelf {
    let warm = scenario
        .device
        .get(person.device as usize)
        .map_or(1.0, |device| device.warm.0);
    let budget = (person.disk.0 as f64 * warm) as u64;
    let user = u64::from(user);
    let mut draws = Draws::of(seed, Chance::Warm as u64, user);
    let mut ages = Draws::of(seed, Chance::Warm as u64, user | 1 << 32);
    // Some more than fit on average, and what is too much is given back.
    let fit = (budget / music.mean_size()).min(music.tracks().into());
    let mut held = Vec::with_capacity((fit + fit / 8) as usize);
    let (mut bytes, mut age) = (0_u64, 0_i32);
    let tries = u64::from(music.tracks()) * TRIES_PER_TRACK;
    'filled: for _ in 0..tries.div_ceil(TOGETHER as u64) {
        let tracks: [u32; TOGETHER] = core::array::from_fn(|_| {
            let track = music.draw(&mut draws);
            music.bring(track);
            track
        });
        for track in tracks {
            if !marks.mark(track) {
                continue;
            }
            bytes += music.size(track);
            if bytes > budget {
                marks.clear(track);
                break 'filled;
            }
            age += (ages.exponential(f64::from(BETWEEN_SECS)) as i32).max(1);
            held.push((track, -age));
        }
    }
    held.iter().for_each(|(track, _)| marks.clear(*track));
    Shelf::of_full(held)
}

/// Which tracks a cache was given so far; of one cache after the other.
#[derive(Debug, Default)]
pub(super) struct Marks {
    words: Vec<u64>,
}

impl Marks {
    /// Marks a track; false if it was marked.
    fn mark(&mut self, track: u32) -> bool {
        let (word, bit) = (track as usize / 64, 1 << (track % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let fresh = self.words[word] & bit == 0;
        self.words[word] |= bit;
        fresh
    }

    fn clear(&mut self, track: u32) {
        self.words[track as usize / 64] &= !(1 << (track % 64));
    }
}
