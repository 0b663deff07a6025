//! How this node and its peers get through the routers between them: what others are told of where
//! it is, asking the tracker for introductions, and following those of others.

use std::net::SocketAddr;

use antiphon_protocol::NodeId;
use antiphon_protocol::limits::ADDRESSES_PER_NODE_MAX;
use antiphon_protocol::peer::PeerContact;
use antiphon_protocol::ticket::RegionClass;
use antiphon_protocol::tracker::TrackerRequest;

use super::Driver;
use crate::peers;
use crate::tracker_client::TrackerClient;

impl Driver {
    /// What peers that search are told of this node: the address the tracker sees, if it is that of
    /// the peers' socket, and the node's ports at that IP.
    pub(super) fn name_ourselves(&mut self, observed: SocketAddr) {
        let outside = self.tracker.client();
        let outside = outside.is_some_and(|client| client.is_from_peer_socket());
        self.outside = outside.then_some(observed);
        let mut addresses: Vec<SocketAddr> = self.outside.into_iter().collect();
        for address in self.peers.listen_addresses() {
            let ip = match address.ip().is_unspecified() {
                true => observed.ip(),
                false => address.ip(),
            };
            let address = SocketAddr::new(ip, address.port());
            if !addresses.contains(&address) && addresses.len() < ADDRESSES_PER_NODE_MAX {
                addresses.push(address);
            }
        }
        let (node, region) = (self.identity.node, RegionClass::default());
        self.directory.set_ourselves(PeerContact {
            node,
            region,
            addresses,
        });
    }

    /// Asks the tracker to have `node` dial back. Without the tracker, or if it refuses, the dial
    /// goes on alone.
    pub(super) fn ask_introduction(&self, node: NodeId) {
        // Whoever dials back is told the address the tracker sees.
        let client = self.tracker.client();
        let Some(client) = client.filter(TrackerClient::is_from_peer_socket) else {
            return;
        };
        tokio::spawn(async move {
            let asked = client.request(TrackerRequest::Introduce { node }).await;
            match asked {
                Ok(_) => tracing::debug!(%node, "is introduced"),
                Err(error) => tracing::debug!(%node, %error, "is not introduced"),
            }
        });
    }

    /// Dials whoever wants to connect, where the tracker sees it.
    pub(super) fn on_introduced(&self, node: NodeId, address: SocketAddr) {
        let Some(client) = self.tracker.client() else {
            return;
        };
        if peers::is_dialable(address, client.remote()) {
            tracing::debug!(%node, %address, "dials back");
            self.peers.dial_back(node, address);
        } else {
            tracing::info!(%node, %address, "an introduction names no address to dial");
        }
    }
}
