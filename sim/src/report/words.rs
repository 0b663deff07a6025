//! Numbers and names as a page writes them.

use crate::measure::summary::Estimate;

/// Text that cannot be taken for markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A number with as many digits as it needs, at most two behind the point.
pub(super) fn plain(value: f64) -> String {
    let rounded = libm::round(value * 100.0) / 100.0;
    // No minus zero.
    format!("{}", rounded + 0.0)
}

/// A share in percent: small ones with more digits, because they are what one looks for.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent.abs() {
        0.0 => "0 %".to_owned(),
        x if x >= 10.0 => format!("{percent:.1} %"),
        x if x >= 1.0 => format!("{percent:.2} %"),
        x if x >= 0.01 => format!("{percent:.3} %"),
        _ => format!("{percent:.5} %"),
    }
}

/// Bytes with a prefix.
pub(super) fn bytes(bytes: f64) -> String {
    let steps = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let found = steps.iter().find(|(size, _)| bytes.abs() >= *size);
    found.map_or_else(
        || format!("{bytes:.0} B"),
        |(size, unit)| format!("{:.2} {unit}", bytes / size),
    )
}

/// Bits a second with a prefix.
pub(super) fn rate(bits: f64) -> String {
    let steps = [(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")];
    let found = steps.iter().find(|(size, _)| bits.abs() >= *size);
    found.map_or_else(
        || format!("{bits:.0} bit/s"),
        |(size, unit)| format!("{:.2} {unit}", bits / size),
    )
}

/// A count with its thousands apart.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a figure counts, told by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Share,
    Millis,
    Number,
}

/// The unit of a figure of the summary.
pub(super) fn unit_of(figure: &str) -> Unit {
    if figure.starts_with("share.") || figure.ends_with("_share") {
        Unit::Share
    } else if figure.contains("_ms") {
        Unit::Millis
    } else {
        Unit::Number
    }
}

/// A value of a figure.
pub(super) fn value(figure: &str, value: f64) -> String {
    match unit_of(figure) {
        Unit::Share => percent(value),
        Unit::Millis if value.abs() >= 100.0 => format!("{value:.0} ms"),
        Unit::Millis => format!("{value:.1} ms"),
        Unit::Number if value.abs() >= 1e5 => count(value.abs() as u64),
        Unit::Number => plain(value),
    }
}

/// `mean ± half`, or the mean alone of a single seed.
pub(super) fn estimate(figure: &str, estimate: &Estimate) -> String {
    let mean = value(figure, estimate.mean);
    match estimate.half_width {
        Some(half) => format!("{mean} <small>&plusmn; {}</small>", value(figure, half)),
        None => mean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_a_reader_needs() {
        assert_eq!(
            [percent(0.5540), percent(0.00123), percent(0.0)],
            ["55.4 %", "0.123 %", "0 %"]
        );
        assert_eq!(
            [plain(-0.001), plain(0.25), plain(1_500.0)],
            ["0", "0.25", "1500"]
        );
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!([bytes(2.5e9), bytes(12.0)], ["2.50 GB", "12 B"]);
        assert_eq!(value("start_ms.p50", 265.4), "265 ms");
        assert_eq!(value("share.server", 0.088), "8.80 %");
    }
}
