//! One fetch: asks one origin after the other until one sends, checks what it sends.

use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::codec::{self, LENGTH_BYTES};
use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::origin::{OriginReply, OriginRequest};
use antiphon_protocol::verified::{Item, PARENT_BYTES, SpanVerifier, encoded_bytes};
use antiphon_protocol::{ChunkIndex, Millis};
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::node::output::OriginRoute;
use antiphon_swarm::time::Duration as CoreDuration;
use quinn::{Connection, ConnectionError, ReadError, ReadExactError, RecvStream, WriteError};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::http;
use super::incoming::{Body, Incoming};
use super::link::Link;
use super::{FetchOrder, OriginEvent, Shared, Stats};

/// Runs a fetch to its one last event, or silently to its cancellation.
pub(super) async fn run(shared: Arc<Shared>, order: FetchOrder, cancel: CancellationToken) {
    let useful = Duration::from_micros(order.deadline.as_micros());
    let limit = useful.clamp(TOTAL_MIN, TOTAL_MAX);
    let work = async {
        let last = timeout(limit, try_origins(&shared, &order)).await;
        last.unwrap_or(FetchEvent::Failed)
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        last = work => {
            // Out of the table first: whoever sees the event may use the id again.
            shared.ended(order.fetch);
            tell(&shared, &order, last).await;
        }
    }
    shared.ended(order.fetch);
}

/// Why one origin did not deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptError {
    /// Nothing came: another origin may do better.
    Unreachable,
    /// It will not send.
    Declined {
        code: ErrorCode,
        retry_after: Millis,
    },
    /// What it sent is not the content.
    Corrupt,
    /// The transfer ended in the middle; the core asks for the rest as it sees fit.
    Broken,
}

async fn try_origins(shared: &Shared, order: &FetchOrder) -> FetchEvent {
    let declined = |code: ErrorCode, retry_after: Millis| FetchEvent::Declined {
        code,
        retry_after: CoreDuration::from_millis(u64::from(retry_after.clamped().0)),
    };
    if !order.geometry.contains(order.span) {
        return declined(ErrorCode::INVALID, Millis(0));
    }
    let mut last = FetchEvent::Failed;
    for link in shared.ranked(order.route) {
        let attempt = match order.route {
            OriginRoute::Quic => over_quic(shared, &link, order).await,
            OriginRoute::Http => over_http(shared, &link, order).await,
        };
        match attempt {
            Ok(()) => {
                link.succeeded(order.route);
                return FetchEvent::Done;
            }
            Err(AttemptError::Unreachable) => link.failed(order.route),
            Err(AttemptError::Declined { code, retry_after }) => {
                last = declined(code, retry_after);
            }
            Err(AttemptError::Corrupt) => {
                link.failed(order.route);
                Stats::count(&shared.stats.corrupt);
                tracing::warn!(origin = link.address.host, content = %order.content, "the origin sent bytes that are not this content");
                return FetchEvent::Corrupt;
            }
            Err(AttemptError::Broken) => {
                link.failed(order.route);
                return FetchEvent::Failed;
            }
        }
    }
    last
}

async fn over_http(shared: &Shared, link: &Link, order: &FetchOrder) -> Result<(), AttemptError> {
    let capability = shared.capability();
    let host = &link.address.host;
    let ask = http::ask(&shared.http, host, capability.as_ref(), order);
    let body = timeout(HTTP_REPLY_TIMEOUT, ask).await;
    let body = body.map_err(|_| AttemptError::Unreachable)??;
    tell(shared, order, FetchEvent::Accepted).await;
    receive(shared, order, Body::Http(body)).await
}

async fn over_quic(
    shared: &Shared,
    link: &Arc<Link>,
    order: &FetchOrder,
) -> Result<(), AttemptError> {
    let request = codec::encode(&OriginRequest::Span {
        capability: shared.capability(),
        content: order.content,
        span: order.span,
    });
    let mut asked = None;
    for _ in 0..ASKS_MAX {
        let connection = link.connection().await.map_err(|error| {
            tracing::debug!(%error, origin = link.address.host, "no QUIC connection");
            AttemptError::Unreachable
        })?;
        match ask_quic(link, &connection, &request).await {
            Ok((recv, reply)) => {
                asked = Some((connection, recv, reply));
                break;
            }
            Err(QuicError::AskAgain) => {}
            Err(QuicError::Broken) => break,
        }
    }
    let (connection, recv, reply) = asked.ok_or(AttemptError::Unreachable)?;
    check_reply(order, &reply)?;
    tell(shared, order, FetchEvent::Accepted).await;
    let received = receive(shared, order, Body::Quic(recv)).await;
    link.remember_rtt(&connection);
    received
}

/// Why there is no answer over QUIC.
enum QuicError {
    /// The origin has forgotten the session or the connection, as after its restart; requests
    /// only read, so the same one may be sent again.
    AskAgain,
    /// Anything else.
    Broken,
}

async fn ask_quic(
    link: &Link,
    connection: &Connection,
    request: &[u8],
) -> Result<(RecvStream, OriginReply), QuicError> {
    let answer = timeout(QUIC_REPLY_TIMEOUT, exchange(connection, request)).await;
    match answer {
        Ok(Err(QuicError::Broken)) => Err(match connection.close_reason() {
            // We close what does not answer; anything else is the other side's doing.
            None | Some(ConnectionError::LocallyClosed) => QuicError::Broken,
            Some(_) => QuicError::AskAgain,
        }),
        Ok(answer) => answer,
        Err(_) => {
            link.abandon(connection);
            Err(QuicError::Broken)
        }
    }
}

async fn exchange(
    connection: &Connection,
    request: &[u8],
) -> Result<(RecvStream, OriginReply), QuicError> {
    let (mut send, mut recv) = connection.open_bi().await.map_err(|_| QuicError::Broken)?;
    send.write_all(request).await?;
    send.finish().map_err(|_| QuicError::Broken)?;
    let mut header = [0; LENGTH_BYTES];
    recv.read_exact(&mut header).await?;
    let bytes = codec::payload_len::<OriginReply>(header).map_err(|_| QuicError::Broken)?;
    let mut payload = vec![0; bytes];
    recv.read_exact(&mut payload).await?;
    let reply = codec::decode(&payload).map_err(|_| QuicError::Broken)?;
    Ok((recv, reply))
}

impl From<WriteError> for QuicError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ZeroRttRejected => Self::AskAgain,
            _ => Self::Broken,
        }
    }
}

impl From<ReadExactError> for QuicError {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::ReadError(ReadError::ZeroRttRejected) => Self::AskAgain,
            _ => Self::Broken,
        }
    }
}

/// Whether the origin agrees, and means what the manifest means.
fn check_reply(order: &FetchOrder, reply: &OriginReply) -> Result<(), AttemptError> {
    match *reply {
        OriginReply::Accept { size, encoded }
            if size == order.geometry.size()
                && encoded == encoded_bytes(order.geometry, order.span) =>
        {
            Ok(())
        }
        OriginReply::Accept { .. } => Err(AttemptError::Corrupt),
        OriginReply::Refuse { code, retry_after } => {
            Err(AttemptError::Declined { code, retry_after })
        }
    }
}

/// Checks item by item and keeps what is genuine.
async fn receive(shared: &Shared, order: &FetchOrder, body: Body) -> Result<(), AttemptError> {
    let mut incoming = Canceled(Incoming::new(body), ErrorCode::CANCELED);
    let mut verifier = SpanVerifier::new(order.content, order.geometry, order.span);
    while let Some(item) = verifier.wanted() {
        let waited = timeout(STALL_TIMEOUT, incoming.0.item(item.bytes())).await;
        let bytes = waited.map_err(|_| AttemptError::Broken)??;
        if verifier.accept(&bytes).is_err() {
            incoming.1 = ErrorCode::CORRUPT;
            return Err(AttemptError::Corrupt);
        }
        match item {
            Item::Parent { outboard_offset } => {
                let node: Result<&[u8; PARENT_BYTES], _> = bytes[..].try_into();
                let node = node.map_err(|_| AttemptError::Broken)?;
                let content = order.content;
                shared.sink.put_parent(content, outboard_offset, node);
            }
            Item::Chunk { chunk, .. } => {
                let kept = shared.sink.put_chunk(order.content, chunk, &bytes);
                kept.map_err(|error| {
                    tracing::warn!(%error, content = %order.content, "a chunk was not kept");
                    AttemptError::Broken
                })?;
                let until = ChunkIndex(chunk.0.saturating_add(1));
                tell(shared, order, FetchEvent::Verified { until }).await;
            }
        }
    }
    Ok(())
}

/// Stops the transfer when dropped; a transfer that is complete does not notice.
struct Canceled(Incoming, ErrorCode);

impl Drop for Canceled {
    fn drop(&mut self) {
        self.0.stop(self.1);
    }
}

async fn tell(shared: &Shared, order: &FetchOrder, event: FetchEvent) {
    let fetch = order.fetch;
    // Nobody listens only when the node is ending.
    let _ = shared.events.send(OriginEvent { fetch, event }).await;
}

/// A fetch may take what its bytes are useful for, within these. Guesses.
const TOTAL_MIN: Duration = Duration::from_secs(5);
const TOTAL_MAX: Duration = Duration::from_secs(60);
/// A connection may turn out lost, and then the session of the next one forgotten.
const ASKS_MAX: u32 = 3;
/// Between a request on a warm connection and its answer. Several round trips around the world;
/// the core hedges long before. Guess.
const QUIC_REPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// Connecting and the answer's head: two seconds for each.
const HTTP_REPLY_TIMEOUT: Duration = Duration::from_secs(4);
/// One chunk in this time is 33 kbit/s: worthless for any rung.
const STALL_TIMEOUT: Duration = Duration::from_secs(4);
