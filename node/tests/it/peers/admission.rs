//! Who becomes a neighbor, for how long, and what neighbors say to each other.

use std::sync::atomic::Ordering;

use antiphon_node::peers::{self, Misbehavior, PeerEvent};
use antiphon_protocol::peer::PeerMessage;
use antiphon_protocol::ticket::CLOCK_TOLERANCE_SECS;
use antiphon_protocol::{ErrorCode, NodeId, SwarmId, UnixSeconds};
use ed25519_dalek::SigningKey;

use super::rig::{LIMITS, NOW, REGION, TestNode, node_id, ticket, ticket_of, tracker};

fn dial_failed(event: &PeerEvent) -> Option<NodeId> {
    match event {
        PeerEvent::DialFailed { node } => Some(*node),
        PeerEvent::Connected { .. } => panic!("connected without a good ticket"),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_with_tickets_become_neighbors_and_learn_of_each_other() {
    let (mut one, mut two) = (TestNode::start(2).await, TestNode::start(3).await);
    one.handle.dial(two.contact());
    for (end, other, dialed) in [(&mut one, node_id(3), true), (&mut two, node_id(2), false)] {
        let connected = end.until(|event| match event {
            PeerEvent::Connected {
                node,
                outbound,
                rtt,
                limits,
                region,
            } => Some((*node, *outbound, *rtt, *limits, *region)),
            _ => None,
        });
        let (node, outbound, rtt, limits, region) = connected.await;
        assert_eq!((node, outbound), (other, dialed));
        assert_eq!((limits, region), (LIMITS, REGION));
        assert!(!rtt.is_zero());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_messages_pass_both_ways_in_order() {
    let (mut one, mut two) = (TestNode::start(2).await, TestNode::start(3).await);
    one.handle.dial(two.contact());
    one.connected().await;
    two.connected().await;
    let message = |number: u8| PeerMessage::Interest {
        swarms: vec![SwarmId([number; 16])],
    };
    for number in 0..20 {
        one.handle.send(two.node, message(number));
        two.handle.send(one.node, message(number));
    }
    for end in [&mut one, &mut two] {
        for number in 0..20 {
            let got = end.until(|event| match event {
                PeerEvent::Message { message, .. } => Some(message.clone()),
                _ => None,
            });
            assert_eq!(got.await, message(number));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialer_without_a_good_ticket_is_not_answered() {
    let mut holder = TestNode::start(3).await;
    let stranger = SigningKey::from_bytes(&[9; 32]);
    let long_over = UnixSeconds(NOW.0 - CLOCK_TOLERANCE_SECS);
    let far_ahead = NOW.plus_secs(24 * 3600);
    let fresh = NOW.plus_secs(600);
    for bad in [
        None,
        Some(ticket_of(node_id(2), fresh, &stranger)),
        Some(ticket_of(node_id(2), long_over, &tracker())),
        Some(ticket_of(node_id(2), far_ahead, &tracker())),
        Some(ticket(node_id(4))),
    ] {
        let mut dialer = TestNode::start_with(2, Default::default(), LIMITS).await;
        if let Some(bad) = bad {
            dialer.handle.set_ticket(bad);
        }
        dialer.handle.dial(holder.contact());
        assert_eq!(dialer.until(dial_failed).await, holder.node);
    }
    // Nothing of it reached the holder's driver: the next thing it hears is an honest node.
    let honest = TestNode::start(5).await;
    honest.handle.dial(holder.contact());
    let first = holder.until(|event| Some(event.clone())).await;
    assert!(matches!(first, PeerEvent::Connected { node, .. } if node == honest.node));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialed_node_with_another_nodes_ticket_is_no_neighbor() {
    let mut dialer = TestNode::start(2).await;
    let dialed = TestNode::start_with(3, Default::default(), LIMITS).await;
    dialed.handle.set_ticket(ticket(node_id(4)));
    dialer.handle.dial(dialed.contact());
    let (node, what) = dialer
        .until(|event| match event {
            PeerEvent::Misbehaved { node, what } => Some((*node, *what)),
            _ => None,
        })
        .await;
    assert_eq!((node, what), (dialed.node, Misbehavior::Ticket));
    assert_eq!(dialer.until(dial_failed).await, dialed.node);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unspecified_address_is_reported_as_such_with_its_port() {
    let node = TestNode::start_on("0.0.0.0:0", 2, Default::default(), LIMITS).await;
    let [address] = node.handle.listen_addresses() else {
        panic!("{:?}", node.handle.listen_addresses());
    };
    assert!(address.ip().is_unspecified() && address.port() != 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_an_error_that_names_it() {
    let node = TestNode::start(2).await;
    let taken = node.handle.listen_addresses()[0];
    let error = peers::bind(&[taken]).expect_err("the port is taken");
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dialing_nobody_fails() {
    let mut dialer = TestNode::start(2).await;
    let mut contact = dialer.contact();
    contact.node = node_id(3);
    dialer.handle.dial(contact.clone());
    assert_eq!(dialer.until(dial_failed).await, node_id(3));
    contact.addresses.clear();
    dialer.handle.dial(contact);
    assert_eq!(dialer.until(dial_failed).await, node_id(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_a_close_reaches_the_other_side() {
    let (mut one, mut two) = (TestNode::start(2).await, TestNode::start(3).await);
    one.handle.dial(two.contact());
    one.connected().await;
    two.connected().await;
    one.handle.close(two.node, ErrorCode::PRUNED);
    for end in [&mut one, &mut two] {
        let code = end.until(disconnected).await;
        assert_eq!(code, Some(ErrorCode::PRUNED));
    }
    // And they can meet again.
    two.handle.dial(one.contact());
    one.connected().await;
    two.connected().await;
}

fn disconnected(event: &PeerEvent) -> Option<Option<ErrorCode>> {
    match event {
        PeerEvent::Disconnected { code, .. } => Some(*code),
        _ => None,
    }
}

/// A ticket seen to be good for two seconds more, with the tolerance between clocks.
fn nearly_over() -> UnixSeconds {
    UnixSeconds(NOW.0 - CLOCK_TOLERANCE_SECS + 2)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_ends_unrenewed_ends_the_connection() {
    let (mut one, mut two) = (TestNode::start(2).await, TestNode::start(3).await);
    one.handle
        .set_ticket(ticket_of(one.node, nearly_over(), &tracker()));
    one.handle.dial(two.contact());
    one.connected().await;
    two.connected().await;
    two.clock.fetch_add(2, Ordering::Relaxed);
    assert_eq!(two.until(disconnected).await, Some(ErrorCode::TICKET));
    assert_eq!(one.until(disconnected).await, Some(ErrorCode::TICKET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_ticket_keeps_the_connection() {
    let (mut one, mut two) = (TestNode::start(2).await, TestNode::start(3).await);
    one.handle
        .set_ticket(ticket_of(one.node, nearly_over(), &tracker()));
    one.handle.dial(two.contact());
    one.connected().await;
    two.connected().await;
    one.handle.set_ticket(ticket(one.node));
    // Queued after the renewal, so the renewal is known when it arrives.
    let message = PeerMessage::Interest { swarms: vec![] };
    one.handle.send(two.node, message.clone());
    let is_message = |event: &PeerEvent| matches!(event, PeerEvent::Message { .. }).then_some(());
    two.until(is_message).await;
    two.clock.fetch_add(10, Ordering::Relaxed);
    // The former ticket's end is looked at after two seconds; what is said later still arrives.
    let mut again = tokio::time::interval(std::time::Duration::from_millis(500));
    for _ in 0..7 {
        again.tick().await;
        one.handle.send(two.node, message.clone());
        two.until(|event| match event {
            PeerEvent::Disconnected { .. } => panic!("closed in spite of the renewal"),
            event => is_message(event),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_renewal_ends_the_connection() {
    let (mut one, mut two) = (TestNode::start(2).await, TestNode::start(3).await);
    one.handle.dial(two.contact());
    one.connected().await;
    two.connected().await;
    one.handle.set_ticket(ticket(node_id(9)));
    let what = two
        .until(|event| match event {
            PeerEvent::Misbehaved { what, .. } => Some(*what),
            _ => None,
        })
        .await;
    assert_eq!(what, Misbehavior::Ticket);
    assert_eq!(two.until(disconnected).await, Some(ErrorCode::TICKET));
    assert_eq!(one.until(disconnected).await, Some(ErrorCode::TICKET));
}

#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_dials_leave_one_connection() {
    for round in 0..5_u8 {
        let (mut one, mut two) = (
            TestNode::start(10 + round).await,
            TestNode::start(20 + round).await,
        );
        one.handle.dial(two.contact());
        two.handle.dial(one.contact());
        one.connected().await;
        two.connected().await;
        // Whatever was sorted out meanwhile, a message gets through in the end.
        let message = PeerMessage::Interest { swarms: vec![] };
        for (from, to) in [(0, 1), (1, 0)] {
            let ends = [&mut one, &mut two];
            let nodes = [ends[0].node, ends[1].node];
            let arrived = async |ends: [&mut TestNode; 2]| {
                let [a, b] = ends;
                let (from, to) = if from == 0 { (a, b) } else { (b, a) };
                let mut again = tokio::time::interval(std::time::Duration::from_millis(50));
                loop {
                    tokio::select! {
                        _ = again.tick() => from.handle.send(to.node, message.clone()),
                        event = to.events.recv() => {
                            if let Some(PeerEvent::Message { node, .. }) = event {
                                return node;
                            }
                        }
                    }
                }
            };
            let node = tokio::time::timeout(super::rig::PATIENCE, arrived(ends)).await;
            assert_eq!(node, Ok(nodes[from]), "from {from} to {to}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_says_goodbye() {
    let (mut one, mut two) = (TestNode::start(2).await, TestNode::start(3).await);
    one.handle.dial(two.contact());
    one.connected().await;
    two.connected().await;
    one.handle.shutdown().await;
    assert_eq!(two.until(disconnected).await, Some(ErrorCode::GOING_AWAY));
}
