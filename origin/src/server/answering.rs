//! What both transports share: the right to read, the limit on answers at a time, the objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::Capability;
use antiphon_protocol::verified::encoded_bytes;
use antiphon_protocol::{ByteCount, ContentId, Span};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::OriginConfig;
use super::gate::Gate;
use super::metrics::Metrics;
use super::objects::{Objects, Rendition};
use super::refusal::Refusal;

/// The state behind every request.
pub(crate) struct Answering {
    pub(crate) objects: Arc<Objects>,
    pub(crate) metrics: Arc<Metrics>,
    gate: Gate,
    answers: Arc<Semaphore>,
    leaving: AtomicBool,
    pub(crate) request_timeout: Duration,
    pub(crate) send_timeout: Duration,
}

/// A span that will be sent; holds its place among the answers at a time.
pub(crate) struct SpanAnswer {
    pub(crate) rendition: Arc<Rendition>,
    pub(crate) span: Span,
    pub(crate) encoded: ByteCount,
    pub(crate) place: OwnedSemaphorePermit,
}

impl Answering {
    pub(crate) fn new(
        config: &OriginConfig,
        objects: Arc<Objects>,
        gate: Gate,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            objects,
            metrics,
            gate,
            answers: Arc::new(Semaphore::new(config.answers_max)),
            leaving: AtomicBool::new(false),
            request_timeout: duration(config.request_timeout),
            send_timeout: duration(config.send_timeout),
        }
    }

    /// Admits a request for a span, or says why not.
    pub(crate) async fn span(
        &self,
        capability: Option<&Signed<Capability>>,
        content: ContentId,
        span: Span,
    ) -> Result<SpanAnswer, Refusal> {
        let place = self.admit(capability)?;
        let rendition = self.objects.rendition(content).await?;
        if !rendition.geometry.contains(span) {
            return Err(Refusal::INVALID);
        }
        Ok(SpanAnswer {
            encoded: encoded_bytes(rendition.geometry, span),
            rendition,
            span,
            place,
        })
    }

    /// Checks the right to read and takes a place among the answers at a time.
    pub(crate) fn admit(
        &self,
        capability: Option<&Signed<Capability>>,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        self.gate.check(capability)?;
        self.place()
    }

    /// Takes a place among the answers at a time, for what everybody may read.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        if self.is_leaving() {
            return Err(Refusal::GOING_AWAY);
        }
        let answers = Arc::clone(&self.answers);
        answers.try_acquire_owned().map_err(|_| Refusal::BUSY)
    }

    /// From now on everything is refused.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }
}

/// A configured time.
pub(crate) fn duration(time: antiphon_protocol::Millis) -> Duration {
    Duration::from_millis(u64::from(time.0))
}
