//! Waiting for something to be so, with a deadline. The only place that looks more than once.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Between two looks: short beside everything that is waited for, long beside one look.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// For whatever happens by itself on loopback. Generous: two cores may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until something is seen.
///
/// # Errors
/// If it is not seen within `within`, be it that a look takes that long, or a look fails.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let seen = async {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if let Some(seen) = look().await? {
                return Ok(seen);
            }
        }
    };
    match timeout(within, seen).await {
        Ok(seen) => seen,
        Err(_) => bail!("waited {within:?} in vain: {what}"),
    }
}
