//! Writes down what one listener's core hears, asks for and plays around one play.
//!
//! Only looks: a world that is watched goes the same way as one that is not.

use antiphon_swarm::node::input::{Command, FetchEvent};
use antiphon_swarm::{Input, Output};

use crate::explain::story::{Moment, Who};
use crate::world::World;
use crate::world::player::Ending;

/// Moments kept at most; a play has some hundreds.
const MOMENTS_MAX: usize = 50_000;

/// What is watched, and what was seen so far.
#[derive(Debug)]
pub(super) struct Watch {
    user: u32,
    /// Which of the user's plays.
    number: u32,
    /// What it is a play of, once it is known.
    track: Option<u32>,
    moments: Vec<(u64, Moment)>,
    over: bool,
}

impl Watch {
    fn note(&mut self, now: u64, moment: Moment) {
        if !self.over && self.moments.len() < MOMENTS_MAX {
            self.moments.push((now, moment));
        }
    }
}

impl World {
    /// Watches a play, before the world has begun.
    pub(crate) fn watch(&mut self, user: u32, number: u32) {
        self.watch = Some(Box::new(Watch {
            user,
            number,
            track: None,
            moments: Vec::new(),
            over: false,
        }));
    }

    /// Whether the watched play is over.
    pub(crate) fn watched(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.over)
    }

    /// What was seen: the track, and each moment with its time.
    pub(crate) fn take_watch(&mut self) -> Option<(u32, Vec<(u64, Moment)>)> {
        let watch = self.watch.take()?;
        Some((watch.track?, watch.moments))
    }

    /// The watch, if this user is watched and has begun the play before the watched one: what is
    /// prefetched for a play is asked for while the one before it plays.
    fn watching(&mut self, user: u32) -> Option<&mut Watch> {
        let plays = self.person(user).plays;
        let watch = self.watch.as_deref_mut()?;
        (watch.user == user && plays >= watch.number && !watch.over).then_some(watch)
    }

    /// A core hears of something.
    pub(super) fn watch_input(&mut self, user: u32, input: &Input) {
        // What the shell itself tells is told as a moment of the player.
        let ours = matches!(
            input,
            Input::Timeout
                | Input::Store(_)
                | Input::Command(Command::Play { .. } | Command::Playhead { .. })
        );
        if ours {
            return;
        }
        let now = self.now;
        let Some(watch) = self.watching(user) else {
            return;
        };
        if let Input::Fetch { fetch, event } = input
            && let FetchEvent::Arrived { first, until } = *event
        {
            // Its first chunk was there before.
            let (fetch, event) = (*fetch, FetchEvent::Verified { until });
            watch.note(
                first.as_micros(),
                Moment::Input(Input::Fetch { fetch, event }),
            );
        }
        watch.note(now, Moment::Input(input.clone()));
    }

    pub(super) fn watch_output(&mut self, user: u32, output: &Output) {
        let now = self.now;
        if let Some(watch) = self.watching(user) {
            watch.note(now, Moment::Output(output.clone()));
        }
    }

    /// A moment of the player in the play that goes on.
    pub(super) fn watch_player(&mut self, user: u32, number: u32, moment: Moment) {
        let now = self.now;
        let Some(watch) = self.watching(user).filter(|watch| watch.number == number) else {
            return;
        };
        if let Moment::Pressed { track, .. } = moment {
            watch.track = Some(track);
        }
        let over = matches!(moment, Moment::Ended { .. });
        watch.note(now, moment);
        watch.over = over;
    }

    /// Somebody, as seen from `from`.
    pub(crate) fn who(&self, from: u32, user: u32) -> Who {
        let person = self.person(user);
        let scenario = &self.scenario;
        let name = |name: Option<&String>| name.cloned().unwrap_or_default();
        let region = scenario.region.get(person.region as usize);
        let access = scenario.access.get(person.access as usize);
        let nat = scenario.nat.get(person.nat as usize);
        let device = scenario.device.get(person.device as usize);
        Who {
            node: user,
            region: name(region.map(|region| &region.name)),
            access: name(access.map(|access| &access.name)),
            nat: name(nat.map(|nat| &nat.name)),
            device: name(device.map(|device| &device.name)),
            may_upload: person.uploads,
            rtt_ms: if from == user {
                0.0
            } else {
                self.rtt(from, user) as f64 / 1e3
            },
        }
    }

    /// Users there are.
    pub(crate) fn users(&self) -> u32 {
        self.seats.len() as u32
    }

    /// Plays a user has begun.
    pub(crate) fn plays_of(&self, user: u32) -> u32 {
        self.person(user).plays
    }

    /// Seconds of music before a byte.
    pub(super) fn second_at(&self, byte: u64) -> f64 {
        self.music.time_of(byte) as f64 / 1e6
    }

    /// Seconds of music in a track.
    pub(crate) fn length_of(&self, track: u32) -> f64 {
        self.second_at(self.music.size(track))
    }
}

impl Ending {
    /// In words, behind "the play".
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Heard => "was heard to where the listener wanted",
            Self::Left => "ended because the listener went offline",
            Self::Cut => "was cut off by the end of the run",
            Self::Refused => "was given up for want of a license or of any source",
        }
    }
}
