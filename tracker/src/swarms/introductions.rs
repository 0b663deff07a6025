//! Having a node dial one that cannot get through to it: for whom, and how often.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use antiphon_protocol::rate::{Bucket, Rate};
use antiphon_protocol::tracker::TrackerNotice;
use antiphon_protocol::{Millis, NodeId};
use antiphon_swarm::registry::Pick;
use antiphon_swarm::{Instant, PeerKey};
use tokio::sync::mpsc;

use super::{AttachId, Driver, OnlineNode, ProvenNode};

/// Peers named to a node that it may still be introduced to; the oldest are forgotten. As many as 25
/// full answers name, which is more than a node dials in a session; guess. 2 KiB a node.
const NAMED_MAX: usize = 256;
/// Notices waiting for a node's connection to take them; more are refused. Guess.
pub(crate) const NOTICES_MAX: usize = 8;

/// The start of a node's id: keys get new owners, and whoever was named is meant.
type NodeMark = [u8; 4];

/// What a node needs to be introduced to others, and others to it.
pub(super) struct Acquaintance {
    /// Where its connection comes from, if that is the socket it serves peers on.
    outside: Option<SocketAddr>,
    notices: mpsc::Sender<TrackerNotice>,
    /// Who was named to it, latest last.
    named: VecDeque<(PeerKey, NodeMark)>,
    /// How often others may be introduced to it.
    bucket: Bucket,
}

/// Why somebody is not introduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoIntroduction {
    /// The asker does not serve peers where we see it: nobody could dial it.
    NoAddress,
    /// The peer is not here, or was never named to the asker; which of both is not told.
    Unknown,
    /// The peer has been introduced to too many.
    TooOften(Millis),
    /// The peer takes no more notices at the moment.
    Busy,
}

impl Acquaintance {
    pub(super) fn new(
        outside: Option<SocketAddr>,
        notices: mpsc::Sender<TrackerNotice>,
        rate: Rate,
    ) -> Self {
        Self {
            outside,
            notices,
            named: VecDeque::new(),
            bucket: Bucket::full(rate),
        }
    }

    /// Takes over what was remembered under the same name, so that attaching again gives no new
    /// allowance.
    pub(super) fn continues(&mut self, former: Self) {
        self.named = former.named;
        self.bucket = former.bucket;
    }

    fn name(&mut self, peer: PeerKey, node: NodeId) {
        let named = (peer, mark(node));
        if self.named.contains(&named) {
            return;
        }
        if self.named.len() == NAMED_MAX {
            self.named.pop_front();
        }
        self.named.push_back(named);
    }
}

impl Driver {
    /// Remembers whom `asker` is told of.
    pub(super) fn note_named(&mut self, asker: PeerKey, picks: &[Pick]) {
        for pick in picks {
            let node = self.online(pick.peer).map(|peer| peer.contact.node);
            if let (Some(node), Some(asker)) = (node, self.online_mut(asker)) {
                asker.acquaintance.name(pick.peer, node);
            }
        }
    }

    /// Tells `node`, which was named to the asker, that the asker wants to connect and where it is.
    pub(super) fn introduce(
        &mut self,
        now: Instant,
        (asker, attach): (ProvenNode, AttachId),
        node: NodeId,
    ) -> Result<(), NoIntroduction> {
        let key = self.key_of(asker, attach);
        let asking = key.and_then(|key| self.online(key));
        let acquaintance = &asking.ok_or(NoIntroduction::Unknown)?.acquaintance;
        let peer = *self.keys.get(&node).ok_or(NoIntroduction::Unknown)?;
        if !acquaintance.named.contains(&(peer, mark(node))) {
            return Err(NoIntroduction::Unknown);
        }
        let address = acquaintance.outside.ok_or(NoIntroduction::NoAddress)?;
        let node = asker.id();
        let notice = TrackerNotice::Introduction { node, address };
        self.tell(now, peer, notice)
    }

    fn tell(
        &mut self,
        now: Instant,
        peer: PeerKey,
        notice: TrackerNotice,
    ) -> Result<(), NoIntroduction> {
        let (rate, since) = (self.introductions, Duration::from_micros(now.as_micros()));
        let peer = self.online_mut(peer).ok_or(NoIntroduction::Unknown)?;
        let taken = peer.acquaintance.bucket.take(rate, since, 1);
        taken.map_err(|wait| NoIntroduction::TooOften(millis(wait)))?;
        let told = peer.acquaintance.notices.try_send(notice);
        told.map_err(|_| NoIntroduction::Busy)
    }

    fn online(&self, key: PeerKey) -> Option<&OnlineNode> {
        self.nodes.get(key.0 as usize)?.as_ref()
    }

    fn online_mut(&mut self, key: PeerKey) -> Option<&mut OnlineNode> {
        self.nodes.get_mut(key.0 as usize)?.as_mut()
    }
}

fn mark(node: NodeId) -> NodeMark {
    let [a, b, c, d, ..] = node.0;
    [a, b, c, d]
}

fn millis(wait: Duration) -> Millis {
    Millis(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)).clamped()
}

#[cfg(test)]
mod tests {
    use antiphon_protocol::ContentId;
    use antiphon_protocol::identity::NodeSecret;
    use antiphon_swarm::registry::{Held, RegistryConfig};

    use super::super::Newcomer;
    use super::*;

    const CONTENT: ContentId = ContentId([7; 32]);
    const NOW: Instant = Instant::from_micros(1);

    fn node(number: u8) -> ProvenNode {
        let (secret, channel) = (NodeSecret::from_bytes(&[number; 32]), [0; 32]);
        let proven = ProvenNode::check(secret.id(), &channel, &secret.prove(&channel));
        proven.expect("its own proof")
    }

    fn asker(number: u8) -> (ProvenNode, AttachId) {
        (node(number), AttachId(number.into()))
    }

    fn driver() -> Driver {
        Driver::new(RegistryConfig::default(), Rate::per_minute(20))
    }

    fn join(driver: &mut Driver, number: u8) -> mpsc::Receiver<TrackerNotice> {
        let (notices, told) = mpsc::channel(NOTICES_MAX);
        let observed = SocketAddr::from(([1, 2, 3, number], 4));
        let newcomer = Newcomer {
            node: node(number),
            attach: AttachId(number.into()),
            observed,
            serves_there: true,
            addresses: vec![observed],
            notices,
        };
        driver.join(NOW, newcomer);
        driver.announce(NOW, node(number), vec![(CONTENT, Some(Held::Full))]);
        told
    }

    #[test]
    fn a_node_that_takes_no_notices_is_busy_and_later_introduced_to_too_many() {
        let mut driver = driver();
        let _ada = join(&mut driver, 1);
        let mut bob = join(&mut driver, 2);
        assert_eq!(driver.lookup(NOW, Some(node(1)), CONTENT, 10).len(), 1);
        let mut introduce = || driver.introduce(NOW, asker(1), node(2).id());
        for _ in 0..NOTICES_MAX {
            assert_eq!(introduce(), Ok(()));
        }
        assert_eq!(introduce(), Err(NoIntroduction::Busy));
        while bob.try_recv().is_ok() {}
        let refused = std::iter::repeat_with(|| {
            let introduced = introduce();
            while bob.try_recv().is_ok() {}
            introduced
        });
        let refused = refused.take(20).find_map(Result::err);
        assert!(matches!(refused, Some(NoIntroduction::TooOften(wait)) if wait.0 > 0));
    }

    #[test]
    fn whoever_takes_the_place_of_one_that_was_named_is_a_stranger() {
        let mut driver = driver();
        let _ada = join(&mut driver, 1);
        let _bob = join(&mut driver, 2);
        driver.lookup(NOW, Some(node(1)), CONTENT, 10);
        let (bob, attach) = (node(2), AttachId(2));
        driver.handle(NOW, super::super::Command::Leave { node: bob, attach });
        let _eve = join(&mut driver, 3);
        let former = (node(1), AttachId(0));
        let introduced = driver.introduce(NOW, former, node(3).id());
        assert_eq!(introduced, Err(NoIntroduction::Unknown), "a former attach");
        for gone in [2, 3] {
            let introduced = driver.introduce(NOW, asker(1), node(gone).id());
            assert_eq!(introduced, Err(NoIntroduction::Unknown));
        }
    }

    #[test]
    fn attaching_again_keeps_what_was_named_and_what_was_used_up() {
        let mut driver = driver();
        let _ada = join(&mut driver, 1);
        let mut bob = join(&mut driver, 2);
        driver.lookup(NOW, Some(node(1)), CONTENT, 10);
        let _ada = join(&mut driver, 1);
        for _ in 0..20 {
            let introduced = driver.introduce(NOW, asker(1), node(2).id());
            assert_eq!(introduced, Ok(()));
            assert!(bob.try_recv().is_ok());
            bob = join(&mut driver, 2);
        }
        let introduced = driver.introduce(NOW, asker(1), node(2).id());
        assert!(matches!(introduced, Err(NoIntroduction::TooOften(_))));
    }

    #[test]
    fn the_longest_named_are_forgotten_first() {
        let mut acquaintance = Acquaintance::new(None, mpsc::channel(1).0, Rate::per_minute(1));
        for key in (0..NAMED_MAX as u32 + 1).chain([1]) {
            acquaintance.name(PeerKey(key), NodeId([1; 32]));
        }
        assert_eq!(acquaintance.named.len(), NAMED_MAX);
        let knows = |key| {
            acquaintance
                .named
                .iter()
                .any(|(named, _)| *named == PeerKey(key))
        };
        assert!(!knows(0) && knows(1));
    }
}
