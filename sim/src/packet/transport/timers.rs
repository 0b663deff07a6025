//! What an end waits for: loss, probes, delayed acknowledgments, pacing, silence.

use crate::packet::transport::connection::{Connection, State};
use crate::packet::transport::packet::Kind;
use crate::packet::transport::receive::{detect_losses, frame_lost};
use crate::packet::transport::{ConnectionId, Event, NEVER, Network, Side, Wire};

/// Probe timeouts double no further than this.
const PROBE_DOUBLINGS_MAX: u32 = 10;

impl Network {
    /// A wake-up that is queued early enough serves; it looks again when it comes.
    pub(super) fn plan_timer(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        let Some(connection) = self.get(id) else {
            return;
        };
        let due = next_due(connection, side).max(now + 1);
        let end = &mut connection.ends[side];
        end.due = due;
        if due < end.queued {
            end.queued = due;
            let timer = Wire::Timer {
                connection: id,
                side: side as u8,
            };
            self.scheduled.push((due, timer));
        }
    }

    pub(super) fn on_timer(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        let Some(connection) = self.get(id) else {
            return;
        };
        let end = &mut connection.ends[side];
        if end.queued > now {
            return;
        }
        end.queued = NEVER;
        if !end.is_alive() {
            return;
        }
        if end.due > now {
            return self.plan_timer(id, side);
        }
        let (idle, host) = (connection.settings[side].idle, connection.hosts[side]);
        let end = &mut connection.ends[side];
        if end.idle_from + idle <= now {
            end.state = State::Closed;
            self.events.push_back(Event::Closed(id, host, None));
            self.free_if_over(id.slot);
            return;
        }
        if end.state == State::Connecting {
            let kind = if side == 0 { Kind::Hello } else { Kind::Answer };
            if end.asked_at + probe_after(connection, side) <= now {
                connection.ends[side].probes += 1;
                self.send_handshake(id, side, kind);
            }
        }
        let Some(connection) = self.get(id) else {
            return;
        };
        if connection.ends[side].loss_at.is_some_and(|at| at <= now) {
            detect_losses(connection, side, now);
        }
        let end = &connection.ends[side];
        if end.in_flight > 0 && end.asked_at + probe_after(connection, side) <= now {
            probe(connection, side);
        }
        let keep_alive = connection.settings[side].keep_alive;
        let end = &mut connection.ends[side];
        let silent = end.heard_at.max(end.asked_at) + keep_alive <= now;
        if keep_alive > 0 && silent && end.state == State::Open {
            end.probe_owed = end.probe_owed.max(1);
        }
        self.send(id, side);
    }
}

fn probe_after(connection: &Connection, side: Side) -> u64 {
    let end = &connection.ends[side];
    end.trip.probe_timeout() << end.probes.min(PROBE_DOUBLINGS_MAX)
}

/// Nothing was acknowledged for too long: the oldest data goes out again, whatever the window.
fn probe(connection: &mut Connection, side: Side) {
    let end = &mut connection.ends[side];
    end.probes += 1;
    end.probe_owed = if end.probes == 1 { 1 } else { 2 };
    let oldest = end
        .sent
        .iter()
        .find(|sent| sent.fate == super::connection::Fate::Outstanding)
        .copied();
    if let Some(sent) = oldest {
        for frame in sent.frames.iter().take(usize::from(sent.count)) {
            frame_lost(connection, side, frame);
        }
    }
}

fn next_due(connection: &Connection, side: Side) -> u64 {
    let end = &connection.ends[side];
    if !end.is_alive() {
        return NEVER;
    }
    let settings = &connection.settings[side];
    let mut due = end.idle_from + settings.idle;
    if end.in_flight > 0 || end.state == State::Connecting {
        due = due.min(end.asked_at + probe_after(connection, side));
    }
    if settings.keep_alive > 0 && end.state == State::Open {
        due = due.min(end.heard_at.max(end.asked_at) + settings.keep_alive);
    }
    for at in [end.loss_at, end.ack_at, end.pace_at].into_iter().flatten() {
        due = due.min(at);
    }
    due
}
