//! From a connection attempt to a peer with a name.

use libp2p::PeerId;
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use super::muxer::Muxer;
use super::{Connected, QuicError};
use crate::peers::{limits, tls};

pub(super) async fn finish(connecting: quinn::Connecting) -> Connected {
    let connection = timeout(limits::HANDSHAKE_TIMEOUT, connecting)
        .await
        .map_err(|_| QuicError::HandshakeTimeout)??;
    let peer = peer_of(&connection).ok_or(QuicError::Certificate)?;
    Ok((peer, Muxer::new(connection)))
}

fn peer_of(connection: &quinn::Connection) -> Option<PeerId> {
    let chain = connection.peer_identity()?;
    let chain = chain.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    tls::peer_of(&chain)
}
