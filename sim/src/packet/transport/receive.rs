//! Packets that are through: handshake, streams, acknowledgments, loss.

use crate::packet::transport::connection::{Connection, Fate, State};
use crate::packet::transport::packet::{Ack, Frame, Kind, Packet};
use crate::packet::transport::recovery::{ACK_DELAY_MAX, PACKET_THRESHOLD};
use crate::packet::transport::{ConnectionId, Event, Network, Side};

/// Ranges of packet numbers remembered, as quinn does.
const RANGES_KEPT: usize = 32;

impl Network {
    pub(super) fn arrived(&mut self, packet: Packet) {
        let (id, side) = (packet.id(), usize::from(packet.to));
        let bytes = u64::from(packet.bytes);
        self.traffic.under_way -= bytes;
        let host = self.look(id).map(|connection| connection.hosts[side]);
        let heard = host.is_some_and(|host| self.hosts[usize::from(host)].alive);
        let Some(host) = host.filter(|_| heard) else {
            self.traffic.lost += bytes;
            return;
        };
        self.traffic.received += bytes;
        let now = self.now;
        let accepts = self.hosts[usize::from(host)].accepts;
        let Some(connection) = self.get(id) else {
            return;
        };
        let end = &mut connection.ends[side];
        match end.state {
            State::Dead => {
                if connection.settings[side].resets && packet.kind != Kind::Close {
                    self.send_close(id, side);
                }
                return;
            }
            State::Closed => {
                if packet.kind != Kind::Close {
                    self.send_close(id, side);
                }
                return;
            }
            State::Idle if packet.kind != Kind::Hello || !accepts => return,
            State::Idle => {
                end.state = State::Connecting;
                (end.heard_at, end.idle_from) = (now, now);
            }
            State::Connecting | State::Open => {
                (end.heard_at, end.idle_from) = (now, now);
            }
        }
        match packet.kind {
            Kind::Hello => self.send_handshake(id, side, Kind::Answer),
            Kind::Answer => self.answered(id),
            Kind::Data => self.received(id, side, &packet),
            Kind::Close => {
                connection.ends[side].state = State::Closed;
                self.events
                    .push_back(Event::Closed(id, host, Some(packet.code)));
                self.free_if_over(id.slot);
                return;
            }
        }
        self.send(id, side);
    }

    /// The acceptor's first flight is there.
    fn answered(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.get(id) else {
            return;
        };
        let end = &mut connection.ends[0];
        if end.state == State::Connecting {
            end.trip.sample(now.saturating_sub(end.asked_at), 0);
            end.state = State::Open;
            end.probes = 0;
            // The handshake's last flight: without it the other side would wait for data.
            end.probe_owed = 1;
            self.told_open(id, 0);
        }
    }

    pub(super) fn told_open(&mut self, id: ConnectionId, side: Side) {
        if let Some(connection) = self.get(id)
            && !connection.ends[side].told
        {
            connection.ends[side].told = true;
            self.events.push_back(Event::Connected(id, side));
        }
    }

    fn received(&mut self, id: ConnectionId, side: Side, packet: &Packet) {
        let now = self.now;
        let Some(connection) = self.get(id) else {
            return;
        };
        let end = &mut connection.ends[side];
        if end.state == State::Connecting && side == 0 && !connection.early {
            // Sealed with keys that are not there yet.
            return;
        }
        if side == 1 && end.state == State::Connecting {
            end.state = State::Open;
            end.trip.sample(now.saturating_sub(end.asked_at).max(1), 0);
            self.told_open(id, 1);
        }
        let Some(connection) = self.get(id) else {
            return;
        };
        if packet.ack.count > 0 {
            acknowledged(connection, side, now, &packet.ack);
            let end = &mut connection.ends[side];
            let window = connection.settings[side].send_window;
            if end.blocked && end.buffered < window / 2 {
                end.blocked = false;
                self.events.push_back(Event::Writable(id, side));
            }
        }
        if !packet.asks {
            return;
        }
        let Some(connection) = self.get(id) else {
            return;
        };
        let end = &mut connection.ends[side];
        let next = end.received.highest().next().map_or(0, |range| range.1);
        if end.received.insert(packet.number, packet.number + 1) == 0 {
            // A replay. The keys of a number are used once.
            end.ack_owed = end.ack_owed.max(1);
            end.ack_at.get_or_insert(now + ACK_DELAY_MAX);
            return;
        }
        end.received.keep_highest(RANGES_KEPT);
        end.ack_owed = end.ack_owed.saturating_add(1);
        if packet.number != next {
            // Out of order: the sender is told at once.
            end.ack_owed = end.ack_owed.max(2);
        }
        end.ack_at.get_or_insert(now + ACK_DELAY_MAX);
        for frame in packet.frames.iter().take(usize::from(packet.count)) {
            let news = self
                .get(id)
                .is_some_and(|connection| take_frame(connection, side, frame));
            if news {
                let event = Event::Readable(id, side, frame.stream);
                self.events.push_back(event);
            }
        }
    }
}

/// Takes part of a stream in; whether there is something new to read.
fn take_frame(connection: &mut Connection, side: Side, frame: &Frame) -> bool {
    if frame.reset {
        drop_stream(connection, side, frame.stream);
        return true;
    }
    let Some(half) = connection.half(1 - side, frame.stream) else {
        return false;
    };
    if half.reset {
        return false;
    }
    let before = half.received.prefix();
    let to = frame.offset + u32::from(frame.len);
    half.received.insert(frame.offset, to);
    half.end_received |= frame.end;
    // The end counts once everything before it is there.
    let was_ended = half.ended;
    half.ended |= half.end_received && half.received.prefix() == half.written();
    half.received.prefix() > before || half.ended && !was_ended
}

/// Neither way of a stream is wanted any more.
pub(super) fn drop_stream(connection: &mut Connection, side: Side, stream: u16) {
    for way in [side, 1 - side] {
        let Some(half) = connection.half(way, stream) else {
            continue;
        };
        let waiting = u64::from(half.written() - half.acked_bytes);
        half.drop_data();
        half.reset = true;
        let end = &mut connection.ends[way];
        end.buffered = end.buffered.saturating_sub(waiting);
    }
}

fn acknowledged(connection: &mut Connection, side: Side, now: u64, ack: &Ack) {
    let Some((_, highest)) = ack.ranges.first().filter(|_| ack.count > 0) else {
        return;
    };
    let (mut newly, mut trip, mut sent_last) = (0_u64, None, 0);
    for (from, to) in ack.ranges.iter().take(usize::from(ack.count)) {
        let end = &connection.ends[side];
        let from = (*from).max(end.first);
        let to = (*to).min(end.next_number);
        for number in from..to {
            let end = &mut connection.ends[side];
            let at = (number - end.first) as usize;
            let Some(sent) = end.sent.get_mut(at) else {
                continue;
            };
            if sent.fate == Fate::Acknowledged {
                continue;
            }
            if sent.fate == Fate::Outstanding {
                end.in_flight -= u64::from(sent.bytes);
                newly += u64::from(sent.bytes);
                sent_last = sent_last.max(sent.at);
            }
            sent.fate = Fate::Acknowledged;
            if number + 1 == *highest {
                trip = Some(now.saturating_sub(sent.at));
            }
            let sent = *sent;
            for frame in sent.frames.iter().take(usize::from(sent.count)) {
                frame_acknowledged(connection, side, frame);
            }
        }
    }
    let end = &mut connection.ends[side];
    if let Some(trip) = trip {
        end.trip.sample(trip.max(1), u64::from(ack.delay) * 8);
    }
    end.largest_acked = end.largest_acked.max(Some(highest.saturating_sub(1)));
    if newly > 0 {
        end.probes = 0;
        if !end.limited_by_app {
            end.window
                .acknowledged(now, sent_last, newly, end.trip.smoothed);
        }
    }
    detect_losses(connection, side, now);
}

fn frame_acknowledged(connection: &mut Connection, side: Side, frame: &Frame) {
    let Some(half) = connection.half(side, frame.stream) else {
        return;
    };
    let new = half
        .acked
        .insert(frame.offset, frame.offset + u32::from(frame.len));
    half.acked_bytes += new;
    half.trim();
    let end = &mut connection.ends[side];
    end.buffered = end.buffered.saturating_sub(u64::from(new));
}

/// Declares packets lost that later ones have overtaken, and puts their streams in turn again.
pub(super) fn detect_losses(connection: &mut Connection, side: Side, now: u64) {
    let end = &mut connection.ends[side];
    end.loss_at = None;
    let Some(largest) = end.largest_acked else {
        return;
    };
    let delay = end.trip.loss_delay();
    let until = (largest.saturating_sub(end.first) as usize).min(end.sent.len());
    let mut lost = Vec::new();
    for at in 0..until {
        let number = end.first + at as u32;
        let Some(sent) = end.sent.get_mut(at) else {
            break;
        };
        if sent.fate != Fate::Outstanding {
            continue;
        }
        if largest - number >= PACKET_THRESHOLD || sent.at + delay <= now {
            sent.fate = Fate::Lost;
            end.in_flight -= u64::from(sent.bytes);
            lost.push(*sent);
        } else {
            let at = sent.at + delay;
            end.loss_at = Some(end.loss_at.map_or(at, |known| known.min(at)));
        }
    }
    if let (Some(first), Some(last)) = (lost.first(), lost.last()) {
        // RFC 9002, persistent congestion.
        let (first, last) = (first.at, last.at);
        end.window.lost(now, last);
        if last - first > 3 * end.trip.probe_timeout() {
            end.window.collapse(now);
        }
    }
    while end
        .sent
        .front()
        .is_some_and(|sent| sent.fate != Fate::Outstanding)
    {
        end.sent.pop_front();
        end.first += 1;
    }
    for sent in lost {
        for frame in sent.frames.iter().take(usize::from(sent.count)) {
            frame_lost(connection, side, frame);
        }
    }
}

pub(super) fn frame_lost(connection: &mut Connection, side: Side, frame: &Frame) {
    let Some(half) = connection.half(side, frame.stream) else {
        return;
    };
    if frame.reset {
        half.reset_owed = true;
    } else if !half.reset {
        let (from, to) = (frame.offset, frame.offset + u32::from(frame.len));
        if frame.len > 0 && !half.acked.contains(from, to) {
            half.lost.push_back((from, to));
        }
        half.end_owed |= frame.end;
    }
    connection.activate(side, frame.stream);
}
