//! What the player tells: events, and the bounded queue they wait in.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::decoder::DecodeError;
use crate::sink::SinkError;
use crate::source::PlayId;

/// Events that may wait. A listener that is this far behind gets no use out of older ones; guess.
const EVENTS_MAX: usize = 256;

/// Something that happened to a play, or to the player.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The first sample of a play was handed to the sink.
    Started {
        /// Which play.
        id: PlayId,
        /// When the sink took that sample.
        first_sample: Instant,
    },
    /// Where the playhead is, now and then while playing.
    Position {
        /// Which play.
        id: PlayId,
        /// The next frame to be heard, at the track's own rate.
        frame: u64,
        /// The same as a time.
        position: Duration,
    },
    /// Playing stopped for a while because it was asked to.
    Paused {
        /// Which play.
        id: PlayId,
    },
    /// Playing goes on after a pause.
    Unpaused {
        /// Which play.
        id: PlayId,
    },
    /// A seek took effect: the next frame heard is `frame`.
    Seeked {
        /// Which play.
        id: PlayId,
        /// At the track's own rate.
        frame: u64,
    },
    /// The sink wanted samples and there were none.
    Stalled {
        /// Which play.
        id: PlayId,
        /// When it first wanted them.
        since: Instant,
    },
    /// Samples are there again.
    Resumed {
        /// Which play.
        id: PlayId,
        /// How long they were missing.
        stalled_for: Duration,
    },
    /// The last sample of a track was handed to the sink.
    TrackEnded {
        /// Which play.
        id: PlayId,
        /// Frames handed over in this play, at the track's own rate; heard twice counts twice.
        /// What the sink took while a seek was under way may be missing: some milliseconds.
        frames_played: u64,
    },
    /// A play was left before its end.
    Skipped {
        /// Which play.
        id: PlayId,
        /// Why.
        reason: SkipReason,
        /// The next frame that would have been heard.
        frame: u64,
        /// Frames handed over in this play, at the track's own rate.
        frames_played: u64,
    },
    /// A play cannot go on; the next one starts.
    Failed {
        /// Which play.
        id: PlayId,
        /// Why.
        reason: PlayFailure,
        /// Frames handed over in this play, at the track's own rate.
        frames_played: u64,
    },
    /// Nothing is left to play.
    QueueEmpty,
    /// The sink died; the player is paused and opens it again at the next command to play.
    SinkLost {
        /// Why.
        reason: String,
    },
}

/// Why a play was left before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// On to the next one.
    Skip,
    /// Another one was to play now.
    Replaced,
    /// Nothing more was to play.
    Stopped,
}

/// Why a play cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlayFailure {
    /// Its bytes did not come or make no music.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The decoder or the source panicked, which is a defect in them.
    #[error("decoding panicked ({message}); the track is skipped")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// It could not be brought to the output's rate.
    #[error(transparent)]
    Convert(#[from] crate::converter::ConvertError),
    /// The sink could not be opened.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The queue has no more room.
    #[error("the queue is full ({max} tracks); wait until one has ended")]
    QueueFull {
        /// How many it holds.
        max: usize,
    },
    /// No decoding thread could be started.
    #[error("no thread to decode with: {reason}")]
    NoThread {
        /// Why.
        reason: String,
    },
}

/// Called after every event; must be quick and must not block.
pub type EventHook = Arc<dyn Fn() + Send + Sync>;

/// The player's events, in order.
///
/// At most 256 wait. When more come, the oldest [`Event::Position`] goes first, and without one
/// the oldest event; [`Events::lost`] counts the latter.
#[derive(Clone)]
pub struct Events(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    lost: u64,
    closed: bool,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared::default()))
    }

    /// The next event, if one waits.
    #[must_use]
    pub fn try_recv(&self) -> Option<Event> {
        self.lock().events.pop_front()
    }

    /// The next event; nothing if none comes in time, or the player is gone.
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Event> {
        let deadline = Instant::now() + timeout;
        let mut queue = self.lock();
        loop {
            if let Some(event) = queue.events.pop_front() {
                return Some(event);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if queue.closed || left.is_zero() {
                return None;
            }
            let waited = self.0.arrived.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next event, however long it takes; nothing once the player is gone.
    #[must_use]
    pub fn recv(&self) -> Option<Event> {
        let mut queue = self.lock();
        loop {
            if let Some(event) = queue.events.pop_front() {
                return Some(event);
            }
            if queue.closed {
                return None;
            }
            queue = self
                .0
                .arrived
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Events other than positions that were thrown away because nobody fetched them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lock().lost
    }

    pub(crate) fn push(&self, event: Event) {
        let mut queue = self.lock();
        if queue.events.len() >= EVENTS_MAX {
            let position = |event: &Event| matches!(event, Event::Position { .. });
            if let Some(oldest) = queue.events.iter().position(position) {
                queue.events.remove(oldest);
            } else {
                queue.events.pop_front();
                queue.lost += 1;
            }
        }
        queue.events.push_back(event);
        self.0.arrived.notify_all();
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.0.arrived.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_gives_up_positions_before_anything_else() {
        let events = Events::new();
        let position = Event::Position {
            id: PlayId(1),
            frame: 0,
            position: Duration::ZERO,
        };
        events.push(Event::Paused { id: PlayId(1) });
        events.push(position);
        for _ in 0..EVENTS_MAX - 2 {
            events.push(Event::QueueEmpty);
        }
        events.push(Event::QueueEmpty);
        assert_eq!(events.lost(), 0);
        assert_eq!(events.try_recv(), Some(Event::Paused { id: PlayId(1) }));
        assert_eq!(events.try_recv(), Some(Event::QueueEmpty));
        for _ in 0..10 {
            events.push(Event::QueueEmpty);
        }
        assert_eq!(events.lost(), 8);
    }
}
