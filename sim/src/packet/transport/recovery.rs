//! Round trips, the congestion window and pacing of one sender: RFC 9002 and 9438 as quinn has
//! them, because the node ships quinn with Cubic.

use crate::packet::transport::PACKET_BYTES;

/// Acknowledgments are delayed by at most this: QUIC's default.
pub(super) const ACK_DELAY_MAX: u64 = 25_000;
/// Packets by which a later one must be acknowledged before an earlier one counts as lost.
pub(super) const PACKET_THRESHOLD: u32 = 3;
/// Cubic's constants, RFC 9438.
const CUBIC_C: f64 = 0.4;
const CUBIC_BETA: f64 = 0.7;
/// The window never falls below two packets.
const WINDOW_MIN: u64 = 2 * PACKET_BYTES;
/// quinn's pacer lets this much of a round trip's window go at once, within the bounds below.
const BURST_MICROS: u64 = 10_000;
const BURST_MIN: u64 = 10 * PACKET_BYTES;
const BURST_MAX: u64 = 256 * PACKET_BYTES;

/// Round trip as one side measures it, microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrip {
    pub(super) smoothed: u64,
    pub(super) latest: u64,
    variance: u64,
    least: u64,
    known: bool,
}

impl RoundTrip {
    pub(super) const fn new(guess: u64) -> Self {
        Self {
            smoothed: guess,
            latest: guess,
            variance: guess / 2,
            least: u64::MAX,
            known: false,
        }
    }

    pub(super) fn sample(&mut self, trip: u64, ack_delay: u64) {
        self.latest = trip;
        self.least = self.least.min(trip);
        if !self.known {
            (self.smoothed, self.variance, self.known) = (trip, trip / 2, true);
            return;
        }
        let trip = if self.least + ack_delay <= trip {
            trip - ack_delay
        } else {
            trip
        };
        self.variance = (3 * self.variance + self.smoothed.abs_diff(trip)) / 4;
        self.smoothed = (7 * self.smoothed + trip) / 8;
    }

    pub(super) fn probe_timeout(&self) -> u64 {
        self.smoothed + (4 * self.variance).max(1_000) + ACK_DELAY_MAX
    }

    pub(super) fn loss_delay(&self) -> u64 {
        (self.smoothed.max(self.latest) * 9 / 8).max(1_000)
    }
}

/// Cubic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) bytes: u64,
    threshold: u64,
    /// Packets sent before this belong to a loss already paid for.
    recovery: Option<u64>,
    /// In packets.
    most: f64,
    k: f64,
    grown: u64,
}

impl Window {
    pub(super) const fn new(bytes: u64) -> Self {
        Self {
            bytes,
            threshold: u64::MAX,
            recovery: None,
            most: 0.0,
            k: 0.0,
            grown: 0,
        }
    }

    pub(super) fn acknowledged(&mut self, now: u64, sent: u64, bytes: u64, trip: u64) {
        if self.recovery.is_some_and(|recovery| sent <= recovery) {
            return;
        }
        if self.bytes < self.threshold {
            self.bytes += bytes;
            if self.bytes >= self.threshold {
                self.bytes = self.threshold;
            }
            return;
        }
        let packet = PACKET_BYTES as f64;
        let since = now.saturating_sub(self.recovery.unwrap_or(now)) as f64 / 1e6;
        let ahead = since + trip as f64 / 1e6;
        let cubic = |time: f64| {
            let x = time - self.k;
            (CUBIC_C * x * x * x + self.most) * packet
        };
        // The window a Reno sender would have: what keeps Cubic fair on short round trips.
        let reno = (self.most * CUBIC_BETA
            + 3.0 * (1.0 - CUBIC_BETA) / (1.0 + CUBIC_BETA) * since / (trip.max(1) as f64 / 1e6))
            * packet;
        let target = if cubic(since) < reno {
            reno
        } else {
            cubic(ahead)
        };
        if target > self.bytes as f64 {
            self.grown += ((target - self.bytes as f64) * bytes as f64 / self.bytes as f64) as u64;
        }
        if self.grown >= PACKET_BYTES {
            self.bytes += self.grown.min(self.bytes / 2);
            self.grown = 0;
        }
    }

    /// A packet sent at `sent` is lost.
    pub(super) fn lost(&mut self, now: u64, sent: u64) {
        if self.recovery.is_some_and(|recovery| sent <= recovery) {
            return;
        }
        self.recovery = Some(now);
        let packets = self.bytes as f64 / PACKET_BYTES as f64;
        self.most = if packets < self.most {
            packets * (1.0 + CUBIC_BETA) / 2.0
        } else {
            packets
        };
        self.k = libm::cbrt(self.most * (1.0 - CUBIC_BETA) / CUBIC_C);
        self.threshold = ((self.bytes as f64 * CUBIC_BETA) as u64).max(WINDOW_MIN);
        self.bytes = self.threshold;
        self.grown = 0;
    }

    /// Nothing got through for several probe timeouts.
    pub(super) fn collapse(&mut self, now: u64) {
        self.recovery = Some(now);
        self.threshold = ((self.bytes as f64 * CUBIC_BETA) as u64).max(WINDOW_MIN);
        self.bytes = WINDOW_MIN;
    }
}

/// Spreads a window over its round trip.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    tokens: u64,
    filled: u64,
}

impl Pacer {
    pub(super) const fn new(now: u64, window: u64, trip: u64) -> Self {
        Self {
            tokens: Self::capacity(window, trip),
            filled: now,
        }
    }

    const fn capacity(window: u64, trip: u64) -> u64 {
        let trip = if trip == 0 { 1 } else { trip };
        let burst = window * BURST_MICROS / trip;
        if burst < BURST_MIN {
            BURST_MIN
        } else if burst > BURST_MAX {
            BURST_MAX
        } else {
            burst
        }
    }

    /// Whether a packet may leave now; if not, when to look again.
    pub(super) fn wait(&mut self, now: u64, window: u64, trip: u64) -> Option<u64> {
        let (capacity, trip) = (Self::capacity(window, trip), trip.max(1));
        if self.tokens < PACKET_BYTES || self.tokens > capacity {
            let gained = (u128::from(now - self.filled) * u128::from(window) * 5
                / (4 * u128::from(trip))) as u64;
            self.tokens = self.tokens.saturating_add(gained).min(capacity);
            self.filled = now;
        }
        if self.tokens >= PACKET_BYTES {
            return None;
        }
        let missing = capacity - self.tokens;
        Some(now + (missing * trip / window.max(1) * 4 / 5).max(1_000))
    }

    pub(super) const fn spend(&mut self, bytes: u64) {
        self.tokens = self.tokens.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_start_doubles_and_loss_costs_three_tenths_once() {
        let mut window = Window::new(100_000);
        window.acknowledged(10, 5, 100_000, 50_000);
        assert_eq!(window.bytes, 200_000);
        window.lost(20, 15);
        assert_eq!(window.bytes, 140_000);
        window.lost(21, 16);
        assert_eq!(window.bytes, 140_000, "one loss a round");
        for turn in 1..200_u64 {
            window.acknowledged(20 + turn * 50_000, turn * 50_000, 140_000, 50_000);
        }
        assert!(window.bytes > 200_000, "it grows back: {}", window.bytes);
    }

    #[test]
    fn a_window_is_spread_over_its_round_trip() {
        let (window, trip) = (120_000, 100_000);
        let mut pacer = Pacer::new(0, window, trip);
        let (mut now, mut sent) = (0, 0);
        while now < trip {
            match pacer.wait(now, window, trip) {
                None => {
                    pacer.spend(PACKET_BYTES);
                    sent += PACKET_BYTES;
                }
                Some(later) => now = later,
            }
        }
        assert!((window..=window * 3 / 2).contains(&sent), "{sent}");
    }

    #[test]
    fn the_probe_timeout_follows_the_round_trip() {
        let mut trip = RoundTrip::new(50_000);
        for _ in 0..50 {
            trip.sample(20_000, 0);
        }
        assert_eq!(trip.smoothed / 1_000, 20);
        assert!(trip.probe_timeout() < 50_000);
    }
}
