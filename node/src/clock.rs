//! The only reader of the system's clocks in a node.

use std::time::{Instant as SystemInstant, SystemTime};

use antiphon_protocol::UnixSeconds;
use antiphon_swarm::{Duration, Instant};

/// Turns the system's monotonic clock into the core's time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: SystemInstant,
}

impl Clock {
    /// A clock whose zero is now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: SystemInstant::now(),
        }
    }

    /// Now, for the core.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.at(SystemInstant::now())
    }

    /// A system instant, for the core.
    #[must_use]
    pub fn at(&self, instant: SystemInstant) -> Instant {
        let micros = instant.saturating_duration_since(self.start).as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// A core instant, for timers of the system. Far futures are cut to a day.
    #[must_use]
    pub fn system(&self, instant: Instant) -> SystemInstant {
        let day = Duration::from_secs(86_400).as_micros();
        let ahead = instant.since(self.now()).as_micros().min(day);
        SystemInstant::now() + std::time::Duration::from_micros(ahead)
    }
}

/// The wall clock, for the expiry of signed documents and for people.
#[must_use]
pub fn unix_now() -> UnixSeconds {
    UnixSeconds(unix_micros() / 1_000_000)
}

/// The wall clock in microseconds, for logs that several processes on one machine compare.
#[must_use]
pub fn unix_micros() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A length of time of the system, for the core.
#[must_use]
pub fn core_duration(duration: std::time::Duration) -> Duration {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
