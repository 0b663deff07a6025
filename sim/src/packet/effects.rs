//! What cores decide, carried out. Never feeds a core: what follows comes by the inbox.

use antiphon_protocol::peer::{Extent, SpanRequest};
use antiphon_protocol::tracker::{AnnounceEntry, TrackerRequest};
use antiphon_protocol::{ChunkIndex, Millis, Span};
use antiphon_swarm::node::input::{FetchEvent, StoreEvent};
use antiphon_swarm::node::output::{Event, Source};
use antiphon_swarm::{Duration, Input, Output, RenditionKey};

use crate::packet::disk::Read;
use crate::packet::harness::Harness;
use crate::packet::oracle::Broken;
use crate::packet::profile::Chance;
use crate::packet::tracker_client::Pending;

impl Harness {
    pub(crate) fn carry_out(&mut self, node: u16, output: Output) {
        match output {
            Output::Send { peer, message } => {
                let directory = &self.nodes[usize::from(node)].directory;
                if let Some(message) = directory.write_message(message) {
                    self.send_control(node, peer, &message);
                }
            }
            Output::Dial { peer } => self.dial(node, peer),
            Output::Close { peer, code } => self.close_neighbor(node, peer, code),
            Output::Fetch { .. } => self.fetch(node, output),
            Output::Cancel { fetch } => {
                self.cancel_peer_fetch(node, fetch);
                self.cancel_origin_fetch(node, fetch);
            }
            Output::AcceptUpload { upload } => self.accept(node, upload),
            Output::DeclineUpload {
                upload,
                code,
                retry_after,
            } => self.decline(node, upload, code, millis(retry_after)),
            Output::EndUpload { upload, .. } => self.end_upload(node, upload),
            Output::Lookup { rendition, limit } => self.look_up(node, rendition, limit),
            Output::Announce { entries } => self.announce(node, entries),
            Output::AskPlacements { limit } => self.ask_placements(node, limit),
            Output::Keep { rendition, keep } => {
                if let Some(track) = self.track_of(node, rendition) {
                    self.nodes[usize::from(node)].disk.set_keep(track, keep);
                }
            }
            Output::Evict { rendition } => self.evict(node, rendition),
            Output::Event(event) => self.core_event(node, event),
        }
    }

    /// The number of the track behind a node's key.
    pub(crate) fn track_of(&self, node: u16, rendition: RenditionKey) -> Option<usize> {
        let directory = &self.nodes[usize::from(node)].directory;
        let content = directory.content(rendition)?;
        self.music.by_content(content)
    }

    fn fetch(&mut self, node: u16, output: Output) {
        let Output::Fetch {
            fetch,
            source,
            rendition,
            span,
            priority,
            deadline,
        } = output
        else {
            return;
        };
        let failed = Input::Fetch {
            fetch,
            event: FetchEvent::Failed,
        };
        let Some(track) = self.track_of(node, rendition) else {
            return self.tell(node, failed);
        };
        match source {
            Source::Origin(route) => {
                self.fetch_from_origin(node, fetch, route, (track, span), deadline);
            }
            Source::Peer(peer) => {
                let swarm = self.nodes[usize::from(node)].directory.swarm(rendition);
                let Some((swarm, connection)) = swarm.zip(self.neighbor(node, peer)) else {
                    return self.tell(node, failed);
                };
                let deadline = millis(deadline);
                let request = SpanRequest {
                    swarm,
                    span,
                    priority,
                    deadline,
                };
                self.fetch_from_peer(node, (fetch, track), connection, request);
            }
        }
    }

    fn look_up(&mut self, node: u16, rendition: RenditionKey, limit: u8) {
        let directory = &self.nodes[usize::from(node)].directory;
        let Some(content) = directory.content(rendition) else {
            return;
        };
        let request = TrackerRequest::Lookup { content, limit };
        self.ask_tracker(node, &request, Pending::Lookup(rendition));
    }

    fn announce(&mut self, node: u16, entries: Vec<(RenditionKey, Extent)>) {
        let directory = &self.nodes[usize::from(node)].directory;
        let known = entries.into_iter().filter_map(|(rendition, extent)| {
            let content = directory.content(rendition)?;
            Some((rendition, AnnounceEntry { content, extent }))
        });
        let (renditions, mut entries): (Vec<_>, Vec<_>) = known.unzip();
        self.check_announced(node, &entries);
        self.vice_announces(node, &mut entries);
        let request = TrackerRequest::Announce { entries };
        self.ask_tracker(node, &request, Pending::Announce(renditions));
    }

    fn evict(&mut self, node: u16, rendition: RenditionKey) {
        if let Some(track) = self.track_of(node, rendition) {
            let entry = &mut self.nodes[usize::from(node)];
            entry.disk.remove(track);
            entry.player.sources.remove(&track);
        }
        self.tell(node, Input::Store(StoreEvent::Evicted { rendition }));
    }

    fn core_event(&mut self, node: u16, event: Event) {
        match event {
            Event::Received { bytes, .. } => {
                self.oracle.received(node, bytes.0);
            }
            Event::Starved { play } => self.starved(node, play),
            Event::Fed { .. } => {}
            Event::Penalized { .. } => self.oracle.penalties += 1,
        }
    }

    /// Keeps a chunk that passed verification; false if the disk would not take it.
    pub(crate) fn store(
        &mut self,
        node: u16,
        track: usize,
        chunk: ChunkIndex,
        genuine: bool,
        from_peer: bool,
    ) -> bool {
        if !genuine {
            let text = format!(
                "node {node} verified a chunk that is not {track}/{}",
                chunk.0
            );
            self.break_with(Broken::correctness(self.now, text));
        }
        let errors = self.profile.write_errors;
        let writes = self.oracle.next_write();
        let entry = &mut self.nodes[usize::from(node)];
        if errors > 0.0
            && entry.disk.failing
            && self.draws(Chance::Disk, writes).chance(errors * 20.0)
        {
            self.oracle.disk_touched(node, self.now);
            return false;
        }
        let data = &self.music.tracks[track];
        let entry = &mut self.nodes[usize::from(node)];
        entry.disk.open(track, data.geometry, self.now);
        let (new, gone) = entry.disk.put(track, chunk);
        if new {
            entry.stored += data.geometry.chunk_bytes(chunk) as u64;
            entry.player.note_source(track, chunk, from_peer);
        }
        if let Some((track, chunk)) = gone {
            self.lost(node, track, chunk);
        }
        self.arrivals.push((node, track));
        true
    }

    /// Reads a chunk to play or serve it; false if it is not there, or turned out wrong.
    pub(crate) fn read_chunk(&mut self, node: u16, track: usize, chunk: ChunkIndex) -> bool {
        match self.nodes[usize::from(node)].disk.read(track, chunk) {
            Read::Good => true,
            Read::Missing => false,
            Read::Unproven { rotten } => {
                let data = &self.music.tracks[track];
                let mut bytes = data.chunk(chunk).to_vec();
                if rotten && let Some(byte) = bytes.get_mut(chunk.0 as usize * 7 % 1_000) {
                    *byte ^= 1;
                }
                let genuine = antiphon_protocol::verified::chunk_is_genuine(
                    data.content,
                    data.geometry,
                    &data.outboard,
                    chunk,
                    &bytes,
                );
                if genuine == rotten {
                    let text =
                        format!("a proof said {genuine} of a chunk that is rotten: {rotten}");
                    self.break_with(Broken::correctness(self.now, text));
                }
                let disk = &mut self.nodes[usize::from(node)].disk;
                if genuine {
                    disk.prove(track, chunk);
                } else {
                    disk.forget(track, chunk);
                    self.lost(node, track, chunk);
                }
                genuine
            }
        }
    }

    /// Chunks counted as held are gone.
    fn lost(&mut self, node: u16, track: usize, chunk: ChunkIndex) {
        self.oracle.disk_touched(node, self.now);
        let entry = &self.nodes[usize::from(node)];
        let rendition = entry
            .directory
            .rendition_of(self.music.tracks[track].content);
        if let (Some(rendition), Some(span)) = (rendition, Span::new(chunk, 1)) {
            self.tell(node, Input::Store(StoreEvent::Lost { rendition, span }));
        }
    }
}

fn millis(duration: Duration) -> Millis {
    Millis(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)).clamped()
}
