//! What of a node to bring near before it is driven, in steps, because what is in one table says where in another to
//! look: see [`crate::memory`]. For a simulator of a million nodes, of which each event finds others.
//!
//! Nothing here changes anything, and nothing but time depends on it.

use crate::key::{PeerKey, RenditionKey, UploadId};
use crate::memory::bring_range;
use crate::node::NodeCore;
use crate::node::output::Source;

/// Requests, and holders, that are brought near: mostly all. Guess.
const BROUGHT: usize = 3;

impl NodeCore {
    /// Bytes from its beginning on that inputs look at which change no plan: what peers want of it, mostly.
    pub const OFTEN_READ_BYTES: usize = core::mem::offset_of!(Self, pins);

    /// Brings near the tables that a pass of plans looks at: see [`crate::memory`]. The node itself should be near
    /// already.
    pub fn bring_plans(&self) {
        self.requests.bring();
        self.holdings.bring_partial();
        self.neighbors.bring();
        self.availability.bring();
        bring_range(&self.expected, 0, 1);
        bring_range(&self.searches, 0, 2);
    }

    /// The same for what comes to it that it asked for: less, if that will probably change no plan.
    pub fn bring_for_arrival(&self) {
        if self.plans_on_arrival() {
            return self.bring_plans();
        }
        self.requests.bring();
        self.holdings.bring_partial();
        self.neighbors.bring();
    }

    /// The same for what a peer asks or tells.
    pub fn bring_for_peers(&self) {
        self.neighbors.bring();
        self.holdings.bring_partial();
        self.uploads.bring();
    }

    /// The same for a connection with a peer that has none yet.
    pub fn bring_for_newcomer(&self, peer: PeerKey) {
        self.neighbors.bring();
        self.neighbors.bring_end();
        self.contacts.bring(peer);
    }

    /// After [`NodeCore::bring_plans`]: what those tables say of the play and of those who send it.
    pub fn bring_play(&self) {
        self.bring_requested();
        if let Some(play) = &self.playback {
            self.bring_rendition(play.rendition);
        }
        for peer in self.likely_sources() {
            self.neighbors.bring_one(peer);
        }
    }

    /// After [`NodeCore::bring_for_arrival`]: the same, or what those tables say of what comes.
    pub fn bring_arriving(&self) {
        if self.plans_on_arrival() {
            self.bring_play();
        } else {
            self.bring_requested();
        }
    }

    fn bring_requested(&self) {
        for request in self.requests.iter().take(BROUGHT) {
            self.holdings.bring_one(request.rendition);
            if let Source::Peer(peer) = request.source {
                self.neighbors.bring_one(peer);
            }
        }
    }

    /// After [`NodeCore::bring_plans`]: some of those whom the play will ask next, if it does.
    pub fn likely_sources(&self) -> impl Iterator<Item = PeerKey> {
        let some = if self.plans_on_arrival() { BROUGHT } else { 1 };
        let play = self.playback.iter();
        let holders = play.flat_map(|play| self.availability.connected(play.rendition));
        holders.take(some).map(|claim| claim.peer)
    }

    /// Whether what comes to it will probably change a plan of it.
    fn plans_on_arrival(&self) -> bool {
        self.unmet || self.playback.is_some_and(|play| !play.settled)
    }

    /// Brings near whom something was sent to, when that ends.
    pub fn bring_for_end(&self) {
        self.neighbors.bring();
        self.uploads.bring();
    }

    /// After that: what those tables say of whom that was.
    pub fn bring_neighbor(&self, peer: PeerKey) {
        self.neighbors.bring_one(peer);
    }

    /// After [`NodeCore::bring_for_peers`]: what those tables say of a peer that asks for something, and of what it
    /// asks for.
    pub fn bring_asked(&self, peer: PeerKey, rendition: RenditionKey) {
        self.neighbors.bring_one(peer);
        self.bring_rendition(rendition);
    }

    /// After [`NodeCore::bring_for_peers`]: what those tables say of a peer that tells something.
    pub fn bring_peer(&self, peer: PeerKey) {
        self.neighbors.bring_with_wants(peer);
    }

    /// After the same: what those tables say of whom an upload goes to.
    pub fn bring_upload(&self, upload: UploadId) {
        let mut active = self.uploads.active().iter();
        if let Some(upload) = active.find(|active| active.id == upload) {
            self.neighbors.bring_one(upload.peer);
        }
    }

    /// After the same: what those tables say of a rendition.
    pub fn bring_rendition(&self, rendition: RenditionKey) {
        if !self.holdings.bring_one(rendition) {
            self.holdings.bring_full(rendition);
        }
    }
}
