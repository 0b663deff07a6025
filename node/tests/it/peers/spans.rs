//! Spans between neighbors.

use antiphon_node::peers::PeerEvent;
use antiphon_protocol::peer::PeerLimits;
use antiphon_protocol::{CHUNK_BYTES, ChunkIndex, ErrorCode, Millis};
use antiphon_swarm::FetchId;
use antiphon_swarm::node::input::FetchEvent;

use super::rig::{
    Content, LIMITS, TestNode, content, first_chunk, node_id, pair, pair_with_limits,
};

const CHUNK: usize = CHUNK_BYTES as usize;

fn assert_received(node: &TestNode, content: &Content, chunks: core::ops::Range<u32>) {
    let received = node.store.received.lock().expect("not poisoned");
    for chunk in chunks {
        let start = chunk as usize * CHUNK;
        let end = (start + CHUNK).min(content.bytes.len());
        let got = received.get(&chunk).map(Vec::as_slice);
        assert!(got == Some(&content.bytes[start..end]), "chunk {chunk}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetched_span_is_the_content_whatever_its_place() {
    // The last chunk is short; the spans cover a single chunk, the whole, the middle and the end.
    let content = content(70 * CHUNK + 5);
    let (mut asker, holder) = pair(&content).await;
    let from = holder.node;
    let mut ends = holder.serve(&content);
    for (fetch, (first, count)) in [(0, 1), (0, 64), (13, 30), (64, 7), (70, 1)]
        .into_iter()
        .enumerate()
    {
        asker.store.received.lock().expect("not poisoned").clear();
        asker.fetch(fetch as u64, from, &content, first, count);
        assert_eq!(asker.fetch_end(fetch as u64).await, FetchEvent::Done);
        assert_received(&asker, &content, first..first + count);
        assert_eq!(asker.store.received_chunks().len(), count as usize);
        let (sent, complete) = loop {
            let end = ends.recv().await.expect("the holder serves");
            if let PeerEvent::UploadEnded { sent, complete, .. } = end {
                break (sent, complete);
            }
        };
        assert!(complete);
        assert!(sent.0 > (count as u64 - 1) * CHUNK_BYTES);
    }
    // With the inner nodes that came along, the asker can prove what it holds.
    assert_eq!(asker.store.parents.lock().expect("not poisoned").len(), 70);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_in_order_and_ends_with_done() {
    let content = content(64 * CHUNK);
    let (mut asker, holder) = pair(&content).await;
    let from = holder.node;
    let _ends = holder.serve(&content);
    asker.fetch(1, from, &content, 0, 64);
    let mut last = ChunkIndex(0);
    let mut accepted = false;
    loop {
        let event = asker
            .until(|event| match event {
                PeerEvent::Fetch { event, .. } => Some(*event),
                _ => None,
            })
            .await;
        match event {
            FetchEvent::Accepted => accepted = true,
            FetchEvent::Verified { until } => {
                assert!(accepted && until > last);
                last = until;
            }
            other => {
                assert_eq!(other, FetchEvent::Done);
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_spans_at_once_all_arrive() {
    let content = content(512 * CHUNK);
    let (mut asker, holder) = pair(&content).await;
    let from = holder.node;
    let _ends = holder.serve(&content);
    for fetch in 0..32_u32 {
        asker.fetch(u64::from(fetch), from, &content, fetch * 16, 16);
    }
    let mut done = 0;
    while done < 32 {
        let event = asker.until(|event| match event {
            PeerEvent::Fetch { event, .. } => Some(*event),
            _ => None,
        });
        match event.await {
            FetchEvent::Done => done += 1,
            FetchEvent::Accepted | FetchEvent::Verified { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_received(&asker, &content, 0..512);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_liars_span_only_genuine_chunks_are_kept() {
    let content = content(32 * CHUNK);
    let (mut asker, holder) = pair(&content).await;
    let (from, store) = (holder.node, holder.store.clone());
    let _ends = holder.serve(&content);
    *store.lie_at.lock().expect("not poisoned") = Some(5);
    asker.fetch(1, from, &content, 0, 32);
    assert_eq!(asker.fetch_end(1).await, FetchEvent::Corrupt);
    assert_eq!(asker.store.received_chunks(), [0, 1, 2, 3, 4]);
    *store.lie_at.lock().expect("not poisoned") = None;
    asker.fetch(2, from, &content, 0, 32);
    assert_eq!(asker.fetch_end(2).await, FetchEvent::Done);
    assert_received(&asker, &content, 0..32);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_cannot_read_ends_the_span_and_stays_usable() {
    let content = content(32 * CHUNK);
    let (mut asker, holder) = pair(&content).await;
    let (from, store) = (holder.node, holder.store.clone());
    let _ends = holder.serve(&content);
    for fail_at in [0, 1, 20] {
        *store.fail_at.lock().expect("not poisoned") = Some(fail_at);
        asker.fetch(u64::from(fail_at), from, &content, 0, 32);
        assert_eq!(
            asker.fetch_end(u64::from(fail_at)).await,
            FetchEvent::Failed
        );
    }
    *store.fail_at.lock().expect("not poisoned") = None;
    asker.fetch(99, from, &content, 0, 32);
    assert_eq!(asker.fetch_end(99).await, FetchEvent::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canceled_fetch_is_silent_and_others_go_on() {
    let content = content(64 * CHUNK);
    let (mut asker, holder) = pair(&content).await;
    let (from, store) = (holder.node, holder.store.clone());
    let mut ends = holder.serve(&content);
    for round in 0..10_u64 {
        store.gate.close_from(3);
        asker.fetch(round, from, &content, 0, 64);
        asker.until(first_chunk).await;
        asker.handle.cancel(FetchId(round));
        store.gate.open();
        let ended = async {
            loop {
                let event = ends.recv().await.expect("the holder serves");
                if matches!(
                    event,
                    PeerEvent::UploadEnded {
                        complete: false,
                        ..
                    }
                ) {
                    return;
                }
            }
        };
        let stopped = tokio::time::timeout(super::rig::PATIENCE, ended).await;
        assert!(stopped.is_ok(), "the holder goes on in round {round}");
        let other = 100 + round;
        asker.fetch(other, from, &content, 0, 2);
        let end = asker.until(|event| match event {
            PeerEvent::Fetch { fetch, event } if *fetch == FetchId(round) => match event {
                FetchEvent::Verified { .. } => None,
                late => panic!("{late:?} of a canceled fetch"),
            },
            PeerEvent::Fetch {
                event: event @ (FetchEvent::Done | FetchEvent::Failed),
                ..
            } => Some(*event),
            _ => None,
        });
        assert_eq!(end.await, FetchEvent::Done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecided_span_can_be_canceled() {
    let content = content(CHUNK);
    let (mut asker, mut holder) = pair(&content).await;
    asker.fetch(1, holder.node, &content, 0, 1);
    let (canceled, _) = holder.asked().await;
    asker.handle.cancel(FetchId(1));
    asker.fetch(2, holder.node, &content, 0, 1);
    let (second, _) = holder.asked().await;
    assert_ne!(canceled, second);
    holder
        .handle
        .accept_upload(second, content.id, content.geometry);
    assert_eq!(asker.fetch_end(2).await, FetchEvent::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_vanishes_fails_the_fetch() {
    let content = content(64 * CHUNK);
    let (mut asker, mut holder) = pair(&content).await;
    holder.store.gate.close_from(3);
    asker.fetch(1, holder.node, &content, 0, 64);
    let (upload, _) = holder.asked().await;
    holder
        .handle
        .accept_upload(upload, content.id, content.geometry);
    asker.until(first_chunk).await;
    let store = holder.store.clone();
    drop(holder);
    assert_eq!(asker.fetch_end(1).await, FetchEvent::Failed);
    store.gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_from_a_stranger_fails_at_once() {
    let content = content(CHUNK);
    let mut asker = TestNode::start(2).await;
    asker.fetch(1, node_id(3), &content, 0, 1);
    assert_eq!(asker.fetch_end(1).await, FetchEvent::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drivers_no_reaches_the_asker() {
    let content = content(CHUNK);
    let (mut asker, mut holder) = pair(&content).await;
    asker.fetch(1, holder.node, &content, 0, 1);
    let (upload, _) = holder.asked().await;
    holder
        .handle
        .decline_upload(upload, ErrorCode::NOT_HELD, Millis(1_500));
    let end = asker.fetch_end(1).await;
    let FetchEvent::Declined { code, retry_after } = end else {
        panic!("{end:?}");
    };
    assert_eq!(code, ErrorCode::NOT_HELD);
    assert_eq!(retry_after.as_millis(), 1_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_the_driver_ends_fails_at_the_asker_and_is_reported() {
    let content = content(64 * CHUNK);
    let (mut asker, mut holder) = pair(&content).await;
    holder.store.gate.close_from(3);
    asker.fetch(1, holder.node, &content, 0, 64);
    let (upload, _) = holder.asked().await;
    holder
        .handle
        .accept_upload(upload, content.id, content.geometry);
    asker.until(first_chunk).await;
    holder.handle.end_upload(upload, ErrorCode::UPLOADS_PAUSED);
    holder.store.gate.open();
    assert_eq!(asker.fetch_end(1).await, FetchEvent::Failed);
    let (ended, complete) = holder
        .until(|event| match event {
            PeerEvent::UploadEnded {
                upload, complete, ..
            } => Some((*upload, *complete)),
            _ => None,
        })
        .await;
    assert_eq!((ended, complete), (upload, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_spans_than_allowed_are_declined_as_busy() {
    let content = content(64 * CHUNK);
    let limits = PeerLimits {
        spans_in_flight: 2,
        ..LIMITS
    };
    let (mut asker, mut holder) = pair_with_limits(&content, limits).await;
    for fetch in 0..4 {
        asker.fetch(fetch, holder.node, &content, fetch as u32, 1);
    }
    let (first, second) = (holder.asked().await.0, holder.asked().await.0);
    for _ in 0..2 {
        let code = asker.until(|event| match event {
            PeerEvent::Fetch {
                event: FetchEvent::Declined { code, .. },
                ..
            } => Some(*code),
            _ => None,
        });
        assert_eq!(code.await, ErrorCode::BUSY);
    }
    for upload in [first, second] {
        holder
            .handle
            .accept_upload(upload, content.id, content.geometry);
    }
    for _ in 0..2 {
        let done = asker.until(|event| match event {
            PeerEvent::Fetch {
                event: FetchEvent::Done,
                ..
            } => Some(()),
            _ => None,
        });
        done.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_too_often_is_declined_with_a_time_to_wait() {
    let content = content(CHUNK);
    let (mut asker, holder) = pair(&content).await;
    let from = holder.node;
    let _ends = holder.serve(&content);
    let mut limited = None;
    for fetch in 0..200 {
        asker.fetch(fetch, from, &content, 0, 1);
        if let FetchEvent::Declined { code, retry_after } = asker.fetch_end(fetch).await {
            limited = Some((fetch, code, retry_after));
            break;
        }
    }
    let (after, code, retry_after) = limited.expect("200 at once are too many");
    assert_eq!(code, ErrorCode::RATE_LIMITED);
    assert!(after >= 40 && retry_after.as_micros() > 0);
}
