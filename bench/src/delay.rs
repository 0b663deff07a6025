//! A long path on loopback: a UDP proxy that holds every datagram for the same time.
//!
//! One thread receives and stamps, one waits and sends, for each way and each peer. The delay is
//! constant and the queue is first in, first out, so nothing is reordered; nothing is dropped
//! unless a socket's own buffer overflows. Threads sleep more exactly than the runtime's timers.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// A running proxy in front of one server; its threads end within [`LOOK_UP`] of its drop.
#[derive(Debug)]
pub struct DelayProxy {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

/// A datagram on its way.
struct Held {
    due: Instant,
    bytes: Vec<u8>,
}

impl DelayProxy {
    /// Starts a proxy that holds datagrams to and from `server` for `one_way` each way.
    ///
    /// # Errors
    /// If there is no socket.
    pub fn start(server: SocketAddr, one_way: Duration) -> io::Result<Self> {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        front.set_read_timeout(Some(LOOK_UP))?;
        let address = front.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        thread::spawn(move || forward(&front, server, one_way, &stopping));
        Ok(Self { address, stop })
    }

    /// Where to send what is for the server.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Receives from all clients; each gets a socket of its own towards the server.
fn forward(front: &Arc<UdpSocket>, server: SocketAddr, one_way: Duration, stop: &Arc<AtomicBool>) {
    let mut clients: HashMap<SocketAddr, SyncSender<Held>> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    while !stop.load(Ordering::Relaxed) {
        let Ok((count, client)) = front.recv_from(&mut buffer) else {
            continue;
        };
        let due = Instant::now() + one_way;
        if !clients.contains_key(&client) {
            if clients.len() >= CLIENTS_MAX {
                continue;
            }
            match path(front, client, server, one_way, stop) {
                Ok(way) => drop(clients.insert(client, way)),
                Err(_) => continue,
            }
        }
        if let (Some(way), Some(bytes)) = (clients.get(&client), buffer.get(..count)) {
            // A full queue loses the datagram, as a full router does.
            let bytes = bytes.to_vec();
            let _ = way.try_send(Held { due, bytes });
        }
    }
}

/// Both ways of one client: returns the queue towards the server, serves the one back.
fn path(
    front: &Arc<UdpSocket>,
    client: SocketAddr,
    server: SocketAddr,
    one_way: Duration,
    stop: &Arc<AtomicBool>,
) -> io::Result<SyncSender<Held>> {
    let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    back.connect(server)?;
    back.set_read_timeout(Some(LOOK_UP))?;
    let (to_server, held) = sync_channel(QUEUE_MAX);
    let sender = back.try_clone()?;
    thread::spawn(move || deliver(&held, |bytes| sender.send(bytes)));
    let (to_client, held) = sync_channel(QUEUE_MAX);
    let sender = Arc::clone(front);
    thread::spawn(move || deliver(&held, |bytes| sender.send_to(bytes, client)));
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while !stop.load(Ordering::Relaxed) {
            if let Some(bytes) = back
                .recv(&mut buffer)
                .ok()
                .and_then(|count| buffer.get(..count))
            {
                let due = Instant::now() + one_way;
                let bytes = bytes.to_vec();
                let _ = to_client.try_send(Held { due, bytes });
            }
        }
    });
    Ok(to_server)
}

/// Sends each datagram when it is due, until the other end of the queue is gone.
fn deliver(held: &Receiver<Held>, send: impl Fn(&[u8]) -> io::Result<usize>) {
    while let Ok(Held { due, bytes }) = held.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // The receiver may be gone, which a network does not notice either.
        let _ = send(&bytes);
    }
}

/// How often threads look whether they are still needed.
const LOOK_UP: Duration = Duration::from_millis(200);
/// Datagrams on one way at a time: 6 MiB of full packets.
const QUEUE_MAX: usize = 4_096;
/// More than any measurement starts nodes.
const CLIENTS_MAX: usize = 1_024;
const DATAGRAM_BYTES_MAX: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_back_in_order_and_late_by_both_ways() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let address = server.local_addr().expect("bound");
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((count, from)) = server.recv_from(&mut buffer) {
                let _ = server.send_to(&buffer[..count], from);
            }
        });
        let one_way = Duration::from_millis(20);
        let proxy = DelayProxy::start(address, one_way).expect("loopback");
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        client.connect(proxy.address()).expect("loopback");
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("not zero");
        let start = Instant::now();
        for number in 0..50_u8 {
            client.send(&[number]).expect("sent");
        }
        for number in 0..50_u8 {
            let mut buffer = [0; 64];
            assert_eq!(client.recv(&mut buffer).expect("answered"), 1);
            assert_eq!(buffer[0], number);
            assert!(start.elapsed() >= 2 * one_way);
        }
    }
}
