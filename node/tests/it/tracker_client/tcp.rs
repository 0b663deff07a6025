//! The tracker's client where QUIC leads nowhere.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn where_udp_does_not_get_through_everything_goes_over_tcp() {
    let mut server = Server::start_walled();
    let client = server.client().await;
    assert!(client.is_over_tcp());
    let login = client.login("ann".to_owned(), password("secret words"), public());
    assert_eq!(login.await.expect("the right password").token, TOKEN);
    server.connections.recv().await.expect("connected").close(0);
    timeout(PATIENCE, client.lost()).await.expect("in time");

    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = peers::bind(&[any]).expect("a free port");
    let (link, mut events) = server.link_from(sockets.outlets());
    assert_eq!(next(&mut events).await, LinkEvent::Up(Box::new(attached())));
    let client = link.client().expect("it is up");
    assert!(client.is_over_tcp() && !client.is_from_peer_socket());
    let asked = (0..100_u16).map(|limit| link.request(search(limit)));
    for (limit, reply) in futures::future::join_all(asked)
        .await
        .into_iter()
        .enumerate()
    {
        let Ok(TrackerReply::Tracks { more, .. }) = reply else {
            panic!("{reply:?}");
        };
        assert_eq!(more, limit % 2 == 0);
    }
    let connection = server.connections.recv().await.expect("connected");
    say(&connection, &[1, 0, 0, 0, 0xee]).await;
    passes_on_introductions(&connection, &mut events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_another_certificate_is_not_spoken_to_either() {
    let mut server = Server::start_walled();
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
async fn a_link_that_was_over_tcp_comes_back_over_quic_where_that_works() {
    let mut server = Server::start_walled();
    let (link, mut events) = server.link();
    assert_eq!(next(&mut events).await, LinkEvent::Up(Box::new(attached())));
    let connection = server.connections.recv().await.expect("connected");
    server.let_udp_through();
    server.serves_tcp.take().expect("it does").abort();
    connection.close(1);
    assert_eq!(next(&mut events).await, LinkEvent::Down);
    assert_eq!(next(&mut events).await, LinkEvent::Up(Box::new(attached())));
    assert!(!link.client().expect("it is up").is_over_tcp());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_over_tcp_goes_on_over_quic_when_udp_gets_through_after_all() {
    let server = Server::start_walled();
    let (link, mut events) = server.link();
    assert_eq!(next(&mut events).await, LinkEvent::Up(Box::new(attached())));
    server.let_udp_through();
    let up = next(&mut events).await;
    assert_eq!(up, LinkEvent::Up(Box::new(attached())), "never down");
    assert!(!link.client().expect("it is up").is_over_tcp());
    let reply = link.request(TrackerRequest::Leave).await;
    assert_eq!(reply, Ok(TrackerReply::Left));
}
