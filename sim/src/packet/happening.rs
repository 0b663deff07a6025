//! What can happen, and who sees to it.

use antiphon_protocol::peer::SpanRequest;
use antiphon_swarm::{FetchId, UploadId};

use crate::engine::queue::Event;
use crate::packet::faults::Fault;
use crate::packet::harness::Harness;
use crate::packet::transport::{ConnectionId, Wire};

/// Something a node's shell waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// A greeting takes too long.
    GreetBy(ConnectionId),
    /// Reading control frames may go on.
    ReadControl(ConnectionId),
    /// A fetch from a peer may have made no progress.
    FetchBy(ConnectionId, u16),
    /// A fetch waits too long for a stream.
    WaitBy(ConnectionId, FetchId),
    /// A fetch from the origin may have taken too long for something.
    OriginBy(FetchId),
    /// Connecting to the origin takes too long.
    OriginConnectBy(ConnectionId),
    /// An upload goes on, of a peer that is slow on purpose.
    Trickle(ConnectionId, u16),
    /// A span is declined late.
    DeclineLate(ConnectionId, u16),
    /// A decision on an upload takes too long.
    DecideBy(UploadId),
    /// Time to attach to the tracker.
    Attach,
    /// Attaching takes too long.
    AttachBy(ConnectionId),
    /// A request to the tracker takes too long.
    TrackerBy(ConnectionId, u16),
    /// The sound reaches something.
    Playhead(u32),
    /// The listener presses play.
    NextPlay,
    /// A round trip is measured.
    Ping(ConnectionId),
    /// A babbler says something.
    Babble,
    /// The tracker's answer to opening a track, or none.
    Opened { track: usize, play: u32, good: bool },
    /// The core sees no source for a play.
    Starved(u32),
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening {
    Wire(Wire),
    /// A node's process starts.
    Start {
        node: u16,
    },
    Due {
        node: u16,
        life: u32,
    },
    Task {
        node: u16,
        life: u32,
        task: Task,
    },
    /// The origin has found a span and sends it.
    OriginServes {
        connection: ConnectionId,
        stream: u16,
        request: OriginAsk,
    },
    Fault(Fault),
    /// The oracle looks.
    Look,
    /// The tracker's registry may have something to forget.
    TidyRegistry,
}

/// A span asked of the origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OriginAsk {
    pub(crate) track: usize,
    pub(crate) span: antiphon_protocol::Span,
    pub(crate) life: u32,
}

impl Event for Happening {
    fn class(&self) -> u8 {
        match self {
            Self::Wire(_) => 0,
            Self::Start { .. } => 1,
            Self::Due { .. } => 2,
            Self::Task { .. } => 3,
            Self::OriginServes { .. } => 4,
            Self::Fault(_) => 5,
            Self::Look => 6,
            Self::TidyRegistry => 7,
        }
    }
}

impl Happening {
    /// What a digest tells happenings apart by.
    pub(crate) fn mark(&self) -> (u8, u64) {
        let entity = match self {
            Self::Wire(Wire::AtLine(packet) | Wire::Arrived(packet)) => packet.mark(),
            Self::Wire(Wire::Timer { connection, side }) => connection.mark() ^ u64::from(*side),
            Self::Start { node } | Self::Due { node, .. } | Self::Task { node, .. } => {
                u64::from(*node)
            }
            Self::OriginServes { stream, .. } => u64::from(*stream),
            Self::Fault(_) | Self::Look | Self::TidyRegistry => 0,
        };
        (self.class(), entity)
    }
}

impl Harness {
    pub(crate) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wire(wire) => self.network.handle(wire),
            Happening::Start { node } => self.start_node(node),
            Happening::Due { node, life } => self.wake(node, life),
            Happening::Task { node, life, task } => {
                if self.in_life(node, life) {
                    self.perform(node, task);
                }
            }
            Happening::OriginServes {
                connection,
                stream,
                request,
            } => self.origin_serves(connection, stream, request),
            Happening::Fault(fault) => self.fault(fault),
            Happening::Look => self.look(),
            Happening::TidyRegistry => self.tidy_registry(),
        }
    }

    fn perform(&mut self, node: u16, task: Task) {
        match task {
            Task::GreetBy(id) => self.greet_by(node, id),
            Task::ReadControl(id) => self.read_control_again(node, id),
            Task::FetchBy(id, stream) => self.fetch_by(node, id, stream),
            Task::WaitBy(id, fetch) => self.wait_by(node, id, fetch),
            Task::OriginBy(fetch) => self.origin_by(node, fetch),
            Task::OriginConnectBy(id) => self.origin_connect_by(node, id),
            Task::Trickle(id, stream) => self.trickle(node, id, stream),
            Task::DeclineLate(id, stream) => self.decline_late(node, id, stream),
            Task::DecideBy(upload) => self.decide_by(node, upload),
            Task::Attach => self.attach(node),
            Task::AttachBy(id) => self.attach_by(node, id),
            Task::TrackerBy(id, stream) => self.tracker_by(node, id, stream),
            Task::Playhead(turn) => self.playhead(node, turn),
            Task::NextPlay => self.next_play(node),
            Task::Ping(id) => self.ping(node, id),
            Task::Babble => self.babble(node),
            Task::Opened { track, play, good } => self.on_opened(node, track, play, good),
            Task::Starved(play) => self.on_starved(node, play),
        }
    }
}

/// Named here so that both sides of a data stream share it.
pub(crate) type Request = SpanRequest;
