//! QUIC first, and TCP where UDP does not get through: which of two ways leads to the other side,
//! and what that says of the network the node is in.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::peers::limits;

/// What the last attempts showed of UDP.
#[derive(Debug, Default)]
pub(crate) struct UdpSeen {
    /// TCP led somewhere lately that QUIC did not.
    blocked: AtomicBool,
}

impl UdpSeen {
    /// Something came over UDP.
    pub(crate) fn works(&self) {
        self.blocked.store(false, Ordering::Relaxed);
    }

    /// How long to wait for QUIC before TCP is tried too.
    pub(crate) fn head_start(&self) -> Duration {
        match self.blocked.load(Ordering::Relaxed) {
            true => Duration::ZERO,
            false => limits::QUIC_HEAD_START,
        }
    }

    /// The way that leads there first. An outer error of `over_quic` says that nothing came back,
    /// an inner one is an answer, and then the end.
    pub(crate) async fn first<T, E>(
        &self,
        over_quic: impl Future<Output = Result<Result<T, E>, E>>,
        over_tcp: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let (mut over_quic, mut over_tcp) = (pin!(over_quic), pin!(over_tcp));
        if let Ok(outcome) = timeout(self.head_start(), &mut over_quic).await {
            return match self.answered(outcome) {
                Ok(end) => end,
                Err(_) => over_tcp.await,
            };
        }
        tokio::select! {
            outcome = &mut over_quic => match self.answered(outcome) {
                Ok(end) => end,
                Err(_) => over_tcp.await,
            },
            outcome = &mut over_tcp => match outcome {
                Ok(connected) => {
                    self.blocked.store(true, Ordering::Relaxed);
                    Ok(connected)
                }
                Err(error) => self.answered(over_quic.await).unwrap_or(Err(error)),
            },
        }
    }

    fn answered<T, E>(&self, outcome: Result<T, E>) -> Result<T, E> {
        if outcome.is_ok() {
            self.works();
        }
        outcome
    }
}

/// Whether the end of a handshake over QUIC says that packets come back, so that UDP gets through.
pub(crate) const fn is_answer(ended: &quinn::ConnectionError) -> bool {
    use quinn::ConnectionError as Ended;
    !matches!(
        ended,
        Ended::TimedOut | Ended::LocallyClosed | Ended::CidsExhausted
    )
}
