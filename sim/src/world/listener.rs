//! What people play: queues they follow or leave, tracks they repeat or discover, skips and jumps.

use antiphon_protocol::ChunkIndex;
use antiphon_swarm::node::input::{Command, Expected};
use antiphon_swarm::{Input, PlayId, RenditionKey};

use crate::engine::random::Draws;
use crate::explain::story::Moment;
use crate::world::happening::Happening;
use crate::world::online::{Expectation, License};
use crate::world::player::{Ending, Playing};
use crate::world::{Chance, World};

/// The chance the node tells its core for the next track of a queue: the node's own constant.
const NEXT_CHANCE_PERMILLE: u16 = 800;

/// Kinds of draws of one play, apart, so that variants share them.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
enum Choice {
    Order,
    Chosen,
    Expected,
    Heard,
}

impl World {
    fn choice(&self, user: u32, play: u32, choice: Choice) -> Draws {
        self.draws(
            Chance::Play,
            u64::from(user) << 34 ^ u64::from(play) << 2 | choice as u64,
        )
    }

    pub(super) fn listen(&mut self, user: u32, session: u32) -> u64 {
        let playing = self
            .node(user)
            .is_some_and(|online| online.playing.is_some());
        if self.session(user) != Some(session) || playing {
            return 0;
        }
        let until = self.now + self.stretch(user);
        self.seats[user as usize].person.stretches += 1;
        if let Some(online) = self.node_mut(user) {
            online.listening_until = until;
        }
        self.next_play(user, false);
        1
    }

    /// What follows when a play is over. `to_its_end` says that nobody skipped.
    pub(super) fn next_play(&mut self, user: u32, to_its_end: bool) {
        let Some(online) = self.node(user) else {
            return;
        };
        let (session, expected) = (online.session, online.expected);
        if self.now >= online.listening_until {
            self.drop_expected(user);
            self.catch_up(user);
            self.hand_in(user, Input::Command(Command::Stop));
            self.hand_in(user, Input::Command(Command::Expect { next: Vec::new() }));
            let idle = self.idle_time(user);
            return self.after(idle, Happening::Listen { user, session });
        }
        let number = self.person(user).plays;
        let random = self
            .choice(user, number, Choice::Order)
            .chance(self.scenario.listening.random.0);
        match expected.filter(|_| !random) {
            Some(Expectation { track, license }) => {
                if let Some(online) = self.node_mut(user) {
                    online.expected = None;
                }
                self.start_play(user, track, Some(license), to_its_end);
            }
            None => {
                self.drop_expected(user);
                let mut draws = self.choice(user, number, Choice::Chosen);
                let track = self.choose(user, &mut draws);
                self.start_play(user, track, None, false);
            }
        }
    }

    /// The next track of a release that is being heard, else one of somebody's own.
    fn choose(&mut self, user: u32, draws: &mut Draws) -> u32 {
        if let Some(track) = self.next_released(user) {
            return track;
        }
        self.choose_own(user, draws)
    }

    /// A track from the own cache, rather one used lately, or one by popularity.
    fn choose_own(&self, user: u32, draws: &mut Draws) -> u32 {
        let repeat = draws.chance(self.scenario.listening.repeat.0);
        let held = self.seats[user as usize].shelf.tracks();
        let mut pick = || held.get(draws.below(held.len() as u64) as usize).copied();
        if let (true, Some(one), Some(other)) = (repeat, pick(), pick()) {
            return if one.used() >= other.used() {
                one.track
            } else {
                other.track
            };
        }
        self.music.draw(draws)
    }

    /// Presses play. `expected` says what there is of the license of an expected track, `follows`
    /// that the one before it played to its end.
    pub(super) fn start_play(
        &mut self,
        user: u32,
        track: u32,
        expected: Option<License>,
        follows: bool,
    ) {
        let number = self.person(user).plays;
        self.seats[user as usize].person.plays += 1;
        let spec = self.music.spec(track);
        let second = (self.now / 1_000_000) as i32;
        let lease = self.scenario.tracker.lease.0 as i32;
        let shelf = &mut self.seats[user as usize].shelf;
        let held = shelf.get(track);
        let leased = held.is_some_and(|held| second - held.used() <= lease);
        let cached = shelf.first_missing(track, ChunkIndex(0)).is_none();
        shelf.touch(track, second);
        shelf.open(track, spec.geometry);
        let mut draws = self.choice(user, number, Choice::Heard);
        let stop_at = self.stop_at(track, &mut draws);
        let seek = self.jump(stop_at, &mut draws);
        let playing = Playing::new(
            track,
            number,
            self.now,
            expected.is_some(),
            cached,
            (stop_at, seek),
            follows && self.player_model.opens_next,
        );
        if let Some(online) = self.node_mut(user) {
            online.playing = Some(playing);
        }
        self.hurry(user);
        let pressed = Moment::Pressed {
            track,
            expected: expected.is_some(),
            cached,
        };
        self.watch_player(user, number, pressed);
        let rendition = RenditionKey(track);
        if expected.is_none() {
            // What was expected was introduced when its license was asked for.
            self.hand_in(user, Input::Command(Command::Introduce { rendition, spec }));
        }
        let play = PlayId(u64::from(number));
        let from = ChunkIndex(0);
        self.hand_in(
            user,
            Input::Command(Command::Play {
                play,
                rendition,
                from,
            }),
        );
        if leased || expected == Some(License::Held) {
            self.licensed(user, number);
        } else if expected != Some(License::OnItsWay) && !self.ask_license(user, number, track) {
            // No license and no tracker: the node gives the play up.
            self.end_play(user, Ending::Refused);
            self.after_refusal(user);
        }
    }

    /// Asks the tracker to open a track for the play of this number. False if there is no tracker.
    fn ask_license(&mut self, user: u32, play: u32, track: u32) -> bool {
        let Some(delay) = self.open_track(user, track) else {
            return false;
        };
        // Of the same moment, the holders that came in the same answer are told first.
        self.after(delay, Happening::Licensed { user, play, track });
        true
    }

    /// A listener whose play is refused tries something else a little later.
    pub(super) fn after_refusal(&mut self, user: u32) {
        let Some(session) = self.session(user) else {
            return;
        };
        self.drop_expected(user);
        self.after(5_000_000, Happening::Listen { user, session });
    }

    /// The tracker's answer for a play, which may have begun in the meantime, or been left, or never come to its
    /// turn: what nobody waits for any more changes nothing.
    pub(super) fn license_came(&mut self, user: u32, play: u32, track: u32) -> u64 {
        let Some(online) = self.node_mut(user) else {
            return 0;
        };
        let waits = |playing: &Playing| {
            playing.number == play && playing.track == track && !playing.licensed
        };
        if online.playing.as_ref().is_some_and(waits) {
            self.licensed(user, play);
            return 1;
        }
        let comes = |expected: &&mut Expectation| {
            expected.track == track && expected.license == License::OnItsWay
        };
        let Some(expected) = online.expected.as_mut().filter(comes) else {
            return 0;
        };
        expected.license = License::Held;
        self.catch_up(user);
        self.expect(user, track);
        2
    }

    /// The license is there: the player may start, and the node prepares the next track.
    fn licensed(&mut self, user: u32, play: u32) {
        if let Some(playing) = self
            .node_mut(user)
            .and_then(|online| online.playing.as_mut())
        {
            playing.licensed = true;
        }
        self.catch_up(user);
        self.watch_player(user, play, Moment::Licensed);
        self.try_start(user);
        self.prepare_next(user, play);
    }

    fn prepare_next(&mut self, user: u32, play: u32) {
        let mut draws = self.choice(user, play + 1, Choice::Expected);
        let track = self.choose(user, &mut draws);
        let playing = self.node(user).and_then(|online| online.playing.as_ref());
        if playing.is_none_or(|playing| playing.track == track) {
            return;
        }
        let spec = self.music.spec(track);
        let rendition = RenditionKey(track);
        self.hand_in(user, Input::Command(Command::Introduce { rendition, spec }));
        let second = (self.now / 1_000_000) as i32;
        let lease = self.scenario.tracker.lease.0 as i32;
        let held = self.seats[user as usize].shelf.get(track);
        let leased = held.is_some_and(|held| second - held.used() <= lease);
        let license = if leased {
            License::Held
        } else if self.ask_license(user, play + 1, track) {
            License::OnItsWay
        } else {
            License::Missing
        };
        self.seats[user as usize].shelf.open(track, spec.geometry);
        if let Some(online) = self.node_mut(user) {
            online.expected = Some(Expectation { track, license });
        }
        if license == License::Held {
            self.expect(user, track);
        }
    }

    /// The node may fetch what it expects to play.
    fn expect(&mut self, user: u32, track: u32) {
        let next = vec![Expected {
            rendition: RenditionKey(track),
            chance_permille: NEXT_CHANCE_PERMILLE,
        }];
        self.hand_in(user, Input::Command(Command::Expect { next }));
    }

    /// What was expected is not played: what was fetched of it is waste for now.
    pub(super) fn drop_expected(&mut self, user: u32) {
        let Some(online) = self.node_mut(user) else {
            return;
        };
        let Some(Expectation { track, .. }) = online.expected.take() else {
            return;
        };
        let fetched = self.fetched(user, track);
        self.tally.note_prefetch_unplayed(self.now, fetched);
        self.seats[user as usize].shelf.close(track);
    }

    /// The byte at which somebody skips, or the end: published shares of plays skipped within 5
    /// and 30 s and before the end, evenly in between.
    fn stop_at(&self, track: u32, draws: &mut Draws) -> u64 {
        let listening = &self.scenario.listening;
        let size = self.music.size(track);
        let length = self.music.time_of(size) as f64 / 1e6;
        let (kind, place) = (draws.unit(), draws.unit());
        let seconds = if kind < listening.skip_5s.0 {
            place * 5.0
        } else if kind < listening.skip_30s.0 {
            5.0 + place * 25.0
        } else if kind < listening.skip_end.0 {
            30.0 + place * (length - 30.0).max(0.0)
        } else {
            length
        };
        self.music.bytes_in((seconds * 1e6) as u64).clamp(1, size)
    }

    /// From which byte to which somebody jumps, if at all: from the middle of what they hear.
    fn jump(&self, stop_at: u64, draws: &mut Draws) -> Option<(u64, u64)> {
        if !draws.chance(self.scenario.listening.seek.0) || stop_at < 20_000 {
            return None;
        }
        let (from, to) = (stop_at / 2, draws.below(stop_at));
        Some((from, to))
    }
}
