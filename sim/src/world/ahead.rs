//! Bringing near what coming events will look at, in steps, because each says where
//! the next is: what the event carries, whom it concerns, that node, its tables, what these say of the play and of
//! the peer. A million nodes are on a million pages of memory, and a page takes longer to find than a line of it.
//!
//! Nothing here changes anything: see [`antiphon_swarm::memory`].

mod concerned;

pub(super) use concerned::Glimpses;

use antiphon_swarm::memory::{bring, bring_bytes, bring_whole};
use antiphon_swarm::node::input::{Message, TrackerEvent};
use antiphon_swarm::node::output::Source;
use antiphon_swarm::registry::Asked;
use antiphon_swarm::{Input, NodeCore, PeerKey, RenditionKey, SwarmRegistry, lot};

use crate::engine::queue::Stretch;
use crate::world::World;
use crate::world::ahead::concerned::{Glimpse, Needs};
use crate::world::happening::{Deferred, Happening};
use crate::world::online::Online;
use crate::world::seat::Seat;
use crate::world::transfers::{Stage, Transfer};

/// Spans on their way to a node that are brought near: mostly all. Guess.
const INCOMING: usize = 3;

/// Wishes of a message that are brought near: a play and what follows it.
const INTERESTS: usize = 2;

impl World {
    /// The next stretch of time begins.
    pub(super) fn look_ahead(&mut self) {
        let mut glimpses = core::mem::take(&mut self.glimpses);
        glimpses.forget(self.queue.slot());
        let [next, second, third, fourth, fifth] = self.queue.ahead();
        for (_, happening) in fifth.events {
            self.bring_carried(*happening);
        }
        self.for_each(&mut glimpses, fourth, |happening, glimpse| {
            self.bring_moved(happening);
            self.bring_contents(happening);
            glimpse.for_concerned(|node, needs| self.bring_rows(node, needs));
        });
        self.for_each(&mut glimpses, third, |happening, glimpse| {
            if glimpse.asks_tracker {
                self.for_tracker(happening, |registry, asked| registry.bring_pages(asked));
            }
            glimpse.for_concerned(|node, needs| self.bring_node(node, needs));
        });
        self.for_each(&mut glimpses, second, |happening, glimpse| {
            if glimpse.asks_tracker {
                self.for_tracker(happening, |registry, asked| registry.bring_places(asked));
            }
            glimpse.for_concerned(|node, needs| self.bring_tables(node, needs));
        });
        self.for_each(&mut glimpses, next, |happening, glimpse| {
            if glimpse.asks_tracker {
                self.for_tracker(happening, |registry, asked| registry.bring_holders(asked));
            }
            glimpse.for_concerned(|node, needs| self.bring_parts(node, needs));
            if glimpse.tells {
                self.bring_told(happening);
            }
        });
        self.glimpses = glimpses;
    }

    /// Calls `bring` with each event of a stretch, and whom it concerns.
    fn for_each(
        &self,
        glimpses: &mut Glimpses,
        stretch: Stretch<'_, Happening>,
        bring: impl Fn(Happening, Glimpse),
    ) {
        let known = glimpses.of(stretch.slot);
        for (at, (time, happening)) in stretch.events.iter().enumerate() {
            if at == known.len() {
                known.push(self.glimpse(*time, *happening));
            }
            bring(*happening, known[at]);
        }
    }

    fn bring_carried(&self, happening: Happening) {
        match happening {
            Happening::Deferred { slot } => bring(&self.deferred, slot as usize),
            Happening::Due { node } | Happening::Playhead { user: node, .. } => {
                bring(&self.seats, node as usize);
            }
            _ => {
                if let Some(transfer) = transfer_of(happening) {
                    self.transfers.bring(transfer);
                }
            }
        }
    }

    fn transfer(&self, happening: Happening) -> Option<&Transfer> {
        transfer_of(happening).and_then(|id| self.transfers.peek(id))
    }

    /// What a transfer moves.
    fn bring_moved(&self, happening: Happening) {
        let Some(transfer) = self.transfer(happening) else {
            return;
        };
        self.music.bring(transfer.track);
        if let Stage::Flowing(flow) = transfer.stage {
            self.network.bring_flow(flow);
        }
    }

    fn waiting(&self, happening: Happening) -> Option<&Deferred> {
        let Happening::Deferred { slot } = happening else {
            return None;
        };
        self.deferred.get(slot as usize)?.as_ref()
    }

    /// What a message or an answer says, where that is too long for its row.
    fn bring_contents(&self, happening: Happening) {
        match self.waiting(happening) {
            Some(Deferred::Announce { entries, .. }) => bring(entries, 0),
            Some(Deferred::Message { message, .. }) => match message {
                Message::Interest { renditions } => bring(renditions, 0),
                Message::Have { holdings } => bring(holdings, 0),
                _ => {}
            },
            Some(Deferred::Input {
                input: Input::Tracker(TrackerEvent::Holders { holders, .. }),
                ..
            }) => bring(holders, 0),
            _ => {}
        }
    }

    /// What the tracker is asked or told, if anything.
    fn for_tracker(&self, happening: Happening, bring: impl Fn(&SwarmRegistry, Asked)) {
        let (node, rendition, looks_up) = match self.waiting(happening) {
            Some(Deferred::Lookup {
                node, rendition, ..
            }) => (*node, Some(*rendition), true),
            Some(Deferred::Announce { node, entries, .. }) => {
                // Of many the registry brings the next near itself.
                (
                    *node,
                    entries.first().map(|(rendition, _)| *rendition),
                    false,
                )
            }
            _ => return,
        };
        if let Some(registry) = self.registries.get(self.overlay(node))
            && let Some(rendition) = rendition
        {
            let peer = PeerKey(node);
            bring(
                registry,
                Asked {
                    peer,
                    rendition,
                    looks_up,
                },
            );
        }
    }

    fn bring_rows(&self, node: u32, needs: Needs) {
        let node = node as usize;
        if let Some(seat) = self.seats.get(node) {
            seat.bring(needs);
        }
        if needs == Needs::Player {
            self.tally.bring_node(node);
        }
    }

    fn bring_node(&self, node: u32, needs: Needs) {
        if let Some(online) = self.node(node) {
            match needs {
                Needs::Line => bring(core::slice::from_ref(&online.incoming), 0),
                _ => online.bring(needs),
            }
        }
        match needs {
            Needs::Alone | Needs::Plans | Needs::Meets => {}
            Needs::Player | Needs::Arrival => self.seats[node as usize].shelf.bring_parts(),
            Needs::Peers | Needs::Ends => self.network.bring_link(self.person(node).up),
            Needs::Line => self.network.bring_link(self.person(node).down),
        }
    }

    fn bring_tables(&self, node: u32, needs: Needs) {
        if let Some(online) = self.node(node) {
            online.bring_tables(needs);
        }
        match needs {
            Needs::Alone | Needs::Plans | Needs::Meets => {}
            Needs::Player | Needs::Arrival => self.seats[node as usize].shelf.bring_chunks(),
            // Whose flows are counted when a span begins or ends.
            Needs::Peers | Needs::Ends => self.network.bring_flows(self.person(node).up),
            Needs::Line => self.network.bring_flows(self.person(node).down),
        }
    }

    /// What lies where the tables say.
    fn bring_parts(&self, node: u32, needs: Needs) {
        match needs {
            Needs::Alone | Needs::Meets => {}
            Needs::Plans | Needs::Player | Needs::Arrival => {
                if let Some(online) = self.node(node) {
                    online.bring_sources(needs);
                    // What has come of them is told first.
                    let incoming = online.incoming.iter().take(INCOMING);
                    incoming.for_each(|incoming| self.transfers.bring(incoming.transfer));
                }
            }
            Needs::Peers | Needs::Ends => self.network.bring_rates(self.person(node).up),
            Needs::Line => self.network.bring_rates(self.person(node).down),
        }
    }

    /// What a node knows of a peer that tells or asks it something, and of what it is asked for.
    fn bring_told(&self, happening: Happening) {
        match happening {
            Happening::Deferred { .. } => match self.waiting(happening) {
                Some(Deferred::Message { from, to, message }) => {
                    if let Some(online) = self.node(*to) {
                        online.bring_connection(*from);
                        online.core.bring_peer(PeerKey(*from));
                        if let Message::Interest { renditions } = message {
                            let renditions = renditions.iter().take(INTERESTS);
                            renditions.for_each(|key| online.core.bring_rendition(*key));
                        }
                    }
                }
                Some(Deferred::Input { node, input, .. }) => {
                    if let Input::UploadEnded { upload, .. } = input
                        && let Some(online) = self.node(*node)
                    {
                        online.core.bring_upload(*upload);
                    }
                }
                Some(Deferred::Dialed { from, to, .. }) => {
                    for (node, peer) in [(*from, *to), (*to, *from)] {
                        if let Some(online) = self.node(node) {
                            online.bring_connection(peer);
                            online.core.bring_for_newcomer(PeerKey(peer));
                        }
                    }
                }
                _ => {}
            },
            // Whom something comes to plans with it instead.
            Happening::Arrive { .. } => {}
            _ => {
                if let Some(transfer) = self.transfer(happening)
                    && let Source::Peer(PeerKey(holder)) = transfer.source
                    && let Some(online) = self.node(holder)
                {
                    online.bring_connection(transfer.to);
                    let peer = PeerKey(transfer.to);
                    if transfer.stage == Stage::Asked {
                        online.core.bring_asked(peer, RenditionKey(transfer.track));
                    } else {
                        online.core.bring_neighbor(peer);
                    }
                }
            }
        }
    }
}

const fn transfer_of(happening: Happening) -> Option<u32> {
    match happening {
        Happening::Asked { transfer, .. }
        | Happening::Step { transfer, .. }
        | Happening::Arrive { transfer, .. }
        | Happening::Canceled { transfer, .. } => Some(transfer),
        _ => None,
    }
}

impl Seat {
    fn bring(&self, needs: Needs) {
        match needs {
            Needs::Alone | Needs::Plans => bring(core::slice::from_ref(self), 0),
            Needs::Meets
            | Needs::Player
            | Needs::Arrival
            | Needs::Peers
            | Needs::Ends
            | Needs::Line => {
                let offset = core::mem::offset_of!(Self, person.uploads);
                bring_whole::<Self>(&self.person.uploads, offset);
            }
        }
    }
}

impl Online {
    /// Brings near what of it is looked at, but for its tables.
    fn bring(&self, needs: Needs) {
        let offset = core::mem::offset_of!(Self, is_program);
        let bytes = match needs {
            Needs::Plans | Needs::Player | Needs::Arrival => size_of::<Self>(),
            _ => core::mem::offset_of!(Self, core) + NodeCore::OFTEN_READ_BYTES,
        };
        bring_bytes(&self.is_program, offset, bytes);
    }

    fn bring_sources(&self, needs: Needs) {
        if needs == Needs::Arrival {
            return self.core.bring_arriving();
        }
        self.core.bring_play();
        for PeerKey(peer) in self.core.likely_sources() {
            self.bring_connection(peer);
        }
    }

    fn bring_connection(&self, peer: u32) {
        lot::bring_near(self.connections(), peer);
    }

    fn bring_tables(&self, needs: Needs) {
        match needs {
            Needs::Alone | Needs::Meets => {}
            Needs::Line => bring(&self.incoming, 0),
            Needs::Peers => {
                self.core.bring_for_peers();
                bring(&self.outgoing, 0);
            }
            Needs::Ends => {
                self.core.bring_for_end();
                bring(&self.outgoing, 0);
            }
            Needs::Plans | Needs::Player => {
                self.core.bring_plans();
                bring(&self.incoming, 0);
            }
            Needs::Arrival => {
                self.core.bring_for_arrival();
                bring(&self.incoming, 0);
            }
        }
    }
}
