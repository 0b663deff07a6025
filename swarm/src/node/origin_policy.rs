//! Which way to the origin is used: a circuit breaker for each route.
//!
//! Not here: when the origin is used at all.

use crate::node::output::OriginRoute;
use crate::node::ranking::Estimate;
use crate::time::{Duration, Instant};

/// First time a failed route is left alone; doubles. Below the 2 s in which a play must start or
/// give up. Guess.
const BACKOFF_MIN: Duration = Duration::from_millis(250);

/// Longest time: how late a healed origin is noticed. Under the 5 s of buffer that outlive a change
/// of sources; with 15 s plays stalled though one way was well again (packet harness, seed 33).
const BACKOFF_MAX: Duration = Duration::from_secs(4);

/// First time a route is left alone that the other one has overtaken; doubles. A network that drops
/// UDP costs a late start at most that often. Guess.
const AVOIDED_MIN: Duration = Duration::from_secs(60);

/// Longest such time: how late a better network is noticed. Guess.
const AVOIDED_MAX: Duration = Duration::from_secs(3_600);

#[derive(Clone, Copy, Debug)]
struct Breaker {
    fails: u8,
    /// Times the other route delivered while this one was silent.
    overtaken: u8,
    /// Until here the other route is preferred.
    avoided_until: Instant,
    closed_until: Instant,
    /// Until here the origin itself asked to be left alone.
    asked_until: Instant,
    /// A new play gave it another chance, which nobody took yet.
    retried: bool,
    /// One request probes a route that had failed; others wait for its result.
    probing: bool,
}

impl Breaker {
    const FRESH: Self = Self {
        fails: 0,
        overtaken: 0,
        avoided_until: Instant::START,
        closed_until: Instant::START,
        asked_until: Instant::START,
        retried: false,
        probing: false,
    };

    const fn is_down(&self) -> bool {
        self.fails > 0 && !self.retried
    }
}

/// State of both routes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OriginPolicy {
    quic: Breaker,
    http: Breaker,
    pub(crate) estimate: Estimate,
}

impl Default for OriginPolicy {
    fn default() -> Self {
        Self {
            quic: Breaker::FRESH,
            http: Breaker::FRESH,
            estimate: Estimate::default(),
        }
    }
}

impl OriginPolicy {
    /// The route to use now, other than `except`.
    pub(crate) fn route(&self, now: Instant, except: Option<OriginRoute>) -> Option<OriginRoute> {
        let usable = |route: &OriginRoute| {
            let breaker = self.breaker(*route);
            Some(*route) != except
                && breaker.closed_until <= now
                && !(breaker.fails > 0 && breaker.probing)
        };
        let mut routes = [OriginRoute::Quic, OriginRoute::Http]
            .into_iter()
            .filter(usable);
        let first = routes.next()?;
        // A route in good standing before one that is only being probed.
        let healthy = |route: &OriginRoute| {
            let breaker = self.breaker(*route);
            breaker.fails == 0 && breaker.avoided_until <= now
        };
        if healthy(&first) {
            return Some(first);
        }
        Some(routes.find(healthy).unwrap_or(first))
    }

    /// A request goes out.
    pub(crate) fn sent(&mut self, route: OriginRoute) {
        self.breaker_mut(route).probing = true;
    }

    /// Verified bytes came.
    pub(crate) fn worked(&mut self, route: OriginRoute) {
        *self.breaker_mut(route) = Breaker::FRESH;
    }

    /// A request was given up without verdict.
    pub(crate) fn ended(&mut self, route: OriginRoute) {
        self.breaker_mut(route).probing = false;
    }

    /// The other route delivered while this one, asked earlier, gave no byte.
    pub(crate) fn overtaken(&mut self, now: Instant, route: OriginRoute) {
        let breaker = self.breaker_mut(route);
        let wait = AVOIDED_MIN.saturating_mul(1 << breaker.overtaken.min(10));
        breaker.avoided_until = now + wait.min(AVOIDED_MAX);
        breaker.overtaken = breaker.overtaken.saturating_add(1);
    }

    /// It failed, refused or went silent.
    pub(crate) fn failed(&mut self, now: Instant, route: OriginRoute, at_least: Duration) {
        let breaker = self.breaker_mut(route);
        breaker.probing = false;
        breaker.retried = false;
        breaker.fails = breaker.fails.saturating_add(1);
        let wait = BACKOFF_MIN.saturating_mul(1 << (breaker.fails - 1).min(10));
        let wait = wait.min(BACKOFF_MAX).max(at_least);
        breaker.closed_until = breaker.closed_until.max(now + wait);
        breaker.asked_until = breaker.asked_until.max(now + at_least);
    }

    /// Somebody begins to listen: worth a try at once, whatever failed before, unless the origin
    /// asked for time.
    pub(crate) fn retry(&mut self) {
        for breaker in [&mut self.quic, &mut self.http] {
            breaker.closed_until = breaker.asked_until;
            breaker.retried = true;
        }
    }

    /// Whether both routes failed when last tried, and no new play gave one another chance.
    pub(crate) const fn is_down(&self) -> bool {
        self.quic.is_down() && self.http.is_down()
    }

    /// When a route opens again, if both are closed by time.
    pub(crate) fn opens_at(&self) -> Instant {
        self.quic.closed_until.min(self.http.closed_until)
    }

    const fn breaker(&self, route: OriginRoute) -> &Breaker {
        match route {
            OriginRoute::Quic => &self.quic,
            OriginRoute::Http => &self.http,
        }
    }

    const fn breaker_mut(&mut self, route: OriginRoute) -> &mut Breaker {
        match route {
            OriginRoute::Quic => &mut self.quic,
            OriginRoute::Http => &mut self.http,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_route_gives_way_to_the_other_and_is_probed_later() {
        let mut policy = OriginPolicy::default();
        let t0 = Instant::START;
        assert_eq!(policy.route(t0, None), Some(OriginRoute::Quic));
        policy.failed(t0, OriginRoute::Quic, Duration::ZERO);
        assert_eq!(policy.route(t0, None), Some(OriginRoute::Http));
        policy.failed(t0, OriginRoute::Http, Duration::ZERO);
        assert_eq!(policy.route(t0, None), None);
        assert!(policy.is_down());
        let later = policy.opens_at();
        assert_eq!(policy.route(later, None), Some(OriginRoute::Quic));
        policy.sent(OriginRoute::Quic);
        assert_eq!(
            policy.route(later, None),
            Some(OriginRoute::Http),
            "one probe a route"
        );
        policy.worked(OriginRoute::Quic);
        assert_eq!(policy.route(later, None), Some(OriginRoute::Quic));
        assert!(!policy.is_down());
    }

    #[test]
    fn a_new_play_tries_a_failed_origin_at_once_but_not_one_that_asked_for_time() {
        let mut policy = OriginPolicy::default();
        let t0 = Instant::START;
        policy.failed(t0, OriginRoute::Quic, Duration::ZERO);
        policy.failed(t0, OriginRoute::Http, Duration::from_secs(3));
        assert_eq!(policy.route(t0, None), None);
        assert!(policy.is_down());
        policy.retry();
        assert!(!policy.is_down(), "not before it was tried");
        assert_eq!(policy.route(t0, None), Some(OriginRoute::Quic));
        assert_eq!(policy.route(t0, Some(OriginRoute::Quic)), None);
        policy.failed(t0, OriginRoute::Quic, Duration::ZERO);
        policy.failed(t0, OriginRoute::Http, Duration::ZERO);
        assert!(policy.is_down());
    }

    #[test]
    fn a_silent_route_is_avoided_for_ever_longer_until_it_works() {
        let mut policy = OriginPolicy::default();
        let t0 = Instant::START;
        policy.overtaken(t0, OriginRoute::Quic);
        assert_eq!(policy.route(t0, None), Some(OriginRoute::Http));
        assert!(!policy.is_down());
        let later = t0 + AVOIDED_MIN;
        assert_eq!(policy.route(later, None), Some(OriginRoute::Quic));
        policy.overtaken(later, OriginRoute::Quic);
        assert_eq!(
            policy.route(later + AVOIDED_MIN, None),
            Some(OriginRoute::Http)
        );
        policy.failed(later, OriginRoute::Http, Duration::ZERO);
        let route = policy.route(later + AVOIDED_MIN, None);
        assert_eq!(route, Some(OriginRoute::Quic), "better than a failed one");
        policy.worked(OriginRoute::Quic);
        policy.overtaken(later, OriginRoute::Quic);
        let again = policy.route(later + AVOIDED_MIN, None);
        assert_eq!(again, Some(OriginRoute::Quic), "forgiven");
    }

    #[test]
    fn backoff_grows_to_its_limit() {
        let mut policy = OriginPolicy::default();
        for _ in 0..300 {
            policy.failed(Instant::START, OriginRoute::Http, Duration::ZERO);
        }
        policy.failed(Instant::START, OriginRoute::Quic, Duration::ZERO);
        let (quic, http) = (policy.quic.closed_until, policy.http.closed_until);
        assert_eq!(quic.since(Instant::START), BACKOFF_MIN);
        assert_eq!(http.since(Instant::START), BACKOFF_MAX);
    }
}
