//! A connection over TCP and its streams, as libp2p wants them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use antiphon_transport::muxed::{self, Mode, MuxLimits, MuxStream, Secured};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};

use super::TcpError;
use crate::peers::limits;

/// What a neighbor may cost.
const LIMITS: MuxLimits = MuxLimits {
    streams: limits::TCP_STREAMS_MAX,
    arrived: limits::STREAMS_MAX as usize,
    frame_bytes: limits::TCP_FRAME_BYTES_MAX,
    unread_bytes: limits::TCP_UNREAD_MAX,
    unsent_bytes: limits::TCP_UNSENT_MAX,
    idle: limits::IDLE_TIMEOUT,
    // libp2p pings on a stream.
    ping_look: None,
    // As long as others may take to read a goodbye.
    linger: limits::LINGER,
};

pub(in crate::peers) struct Muxer(muxed::Muxer);

impl Muxer {
    pub(super) fn new(socket: Secured, mode: Mode) -> Self {
        Self(muxed::Muxer::new(socket, mode, LIMITS))
    }

    /// Bytes unread and bytes unsent.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        self.0.kept()
    }
}

impl StreamMuxer for Muxer {
    type Substream = MuxStream;
    type Error = TcpError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<MuxStream, TcpError>> {
        self.0.poll_inbound(context).map(Ok)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<MuxStream, TcpError>> {
        Poll::Ready(Ok(ready!(self.0.poll_outbound(context))?))
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), TcpError>> {
        Poll::Ready(Ok(ready!(self.0.poll_close(context))?))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, TcpError>> {
        self.0.poll(context).map(|ended| Err(ended.into()))
    }
}
