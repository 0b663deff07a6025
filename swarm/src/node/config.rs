//! What can be tuned in a node, with defaults and their sources.

/// Tunables of [`crate::NodeCore`].
#[derive(Clone, Debug, Default)]
pub struct NodeConfig {}
