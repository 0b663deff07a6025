//! What each fuzz target does with its bytes. A target fails by panicking.
//!
//! Plain functions, so that the same bodies run under libFuzzer and, over the committed corpora,
//! in the ordinary tests of `antiphon-protocol`.

use antiphon_protocol::chunk::{ChunkIndex, Geometry, Span};
use antiphon_protocol::codec::{self, LENGTH_BYTES, Message};
use antiphon_protocol::identity::DeviceSecret;
use antiphon_protocol::license::License;
use antiphon_protocol::manifest::{Rung, TrackManifest};
use antiphon_protocol::origin::{OriginReply, OriginRequest};
use antiphon_protocol::peer::{DataReply, DataRequest, PeerMessage};
use antiphon_protocol::release::Release;
use antiphon_protocol::signed::{Document, Signed};
use antiphon_protocol::ticket::{Capability, Ticket};
use antiphon_protocol::tracker::{TrackerNotice, TrackerReply, TrackerRequest};
use antiphon_protocol::verified::{Item, SpanVerifier, chunk_is_genuine};
use antiphon_protocol::{ByteCount, ContentId, MediaTime, NodeId, TrackId};
use ed25519_dalek::SigningKey;

/// A target by name: its folder under `corpus/` and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: &[Target] = &[
    ("peer_frame", peer_frame),
    ("data_request", data_request),
    ("data_reply", data_reply),
    ("origin_request", origin_request),
    ("origin_reply", origin_reply),
    ("tracker_request", tracker_request),
    ("tracker_reply", tracker_reply),
    ("tracker_notice", tracker_notice),
    ("signed_manifest", signed_manifest),
    ("signed_license", signed_license),
    ("signed_ticket", signed_ticket),
    ("signed_capability", signed_capability),
    ("release", release),
    ("span_verifier", span_verifier),
    ("id_text", id_text),
];

/// A control frame of a peer.
pub fn peer_frame(data: &[u8]) {
    frame::<PeerMessage>(data);
}

/// An asker's frame on a data stream.
pub fn data_request(data: &[u8]) {
    frame::<DataRequest>(data);
}

/// A holder's frame on a data stream.
pub fn data_reply(data: &[u8]) {
    frame::<DataReply>(data);
}

/// A request to the origin.
pub fn origin_request(data: &[u8]) {
    frame::<OriginRequest>(data);
}

/// An answer of the origin.
pub fn origin_reply(data: &[u8]) {
    frame::<OriginReply>(data);
}

/// A request to the tracker.
pub fn tracker_request(data: &[u8]) {
    frame::<TrackerRequest>(data);
}

/// A reply of the tracker.
pub fn tracker_reply(data: &[u8]) {
    frame::<TrackerReply>(data);
}

/// What the tracker says unasked.
pub fn tracker_notice(data: &[u8]) {
    frame::<TrackerNotice>(data);
}

/// A manifest as read, and as a document that somebody with the key signed.
pub fn signed_manifest(data: &[u8]) {
    if let Some(manifest) = document::<TrackManifest>(data) {
        for rung in Rung::ALL {
            let rendition = manifest
                .rendition(rung)
                .expect("a checked manifest has one");
            assert!(rendition.geometry().is_some());
            let end = rendition.duration();
            for time in [
                MediaTime::ZERO,
                MediaTime(end.0 / 2),
                end,
                MediaTime(u64::MAX),
            ] {
                assert!(rendition.byte_of(time) < rendition.size.0);
            }
        }
    }
}

/// A license as read, and as a document that somebody with the key signed.
pub fn signed_license(data: &[u8]) {
    if let Some(license) = document::<License>(data) {
        let stranger = DeviceSecret::from_bytes(&[0x5a; 64]);
        assert!(license.open(&stranger).is_err());
    }
}

/// A ticket as read, and as a document that somebody with the key signed.
pub fn signed_ticket(data: &[u8]) {
    if let Some(ticket) = document::<Ticket>(data) {
        // Within the clock's tolerance a pass outlives its end, except at the end of time.
        let good = ticket.expires.0 != u64::MAX;
        assert!(ticket.admits(ticket.node, ticket.expires) == good);
        let other = NodeId(ticket.node.0.map(|byte| !byte));
        assert!(!ticket.admits(other, ticket.expires));
    }
}

/// A capability as read, and as a document that somebody with the key signed.
pub fn signed_capability(data: &[u8]) {
    if let Some(capability) = document::<Capability>(data) {
        let good = capability.expires.0 != u64::MAX;
        assert!(capability.admits(capability.expires) == good);
    }
}

/// A release file as it is, and with its checksum put right, so that what is behind it is reached.
pub fn release(data: &[u8]) {
    read_release(data);
    if let Some((magic, rest)) = data.split_first_chunk::<8>()
        && let Some((_, body)) = rest.split_first_chunk::<32>()
    {
        let checksum = blake3::hash(body);
        read_release(&[magic.as_slice(), checksum.as_bytes(), body].concat());
    }
}

fn read_release(data: &[u8]) {
    if let Ok(release) = Release::from_bytes(data) {
        let again = Release::from_bytes(&release.to_bytes()).expect("its own bytes");
        assert!(again.manifest == release.manifest && again.keys == release.keys);
    }
}

/// An encoded span: nine bytes choose size, first chunk and count, the rest arrives as the span.
pub fn span_verifier(data: &[u8]) {
    let Some((shape, encoded)) = data.split_first_chunk::<9>() else {
        return;
    };
    let [s0, s1, s2, s3, f0, f1, f2, f3, count] = *shape;
    let size = u32::from_le_bytes([s0, s1, s2, s3]);
    let first = ChunkIndex(u32::from_le_bytes([f0, f1, f2, f3]));
    let Some(geometry) = Geometry::new(ByteCount(u64::from(size))) else {
        return;
    };
    let Some(span) = Span::new(first, u32::from(count)) else {
        return;
    };
    // The name is what an honest single chunk would have, so that some inputs get through.
    let content = ContentId(*blake3::hash(encoded).as_bytes());
    let mut verifier = SpanVerifier::new(content, geometry, span);
    let whole = verifier.clone().accept_part(encoded).is_ok();
    let mut rest = encoded;
    let mut items = 0;
    while let Some(item) = verifier.wanted() {
        let Some((bytes, after)) = rest.split_at_checked(item.bytes()) else {
            break;
        };
        if verifier.accept(bytes).is_err() {
            assert!(
                verifier.wanted() == Some(item),
                "a failure does not advance"
            );
            break;
        }
        // Only a content of one chunk is named by the hash of what arrived.
        assert!(matches!(item, Item::Chunk { .. }) && geometry.chunk_count() == 1);
        items += 1;
        rest = after;
    }
    assert!(whole == (items == 1));
    assert!(geometry.contains(span) || (items == 0 && verifier.wanted().is_none()));
    if geometry.contains(span) {
        assert!(chunk_is_genuine(content, geometry, &[], first, encoded) == whole);
    }
}

/// Ids from command lines and URLs.
pub fn id_text(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    if let Ok(id) = text.parse::<TrackId>() {
        assert!(id.to_string() == text.to_ascii_lowercase());
    }
    if let Ok(id) = text.parse::<ContentId>() {
        assert!(id.to_string() == text.to_ascii_lowercase());
    }
}

/// Length, payload, and what follows from a payload that decodes.
fn frame<M: Message>(data: &[u8]) {
    let Some((header, payload)) = data.split_first_chunk::<LENGTH_BYTES>() else {
        return;
    };
    if let Ok(len) = codec::payload_len::<M>(*header) {
        assert!(len <= M::BYTES_MAX);
    }
    if let Ok(message) = codec::decode::<M>(payload) {
        // Shorter or equal: numbers may come in longer forms than ours.
        let again = codec::encode(&message);
        assert!(again.len() <= LENGTH_BYTES + payload.len());
        let (_, payload) = again.split_at(LENGTH_BYTES);
        let second = codec::decode::<M>(payload).expect("our own frame");
        assert!(codec::encode(&second) == again);
    }
}

/// Reads `data` as a signed document, then signs its payload as if the key's owner had: what is
/// behind the signature must be as robust as what is before it.
fn document<T: Document>(data: &[u8]) -> Option<T> {
    let key = SigningKey::from_bytes(&[0x42; 32]);
    if let Ok(signed) = Signed::<T>::from_bytes(data) {
        assert!(signed.open(&key.verifying_key()).is_err());
        assert!(signed.to_bytes().len() <= data.len());
    }
    // The payload follows its own length, which has one byte up to 127 and then more.
    let skip = data.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    let (document, _): (T, _) = postcard::take_from_bytes(data.get(skip..)?).ok()?;
    document.check().ok()?;
    if postcard::to_stdvec(&document).ok()?.len() > T::BYTES_MAX {
        return None;
    }
    let opened = Signed::sign(&document, &key).open(&key.verifying_key());
    assert!(opened.is_ok());
    Some(document)
}
