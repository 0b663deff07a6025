//! The system's clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use antiphon_protocol::UnixSeconds;

/// Seconds since 1970; zero on a clock set before that, on which every pass is already over.
pub(crate) fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixSeconds(since.map_or(0, |since| since.as_secs()))
}

/// Seconds as the database stores them.
pub(crate) fn to_sql(time: UnixSeconds) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// Seconds as the database stored them.
pub(crate) fn from_sql(time: i64) -> UnixSeconds {
    UnixSeconds(u64::try_from(time).unwrap_or(0))
}
