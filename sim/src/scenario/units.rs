//! Quantities as people write them in a scenario: `"90s"`, `"20Mbit"`, `"10GB"`, `"35%"`.

use core::fmt;

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $expected:literal, [$(($suffix:literal, $factor:expr)),* $(,)?]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
        pub struct $name(pub f64);

        impl $name {
            const SUFFIXES: &'static [(&'static str, f64)] = &[$(($suffix, $factor)),*];
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                parse(&text, Self::SUFFIXES)
                    .map(Self)
                    .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &$expected))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(self.0, Self::SUFFIXES, f)
            }
        }
    };
}

quantity! {
    /// A length of time, in seconds.
    Time, "a time such as \"90s\", \"15ms\", \"2h\" or \"7d\"",
    [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("d", 86_400.0)]
}
quantity! {
    /// A rate, in bits a second.
    Rate, "a rate such as \"160kbit\", \"20Mbit\" or \"10Gbit\"",
    [("bit", 1.0), ("kbit", 1e3), ("Mbit", 1e6), ("Gbit", 1e9)]
}
quantity! {
    /// A size, in bytes.
    Size, "a size such as \"500MB\" or \"10GB\"",
    [("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12)]
}
quantity! {
    /// A part of a whole, 0 to 1.
    Share, "a share such as \"35%\"",
    [("%", 0.01)]
}

impl Time {
    /// In microseconds.
    #[must_use]
    pub fn micros(self) -> u64 {
        (self.0 * 1e6) as u64
    }
}

impl Rate {
    /// Bytes a second.
    #[must_use]
    pub fn bytes(self) -> f64 {
        self.0 / 8.0
    }
}

fn parse(text: &str, suffixes: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let at = text.find(|c: char| c.is_ascii_alphabetic() || c == '%')?;
    let (number, suffix) = text.split_at(at);
    let (_, factor) = suffixes.iter().find(|(known, _)| *known == suffix.trim())?;
    let number: f64 = number.trim().replace('_', "").parse().ok()?;
    // Dividing by a whole number is exact where multiplying by its inverse is not.
    let value = if *factor < 1.0 {
        number / libm::round(1.0 / factor)
    } else {
        number * factor
    };
    (value.is_finite() && value >= 0.0).then_some(value)
}

/// With the largest unit that leaves a number of at least one and reads back to the same value:
/// a manifest must repeat its run to the last bit.
fn show(value: f64, suffixes: &[(&str, f64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fitting = suffixes.iter().rev().filter(|(_, factor)| value >= *factor);
    let fitting = fitting.chain(suffixes.first());
    // Rounded to nine digits, so that factors leave no dust; failing that, as it is.
    let rounded = |factor: f64| libm::round(value / factor * 1e9) / 1e9;
    let texts = fitting
        .clone()
        .map(|(suffix, factor)| format!("{}{suffix}", rounded(*factor)));
    let exact = fitting.map(|(suffix, factor)| format!("{}{suffix}", value / factor));
    let mut texts = texts.chain(exact);
    let first = texts.clone().next().unwrap_or_default();
    let same = texts.find(|text| parse(text, suffixes) == Some(value));
    f.write_str(&same.unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_written_and_written_as_read() {
        #[derive(Deserialize)]
        struct All {
            time: Time,
            rate: Rate,
            size: Size,
            share: Share,
        }
        let text = "time = '1.5h'\nrate = '20 Mbit'\nsize = '10GB'\nshare = '35%'";
        let all: All = toml::from_str(text).expect("legal");
        assert_eq!(
            (all.time.0, all.rate.0, all.size.0, all.share.0),
            (5_400.0, 2e7, 1e10, 0.35)
        );
        let shown = [
            all.time.to_string(),
            all.rate.to_string(),
            all.size.to_string(),
        ];
        assert_eq!(shown, ["1.5h", "20Mbit", "10GB"]);
        assert_eq!(all.share.to_string(), "35%");
    }

    #[test]
    fn what_is_written_reads_to_the_same_bit() {
        for value in [
            197.0,
            0.001_5,
            1.0 / 3.0,
            86_399.0,
            5_400.0,
            0.0,
            12.345_678_901_234,
        ] {
            let text = Time(value).to_string();
            assert_eq!(parse(&text, Time::SUFFIXES), Some(value), "{text}");
        }
        for value in [0.35, 0.245, 0.3505, 1.0, 0.001] {
            let text = Share(value).to_string();
            assert_eq!(parse(&text, Share::SUFFIXES), Some(value), "{text}");
        }
        assert_eq!(Time(197.0).to_string(), "197s");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["5", "-5s", "s", "5 parsecs", "", "1e999s", "nan s"] {
            assert_eq!(parse(text, Time::SUFFIXES), None, "{text}");
        }
    }
}
