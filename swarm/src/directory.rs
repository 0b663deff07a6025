//! Translation between wire names (hashes, addresses) and the core's keys. For drivers that speak
//! the real protocol; the core itself does not use it.
//!
//! Keys are handed out in order and stay valid for as long as the directory lives, because the
//! core may remember them. When a table is full, newcomers get no key: they are ignored, which
//! costs a listener some peers and an attacker everything.

use std::collections::BTreeMap;

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
}

impl Directory {
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
                rendition: self.rendition_of_swarm(swarm)?,
                hops,
            },
            PeerMessage::Found {
                query,
                swarm,
                holders,
            } => {
                let rendition = self.rendition_of_swarm(swarm)?;
                let holders = holders.into_iter();
                let holders = holders.filter_map(|contact| self.intern_contact(contact));
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
                swarm: self.swarm(rendition)?,
                hops,
            },
            Message::Found {
                query,
                rendition,
                holders,
            } => {
                let swarm = self.swarm(rendition)?;
                let holders = holders
                    .into_iter()
                    .filter_map(|key| self.contact(key).cloned());
                let holders = holders.take(HOLDERS_PER_ANSWER_MAX).collect();
                PeerMessage::Found {
                    query,
                    swarm,
                    holders,
                }
            }
            Message::Interest { renditions } => {
                let named = renditions
                    .into_iter()
                    .filter_map(|rendition| self.swarm(rendition));
                PeerMessage::Interest {
                    swarms: named.take(HOLDINGS_PER_MESSAGE_MAX).collect(),
                }
            }
            Message::Bye { code } => PeerMessage::Bye { code },
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
}
