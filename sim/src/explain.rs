//! The story of one play: the run of its seed again, watched.

pub mod story;
mod telling;
mod verdict;

use std::sync::Arc;

use serde::Serialize;

use crate::measure::tally::Tally;
use crate::run::SeedRun;
use crate::scenario::Scenario;
use crate::world::{Broken, World};
pub use story::{Heard, Line, Request, Stall, Story, Who};

/// Simulated time between two looks at whether the play is over.
const SLICE_MICROS: u64 = 10_000_000;

/// Which play, as `plays.csv` names it: `USER-NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PlayName {
    /// Whose.
    pub user: u32,
    /// Which of theirs, from 0 on.
    pub number: u32,
}

impl core::fmt::Display for PlayName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}-{}", self.user, self.number)
    }
}

impl core::str::FromStr for PlayName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-');
        let parts =
            parts.and_then(|(user, number)| Some((user.parse().ok()?, number.parse().ok()?)));
        let (user, number) = parts.ok_or_else(|| {
            format!("\"{text}\" names no play; the column `id` of plays.csv does, such as 17-3")
        })?;
        Ok(Self { user, number })
    }
}

/// Why there is no story.
#[derive(Debug, thiserror::Error)]
pub enum NoStory {
    /// The scenario has fewer users.
    #[error("there is no user {user}: the scenario has users 0 to {last}")]
    User {
        /// Who was asked for.
        user: u32,
        /// The last there is.
        last: u32,
    },
    /// The user played less.
    #[error("play {play} never began: user {} made {plays} plays with this seed", play.user)]
    Play {
        /// Which was asked for.
        play: PlayName,
        /// Plays made.
        plays: u32,
    },
    /// The run broke a rule before the play was over.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// Runs the seed until the play is over and tells it. `progress` hears simulated microseconds
/// gone and of how many.
///
/// # Errors
///
/// If there is no such play.
pub fn explain(
    scenario: &Arc<Scenario>,
    seed: u64,
    play: PlayName,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Story, NoStory> {
    let mut world = World::new(scenario, seed, u64::MAX);
    let last = world.users() - 1;
    if play.user > last {
        let user = play.user;
        return Err(NoStory::User { user, last });
    }
    world.watch(play.user, play.number);
    let mut until = 0;
    while !world.watched() {
        until += SLICE_MICROS;
        let more = world.run_until(until)?;
        let (done, of) = world.progress();
        progress(done, of);
        if !more {
            world.cut_plays();
            break;
        }
    }
    let plays = world.plays_of(play.user);
    let seen = world.take_watch();
    let (track, moments) = seen.ok_or(NoStory::Play { play, plays })?;
    Ok(telling::tell(&world, seed, play, track, moments))
}

/// The play of a run that fared worst: the longest without sound in stalls, else the one given
/// up, else the slowest to begin.
#[must_use]
pub fn worst(run: &SeedRun) -> Option<PlayName> {
    worst_of(&run.tally)
}

fn worst_of(tally: &Tally) -> Option<PlayName> {
    let plays = tally.rows.iter();
    let worst =
        plays.max_by_key(|row| (row.stalled, row.start_latency.is_none(), row.start_latency));
    worst.map(|row| PlayName {
        user: row.user,
        number: row.number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::built_in;
    use crate::scenario::units::Time;

    #[test]
    fn a_world_that_is_watched_goes_the_same_way() {
        let mut scenario = Scenario::read(built_in("hello").expect("built in").1).expect("legal");
        scenario.population.users = 40;
        scenario.catalog.tracks = 300;
        scenario.duration = Time(600.0);
        scenario.settle = Time(60.0);
        let scenario = Arc::new(scenario);
        let digest = |watched: Option<(u32, u32)>| {
            let mut world = World::new(&scenario, 5, u64::MAX);
            if let Some((user, number)) = watched {
                world.watch(user, number);
            }
            while world.run_until(u64::MAX).expect("no rule is broken") {}
            (world.finish().digest.value(), watched)
        };
        let (plain, _) = digest(None);
        for watched in [(0, 0), (7, 3), (31, 1)] {
            assert_eq!(digest(Some(watched)).0, plain, "{watched:?}");
        }
    }

    #[test]
    fn a_play_is_named_by_user_and_number() {
        assert_eq!(
            "17-3".parse(),
            Ok(PlayName {
                user: 17,
                number: 3
            })
        );
        for wrong in ["", "17", "a-b", "1-2-3", "-1"] {
            assert!(wrong.parse::<PlayName>().is_err(), "{wrong}");
        }
    }
}
