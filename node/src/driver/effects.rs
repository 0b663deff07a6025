//! What the core decides, carried out.

use antiphon_protocol::peer::{Priority, SpanRequest};
use antiphon_protocol::{ContentId, ErrorCode, Millis, Span, TrackId};
use antiphon_swarm::node::input::{Command, FetchEvent, RenditionSpec};
use antiphon_swarm::node::output::{Event, Source};
use antiphon_swarm::{Duration, FetchId, Input, Output, RenditionKey, UploadId};

use super::Driver;
use super::tracker_link::Done;
use crate::clock::unix_micros;
use crate::{origin_client, peers};

impl Driver {
    pub(super) fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { peer, message } => {
                let node = self.directory.node(peer);
                let message = self.directory.write_message(message);
                if let (Some(node), Some(message)) = (node, message) {
                    self.peers.send(node, message);
                }
            }
            Output::Dial { peer } => {
                tracing::debug!(?peer, "dials");
                if let Some(contact) = self.directory.contact(peer) {
                    self.peers.dial(contact.clone());
                }
            }
            Output::Close { peer, code } => {
                if let Some(node) = self.directory.node(peer) {
                    self.peers.close(node, code);
                }
            }
            Output::Fetch {
                fetch,
                source,
                rendition,
                span,
                priority,
                deadline,
            } => {
                self.fetch(fetch, source, (rendition, span), priority, deadline);
            }
            Output::Cancel { fetch } => {
                self.peers.cancel(fetch);
                self.origin.cancel(fetch);
            }
            Output::AcceptUpload { upload } => self.accept_upload(upload),
            Output::DeclineUpload {
                upload,
                code,
                retry_after,
            } => {
                self.uploads.remove(&upload);
                self.peers.decline_upload(upload, code, millis(retry_after));
            }
            Output::EndUpload { upload, code } => self.peers.end_upload(upload, code),
            Output::Lookup { rendition, limit } => self.look_up(rendition, limit),
            Output::Announce { entries } => self.announce(entries),
            Output::AskPlacements { limit } => self.ask_placements(limit),
            Output::Keep { rendition, keep } => {
                if let Some(content) = self.directory.content(rendition) {
                    self.store.set_keep(content, keep);
                }
            }
            Output::Evict { rendition } => self.evict(rendition),
            Output::Event(event) => self.on_core_event(event),
        }
    }
}

impl Driver {
    fn fetch(
        &mut self,
        fetch: FetchId,
        source: Source,
        (rendition, span): (RenditionKey, Span),
        priority: Priority,
        deadline: Duration,
    ) {
        let content = self.directory.content(rendition);
        let geometry = content.and_then(|content| self.store.geometry(content));
        let (Some(content), Some(geometry)) = (content, geometry) else {
            return self.feed_later(fetch);
        };
        let (first, count) = (span.first().0, span.count());
        tracing::debug!(
            ?fetch,
            ?source,
            ?rendition,
            first,
            count,
            ?priority,
            "asks for a span"
        );
        if let Some(track) = self.tracks.get(&rendition) {
            self.log.asked(rendition, *track, unix_micros());
        }
        match source {
            Source::Origin(route) => {
                let order = origin_client::FetchOrder {
                    fetch,
                    route,
                    content,
                    geometry,
                    span,
                    deadline,
                };
                self.origin.fetch(order);
            }
            Source::Peer(peer) => {
                let names = self
                    .directory
                    .node(peer)
                    .zip(self.directory.swarm(rendition));
                let Some((node, swarm)) = names else {
                    return self.feed_later(fetch);
                };
                let deadline = millis(deadline);
                let request = SpanRequest {
                    swarm,
                    span,
                    priority,
                    deadline,
                };
                self.peers.fetch(peers::FetchOrder {
                    fetch,
                    node,
                    content,
                    geometry,
                    request,
                });
            }
        }
    }

    /// A fetch that cannot even be tried fails, but not while the core's outputs are drained.
    fn feed_later(&self, fetch: FetchId) {
        let done = self.done.clone();
        tokio::spawn(async move {
            // The loop is gone only when the node ends.
            let _ = done.send(Done::Untried(fetch)).await;
        });
    }

    pub(super) fn on_untried(&mut self, fetch: FetchId) {
        self.feed(Input::Fetch {
            fetch,
            event: FetchEvent::Failed,
        });
    }

    fn accept_upload(&mut self, upload: UploadId) {
        let rendition = self.uploads.remove(&upload);
        let content = rendition.and_then(|rendition| self.directory.content(rendition));
        let geometry = content.and_then(|content| self.store.geometry(content));
        match content.zip(geometry) {
            Some((content, geometry)) => {
                self.store.served(content);
                self.peers.accept_upload(upload, content, geometry);
            }
            None => self
                .peers
                .decline_upload(upload, ErrorCode::NOT_HELD, Millis(10_000)),
        }
    }

    fn evict(&self, rendition: RenditionKey) {
        let Some(content) = self.directory.content(rendition) else {
            return;
        };
        let (store, done) = (self.store.clone(), self.done.clone());
        tokio::spawn(async move {
            let evicted = tokio::task::spawn_blocking(move || store.evict(content)).await;
            if evicted.is_ok() {
                let _ = done.send(Done::Evicted(rendition)).await;
            }
        });
    }

    fn on_core_event(&mut self, event: Event) {
        match event {
            Event::Received {
                rendition,
                source,
                bytes,
                wasted,
            } => {
                self.log.received(rendition, source, bytes.0, wasted.0);
                if self.core.is_complete(rendition) {
                    self.log.complete(rendition, unix_micros());
                }
            }
            Event::Starved { play } => {
                // Leaving the play is a command to the core, which is being drained.
                let done = self.done.clone();
                tokio::spawn(async move {
                    let _ = done.send(Done::Starved(play)).await;
                });
            }
            Event::Fed { play } => tracing::info!(?play, "data comes again"),
            Event::Penalized { peer, offense } => {
                let node = self.directory.node(peer).map(|node| node.to_string());
                tracing::info!(node, ?offense, "a peer was penalized");
            }
        }
    }

    /// Makes a rendition known to the directory, the store and the core.
    pub(super) fn introduce(
        &mut self,
        track: TrackId,
        content: ContentId,
        spec: RenditionSpec,
    ) -> Option<RenditionKey> {
        let rendition = self.directory.intern_content(content)?;
        if let Err(error) = self.store.create(content, spec.geometry) {
            self.notice(format!(
                "the chunk store cannot take {}: {error}",
                self.title(track)
            ));
            return None;
        }
        if self.tracks.insert(rendition, track).is_none() {
            self.remember_content(content, track, spec);
        }
        self.feed(Input::Command(Command::Introduce { rendition, spec }));
        Some(rendition)
    }
}

fn millis(duration: Duration) -> Millis {
    Millis(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)).clamped()
}
