//! Axes: where a value lies, and which round values are written beside it.

use crate::report::words::plain;

/// How an axis is divided.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) title: String,
    from: f64,
    to: f64,
    log: bool,
    /// What a value is divided by before it is written.
    unit: f64,
}

/// Prefixes of units, the largest first.
const PREFIXES: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];

impl Axis {
    pub(super) fn linear(title: &str, from: f64, to: f64) -> Self {
        Self {
            title: title.to_owned(),
            from,
            to: if to > from { to } else { from + 1.0 },
            log: false,
            unit: 1.0,
        }
    }

    pub(super) fn log(title: &str, from: f64, to: f64) -> Self {
        Self {
            log: true,
            to: to.max(from * 1.001),
            ..Self::linear(title, from, to)
        }
    }

    pub(super) fn percent(title: &str) -> Self {
        Self::linear(title, 0.0, 100.0)
    }

    /// From zero to a little above `most`, in the prefix of the unit that suits it.
    pub(super) fn amount(title: &str, unit: &str, most: f64) -> Self {
        let found = PREFIXES.iter().find(|(size, _)| most >= *size);
        let (size, prefix) = found.copied().unwrap_or((1.0, ""));
        let title = match (title, prefix, unit) {
            (title, "", "") => title.to_owned(),
            (title, prefix, unit) => format!("{title}, {prefix}{unit}"),
        };
        Self {
            unit: size,
            ..Self::linear(&title, 0.0, (most * 1.06).max(1e-9))
        }
    }

    /// Simulated time since measuring began, given in minutes.
    pub(super) fn time(minutes: f64) -> Self {
        if minutes <= 180.0 {
            return Self::linear("minutes since measuring began", 0.0, minutes);
        }
        Self {
            unit: 60.0,
            ..Self::linear("hours since measuring began", 0.0, minutes)
        }
    }

    /// From 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| {
            if self.log {
                libm::log10(value.max(self.from))
            } else {
                value
            }
        };
        let (from, to) = (scale(self.from), scale(self.to));
        ((scale(value) - from) / (to - from)).clamp(0.0, 1.0)
    }

    /// Values and their labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let values = if self.log {
            self.log_ticks()
        } else {
            self.linear_ticks()
        };
        let label = |value: f64| (value, plain(value / self.unit));
        values.into_iter().map(label).collect()
    }

    fn log_ticks(&self) -> Vec<f64> {
        let decades = libm::log10(self.to / self.from);
        let within: &[f64] = if decades <= 4.0 { &[1.0, 3.0] } else { &[1.0] };
        let mut ticks = Vec::new();
        let mut decade = libm::pow(10.0, libm::floor(libm::log10(self.from)));
        while decade <= self.to {
            let marks = within.iter().map(|m| m * decade);
            ticks.extend(marks.filter(|t| *t >= self.from * 0.999 && *t <= self.to * 1.001));
            decade *= 10.0;
        }
        ticks
    }

    fn linear_ticks(&self) -> Vec<f64> {
        let raw = (self.to - self.from) / self.unit / 5.0;
        let magnitude = libm::pow(10.0, libm::floor(libm::log10(raw)));
        let steps = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude);
        let step = steps.into_iter().find(|step| *step >= raw * 0.999);
        let step = step.unwrap_or(raw) * self.unit;
        let first = libm::ceil(self.from / step) as i64;
        let values = (first..first + 12).map(|n| n as f64 * step);
        values.filter(|tick| *tick <= self.to * 1.000_001).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_lie_within_the_axis_and_are_round() {
        assert_eq!(
            labels(&Axis::linear("", 0.0, 73.0)),
            ["0", "20", "40", "60"]
        );
        assert_eq!(labels(&Axis::log("", 5.0, 200.0)), ["10", "30", "100"]);
        assert_eq!(labels(&Axis::time(90.0)), ["0", "20", "40", "60", "80"]);
        assert_eq!(labels(&Axis::time(1_440.0)), ["0", "5", "10", "15", "20"]);
    }

    #[test]
    fn amounts_are_written_in_the_prefix_that_suits_them() {
        let axis = Axis::amount("sent", "bit/s", 2.5e6);
        assert_eq!(axis.title, "sent, Mbit/s");
        assert_eq!(labels(&axis), ["0", "1", "2"]);
    }

    #[test]
    fn an_axis_of_nothing_has_a_width() {
        assert!(Axis::linear("", 0.0, 0.0).place(0.5) > 0.0);
    }
}
