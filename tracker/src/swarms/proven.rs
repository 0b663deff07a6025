//! Who may be spoken of: a node that has shown that it has its transport key. Nothing is known here
//! under a name that was merely claimed, so nobody is told of another's node at his own address.

use antiphon_protocol::NodeId;

/// A node that has proved its transport key on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProvenNode(NodeId);

impl ProvenNode {
    /// Nobody, unless `proof` is the key's own on the connection of this channel.
    pub(crate) fn check(
        node: NodeId,
        channel: &[u8; 32],
        proof: &([u8; 32], [u8; 32]),
    ) -> Option<Self> {
        node.proves(channel, proof).then_some(Self(node))
    }

    /// Its transport key.
    pub(crate) const fn id(self) -> NodeId {
        self.0
    }
}
