//! Copies kept for others: asked for, offered by the registry and taken, in real messages. Follows
//! `node/src/driver/placement.rs` and `tracker/src/server/placements.rs`.

use antiphon_protocol::limits::{HOLDERS_PER_ANSWER_MAX, PLACEMENTS_PER_ANSWER_MAX};
use antiphon_protocol::tracker::{Placement, TrackerReply, TrackerRequest};
use antiphon_swarm::node::input::Command;
use antiphon_swarm::{Duration, Input, Instant, NodeConfig, PeerKey};

use crate::packet::harness::Harness;
use crate::packet::oracle::Broken;
use crate::packet::tracker_client::Pending;

/// Time online after which a node asks: a schedule is over before the product's ten minutes.
const FIRST_ASK: Duration = Duration::from_secs(30);

/// The product's policy, but for the time at which copies are asked for.
pub(crate) fn config() -> NodeConfig {
    let mut config = NodeConfig::antiphon();
    config.placement.first_ask = FIRST_ASK;
    config.placement.ask_interval = FIRST_ASK;
    config
}

impl Harness {
    pub(crate) fn ask_placements(&mut self, node: u16, limit: u8) {
        let request = TrackerRequest::Placements { limit };
        self.ask_tracker(node, &request, Pending::Placements);
    }

    pub(crate) fn answer_placements(&mut self, node: u16, limit: u8) -> TrackerReply {
        let (now, asker) = (Instant::from_micros(self.now), PeerKey(node.into()));
        let limit = usize::from(limit).min(PLACEMENTS_PER_ANSWER_MAX);
        let offered = self.tracker.registry.offer(now, asker, limit);
        let mut placements = Vec::with_capacity(offered.len());
        for rendition in offered {
            let registry = &mut self.tracker.registry;
            let picks = registry.holders(now, asker, rendition, HOLDERS_PER_ANSWER_MAX);
            let data = &self.music.tracks[rendition.0 as usize];
            placements.push(Placement {
                manifest: data.manifest.clone(),
                content: data.content,
                swarm: data.swarm,
                holders: crate::packet::tracker::named(picks),
            });
        }
        TrackerReply::Placements { placements }
    }

    pub(crate) fn take_placements(&mut self, node: u16, placements: Vec<Placement>) {
        for placement in placements {
            let Some(track) = self.music.by_content(placement.content) else {
                let text = format!("node {node} is asked to keep what nobody made");
                return self.break_with(Broken::correctness(self.now, text));
            };
            let Some(rendition) = self.introduce(node, track) else {
                continue;
            };
            let directory = &mut self.nodes[usize::from(node)].directory;
            directory.name_swarm(rendition, placement.swarm);
            self.tell_holders(node, rendition, placement.holders);
            self.tell(node, Input::Command(Command::Place { rendition }));
        }
    }
}
