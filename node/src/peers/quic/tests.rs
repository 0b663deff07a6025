use std::future::poll_fn;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::StreamMuxerExt;
use libp2p::identity::Keypair;
use quinn::crypto::rustls::HandshakeData;
use tokio::time::timeout;

use super::listener::must_prove_address;
use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

const REUSE: DialOpts = DialOpts {
    role: Role::Dialer,
    port_use: PortUse::Reuse,
};

fn transport() -> (PeerId, QuicTransport) {
    let key = Keypair::generate_ed25519();
    let transport = QuicTransport::new(&PeerTls::new(&key).expect("a certificate"), Vec::new())
        .expect("a configuration");
    (key.public().to_peer_id(), transport)
}

async fn next(transport: &mut QuicTransport) -> Event {
    let event = poll_fn(|context| Pin::new(&mut *transport).poll(context));
    timeout(PATIENCE, event).await.expect("an event in time")
}

async fn listen(transport: &mut QuicTransport, address: &str) -> Multiaddr {
    let address = address.parse().expect("an address");
    transport
        .listen_on(ListenerId::next(), address)
        .expect("listens");
    next(transport).await.into_new_address().expect("a port")
}

#[tokio::test]
async fn both_ends_learn_who_the_other_is_and_exchange_bytes() {
    for local in ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip6/::1/udp/0/quic-v1"] {
        let (server_id, mut server) = transport();
        let (client_id, mut client) = transport();
        let address = listen(&mut server, local).await;
        let from = listen(&mut client, local).await;
        let named = address.with(Protocol::P2p(server_id));
        let dial = client.dial(named, REUSE).expect("dials");
        let accept = async {
            let (upgrade, back) = next(&mut server).await.into_incoming().expect("a dial");
            assert_eq!(back, from, "dials from where it listens");
            upgrade.await.expect("the server's handshake")
        };
        let (dialed, (seen, mut inbound)) = futures::join!(dial, accept);
        let (reached, mut outbound) = dialed.expect("the client's handshake");
        assert_eq!((reached, seen), (server_id, client_id));
        let data = outbound.connection.handshake_data().expect("data");
        let data = data.downcast::<HandshakeData>().expect("of rustls");
        assert_eq!(data.protocol.as_deref(), Some(b"libp2p".as_slice()));

        let mut ours = poll_fn(|context| outbound.poll_outbound_unpin(context))
            .await
            .expect("a stream");
        ours.write_all(b"hello").await.expect("writes");
        ours.close().await.expect("closes");
        ours.close().await.expect("closing again changes nothing");
        let mut theirs = poll_fn(|context| inbound.poll_inbound_unpin(context))
            .await
            .expect("a stream");
        let mut read = Vec::new();
        let all = timeout(PATIENCE, theirs.read_to_end(&mut read)).await;
        assert_eq!(all.expect("in time").expect("reads"), 5);
        assert_eq!(read, b"hello");
    }
}

#[tokio::test]
async fn a_removed_listener_says_so_and_its_port_is_not_dialed_from() {
    let (_, mut transport) = transport();
    let id = ListenerId::next();
    let any = "/ip4/0.0.0.0/udp/0/quic-v1".parse().expect("an address");
    transport.listen_on(id, any).expect("listens");
    assert!(next(&mut transport).await.is_new_address());
    assert!(transport.remove_listener(id));
    assert!(!transport.remove_listener(id));
    let closed = next(&mut transport).await;
    assert!(matches!(
        closed,
        TransportEvent::ListenerClosed { listener_id, reason: Ok(()) } if listener_id == id
    ));
    let to = "127.0.0.1:9".parse().expect("an address");
    transport
        .endpoint_for(to, PortUse::Reuse)
        .expect("a socket");
    assert_eq!(transport.dialers.len(), 1);
}

#[tokio::test]
async fn the_same_port_listens_in_both_families() {
    let (_, mut transport) = transport();
    let six = listen(&mut transport, "/ip6/::/udp/0/quic-v1").await;
    let port = quic_address(&six).expect("QUIC").port();
    let four = listen(&mut transport, &format!("/ip4/0.0.0.0/udp/{port}/quic-v1")).await;
    assert_eq!(quic_address(&four).expect("QUIC").port(), port);
}

#[test]
fn only_quic_addresses_are_ours() {
    let ours = |text: &str| quic_address(&text.parse().expect("an address"));
    assert!(ours("/ip4/127.0.0.1/udp/1/quic-v1").is_some());
    assert!(ours("/ip4/127.0.0.1/udp/1").is_none());
    assert!(ours("/ip4/127.0.0.1/tcp/1").is_none());
    assert!(ours("/ip4/127.0.0.1/udp/1/quic-v1/p2p-circuit").is_none());
}

#[test]
fn strangers_prove_their_address_only_when_many_come() {
    let many = limits::HANDSHAKES_BEFORE_RETRY;
    assert!(!must_prove_address(many - 1, false));
    assert!(must_prove_address(many, false));
    assert!(!must_prove_address(many, true));
}

#[tokio::test]
async fn under_many_handshakes_a_dial_gets_through_and_beyond_the_limit_none_does() {
    for (free, admitted) in [(1, true), (0, false)] {
        let (_, mut server) = transport();
        let (_, mut client) = transport();
        let address = listen(&mut server, "/ip4/127.0.0.1/udp/0/quic-v1").await;
        let taken = limits::PENDING_INCOMING_MAX - free;
        let held = Arc::clone(&server.handshakes).acquire_many_owned(taken);
        let _held = held.await.expect("permits");
        let dial = client.dial(address, REUSE).expect("dials");
        let serve = async {
            let (upgrade, _) = next(&mut server).await.into_incoming().expect("a dial");
            upgrade.await.expect("the server's handshake")
        };
        if admitted {
            let (dialed, _accepted) = futures::join!(dial, serve);
            dialed.expect("the client's handshake");
        } else {
            let refused = futures::future::select(dial, Box::pin(serve)).await;
            let futures::future::Either::Left((refused, _)) = refused else {
                panic!("admitted beyond the limit");
            };
            assert!(matches!(refused, Err(QuicError::Connection(_))));
        }
    }
}
