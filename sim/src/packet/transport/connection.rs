//! The state of one connection: its two ends, and streams with the bytes under way.
//!
//! Both ends live in one record. Stream bytes stay in the sender's buffer until the other side has
//! taken them and they are acknowledged; packets carry only ranges, because the transport's
//! encryption lets nobody change bytes on the way.

use std::collections::VecDeque;

use crate::packet::transport::packet::{FRAMES_MAX, Frame};
use crate::packet::transport::ranges::Ranges;
use crate::packet::transport::recovery::{Pacer, RoundTrip, Window};
use crate::packet::transport::{Settings, Side};

/// Where an end stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The acceptor before it heard of the connection.
    Idle,
    /// The opener before an answer; the acceptor before the handshake's end.
    Connecting,
    Open,
    /// Closed by this side or the other, or timed out.
    Closed,
    /// Its host died without a word.
    Dead,
}

/// What became of a packet sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Outstanding,
    Acknowledged,
    Lost,
}

/// A packet that wants an acknowledgment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: u64,
    pub(super) bytes: u16,
    pub(super) fate: Fate,
    pub(super) count: u8,
    pub(super) frames: [Frame; FRAMES_MAX],
}

/// One side.
#[derive(Debug)]
pub(super) struct End {
    pub(super) state: State,
    /// The application was told that it is open.
    pub(super) told: bool,
    pub(super) next_number: u32,
    /// Sent packets in order; the first has number `first`.
    pub(super) sent: VecDeque<Sent>,
    pub(super) first: u32,
    pub(super) in_flight: u64,
    pub(super) window: Window,
    pub(super) pacer: Pacer,
    pub(super) trip: RoundTrip,
    pub(super) largest_acked: Option<u32>,
    pub(super) loss_at: Option<u64>,
    pub(super) asked_at: u64,
    pub(super) probes: u32,
    pub(super) probe_owed: u8,
    pub(super) limited_by_app: bool,
    /// Streams of this side with something to send, in turns.
    pub(super) active: VecDeque<u16>,
    pub(super) pace_at: Option<u64>,
    pub(super) received: Ranges,
    pub(super) ack_owed: u8,
    pub(super) ack_at: Option<u64>,
    pub(super) heard_at: u64,
    pub(super) idle_from: u64,
    /// Bytes written and not acknowledged.
    pub(super) buffered: u64,
    /// The application found no room and is told when there is.
    pub(super) blocked: bool,
    pub(super) close_code: Option<u16>,
    pub(super) due: u64,
    pub(super) queued: u64,
    pub(super) dirty: bool,
}

impl End {
    fn new(now: u64, settings: &Settings) -> Self {
        Self {
            state: State::Idle,
            told: false,
            next_number: 0,
            sent: VecDeque::new(),
            first: 0,
            in_flight: 0,
            window: Window::new(settings.window),
            pacer: Pacer::new(now, settings.window, settings.trip),
            trip: RoundTrip::new(settings.trip),
            largest_acked: None,
            loss_at: None,
            asked_at: now,
            probes: 0,
            probe_owed: 0,
            limited_by_app: true,
            active: VecDeque::new(),
            pace_at: None,
            received: Ranges::default(),
            ack_owed: 0,
            ack_at: None,
            heard_at: now,
            idle_from: now,
            buffered: 0,
            blocked: false,
            close_code: None,
            due: u64::MAX,
            queued: u64::MAX,
            dirty: false,
        }
    }

    pub(super) const fn is_alive(&self) -> bool {
        matches!(self.state, State::Connecting | State::Open)
    }
}

/// Bytes of one stream one way.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Bytes from `base` on.
    data: Vec<u8>,
    base: u32,
    /// The next byte never sent.
    pub(super) next: u32,
    pub(super) acked: Ranges,
    pub(super) acked_bytes: u32,
    pub(super) lost: VecDeque<(u32, u32)>,
    pub(super) finished: bool,
    pub(super) end_owed: bool,
    pub(super) received: Ranges,
    pub(super) consumed: u32,
    pub(super) end_received: bool,
    /// The end was received, and everything before it.
    pub(super) ended: bool,
    /// The sender gave it up, or the receiver wants no more.
    pub(super) reset: bool,
    pub(super) reset_owed: bool,
    pub(super) is_active: bool,
}

impl Half {
    pub(super) fn written(&self) -> u32 {
        self.base + self.data.len() as u32
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
    }

    /// Bytes that are there in order and not taken yet.
    pub(super) fn readable(&self) -> &[u8] {
        let until = self.received.prefix().max(self.consumed);
        let (from, until) = (self.consumed - self.base, until - self.base);
        self.data
            .get(from as usize..until as usize)
            .unwrap_or_default()
    }

    /// Frees what both sides are done with.
    pub(super) fn trim(&mut self) {
        let done = self.consumed.min(self.acked.prefix());
        let free = (done - self.base) as usize;
        // In large steps: moving the rest costs as much as it is long.
        if free == self.data.len() {
            self.data.clear();
            self.base = done;
        } else if free > 64 * 1024 {
            self.data.drain(..free);
            self.base = done;
        }
    }

    /// Nothing of it is wanted any more.
    pub(super) fn drop_data(&mut self) {
        self.base = self.written();
        self.data = Vec::new();
        self.next = self.base;
        self.consumed = self.base;
        self.received.insert(0, self.base);
        self.acked.insert(0, self.base);
        self.acked_bytes = self.base;
        self.lost.clear();
        self.finished = true;
        self.end_owed = false;
    }

    pub(super) fn has_pending(&self, window: u32) -> bool {
        self.reset_owed
            || !self.lost.is_empty()
            || self.end_owed && self.next == self.written()
            || self.next < self.written() && self.next < self.consumed.saturating_add(window)
    }

    pub(super) const fn memory(&self) -> usize {
        self.data.capacity()
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) hosts: [u16; 2],
    pub(super) ends: [End; 2],
    /// Both directions of each stream: what side 0 sends and what side 1 sends.
    pub(super) streams: Vec<[Half; 2]>,
    pub(super) settings: [Settings; 2],
    pub(super) early: bool,
    pub(super) tag: u8,
}

impl Connection {
    pub(super) fn new(
        now: u64,
        hosts: [u16; 2],
        settings: [Settings; 2],
        early: bool,
        tag: u8,
    ) -> Self {
        Self {
            hosts,
            ends: [End::new(now, &settings[0]), End::new(now, &settings[1])],
            streams: Vec::new(),
            settings,
            early,
            tag,
        }
    }

    pub(super) fn half(&mut self, side: Side, stream: u16) -> Option<&mut Half> {
        self.streams
            .get_mut(usize::from(stream))
            .map(|halves| &mut halves[side])
    }

    /// Puts a stream in turn if it has something to send.
    pub(super) fn activate(&mut self, side: Side, stream: u16) {
        let window = self.settings[side].stream_window;
        if let Some(half) = self.half(side, stream)
            && !half.is_active
            && half.has_pending(window)
        {
            half.is_active = true;
            self.ends[side].active.push_back(stream);
        }
    }
}
