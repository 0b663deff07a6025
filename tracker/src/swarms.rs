//! Who holds what among the nodes online: one task owns the registry and everything said to it
//! goes through one bounded queue, so that what a node announced is known to whoever asks next.
//!
//! Not here: what is remembered and which holders are best (`antiphon_swarm::SwarmRegistry`), and
//! whether the content is ours (`catalog`).

pub(crate) mod contact;
mod introductions;
mod proven;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant as StdInstant};

use antiphon_protocol::limits::HOLDERS_PER_ANSWER_MAX;
use antiphon_protocol::peer::PeerContact;
use antiphon_protocol::rate::Rate;
use antiphon_protocol::ticket::RegionClass;
use antiphon_protocol::tracker::{Holder, TrackerNotice};
use antiphon_protocol::{ContentId, Millis, NodeId};
use antiphon_swarm::registry::{Held, PeerProfile, Pick, RegistryConfig};
use antiphon_swarm::{Instant, PeerKey, RenditionKey, SwarmRegistry};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use introductions::Acquaintance;
pub(crate) use introductions::{NOTICES_MAX, NoIntroduction};
pub(crate) use proven::ProvenNode;

/// Commands waiting for the task; more make their senders wait. Guess.
const QUEUE: usize = 4_096;
/// Commands taken at a time.
const BATCH: usize = 64;

/// One attach; a later one of the same node takes the place of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AttachId(pub u64);

/// A node that attaches: who and where it is.
pub(crate) struct Newcomer {
    pub node: ProvenNode,
    pub attach: AttachId,
    /// Where we see it.
    pub observed: SocketAddr,
    /// Whether it serves peers there, too.
    pub serves_there: bool,
    /// Where others may dial it.
    pub addresses: Vec<SocketAddr>,
    /// What it is told unasked.
    pub notices: mpsc::Sender<TrackerNotice>,
}

enum Command {
    Join(Newcomer),
    Leave {
        node: ProvenNode,
        attach: AttachId,
    },
    Forget {
        node: ProvenNode,
        attach: AttachId,
    },
    Announce {
        node: ProvenNode,
        entries: Vec<(ContentId, Option<Held>)>,
    },
    Renew {
        node: ProvenNode,
        reply: oneshot::Sender<bool>,
    },
    Lookup {
        asker: Option<ProvenNode>,
        content: ContentId,
        limit: usize,
        reply: oneshot::Sender<Vec<Holder>>,
    },
    Offer {
        asker: ProvenNode,
        limit: usize,
        reply: oneshot::Sender<Vec<Offer>>,
    },
    Introduce {
        asker: ProvenNode,
        attach: AttachId,
        node: NodeId,
        reply: oneshot::Sender<Result<(), NoIntroduction>>,
    },
    Count {
        reply: oneshot::Sender<SwarmCounts>,
    },
}

/// A rendition that a node should keep for others.
pub(crate) struct Offer {
    pub content: ContentId,
    pub holders: Vec<Holder>,
}

/// How much the registry knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SwarmCounts {
    pub nodes: usize,
    pub entries: usize,
}

/// Says things to the task. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Swarms {
    commands: mpsc::Sender<Command>,
    announce_interval: Duration,
}

impl Swarms {
    /// Starts the task; it ends when `stop` is canceled. Others are introduced to one node as often
    /// as `introductions` says.
    pub(crate) fn start(
        config: RegistryConfig,
        introductions: Rate,
        stop: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (commands, queue) = mpsc::channel(QUEUE);
        let driver = Driver::new(config, introductions);
        let interval = driver.registry.announce_interval().as_micros();
        let swarms = Self {
            commands,
            announce_interval: Duration::from_micros(interval),
        };
        (swarms, tokio::spawn(driver.run(queue, stop)))
    }

    /// A node attached: it can be found under these addresses from now on.
    pub(crate) async fn join(&self, newcomer: Newcomer) {
        self.say(Command::Join(newcomer)).await;
    }

    /// A node's connection ended: it is in no answer any more.
    pub(crate) async fn leave(&self, node: ProvenNode, attach: AttachId) {
        self.say(Command::Leave { node, attach }).await;
    }

    /// A node said that it goes; its connection may go on.
    pub(crate) async fn forget(&self, node: ProvenNode, attach: AttachId) {
        self.say(Command::Forget { node, attach }).await;
    }

    /// What a node holds, or does not hold any more.
    pub(crate) async fn announce(&self, node: ProvenNode, entries: Vec<(ContentId, Option<Held>)>) {
        self.say(Command::Announce { node, entries }).await;
    }

    /// What a node announced still holds. False if it should announce everything again.
    pub(crate) async fn renew(&self, node: ProvenNode) -> bool {
        let (reply, answer) = oneshot::channel();
        self.say(Command::Renew { node, reply }).await;
        answer.await.unwrap_or_default()
    }

    /// Holders for `asker`, best first, without itself. What somebody asks who is no node here counts
    /// for nothing.
    pub(crate) async fn lookup(
        &self,
        asker: Option<ProvenNode>,
        content: ContentId,
        limit: usize,
    ) -> Vec<Holder> {
        let (reply, answer) = oneshot::channel();
        let lookup = Command::Lookup {
            asker,
            content,
            limit,
            reply,
        };
        self.say(lookup).await;
        answer.await.unwrap_or_default()
    }

    /// What `asker` should keep for others.
    pub(crate) async fn offer(&self, asker: ProvenNode, limit: usize) -> Vec<Offer> {
        let (reply, answer) = oneshot::channel();
        let offer = Command::Offer {
            asker,
            limit,
            reply,
        };
        self.say(offer).await;
        answer.await.unwrap_or_default()
    }

    /// Has `node` dial `asker`, if `attach` is still its latest.
    pub(crate) async fn introduce(
        &self,
        asker: ProvenNode,
        attach: AttachId,
        node: NodeId,
    ) -> Result<(), NoIntroduction> {
        let (reply, answer) = oneshot::channel();
        let introduce = Command::Introduce {
            asker,
            attach,
            node,
            reply,
        };
        self.say(introduce).await;
        answer.await.unwrap_or(Err(NoIntroduction::Busy))
    }

    pub(crate) async fn count(&self) -> SwarmCounts {
        let (reply, answer) = oneshot::channel();
        self.say(Command::Count { reply }).await;
        answer.await.unwrap_or_default()
    }

    /// How long what a node announced may stay unsaid.
    pub(crate) const fn announce_interval(&self) -> Duration {
        self.announce_interval
    }

    /// After the task has stopped nobody is listening, and nothing needs to be known.
    async fn say(&self, command: Command) {
        let _ = self.commands.send(command).await;
    }
}

/// The registry with the names it does not know: nodes, renditions and addresses.
struct Driver {
    registry: SwarmRegistry,
    start: StdInstant,
    prefix_key: [u8; 32],
    /// Stays as long as the process: at most as many as the catalog ever had.
    renditions: HashMap<ContentId, RenditionKey>,
    /// By rendition.
    contents: Vec<ContentId>,
    keys: HashMap<NodeId, PeerKey>,
    /// By key.
    nodes: Vec<Option<OnlineNode>>,
    free: Vec<PeerKey>,
    /// How often others are introduced to one node.
    introductions: Rate,
}

struct OnlineNode {
    attach: AttachId,
    profile: PeerProfile,
    contact: PeerContact,
    acquaintance: Acquaintance,
}

impl Driver {
    fn new(config: RegistryConfig, introductions: Rate) -> Self {
        Self {
            registry: SwarmRegistry::new(config, rand::random()),
            start: StdInstant::now(),
            prefix_key: rand::random(),
            renditions: HashMap::new(),
            contents: Vec::new(),
            keys: HashMap::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            introductions,
        }
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Command>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let due = self.registry.poll_timeout();
            let wake = due.map(|due| self.start + Duration::from_micros(due.as_micros()));
            tokio::select! {
                () = stop.cancelled() => return,
                taken = queue.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                }
                () = sleep_until(wake) => {}
            }
            let now = self.now();
            for command in batch.drain(..) {
                self.handle(now, command);
            }
            if self.registry.poll_timeout().is_some_and(|due| due <= now) {
                self.registry.handle_timeout(now);
            }
        }
    }

    fn handle(&mut self, now: Instant, command: Command) {
        match command {
            Command::Join(newcomer) => self.join(now, newcomer),
            Command::Leave { node, attach } => {
                if let Some(key) = self.key_of(node, attach) {
                    self.registry.leave(now, key);
                    self.keys.remove(&node.id());
                    if let Some(node) = self.nodes.get_mut(key.0 as usize) {
                        *node = None;
                    }
                    self.free.push(key);
                }
            }
            Command::Forget { node, attach } => {
                if let Some(key) = self.key_of(node, attach)
                    && let Some(Some(node)) = self.nodes.get(key.0 as usize)
                {
                    self.registry.leave(now, key);
                    self.registry.join(now, key, node.profile);
                }
            }
            Command::Announce { node, entries } => self.announce(now, node, entries),
            Command::Renew { node, reply } => {
                let key = self.keys.get(&node.id()).copied();
                // Who asks may have gone meanwhile.
                let _ = reply.send(key.is_some_and(|key| self.registry.renew(now, key)));
            }
            Command::Lookup {
                asker,
                content,
                limit,
                reply,
            } => {
                // The asker may have gone meanwhile.
                let _ = reply.send(self.lookup(now, asker, content, limit));
            }
            Command::Offer {
                asker,
                limit,
                reply,
            } => {
                // The asker may have gone meanwhile.
                let _ = reply.send(self.offer(now, asker, limit));
            }
            Command::Introduce {
                asker,
                attach,
                node,
                reply,
            } => {
                // The asker may have gone meanwhile.
                let _ = reply.send(self.introduce(now, (asker, attach), node));
            }
            Command::Count { reply } => {
                let counts = SwarmCounts {
                    nodes: self.keys.len(),
                    entries: self.registry.len(),
                };
                let _ = reply.send(counts);
            }
        }
    }

    fn join(&mut self, now: Instant, newcomer: Newcomer) {
        let Newcomer {
            node,
            attach,
            observed,
            serves_there,
            addresses,
            notices,
        } = newcomer;
        let key = match self.keys.get(&node.id()) {
            Some(key) => *key,
            None => self.new_key(node),
        };
        let profile = PeerProfile {
            region: RegionClass::default().0,
            prefix: contact::prefix(&self.prefix_key, observed.ip()),
            // A node that nobody can dial is not an answer.
            uploads: !addresses.is_empty(),
        };
        let contact = PeerContact {
            node: node.id(),
            region: RegionClass::default(),
            addresses,
        };
        self.registry.join(now, key, profile);
        let outside = serves_there.then_some(observed);
        let mut acquaintance = Acquaintance::new(outside, notices, self.introductions);
        if let Some(place) = self.nodes.get_mut(key.0 as usize) {
            if let Some(former) = place.take() {
                acquaintance.continues(former.acquaintance);
            }
            *place = Some(OnlineNode {
                attach,
                profile,
                contact,
                acquaintance,
            });
        }
    }

    fn announce(
        &mut self,
        now: Instant,
        node: ProvenNode,
        entries: Vec<(ContentId, Option<Held>)>,
    ) {
        let Some(key) = self.keys.get(&node.id()).copied() else {
            return;
        };
        let entries = entries.into_iter();
        let told = entries.map(|(content, held)| (self.intern(content), held));
        let told: Vec<_> = told.collect();
        self.registry.announce_all(now, key, &told);
    }

    fn lookup(
        &mut self,
        now: Instant,
        asker: Option<ProvenNode>,
        content: ContentId,
        limit: usize,
    ) -> Vec<Holder> {
        let Some(asker) = asker else {
            return self.lookup_for_nobody(now, content, limit);
        };
        let Some(asker) = self.keys.get(&asker.id()).copied() else {
            return Vec::new();
        };
        // What nobody holds is worth remembering, too.
        let rendition = self.intern(content);
        let picks = self.registry.lookup(now, asker, rendition, limit);
        self.note_named(asker, &picks);
        self.named(picks)
    }

    /// Leaves nothing behind: neither a wish, nor that anybody was named.
    fn lookup_for_nobody(&mut self, now: Instant, content: ContentId, limit: usize) -> Vec<Holder> {
        let Some(rendition) = self.renditions.get(&content).copied() else {
            return Vec::new();
        };
        let nobody = PeerKey::OURSELVES;
        let picks = self.registry.holders(now, nobody, rendition, limit);
        self.named(picks)
    }

    fn offer(&mut self, now: Instant, asker: ProvenNode, limit: usize) -> Vec<Offer> {
        let Some(asker) = self.keys.get(&asker.id()).copied() else {
            return Vec::new();
        };
        let offered = self.registry.offer(now, asker, limit);
        let offer = |rendition: RenditionKey| {
            let limit = HOLDERS_PER_ANSWER_MAX;
            let picks = self.registry.holders(now, asker, rendition, limit);
            self.note_named(asker, &picks);
            Some(Offer {
                content: *self.contents.get(rendition.0 as usize)?,
                holders: self.named(picks),
            })
        };
        offered.into_iter().filter_map(offer).collect()
    }

    fn named(&self, picks: Vec<Pick>) -> Vec<Holder> {
        let holder = |pick: Pick| {
            let node = self.nodes.get(pick.peer.0 as usize)?.as_ref()?;
            Some(Holder {
                contact: node.contact.clone(),
                full: pick.held == Held::Full,
            })
        };
        picks.into_iter().filter_map(holder).collect()
    }

    fn intern(&mut self, content: ContentId) -> RenditionKey {
        let next = RenditionKey(self.contents.len() as u32);
        let key = *self.renditions.entry(content).or_insert(next);
        if key == next {
            self.contents.push(content);
        }
        key
    }

    /// The node's key, if `attach` is still its latest.
    fn key_of(&self, node: ProvenNode, attach: AttachId) -> Option<PeerKey> {
        let key = *self.keys.get(&node.id())?;
        let node = self.nodes.get(key.0 as usize)?.as_ref()?;
        (node.attach == attach).then_some(key)
    }

    fn new_key(&mut self, node: ProvenNode) -> PeerKey {
        let key = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            PeerKey(self.nodes.len() as u32 - 1)
        });
        self.keys.insert(node.id(), key);
        key
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

async fn sleep_until(wake: Option<StdInstant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}

/// When a node is to announce again: in time for the registry, and soon after the swarms get new
/// names, spread by `random`.
pub(crate) fn announce_again(interval: Duration, secs_to_rename: u64, random: u32) -> Millis {
    let spread = u64::from(random) % (crate::names::RENAME_SPREAD_SECS * 1_000);
    let rename = secs_to_rename.saturating_mul(1_000).saturating_add(spread);
    let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    Millis(u32::try_from(interval.min(rename)).unwrap_or(u32::MAX)).clamped()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_announce_again_after_the_interval_or_the_renaming_whichever_is_first() {
        let interval = Duration::from_secs(1_200);
        assert_eq!(announce_again(interval, 50_000, 7), Millis(1_200_000));
        assert_eq!(announce_again(interval, 100, 7), Millis(100_007));
        assert_eq!(announce_again(interval, 100, 299_999), Millis(399_999));
        assert_eq!(announce_again(interval, 100, 300_000), Millis(100_000));
    }
}
