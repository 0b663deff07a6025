//! The tracker's client against a small server.

mod server;
mod tcp;

use std::net::SocketAddr;
use std::time::Duration;

use antiphon_node::peers;
use antiphon_node::tracker_client::{
    ConnectError, LinkEvent, RequestError, TrackerAddress, TrackerClient,
};
use antiphon_protocol::codec;
use antiphon_protocol::identity::{DevicePublic, DeviceSecret};
use antiphon_protocol::tracker::{Password, TrackerNotice, TrackerReply, TrackerRequest};
use antiphon_protocol::{AccountId, ErrorCode, NodeId};
use antiphon_transport::connection::Connection;
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::server::{Mood, NO, PATIENCE, Server, TOKEN, attached, device, node};

fn public() -> DevicePublic {
    device().public()
}

fn password(text: &str) -> Password {
    Password(text.to_owned())
}

fn search(limit: u16) -> TrackerRequest {
    let query = "quiet night".to_owned();
    TrackerRequest::Search { query, limit }
}

/// What the tracker says on `connection` comes out of the link.
async fn passes_on_introductions(connection: &Connection, events: &mut mpsc::Receiver<LinkEvent>) {
    let (node, address) = (NodeId([8; 32]), SocketAddr::from(([1, 2, 3, 4], 5)));
    let notice = TrackerNotice::Introduction { node, address };
    say(connection, &codec::encode(&notice)).await;
    let told = LinkEvent::Introduced { node, address };
    assert_eq!(next(events).await, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_in_gives_a_session_that_attaches() {
    let server = Server::start();
    let client = server.client().await;
    let name = || "ann".to_owned();
    let session = client
        .login(name(), password("secret words"), public())
        .await;
    let session = session.expect("the right password");
    assert_eq!(session.token, TOKEN);
    let registered = client.register(name(), password("other words"), public());
    assert_eq!(registered.await.expect("a free name").account, AccountId(1));
    let got = client
        .attach(session.token, &device(), &node(), Vec::new())
        .await;
    assert_eq!(got, Ok(attached()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_of_the_tracker_is_a_typed_error() {
    let server = Server::start();
    let client = server.client().await;
    let refused = |code| RequestError::Refused {
        code,
        retry_after: NO,
    };
    let login = client.login("ann".into(), password("wrong"), public());
    assert_eq!(login.await.err(), Some(refused(ErrorCode::LOGIN)));
    let register = client.register("taken".into(), password("secret words"), public());
    assert_eq!(register.await.err(), Some(refused(ErrorCode::NAME_TAKEN)));
    let other = DeviceSecret::from_bytes(&[4; 64]);
    let attach = client.attach(TOKEN, &other, &node(), Vec::new()).await;
    assert_eq!(attach, Err(refused(ErrorCode::UNAUTHENTICATED)));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_get_their_own_replies() {
    let server = Server::start();
    let client = server.client().await;
    let asked = (0..100_u16).map(|limit| {
        let client = client.clone();
        async move { (limit, client.request(search(limit)).await) }
    });
    for (limit, reply) in futures::future::join_all(asked).await {
        let Ok(TrackerReply::Tracks { more, .. }) = reply else {
            panic!("{reply:?}");
        };
        assert_eq!(more, limit % 2 == 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_certificate_is_not_spoken_to() {
    let mut server = Server::start();
    let (address, other) = (&server.address, [8; 32]);
    let wrong = TrackerAddress::new(address.host().to_owned(), address.port(), other);
    let error = TrackerClient::connect(&wrong).await.err();
    assert!(
        matches!(error, Some(ConnectError::Certificate { .. })),
        "{error:?}"
    );
    assert!(
        server.connections.try_recv().is_err(),
        "no connection came up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_an_error_in_time() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let port = socket.local_addr().expect("bound").port();
    let nobody = TrackerAddress::new("127.0.0.1".to_owned(), port, [0; 32]);
    let error = timeout(PATIENCE, TrackerClient::connect(&nobody)).await;
    assert!(matches!(
        error.expect("in time").err(),
        Some(ConnectError::TimedOut { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_replies_are_errors_and_the_connection_stays() {
    let server = Server::start();
    let client = server.client().await;
    for mood in [Mood::Oversized, Mood::Garbage] {
        server.mood.send_replace(mood);
        let reply = client.request(TrackerRequest::Leave).await;
        assert!(
            matches!(reply, Err(RequestError::Malformed(_))),
            "{reply:?}"
        );
    }
    server.mood.send_replace(Mood::Silent);
    let reply = client.request(TrackerRequest::Leave).await;
    assert_eq!(reply, Err(RequestError::TimedOut));
    server.mood.send_replace(Mood::Honest);
    let reply = client.request(TrackerRequest::Leave).await;
    assert_eq!(reply, Ok(TrackerReply::Left));
}

async fn next(events: &mut mpsc::Receiver<LinkEvent>) -> LinkEvent {
    timeout(PATIENCE, events.recv())
        .await
        .expect("an event in time")
        .expect("the link runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_link_comes_back_and_attaches_again() {
    let mut server = Server::start();
    let (link, mut events) = server.link();
    for _ in 0..3 {
        assert_eq!(next(&mut events).await, LinkEvent::Up(Box::new(attached())));
        let reply = link.request(TrackerRequest::Leave).await;
        assert_eq!(reply, Ok(TrackerReply::Left));
        let connection = server.connections.recv().await.expect("connected");
        connection.close(1);
        assert_eq!(next(&mut events).await, LinkEvent::Down);
        let between = link.request(TrackerRequest::Leave).await;
        assert!(matches!(between, Err(RequestError::Unreachable) | Ok(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_starts_before_the_tracker_says_it_is_down() {
    let server = Server::start();
    server.endpoint.close(0_u32.into(), b"");
    let (link, mut events) = server.link();
    assert_eq!(next(&mut events).await, LinkEvent::Down);
    let reply = link.request(TrackerRequest::Leave).await;
    assert_eq!(reply, Err(RequestError::Unreachable));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_no_good_waits_for_another() {
    let server = Server::start();
    server.mood.send_replace(Mood::LogsOut);
    let (link, mut events) = server.link();
    let code = ErrorCode::UNAUTHENTICATED;
    assert_eq!(next(&mut events).await, LinkEvent::LoggedOut { code });
    server.mood.send_replace(Mood::Honest);
    link.use_token(TOKEN);
    assert!(matches!(next(&mut events).await, LinkEvent::Up(_)));
}

async fn say(connection: &Connection, bytes: &[u8]) {
    let mut stream = connection
        .open_one_way()
        .await
        .expect("streams for notices");
    stream.write_all(bytes).await.expect("a connection");
    stream.finish().await.expect("a stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_goes_out_from_the_peers_socket_and_passes_introductions_on() {
    let mut server = Server::start();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = peers::bind(&[any]).expect("a free port");
    let (link, mut events) = server.link_from(sockets.outlets());
    assert_eq!(next(&mut events).await, LinkEvent::Up(Box::new(attached())));
    let client = link.client().expect("it is up");
    assert!(client.is_from_peer_socket());
    let connection = server.connections.recv().await.expect("connected");
    assert_eq!(connection.remote_address(), sockets.addresses()[0]);

    // What is no notice costs nothing but itself.
    say(&connection, &[1, 0, 0, 0, 0xee]).await;
    say(&connection, &u32::MAX.to_le_bytes()).await;
    passes_on_introductions(&connection, &mut events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_survives_the_peers_socket() {
    let mut server = Server::start();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = peers::bind(&[any]).expect("a free port");
    let peers_at = sockets.addresses()[0];
    let (link, mut events) = server.link_from(sockets.outlets());
    assert_eq!(next(&mut events).await, LinkEvent::Up(Box::new(attached())));
    let _ = server.connections.recv().await;
    drop(sockets);
    assert_eq!(next(&mut events).await, LinkEvent::Down);
    assert_eq!(next(&mut events).await, LinkEvent::Up(Box::new(attached())));
    let connection = server.connections.recv().await.expect("connected");
    assert_ne!(connection.remote_address(), peers_at);
    let client = link.client().expect("it is up");
    assert!(!client.is_from_peer_socket());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_was_away_is_dialed_from_the_peers_socket_again() {
    let server = Server::start();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = peers::bind(&[any]).expect("a free port");
    server.keep_udp_out();
    let (link, mut events) = server.link_from(sockets.outlets());
    assert_eq!(next(&mut events).await, LinkEvent::Down);
    server.let_udp_through();
    assert_eq!(next(&mut events).await, LinkEvent::Up(Box::new(attached())));
    let client = link.client().expect("it is up");
    assert!(client.is_from_peer_socket());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_moved_attaches_again_before_it_lets_the_former_connection_go() {
    let mut server = Server::start();
    let (link, mut events) = server.link();
    assert_eq!(next(&mut events).await, LinkEvent::Up(Box::new(attached())));
    let former = server.connections.recv().await.expect("connected");
    // Believed only after a while, and then as often as the tracker says it.
    let mut says = tokio::time::interval(Duration::from_millis(100));
    let said = async {
        loop {
            says.tick().await;
            say(&former, &codec::encode(&TrackerNotice::Moved)).await;
        }
    };
    let up = tokio::select! {
        () = said => unreachable!("it has no end"),
        event = next(&mut events) => event,
    };
    assert_eq!(up, LinkEvent::Up(Box::new(attached())), "never down");
    assert!(server.connections.recv().await.is_some());
    let reply = link.request(TrackerRequest::Leave).await;
    assert_eq!(reply, Ok(TrackerReply::Left));
    timeout(PATIENCE, former.closed()).await.expect("let go");
}
