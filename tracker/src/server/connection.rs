//! One node's connection: frames in, frames out, each with a deadline, until it ends.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use antiphon_protocol::codec::{self, DecodeError, LENGTH_BYTES};
use antiphon_protocol::rate::Rate;
use antiphon_protocol::tracker::{AccessToken, TrackerNotice, TrackerReply, TrackerRequest};
use antiphon_protocol::{ErrorCode, Millis, NodeId, UnixSeconds};
use antiphon_transport::connection::{Connection as Link, Lost, ReceiveStream, SendStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use zeroize::Zeroizing;

use super::answers::{self, Refusal};
use super::{STREAMS_MAX, notices};
use crate::accounts::Session;
use crate::clock;
use crate::context::Context;
use crate::metrics;
use crate::names::epoch;
use crate::rate::Limiter;
use crate::swarms::{AttachId, NOTICES_MAX, ProvenNode};

/// Time for a request to arrive whole, and for a reply to be taken.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// A request that takes longer is given up: the queues behind it are all shorter.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for a connection to log in and attach, a slow typist's password not included: nodes
/// connect when they have it.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for requests under way to finish when the tracker stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Between looks at whether a node is still where it was. Guess.
const MOVED_LOOK: Duration = Duration::from_secs(20);
/// Longest request believed before `Attach`: a registration with all its texts at their limits.
const EARLY_REQUEST_BYTES_MAX: usize = 1_024;
/// Longest request there is: a full announce of partial extents. The protocol's own frame limit
/// is for replies.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a request read at once: most requests are shorter.
const READ_BYTES: usize = 1_024;
/// Requests that a frame which is none costs of a connection's allowance.
const MALFORMED_COST: u32 = 50;

/// A connection and what it has proved.
pub(super) struct Connection {
    pub context: Arc<Context>,
    link: Link,
    pub attach: AttachId,
    limiter: Limiter,
    attached: RwLock<Option<Arc<Attachment>>>,
    /// Held from a change of who this is until the swarms are told: of two requests at once, one must
    /// not say that a node leaves before the other says that it came.
    pub change: tokio::sync::Mutex<()>,
    /// Where the handshake proved the node to be. Others are told this and nothing newer.
    proven: SocketAddr,
    /// For what is to be said to the node unasked.
    pub notices: mpsc::Sender<TrackerNotice>,
    /// The epoch whose swarm names this node was last asked to fetch by announcing everything.
    named_epoch: AtomicU64,
}

/// A successful attach.
pub(super) struct Attachment {
    pub session: Session,
    /// What it says it is.
    pub node: NodeId,
    /// The same, once it has proved that. Whoever has not is in no swarm.
    pub proven: Option<ProvenNode>,
    pub token: AccessToken,
    /// When the token was last looked up.
    pub checked: Instant,
}

/// Serves a connection to its end. Its handshake proved the node to be at `proven`.
pub(super) async fn run(context: Arc<Context>, link: Link, proven: SocketAddr) {
    let limits = &context.config.limits;
    let rate = Rate::per_second(
        limits.connection_requests_per_second,
        limits.connection_requests_burst,
    );
    let (notices, told) = mpsc::channel(NOTICES_MAX);
    let connection = Arc::new(Connection {
        attach: context.new_attach(),
        proven,
        notices,
        link,
        limiter: Limiter::new(rate),
        attached: RwLock::new(None),
        change: tokio::sync::Mutex::new(()),
        named_epoch: AtomicU64::new(epoch(clock::now())),
        context,
    });
    let mut requests = JoinSet::new();
    let code = tokio::select! {
        code = serve(&connection, &mut requests) => code,
        code = notices::tell(&connection.link, told) => code,
        code = connection.watch_address() => code,
    };
    let _ = timeout(DRAIN_TIMEOUT, async {
        while requests.join_next().await.is_some() {}
    })
    .await;
    requests.shutdown().await;
    connection.link.close(u32::from(code.0));
    connection.detach().await;
    // Over TCP the last replies are still being sent.
    connection.link.closed().await;
}

async fn serve(connection: &Arc<Connection>, requests: &mut JoinSet<()>) -> ErrorCode {
    let attach_deadline = tokio::time::sleep(ATTACH_TIMEOUT);
    tokio::pin!(attach_deadline);
    let mut may_idle = false;
    loop {
        tokio::select! {
            () = connection.context.stop.cancelled() => return ErrorCode::GOING_AWAY,
            stream = connection.link.accept(), if requests.len() < STREAMS_MAX => {
                let Ok((send, receive)) = stream else {
                    requests.abort_all();
                    return ErrorCode::NONE;
                };
                requests.spawn(Arc::clone(connection).exchange(send, receive));
            }
            // Noticed with all places taken, too.
            () = connection.link.closed() => {
                requests.abort_all();
                return ErrorCode::NONE;
            }
            Some(_) = requests.join_next(), if !requests.is_empty() => {}
            () = &mut attach_deadline, if !may_idle => {
                if connection.attachment().is_none() {
                    return ErrorCode::UNAUTHENTICATED;
                }
                may_idle = true;
            }
        }
    }
}

impl Connection {
    /// Whether the swarms have new names since this was last asked, or since the node came.
    pub(super) fn has_new_names(&self, now: UnixSeconds) -> bool {
        let epoch = epoch(now);
        self.named_epoch.swap(epoch, Ordering::Relaxed) != epoch
    }

    /// Where the node is, as it has proved. A port of TCP says nothing of where peers reach it, so
    /// there is none then.
    pub(super) fn observed(&self) -> SocketAddr {
        let port = match self.link {
            Link::Quic(_) => self.proven.port(),
            Link::Tcp(_) => 0,
        };
        SocketAddr::new(self.proven.ip().to_canonical(), port)
    }

    /// Whether the node's packets come from elsewhere by now.
    pub(super) fn has_moved(&self) -> bool {
        self.link.remote_address() != self.proven
    }

    /// Has a node that is elsewhere, because its network or its router's mapping changed, prove
    /// where on a new connection. This one goes on. Never ends.
    async fn watch_address(&self) -> ErrorCode {
        let mut looks = tokio::time::interval(MOVED_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if self.has_moved() {
                // Full of what is more urgent: it is said again.
                let _ = self.notices.try_send(TrackerNotice::Moved);
            }
        }
    }

    /// The bytes that only the two ends of this very connection know.
    pub(super) fn channel(&self) -> Option<[u8; 32]> {
        self.link.channel()
    }

    pub(super) fn attachment(&self) -> Option<Arc<Attachment>> {
        let attached = self.attached.read();
        attached.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection stays who it is, and what it has proved; only addresses and tokens may be
    /// renewed on it. None for anybody else.
    pub(super) fn attach_as(&self, mut attachment: Attachment) -> Option<Arc<Attachment>> {
        // Two requests may be here at once: looked at and replaced under one lock.
        let attached = self.attached.write();
        let mut attached = attached.unwrap_or_else(PoisonError::into_inner);
        if let Some(former) = attached.as_deref() {
            let (session, before) = (&attachment.session, &former.session);
            if former.node != attachment.node
                || before.device_id != session.device_id
                || before.account != session.account
            {
                return None;
            }
            attachment.proven = attachment.proven.or(former.proven);
        }
        let attachment = Arc::new(attachment);
        *attached = Some(Arc::clone(&attachment));
        Some(attachment)
    }

    /// Forgets who this is; the node is in no answer from here on.
    pub(super) async fn detach(&self) {
        let _change = self.change.lock().await;
        let attached = self.attached.write();
        let former = attached.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(node) = former.and_then(|former| former.proven) {
            self.context.swarms.leave(node, self.attach).await;
        }
    }

    /// One request and its reply on one stream.
    async fn exchange(self: Arc<Self>, mut send: SendStream, mut receive: ReceiveStream) {
        let limit = match self.attachment() {
            Some(_) => REQUEST_BYTES_MAX,
            None => EARLY_REQUEST_BYTES_MAX,
        };
        let request = match timeout(FRAME_TIMEOUT, read(&mut receive, limit)).await {
            Ok(Ok(request)) => Ok(request),
            Ok(Err(ReadError::Gone)) | Err(_) => return,
            Ok(Err(ReadError::Frame(error))) => Err(error),
        };
        let reply = match request {
            Ok(request) => self.answer(request).await,
            Err(error) => self.refuse_frame(&error),
        };
        let frame = codec::encode(&reply);
        let sent = timeout(FRAME_TIMEOUT, async {
            send.write_all(&frame).await?;
            send.finish().await?;
            // So that nothing is cut off when the tracker stops.
            send.safe_to_close().await
        });
        let _ = sent.await;
    }

    async fn answer(&self, request: TrackerRequest) -> TrackerReply {
        let started = Instant::now();
        let kind = metrics::kind(&request);
        let answered = match self.limiter.take(answers::cost(&request)) {
            Err(retry_after) => Err(Refusal::rate_limited(retry_after)),
            Ok(()) => timeout(ANSWER_TIMEOUT, answers::answer(self, request))
                .await
                .unwrap_or(Err(Refusal::new(ErrorCode::BUSY))),
        };
        let metrics = &self.context.metrics;
        metrics.request(kind, answered.is_err(), started.elapsed());
        answered.unwrap_or_else(|refusal| {
            if refusal.code == ErrorCode::RATE_LIMITED {
                metrics.rate_limited.add(1);
            }
            refusal.reply()
        })
    }

    fn refuse_frame(&self, error: &DecodeError) -> TrackerReply {
        self.context.metrics.malformed.add(1);
        let code = match error {
            DecodeError::TooLarge { .. } => ErrorCode::TOO_LARGE,
            DecodeError::Limit => ErrorCode::INVALID,
            _ => ErrorCode::MALFORMED,
        };
        if self.limiter.take(MALFORMED_COST).is_err() {
            self.link.close(u32::from(code.0));
        }
        TrackerReply::Refused {
            code,
            retry_after: Millis(0),
        }
    }
}

enum ReadError {
    /// The stream or the connection ended.
    Gone,
    Frame(DecodeError),
}

/// Reads one request. What is kept grows with what has arrived, not with what was promised.
async fn read(receive: &mut ReceiveStream, limit: usize) -> Result<TrackerRequest, ReadError> {
    let mut header = [0; LENGTH_BYTES];
    receive.read_exact(&mut header).await?;
    let length = codec::payload_len::<TrackerRequest>(header).map_err(ReadError::Frame)?;
    if length > limit {
        let bytes = u32::try_from(length).unwrap_or(u32::MAX);
        return Err(ReadError::Frame(DecodeError::TooLarge { bytes, limit }));
    }
    let mut payload = Zeroizing::new(Vec::new());
    let mut piece = Zeroizing::new([0; READ_BYTES]);
    while payload.len() < length {
        let most = READ_BYTES.min(length - payload.len());
        let into = piece.get_mut(..most).unwrap_or_default();
        let read = receive.read_some(into).await?;
        payload.extend(into.iter().take(read));
    }
    codec::decode(&payload).map_err(ReadError::Frame)
}

impl From<Lost> for ReadError {
    fn from(_: Lost) -> Self {
        Self::Gone
    }
}
