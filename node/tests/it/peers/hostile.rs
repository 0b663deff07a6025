//! A node with a good key, and sometimes a good ticket, that does not keep to the rules.

use std::time::Duration;

use antiphon_node::peers::{Misbehavior, PeerEvent};
use antiphon_protocol::codec;
use antiphon_protocol::peer::{DataRequest, PeerMessage, Priority, SpanRequest};
use antiphon_protocol::{ChunkIndex, ErrorCode, Millis, NodeId, Span, SwarmId, version};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{PeerId, Stream, StreamProtocol, SwarmBuilder};
use libp2p_stream::Control;
use tokio::time::timeout;

use super::rig::{LIMITS, PATIENCE, TestNode, node_id, ticket};

const CONTROL: StreamProtocol = StreamProtocol::new(version::PEER_CONTROL);
const DATA: StreamProtocol = StreamProtocol::new(version::PEER_DATA);

/// A plain libp2p node that opens streams as it likes.
struct Attacker {
    node: NodeId,
    victim: PeerId,
    control: Control,
}

impl Attacker {
    async fn connect(secret: u8, victim: &TestNode) -> Self {
        let key = Keypair::ed25519_from_bytes([secret; 32]).expect("a key");
        let mut swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_quic()
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .expect("a behaviour")
            .with_swarm_config(|config| {
                config.with_idle_connection_timeout(Duration::from_secs(60))
            })
            .build();
        let control = swarm.behaviour().new_control();
        let key = libp2p::identity::ed25519::PublicKey::try_from_bytes(victim.node.as_bytes());
        let key = libp2p::identity::PublicKey::from(key.expect("a key"));
        let port = victim.handle.listen_addresses()[0].port();
        let address = format!("/ip4/127.0.0.1/udp/{port}/quic-v1");
        let peer = key.to_peer_id();
        let addresses = vec![address.parse().expect("an address")];
        let dial = DialOpts::peer_id(peer).addresses(addresses).build();
        swarm.dial(dial).expect("dials");
        // Streams asked for while the connection comes up can get lost in `libp2p-stream`.
        let established = async {
            while !swarm.is_connected(&peer) {
                swarm.select_next_some().await;
            }
        };
        timeout(PATIENCE, established).await.expect("connects");
        tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Self {
            node: node_id(secret),
            victim: peer,
            control,
        }
    }

    async fn open(&mut self, protocol: StreamProtocol) -> Stream {
        self.control
            .open_stream(self.victim, protocol)
            .await
            .expect("the stream opens")
    }

    fn hello(&self) -> Vec<u8> {
        codec::encode(&PeerMessage::Hello {
            version: version::PEER,
            ticket: ticket(self.node),
            limits: LIMITS,
        })
    }

    /// A control stream with `Hello` both ways.
    async fn greeted(&mut self) -> Stream {
        let mut stream = self.open(CONTROL).await;
        stream.write_all(&self.hello()).await.expect("writes");
        stream.flush().await.expect("writes");
        let hello = read_message(&mut stream)
            .await
            .expect("a good ticket is answered");
        assert!(matches!(hello, PeerMessage::Hello { .. }));
        stream
    }
}

async fn read_message(stream: &mut Stream) -> Option<PeerMessage> {
    let read = async {
        let mut header = [0; 4];
        stream.read_exact(&mut header).await.ok()?;
        let mut payload = vec![0; codec::payload_len::<PeerMessage>(header).ok()?];
        stream.read_exact(&mut payload).await.ok()?;
        codec::decode(&payload).ok()
    };
    timeout(PATIENCE, read).await.expect("an answer or an end")
}

fn span_request() -> Vec<u8> {
    codec::encode(&DataRequest::Span(SpanRequest {
        swarm: SwarmId([9; 16]),
        span: Span::new(ChunkIndex(0), 1).expect("legal"),
        priority: Priority::Urgent,
        deadline: Millis(100),
    }))
}

fn misbehaved(event: &PeerEvent) -> Option<(NodeId, Misbehavior)> {
    match event {
        PeerEvent::Misbehaved { node, what } => Some((*node, *what)),
        _ => None,
    }
}

fn disconnected(event: &PeerEvent) -> Option<NodeId> {
    match event {
        PeerEvent::Disconnected { node, .. } => Some(*node),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_control_frame_ends_the_neighbor() {
    let mut victim = TestNode::start(3).await;
    let mut attacker = Attacker::connect(66, &victim).await;
    let mut stream = attacker.greeted().await;
    stream
        .write_all(&u32::MAX.to_le_bytes())
        .await
        .expect("writes");
    stream.flush().await.expect("writes");
    let expected = (attacker.node, Misbehavior::Malformed);
    assert_eq!(victim.until(misbehaved).await, expected);
    assert_eq!(victim.until(disconnected).await, attacker.node);
    let code = ErrorCode::MALFORMED;
    assert_eq!(
        read_message(&mut stream).await,
        Some(PeerMessage::Bye { code })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_a_second_hello_end_the_neighbor() {
    for (secret, bytes, what) in [
        (66, vec![3, 0, 0, 0, 250, 1, 2], Misbehavior::Malformed),
        (67, vec![], Misbehavior::OutOfTurn),
    ] {
        let mut victim = TestNode::start(3).await;
        let mut attacker = Attacker::connect(secret, &victim).await;
        let mut stream = attacker.greeted().await;
        let bytes = match bytes.is_empty() {
            true => attacker.hello(),
            false => bytes,
        };
        stream.write_all(&bytes).await.expect("writes");
        stream.flush().await.expect("writes");
        assert_eq!(victim.until(misbehaved).await, (attacker.node, what));
        assert_eq!(victim.until(disconnected).await, attacker.node);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_hello_no_span_is_answered() {
    let mut victim = TestNode::start(3).await;
    let mut attacker = Attacker::connect(66, &victim).await;
    let mut stream = attacker.open(DATA).await;
    // The victim may have closed the stream before this is out.
    let _ = stream.write_all(&span_request()).await;
    let _ = stream.flush().await;
    let mut answer = [0; 1];
    let read = timeout(PATIENCE, stream.read(&mut answer)).await;
    assert!(
        matches!(read.expect("an end"), Ok(0) | Err(_)),
        "closed without an answer"
    );
    let honest = TestNode::start(4).await;
    honest.handle.dial(victim.contact());
    let first = victim.until(|event| Some(event.clone())).await;
    assert!(matches!(first, PeerEvent::Connected { node, .. } if node == honest.node));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_before_hello_is_refused() {
    let victim = TestNode::start(3).await;
    let mut attacker = Attacker::connect(66, &victim).await;
    let mut stream = attacker.open(CONTROL).await;
    let message = PeerMessage::Interest { swarms: vec![] };
    stream
        .write_all(&codec::encode(&message))
        .await
        .expect("writes");
    stream.flush().await.expect("writes");
    let code = ErrorCode::TICKET;
    assert_eq!(
        read_message(&mut stream).await,
        Some(PeerMessage::Bye { code })
    );
    assert_eq!(read_message(&mut stream).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_request_ends_the_neighbor() {
    let mut victim = TestNode::start(3).await;
    let mut attacker = Attacker::connect(66, &victim).await;
    let _control = attacker.greeted().await;
    let mut stream = attacker.open(DATA).await;
    stream
        .write_all(&1025_u32.to_le_bytes())
        .await
        .expect("writes");
    stream.flush().await.expect("writes");
    let expected = (attacker.node, Misbehavior::Malformed);
    assert_eq!(victim.until(misbehaved).await, expected);
    assert_eq!(victim.until(disconnected).await, attacker.node);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_at_once_on_a_stream_end_the_neighbor() {
    let mut victim = TestNode::start(3).await;
    let mut attacker = Attacker::connect(66, &victim).await;
    let _control = attacker.greeted().await;
    let mut stream = attacker.open(DATA).await;
    let twice = [span_request(), span_request()].concat();
    stream.write_all(&twice).await.expect("writes");
    stream.flush().await.expect("writes");
    let expected = (attacker.node, Misbehavior::OutOfTurn);
    assert_eq!(victim.until(misbehaved).await, expected);
    assert_eq!(victim.until(disconnected).await, attacker.node);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_stream_too_many_waits_for_another_to_end() {
    let mut victim = TestNode::start(3).await;
    let mut attacker = Attacker::connect(66, &victim).await;
    let mut control = attacker.greeted().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = attacker.open(DATA).await;
        stream.write_all(&span_request()).await.expect("writes");
        stream.flush().await.expect("writes");
        streams.push(stream);
    }
    for _ in 0..4 {
        victim.asked().await;
    }
    // The fifth is behind this message, and still is not heard.
    let message = PeerMessage::Interest { swarms: vec![] };
    let frame = codec::encode(&message);
    control.write_all(&frame).await.expect("writes");
    control.flush().await.expect("writes");
    victim
        .until(|event| match event {
            PeerEvent::SpanAsked { .. } => panic!("a fifth span is under way"),
            PeerEvent::Message { .. } => Some(()),
            _ => None,
        })
        .await;
    streams.remove(0);
    victim.asked().await;
}
