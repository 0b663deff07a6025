//! One port number, over UDP and over TCP.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// Free UDP ports looked at until one is free over TCP too: on a machine full of connections every
/// second port may be taken. Guess.
const TRIES: usize = 8;

/// How to listen.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Whether an IPv6 socket takes nothing of IPv4, so that both families can have one port;
    /// otherwise that is as the system has it, as for UDP.
    pub only_v6: bool,
    /// Bytes of each connection, each way; the system doubles them for its own needs.
    pub bytes: u32,
    /// Connections the system completes before they are looked at.
    pub backlog: i32,
}

/// Takes both halves of a port with what `udp` and `tcp` take one with; with port 0 any that is
/// free over both. Says apart what became of TCP.
///
/// # Errors
/// If there is no UDP socket.
pub fn take<U, T>(
    wanted: SocketAddr,
    udp: impl Fn(SocketAddr) -> io::Result<(U, SocketAddr)>,
    tcp: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<(U, io::Result<T>)> {
    // Held until the end, so that no port is tried twice.
    let mut half = Vec::new();
    loop {
        let (over_udp, taken) = udp(wanted)?;
        let over_tcp = tcp(taken);
        if over_tcp.is_ok() || wanted.port() != 0 || half.len() + 1 == TRIES {
            return Ok((over_udp, over_tcp));
        }
        half.push(over_udp);
    }
}

/// A socket that listens.
///
/// # Errors
/// If the system refuses.
pub fn listen(address: SocketAddr, options: ListenOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() && options.only_v6 {
        socket.set_only_v6(true)?;
    }
    // Elsewhere it would let other programs listen on the same port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(options.bytes as usize)?;
    socket.set_send_buffer_size(options.bytes as usize)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(options.backlog)?;
    Ok(socket.into())
}
