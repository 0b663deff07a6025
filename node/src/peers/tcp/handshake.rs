//! From a TCP socket to a peer with a name.

use std::net::SocketAddr;

use antiphon_transport::muxed::{Capped, Mode, Secured};
use futures_rustls::{TlsAcceptor, TlsConnector};
use libp2p::PeerId;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::muxer::Muxer;
use super::{Connected, TcpError};
use crate::peers::limits;
use crate::peers::tls::{self, SERVER_NAME};

const TLS_BYTES: Option<usize> = Some(limits::TCP_TLS_BYTES_MAX);

/// Connects with whoever listens at `to`; only with `expected` if that is known, because the port
/// may be another node's than over UDP.
pub(in crate::peers) async fn dial(
    connector: TlsConnector,
    to: SocketAddr,
    expected: Option<PeerId>,
) -> Connected {
    let connected = async {
        let socket = match to {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_recv_buffer_size(limits::TCP_SYSTEM_BYTES)?;
        socket.set_send_buffer_size(limits::TCP_SYSTEM_BYTES)?;
        let socket = capped(socket.connect(to).await?)?;
        let name = ServerName::try_from(SERVER_NAME).map_err(|_| TcpError::Certificate)?;
        Ok(connector
            .connect_with(name, socket, |tls| tls.set_buffer_limit(TLS_BYTES))
            .await?)
    };
    let secured = timeout(limits::HANDSHAKE_TIMEOUT, connected).await;
    let secured: Result<_, TcpError> = secured.map_err(|_| TcpError::HandshakeTimeout)?;
    let (peer, muxer) = finish(Secured::Client(secured?), Mode::Client)?;
    match expected.is_none_or(|expected| expected == peer) {
        true => Ok((peer, muxer)),
        false => Err(TcpError::WrongPeer),
    }
}

pub(super) async fn accept(acceptor: TlsAcceptor, socket: TcpStream) -> Connected {
    let secured = acceptor.accept_with(capped(socket)?, |tls| tls.set_buffer_limit(TLS_BYTES));
    let secured = timeout(limits::HANDSHAKE_TIMEOUT, secured).await;
    let secured = secured.map_err(|_| TcpError::HandshakeTimeout)??;
    finish(Secured::Server(secured), Mode::Server)
}

fn capped(socket: TcpStream) -> Result<Capped, TcpError> {
    // Small frames ask for spans; they must not wait for more to send.
    socket.set_nodelay(true)?;
    Ok(Capped::new(socket, limits::TCP_HANDSHAKE_BYTES_MAX))
}

fn finish(mut secured: Secured, mode: Mode) -> Connected {
    let (socket, session) = secured.get_mut();
    socket.lift();
    let chain = session.peer_certificates().ok_or(TcpError::Certificate)?;
    let peer = tls::peer_of(chain).ok_or(TcpError::Certificate)?;
    Ok((peer, Muxer::new(secured, mode)))
}
