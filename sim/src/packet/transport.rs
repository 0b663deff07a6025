//! Datagrams over lines and paths, and over them a compact model of QUIC: handshake, streams in
//! order, acknowledgments, loss recovery with Cubic and pacing, idle timeout, keep-alive, close.
//!
//! Written for determinism and speed. It sees time only as an argument, schedules what it waits
//! for in [`Network::take_scheduled`], and tells applications what happened in
//! [`Network::poll_event`]. Not modelled: the cost of cryptography, address validation beyond the
//! handshake's round trip, migration, path MTU discovery, flow-control frames (the receiver's
//! limits are known to the sender at once).

mod connection;
mod packet;
mod ranges;
mod receive;
mod recovery;
mod send;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::VecDeque;

pub use packet::Packet;

use crate::engine::random::Draws;
use crate::packet::line::Line;
use crate::packet::paths::Paths;
use connection::{Connection, State};
use packet::Kind;

/// Payload of a full datagram: QUIC's minimum, which works everywhere.
pub const PACKET_BYTES: u64 = 1_200;
/// UDP and IPv4 headers.
const HEADER_BYTES: u64 = 28;
/// QUIC's own header and the seal of a packet.
const SEAL_BYTES: u64 = 29;
/// A stream frame's header.
const FRAME_BYTES: u64 = 8;
/// Unused wake-ups.
const NEVER: u64 = u64::MAX;

/// One of the two ends of a connection: 0 opened it.
pub type Side = usize;

/// Names a connection; a life is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId {
    slot: u32,
    life: u32,
}

impl ConnectionId {
    /// A number for digests.
    #[must_use]
    pub const fn mark(self) -> u64 {
        (self.life as u64) << 32 | self.slot as u64
    }
}

/// How one side is set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Congestion window at the start, bytes.
    pub window: u64,
    /// Round trip assumed until measured, microseconds.
    pub trip: u64,
    /// Bytes that may be written before they are acknowledged.
    pub send_window: u64,
    /// Bytes of one stream of ours the other side takes before it has read them.
    pub stream_window: u32,
    /// Silence after which a connection is given up.
    pub idle: u64,
    /// Silence after which the other side is asked for a sign; zero is never.
    pub keep_alive: u64,
    /// Whether the host answers what comes for a connection from before it died with a close, as
    /// TCP does. QUIC cannot: its keys for that are drawn anew at each start.
    pub resets: bool,
}

/// What applications hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// This side may use it from now on.
    Connected(ConnectionId, Side),
    /// A stream has new bytes, has ended or was given up by its sender.
    Readable(ConnectionId, Side, u16),
    /// There is room for writing again.
    Writable(ConnectionId, Side),
    /// It is over on this host, with the other side's code if that closed it.
    Closed(ConnectionId, u16, Option<u16>),
}

/// What is to be given back at its time.
#[derive(Clone, Copy, Debug)]
pub enum Wire {
    /// A packet is at the receiver's line.
    AtLine(Packet),
    /// It is through.
    Arrived(Packet),
    /// An end wants to look at its timers.
    Timer {
        /// Whose.
        connection: ConnectionId,
        /// Which end.
        side: u8,
    },
}

/// Bytes on the wire since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Handed to lines.
    pub sent: u64,
    /// Given to a host.
    pub received: u64,
    /// Dropped by full queues, by the weather, at cuts, or for want of a receiver.
    pub lost: u64,
    /// Made by replay.
    pub replayed: u64,
    /// On their way now.
    pub under_way: u64,
    /// Datagrams handed to lines.
    pub packets: u64,
}

/// A host's place in the network.
#[derive(Debug)]
struct Host {
    up: Line,
    down: Line,
    alive: bool,
    accepts: bool,
}

/// Hosts, paths and connections.
#[derive(Debug)]
pub struct Network {
    now: u64,
    hosts: Vec<Host>,
    /// What lies between the hosts.
    pub paths: Paths,
    draws: Draws,
    slots: Vec<(u32, Option<Box<Connection>>)>,
    free: Vec<u32>,
    scheduled: Vec<(u64, Wire)>,
    events: VecDeque<Event>,
    dirty: Vec<(ConnectionId, Side)>,
    traffic: Traffic,
}

impl Network {
    /// A network of hosts with these lines (up, down), over `paths`.
    #[must_use]
    pub fn new(lines: Vec<(Line, Line)>, paths: Paths, draws: Draws) -> Self {
        let hosts = lines.into_iter().map(|(up, down)| Host {
            up,
            down,
            alive: true,
            accepts: true,
        });
        Self {
            now: 0,
            hosts: hosts.collect(),
            paths,
            draws,
            slots: Vec::new(),
            free: Vec::new(),
            scheduled: Vec::new(),
            events: VecDeque::new(),
            dirty: Vec::new(),
            traffic: Traffic::default(),
        }
    }

    /// What must be given back to [`Network::handle`] and when.
    pub fn take_scheduled(&mut self) -> std::vec::Drain<'_, (u64, Wire)> {
        self.scheduled.drain(..)
    }

    /// The next thing an application hears.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes so far.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The time is `now`, microseconds. It never goes back.
    pub fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
    }

    /// Something scheduled is due.
    pub fn handle(&mut self, wire: Wire) {
        match wire {
            Wire::AtLine(packet) => self.at_line(packet),
            Wire::Arrived(packet) => self.arrived(packet),
            Wire::Timer { connection, side } => self.on_timer(connection, usize::from(side)),
        }
        self.flush();
    }

    /// Changes the rates of a host's line.
    pub fn set_rates(&mut self, host: u16, up: u64, down: u64) {
        let host = &mut self.hosts[usize::from(host)];
        host.up.set_rate(up);
        host.down.set_rate(down);
    }

    /// Rates of a host's line, up and down.
    #[must_use]
    pub fn rates(&self, host: u16) -> (u64, u64) {
        let host = &self.hosts[usize::from(host)];
        (host.up.rate(), host.down.rate())
    }

    /// A host dies without a word: nothing of it is sent or heard any more.
    pub fn kill_host(&mut self, host: u16) {
        self.hosts[usize::from(host)].alive = false;
        for slot in 0..self.slots.len() {
            let Some(connection) = self.slots[slot].1.as_deref_mut() else {
                continue;
            };
            for side in 0..2 {
                if connection.hosts[side] == host {
                    connection.ends[side].state = State::Dead;
                }
            }
            self.free_if_over(slot as u32);
        }
    }

    /// A host is back, with nothing left of its connections.
    pub fn revive_host(&mut self, host: u16) {
        self.hosts[usize::from(host)].alive = true;
    }

    /// Whether a host takes new connections; if not, openers hear nothing.
    pub fn set_accepts(&mut self, host: u16, accepts: bool) {
        self.hosts[usize::from(host)].accepts = accepts;
    }

    /// Opens a connection. `early` lets the opener use it at once, as with 0-RTT.
    pub fn open(
        &mut self,
        from: u16,
        to: u16,
        settings: [Settings; 2],
        early: bool,
        tag: u8,
    ) -> ConnectionId {
        let mut connection = Connection::new(self.now, [from, to], settings, early, tag);
        connection.ends[0].state = State::Connecting;
        let slot = if let Some(slot) = self.free.pop() {
            slot
        } else {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        };
        let entry = &mut self.slots[slot as usize];
        entry.1 = Some(Box::new(connection));
        let id = ConnectionId {
            slot,
            life: entry.0,
        };
        self.send_handshake(id, 0, Kind::Hello);
        if early {
            self.told_open(id, 0);
        }
        self.plan_timer(id, 0);
        id
    }

    /// Ends a connection and says why. Nothing more is heard of it on this side.
    pub fn close(&mut self, id: ConnectionId, side: Side, code: u16) {
        let Some(connection) = self.get(id) else {
            return;
        };
        if !connection.ends[side].is_alive() {
            return;
        }
        connection.ends[side].state = State::Closed;
        connection.ends[side].close_code = Some(code);
        self.send_close(id, side);
        self.free_if_over(id.slot);
    }

    /// The host at the other side.
    #[must_use]
    pub fn other_host(&self, id: ConnectionId, side: Side) -> Option<u16> {
        self.look(id).map(|connection| connection.hosts[1 - side])
    }

    /// The host at this side.
    #[must_use]
    pub fn host(&self, id: ConnectionId, side: Side) -> Option<u16> {
        self.look(id).map(|connection| connection.hosts[side])
    }

    /// What the opener called it.
    #[must_use]
    pub fn tag(&self, id: ConnectionId) -> Option<u8> {
        self.look(id).map(|connection| connection.tag)
    }

    /// Round trip as measured by this side, microseconds.
    #[must_use]
    pub fn round_trip(&self, id: ConnectionId, side: Side) -> u64 {
        self.look(id)
            .map_or(0, |connection| connection.ends[side].trip.smoothed)
    }

    /// Whether this side can still be used.
    #[must_use]
    pub fn is_open(&self, id: ConnectionId, side: Side) -> bool {
        self.look(id)
            .is_some_and(|connection| connection.ends[side].is_alive())
    }

    /// A new stream.
    pub fn open_stream(&mut self, id: ConnectionId) -> u16 {
        let Some(connection) = self.get(id) else {
            return u16::MAX;
        };
        connection.streams.push(Default::default());
        (connection.streams.len() - 1) as u16
    }

    /// Writes all of it; look at [`Network::room`] first.
    pub fn write(&mut self, id: ConnectionId, side: Side, stream: u16, bytes: &[u8]) {
        let Some(connection) = self.get(id) else {
            return;
        };
        let Some(half) = connection.half(side, stream) else {
            return;
        };
        if half.reset || half.finished {
            return;
        }
        half.write(bytes);
        connection.ends[side].buffered += bytes.len() as u64;
        connection.activate(side, stream);
        self.mark_dirty(id, side);
    }

    /// Nothing more will be written on a stream.
    pub fn finish(&mut self, id: ConnectionId, side: Side, stream: u16) {
        let Some(connection) = self.get(id) else {
            return;
        };
        if let Some(half) = connection.half(side, stream)
            && !half.finished
        {
            (half.finished, half.end_owed) = (true, true);
            connection.activate(side, stream);
            self.mark_dirty(id, side);
        }
    }

    /// Gives a stream up both ways.
    pub fn reset(&mut self, id: ConnectionId, side: Side, stream: u16) {
        let Some(connection) = self.get(id) else {
            return;
        };
        self::receive::drop_stream(connection, side, stream);
        if let Some(half) = connection.half(side, stream) {
            half.reset_owed = true;
        }
        connection.activate(side, stream);
        self.mark_dirty(id, side);
    }

    /// Bytes that may be written now. If none, [`Event::Writable`] follows.
    pub fn room(&mut self, id: ConnectionId, side: Side) -> u64 {
        let Some(connection) = self.get(id) else {
            return 0;
        };
        let window = connection.settings[side].send_window;
        let end = &mut connection.ends[side];
        let room = window.saturating_sub(end.buffered);
        end.blocked |= room == 0;
        room
    }

    /// Bytes of a stream that are there in order.
    #[must_use]
    pub fn readable(&self, id: ConnectionId, side: Side, stream: u16) -> &[u8] {
        self.look(id)
            .and_then(|connection| connection.streams.get(usize::from(stream)))
            .map_or(&[], |halves| halves[1 - side].readable())
    }

    /// Takes bytes that were read.
    pub fn consume(&mut self, id: ConnectionId, side: Side, stream: u16, bytes: usize) {
        let Some(connection) = self.get(id) else {
            return;
        };
        let window = connection.settings[1 - side].stream_window;
        let Some(half) = connection.half(1 - side, stream) else {
            return;
        };
        half.consumed += bytes as u32;
        half.trim();
        if half.has_pending(window) {
            connection.activate(1 - side, stream);
            self.mark_dirty(id, 1 - side);
        }
    }

    /// Whether everything of a stream was read and no more comes.
    #[must_use]
    pub fn is_ended(&self, id: ConnectionId, side: Side, stream: u16) -> bool {
        let half = self
            .look(id)
            .and_then(|connection| connection.streams.get(usize::from(stream)))
            .map(|halves| &halves[1 - side]);
        half.is_none_or(|half| half.reset || half.ended && half.readable().is_empty())
    }

    /// Memory of buffers in connections of a host, sent and unread bytes together.
    #[must_use]
    pub fn memory_of(&self, host: u16) -> usize {
        let connections = self.slots.iter().filter_map(|(_, slot)| slot.as_deref());
        let own = connections.filter(|connection| connection.hosts.contains(&host));
        own.flat_map(|connection| &connection.streams)
            .flatten()
            .map(connection::Half::memory)
            .sum()
    }

    /// Connections that are not over.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.slots.iter().filter(|(_, slot)| slot.is_some()).count()
    }

    fn look(&self, id: ConnectionId) -> Option<&Connection> {
        let (life, connection) = self.slots.get(id.slot as usize)?;
        connection.as_deref().filter(|_| *life == id.life)
    }

    fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let (life, connection) = self.slots.get_mut(id.slot as usize)?;
        connection.as_deref_mut().filter(|_| *life == id.life)
    }

    fn mark_dirty(&mut self, id: ConnectionId, side: Side) {
        let Some(connection) = self.get(id) else {
            return;
        };
        if !connection.ends[side].dirty {
            connection.ends[side].dirty = true;
            self.dirty.push((id, side));
        }
    }

    /// Sends what was written since the last time.
    pub fn flush(&mut self) {
        while let Some((id, side)) = self.dirty.pop() {
            if let Some(connection) = self.get(id) {
                connection.ends[side].dirty = false;
                self.send(id, side);
            }
        }
    }

    /// Forgets a connection of which neither side is left.
    fn free_if_over(&mut self, slot: u32) {
        let (life, entry) = &mut self.slots[slot as usize];
        let over = |state: State| matches!(state, State::Closed | State::Dead);
        let is_over = entry.as_deref().is_some_and(|connection| {
            let [a, b] = &connection.ends;
            over(a.state) && (over(b.state) || b.state == State::Idle)
                || over(b.state) && a.state == State::Dead
        });
        if is_over {
            *entry = None;
            *life += 1;
            self.free.push(slot);
        }
    }
}
