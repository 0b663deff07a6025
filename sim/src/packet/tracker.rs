//! The tracker's registry behind its real messages, answered as `tracker/src/server/answers.rs`
//! does. Accounts are not modelled: whoever attaches is let in. Nor are epochs: swarms keep their
//! names.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use antiphon_protocol::limits::HOLDERS_PER_ANSWER_MAX;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::{Capability, PASS_LIFETIME_SECS, RegionClass, Ticket};
use antiphon_protocol::tracker::{
    AnnounceEntry, Attached, Holder, OpenedTrack, OriginAddress, Passes, TrackerReply,
    TrackerRequest,
};
use antiphon_protocol::{AccountId, ErrorCode, Millis, TrackId, UnixSeconds};
use antiphon_swarm::registry::{Held, PeerProfile, Pick, RegistryConfig};
use antiphon_swarm::{Instant, PeerKey, RenditionKey, SwarmRegistry};

use crate::packet::frames;
use crate::packet::happening::Happening;
use crate::packet::harness::Harness;
use crate::packet::music::EPOCH;
use crate::packet::node::{contact, node_id};
use crate::packet::profile::Chance;
use crate::packet::transport::ConnectionId;

/// The tracker.
#[derive(Debug)]
pub(crate) struct Tracker {
    pub(crate) host: u16,
    pub(crate) alive: bool,
    pub(crate) registry: SwarmRegistry,
    /// The node attached over each connection.
    attached: BTreeMap<ConnectionId, u16>,
    lives: u64,
}

impl Tracker {
    pub(crate) fn new(host: u16, seed: u64) -> Self {
        Self {
            host,
            alive: true,
            registry: registry(seed, 0),
            attached: BTreeMap::new(),
            lives: 0,
        }
    }

    /// It starts again and knows nobody.
    pub(crate) fn restart(&mut self, seed: u64) {
        self.lives += 1;
        self.registry = registry(seed, self.lives);
        self.attached.clear();
        self.alive = true;
    }
}

fn registry(seed: u64, life: u64) -> SwarmRegistry {
    let mut draws = crate::engine::random::Draws::of(seed, Chance::Registry as u64, life);
    SwarmRegistry::new(RegistryConfig::default(), draws.bytes())
}

impl Harness {
    /// A request is at the tracker.
    pub(crate) fn tracker_asked(&mut self, id: ConnectionId, stream: u16) {
        let frame = frames::take::<TrackerRequest>(&mut self.network, id, 1, stream);
        let request = match frame {
            Ok(None) => return,
            Ok(Some((request, _))) => request,
            Err(_) => return self.network.reset(id, 1, stream),
        };
        let Some(node) = self.network.other_host(id, 1) else {
            return;
        };
        let now = Instant::from_micros(self.now);
        let attached = self.tracker.attached.contains_key(&id);
        let reply = match request {
            TrackerRequest::AttachNode { .. } => self.attached(id, node),
            _ if !attached => TrackerReply::Refused {
                code: ErrorCode::UNAUTHENTICATED,
                retry_after: Millis(0),
            },
            TrackerRequest::Open { track, .. } => self.answer_open(node, track, true),
            TrackerRequest::OpenHeld { track, .. } => self.answer_open(node, track, false),
            TrackerRequest::Announce { entries } => self.announced(node, &entries),
            TrackerRequest::Lookup { content, limit } => match self.music.by_content(content) {
                Some(track) => TrackerReply::Holders {
                    swarm: self.music.tracks[track].swarm,
                    holders: self.holders(node, track, limit.into()),
                },
                None => not_found(),
            },
            TrackerRequest::Placements { limit } => self.answer_placements(node, limit),
            TrackerRequest::Leave => {
                self.tracker.registry.leave(now, PeerKey(node.into()));
                TrackerReply::Left
            }
            _ => not_found(),
        };
        frames::put(&mut self.network, id, 1, stream, &reply);
        self.network.finish(id, 1, stream);
    }

    fn attached(&mut self, id: ConnectionId, node: u16) -> TrackerReply {
        let now = Instant::from_micros(self.now);
        let profile = PeerProfile {
            region: 1,
            prefix: node.into(),
            uploads: self.nodes[usize::from(node)].persona.uploads,
        };
        self.tracker.attached.retain(|_, other| *other != node);
        self.tracker.attached.insert(id, node);
        let registry = &mut self.tracker.registry;
        registry.leave(now, PeerKey(node.into()));
        registry.join(now, PeerKey(node.into()), profile);
        let seconds = UnixSeconds(EPOCH.0 + self.now / 1_000_000);
        let expires = seconds.plus_secs(PASS_LIFETIME_SECS);
        let ticket = Ticket {
            node: node_id(node),
            region: RegionClass(1),
            expires,
        };
        let key = &self.music.key;
        let public = key.verifying_key().to_bytes();
        TrackerReply::Attached(Box::new(Attached {
            account: AccountId(node.into()),
            tracker_key: public,
            catalog_key: public,
            origins: vec![OriginAddress {
                host: "origin:7790".to_owned(),
                certificate: [0; 32],
            }],
            passes: Passes {
                ticket: Signed::sign(&ticket, key),
                capability: Signed::sign(&Capability { nonce: 0, expires }, key),
                renew_after: Millis(600_000),
            },
            observed: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            now: seconds,
        }))
    }

    fn answer_open(&mut self, node: u16, track: TrackId, names_holders: bool) -> TrackerReply {
        let found = self.music.tracks.iter().position(|known| known.id == track);
        let Some(track) = found else {
            return not_found();
        };
        let holders = if names_holders {
            self.holders(node, track, HOLDERS_PER_ANSWER_MAX)
        } else {
            Vec::new()
        };
        let data = &self.music.tracks[track];
        TrackerReply::Opened(Box::new(OpenedTrack {
            manifest: data.manifest.clone(),
            license: data.license.clone(),
            content: data.content,
            swarm: data.swarm,
            holders,
        }))
    }

    fn holders(&mut self, node: u16, track: usize, limit: usize) -> Vec<Holder> {
        let now = Instant::from_micros(self.now);
        let (asker, rendition) = (PeerKey(node.into()), RenditionKey(track as u32));
        let picks = self.tracker.registry.lookup(now, asker, rendition, limit);
        named(picks)
    }

    fn announced(&mut self, node: u16, entries: &[AnnounceEntry]) -> TrackerReply {
        let now = Instant::from_micros(self.now);
        let again = self.tracker.registry.announce_interval();
        let again_after = Millis(again.as_millis() as u32);
        if entries.is_empty() {
            let believed = self.tracker.registry.renew(now, PeerKey(node.into()));
            return TrackerReply::Renewed {
                everything: !believed,
                again_after,
            };
        }
        let mut swarms = Vec::new();
        for entry in entries {
            let Some(track) = self.music.by_content(entry.content) else {
                swarms.push(None);
                continue;
            };
            let held = Held::of(&entry.extent);
            let (peer, rendition) = (PeerKey(node.into()), RenditionKey(track as u32));
            self.tracker.registry.announce(now, peer, rendition, held);
            swarms.push(Some(self.music.tracks[track].swarm));
        }
        if let Some(due) = self.tracker.registry.poll_timeout() {
            self.queue.push(due.as_micros(), Happening::TidyRegistry);
        }
        TrackerReply::Announced {
            swarms,
            again_after,
        }
    }

    pub(crate) fn tidy_registry(&mut self) {
        let now = Instant::from_micros(self.now);
        if self
            .tracker
            .registry
            .poll_timeout()
            .is_some_and(|due| due <= now)
        {
            self.tracker.registry.handle_timeout(now);
        }
    }

    /// A node's connection to the tracker is over.
    pub(crate) fn tracker_lost(&mut self, id: ConnectionId) {
        if let Some(node) = self.tracker.attached.remove(&id) {
            let now = Instant::from_micros(self.now);
            self.tracker.registry.leave(now, PeerKey(node.into()));
        }
    }
}

/// Holders as the tracker names them.
pub(crate) fn named(picks: Vec<Pick>) -> Vec<Holder> {
    let holder = |pick: Pick| Holder {
        contact: contact(pick.peer.0 as u16),
        full: pick.held == Held::Full,
    };
    picks.into_iter().map(holder).collect()
}

const fn not_found() -> TrackerReply {
    TrackerReply::Refused {
        code: ErrorCode::NOT_FOUND,
        retry_after: Millis(0),
    }
}

#[cfg(test)]
mod tests {
    use antiphon_protocol::peer::Extent;

    use super::*;
    use crate::packet::profile::Profile;

    #[test]
    fn an_announce_without_entries_renews_what_was_said_before() {
        let renewed = |reply| match reply {
            TrackerReply::Renewed { everything, .. } => everything,
            other => panic!("{other:?}"),
        };
        let mut harness = Harness::new(Profile::of(1, 2, 1, 3), 1);
        assert!(renewed(harness.announced(0, &[])), "nobody attached");
        let profile = PeerProfile {
            region: 1,
            prefix: 0,
            uploads: true,
        };
        let registry = &mut harness.tracker.registry;
        registry.join(Instant::from_micros(0), PeerKey(0), profile);
        let entry = AnnounceEntry {
            content: harness.music.tracks[0].content,
            extent: Extent::Full,
        };
        let reply = harness.announced(0, &[entry]);
        assert!(matches!(reply, TrackerReply::Announced { .. }), "{reply:?}");
        assert!(!renewed(harness.announced(0, &[])), "it is believed on");
    }
}
