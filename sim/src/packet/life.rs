//! Processes that start, end in order, and die.

use antiphon_protocol::tracker::TrackerRequest;
use antiphon_protocol::{BitRate, ByteCount};
use antiphon_swarm::Input;
use antiphon_swarm::node::input::{Budget, Command, Restored};
use antiphon_swarm::{Duration, NodeCore};

use crate::packet::clock::Clock;
use crate::packet::happening::Task;
use crate::packet::harness::Harness;
use crate::packet::profile::{Chance, Vice};
use crate::packet::tracker_client::Pending;

/// From the start of the process to the listener's first press of a key, at most.
const FIRST_PLAY_MICROS: u64 = 1_000_000;

impl Harness {
    pub(crate) fn start_node(&mut self, node: u16) {
        if self.nodes[usize::from(node)].is_up() {
            return;
        }
        self.network.revive_host(node);
        let entry = &mut self.nodes[usize::from(node)];
        entry.forget_all();
        entry.life += 1;
        let entity = u64::from(node) << 32 | u64::from(entry.life);
        let drift = entry.persona.drift_ppm;
        let offset = self.draws(Chance::Clock, entity).below(1 << 40);
        let seed = self.draws(Chance::Core, entity).bytes();
        let entry = &mut self.nodes[usize::from(node)];
        entry.clock = Clock::new(offset, drift);
        let core = NodeCore::new(std::sync::Arc::clone(&self.config), seed);
        entry.core = Some(Box::new(core));
        let contact = entry.contact();
        entry.directory.set_ourselves(contact);
        let persona = entry.persona;
        self.restore(node);
        let budget = Budget {
            // A tenth of the line, as the node does.
            upload: BitRate((persona.up * 8 / 10).max(1_000_000) as u32),
            disk: ByteCount(persona.disk),
            uploads: persona.uploads,
        };
        self.feed(node, Input::Command(Command::Budget(budget)));
        self.attach(node);
        let mut draws = self.draws(Chance::Listener, entity ^ 1 << 60);
        self.later(node, draws.below(FIRST_PLAY_MICROS), Task::NextPlay);
        if persona.vice == Vice::Babbler {
            self.later(node, 1_000_000, Task::Babble);
        }
    }

    /// Tells the core what survived.
    fn restore(&mut self, node: u16) {
        let now = self.now;
        let entry = &self.nodes[usize::from(node)];
        let kept: Vec<_> = entry
            .disk
            .tracks()
            .map(|(track, kept)| (track, kept.held.clone(), kept.used, kept.keep))
            .collect();
        let mut restored = Vec::with_capacity(kept.len());
        for (track, held, used, keep) in kept {
            let data = &self.music.tracks[track];
            let (content, spec) = (data.content, data.spec());
            let directory = &mut self.nodes[usize::from(node)].directory;
            let Some(rendition) = directory.intern_content(content) else {
                continue;
            };
            restored.push(Restored {
                rendition,
                spec,
                held: Some(held),
                idle: Duration::from_micros(now - used),
                keep,
            });
        }
        self.feed(node, Input::Command(Command::Restore(restored)));
    }

    /// The process dies without a word, with the last writes.
    pub(crate) fn kill(&mut self, node: u16) {
        if !self.nodes[usize::from(node)].is_up() {
            return;
        }
        self.count_heard(node);
        self.network.kill_host(node);
        let life = self.nodes[usize::from(node)].life;
        let mut draws = self.draws(
            Chance::Disk,
            1 << 48 | u64::from(node) << 32 | u64::from(life),
        );
        let mut rot = self.draws(
            Chance::Disk,
            2 << 48 | u64::from(node) << 32 | u64::from(life),
        );
        let rots = self.profile.rot;
        let entry = &mut self.nodes[usize::from(node)];
        entry
            .disk
            .restart(|| draws.chance(0.5), || rots > 0.0 && rot.chance(rots));
        entry.life += 1;
        entry.forget_all();
        self.oracle.process_ended(node);
    }

    /// The process ends in order: goodbye to everybody.
    pub(crate) fn leave(&mut self, node: u16) {
        if !self.nodes[usize::from(node)].is_up() {
            return;
        }
        self.count_heard(node);
        self.ask_tracker(node, &TrackerRequest::Leave, Pending::Leave);
        self.feed(node, Input::Command(Command::Shutdown));
        self.network.flush();
        let rots = self.profile.rot;
        let life = self.nodes[usize::from(node)].life;
        let mut rot = self.draws(
            Chance::Disk,
            3 << 48 | u64::from(node) << 32 | u64::from(life),
        );
        let entry = &mut self.nodes[usize::from(node)];
        entry
            .disk
            .restart(|| false, || rots > 0.0 && rot.chance(rots));
        entry.life += 1;
        entry.forget_all();
        self.network.kill_host(node);
        self.oracle.process_ended(node);
    }
}
