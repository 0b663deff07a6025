//! How fast the bare queue is: the classic hold model, in which each event taken puts a new one
//! in, exponentially later. The caller measures the time; nothing here reads a clock.

use crate::engine::queue::{Event, EventQueue};
use crate::engine::random::Draws;

/// The mean hold: one event a microsecond with a million pending.
const HOLD_MICROS: f64 = 1e6;
/// Holds drawn beforehand, so that the logarithm is not what is measured.
const HOLDS: usize = 1 << 16;

#[derive(Clone, Copy, Debug)]
struct Hold(#[expect(dead_code, reason = "the size of a real event")] u64);

impl Event for Hold {
    fn class(&self) -> u8 {
        0
    }
}

/// A filled queue.
#[derive(Debug)]
pub struct HoldModel {
    queue: EventQueue<Hold>,
    holds: Vec<u32>,
    next: usize,
}

impl HoldModel {
    /// With this many events pending.
    #[must_use]
    pub fn new(pending: usize) -> Self {
        let mut draws = Draws::of(1, 0, 0);
        let holds: Vec<u32> = (0..HOLDS)
            .map(|_| draws.exponential(HOLD_MICROS) as u32)
            .collect();
        let mut queue = EventQueue::new();
        for number in 0..pending {
            queue.push(u64::from(holds[number % HOLDS]), Hold(number as u64));
        }
        Self {
            queue,
            holds,
            next: 0,
        }
    }

    /// Takes `events` events out and puts as many in.
    pub fn run(&mut self, events: u64) {
        for _ in 0..events {
            let Some((now, event)) = self.queue.pop(u64::MAX) else {
                return;
            };
            self.next = (self.next + 1) % HOLDS;
            let hold = self.holds.get(self.next).copied().unwrap_or(1);
            self.queue.push(now + u64::from(hold), event);
        }
    }
}
