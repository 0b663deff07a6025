//! The `Range` header (RFC 9110, section 14), single ranges only.

use std::ops::Range;

/// What part of an object a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, several, or one that makes no sense (which the RFC says to ignore).
    Whole,
    /// One part that exists.
    Part(Range<u64>),
    /// Nothing that exists.
    Unsatisfiable,
}

impl Wanted {
    /// What `header` asks of an object of `size` bytes.
    pub(super) fn of(header: Option<&str>, size: u64) -> Self {
        let Some((start, end)) = header.and_then(single_range) else {
            return Self::Whole;
        };
        let (start, end) = (number(start), number(end));
        let part = match (start, end) {
            (Number::Is(start), Number::Is(end)) if end < start => return Self::Whole,
            (Number::Is(start), Number::Is(end)) => start..end.saturating_add(1).min(size),
            (Number::Is(start), Number::Absent) => start..size,
            (Number::Absent, Number::Is(last)) => size.saturating_sub(last)..size,
            _ => return Self::Whole,
        };
        if part.start < part.end {
            Self::Part(part)
        } else {
            Self::Unsatisfiable
        }
    }
}

enum Number {
    Absent,
    Is(u64),
    Nonsense,
}

fn single_range(header: &str) -> Option<(&str, &str)> {
    let (unit, ranges) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || ranges.contains(',') {
        return None;
    }
    ranges.trim().split_once('-')
}

fn number(text: &str) -> Number {
    match text {
        "" => Number::Absent,
        text if !text.bytes().all(|byte| byte.is_ascii_digit()) => Number::Nonsense,
        // More digits than fit are a position beyond any object.
        text => Number::Is(text.parse().unwrap_or(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_mean_what_the_rfc_says() {
        let of = |header| Wanted::of(Some(header), 1_000);
        for (header, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-", 0..1_000),
            ("bytes=10-19", 10..20),
            ("BYTES=10-19", 10..20),
            ("bytes=999-999", 999..1_000),
            ("bytes=990-5000", 990..1_000),
            ("bytes=10-99999999999999999999999", 10..1_000),
            ("bytes=-1", 999..1_000),
            ("bytes=-5000", 0..1_000),
        ] {
            assert_eq!(of(header), Wanted::Part(part), "{header}");
        }
        for header in ["bytes=1000-", "bytes=-0", "bytes=99999999999999999999-"] {
            assert_eq!(of(header), Wanted::Unsatisfiable, "{header}");
        }
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5",
            "bytes=9-3",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=0-1,5-6",
            "lines=1-2",
            "bytes=1-2-3",
        ] {
            assert_eq!(of(header), Wanted::Whole, "{header}");
        }
        assert_eq!(Wanted::of(None, 5), Wanted::Whole);
    }

    #[test]
    fn an_empty_object_has_no_parts() {
        assert_eq!(Wanted::of(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
        assert_eq!(Wanted::of(Some("bytes=-5"), 0), Wanted::Unsatisfiable);
    }
}
