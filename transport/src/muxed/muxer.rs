//! A connection and its streams.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep_until};
use yamux::{Config, Connection, Mode};

use super::counted::Counted;
use super::ledger::Ledger;
use super::{MuxLimits, MuxStream, STREAM_WINDOW_BYTES, Secured};

/// Whoever has one polls it until it ends: everything of the connection moves in there.
#[derive(Debug)]
pub struct Muxer {
    connection: Connection<Counted>,
    limits: MuxLimits,
    ledger: Arc<Ledger>,
    /// Opened by the other side and not taken yet; at most [`MuxLimits::arrived`].
    arrived: VecDeque<MuxStream>,
    /// Waits for one of them.
    taker: Option<Waker>,
    /// When the other side is given up.
    given_up: Pin<Box<Sleep>>,
    pings: Option<Interval>,
    closing: bool,
}

impl Muxer {
    /// Nothing of the socket's streams has passed yet.
    #[must_use]
    pub fn new(socket: Secured, mode: Mode, limits: MuxLimits) -> Self {
        let ledger = Arc::new(Ledger::new(limits));
        let counted = Counted::new(socket, Arc::clone(&ledger));
        let mut config = Config::default();
        config
            .set_max_num_streams(limits.streams)
            .set_max_connection_receive_window(Some(limits.streams * STREAM_WINDOW_BYTES))
            .set_split_send_size(limits.frame_bytes);
        let pings = limits.ping_look.map(|period| {
            let mut pings = interval(period);
            pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pings
        });
        Self {
            connection: Connection::new(counted, config, mode),
            limits,
            ledger,
            arrived: VecDeque::new(),
            taker: None,
            given_up: Box::pin(sleep_until(Instant::now() + limits.idle)),
            pings,
            closing: false,
        }
    }

    /// Everything of the connection moves in here. Ready when it has ended.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<MuxError> {
        if self.poll_silence(context).is_ready() {
            return Poll::Ready(MuxError::Silent);
        }
        // yamux asks the clock whether a ping is due, whenever it is polled.
        while let Some(pings) = &mut self.pings
            && pings.poll_tick(context).is_ready()
        {}
        loop {
            let stream = match ready!(self.connection.poll_next_inbound(context)) {
                Some(Ok(stream)) => MuxStream::new(stream, Arc::clone(&self.ledger)),
                Some(Err(error)) => return Poll::Ready(error.into()),
                None => return Poll::Ready(MuxError::Closed),
            };
            // One more than an honest side opens is dropped, which resets it.
            if self.arrived.len() < self.limits.arrived {
                self.arrived.push_back(stream);
            }
            if let Some(taker) = self.taker.take() {
                taker.wake();
            }
        }
    }

    /// The next stream that the other side has opened.
    pub fn poll_inbound(&mut self, context: &Context<'_>) -> Poll<MuxStream> {
        if let Some(stream) = self.arrived.pop_front() {
            return Poll::Ready(stream);
        }
        self.taker = Some(context.waker().clone());
        Poll::Pending
    }

    /// A stream of ours. The other side learns of it with the first byte. Poll afterwards.
    ///
    /// # Errors
    /// If the connection has ended, or has as many streams as it may.
    pub fn poll_outbound(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<MuxStream, MuxError>> {
        let stream = ready!(self.connection.poll_new_outbound(context))?;
        self.ledger.opened(stream.id().val());
        Poll::Ready(Ok(MuxStream::new(stream, Arc::clone(&self.ledger))))
    }

    /// What was written is still sent, but not for ever: who reads nothing would keep the
    /// connection.
    ///
    /// # Errors
    /// If the connection breaks meanwhile.
    pub fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<Result<(), MuxError>> {
        if !self.closing {
            self.closing = true;
            let end = Instant::now() + self.limits.linger;
            self.given_up.as_mut().reset(end);
        }
        if self.given_up.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.connection.poll_close(context))?;
        Poll::Ready(Ok(()))
    }

    /// Bytes unread and bytes unsent.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        self.ledger.kept()
    }

    /// Ready when nothing has come for too long; both sides ping more often than that.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.given_up.as_mut().poll(context));
            let end = Instant::from_std(self.ledger.heard() + self.limits.idle);
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            self.given_up.as_mut().reset(end);
        }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MuxError {
    /// It broke, or the other side broke the rules.
    #[error("the connection ended: {0}")]
    Connection(#[from] yamux::ConnectionError),
    /// The other side is done.
    #[error("the other side closed the connection")]
    Closed,
    /// The other side is given up.
    #[error("nothing came for too long")]
    Silent,
}
