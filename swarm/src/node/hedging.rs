//! The deadline ladder, and when a request counts as late on each rung.
//!
//! Not here: whom to ask instead.

use crate::node::config::{LadderConfig, StartConfig};
use crate::node::ranking::Estimate;
use crate::time::{Duration, Instant};

/// A rung of the ladder, by the time until a chunk is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// All sources race.
    Race,
    /// The origin in parallel; own uploads pause.
    Parallel,
    /// A second peer at the first stall.
    Second,
    /// Hedged at the peer's own 95th percentile.
    Hedge,
    /// Peers, without hurry.
    Background,
}

impl Rung {
    /// The rung of what is needed in `need`.
    #[must_use]
    pub fn of(need: Duration, ladder: &LadderConfig) -> Self {
        match need {
            n if n < ladder.race => Self::Race,
            n if n < ladder.second => Self::Parallel,
            n if n < ladder.hedge => Self::Second,
            n if n < ladder.background => Self::Hedge,
            _ => Self::Background,
        }
    }

    /// The time until `need` has shrunk to the next rung; nothing on the last.
    #[must_use]
    pub fn next_in(self, need: Duration, ladder: &LadderConfig) -> Option<Duration> {
        let bound = match self {
            Self::Background => ladder.background,
            Self::Hedge => ladder.hedge,
            Self::Second => ladder.second,
            Self::Parallel => ladder.race,
            Self::Race => return None,
        };
        // One microsecond below the bound is on the next rung.
        Some(
            need.saturating_sub(bound)
                .saturating_add(Duration::from_micros(1)),
        )
    }
}

/// How a request is doing.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// When it was sent.
    pub sent: Instant,
    /// When the source last gave a sign.
    pub last: Instant,
    /// Chunks verified.
    pub done: u32,
    /// Chunks still to come.
    pub left: u32,
    /// Round trip to the source.
    pub rtt: Duration,
    /// What is known of the source.
    pub estimate: Estimate,
    /// Time until its next chunk is needed.
    pub need: Duration,
    /// Time until its last chunk is needed.
    pub need_last: Duration,
}

/// When the request counts as late, on its present rung; that moment may be past.
#[must_use]
pub fn late_at(
    now: Instant,
    progress: &Progress,
    ladder: &LadderConfig,
    start: &StartConfig,
) -> Instant {
    let rung = Rung::of(progress.need, ladder);
    if rung <= Rung::Second && will_miss(now, progress) {
        return now;
    }
    progress.last + patience(rung, progress, ladder, start)
}

/// How long the source may be silent.
fn patience(
    rung: Rung,
    progress: &Progress,
    ladder: &LadderConfig,
    start: &StartConfig,
) -> Duration {
    let three_trips = progress.rtt.saturating_mul(3);
    let stall = three_trips.max(ladder.stall_min);
    match rung {
        Rung::Background => ladder.silence_max,
        Rung::Hedge => progress
            .estimate
            .delay_p95()
            .max(stall)
            .max(ladder.stall_calm)
            .min(ladder.silence_max),
        Rung::Second | Rung::Parallel => stall,
        Rung::Race if progress.done > 0 => {
            // Between two chunks a source of known rate may be silent for as long as two take.
            let two = progress.estimate.chunk_time().saturating_mul(2);
            let usual = if progress.estimate.is_unknown() {
                three_trips
            } else {
                two
            };
            usual.max(start.hedge_min).min(start.hedge_max)
        }
        Rung::Race => {
            let own = if progress.estimate.is_unknown() {
                three_trips
            } else {
                progress.estimate.delay_p95().max(progress.rtt)
            };
            own.max(start.hedge_min)
                .min(start.hedge_max.max(three_trips))
        }
    }
}

/// Whether, at its own pace so far, the request comes too late: a slow source that never stalls.
fn will_miss(now: Instant, progress: &Progress) -> bool {
    if progress.done == 0 || progress.left == 0 {
        return false;
    }
    let spent = progress.last.since(progress.sent).as_micros();
    let chunk_time = Duration::from_micros(spent / u64::from(progress.done));
    let next_due = now + progress.need;
    let last_due = now + progress.need_last;
    progress.last + chunk_time > next_due.max(now + chunk_time)
        || progress.last + chunk_time.saturating_mul(u64::from(progress.left)) > last_due
            && progress.need_last > Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodeConfig;

    fn progress(need_secs: u64) -> Progress {
        Progress {
            sent: Instant::START,
            last: Instant::START,
            done: 0,
            left: 4,
            rtt: Duration::from_millis(10),
            estimate: Estimate::default(),
            need: Duration::from_secs(need_secs),
            need_last: Duration::from_secs(need_secs + 3),
        }
    }

    fn late(progress: &Progress, now: Instant) -> Duration {
        let config = NodeConfig::antiphon();
        late_at(now, progress, &config.ladder, &config.start).since(Instant::START)
    }

    #[test]
    fn patience_shrinks_from_rung_to_rung() {
        let now = Instant::START;
        assert_eq!(late(&progress(0), now), Duration::from_millis(30));
        assert_eq!(late(&progress(3), now), Duration::from_millis(250));
        assert_eq!(late(&progress(7), now), Duration::from_millis(250));
        assert_eq!(late(&progress(20), now), Duration::from_secs(1));
        assert_eq!(late(&progress(40), now), Duration::from_secs(8));
    }

    #[test]
    fn a_slow_trickle_is_late_though_it_never_stalls() {
        let mut trickle = progress(2);
        (trickle.done, trickle.left) = (1, 3);
        trickle.last = Instant::START + Duration::from_secs(4);
        let now = trickle.last;
        assert_eq!(late(&trickle, now), now.since(Instant::START));
        trickle.last = Instant::START + Duration::from_millis(100);
        assert!(late(&trickle, trickle.last) > Duration::from_millis(100));
    }

    #[test]
    fn rungs_follow_the_bounds() {
        let ladder = NodeConfig::antiphon().ladder;
        let rung = |secs| Rung::of(Duration::from_secs(secs), &ladder);
        assert_eq!(rung(30), Rung::Background);
        assert_eq!(rung(29), Rung::Hedge);
        assert_eq!(rung(9), Rung::Second);
        assert_eq!(rung(4), Rung::Parallel);
        assert_eq!(rung(0), Rung::Race);
        let step = rung(30).next_in(Duration::from_secs(31), &ladder);
        assert_eq!(step, Some(Duration::from_micros(1_000_001)));
    }
}
