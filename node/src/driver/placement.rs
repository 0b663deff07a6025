//! What the tracker asks this node to keep for others.

use antiphon_protocol::tracker::Placement;
use antiphon_swarm::Input;
use antiphon_swarm::node::input::{Command, RenditionSpec};

use super::Driver;

impl Driver {
    /// Keeps a rendition for others. Only its size is taken from the manifest; no keys are needed.
    pub(super) fn place(&mut self, placement: Placement) {
        let Placement {
            manifest,
            content,
            swarm,
            holders,
        } = placement;
        let manifest = match manifest.open(&self.trusted.catalog) {
            Ok(manifest) => manifest,
            Err(error) => {
                tracing::warn!(%error, "the tracker asks to keep what is not of its catalog");
                return;
            }
        };
        let mut renditions = manifest.renditions.iter();
        let Some(rendition) = renditions.find(|rendition| rendition.content == content) else {
            return;
        };
        let Some(geometry) = rendition.geometry() else {
            return;
        };
        let spec = RenditionSpec {
            geometry,
            bit_rate: rendition.bit_rate,
        };
        let Some(rendition) = self.introduce(manifest.track, content, spec) else {
            return;
        };
        tracing::debug!(track = %manifest.track, "keeps a copy for others");
        self.directory.name_swarm(rendition, swarm);
        self.feed_holders(rendition, holders);
        self.feed(Input::Command(Command::Place { rendition }));
    }
}
