//! One connection from its first frame to its end: tickets both ways, then control messages.

use std::future::pending;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_protocol::peer::{PeerLimits, PeerMessage};
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::{CLOCK_TOLERANCE_SECS, Ticket};
use antiphon_protocol::{ErrorCode, NodeId, version};
use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::swarm::ConnectionId;
use libp2p::{PeerId, Stream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::behaviour::StreamKind;
use super::frame::{self, FrameError};
use super::hub::{Command, Hub, Neighbor};
use super::pool::{self, StreamPool};
use super::rate::TokenBucket;
use super::{Misbehavior, PeerEvent, limits, upload};

/// A connection that libp2p has established.
pub(super) struct Seat {
    pub node: NodeId,
    pub peer: PeerId,
    pub connection: ConnectionId,
    pub outbound: bool,
    /// How long the handshake took: a round trip and more.
    pub established_in: Duration,
    /// Streams the other side opens.
    pub inbound: mpsc::Receiver<(StreamKind, Stream)>,
    /// Set when libp2p says the connection is closed.
    pub gone: CancellationToken,
    /// Set here when the session is over, before the driver hears of it.
    pub ended: CancellationToken,
}

/// What the other side showed in its `Hello`.
struct Greeting {
    stream: Stream,
    ticket: Ticket,
    limits: PeerLimits,
    rtt: Duration,
    /// Our own tickets after the one shown.
    renewals: watch::Receiver<Option<Signed<Ticket>>>,
}

/// How far between looks at a ticket's end, so that a changed wall clock is noticed.
const TICKET_CHECK: Duration = Duration::from_secs(30);

pub(super) async fn run(hub: Arc<Hub>, mut seat: Seat) {
    let gone = seat.gone.clone();
    let greeting = tokio::select! {
        biased;
        () = gone.cancelled() => None,
        greeting = timeout(limits::HELLO_TIMEOUT, greet(&hub, &mut seat)) => greeting.ok().flatten(),
    };
    if let Some(greeting) = greeting {
        converse(&hub, seat, greeting).await;
    } else {
        let _ = hub.commands.send(Command::Close(seat.connection)).await;
    }
}

/// Exchanges `Hello`. The dialer speaks first; the other side answers only a good ticket.
async fn greet(hub: &Hub, seat: &mut Seat) -> Option<Greeting> {
    let mut stream = control_stream(hub, seat).await?;
    let mut renewals = hub.ticket.subscribe();
    let ours = renewals.borrow_and_update().clone();
    let Some(ours) = ours else {
        refuse(&mut stream, &seat.gone, ErrorCode::BUSY).await;
        return None;
    };
    let hello = PeerMessage::Hello {
        version: version::PEER,
        ticket: ours,
        limits: hub.limits,
    };
    let asked_at = Instant::now();
    if seat.outbound {
        frame::write(&mut stream, &hello).await.ok()?;
    }
    let theirs = frame::read::<PeerMessage>(&mut stream).await;
    let rtt = match seat.outbound {
        true => asked_at.elapsed().min(seat.established_in),
        false => seat.established_in,
    };
    match checked(hub, seat.node, theirs) {
        Ok((ticket, limits)) => {
            if !seat.outbound {
                frame::write(&mut stream, &hello).await.ok()?;
            }
            Some(Greeting {
                stream,
                ticket,
                limits,
                rtt,
                renewals,
            })
        }
        Err(refusal) => {
            tracing::debug!(node = %seat.node, ?refusal, "no good greeting");
            if let (Some(what), true) = (refusal.what, seat.outbound) {
                let node = seat.node;
                hub.tell(PeerEvent::Misbehaved { node, what }).await;
            }
            if let Some(code) = refusal.code {
                refuse(&mut stream, &seat.gone, code).await;
            }
            None
        }
    }
}

async fn control_stream(hub: &Hub, seat: &mut Seat) -> Option<Stream> {
    if seat.outbound {
        let kind = StreamKind::Control;
        return pool::open(seat.peer, seat.connection, &hub.commands, kind).await;
    }
    loop {
        // A data stream before the control stream is dropped with this iteration.
        if let (StreamKind::Control, stream) = seat.inbound.recv().await? {
            return Some(stream);
        }
    }
}

/// Why a greeting was not accepted, what to call it, and what to answer.
#[derive(Debug)]
struct Refusal {
    what: Option<Misbehavior>,
    code: Option<ErrorCode>,
}

fn checked(
    hub: &Hub,
    node: NodeId,
    theirs: Result<(PeerMessage, usize), FrameError>,
) -> Result<(Ticket, PeerLimits), Refusal> {
    let refusal = |what, code| Refusal { what, code };
    match theirs {
        Ok((
            PeerMessage::Hello {
                version,
                ticket,
                limits,
            },
            _,
        )) => {
            if version != version::PEER {
                return Err(refusal(None, Some(ErrorCode::VERSION)));
            }
            match admitted(hub, node, &ticket) {
                Some(ticket) => Ok((ticket, limits)),
                None => Err(refusal(Some(Misbehavior::Ticket), Some(ErrorCode::TICKET))),
            }
        }
        Ok((PeerMessage::Bye { .. }, _)) | Err(FrameError::Stream(_)) => Err(refusal(None, None)),
        Ok(_) => Err(refusal(
            Some(Misbehavior::OutOfTurn),
            Some(ErrorCode::TICKET),
        )),
        Err(FrameError::Decode(_)) => Err(refusal(
            Some(Misbehavior::Malformed),
            Some(ErrorCode::MALFORMED),
        )),
    }
}

fn admitted(hub: &Hub, node: NodeId, ticket: &Signed<Ticket>) -> Option<Ticket> {
    let ticket = ticket.open(&hub.tracker_key).ok()?;
    ticket.admits(node, (hub.now)()).then_some(ticket)
}

/// Says why, and leaves the other side a moment to read it before the connection is closed.
async fn refuse(
    stream: &mut (impl futures::AsyncWrite + Unpin),
    gone: &CancellationToken,
    code: ErrorCode,
) {
    let bye = async {
        frame::write(stream, &PeerMessage::Bye { code }).await?;
        stream.close().await
    };
    if let Ok(Ok(())) = timeout(limits::LINGER, bye).await {
        let _ = timeout(limits::LINGER, gone.cancelled()).await;
    }
}

/// How a conversation ended.
struct End {
    /// The code to report.
    code: Option<ErrorCode>,
    /// Whether the other side is still to be told.
    farewell: Option<ErrorCode>,
}

async fn converse(hub: &Arc<Hub>, seat: Seat, greeting: Greeting) {
    let pool = StreamPool::new(seat.peer, seat.connection, hub.commands.clone());
    let (neighbor, queue) = Neighbor::new(seat.node, seat.connection, pool);
    let neighbor = Arc::new(neighbor);
    let connected = PeerEvent::Connected {
        node: seat.node,
        // Whoever got through: what counts is whether we wanted it.
        outbound: hub.is_dialing(seat.node),
        rtt: greeting.rtt,
        limits: greeting.limits,
        region: greeting.ticket.region,
    };
    hub.admit(&neighbor, connected).await;
    prepare_pool(&neighbor);
    let (mut reader, mut writer) = greeting.stream.split();
    let tickets = watch::Sender::new(greeting.ticket);
    let end = tokio::select! {
        biased;
        () = seat.gone.cancelled() => End { code: None, farewell: None },
        end = write_loop(&neighbor, queue, greeting.renewals, &mut writer) => end,
        end = read_loop(hub, &neighbor, &tickets, &mut reader) => end,
        () = watch_ticket(hub, &neighbor, tickets.subscribe()) => End { code: None, farewell: None },
        () = accept_streams(hub, &neighbor, seat.inbound) => End { code: None, farewell: None },
    };
    seat.ended.cancel();
    hub.retire(&neighbor, end.code).await;
    if let Some(code) = end.farewell {
        refuse(&mut writer, &seat.gone, code).await;
    }
    let _ = hub.commands.send(Command::Close(seat.connection)).await;
}

/// Opens the first data streams while messages flow already.
fn prepare_pool(neighbor: &Arc<Neighbor>) {
    let neighbor = Arc::clone(neighbor);
    tokio::spawn(async move {
        tokio::select! {
            () = neighbor.over.cancelled() => {}
            _ = timeout(limits::HELLO_TIMEOUT, neighbor.pool.prepare()) => {}
        }
    });
}

/// Writes what is queued and renewed tickets, until somebody closes or the stream breaks.
async fn write_loop(
    neighbor: &Neighbor,
    mut queue: mpsc::Receiver<PeerMessage>,
    mut renewals: watch::Receiver<Option<Signed<Ticket>>>,
    writer: &mut WriteHalf<Stream>,
) -> End {
    loop {
        let message = tokio::select! {
            biased;
            code = neighbor.closing() => {
                return End { code: Some(code), farewell: Some(code) };
            }
            Ok(()) = renewals.changed() => {
                let renewed = renewals.borrow_and_update().clone();
                match renewed {
                    Some(ticket) => PeerMessage::Renew { ticket },
                    None => continue,
                }
            }
            Some(message) = queue.recv() => message,
        };
        let written = timeout(limits::PROGRESS_TIMEOUT, frame::write(writer, &message)).await;
        if !matches!(written, Ok(Ok(()))) {
            return End {
                code: None,
                farewell: None,
            };
        }
    }
}

/// Reads control frames at the rate a neighbor may send them.
async fn read_loop(
    hub: &Hub,
    neighbor: &Neighbor,
    tickets: &watch::Sender<Ticket>,
    reader: &mut ReadHalf<Stream>,
) -> End {
    let mut rate = TokenBucket::new(
        limits::CONTROL_BYTES_PER_SECOND,
        limits::CONTROL_BYTES_BURST,
        Instant::now(),
    );
    loop {
        let (message, bytes) = match frame::read::<PeerMessage>(reader).await {
            Ok(frame) => frame,
            Err(FrameError::Stream(_)) => {
                return End {
                    code: None,
                    farewell: None,
                };
            }
            Err(FrameError::Decode(_)) => {
                return misbehaved(hub, neighbor, Misbehavior::Malformed).await;
            }
        };
        while let Err(wait) = rate.take(u32::try_from(bytes).unwrap_or(u32::MAX), Instant::now()) {
            sleep(wait).await;
        }
        if let ControlFlow::Break(end) = handle(hub, neighbor, tickets, message).await {
            return end;
        }
    }
}

async fn handle(
    hub: &Hub,
    neighbor: &Neighbor,
    tickets: &watch::Sender<Ticket>,
    message: PeerMessage,
) -> ControlFlow<End> {
    match message {
        PeerMessage::Hello { .. } => {
            ControlFlow::Break(misbehaved(hub, neighbor, Misbehavior::OutOfTurn).await)
        }
        PeerMessage::Renew { ticket } => match admitted(hub, neighbor.node, &ticket) {
            Some(ticket) => {
                tickets.send_replace(ticket);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(misbehaved(hub, neighbor, Misbehavior::Ticket).await),
        },
        PeerMessage::Bye { code } => ControlFlow::Break(End {
            code: Some(code),
            farewell: None,
        }),
        message @ (PeerMessage::Have { .. }
        | PeerMessage::Find { .. }
        | PeerMessage::Found { .. }
        | PeerMessage::Interest { .. }) => {
            if !neighbor.is_retired() {
                let node = neighbor.node;
                hub.tell(PeerEvent::Message { node, message }).await;
            }
            ControlFlow::Continue(())
        }
    }
}

async fn misbehaved(hub: &Hub, neighbor: &Neighbor, what: Misbehavior) -> End {
    let node = neighbor.node;
    tracing::debug!(%node, %what, "a neighbor misbehaved");
    hub.tell(PeerEvent::Misbehaved { node, what }).await;
    let code = match what {
        Misbehavior::Ticket => ErrorCode::TICKET,
        Misbehavior::Malformed | Misbehavior::OutOfTurn => ErrorCode::MALFORMED,
    };
    End {
        code: Some(code),
        farewell: Some(code),
    }
}

/// Closes the connection when the neighbor's ticket ends without having been renewed.
async fn watch_ticket(hub: &Hub, neighbor: &Neighbor, mut tickets: watch::Receiver<Ticket>) {
    loop {
        let expires = tickets.borrow_and_update().expires;
        let now = (hub.now)();
        let left = expires
            .plus_secs(CLOCK_TOLERANCE_SECS)
            .0
            .saturating_sub(now.0);
        if left == 0 {
            neighbor.close(ErrorCode::TICKET);
            return pending().await;
        }
        let look_again = Duration::from_secs(left).min(TICKET_CHECK);
        tokio::select! {
            () = sleep(look_again) => {}
            _ = tickets.changed() => {}
        }
    }
}

/// Serves the data streams a neighbor opens, as many as it may have.
async fn accept_streams(
    hub: &Arc<Hub>,
    neighbor: &Arc<Neighbor>,
    mut inbound: mpsc::Receiver<(StreamKind, Stream)>,
) {
    let slots = Arc::new(Semaphore::new(limits::DATA_STREAMS_MAX));
    while let Some((kind, stream)) = inbound.recv().await {
        if kind == StreamKind::Control {
            neighbor.misbehaved(hub, Misbehavior::OutOfTurn).await;
            continue;
        }
        // One more than allowed may be the replacement of one that is just ending, so it waits.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            break;
        };
        let (hub, neighbor) = (Arc::clone(hub), Arc::clone(neighbor));
        tokio::spawn(async move {
            upload::serve_stream(hub, neighbor, stream).await;
            drop(slot);
        });
    }
    pending().await
}
