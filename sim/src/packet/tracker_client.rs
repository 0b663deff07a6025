//! A node's client of the tracker. Follows `node/src/tracker_client/` and what
//! `node/src/driver/tracker_link.rs` makes of its answers.

use std::collections::BTreeMap;

use antiphon_protocol::tracker::{AccessToken, Holder, TrackerReply, TrackerRequest};
use antiphon_protocol::{Millis, Rung};
use antiphon_swarm::node::input::TrackerEvent;
use antiphon_swarm::{Duration, Input, RenditionKey};

use crate::packet::frames;
use crate::packet::happening::Task;
use crate::packet::harness::{Harness, Tag};
use crate::packet::node::{contact, node_id};
use crate::packet::oracle::Broken;
use crate::packet::profile::Chance;
use crate::packet::transport::{ConnectionId, Settings};

/// The client's constants.
const CONNECT_MICROS: u64 = 2_000_000;
const REQUEST_MICROS: u64 = 3_000_000;
const BACKOFF_FIRST: u64 = 250_000;
const BACKOFF_LONGEST: u64 = 30_000_000;
const LINK: Settings = Settings {
    window: 12_000,
    trip: 100_000,
    send_window: 1 << 20,
    stream_window: 512 * 1024,
    idle: 15_000_000,
    keep_alive: 5_000_000,
    resets: false,
};

/// What a request was for.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    Attach,
    /// Of a track, for a play with this number; whether holders come with it.
    Open(usize, u32, bool),
    Lookup(RenditionKey),
    Announce(Vec<RenditionKey>),
    Placements,
    Leave,
}

/// A node's link to the tracker.
#[derive(Debug, Default)]
pub(crate) struct TrackerClient {
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) up: bool,
    failures: u32,
    pending: BTreeMap<u16, Pending>,
    /// Waits before it attaches again.
    waiting: bool,
}

impl Harness {
    /// Connects to the tracker.
    pub(crate) fn attach(&mut self, node: u16) {
        let host = self.tracker.host;
        let client = &mut self.nodes[usize::from(node)].tracker;
        client.waiting = false;
        if client.connection.is_some() {
            return;
        }
        let id = self
            .network
            .open(node, host, [LINK; 2], false, Tag::Tracker as u8);
        client.connection = Some(id);
        self.later(node, CONNECT_MICROS, Task::AttachBy(id));
    }

    pub(crate) fn attach_by(&mut self, node: u16, id: ConnectionId) {
        let client = &self.nodes[usize::from(node)].tracker;
        if client.connection == Some(id) && !client.up {
            self.network.close(id, 0, 0);
            self.tracker_closed(node, id);
        }
    }

    pub(crate) fn tracker_connected(&mut self, node: u16, _id: ConnectionId) {
        // Nothing here is bound to a connection, so there is nothing to sign.
        let unsigned = ([0; 32], [0; 32]);
        let request = TrackerRequest::AttachNode {
            token: AccessToken([1; 32]),
            proof: unsigned,
            node: node_id(node),
            node_proof: unsigned,
            addresses: contact(node).addresses,
        };
        self.ask_tracker(node, &request, Pending::Attach);
    }

    /// False if there is no connection to ask on.
    pub(crate) fn ask_tracker(
        &mut self,
        node: u16,
        request: &TrackerRequest,
        what: Pending,
    ) -> bool {
        let client = &mut self.nodes[usize::from(node)].tracker;
        let ready = client.up || matches!(what, Pending::Attach);
        let Some(id) = client.connection.filter(|_| ready) else {
            self.request_failed(node, what);
            return false;
        };
        let stream = self.network.open_stream(id);
        frames::put(&mut self.network, id, 0, stream, request);
        self.network.finish(id, 0, stream);
        client.pending.insert(stream, what);
        self.later(node, REQUEST_MICROS, Task::TrackerBy(id, stream));
        true
    }

    pub(crate) fn tracker_by(&mut self, node: u16, id: ConnectionId, stream: u16) {
        let client = &mut self.nodes[usize::from(node)].tracker;
        if client.connection != Some(id) {
            return;
        }
        if let Some(what) = client.pending.remove(&stream) {
            self.network.reset(id, 0, stream);
            self.request_failed(node, what);
        }
    }

    fn request_failed(&mut self, node: u16, what: Pending) {
        match what {
            Pending::Attach | Pending::Placements | Pending::Leave => {}
            Pending::Open(track, play, _) => self.opened(node, track, play, false),
            Pending::Lookup(_) | Pending::Announce(_) => {
                self.tell(node, Input::Tracker(TrackerEvent::Unreachable));
            }
        }
    }

    pub(crate) fn tracker_closed(&mut self, node: u16, id: ConnectionId) {
        let client = &mut self.nodes[usize::from(node)].tracker;
        if client.connection != Some(id) {
            return;
        }
        (client.connection, client.up) = (None, false);
        client.failures += 1;
        let doubled = (BACKOFF_FIRST << client.failures.min(16)).min(BACKOFF_LONGEST) / 2;
        let failed = core::mem::take(&mut client.pending);
        client.waiting = true;
        let entity = u64::from(node) << 32 | u64::from(client.failures);
        let wait = doubled + self.draws(Chance::Backoff, entity).below(doubled);
        for what in failed.into_values() {
            self.request_failed(node, what);
        }
        self.tell(node, Input::Tracker(TrackerEvent::Unreachable));
        self.later(node, wait, Task::Attach);
    }

    pub(crate) fn tracker_readable(&mut self, node: u16, id: ConnectionId, stream: u16) {
        let reply = frames::take::<TrackerReply>(&mut self.network, id, 0, stream);
        let reply = match reply {
            Ok(None) => return,
            Ok(Some((reply, _))) => reply,
            Err(error) => {
                let text = format!("the tracker's reply cannot be read: {error}");
                return self.break_with(Broken::correctness(self.now, text));
            }
        };
        let rtt = Duration::from_micros(self.network.round_trip(id, 0));
        let client = &mut self.nodes[usize::from(node)].tracker;
        let Some(what) = client.pending.remove(&stream) else {
            return;
        };
        match (what, reply) {
            (Pending::Attach, TrackerReply::Attached(attached)) => {
                (client.up, client.failures) = (true, 0);
                let entry = &mut self.nodes[usize::from(node)];
                entry.ticket = Some(attached.passes.ticket);
                let contact = entry.contact();
                entry.directory.set_ourselves(contact);
                self.tell(node, Input::Tracker(TrackerEvent::Rtt(rtt)));
                self.tell(node, Input::Tracker(TrackerEvent::Reachable));
            }
            (Pending::Open(track, play, names_holders), TrackerReply::Opened(opened)) => {
                self.tell(node, Input::Tracker(TrackerEvent::Rtt(rtt)));
                self.take_opened(node, (track, play), *opened, names_holders);
            }
            (Pending::Lookup(rendition), TrackerReply::Holders { swarm, holders }) => {
                let directory = &mut self.nodes[usize::from(node)].directory;
                directory.name_swarm(rendition, swarm);
                self.tell_holders(node, rendition, holders);
            }
            (
                Pending::Announce(renditions),
                TrackerReply::Announced {
                    swarms,
                    again_after,
                },
            ) => {
                let directory = &mut self.nodes[usize::from(node)].directory;
                for (rendition, swarm) in renditions.into_iter().zip(swarms) {
                    if let Some(swarm) = swarm {
                        directory.name_swarm(rendition, swarm);
                    }
                }
                self.tell_announced(node, again_after, false);
            }
            (
                Pending::Announce(_),
                TrackerReply::Renewed {
                    everything,
                    again_after,
                },
            ) => self.tell_announced(node, again_after, everything),
            (Pending::Placements, TrackerReply::Placements { placements }) => {
                self.take_placements(node, placements);
            }
            (Pending::Leave, TrackerReply::Left) => {}
            (what, TrackerReply::Refused { .. }) => self.request_failed(node, what),
            (what, reply) => {
                let text = format!("the tracker answers {what:?} with {reply:?}");
                self.break_with(Broken::correctness(self.now, text));
            }
        }
    }

    fn tell_announced(&mut self, node: u16, again_after: Millis, everything: bool) {
        let again_after = Duration::from_millis(u64::from(again_after.clamped().0));
        let announced = TrackerEvent::Announced { again_after };
        self.tell(node, Input::Tracker(announced));
        if everything {
            self.tell(node, Input::Tracker(TrackerEvent::AnnounceAll));
        }
    }

    pub(crate) fn tell_holders(&mut self, node: u16, key: RenditionKey, holders: Vec<Holder>) {
        let directory = &mut self.nodes[usize::from(node)].directory;
        let holders = holders.into_iter().filter_map(|holder| {
            let peer = directory.intern_contact(holder.contact)?;
            Some((peer, holder.full))
        });
        let holders = holders.collect();
        let event = TrackerEvent::Holders {
            rendition: key,
            holders,
        };
        self.tell(node, Input::Tracker(event));
    }

    /// Asks for everything needed to play a track.
    pub(crate) fn open_track(&mut self, node: u16, track: usize, play: u32) {
        let kept = self.nodes[usize::from(node)].disk.get(track);
        let held = kept.is_some_and(|kept| kept.held.is_full());
        let (id, rung) = (self.music.tracks[track].id, Rung::Standard);
        let request = if held {
            TrackerRequest::OpenHeld { track: id, rung }
        } else {
            TrackerRequest::Open { track: id, rung }
        };
        self.ask_tracker(node, &request, Pending::Open(track, play, !held));
    }
}
