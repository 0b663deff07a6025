//! Who gets through a router that lets in only what was written to before.
//!
//! A node whose dial is not answered has the tracker introduce it, and the other side dials back:
//! the dial has opened the way through the dialer's router, dialing back opens the other, and the
//! first handshake that gets through is the connection. Nobody sends anything else for it.
//!
//! Not here: asking the tracker (the driver does), and which addresses may be dialed back
//! ([`scope`](super::scope)).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use antiphon_protocol::NodeId;
use futures::StreamExt;
use futures::future::{self, BoxFuture};
use futures::stream::FuturesUnordered;
use tokio::time::sleep;

use super::limits;
use super::rate::TokenBucket;

/// What the swarm task knows of introductions, of both kinds.
pub(super) struct Introductions {
    /// Nodes being dialed, each when it should have answered. At most
    /// [`limits::UNANSWERED_MAX`].
    unanswered: FuturesUnordered<BoxFuture<'static, NodeId>>,
    /// Nodes being dialed back, each with where to dial it if that comes to nothing. At most
    /// [`limits::DIAL_BACKS_MAX`].
    back: HashMap<NodeId, Option<Vec<SocketAddr>>>,
    rate: TokenBucket,
}

impl Introductions {
    pub(super) fn new() -> Self {
        let (rate, burst) = (limits::DIAL_BACKS_PER_SECOND, limits::DIAL_BACKS_BURST);
        Self {
            unanswered: FuturesUnordered::new(),
            back: HashMap::new(),
            rate: TokenBucket::new(rate, burst, Instant::now()),
        }
    }

    /// A node is being dialed. When too many are, it gets no introduction.
    pub(super) fn dialing(&self, node: NodeId, addresses: &[SocketAddr]) {
        if self.unanswered.len() < limits::UNANSWERED_MAX {
            let patience = patience(addresses);
            let waited = async move {
                sleep(patience).await;
                node
            };
            self.unanswered.push(Box::pin(waited));
        }
    }

    /// The next node that should have answered by now.
    pub(super) async fn unanswered(&mut self) -> NodeId {
        match self.unanswered.next().await {
            Some(node) => node,
            None => future::pending().await,
        }
    }

    /// Whether this node may be dialed back, and then counts it. Beyond the limits introductions
    /// come to nothing, as if they had got lost.
    pub(super) fn dials_back(&mut self, node: NodeId, now: Instant) -> bool {
        let free = self.back.len() < limits::DIAL_BACKS_MAX && !self.back.contains_key(&node);
        let allowed = free && self.rate.take(1, now).is_ok();
        allowed && self.back.insert(node, None).is_none()
    }

    /// Keeps where to dial a node that is being dialed back; gives the addresses back if it is not.
    pub(super) fn dial_after(
        &mut self,
        node: NodeId,
        addresses: Vec<SocketAddr>,
    ) -> Result<(), Vec<SocketAddr>> {
        match self.back.get_mut(&node) {
            Some(after) => {
                *after = Some(addresses);
                Ok(())
            }
            None => Err(addresses),
        }
    }

    /// A dial of this node is over, whatever came of it. Where to dial it now, if that waited.
    pub(super) fn dialed(&mut self, node: NodeId) -> Option<Vec<SocketAddr>> {
        self.back.remove(&node)?
    }
}

/// How long an answer may take before the tracker is asked. A node with two ports at one IP is
/// behind a router that gives its packets another port than it listens at, and such a router does
/// not let strangers in as a rule: nothing is waited for then.
fn patience(addresses: &[SocketAddr]) -> Duration {
    let rewritten = addresses.iter().any(|address| {
        let other = |other: &SocketAddr| other.ip() == address.ip() && other != address;
        addresses.iter().any(other)
    });
    match rewritten {
        true => Duration::ZERO,
        false => limits::ANSWER_PATIENCE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        let texts = texts.iter();
        texts
            .map(|text| text.parse().expect("an address"))
            .collect()
    }

    #[test]
    fn a_router_that_rewrites_ports_is_not_waited_for() {
        let one = addresses(&["192.0.2.1:7701", "[2001:db8::1]:7701"]);
        assert_eq!(patience(&one), limits::ANSWER_PATIENCE);
        let two = addresses(&["192.0.2.1:7701", "192.0.2.1:40001"]);
        assert_eq!(patience(&two), Duration::ZERO);
        assert_eq!(patience(&[]), limits::ANSWER_PATIENCE);
    }

    #[test]
    fn dialing_back_is_bounded_at_once_and_over_time() {
        let mut introductions = Introductions::new();
        let now = Instant::now();
        let node = |number: usize| NodeId([number as u8; 32]);
        for number in 0..limits::DIAL_BACKS_MAX {
            assert!(introductions.dials_back(node(number), now));
            assert!(!introductions.dials_back(node(number), now), "twice");
        }
        assert!(!introductions.dials_back(node(99), now), "too many at once");
        let mut dialed = limits::DIAL_BACKS_MAX;
        loop {
            introductions.dialed(node(0));
            if !introductions.dials_back(node(0), now) {
                break;
            }
            dialed += 1;
        }
        assert_eq!(dialed, limits::DIAL_BACKS_BURST as usize);
        let later = now + Duration::from_secs(1);
        assert!(introductions.dials_back(node(0), later));
        let addresses = addresses(&["192.0.2.1:7701"]);
        assert_eq!(introductions.dial_after(node(0), addresses.clone()), Ok(()));
        assert_eq!(introductions.dialed(node(0)), Some(addresses.clone()));
        let kept = introductions.dial_after(node(0), addresses.clone());
        assert_eq!(kept, Err(addresses), "it is not being dialed back");
    }

    #[tokio::test]
    async fn whoever_does_not_answer_is_told_of_in_time_and_their_number_is_bounded() {
        let mut introductions = Introductions::new();
        let began = Instant::now();
        for number in 0..=limits::UNANSWERED_MAX {
            introductions.dialing(NodeId([number as u8; 32]), &[]);
        }
        for _ in 0..limits::UNANSWERED_MAX {
            introductions.unanswered().await;
        }
        assert!(began.elapsed() >= limits::ANSWER_PATIENCE);
        assert!(
            introductions.unanswered.is_empty(),
            "no more than the limit"
        );
    }
}
