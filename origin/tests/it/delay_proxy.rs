//! A long way in one process: passes UDP on after a delay and counts round trips.
//!
//! Round trips are counted by cause, not by clock: a datagram of the client is one deeper than the
//! deepest datagram that had reached the client before; one of the server is as deep as the
//! deepest that had reached the server. What the client knows at depth 1 took one round trip.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// A proxy for one client at a time in front of one server.
pub struct DelayProxy {
    address: SocketAddr,
    depths: Arc<Depths>,
    _tasks: JoinSet<std::io::Result<()>>,
}

#[derive(Default)]
struct Depths {
    at_client: AtomicU32,
    at_server: AtomicU32,
    passed: Notify,
}

struct Datagram {
    due: Instant,
    depth: u32,
    bytes: Vec<u8>,
}

impl DelayProxy {
    /// Passes on to `server`, each way after `delay`.
    pub async fn start(server: SocketAddr, delay: Duration) -> std::io::Result<Self> {
        let front = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await?);
        let back = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await?);
        back.connect(server).await?;
        let depths = Arc::new(Depths::default());
        let (client, client_seen) = tokio::sync::watch::channel(server);
        let address = front.local_addr()?;
        let mut tasks = JoinSet::new();
        let (to_server, mut for_server) = mpsc::channel::<Datagram>(QUEUE_MAX);
        let (to_client, mut for_client) = mpsc::channel::<Datagram>(QUEUE_MAX);
        tasks.spawn({
            let (front, depths) = (Arc::clone(&front), Arc::clone(&depths));
            async move {
                let mut buffer = vec![0; 65_536];
                loop {
                    let (bytes, from) = front.recv_from(&mut buffer).await?;
                    client.send_replace(from);
                    let depth = 1 + depths.at_client.load(Ordering::SeqCst);
                    pass(&to_server, delay, depth, &buffer[..bytes]).await;
                }
            }
        });
        tasks.spawn({
            let (back, depths) = (Arc::clone(&back), Arc::clone(&depths));
            async move {
                let mut buffer = vec![0; 65_536];
                loop {
                    // A server that is gone answers with ICMP, which is an error here.
                    if let Ok(bytes) = back.recv(&mut buffer).await {
                        let depth = depths.at_server.load(Ordering::SeqCst);
                        pass(&to_client, delay, depth, &buffer[..bytes]).await;
                    }
                }
            }
        });
        tasks.spawn({
            let depths = Arc::clone(&depths);
            async move {
                while let Some(datagram) = for_server.recv().await {
                    sleep_until(datagram.due).await;
                    depths.passed.notify_one();
                    depths.at_server.fetch_max(datagram.depth, Ordering::SeqCst);
                    let _ = back.send(&datagram.bytes).await;
                }
                Ok(())
            }
        });
        tasks.spawn({
            let depths = Arc::clone(&depths);
            async move {
                while let Some(datagram) = for_client.recv().await {
                    sleep_until(datagram.due).await;
                    let client = *client_seen.borrow();
                    depths.passed.notify_one();
                    depths.at_client.fetch_max(datagram.depth, Ordering::SeqCst);
                    front.send_to(&datagram.bytes, client).await?;
                }
                Ok(())
            }
        });
        Ok(Self {
            address,
            depths,
            _tasks: tasks,
        })
    }

    /// Where the client must send.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Round trips since the start or [`DelayProxy::reset`] that reached the client.
    pub fn round_trips(&self) -> u32 {
        self.depths.at_client.load(Ordering::SeqCst)
    }

    /// Waits until nothing has come or gone for `time`.
    pub async fn silent_for(&self, time: Duration) {
        while timeout(time, self.depths.passed.notified()).await.is_ok() {}
    }

    /// Counts from zero. Only while nothing is on the way.
    pub fn reset(&self) {
        self.depths.at_client.store(0, Ordering::SeqCst);
        self.depths.at_server.store(0, Ordering::SeqCst);
    }
}

async fn pass(to: &mpsc::Sender<Datagram>, delay: Duration, depth: u32, bytes: &[u8]) {
    let datagram = Datagram {
        due: Instant::now() + delay,
        depth,
        bytes: bytes.to_vec(),
    };
    // The other task only ends with this one.
    let _ = to.send(datagram).await;
}

const QUEUE_MAX: usize = 16_384;
