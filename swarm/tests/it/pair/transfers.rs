//! How spans travel in the test world, and what players do with them.

use super::*;

impl World {
    pub(super) fn asked(&mut self, mut transfer: Transfer) {
        self.next_upload += 1;
        let id = self.next_upload;
        transfer.upload = Some(UploadId(id));
        let (source, to) = (transfer.source, transfer.to);
        let (rendition, span, priority) = (transfer.rendition, transfer.span, transfer.priority);
        self.transfers.insert(id, transfer);
        match source {
            Source::Origin(route) => {
                let state = if route == OriginRoute::Quic {
                    self.quic
                } else {
                    self.http
                };
                match state {
                    Route::Up => self.begin(id),
                    Route::Refusing => self.tell_fetch(id, FetchEvent::Failed),
                    Route::Silent => {}
                }
            }
            Source::Peer(peer) => {
                let peer = peer.0 as usize;
                match self.nodes[peer].manner {
                    Manner::Honest | Manner::Corrupt => {
                        if self.nodes[peer].connected.contains(&to) {
                            let asked = Input::SpanAsked {
                                upload: UploadId(id),
                                peer: PeerKey(to as u32),
                                rendition,
                                span,
                                priority,
                                deadline: Duration::from_secs(1),
                            };
                            self.input(peer, asked);
                        }
                    }
                    Manner::Silent => self.tell_fetch_only(id, FetchEvent::Accepted),
                    Manner::Liar => {
                        let (code, retry_after) = (ErrorCode::NOT_HELD, Duration::ZERO);
                        self.tell_fetch(id, FetchEvent::Declined { code, retry_after });
                    }
                    Manner::Busy => {
                        let (code, retry_after) = (ErrorCode::BUSY, Duration::ZERO);
                        self.tell_fetch(id, FetchEvent::Declined { code, retry_after });
                    }
                    Manner::Offline => {}
                }
            }
        }
    }

    pub(super) fn accept(&mut self, node: usize, upload: UploadId) {
        if self.nodes[node].manner == Manner::Corrupt {
            self.answer(node, upload, FetchEvent::Corrupt);
            let ended = Input::UploadEnded {
                upload,
                sent: ByteCount(0),
                complete: false,
            };
            self.at(self.now, Happening::Input(node, ended));
        } else {
            self.tell_fetch_only(upload.0, FetchEvent::Accepted);
            self.begin(upload.0);
        }
    }

    pub(super) fn answer(&mut self, _node: usize, upload: UploadId, event: FetchEvent) {
        self.tell_fetch(upload.0, event);
    }

    /// The last news of a fetch.
    pub(super) fn tell_fetch(&mut self, id: u64, event: FetchEvent) {
        self.tell_fetch_only(id, event);
        if let Some(transfer) = self.transfers.get_mut(&id) {
            transfer.over = true;
        }
    }

    pub(super) fn tell_fetch_only(&mut self, id: u64, event: FetchEvent) {
        let Some(transfer) = self.transfers.get(&id).filter(|t| !t.over) else {
            return;
        };
        let (to, fetch, source) = (transfer.to, transfer.fetch, transfer.source);
        let at = self.now + self.one_way(source, to);
        self.at(at, Happening::Input(to, Input::Fetch { fetch, event }));
    }

    pub(super) fn begin(&mut self, id: u64) {
        self.at(self.now, Happening::Step(id));
    }

    /// Puts the next chunk of a transfer on its link.
    pub(super) fn step(&mut self, id: u64) {
        let now = self.now;
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        let count = transfer.span.count();
        let left = transfer.sent;
        if transfer.over || left >= count {
            let sent = ByteCount(u64::from(left) * CHUNK_BYTES);
            let ended = Input::UploadEnded {
                upload: UploadId(id),
                sent,
                complete: left >= count,
            };
            if let Source::Peer(peer) = transfer.source {
                let peer = peer.0 as usize;
                self.nodes[peer].uploaded += sent.0;
                self.input(peer, ended);
            }
            return;
        }
        let chunk = ChunkIndex(transfer.span.first().0 + transfer.sent);
        transfer.sent += 1;
        let (source, to) = (transfer.source, transfer.to);
        let bytes = self.specs[&transfer.rendition].geometry.chunk_bytes(chunk) as u64;
        let left = match source {
            Source::Peer(peer) => self.nodes[peer.0 as usize].uplink.send(now, bytes),
            Source::Origin(_) => self.origin.send(now, bytes),
        };
        let latency = self.one_way(source, to);
        self.at(left + latency, Happening::Arrived(id));
        self.at(left, Happening::Step(id));
    }

    pub(super) fn arrived(&mut self, id: u64) {
        let Some(transfer) = self.transfers.get_mut(&id).filter(|t| !t.over) else {
            return;
        };
        transfer.arrived += 1;
        let (to, fetch, rendition) = (transfer.to, transfer.fetch, transfer.rendition);
        let chunk = ChunkIndex(transfer.span.first().0 + transfer.arrived - 1);
        let done = transfer.arrived == transfer.span.count();
        transfer.over = done;
        if let Some(held) = self.nodes[to].held.get_mut(&rendition) {
            held.insert(chunk);
        }
        let until = ChunkIndex(chunk.0 + 1);
        let event = if done {
            FetchEvent::Done
        } else {
            FetchEvent::Verified { until }
        };
        self.input(to, Input::Fetch { fetch, event });
        self.resume(to);
    }

    /// Lets a waiting player go on if what it waits for is there.
    pub(super) fn resume(&mut self, node: usize) {
        let now = self.now;
        let Some(player) = self.nodes[node].player.as_ref().filter(|p| p.waiting) else {
            return;
        };
        let held = &self.nodes[node].held[&player.rendition];
        if !held.contains(ChunkIndex(player.chunk)) {
            return;
        }
        let (chunk, generation) = (ChunkIndex(player.chunk), player.generation);
        let rate = self.specs[&player.rendition].bit_rate;
        let mut silent = false;
        if let Some(player) = &mut self.nodes[node].player {
            player.waiting = false;
            silent = !core::mem::replace(&mut player.sounds, true);
        }
        if let Some(heard) = self.nodes[node].plays.last_mut() {
            heard.started.get_or_insert(now);
        }
        if silent || self.reports {
            let playing = true;
            self.command(node, Command::Playhead { chunk, playing });
        }
        let micros = rate.time_of(ByteCount(CHUNK_BYTES)).0;
        self.at(
            now + Duration::from_micros(micros),
            Happening::Tick(node, generation),
        );
    }

    /// The player has played a chunk.
    pub(super) fn tick(&mut self, node: usize, generation: u64) {
        let Some(player) = &mut self.nodes[node].player else {
            return;
        };
        if player.generation != generation {
            return;
        }
        player.chunk += 1;
        player.waiting = true;
        let (chunk, rendition) = (player.chunk, player.rendition);
        if chunk >= self.specs[&rendition].geometry.chunk_count() {
            self.nodes[node].player = None;
            if let Some(heard) = self.nodes[node].plays.last_mut() {
                heard.ended = true;
            }
            return;
        }
        self.resume(node);
        let waits = self.nodes[node]
            .player
            .as_ref()
            .is_some_and(|player| player.waiting);
        if waits && let Some(heard) = self.nodes[node].plays.last_mut() {
            heard.stalls += 1;
        }
        if waits && let Some(player) = &mut self.nodes[node].player {
            player.sounds = false;
        }
    }
}
