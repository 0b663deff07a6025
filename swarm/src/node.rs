//! [`NodeCore`]: owns the policies, routes inputs to them, collects their outputs.

pub mod config;
pub mod input;
pub mod output;

use std::collections::VecDeque;

pub use config::NodeConfig;
pub use input::Input;
pub use output::Output;

use crate::time::Instant;

/// Every decision of one node.
#[derive(Debug)]
pub struct NodeCore {
    outputs: VecDeque<Output>,
}

impl NodeCore {
    /// A node that holds nothing and knows nobody.
    #[must_use]
    pub fn new(_config: NodeConfig, _seed: [u8; 32]) -> Self {
        Self {
            outputs: VecDeque::new(),
        }
    }

    /// Takes one event in. Drain [`NodeCore::poll_output`] afterwards.
    pub fn handle(&mut self, _now: Instant, _input: Input) {}

    /// The next effect to carry out, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due, if at all. Ask after draining the outputs.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
