use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use antiphon_transport::muxed::MuxStream as Stream;
use futures::{AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt};
use libp2p::core::muxing::StreamMuxerExt;
use libp2p::identity::Keypair;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn transport() -> (PeerId, TcpTransport) {
    let key = Keypair::generate_ed25519();
    let tls = PeerTls::new(&key).expect("a certificate");
    let transport = TcpTransport::new(&tls, Vec::new()).expect("a configuration");
    (key.public().to_peer_id(), transport)
}

fn listen(transport: &mut TcpTransport) -> SocketAddr {
    let any = "127.0.0.1:0".parse().expect("an address");
    let listening = transport.listen_on(ListenerId::next(), any);
    listening.expect("listens");
    transport.events.clear();
    transport.listeners[0].bound()
}

async fn next(transport: &mut TcpTransport) -> Event {
    let event = poll_fn(|context| transport.poll(context));
    timeout(PATIENCE, event).await.expect("an event in time")
}

async fn accept(transport: &mut TcpTransport) -> Connected {
    let (upgrade, _) = next(transport).await.into_incoming().expect("a dial");
    upgrade.await
}

/// Two ends of one connection, both moving from here on.
async fn connected() -> (
    Arc<tokio::sync::Mutex<Muxer>>,
    Arc<tokio::sync::Mutex<Muxer>>,
) {
    let (outbound, inbound) = muxers().await;
    (moving(outbound), moving(inbound))
}

async fn muxers() -> (Muxer, Muxer) {
    let ((server_id, mut server), (client_id, client)) = (transport(), transport());
    let to = listen(&mut server);
    let dial = dial(client.connector(), to, Some(server_id));
    let (dialed, accepted) = futures::join!(dial, accept(&mut server));
    let (reached, outbound) = dialed.expect("the client's handshake");
    let (seen, inbound) = accepted.expect("the server's handshake");
    assert_eq!((reached, seen), (server_id, client_id));
    (outbound, inbound)
}

/// As the swarm does, whoever else looks at it.
fn moving(muxer: Muxer) -> Arc<tokio::sync::Mutex<Muxer>> {
    let muxer = Arc::new(tokio::sync::Mutex::new(muxer));
    let moved = Arc::downgrade(&muxer);
    tokio::spawn(poll_fn(move |context| {
        let Some(muxer) = moved.upgrade() else {
            return Poll::Ready(());
        };
        let Ok(mut muxer) = muxer.try_lock() else {
            context.waker().wake_by_ref();
            return Poll::Pending;
        };
        muxer.poll_unpin(context).map(drop)
    }));
    muxer
}

async fn open(muxer: &tokio::sync::Mutex<Muxer>) -> Stream {
    let opened = poll_fn(|context| match muxer.try_lock() {
        Ok(mut muxer) => muxer.poll_outbound_unpin(context),
        Err(_) => Poll::Pending,
    });
    timeout(PATIENCE, opened)
        .await
        .expect("in time")
        .expect("a stream")
}

async fn opened(muxer: &tokio::sync::Mutex<Muxer>) -> Stream {
    let opened = poll_fn(|context| match muxer.try_lock() {
        Ok(mut muxer) => muxer.poll_inbound_unpin(context),
        Err(_) => Poll::Pending,
    });
    timeout(PATIENCE, opened)
        .await
        .expect("in time")
        .expect("a stream")
}

#[tokio::test]
async fn both_ends_learn_who_the_other_is_and_exchange_bytes_both_ways() {
    let (one, two) = connected().await;
    for (asks, answers) in [(&one, &two), (&two, &one)] {
        let mut ours = open(asks).await;
        ours.write_all(b"hello").await.expect("writes");
        ours.close().await.expect("closes");
        let mut theirs = opened(answers).await;
        let mut read = Vec::new();
        let all = timeout(PATIENCE, theirs.read_to_end(&mut read)).await;
        assert_eq!(all.expect("in time").expect("reads"), 5);
        theirs.write_all(b"good day").await.expect("writes");
        theirs.close().await.expect("closes");
        let mut read = String::new();
        let all = timeout(PATIENCE, ours.read_to_string(&mut read)).await;
        all.expect("in time").expect("reads");
        assert_eq!(read, "good day");
    }
}

/// Writes until nothing is taken any more.
fn fill(stream: &mut Stream) -> usize {
    let (piece, mut written) = ([7; 8 * 1024], 0);
    while let Some(more) = Pin::new(&mut *stream)
        .poll_write(&mut Context::from_waker(std::task::Waker::noop()), &piece)
        .map(|more| more.expect("writes"))
        .now()
    {
        written += more;
    }
    written
}

trait Now<T> {
    fn now(self) -> Option<T>;
}

impl<T> Now<T> for Poll<T> {
    fn now(self) -> Option<T> {
        match self {
            Poll::Ready(now) => Some(now),
            Poll::Pending => None,
        }
    }
}

#[tokio::test]
async fn what_nobody_reads_is_bounded_and_arrives_when_it_is_read() {
    let (one, two) = connected().await;
    let mut ours = Vec::new();
    for _ in 0..limits::STREAMS_MAX {
        let mut stream = open(&one).await;
        stream
            .write_all(b"!")
            .await
            .expect("the first byte opens it");
        ours.push(stream);
    }
    // Far more than may be kept, over streams that nobody reads.
    let mut written = vec![1; ours.len()];
    for _ in 0..200 {
        for (stream, written) in ours.iter_mut().zip(&mut written) {
            *written += fill(stream);
        }
        tokio::task::yield_now().await;
    }
    let window = antiphon_transport::muxed::STREAM_WINDOW_BYTES;
    assert!(written.iter().sum::<usize>() > limits::TCP_UNSENT_MAX);
    assert!(written.iter().all(|written| *written <= window));
    let slack = limits::TCP_FRAME_BYTES_MAX * 2;
    for end in [&one, &two] {
        let (unread, unsent) = end.lock().await.kept();
        assert!(unread <= limits::TCP_UNREAD_MAX + slack, "{unread}");
        assert!(unsent <= limits::TCP_UNSENT_MAX + slack, "{unsent}");
    }
    // All are read at once: what is unread of one holds up the others.
    let closes = futures::future::join_all(ours.iter_mut().map(AsyncWriteExt::close));
    let reads = async {
        let mut reads = tokio::task::JoinSet::new();
        for _ in 0..limits::STREAMS_MAX {
            let mut from = opened(&two).await;
            reads.spawn(async move {
                let mut read = Vec::new();
                from.read_to_end(&mut read).await.expect("reads")
            });
        }
        reads.join_all().await
    };
    let (_, mut read) = timeout(PATIENCE, futures::future::join(closes, reads))
        .await
        .expect("in time");
    read.sort_unstable();
    written.sort_unstable();
    assert_eq!(read, written);
    assert_eq!(two.lock().await.kept().0, 0);
}

#[tokio::test]
async fn whoever_reads_nothing_does_not_keep_a_closed_connection() {
    let (one, _silent) = muxers().await;
    let one = moving(one);
    let mut streams = Vec::new();
    for _ in 0..limits::STREAMS_MAX {
        streams.push(open(&one).await);
    }
    // Until neither the system nor anybody else takes more.
    let mut idle = 0;
    while idle < 100 {
        let written: usize = streams.iter_mut().map(fill).sum();
        idle = if written == 0 { idle + 1 } else { 0 };
        tokio::task::yield_now().await;
    }
    assert!(one.lock().await.kept().1 > 0, "nothing waits to be sent");
    let closed = poll_fn(|context| match one.try_lock() {
        Ok(mut muxer) => muxer.poll_close_unpin(context),
        Err(_) => Poll::Pending,
    });
    timeout(PATIENCE, closed)
        .await
        .expect("in time")
        .expect("closes");
}

#[tokio::test]
async fn only_the_peer_that_was_dialed_will_do() {
    let ((_, mut server), (other, client)) = (transport(), transport());
    let to = listen(&mut server);
    let dial = dial(client.connector(), to, Some(other));
    let (dialed, _) = futures::join!(dial, accept(&mut server));
    assert!(matches!(dialed, Err(TcpError::WrongPeer)));
}

#[tokio::test]
async fn beyond_the_limit_of_handshakes_strangers_are_closed_at_once() {
    let (_, mut server) = transport();
    let to = listen(&mut server);
    let mut silent = Vec::new();
    let mut handshakes = Vec::new();
    for _ in 0..limits::TCP_HANDSHAKES_MAX {
        silent.push(TcpStream::connect(to).await.expect("connects"));
        let (upgrade, _) = next(&mut server).await.into_incoming().expect("a dial");
        handshakes.push(upgrade);
    }
    let mut beyond = TcpStream::connect(to).await.expect("the system accepts");
    let mut byte = [0];
    let ended = async {
        tokio::select! {
            _ = poll_fn(|context| server.poll(context)) => panic!("admitted beyond the limit"),
            read = beyond.read(&mut byte) => read,
        }
    };
    let ended = timeout(PATIENCE, ended).await.expect("in time");
    assert!(matches!(ended, Ok(0) | Err(_)));
    // One gives up, and another gets in.
    handshakes.pop();
    let _next = TcpStream::connect(to).await.expect("connects");
    assert!(next(&mut server).await.into_incoming().is_some());
}

#[tokio::test]
async fn a_stranger_that_sends_too_much_is_cut_off() {
    let (_, mut server) = transport();
    let to = listen(&mut server);
    let mut stranger = TcpStream::connect(to).await.expect("connects");
    // Records of a handshake message that says it is long.
    let mut record = vec![22, 3, 1, 0x10, 0, 1, 0, 0xff, 0];
    record.resize(5 + 0x1000, 0);
    let flood = async {
        for _ in 0..64 {
            if stranger.write_all(&record).await.is_err() {
                break;
            }
            record[5] = 0;
        }
        // Held open: the end is the other side's decision.
        std::future::pending::<()>().await;
    };
    let accepted = accept(&mut server);
    tokio::select! {
        () = flood => {}
        accepted = timeout(limits::HANDSHAKE_TIMEOUT / 2, accepted) => {
            let refused = accepted.expect("before the handshake times out");
            assert!(matches!(refused, Err(TcpError::Socket(_))));
        }
    }
}

#[tokio::test]
async fn a_removed_listener_says_so() {
    let (_, mut transport) = transport();
    let id = ListenerId::next();
    let any = "[::1]:0".parse().expect("an address");
    transport.listen_on(id, any).expect("listens");
    assert!(next(&mut transport).await.is_new_address());
    assert!(transport.remove_listener(id));
    assert!(!transport.remove_listener(id));
    let closed = next(&mut transport).now_or_never().expect("at once");
    assert!(matches!(
        closed,
        TransportEvent::ListenerClosed { listener_id, reason: Ok(()) } if listener_id == id
    ));
}
