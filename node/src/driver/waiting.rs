//! Plays that the tracker cannot be asked to open now: what plays without it, and when they are tried again.

use std::time::{Duration, Instant};

use antiphon_protocol::{ErrorCode, TrackId};
use antiphon_swarm::PlayId;

use super::Driver;
use super::tracker_link::Purpose;
use crate::command::CommandError;

/// A queue that stands still because the tracker is gone goes on when it is back within this time. After it, music
/// that begins by itself would be a surprise. Guess.
const GOES_ON_WITHIN: Duration = Duration::from_secs(10 * 60);

/// Between two tries of a queue that stands still though the tracker's connection does not seem to be lost. Guess.
const TRY_EVERY: Duration = Duration::from_secs(15);

/// Before a tracker that said "too many requests", or nothing, is asked again. Guess.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often a tracker that says nothing is asked again while its connection stands: a moment's trouble is no reason
/// to leave a track, and longer silence none to wait for it. Guess.
const AGAIN_MAX: u8 = 1;

/// Entries of the queue among which one is looked for that plays without the tracker. Guess.
const LOOKED_THROUGH: usize = 100;

/// How long the queue has stood still.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    since: Instant,
    tried: Instant,
}

impl Driver {
    /// Play `id` was not opened.
    pub(super) fn on_unopened(&mut self, id: PlayId, error: &CommandError) {
        let is_current = self.is_current(id);
        let connected = self.tracker_connected;
        let Some(play) = self.on_stage(id) else {
            return;
        };
        let again = match error {
            CommandError::Refused(code) => *code == ErrorCode::RATE_LIMITED,
            CommandError::TrackerUnreachable => connected && play.opened_again < AGAIN_MAX,
            _ => false,
        };
        if again {
            play.opened_again = play.opened_again.saturating_add(1);
            play.open_again = Some(Instant::now() + AGAIN_AFTER);
        } else if matches!(error, CommandError::TrackerUnreachable) && is_current {
            self.tell_failure(id, &error.to_string());
            self.go_on_without_tracker();
        } else {
            self.give_up(id, &error.to_string());
        }
    }

    /// With the next entry that needs nobody, or not at all until the tracker is back.
    fn go_on_without_tracker(&mut self) {
        // Who paused wants to hear neither.
        let paused = self.kept_keys().paused;
        if !paused && self.go_on_to_what_is_here() {
            return;
        }
        self.stop();
        let now = Instant::now();
        let (since, tried) = (now, now);
        self.waits = (!paused).then_some(Waits { since, tried });
    }

    /// Plays the next entry that needs nobody, if there is one.
    pub(super) fn go_on_to_what_is_here(&mut self) -> bool {
        let Some(entries) = self.entries_to_one_that_is_here() else {
            return false;
        };
        for _ in 0..entries {
            self.queue.advance();
        }
        self.play_current(false, Instant::now());
        true
    }

    fn entries_to_one_that_is_here(&mut self) -> Option<usize> {
        let (entries, current) = self.queue.entries();
        let upcoming = entries.iter().skip(current + 1).take(LOOKED_THROUGH);
        let upcoming: Vec<TrackId> = upcoming.map(|entry| entry.track).collect();
        let is_here = |track: &TrackId| self.is_held(*track) && self.kept_license(*track).is_some();
        let mut upcoming = upcoming.iter();
        upcoming.position(is_here).map(|between| between + 1)
    }

    pub(super) fn waits_for_tracker(&self) -> bool {
        self.waits
            .is_some_and(|waits| waits.since.elapsed() < GOES_ON_WITHIN)
    }

    /// The tracker is back.
    pub(super) fn go_on_with_tracker(&mut self) {
        if self.waits_for_tracker() {
            self.play_current(false, Instant::now());
        }
        self.waits = None;
    }

    /// When the tracker is asked again for what it did not answer.
    pub(super) fn asks_again_at(&self) -> Option<Instant> {
        let waits = self.waits.filter(|_| self.waits_for_tracker());
        let tries = waits.map(|waits| waits.tried + TRY_EVERY);
        let stage = self.stage.as_ref()?;
        let plays = [&stage.current, &stage.next].into_iter().flatten();
        plays.filter_map(|play| play.open_again).chain(tries).min()
    }

    pub(super) fn ask_again(&mut self) {
        let now = Instant::now();
        if let Some(waits) = self.waits.as_mut()
            && waits.tried + TRY_EVERY <= now
        {
            waits.tried = now;
            if self.tracker_connected {
                return self.go_on_with_tracker();
            }
        }
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        let mut due = Vec::new();
        for play in [&mut stage.current, &mut stage.next].into_iter().flatten() {
            if play.open_again.take_if(|at| *at <= now).is_some() {
                due.push((play.play, play.wish.track));
            }
        }
        for (id, track) in due {
            self.open_track(track, Purpose::Play(id));
        }
    }
}
