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

/// Before a tracker that said "too many requests" is asked again. Guess.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Entries of the queue among which one is looked for that plays without the tracker. Guess.
const LOOKED_THROUGH: usize = 100;

impl Driver {
    /// Play `id` was not opened.
    pub(super) fn on_unopened(&mut self, id: PlayId, error: &CommandError) {
        match error {
            CommandError::Refused(code) if *code == ErrorCode::RATE_LIMITED => {
                if let Some(play) = self.on_stage(id) {
                    play.open_again = Some(Instant::now() + AGAIN_AFTER);
                }
            }
            CommandError::TrackerUnreachable if self.is_current(id) => {
                self.tell_failure(id, &error.to_string());
                self.go_on_without_tracker();
            }
            _ => self.give_up(id, &error.to_string()),
        }
    }

    /// With the next entry that needs nobody, or not at all until the tracker is back.
    fn go_on_without_tracker(&mut self) {
        if let Some(entries) = self.entries_to_one_that_is_here() {
            for _ in 0..entries {
                self.queue.advance();
            }
            return self.play_current(false, Instant::now());
        }
        self.stop();
        self.waits = Some(Instant::now());
    }

    fn entries_to_one_that_is_here(&mut self) -> Option<usize> {
        let (entries, current) = self.queue.entries();
        let upcoming = entries.iter().skip(current + 1).take(LOOKED_THROUGH);
        let upcoming: Vec<TrackId> = upcoming.map(|entry| entry.track).collect();
        let is_here = |track: &TrackId| self.is_held(*track) && self.kept_license(*track).is_some();
        let mut upcoming = upcoming.iter();
        upcoming.position(is_here).map(|between| between + 1)
    }

    /// The tracker is back.
    pub(super) fn go_on_with_tracker(&mut self) {
        let since = self.waits.take();
        if since.is_some_and(|since| since.elapsed() < GOES_ON_WITHIN) {
            self.play_current(false, Instant::now());
        }
    }

    /// When the tracker is asked again for what it had no time for.
    pub(super) fn opens_again_at(&self) -> Option<Instant> {
        let stage = self.stage.as_ref()?;
        let plays = [&stage.current, &stage.next].into_iter().flatten();
        plays.filter_map(|play| play.open_again).min()
    }

    pub(super) fn open_again(&mut self) {
        let now = Instant::now();
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
