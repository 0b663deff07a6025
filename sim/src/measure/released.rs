//! How tracks fared that came out during the run.

use crate::measure::histogram::Histogram;
use crate::measure::summary::Figures;
use crate::measure::tally::SeriesRow;
use crate::scenario::Scenario;

/// Counts of one run.
#[derive(Clone, Debug, Default)]
pub struct Released {
    /// Minute of measuring in which the first came out.
    minute: Option<usize>,
    /// Plays of them.
    pub plays: u64,
    /// Bytes heard of them, from origin, peers and cache.
    pub heard: [u64; 3],
    /// From pressing play to sound.
    pub start: Histogram,
}

impl Released {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let seconds = scenario.release.iter().map(|release| release.at.0);
        let first = seconds.reduce(f64::min);
        Self {
            minute: first.map(|at| (at / 60.0) as usize),
            ..Self::default()
        }
    }

    pub(crate) fn note(&mut self, heard: [u64; 3], start: Option<u64>) {
        self.plays += 1;
        for (sum, bytes) in self.heard.iter_mut().zip(heard) {
            *sum += bytes;
        }
        if let Some(start) = start {
            self.start.note(start);
        }
    }

    /// Adds the figures; none without a release.
    pub(crate) fn figures(&self, figures: &mut Figures, series: &[SeriesRow]) {
        let Some(minute) = self.minute else {
            return;
        };
        figures.insert("release.plays", self.plays as f64);
        let [server, peers, cache] = self.heard;
        let heard = server + peers + cache;
        if heard > 0 {
            figures.insert("release.server_share", server as f64 / heard as f64);
        }
        for (name, share) in [
            ("release.start_ms_p50", 0.5),
            ("release.start_ms_p95", 0.95),
        ] {
            if let Some(micros) = self.start.percentile(share) {
                figures.insert(name, micros as f64 / 1e3);
            }
        }
        let (before, after) = series.split_at(minute.min(series.len()));
        let peak = |rows: &[SeriesRow]| rows.iter().map(|row| row.origin_sent).max();
        if let (Some(before), Some(after)) = (peak(before), peak(after))
            && before > 0
        {
            figures.insert("release.origin_peak_ratio", after as f64 / before as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_that_of_the_minutes_from_the_release_on() {
        let row = |origin_sent| SeriesRow {
            origin_sent,
            ..SeriesRow::default()
        };
        let mut released = Released {
            minute: Some(2),
            ..Released::default()
        };
        released.note([10, 30, 0], Some(5_000));
        let mut figures = Figures::new();
        released.figures(&mut figures, &[row(10), row(20), row(50), row(5)]);
        assert!((figures["release.origin_peak_ratio"] - 2.5).abs() < 1e-12);
        assert!((figures["release.server_share"] - 0.25).abs() < 1e-12);
    }
}
