//! What the origin gives and refuses over QUIC.

use antiphon_origin::server::{Origin, OriginConfig};
use antiphon_protocol::origin::{OriginReply, OriginRequest};
use antiphon_protocol::{ContentId, ErrorCode, Millis};
use ed25519_dalek::SigningKey;

use super::stage::{
    Client, Stage, ask, capability, fetch, own_bytes, read_reply, refusal, request, send, span,
    within,
};

#[tokio::test]
async fn spans_equal_the_source_and_verify() {
    let stage = Stage::new();
    let origin = stage.start().await;
    let client = Client::new(origin.certificate_fingerprint());
    let connection = client.connect(origin.quic_address()).await;
    let long = stage.add(5_000_000, 1);
    for (first, count) in [(0, 1), (0, 64), (37, 64), (300, 6), (305, 1), (242, 64)] {
        let span = span(first, count);
        let bytes = fetch(&connection, &long, span).await.unwrap();
        assert!(bytes == own_bytes(&long, span), "span {first}+{count}");
    }
    for bytes in [1, 16_384, 16_385, 40_000] {
        let short = stage.add(bytes, 2);
        let whole = span(0, short.geometry.chunk_count());
        assert_eq!(fetch(&connection, &short, whole).await, Some(short.bytes));
    }
    let metrics = origin.metrics();
    assert_eq!(metrics.quic_requests, 10);
    assert_eq!(metrics.outboard_loads, 5);
    assert!(metrics.quic_bytes > 3_000_000);
    assert!(metrics.refused.is_empty());
}

#[tokio::test]
async fn many_requests_at_once_are_answered_and_load_the_outboard_once() {
    let stage = Stage::new();
    let music = stage.add(3_000_000, 1);
    let origin = stage.start().await;
    let client = Client::new(origin.certificate_fingerprint());
    let connection = client.connect(origin.quic_address()).await;
    let fetches = (0..40).map(|first| fetch(&connection, &music, span(first, 20)));
    for (first, bytes) in (0..).zip(futures::future::join_all(fetches).await) {
        assert!(bytes.unwrap() == own_bytes(&music, span(first, 20)));
    }
    assert_eq!(origin.metrics().outboard_loads, 1);
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let stage = Stage::new();
    let music = stage.add(100_000, 1);
    let origin = stage.start().await;
    let client = Client::new(origin.certificate_fingerprint());
    let connection = client.connect(origin.quic_address()).await;
    let unknown = OriginRequest::Span {
        capability: None,
        content: ContentId([9; 32]),
        span: span(0, 1),
    };
    assert_eq!(refusal(&connection, &unknown).await, ErrorCode::NOT_FOUND);
    for outside in [span(6, 2), span(7, 1), span(u32::MAX - 64, 64)] {
        let code = refusal(&connection, &request(&music, outside)).await;
        assert_eq!(code, ErrorCode::INVALID);
    }
    // It was not there a moment ago; it is found as soon as it is.
    let late = stage.add(20_000, 9);
    assert!(fetch(&connection, &late, span(0, 2)).await.is_some());
    assert_eq!(origin.metrics().refused(ErrorCode::INVALID), 3);
    assert_eq!(origin.metrics().refused(ErrorCode::NOT_FOUND), 1);
}

#[tokio::test]
async fn an_origin_with_a_key_answers_living_capabilities_of_its_tracker_only() {
    let stage = Stage::new();
    let music = stage.add(100_000, 1);
    let tracker = SigningKey::from_bytes(&[1; 32]);
    let forger = SigningKey::from_bytes(&[2; 32]);
    let origin = Origin::start(OriginConfig {
        capability_key: Some(tracker.verifying_key().to_bytes()),
        ..stage.config()
    })
    .await
    .unwrap();
    let client = Client::new(origin.certificate_fingerprint());
    let connection = client.connect(origin.quic_address()).await;
    let with = |capability| OriginRequest::Span {
        capability,
        content: music.content,
        span: span(0, 1),
    };
    for bad in [
        None,
        Some(capability(&tracker, -3_600)),
        Some(capability(&tracker, 3_600)),
        Some(capability(&forger, 600)),
    ] {
        let code = refusal(&connection, &with(bad)).await;
        assert_eq!(code, ErrorCode::CAPABILITY);
    }
    for _ in 0..2 {
        let good = with(Some(capability(&tracker, 600)));
        let (reply, _) = ask(&connection, &good).await;
        assert!(matches!(reply, OriginReply::Accept { .. }));
    }
}

#[tokio::test]
async fn bad_frames_are_refused_and_the_connection_goes_on() {
    let stage = Stage::new();
    let music = stage.add(100_000, 1);
    let origin = stage.start().await;
    let client = Client::new(origin.certificate_fingerprint());
    let connection = client.connect(origin.quic_address()).await;
    let huge = u32::MAX.to_le_bytes();
    let long = [&1_025_u32.to_le_bytes()[..], &[0; 1_025]].concat();
    let garbage = [&8_u32.to_le_bytes()[..], &[0xff; 8]].concat();
    let empty = 0_u32.to_le_bytes();
    for (bytes, expected) in [
        (&huge[..], ErrorCode::TOO_LARGE),
        (&long[..], ErrorCode::TOO_LARGE),
        (&garbage[..], ErrorCode::MALFORMED),
        (&empty[..], ErrorCode::MALFORMED),
    ] {
        let (reply, _) = send(&connection, bytes).await;
        let OriginReply::Refuse { code, .. } = reply else {
            panic!("accepted {bytes:?}");
        };
        assert_eq!(code, expected);
    }
    assert!(fetch(&connection, &music, span(0, 7)).await.is_some());
}

#[tokio::test]
async fn a_request_that_does_not_come_is_not_waited_for() {
    let stage = Stage::new();
    let origin = Origin::start(OriginConfig {
        request_timeout: Millis(100),
        ..stage.config()
    })
    .await
    .unwrap();
    let client = Client::new(origin.certificate_fingerprint());
    let connection = client.connect(origin.quic_address()).await;
    // More streams than may be open at a time: each must be given back.
    for half in [&[1_u8][..], &200_u32.to_le_bytes(), &[200, 0, 0, 0, 5]]
        .iter()
        .cycle()
        .take(40)
    {
        let (mut send, mut recv) = within(connection.open_bi()).await.unwrap();
        send.write_all(half).await.unwrap();
        let ended = within(recv.read(&mut [0; 1])).await;
        let code = quinn::VarInt::from_u32(u32::from(ErrorCode::CANCELED.0));
        assert_eq!(ended, Err(quinn::ReadError::Reset(code)));
    }
    assert_eq!(origin.metrics().requests_late, 40);
}

#[tokio::test]
async fn a_receiver_that_stops_reading_is_cut_off_and_its_place_is_free_again() {
    let stage = Stage::new();
    let music = stage.add(3_000_000, 1);
    let origin = Origin::start(OriginConfig {
        answers_max: 1,
        send_timeout: Millis(300),
        ..stage.config()
    })
    .await
    .unwrap();
    let stalled = Client::with_window(origin.certificate_fingerprint(), 4_096);
    let stalled = stalled.connect(origin.quic_address()).await;
    let (reply, _unread) = ask(&stalled, &request(&music, span(0, 64))).await;
    assert!(matches!(reply, OriginReply::Accept { .. }));
    let client = Client::new(origin.certificate_fingerprint());
    let connection = client.connect(origin.quic_address()).await;
    let wanted = request(&music, span(0, 1));
    let (reply, _) = ask(&connection, &wanted).await;
    let OriginReply::Refuse { code, retry_after } = reply else {
        panic!("the only place is taken, but got {reply:?}");
    };
    assert_eq!(code, ErrorCode::BUSY);
    assert!(retry_after > Millis(0));
    within(async {
        while !matches!(
            ask(&connection, &wanted).await.0,
            OriginReply::Accept { .. }
        ) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(origin.metrics().answers_broken >= 1);
}

#[tokio::test]
async fn damage_on_the_origins_disk_does_not_pass_verification() {
    let stage = Stage::new();
    let music = stage.add(300_000, 1);
    let mut damaged = music.bytes.clone();
    damaged[5 * 16_384 + 77] ^= 1;
    std::fs::write(stage.object(music.content, "enc"), damaged).unwrap();
    let origin = stage.start().await;
    let client = Client::new(origin.certificate_fingerprint());
    let connection = client.connect(origin.quic_address()).await;
    assert_eq!(fetch(&connection, &music, span(0, 19)).await, None);
    assert!(fetch(&connection, &music, span(0, 5)).await.is_some());

    let cut = stage.add(300_000, 2);
    std::fs::write(stage.object(cut.content, "obao"), [0; 64]).unwrap();
    let code = refusal(&connection, &request(&cut, span(0, 1))).await;
    assert_eq!(code, ErrorCode::INTERNAL);
}

#[tokio::test]
async fn an_object_removed_while_known_is_not_found() {
    let stage = Stage::new();
    let music = stage.add(300_000, 1);
    let origin = stage.start().await;
    let client = Client::new(origin.certificate_fingerprint());
    let connection = client.connect(origin.quic_address()).await;
    assert!(fetch(&connection, &music, span(0, 1)).await.is_some());
    std::fs::remove_file(stage.object(music.content, "enc")).unwrap();
    for _ in 0..2 {
        let code = refusal(&connection, &request(&music, span(0, 1))).await;
        assert_eq!(code, ErrorCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn shutdown_lets_a_running_answer_end_and_refuses_new_requests() {
    let stage = Stage::new();
    let music = stage.add(3_000_000, 1);
    let origin = stage.start().await;
    let client = Client::with_window(origin.certificate_fingerprint(), 32 * 1024);
    let connection = client.connect(origin.quic_address()).await;
    let (reply, mut running) = ask(&connection, &request(&music, span(0, 64))).await;
    assert!(matches!(reply, OriginReply::Accept { .. }));
    // A stream that the origin knows before the shutdown, its request comes after.
    let (mut late, mut late_reply) = connection.open_bi().await.unwrap();
    let frame = antiphon_protocol::codec::encode(&request(&music, span(0, 1)));
    late.write_all(&frame[..4]).await.unwrap();
    // What is asked and answered after it shows that it has arrived.
    assert!(fetch(&connection, &music, span(0, 1)).await.is_some());
    let shutdown = tokio::spawn(origin.shutdown());
    tokio::task::yield_now().await;
    late.write_all(&frame[4..]).await.unwrap();
    let said = read_reply(&mut late_reply).await;
    let bytes = within(running.read_to_end(4 << 20)).await.unwrap();
    let whole = super::stage::check(&music, span(0, 64), &bytes).unwrap();
    assert!(whole == own_bytes(&music, span(0, 64)));
    let OriginReply::Refuse { code, .. } = said else {
        panic!("a request during shutdown was accepted");
    };
    assert_eq!(code, ErrorCode::GOING_AWAY);
    within(shutdown).await.unwrap();
    assert!(
        within(connection.closed())
            .await
            .to_string()
            .contains("shutting down")
    );
}
