//! From a connection attempt to a peer with a name.

use tokio::time::timeout;

use super::muxer::Muxer;
use super::{Connected, QuicError, identity};
use crate::peers::limits;

pub(super) async fn finish(connecting: quinn::Connecting) -> Connected {
    let connection = timeout(limits::HANDSHAKE_TIMEOUT, connecting)
        .await
        .map_err(|_| QuicError::HandshakeTimeout)??;
    let peer = identity::peer_of(&connection).ok_or(QuicError::Certificate)?;
    Ok((peer, Muxer::new(connection)))
}
