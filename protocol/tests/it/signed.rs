use antiphon_protocol::license::License;
use antiphon_protocol::manifest::{Rung, TrackManifest};
use antiphon_protocol::signed::{Document, OpenError, Signed};
use antiphon_protocol::ticket::{
    CLOCK_TOLERANCE_SECS, Capability, PASS_LIFETIME_SECS, RegionClass, Ticket,
};
use antiphon_protocol::{NodeId, UnixSeconds};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use crate::samples;

fn key() -> VerifyingKey {
    samples::tracker_key().verifying_key()
}

/// The same fields as a capability, under another name.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Twin {
    nonce: u64,
    expires: UnixSeconds,
}

impl Document for Twin {
    const CONTEXT: &'static [u8] = b"antiphon twin v1";
    const BYTES_MAX: usize = 64;
}

#[test]
fn a_signature_on_one_kind_does_not_hold_for_another() {
    let bytes = samples::capability().to_bytes();
    let twin = Signed::<Twin>::from_bytes(&bytes).expect("the same shape");
    assert_eq!(twin.open(&key()), Err(OpenError::Signature));
    let ticket = Signed::<Ticket>::from_bytes(&bytes).expect("small enough");
    assert_eq!(ticket.open(&key()), Err(OpenError::Signature));
    let bytes = samples::ticket().to_bytes();
    let capability = Signed::<Capability>::from_bytes(&bytes).expect("small enough");
    assert_eq!(capability.open(&key()), Err(OpenError::Signature));
}

#[test]
fn contexts_are_distinct_and_none_begins_another() {
    let contexts = [
        Ticket::CONTEXT,
        Capability::CONTEXT,
        License::CONTEXT,
        TrackManifest::CONTEXT,
    ];
    for (i, a) in contexts.iter().enumerate() {
        assert!(!a.contains(&0), "the zero byte ends a context");
        for (j, b) in contexts.iter().enumerate() {
            assert!(i == j || !a.starts_with(b));
        }
    }
}

#[test]
fn another_key_opens_nothing() {
    let other = samples::catalog_key().verifying_key();
    assert_eq!(samples::ticket().open(&other), Err(OpenError::Signature));
}

#[test]
fn any_flipped_bit_of_a_signed_document_is_noticed() {
    let bytes = samples::ticket().to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let opened = Signed::<Ticket>::from_bytes(&altered).and_then(|signed| signed.open(&key()));
        assert!(opened.is_err(), "bit {bit}");
    }
}

#[test]
fn a_weak_key_vouches_for_nothing() {
    // The identity point: with plain verification any signature of a certain form would pass.
    let mut identity = [0; 32];
    identity[0] = 1;
    let weak = VerifyingKey::from_bytes(&identity).expect("a point on the curve");
    assert_eq!(samples::ticket().open(&weak), Err(OpenError::Signature));
}

#[test]
fn a_signed_manifest_against_the_rules_is_refused() {
    let breaks: [fn(&mut TrackManifest); 8] = [
        |manifest| manifest.renditions.clear(),
        |manifest| manifest.renditions.reverse(),
        |manifest| manifest.title = "x".repeat(257),
        |manifest| manifest.renditions[0].size = antiphon_protocol::ByteCount(0),
        |manifest| manifest.renditions[0].seek_table = vec![2, 1],
        |manifest| manifest.renditions[0].seek_table = vec![u32::MAX],
        |manifest| manifest.renditions[0].sample_rate = 0,
        |manifest| manifest.renditions[0].channels = 9,
    ];
    for (number, spoil) in breaks.iter().enumerate() {
        let mut manifest = samples::manifest();
        assert!(manifest.check().is_ok());
        spoil(&mut manifest);
        assert!(manifest.check().is_err(), "case {number}");
    }
}

#[test]
fn the_rung_wished_for_or_the_next_lower_is_chosen() {
    let manifest = samples::manifest();
    let rung = |wish| manifest.rendition(wish).map(|rendition| rendition.rung);
    assert_eq!(rung(Rung::High), Some(Rung::Standard));
    assert_eq!(rung(Rung::Standard), Some(Rung::Standard));
    assert_eq!(rung(Rung::Low), Some(Rung::Low));
}

#[test]
fn a_ticket_is_good_for_its_node_and_its_time_only() {
    let node = NodeId([1; 32]);
    let issued = UnixSeconds(1_000_000);
    let ticket = Ticket {
        node,
        region: RegionClass(0),
        expires: issued.plus_secs(PASS_LIFETIME_SECS),
    };
    assert!(ticket.admits(node, issued));
    assert!(!ticket.admits(NodeId([2; 32]), issued));
    let slow_clock = UnixSeconds(issued.0 - CLOCK_TOLERANCE_SECS);
    assert!(ticket.admits(node, slow_clock));
    assert!(!ticket.admits(node, UnixSeconds(slow_clock.0 - 1)));
    let end = ticket.expires.plus_secs(CLOCK_TOLERANCE_SECS);
    assert!(ticket.admits(node, UnixSeconds(end.0 - 1)));
    assert!(!ticket.admits(node, end));
    let forever = Ticket {
        expires: UnixSeconds(u64::MAX),
        ..ticket
    };
    assert!(!forever.admits(node, issued));
}
