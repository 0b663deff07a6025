//! A node's own clock: it starts anywhere and runs fast or slow. The core sees no other.

use antiphon_swarm::Instant;

/// Local time from simulated time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    offset: u64,
    drift_ppm: i64,
}

impl Clock {
    pub(crate) const fn new(offset: u64, drift_ppm: i64) -> Self {
        Self { offset, drift_ppm }
    }

    /// What the clock shows at `now`, simulated microseconds.
    pub(crate) const fn local(&self, now: u64) -> Instant {
        let drift = now as i64 / 1_000 * self.drift_ppm / 1_000;
        Instant::from_micros((self.offset + now).saturating_add_signed(drift))
    }

    /// The first simulated microsecond at which it shows at least `local`.
    pub(crate) const fn simulated(&self, local: Instant) -> u64 {
        let wanted = local.as_micros();
        let mut guess = wanted.saturating_sub(self.offset);
        // One step of Newton's rule, then the rest by looking.
        let drift = guess as i64 / 1_000 * self.drift_ppm / 1_000;
        guess = guess.saturating_add_signed(-drift);
        while guess > 0 && self.local(guess - 1).as_micros() >= wanted {
            guess -= 1;
        }
        while self.local(guess).as_micros() < wanted {
            guess += 1;
        }
        guess
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_monotonic_and_lead_back() {
        for drift in [-500, 0, 500] {
            let clock = Clock::new(1_000_000, drift);
            let mut before = 0;
            for now in (0..400_000_000).step_by(1_234_567) {
                let local = clock.local(now);
                assert!(local.as_micros() >= before);
                before = local.as_micros();
                let back = clock.simulated(local);
                assert!(back <= now && clock.local(back) == local);
            }
        }
    }
}
