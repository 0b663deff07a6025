//! What a path does to bytes besides sharing it: distance, the window that opens, loss.
//!
//! All in closed form: no packets.

/// Bytes of a packet's payload.
const PACKET: f64 = 1_200.0;

/// The initial window between peers: 10 packets, RFC 9002.
pub const WINDOW_PEERS: u32 = 12_000;

/// The initial window towards servers: the node sets it to hold a whole head.
pub const WINDOW_ORIGIN: u32 = 65_536;

/// The mean wait in a full line's queue, microseconds: half of what a home router's takes, 0.1 s.
const QUEUE_WAIT: u64 = 50_000;

/// Windows are not remembered beyond this.
const WINDOW_MAX: u32 = 1 << 24;

/// How much later than at constant rate the first `bytes` are there, because the window has to
/// open: the sender sends a window, waits for the rest of the round trip, and doubles it.
#[must_use]
pub fn ramp_delay(bytes: u64, window: u32, rate: f64, rtt: u64) -> u64 {
    if rate <= 0.0 || rtt == 0 {
        return 0;
    }
    let (mut window, mut sent, mut delay) = (f64::from(window.max(1)), 0.0, 0.0);
    loop {
        sent += window;
        let idle = rtt as f64 - window / rate * 1e6;
        if idle <= 0.0 || sent >= bytes as f64 {
            return delay as u64;
        }
        delay += idle;
        window *= 2.0;
    }
}

/// How a flow stands against others where a line is full: congestion controls that go by loss share a
/// queue that drops at its tail in inverse proportion to a power of their round trips, the wait in that
/// queue included. The power is between one and two (Lakshman and Madhow, 1997); this is the middle.
#[must_use]
pub fn weight(rtt: u64) -> f64 {
    let near = QUEUE_WAIT as f64 / (rtt + QUEUE_WAIT) as f64;
    near * libm::sqrt(near)
}

/// The window after `bytes` more went over the connection.
#[must_use]
pub fn window_after(window: u32, bytes: u64) -> u32 {
    // Slow start adds every acknowledged byte.
    let bytes = u32::try_from(bytes).unwrap_or(WINDOW_MAX);
    window.saturating_add(bytes).min(WINDOW_MAX)
}

/// The rate loss allows a loss-based congestion control: Mathis et al., 1997.
#[must_use]
pub fn loss_cap(loss: f64, rtt: u64) -> f64 {
    if loss <= 0.0 || rtt == 0 {
        return f64::INFINITY;
    }
    1.22 * PACKET / (rtt as f64 / 1e6 * libm::sqrt(loss))
}

/// How much later a lost packet is there: the probe timeout of RFC 9002 for a known round trip.
#[must_use]
pub const fn retransmission(rtt: u64) -> u64 {
    // Variance is an eighth of the round trip and the acknowledgment delay 25 ms.
    rtt + rtt / 2 + 25_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_the_first_window_is_not_delayed() {
        assert_eq!(ramp_delay(12_000, WINDOW_PEERS, 1e7, 100_000), 0);
        let cold = ramp_delay(16_384, WINDOW_PEERS, 1e7, 100_000);
        assert!(
            (98_000..100_000).contains(&cold),
            "about one round trip: {cold}"
        );
        let long = ramp_delay(200_000, WINDOW_PEERS, 1e7, 100_000);
        assert!(
            (380_000..400_000).contains(&long),
            "four round trips: {long}"
        );
    }

    #[test]
    fn a_slow_line_is_full_at_once() {
        // 100 kB/s over 50 ms hold 5 kB, less than a window.
        assert_eq!(ramp_delay(1_000_000, WINDOW_PEERS, 1e5, 50_000), 0);
    }

    #[test]
    fn a_ramp_equals_the_sum_over_its_rounds() {
        let (rate, rtt) = (2e6, 80_000);
        // Rounds of 12, 24, 48, 96 kB take 6, 12, 24, 48 ms of 80.
        let idle = [74_000, 68_000, 56_000, 32_000];
        assert_eq!(
            ramp_delay(36_001, WINDOW_PEERS, rate, rtt),
            idle[0] + idle[1]
        );
        assert_eq!(
            ramp_delay(10_000_000, WINDOW_PEERS, rate, rtt),
            idle.iter().sum::<u64>()
        );
    }

    #[test]
    fn a_near_flow_gets_more_of_a_full_line_but_not_all() {
        let twice = 2.0 * libm::sqrt(2.0);
        assert!((weight(0) / weight(50_000) - twice).abs() < 1e-9);
        assert!((weight(20_000) / weight(90_000) - twice).abs() < 1e-9);
    }

    #[test]
    fn loss_bounds_the_rate_by_the_square_root() {
        let one = loss_cap(0.01, 50_000);
        assert!((one / loss_cap(0.04, 50_000) - 2.0).abs() < 1e-9);
        assert_eq!(loss_cap(0.0, 50_000), f64::INFINITY);
    }
}
