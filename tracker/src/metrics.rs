//! Counters, and their text for Prometheus. Labels come from fixed lists only.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon_protocol::tracker::TrackerRequest;

/// Request kinds, in the order of [`kind`].
const KINDS: [&str; 14] = [
    "register",
    "login",
    "attach",
    "catalog",
    "search",
    "open",
    "announce",
    "lookup",
    "renew",
    "leave",
    "placements",
    "introduce",
    "attach_node",
    "open_held",
];

const WAYS: [Way; 2] = [Way::Quic, Way::Tcp];

/// Everything counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: [RequestCounters; KINDS.len()],
    quic: Connections,
    tcp: Connections,
    /// Handshakes told to prove their address first.
    pub retries: Counter,
    /// Handshakes turned away because too many were open.
    pub turned_away: Counter,
    pub turned_away_by_address: Counter,
    /// Frames that were no request.
    pub malformed: Counter,
    /// Requests refused by a rate limit.
    pub rate_limited: Counter,
    /// Logins with a wrong name or password.
    pub failed_logins: Counter,
}

/// How a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Quic,
    Tcp,
}

impl Way {
    const fn label(self) -> &'static str {
        match self {
            Self::Quic => "{transport=\"quic\"}",
            Self::Tcp => "{transport=\"tcp\"}",
        }
    }
}

/// Connections of one way.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    accepted: Counter,
    ended: Counter,
}

impl Connections {
    /// Counts one as open until the result is dropped.
    pub(crate) fn opened(&self) -> OpenConnection<'_> {
        self.accepted.add(1);
        OpenConnection(self)
    }

    fn open(&self) -> u64 {
        let ended = self.ended.value();
        self.accepted.value().saturating_sub(ended)
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct OpenConnection<'a>(&'a Connections);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.ended.add(1);
    }
}

/// Only ever goes up.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct RequestCounters {
    answered: Counter,
    refused: Counter,
    micros: Counter,
}

/// Values read at the moment of the exposition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauges {
    pub tracks: u64,
    pub nodes: u64,
    pub swarm_entries: u64,
}

impl Metrics {
    /// The connections that came `way`.
    pub(crate) const fn connections(&self, way: Way) -> &Connections {
        match way {
            Way::Quic => &self.quic,
            Way::Tcp => &self.tcp,
        }
    }

    /// Counts a request that took `time`.
    pub(crate) fn request(&self, request: Kind, refused: bool, time: Duration) {
        let Some(counters) = self.requests.get(request.0) else {
            return;
        };
        let outcome = if refused {
            &counters.refused
        } else {
            &counters.answered
        };
        outcome.add(1);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        counters.micros.add(micros);
    }

    /// The text that `/metrics` answers with.
    pub(crate) fn exposition(&self, gauges: Gauges) -> String {
        let mut out = String::with_capacity(4_096);
        let singles = [
            (
                "handshake_retries",
                "Handshakes told to prove their address",
                &self.retries,
            ),
            (
                "handshakes_turned_away",
                "Handshakes refused for load",
                &self.turned_away,
            ),
            (
                "handshakes_turned_away_by_address",
                "Handshakes refused because one address had its share",
                &self.turned_away_by_address,
            ),
            (
                "malformed_frames",
                "Frames that were no request",
                &self.malformed,
            ),
            (
                "rate_limited",
                "Requests refused by a rate limit",
                &self.rate_limited,
            ),
            (
                "failed_logins",
                "Logins with a wrong name or password",
                &self.failed_logins,
            ),
        ];
        for (name, help, counter) in singles {
            let name = format!("antiphon_tracker_{name}_total");
            family(&mut out, &name, "counter", help);
            line(&mut out, &name, "", counter.value());
        }
        let values = [
            ("tracks", "Tracks in the catalog", gauges.tracks),
            ("nodes", "Nodes attached now", gauges.nodes),
            (
                "swarm_entries",
                "Renditions held by nodes, summed",
                gauges.swarm_entries,
            ),
        ];
        for (name, help, value) in values {
            let name = format!("antiphon_tracker_{name}");
            family(&mut out, &name, "gauge", help);
            line(&mut out, &name, "", value);
        }
        self.connection_families(&mut out);
        self.request_families(&mut out);
        out
    }

    fn connection_families(&self, out: &mut String) {
        let name = "antiphon_tracker_connections_total";
        family(out, name, "counter", "Connections accepted");
        for way in WAYS {
            let accepted = self.connections(way).accepted.value();
            line(out, name, way.label(), accepted);
        }
        let name = "antiphon_tracker_open_connections";
        family(out, name, "gauge", "Connections open now");
        for way in WAYS {
            line(out, name, way.label(), self.connections(way).open());
        }
    }

    fn request_families(&self, out: &mut String) {
        let name = "antiphon_tracker_requests_total";
        family(out, name, "counter", "Requests by kind and outcome");
        for (kind, counters) in KINDS.iter().zip(&self.requests) {
            let outcomes = [
                ("answered", &counters.answered),
                ("refused", &counters.refused),
            ];
            for (outcome, counter) in outcomes {
                let labels = format!("{{kind=\"{kind}\",outcome=\"{outcome}\"}}");
                line(out, name, &labels, counter.value());
            }
        }
        let name = "antiphon_tracker_request_microseconds_total";
        family(out, name, "counter", "Time spent on requests by kind");
        for (kind, counters) in KINDS.iter().zip(&self.requests) {
            let labels = format!("{{kind=\"{kind}\"}}");
            line(out, name, &labels, counters.micros.value());
        }
    }
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a string takes all text");
}

fn line(out: &mut String, name: &str, labels: &str, value: u64) {
    writeln!(out, "{name}{labels} {value}").expect("a string takes all text");
}

/// A kind of request, as a label.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind(usize);

/// The kind of `request`.
pub(crate) const fn kind(request: &TrackerRequest) -> Kind {
    Kind(match request {
        TrackerRequest::Register { .. } => 0,
        TrackerRequest::Login { .. } => 1,
        TrackerRequest::Attach { .. } => 2,
        TrackerRequest::Catalog { .. } => 3,
        TrackerRequest::Search { .. } => 4,
        TrackerRequest::Open { .. } => 5,
        TrackerRequest::Announce { .. } => 6,
        TrackerRequest::Lookup { .. } => 7,
        TrackerRequest::Renew => 8,
        TrackerRequest::Leave => 9,
        TrackerRequest::Placements { .. } => 10,
        TrackerRequest::Introduce { .. } => 11,
        TrackerRequest::AttachNode { .. } => 12,
        TrackerRequest::OpenHeld { .. } => 13,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposition_has_every_counter_with_its_value() {
        let metrics = Metrics::default();
        metrics.failed_logins.add(3);
        drop(metrics.connections(Way::Tcp).opened());
        let _open = metrics.connections(Way::Tcp).opened();
        let refused = true;
        metrics.request(
            kind(&TrackerRequest::Renew),
            refused,
            Duration::from_micros(5),
        );
        let text = metrics.exposition(Gauges {
            tracks: 7,
            ..Gauges::default()
        });
        for line in [
            "antiphon_tracker_failed_logins_total 3",
            "antiphon_tracker_tracks 7",
            "antiphon_tracker_connections_total{transport=\"tcp\"} 2",
            "antiphon_tracker_open_connections{transport=\"tcp\"} 1",
            "antiphon_tracker_open_connections{transport=\"quic\"} 0",
            "antiphon_tracker_requests_total{kind=\"renew\",outcome=\"refused\"} 1",
            "antiphon_tracker_requests_total{kind=\"renew\",outcome=\"answered\"} 0",
            "antiphon_tracker_request_microseconds_total{kind=\"renew\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
