//! Nodes whose packets do not get through over UDP.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use antiphon_node::peers::{Misbehavior, PeerEvent, PeerPort, PeerSockets, limits};
use antiphon_protocol::peer::PeerContact;
use antiphon_swarm::node::input::FetchEvent;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::rig::{self, LIMITS, Memory, PATIENCE, TestNode, content, node_id, ticket};

const CHUNK: usize = 16 * 1024;

/// A node that nothing reaches over UDP at the port it is known by.
struct Walled {
    node: TestNode,
    /// Its address over TCP, and what swallows everything sent there over UDP.
    at: SocketAddr,
    _swallows: UdpSocket,
}

impl Walled {
    async fn start(secret: u8, store: Arc<Memory>) -> Self {
        let any = (Ipv4Addr::LOCALHOST, 0);
        let (tcp, swallows) = loop {
            let tcp = TcpListener::bind(any).expect("a free port");
            let at = tcp.local_addr().expect("an address");
            if let Ok(swallows) = UdpSocket::bind(at) {
                break (tcp, swallows);
            }
        };
        let at = tcp.local_addr().expect("an address");
        let udp = UdpSocket::bind(any).expect("a free port");
        tcp.set_nonblocking(true).expect("a socket can");
        udp.set_nonblocking(true).expect("a socket can");
        let ports = vec![PeerPort::new(udp, Some(tcp))];
        let sockets = PeerSockets::open(ports).expect("a thread");
        let node = TestNode::start_at(sockets, secret, store, LIMITS).await;
        node.handle.set_ticket(ticket(node.node));
        Self {
            node,
            at,
            _swallows: swallows,
        }
    }

    fn contact(&self) -> PeerContact {
        PeerContact {
            addresses: vec![self.at],
            ..self.node.contact()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_span_comes_over_tcp_either_way() {
    let content = content(64 * CHUNK);
    let mut asker = TestNode::start_with(2, Memory::holding(&content), LIMITS).await;
    asker.handle.set_ticket(ticket(asker.node));
    let mut holder = Walled::start(3, Memory::holding(&content)).await;
    asker.handle.dial(holder.contact());
    assert_eq!(asker.connected().await, holder.node.node);
    assert_eq!(holder.node.connected().await, asker.node);

    for dialer_asks in [true, false] {
        let (ours, theirs) = match dialer_asks {
            true => (&mut asker, &mut holder.node),
            false => (&mut holder.node, &mut asker),
        };
        ours.fetch(1, theirs.node, &content, 0, 64);
        let (upload, _) = theirs.asked().await;
        let (id, geometry) = (content.id, content.geometry);
        theirs.handle.accept_upload(upload, id, geometry);
        assert_eq!(ours.fetch_end(1).await, FetchEvent::Done);
        let received = ours.store.received.lock().expect("not poisoned").clone();
        let bytes: Vec<u8> = received.into_values().flatten().collect();
        assert!(bytes == *content.bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_nobody_is_a_neighbor_without_the_ticket_of_its_own_key() {
    let mut dialer = TestNode::start(2).await;
    let dialed = Walled::start(3, Arc::default()).await;
    dialed.node.handle.set_ticket(ticket(node_id(4)));
    dialer.handle.dial(dialed.contact());
    let misbehaved = |event: &PeerEvent| match event {
        PeerEvent::Misbehaved { node, what } => Some((*node, *what)),
        _ => None,
    };
    let seen = dialer.until(misbehaved).await;
    assert_eq!(seen, (dialed.node.node, Misbehavior::Ticket));

    let mut victim = Walled::start(5, Arc::default()).await;
    let stranger = TestNode::start(6).await;
    stranger.handle.set_ticket(ticket(node_id(4)));
    stranger.handle.dial(victim.contact());
    let mut honest = TestNode::start(7).await;
    honest.handle.dial(victim.contact());
    assert_eq!(honest.connected().await, victim.node.node);
    let first = victim.node.until(|event| Some(event.clone())).await;
    assert!(matches!(first, PeerEvent::Connected { node, .. } if node == honest.node));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_strangers_over_tcp_keep_out_no_more_than_the_limit_and_nobody_over_quic() {
    let mut node = TestNode::start(2).await;
    let at = node.handle.listen_addresses()[0];
    let mut silent = Vec::new();
    for _ in 0..limits::TCP_HANDSHAKES_MAX {
        silent.push(TcpStream::connect(at).await.expect("connects"));
    }
    // They are accepted in this order, so this one finds all places taken.
    let mut beyond = TcpStream::connect(at).await.expect("the system accepts");
    let ended = timeout(PATIENCE, beyond.read_u8()).await;
    assert!(ended.expect("at once").is_err());
    let mut honest = TestNode::start(3).await;
    honest.handle.dial(node.contact());
    assert_eq!(honest.connected().await, node.node);
    assert_eq!(node.connected().await, honest.node);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canceled_fetch_over_tcp_leaves_the_connection_to_others() {
    let content = content(64 * CHUNK);
    let mut asker = TestNode::start(2).await;
    let holder = Walled::start(3, Memory::holding(&content)).await;
    asker.handle.dial(holder.contact());
    let from = asker.connected().await;
    let _ends = holder.node.serve(&content);
    for round in 0..5_u64 {
        asker.fetch(round, from, &content, 0, 64);
        asker.until(rig::first_chunk).await;
        asker.handle.cancel(antiphon_swarm::FetchId(round));
        asker.fetch(100 + round, from, &content, 0, 2);
        assert_eq!(asker.fetch_end(100 + round).await, FetchEvent::Done);
    }
}
