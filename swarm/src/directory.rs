//! Translation between wire names (hashes, addresses) and the core's keys. For drivers that speak
//! the real protocol; the core itself does not use it.
//!
//! Keys are handed out in order and stay valid for as long as the directory lives, because the
//! core may remember them. When a table is full, newcomers get no key: they are ignored, which
//! costs a listener some peers and an attacker everything.

use std::collections::{BTreeMap, VecDeque};

use antiphon_protocol::limits::{HOLDERS_PER_ANSWER_MAX, HOLDINGS_PER_MESSAGE_MAX};
use antiphon_protocol::peer::{Holding, PeerContact, PeerMessage};
use antiphon_protocol::ticket::RegionClass;
use antiphon_protocol::{ContentId, NodeId, SwarmId};

use crate::key::{PeerKey, RenditionKey};
use crate::node::input::Message;

/// Renditions with a key. A full 10 GB cache holds about 2,500; the rest was seen and not kept.
/// About 200 bytes each. Guess.
pub const RENDITIONS_MAX: usize = 32_768;
/// Peers with a key. An account learns at most 200 a day (`docs/protocol.md`, "Limits"): half a
/// year. About 200 bytes each.
pub const PEERS_MAX: usize = 32_768;
/// Names a swarm has at the same time: yesterday's and today's.
const NAMES_MAX: usize = 2;
/// Unknown swarms searched for by others that are remembered: more than the queries the core
/// remembers ([`crate::limits::QUERIES_MAX`]), so that answers find their way.
const SOUGHT_MAX: u32 = 64;

#[derive(Clone, Debug)]
struct Rendition {
    content: ContentId,
    /// Latest first.
    names: Vec<SwarmId>,
}

/// The two-way tables.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    renditions: Vec<Rendition>,
    by_content: BTreeMap<ContentId, RenditionKey>,
    by_swarm: BTreeMap<SwarmId, RenditionKey>,
    peers: Vec<PeerContact>,
    by_node: BTreeMap<NodeId, PeerKey>,
    /// How others reach this node: what [`PeerKey::OURSELVES`] stands for.
    ourselves: Option<PeerContact>,
    /// Swarms others search for and this node knows nothing of, oldest first. They borrow keys
    /// from the top of the range, so that searches can be passed on.
    sought: VecDeque<(RenditionKey, SwarmId)>,
    next_sought: u32,
}

impl Directory {
    /// Says how others reach this node, once and after each change of address.
    pub fn set_ourselves(&mut self, contact: PeerContact) {
        self.ourselves = Some(contact);
    }

    /// The key of a rendition; a new one if it has none yet and there is room.
    pub fn intern_content(&mut self, content: ContentId) -> Option<RenditionKey> {
        if let Some(key) = self.by_content.get(&content) {
            return Some(*key);
        }
        if self.renditions.len() >= RENDITIONS_MAX {
            return None;
        }
        let key = RenditionKey(self.renditions.len() as u32);
        self.renditions.push(Rendition {
            content,
            names: Vec::new(),
        });
        self.by_content.insert(content, key);
        Some(key)
    }

    /// The key of a rendition, if it has one.
    #[must_use]
    pub fn rendition_of(&self, content: ContentId) -> Option<RenditionKey> {
        self.by_content.get(&content).copied()
    }

    /// The rendition behind a key.
    #[must_use]
    pub fn content(&self, key: RenditionKey) -> Option<ContentId> {
        self.renditions
            .get(key.0 as usize)
            .map(|rendition| rendition.content)
    }

    /// The tracker named the rendition's swarm; the name before it stays known, older ones go.
    pub fn name_swarm(&mut self, key: RenditionKey, swarm: SwarmId) {
        let Some(rendition) = self.renditions.get_mut(key.0 as usize) else {
            return;
        };
        if rendition.names.first() == Some(&swarm) {
            return;
        }
        rendition.names.retain(|name| *name != swarm);
        rendition.names.insert(0, swarm);
        if rendition.names.len() > NAMES_MAX
            && let Some(oldest) = rendition.names.pop()
        {
            self.by_swarm.remove(&oldest);
        }
        self.by_swarm.insert(swarm, key);
    }

    /// The latest name of a rendition's swarm.
    #[must_use]
    pub fn swarm(&self, key: RenditionKey) -> Option<SwarmId> {
        self.renditions.get(key.0 as usize)?.names.first().copied()
    }

    /// The rendition a swarm's name stands for.
    #[must_use]
    pub fn rendition_of_swarm(&self, swarm: SwarmId) -> Option<RenditionKey> {
        self.by_swarm.get(&swarm).copied()
    }

    /// The key of a node, of which nothing but its name may be known.
    pub fn intern_node(&mut self, node: NodeId) -> Option<PeerKey> {
        if let Some(key) = self.by_node.get(&node) {
            return Some(*key);
        }
        self.add_peer(PeerContact {
            node,
            region: RegionClass(0),
            addresses: Vec::new(),
        })
    }

    /// The key of a node that can be dialed; the contact replaces what was known.
    pub fn intern_contact(&mut self, contact: PeerContact) -> Option<PeerKey> {
        if let Some(key) = self.by_node.get(&contact.node).copied() {
            if let Some(known) = self.peers.get_mut(key.0 as usize) {
                *known = contact;
            }
            return Some(key);
        }
        self.add_peer(contact)
    }

    /// The node behind a key.
    #[must_use]
    pub fn node(&self, key: PeerKey) -> Option<NodeId> {
        self.peers.get(key.0 as usize).map(|contact| contact.node)
    }

    /// How to dial the node behind a key, if that is known.
    #[must_use]
    pub fn contact(&self, key: PeerKey) -> Option<&PeerContact> {
        self.peers
            .get(key.0 as usize)
            .filter(|contact| !contact.addresses.is_empty())
    }

    /// A peer's message with keys for names. What names nothing known is left out; nothing if
    /// the message is not the core's (`Hello`, `Renew`) or nothing of it is left.
    pub fn read_message(&mut self, message: PeerMessage) -> Option<Message> {
        Some(match message {
            PeerMessage::Have { holdings } => {
                let known = holdings.into_iter().filter_map(|holding| {
                    Some((self.rendition_of_swarm(holding.swarm)?, holding.extent))
                });
                Message::Have {
                    holdings: known.collect(),
                }
            }
            PeerMessage::Find { query, swarm, hops } => Message::Find {
                query,
                rendition: self.rendition_sought(swarm),
                hops,
            },
            PeerMessage::Found {
                query,
                swarm,
                holders,
            } => {
                let rendition = self.any_rendition_of(swarm)?;
                let holders = holders.into_iter().take(HOLDERS_PER_ANSWER_MAX);
                let holders = holders.filter_map(|contact| self.heard_of(contact));
                Message::Found {
                    query,
                    rendition,
                    holders: holders.collect(),
                }
            }
            PeerMessage::Interest { swarms } => {
                let known = swarms
                    .into_iter()
                    .filter_map(|swarm| self.rendition_of_swarm(swarm));
                Message::Interest {
                    renditions: known.collect(),
                }
            }
            PeerMessage::Bye { code } => Message::Bye { code },
            PeerMessage::Hello { .. } | PeerMessage::Renew { .. } => return None,
        })
    }

    /// The core's message with names for keys, within the wire's limits; nothing if what it is
    /// about has no name yet.
    #[must_use]
    pub fn write_message(&self, message: Message) -> Option<PeerMessage> {
        Some(match message {
            Message::Have { holdings } => {
                let named = holdings.into_iter().filter_map(|(rendition, extent)| {
                    Some(Holding {
                        swarm: self.swarm(rendition)?,
                        extent,
                    })
                });
                let holdings: Vec<_> = named.take(HOLDINGS_PER_MESSAGE_MAX).collect();
                if holdings.is_empty() {
                    return None;
                }
                PeerMessage::Have { holdings }
            }
            Message::Find {
                query,
                rendition,
                hops,
            } => PeerMessage::Find {
                query,
                swarm: self.any_swarm(rendition)?,
                hops,
            },
            Message::Found {
                query,
                rendition,
                holders,
            } => {
                let swarm = self.any_swarm(rendition)?;
                let holders = holders.into_iter().filter_map(|key| match key {
                    PeerKey::OURSELVES => self.ourselves.clone(),
                    key => self.contact(key).cloned(),
                });
                let holders = holders.take(HOLDERS_PER_ANSWER_MAX).collect();
                PeerMessage::Found {
                    query,
                    swarm,
                    holders,
                }
            }
            Message::Interest { renditions } => {
                let named = renditions
                    .iter()
                    .filter_map(|rendition| self.swarm(*rendition));
                PeerMessage::Interest {
                    swarms: named.take(HOLDINGS_PER_MESSAGE_MAX).collect(),
                }
            }
            Message::Bye { code } => PeerMessage::Bye { code },
        })
    }

    /// A contact told by a peer. It never replaces what is known, because peers could send us to
    /// any address under another's name.
    fn heard_of(&mut self, contact: PeerContact) -> Option<PeerKey> {
        let node = contact.node;
        if self
            .ourselves
            .as_ref()
            .is_some_and(|ourselves| ourselves.node == node)
        {
            return Some(PeerKey::OURSELVES);
        }
        match self.by_node.get(&node) {
            Some(key) if self.contact(*key).is_some() => Some(*key),
            _ => self.intern_contact(contact),
        }
    }

    /// The key of a swarm somebody searches for, a borrowed one if it is unknown here.
    fn rendition_sought(&mut self, swarm: SwarmId) -> RenditionKey {
        if let Some(key) = self.any_rendition_of(swarm) {
            return key;
        }
        if self.sought.len() >= SOUGHT_MAX as usize {
            self.sought.pop_front();
        }
        let key = RenditionKey(u32::MAX - self.next_sought % SOUGHT_MAX);
        self.next_sought = self.next_sought.wrapping_add(1);
        self.sought.push_back((key, swarm));
        key
    }

    fn any_rendition_of(&self, swarm: SwarmId) -> Option<RenditionKey> {
        self.rendition_of_swarm(swarm).or_else(|| {
            let sought = self.sought.iter().find(|(_, name)| *name == swarm);
            sought.map(|(key, _)| *key)
        })
    }

    fn any_swarm(&self, key: RenditionKey) -> Option<SwarmId> {
        self.swarm(key).or_else(|| {
            let sought = self.sought.iter().find(|(sought, _)| *sought == key);
            sought.map(|(_, name)| *name)
        })
    }

    fn add_peer(&mut self, contact: PeerContact) -> Option<PeerKey> {
        if self.peers.len() >= PEERS_MAX {
            return None;
        }
        let key = PeerKey(self.peers.len() as u32);
        self.by_node.insert(contact.node, key);
        self.peers.push(contact);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use antiphon_protocol::peer::Extent;

    use super::*;

    #[test]
    fn keys_are_stable_and_lead_back_to_their_names() {
        let mut directory = Directory::default();
        let first = directory.intern_content(ContentId([1; 32])).expect("room");
        let second = directory.intern_content(ContentId([2; 32])).expect("room");
        assert_ne!(first, second);
        assert_eq!(directory.intern_content(ContentId([1; 32])), Some(first));
        assert_eq!(directory.content(second), Some(ContentId([2; 32])));
    }

    #[test]
    fn yesterdays_swarm_name_is_known_and_the_one_before_is_not() {
        let mut directory = Directory::default();
        let key = directory.intern_content(ContentId([1; 32])).expect("room");
        for day in 1..=3 {
            directory.name_swarm(key, SwarmId([day; 16]));
        }
        assert_eq!(directory.swarm(key), Some(SwarmId([3; 16])));
        assert_eq!(directory.rendition_of_swarm(SwarmId([2; 16])), Some(key));
        assert_eq!(directory.rendition_of_swarm(SwarmId([1; 16])), None);
    }

    #[test]
    fn messages_survive_the_way_to_the_wire_and_back() {
        let mut directory = Directory::default();
        let key = directory.intern_content(ContentId([1; 32])).expect("room");
        let message = Message::Have {
            holdings: vec![(key, Extent::Full)],
        };
        assert_eq!(
            directory.write_message(message.clone()),
            None,
            "no name yet"
        );
        directory.name_swarm(key, SwarmId([1; 16]));
        let wire = directory.write_message(message.clone()).expect("named");
        assert_eq!(directory.read_message(wire), Some(message));
    }

    #[test]
    fn a_contact_is_dialable_only_once_an_address_is_known() {
        let mut directory = Directory::default();
        let node = NodeId([1; 32]);
        let key = directory.intern_node(node).expect("room");
        assert_eq!(directory.contact(key), None);
        let addresses = vec![std::net::SocketAddr::from(([127, 0, 0, 1], 1))];
        let contact = PeerContact {
            node,
            region: RegionClass(0),
            addresses,
        };
        assert_eq!(directory.intern_contact(contact.clone()), Some(key));
        assert_eq!(directory.contact(key), Some(&contact));
    }

    fn contact_of(byte: u8) -> PeerContact {
        PeerContact {
            node: NodeId([byte; 32]),
            region: RegionClass(0),
            addresses: vec![std::net::SocketAddr::from(([127, 0, 0, byte], 1))],
        }
    }

    #[test]
    fn searches_for_unknown_swarms_can_be_passed_on_and_answered() {
        let mut directory = Directory::default();
        directory.set_ourselves(contact_of(9));
        let (query, swarm) = (antiphon_protocol::QueryId(1), SwarmId([5; 16]));
        let find = PeerMessage::Find {
            query,
            swarm,
            hops: 2,
        };
        let read = directory.read_message(find).expect("a search");
        let Message::Find { rendition, .. } = read else {
            panic!("not a search: {read:?}");
        };
        assert_eq!(directory.content(rendition), None);
        let holders = vec![PeerKey::OURSELVES];
        let found = Message::Found {
            query,
            rendition,
            holders,
        };
        let wire = directory.write_message(found).expect("named");
        let holders = vec![contact_of(9)];
        assert_eq!(
            wire,
            PeerMessage::Found {
                query,
                swarm,
                holders
            }
        );
        for other in 10..200 {
            let swarm = SwarmId([other; 16]);
            directory.read_message(PeerMessage::Find {
                query,
                swarm,
                hops: 1,
            });
        }
        assert_eq!(directory.sought.len(), SOUGHT_MAX as usize);
    }

    #[test]
    fn peers_cannot_replace_the_address_of_a_known_node() {
        let mut directory = Directory::default();
        let key = directory.intern_content(ContentId([1; 32])).expect("room");
        let swarm = SwarmId([1; 16]);
        directory.name_swarm(key, swarm);
        let peer = directory.intern_contact(contact_of(1)).expect("room");
        let forged = PeerContact {
            addresses: contact_of(66).addresses,
            ..contact_of(1)
        };
        let query = antiphon_protocol::QueryId(1);
        directory.read_message(PeerMessage::Found {
            query,
            swarm,
            holders: vec![forged],
        });
        assert_eq!(directory.contact(peer), Some(&contact_of(1)));
    }
}
