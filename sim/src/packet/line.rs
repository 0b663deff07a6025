//! One direction of an access line: a rate, and a first-in-first-out queue of bytes that drops at
//! its tail what does not fit.
//!
//! The queue needs no events: what waits is known from when the line is free again.

/// One direction of one line.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Bytes a second; zero is without limit.
    rate: u64,
    /// Bytes that may wait.
    queue: u64,
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
            free_at: 0,
        }
    }

    /// Changes the rate of what comes from now on.
    pub const fn set_rate(&mut self, rate: u64) {
        self.rate = rate;
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
    fn a_line_without_limit_delays_nothing() {
        let mut line = Line::new(0, 0);
        assert_eq!(line.pass(7, 1 << 20), Some(7));
    }
}
