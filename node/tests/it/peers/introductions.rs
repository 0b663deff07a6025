//! Dials that get no answer, and nodes that dial back.

use std::net::{SocketAddr, UdpSocket};

use antiphon_node::peers::PeerEvent;
use antiphon_protocol::NodeId;
use antiphon_protocol::peer::{PeerContact, PeerMessage};

use super::rig::{REGION, TestNode, node_id};

/// An address that swallows what is sent to it, as a router does with what strangers send.
fn router() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

fn unanswered(event: &PeerEvent) -> Option<NodeId> {
    match event {
        PeerEvent::Unanswered { node } => Some(*node),
        PeerEvent::Connected { .. } => panic!("connected through a router"),
        _ => None,
    }
}

fn connected(event: &PeerEvent) -> Option<(NodeId, bool)> {
    match event {
        PeerEvent::Connected { node, outbound, .. } => Some((*node, *outbound)),
        PeerEvent::DialFailed { .. } => panic!("the dial was not given up"),
        _ => None,
    }
}

fn address(node: &TestNode) -> SocketAddr {
    node.handle.listen_addresses()[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_dialed_in_vain_dials_back_and_is_the_dialers_choice() {
    let (mut asker, mut holder) = (TestNode::start(2).await, TestNode::start(3).await);
    let (_router, swallows) = router();
    asker.handle.dial(PeerContact {
        node: holder.node,
        region: REGION,
        addresses: vec![swallows],
    });
    assert_eq!(asker.until(unanswered).await, holder.node);
    holder.handle.dial_back(asker.node, address(&asker));
    assert_eq!(asker.until(connected).await, (holder.node, true));
    assert_eq!(holder.until(connected).await, (asker.node, false));
    // The connection stays, although the asker's dial is over.
    let interest = PeerMessage::Interest { swarms: Vec::new() };
    for (from, to) in [(&asker.handle, holder.node), (&holder.handle, asker.node)] {
        from.send(to, interest.clone());
    }
    for end in [&mut asker, &mut holder] {
        let said = end.until(|event| match event {
            PeerEvent::Message { message, .. } => Some(message.clone()),
            PeerEvent::Disconnected { .. } | PeerEvent::DialFailed { .. } => {
                panic!("not the first connection: {event:?}")
            }
            _ => None,
        });
        assert_eq!(said.await, interest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dialing_back_in_vain_is_not_said_but_a_dial_meanwhile_is_answered() {
    let mut node = TestNode::start(2).await;
    let (_router, swallows) = router();
    let other = node_id(9);
    node.handle.dial_back(other, swallows);
    node.handle.dial(PeerContact {
        node: other,
        region: REGION,
        addresses: vec![swallows],
    });
    let failed = node.until(|event| match event {
        PeerEvent::DialFailed { node } => Some(*node),
        _ => None,
    });
    assert_eq!(failed.await, other);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_dialed_back_in_vain_can_be_dialed_meanwhile_where_it_is() {
    let (mut node, other) = (TestNode::start(2).await, TestNode::start(3).await);
    // Somebody has claimed the other's name.
    let (router, swallows) = router();
    node.handle.dial_back(other.node, swallows);
    let mut first = [0; 1];
    router.recv(&mut first).expect("a dial");
    node.handle.dial(PeerContact {
        node: other.node,
        region: REGION,
        addresses: vec![address(&other)],
    });
    assert_eq!(node.until(connected).await, (other.node, true));
}
