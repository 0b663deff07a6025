//! An encoded span on its way in, handed out in the sizes that verification wants.
//!
//! What has arrived is taken from the transport many fragments at a time: each visit to a QUIC
//! stream takes the connection's lock. An item that lies in one fragment is handed out without
//! copying; one that does not is copied once.

use std::collections::VecDeque;

use antiphon_protocol::error_code::ErrorCode;
use bytes::{Buf, Bytes, BytesMut};
use quinn::{RecvStream, VarInt};
use reqwest::Response;

use super::fetch::AttemptError;

/// The transport's side.
pub(super) enum Body {
    Quic(RecvStream),
    Http(Response),
}

/// The span's bytes, in order.
pub(super) struct Incoming {
    body: Body,
    arrived: VecDeque<Bytes>,
    joined: BytesMut,
}

impl Incoming {
    pub(super) fn new(body: Body) -> Self {
        Self {
            body,
            arrived: VecDeque::new(),
            joined: BytesMut::new(),
        }
    }

    /// The next `wanted` bytes. Not to be called again after it was dropped half-way.
    pub(super) async fn item(&mut self, wanted: usize) -> Result<Bytes, AttemptError> {
        loop {
            match self.arrived.front_mut() {
                Some(first) if self.joined.is_empty() && first.len() >= wanted => {
                    return Ok(first.split_to(wanted));
                }
                Some(first) if !first.is_empty() => {
                    self.joined.reserve(wanted - self.joined.len());
                    let bytes = first.len().min(wanted - self.joined.len());
                    self.joined
                        .extend_from_slice(first.chunk().get(..bytes).unwrap_or(&[]));
                    first.advance(bytes);
                    if self.joined.len() == wanted {
                        return Ok(self.joined.split().freeze());
                    }
                }
                Some(_) => {
                    self.arrived.pop_front();
                }
                None => self.arrive().await?,
            }
        }
    }

    /// Tells the origin to stop; over HTTP the connection goes with the body.
    pub(super) fn stop(&mut self, code: ErrorCode) {
        if let Body::Quic(recv) = &mut self.body {
            // Fails only if the stream has ended by itself, which is as good.
            let _ = recv.stop(VarInt::from_u32(u32::from(code.0)));
        }
    }

    /// Waits for more.
    async fn arrive(&mut self) -> Result<(), AttemptError> {
        match &mut self.body {
            Body::Quic(recv) => {
                let mut fragments: [Bytes; FRAGMENTS] = std::array::from_fn(|_| Bytes::new());
                let read = recv.read_chunks(&mut fragments).await;
                let count = read.map_err(|_| AttemptError::Broken)?;
                let count = count.ok_or(AttemptError::Broken)?;
                self.arrived.extend(fragments.into_iter().take(count));
            }
            Body::Http(response) => {
                let more = response.chunk().await.map_err(|_| AttemptError::Broken)?;
                self.arrived.push_back(more.ok_or(AttemptError::Broken)?);
            }
        }
        Ok(())
    }
}

/// Fragments taken at a time: about three chunks in packets of 1,452 bytes.
const FRAGMENTS: usize = 32;
