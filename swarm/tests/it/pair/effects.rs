//! What becomes of the cores' outputs in the test world.

use super::*;

impl World {
    pub(super) fn carry_out(&mut self, node: usize, output: Output) {
        let now = self.now;
        match output {
            Output::Send { peer, message } => {
                let to = peer.0 as usize;
                if self.nodes[node].connected.contains(&to) {
                    let delay = self.one_way(Source::Peer(peer), node);
                    self.at(now + delay, Happening::Message(node, to, message));
                }
            }
            Output::Dial { peer } => {
                let to = peer.0 as usize;
                // Two round trips: path and ticket.
                let delay = self.rtt(node, to).saturating_mul(2);
                self.at(now + delay, Happening::Dialed(node, to));
            }
            Output::Close { peer, .. } => self.disconnect(node, peer.0 as usize),
            Output::Fetch {
                fetch,
                source,
                rendition,
                span,
                priority,
                ..
            } => {
                let transfer = Transfer {
                    to: node,
                    fetch,
                    source,
                    rendition,
                    span,
                    upload: None,
                    sent: 0,
                    arrived: 0,
                    over: false,
                    priority,
                };
                let delay = self.one_way(source, node);
                self.at(now + delay, Happening::Asked(transfer));
            }
            Output::Cancel { fetch } => {
                let mine = |t: &&mut Transfer| t.to == node && t.fetch == fetch;
                if let Some(transfer) = self.transfers.values_mut().find(mine) {
                    transfer.over = true;
                }
            }
            Output::AcceptUpload { upload } => self.accept(node, upload),
            Output::DeclineUpload {
                upload,
                code,
                retry_after,
            } => {
                self.answer(node, upload, FetchEvent::Declined { code, retry_after });
            }
            Output::EndUpload { upload, .. } => {
                self.answer(node, upload, FetchEvent::Failed);
                let sent = ByteCount::ZERO;
                let ended = Input::UploadEnded {
                    upload,
                    sent,
                    complete: false,
                };
                self.at(now, Happening::Input(node, ended));
            }
            Output::Lookup { rendition, limit } => {
                let at = now + self.tracker_latency;
                self.at(at, Happening::Lookup(node, rendition, limit));
            }
            Output::Announce { entries } => {
                let at = now + self.tracker_latency;
                self.at(at, Happening::Announce(node, entries));
            }
            Output::AskPlacements { limit } => {
                let at = now + self.tracker_latency;
                self.at(at, Happening::Placement(node, limit));
            }
            Output::Keep { rendition, keep } => {
                self.nodes[node].keeps.insert(rendition, keep);
            }
            Output::Evict { rendition } => {
                let empty = ChunkSet::empty(self.specs[&rendition].geometry);
                self.nodes[node].held.insert(rendition, empty);
                let event = StoreEvent::Evicted { rendition };
                self.at(now, Happening::Input(node, Input::Store(event)));
            }
            Output::Event(event) => self.note(node, event),
        }
    }

    pub(super) fn note(&mut self, node: usize, event: Event) {
        if let Event::Received { source, bytes, .. } = event {
            *self.nodes[node].bytes.entry(source).or_default() += bytes.0;
        } else {
            self.nodes[node].events.push(event);
        }
    }

    pub(super) fn disconnect(&mut self, a: usize, b: usize) {
        self.nodes[a].connected.remove(&b);
        if self.nodes[b].connected.remove(&a) {
            let event = NeighborEvent::Disconnected {
                code: Some(ErrorCode::PRUNED),
            };
            let peer = PeerKey(a as u32);
            self.at(
                self.now,
                Happening::Input(b, Input::Neighbor { peer, event }),
            );
        }
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Input(node, input) => self.input(node, input),
            Happening::Due(node) => {
                if self.nodes[node].due == Some(self.now) {
                    self.nodes[node].due = None;
                    self.input(node, Input::Timeout);
                }
            }
            Happening::Message(from, to, message) => {
                if self.nodes[to].connected.contains(&from) {
                    let peer = PeerKey(from as u32);
                    let message = named_for(message, from, to);
                    self.input(to, Input::Message { peer, message });
                }
            }
            Happening::Dialed(from, to) => {
                if self.nodes[to].manner == Manner::Offline {
                    let event = NeighborEvent::DialFailed;
                    self.input(
                        from,
                        Input::Neighbor {
                            peer: PeerKey(to as u32),
                            event,
                        },
                    );
                } else if !self.nodes[from].connected.contains(&to) {
                    self.connect(from, to);
                }
            }
            Happening::Asked(transfer) => self.asked(transfer),
            Happening::Step(id) => self.step(id),
            Happening::Arrived(id) => self.arrived(id),
            Happening::Lookup(node, rendition, limit) => self.look_up(node, rendition, limit),
            Happening::Announce(node, entries) => self.announced(node, entries),
            Happening::Placement(node, limit) => self.offer(node, limit),
            Happening::Tick(node, generation) => self.tick(node, generation),
        }
    }

    fn offer(&mut self, node: usize, limit: u8) {
        let (now, asker) = (self.now, PeerKey(node as u32));
        for rendition in self.registry.offer(now, asker, limit.into()) {
            let picks = self.registry.holders(now, asker, rendition, 10);
            let holders = picks.iter().map(|p| (p.peer, p.held == Held::Full));
            let holders = holders.collect();
            self.introduce(node, rendition);
            let told = TrackerEvent::Holders { rendition, holders };
            self.input(node, Input::Tracker(told));
            self.command(node, Command::Place { rendition });
        }
    }

    pub(super) fn look_up(&mut self, node: usize, rendition: RenditionKey, limit: u8) {
        let event = if self.tracker_up {
            let (now, asker) = (self.now, PeerKey(node as u32));
            let picks = self.registry.lookup(now, asker, rendition, limit.into());
            let holders = picks
                .into_iter()
                .map(|p| (p.peer, p.held == Held::Full))
                .collect();
            TrackerEvent::Holders { rendition, holders }
        } else {
            TrackerEvent::Unreachable
        };
        let at = self.now + self.tracker_latency;
        self.at(at, Happening::Input(node, Input::Tracker(event)));
    }

    pub(super) fn announced(&mut self, node: usize, entries: Vec<(RenditionKey, Extent)>) {
        let event = if self.tracker_up {
            self.registry.renew(self.now, PeerKey(node as u32));
            for (rendition, extent) in entries {
                let held = Held::of(&extent);
                self.registry
                    .announce(self.now, PeerKey(node as u32), rendition, held);
            }
            TrackerEvent::Announced {
                again_after: self.registry.announce_interval(),
            }
        } else {
            TrackerEvent::Unreachable
        };
        let at = self.now + self.tracker_latency;
        self.at(at, Happening::Input(node, Input::Tracker(event)));
    }
}
