//! What the origin counts, for its operator.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_protocol::ErrorCode;

/// Counters of a running origin. Reading them is cheap and exact only when nothing runs.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) quic_requests: Counter,
    pub(crate) http_requests: Counter,
    pub(crate) quic_bytes: Counter,
    pub(crate) http_bytes: Counter,
    pub(crate) quic_connections: Counter,
    pub(crate) http_connections: Counter,
    pub(crate) quic_connections_refused: Counter,
    pub(crate) quic_connections_refused_by_address: Counter,
    pub(crate) quic_retries: Counter,
    pub(crate) answers_complete: Counter,
    pub(crate) answers_broken: Counter,
    pub(crate) requests_late: Counter,
    pub(crate) store_reads: Counter,
    pub(crate) outboard_loads: Counter,
    refused: [Counter; CODES],
}

impl Default for Metrics {
    fn default() -> Self {
        let counter = Counter::default;
        Self {
            quic_requests: counter(),
            http_requests: counter(),
            quic_bytes: counter(),
            http_bytes: counter(),
            quic_connections: counter(),
            http_connections: counter(),
            quic_connections_refused: counter(),
            quic_connections_refused_by_address: counter(),
            quic_retries: counter(),
            answers_complete: counter(),
            answers_broken: counter(),
            requests_late: counter(),
            store_reads: counter(),
            outboard_loads: counter(),
            refused: std::array::from_fn(|_| counter()),
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    pub(crate) fn refuse(&self, code: ErrorCode) {
        if let Some(counter) = self.refused.get(usize::from(code.0)) {
            counter.add(1);
        }
    }

    pub(crate) fn snapshot(&self) -> OriginMetrics {
        OriginMetrics {
            quic_requests: self.quic_requests.value(),
            http_requests: self.http_requests.value(),
            quic_bytes: self.quic_bytes.value(),
            http_bytes: self.http_bytes.value(),
            quic_connections: self.quic_connections.value(),
            http_connections: self.http_connections.value(),
            quic_connections_refused: self.quic_connections_refused.value(),
            quic_connections_refused_by_address: self.quic_connections_refused_by_address.value(),
            quic_retries: self.quic_retries.value(),
            answers_complete: self.answers_complete.value(),
            answers_broken: self.answers_broken.value(),
            requests_late: self.requests_late.value(),
            store_reads: self.store_reads.value(),
            outboard_loads: self.outboard_loads.value(),
            refused: (0_u16..)
                .zip(&self.refused)
                .map(|(code, counter)| (ErrorCode(code), counter.value()))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }
}

/// The origin's counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginMetrics {
    /// Requests that arrived whole over QUIC.
    pub quic_requests: u64,
    /// Requests over HTTP.
    pub http_requests: u64,
    /// Bytes of answers given to QUIC.
    pub quic_bytes: u64,
    /// Bytes of answers given to HTTP.
    pub http_bytes: u64,
    /// QUIC connections accepted.
    pub quic_connections: u64,
    /// HTTP connections accepted.
    pub http_connections: u64,
    /// QUIC connections refused because there were too many.
    pub quic_connections_refused: u64,
    /// Those of them that were refused because their address had its share.
    pub quic_connections_refused_by_address: u64,
    /// Newcomers that had to prove their address first.
    pub quic_retries: u64,
    /// QUIC answers that the receiver has whole.
    pub answers_complete: u64,
    /// QUIC answers that ended early: canceled, too slow, connection lost, store failed.
    pub answers_broken: u64,
    /// QUIC streams whose request did not arrive in time.
    pub requests_late: u64,
    /// Reads of the object store.
    pub store_reads: u64,
    /// Outboards read into memory.
    pub outboard_loads: u64,
    /// Refusals by code, of both transports, without those that never happened.
    pub refused: Vec<(ErrorCode, u64)>,
}

impl OriginMetrics {
    /// How often requests were refused with `code`.
    #[must_use]
    pub fn refused(&self, code: ErrorCode) -> u64 {
        let found = self.refused.iter().find(|(of, _)| *of == code);
        found.map_or(0, |(_, count)| *count)
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        let mut family = |name: &str, lines: &[(String, u64)]| {
            let _ = writeln!(text, "# TYPE antiphon_origin_{name} counter");
            for (labels, value) in lines {
                let _ = writeln!(text, "antiphon_origin_{name}{labels} {value}");
            }
        };
        let both = |quic: u64, http: u64| {
            [
                ("{transport=\"quic\"}".to_owned(), quic),
                ("{transport=\"http\"}".to_owned(), http),
            ]
        };
        let one = |value: u64| [(String::new(), value)];
        family(
            "requests_total",
            &both(self.quic_requests, self.http_requests),
        );
        family("bytes_total", &both(self.quic_bytes, self.http_bytes));
        family(
            "connections_total",
            &both(self.quic_connections, self.http_connections),
        );
        family(
            "connections_refused_total",
            &one(self.quic_connections_refused),
        );
        family(
            "connections_refused_by_address_total",
            &one(self.quic_connections_refused_by_address),
        );
        family("retries_total", &one(self.quic_retries));
        family("answers_complete_total", &one(self.answers_complete));
        family("answers_broken_total", &one(self.answers_broken));
        family("requests_late_total", &one(self.requests_late));
        family("store_reads_total", &one(self.store_reads));
        family("outboard_loads_total", &one(self.outboard_loads));
        let refused: Vec<_> = self
            .refused
            .iter()
            .map(|(code, count)| (format!("{{code=\"{}\"}}", code.0), *count))
            .collect();
        family("refused_total", &refused);
        text
    }
}

/// Codes counted; the protocol knows fewer.
const CODES: usize = 32;
