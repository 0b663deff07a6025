//! One request on one stream.

use std::pin::pin;

use antiphon_protocol::ErrorCode;
use antiphon_protocol::codec::{self, DecodeError, LENGTH_BYTES};
use antiphon_protocol::origin::{OriginReply, OriginRequest};
use bytes::Bytes;
use futures::StreamExt;
use quinn::{RecvStream, SendStream};
use tokio::time::timeout;

use super::stream_code;
use crate::server::answering::{Answering, SpanAnswer};
use crate::server::piece::span_pieces;
use crate::server::refusal::Refusal;

/// Reads the request, answers it, and waits until the answer has arrived.
pub(super) async fn serve(answering: &Answering, mut send: SendStream, mut recv: RecvStream) {
    let metrics = &answering.metrics;
    let Ok(request) = timeout(answering.request_timeout, read_request(&mut recv)).await else {
        metrics.requests_late.add(1);
        reset(&mut send, ErrorCode::CANCELED);
        let _ = recv.stop(stream_code(ErrorCode::CANCELED));
        return;
    };
    let request = match request {
        Ok(request) => Ok(request),
        Err(BadRequest::Refused(refusal)) => {
            let _ = recv.stop(stream_code(refusal.code));
            Err(refusal)
        }
        Err(BadRequest::Gone) => return,
    };
    metrics.quic_requests.add(1);
    let answer = match request {
        Ok(OriginRequest::Span {
            capability,
            content,
            span,
        }) => answering.span(capability.as_ref(), content, span).await,
        Err(refusal) => Err(refusal),
    };
    let sent = match answer {
        Ok(answer) => send_span(answering, answer, &mut send).await,
        Err(refusal) => send_refusal(answering, refusal, &mut send).await,
    };
    match sent {
        Ok(()) => metrics.answers_complete.add(1),
        Err(code) => {
            metrics.answers_broken.add(1);
            reset(&mut send, code);
        }
    }
}

async fn read_request(recv: &mut RecvStream) -> Result<OriginRequest, BadRequest> {
    let mut header = [0; LENGTH_BYTES];
    recv.read_exact(&mut header)
        .await
        .map_err(|_| BadRequest::Gone)?;
    let bytes = codec::payload_len::<OriginRequest>(header)?;
    let mut payload = vec![0; bytes];
    recv.read_exact(&mut payload)
        .await
        .map_err(|_| BadRequest::Gone)?;
    Ok(codec::decode(&payload)?)
}

async fn send_span(
    answering: &Answering,
    answer: SpanAnswer,
    send: &mut SendStream,
) -> Result<(), ErrorCode> {
    let SpanAnswer {
        rendition,
        span,
        encoded,
        place,
    } = answer;
    let accept = OriginReply::Accept {
        size: rendition.geometry.size(),
        encoded,
    };
    let objects = std::sync::Arc::clone(&answering.objects);
    let mut pieces = pin!(span_pieces(objects, rendition, span));
    // The header leaves with the first piece, in the same packets.
    let mut header = Some(Bytes::from(codec::encode(&accept)));
    while let Some(piece) = pieces.next().await {
        let mut piece = match piece {
            Ok(piece) => piece,
            // Nothing has left yet: say it properly.
            Err(refusal) if header.is_some() => {
                drop(place);
                return send_refusal(answering, refusal, send).await;
            }
            Err(refusal) => return Err(refusal.code),
        };
        if let Some(header) = header.take() {
            piece.insert(0, header);
        }
        write(answering, send, &mut piece).await?;
    }
    drop(place);
    finish(answering, send).await
}

async fn send_refusal(
    answering: &Answering,
    refusal: Refusal,
    send: &mut SendStream,
) -> Result<(), ErrorCode> {
    answering.metrics.refuse(refusal.code);
    let reply = OriginReply::Refuse {
        code: refusal.code,
        retry_after: refusal.retry_after,
    };
    let mut frame = [Bytes::from(codec::encode(&reply))];
    write(answering, send, &mut frame).await?;
    finish(answering, send).await
}

async fn write(
    answering: &Answering,
    send: &mut SendStream,
    piece: &mut [Bytes],
) -> Result<(), ErrorCode> {
    let bytes: usize = piece.iter().map(Bytes::len).sum();
    match timeout(answering.send_timeout, send.write_all_chunks(piece)).await {
        Ok(Ok(())) => {
            answering.metrics.quic_bytes.add(bytes as u64);
            Ok(())
        }
        Ok(Err(_)) | Err(_) => Err(ErrorCode::CANCELED),
    }
}

/// Ends the answer and waits until the receiver has it, so that a drain does not cut it off.
async fn finish(answering: &Answering, send: &mut SendStream) -> Result<(), ErrorCode> {
    send.finish().map_err(|_| ErrorCode::CANCELED)?;
    match timeout(answering.send_timeout, send.stopped()).await {
        Ok(Ok(None)) => Ok(()),
        _ => Err(ErrorCode::CANCELED),
    }
}

fn reset(send: &mut SendStream, code: ErrorCode) {
    // Fails only if the stream has ended by itself, which is as good.
    let _ = send.reset(stream_code(code));
}

/// Why there is no request to answer.
enum BadRequest {
    /// The stream or connection ended first: nobody is there to be told.
    Gone,
    /// It can be told.
    Refused(Refusal),
}

impl From<DecodeError> for BadRequest {
    fn from(error: DecodeError) -> Self {
        Self::Refused(match error {
            DecodeError::TooLarge { .. } => Refusal::TOO_LARGE,
            _ => Refusal::MALFORMED,
        })
    }
}
