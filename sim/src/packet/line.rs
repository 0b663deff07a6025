//! One direction of an access line: a rate, and a first-in-first-out queue of bytes that drops at
//! its tail what does not fit.
//!
//! The queue needs no events: what waits is known from when the line is free again.

/// Bytes of ours that may wait however little others leave: a few full packets.
const QUEUE_LEAST: u64 = 4 * 1_228;

/// One direction of one line.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Bytes a second now; zero is without limit.
    rate: u64,
    /// Bytes that may wait now.
    queue: u64,
    /// Both while nobody else uses the line.
    whole: (u64, u64),
    /// Nanoseconds from the start until which the line is busy.
    free_at: u64,
}

impl Line {
    /// A line of `rate` bytes a second (zero: without limit) before which `queue` bytes may wait.
    #[must_use]
    pub const fn new(rate: u64, queue: u64) -> Self {
        Self {
            rate,
            queue,
            whole: (rate, queue),
            free_at: 0,
        }
    }

    /// Others use the line and leave `rate` of it for what comes from now on.
    ///
    /// They take their part of the queue too: a queue of bytes in front of a line never takes
    /// longer to empty than its bytes take at the whole rate. If it could be filled at a small part
    /// of the rate, the line would be blocked for as long as that takes once the others are gone.
    pub fn set_rate(&mut self, rate: u64) {
        let (whole, queue) = self.whole;
        self.rate = rate;
        self.queue = if rate < whole {
            let part = u128::from(queue) * u128::from(rate) / u128::from(whole);
            (part as u64).max(QUEUE_LEAST)
        } else {
            queue
        };
    }

    /// Bytes a second; zero is without limit.
    #[must_use]
    pub const fn rate(&self) -> u64 {
        self.rate
    }

    /// When a packet of `bytes` that comes at `now` (microseconds) has left; nothing if the queue
    /// is full.
    pub fn pass(&mut self, now: u64, bytes: u64) -> Option<u64> {
        if self.rate == 0 {
            return Some(now);
        }
        let now = now * 1_000;
        let waiting = self.free_at.saturating_sub(now);
        let queued = u128::from(waiting) * u128::from(self.rate) / 1_000_000_000;
        if queued + u128::from(bytes) > u128::from(self.queue) {
            return None;
        }
        self.free_at = self.free_at.max(now) + bytes * 1_000_000_000 / self.rate;
        Some(self.free_at.div_ceil(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_leave_one_after_the_other_and_the_tail_is_dropped() {
        // A packet of 1,000 bytes takes a millisecond; two may wait.
        let mut line = Line::new(1_000_000, 2_000);
        assert_eq!(line.pass(0, 1_000), Some(1_000));
        assert_eq!(line.pass(0, 1_000), Some(2_000));
        assert_eq!(line.pass(0, 1_000), None);
        assert_eq!(line.pass(1_000, 1_000), Some(3_000));
        assert_eq!(line.pass(9_000, 1_000), Some(10_000));
    }

    #[test]
    fn a_line_that_others_filled_is_usable_soon_after_they_have_gone() {
        let mut line = Line::new(1_000_000, 200_000);
        line.set_rate(20_000);
        let waited = (0..1_000).filter_map(|_| line.pass(0, 1_000)).last();
        assert_eq!(
            waited,
            Some(200_000),
            "no longer than the whole queue takes"
        );
        line.set_rate(1_000_000);
        assert_eq!(line.pass(100_000, 1_000), Some(201_000));
        assert_eq!(line.pass(300_000, 1_000), Some(301_000));
    }

    #[test]
    fn a_line_without_limit_delays_nothing() {
        let mut line = Line::new(0, 0);
        assert_eq!(line.pass(7, 1 << 20), Some(7));
    }
}
