//! Ends dials that are not needed any more, because the other side's own dial got through first:
//! both dial when they were introduced, and a dial that goes on would replace the connection that
//! is in use already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::PeerId;
use tokio_util::sync::CancellationToken;

/// The dials under way, by whom they are to lead to. An entry goes when its dial ends, so the limit
/// on dials bounds it.
#[derive(Clone, Default)]
pub(super) struct Settled(Arc<Mutex<HashMap<PeerId, CancellationToken>>>);

impl Settled {
    /// Set when `peer` need not be dialed any more; one for all its addresses.
    pub(super) fn of(&self, peer: PeerId) -> CancellationToken {
        self.lock().entry(peer).or_default().clone()
    }

    /// Ends the dial of `peer`, if it has not ended by itself.
    pub(super) fn settle(&self, peer: PeerId) {
        if let Some(dial) = self.lock().remove(&peer) {
            dial.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
