//! Filling packets and putting them on the line.

use crate::packet::transport::connection::{Connection, Fate, Sent, State};
use crate::packet::transport::packet::{ACK_RANGES_MAX, Ack, FRAMES_MAX, Frame, Kind, Packet};
use crate::packet::transport::{
    ConnectionId, FRAME_BYTES, HEADER_BYTES, Network, PACKET_BYTES, SEAL_BYTES, Side, Wire,
};

/// Bytes of an acknowledgment's frame.
const ACK_BYTES: u64 = 12;

impl Network {
    /// Sends what the window, the pacer and the other side's limits allow.
    pub(super) fn send(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        if let Some(connection) = self.get(id) {
            connection.ends[side].pace_at = None;
        }
        loop {
            let Some(connection) = self.get(id) else {
                return;
            };
            let early = connection.early && side == 0;
            let end = &mut connection.ends[side];
            let usable = end.state == State::Open || early && end.state == State::Connecting;
            if !usable {
                break;
            }
            let probing = end.probe_owed > 0;
            if end.active.is_empty() && !probing {
                end.limited_by_app = end.in_flight + PACKET_BYTES <= end.window.bytes;
                break;
            }
            if !probing {
                if end.in_flight + PACKET_BYTES > end.window.bytes {
                    end.limited_by_app = false;
                    break;
                }
                let trip = end.trip.smoothed;
                if let Some(at) = end.pacer.wait(now, end.window.bytes, trip) {
                    end.limited_by_app = false;
                    end.pace_at = Some(at);
                    break;
                }
            }
            let (frames, count, bytes) = fill(connection, side);
            let end = &mut connection.ends[side];
            if count == 0 && end.probe_owed == 0 {
                continue;
            }
            end.probe_owed = end.probe_owed.saturating_sub(1);
            let packet = data_packet(id, connection, side, now, frames, count, bytes);
            self.transmit(id, side, packet);
        }
        self.acknowledge(id, side);
        self.plan_timer(id, side);
    }

    /// An acknowledgment on its own, if one is due.
    fn acknowledge(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        let Some(connection) = self.get(id) else {
            return;
        };
        let end = &mut connection.ends[side];
        let due = end.ack_owed >= 2 || end.ack_at.is_some_and(|at| at <= now);
        if !due || !matches!(end.state, State::Open | State::Connecting) {
            return;
        }
        let mut packet = empty(id, side, Kind::Data, HEADER_BYTES + SEAL_BYTES + ACK_BYTES);
        packet.ack = take_ack(connection, side, now);
        self.transmit(id, side, packet);
    }

    pub(super) fn send_handshake(&mut self, id: ConnectionId, side: Side, kind: Kind) {
        let now = self.now;
        if let Some(connection) = self.get(id) {
            connection.ends[side].asked_at = now;
        }
        let packet = empty(id, side, kind, HEADER_BYTES + PACKET_BYTES);
        self.transmit(id, side, packet);
    }

    pub(super) fn send_close(&mut self, id: ConnectionId, side: Side) {
        let Some(connection) = self.get(id) else {
            return;
        };
        let code = connection.ends[side].close_code.unwrap_or(0);
        let mut packet = empty(
            id,
            side,
            Kind::Close,
            HEADER_BYTES + SEAL_BYTES + FRAME_BYTES,
        );
        packet.code = code;
        self.transmit(id, side, packet);
    }

    /// Through the own line and onto the path.
    fn transmit(&mut self, id: ConnectionId, side: Side, packet: Packet) {
        let now = self.now;
        let Some(connection) = self.look(id) else {
            return;
        };
        let [from, to] = [connection.hosts[side], connection.hosts[1 - side]].map(usize::from);
        let bytes = u64::from(packet.bytes);
        self.traffic.sent += bytes;
        self.traffic.packets += 1;
        let left = self.hosts[from].up.pass(now, bytes);
        let Some(left) = left else {
            self.traffic.lost += bytes;
            return;
        };
        let fate = self.paths.send(left, from, to, &mut self.draws);
        match fate.arrives {
            None => self.traffic.lost += bytes,
            Some(at) => {
                self.traffic.under_way += bytes;
                self.scheduled.push((at, Wire::AtLine(packet)));
            }
        }
        if let Some(at) = fate.again {
            self.traffic.replayed += bytes;
            self.traffic.under_way += bytes;
            self.scheduled.push((at, Wire::AtLine(packet)));
        }
    }

    /// A packet comes to the receiver's line.
    pub(super) fn at_line(&mut self, packet: Packet) {
        let id = packet.id();
        let bytes = u64::from(packet.bytes);
        let host = self
            .look(id)
            .map(|connection| connection.hosts[usize::from(packet.to)]);
        let through =
            host.and_then(|host| self.hosts[usize::from(host)].down.pass(self.now, bytes));
        match through {
            None => {
                self.traffic.lost += bytes;
                self.traffic.under_way -= bytes;
            }
            Some(at) if at <= self.now => self.arrived(packet),
            Some(at) => self.scheduled.push((at, Wire::Arrived(packet))),
        }
    }
}

impl Packet {
    pub(super) const fn id(&self) -> ConnectionId {
        ConnectionId {
            slot: self.connection,
            life: self.life,
        }
    }
}

const fn empty(id: ConnectionId, side: Side, kind: Kind, bytes: u64) -> Packet {
    Packet {
        connection: id.slot,
        life: id.life,
        to: (1 - side) as u8,
        kind,
        asks: false,
        count: 0,
        bytes: bytes as u16,
        code: 0,
        number: 0,
        ack: Ack {
            count: 0,
            ranges: [(0, 0); ACK_RANGES_MAX],
            delay: 0,
        },
        frames: [Frame {
            stream: 0,
            len: 0,
            offset: 0,
            end: false,
            reset: false,
        }; FRAMES_MAX],
    }
}

fn data_packet(
    id: ConnectionId,
    connection: &mut Connection,
    side: Side,
    now: u64,
    frames: [Frame; FRAMES_MAX],
    count: u8,
    payload: u64,
) -> Packet {
    let mut packet = empty(id, side, Kind::Data, 0);
    let mut bytes = HEADER_BYTES + SEAL_BYTES + payload.max(1);
    if connection.ends[side].ack_owed > 0 {
        packet.ack = take_ack(connection, side, now);
        bytes += ACK_BYTES;
    }
    let end = &mut connection.ends[side];
    packet.bytes = bytes as u16;
    (packet.asks, packet.count, packet.frames) = (true, count, frames);
    packet.number = end.next_number;
    end.next_number += 1;
    end.in_flight += bytes;
    end.pacer.spend(bytes);
    if end.asked_at < end.heard_at {
        // The first that wants an answer since the other side was heard.
        end.idle_from = now;
    }
    end.asked_at = now;
    end.sent.push_back(Sent {
        at: now,
        bytes: packet.bytes,
        fate: Fate::Outstanding,
        count,
        frames,
    });
    packet
}

fn take_ack(connection: &mut Connection, side: Side, now: u64) -> Ack {
    let end = &mut connection.ends[side];
    let mut ack = Ack::default();
    for (slot, range) in ack.ranges.iter_mut().zip(end.received.highest()) {
        *slot = range;
        ack.count += 1;
    }
    let held = end.ack_at.map_or(0, |at| {
        (now + super::recovery::ACK_DELAY_MAX).saturating_sub(at)
    });
    ack.delay = (held / 8).min(u64::from(u16::MAX)) as u16;
    (end.ack_owed, end.ack_at) = (0, None);
    ack
}

/// Takes up to a packet's worth from the streams in turn.
fn fill(connection: &mut Connection, side: Side) -> ([Frame; FRAMES_MAX], u8, u64) {
    let mut frames = [Frame::default(); FRAMES_MAX];
    let (mut count, mut left) = (0, PACKET_BYTES - SEAL_BYTES - ACK_BYTES);
    let window = connection.settings[side].stream_window;
    let mut bytes = 0;
    while usize::from(count) < FRAMES_MAX && left > FRAME_BYTES + 64 {
        let Some(stream) = connection.ends[side].active.pop_front() else {
            break;
        };
        let Some(half) = connection.half(side, stream) else {
            continue;
        };
        half.is_active = false;
        let frame = next_frame(half, stream, (left - FRAME_BYTES) as u32, window);
        if let Some(frame) = frame {
            frames[usize::from(count)] = frame;
            count += 1;
            left -= FRAME_BYTES + u64::from(frame.len);
            bytes += FRAME_BYTES + u64::from(frame.len);
        }
        connection.activate(side, stream);
    }
    (frames, count, bytes)
}

fn next_frame(
    half: &mut super::connection::Half,
    stream: u16,
    most: u32,
    window: u32,
) -> Option<Frame> {
    let mut frame = Frame {
        stream,
        ..Frame::default()
    };
    if half.reset_owed {
        half.reset_owed = false;
        frame.reset = true;
        return Some(frame);
    }
    let (from, to) = if let Some((from, to)) = half.lost.pop_front() {
        // Acknowledged meanwhile, or not: a packet more does no harm.
        let end = to.min(from + most);
        if end < to {
            half.lost.push_front((end, to));
        }
        (from, end)
    } else {
        let limit = half.consumed.saturating_add(window);
        let from = half.next;
        let to = half.written().min(limit).min(from + most).max(from);
        half.next = to;
        (from, to)
    };
    frame.offset = from;
    frame.len = (to - from) as u16;
    if half.end_owed && to == half.written() {
        half.end_owed = false;
        frame.end = true;
    }
    (frame.len > 0 || frame.end).then_some(frame)
}
