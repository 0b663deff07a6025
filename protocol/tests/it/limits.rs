use std::fmt::Debug;
use std::net::SocketAddr;

use antiphon_protocol::codec::{
    self, DecodeError, EncodeError, LENGTH_BYTES, Message, decode, encode, part_len, payload_len,
    try_encode,
};
use antiphon_protocol::limits::*;
use antiphon_protocol::manifest::{Rung, TrackManifest};
use antiphon_protocol::origin::{OriginReply, OriginRequest};
use antiphon_protocol::peer::{
    DataReply, DataRequest, EXTENT_BYTES_MAX, Extent, Holding, PeerMessage,
};
use antiphon_protocol::release::Release;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::tracker::{AnnounceEntry, TrackerNotice, TrackerReply, TrackerRequest};
use antiphon_protocol::verified::PART_BYTES_MAX;
use antiphon_protocol::*;

use crate::samples;

/// Runs `check` on every committed kind of frame's payload.
fn every_sample(mut check: impl FnMut(&str, &[u8], &dyn Fn(&[u8]) -> bool)) {
    fn each<M: Message + Debug>(
        samples: Vec<(&'static str, M)>,
        check: &mut impl FnMut(&str, &[u8], &dyn Fn(&[u8]) -> bool),
    ) {
        for (name, message) in samples {
            let frame = encode(&message);
            check(name, &frame[LENGTH_BYTES..], &|payload| {
                decode::<M>(payload).is_ok()
            });
        }
    }
    each(samples::peer_messages(), &mut check);
    each(samples::data_requests(), &mut check);
    each(samples::data_replies(), &mut check);
    each(samples::origin_requests(), &mut check);
    each(samples::origin_replies(), &mut check);
    each(samples::tracker_requests(), &mut check);
    each(samples::tracker_replies(), &mut check);
    each(samples::tracker_notices(), &mut check);
}

#[test]
fn every_truncation_is_refused() {
    every_sample(|name, payload, decodes| {
        for len in 0..payload.len() {
            assert!(!decodes(&payload[..len]), "{name} cut to {len}");
        }
    });
}

#[test]
fn bytes_after_a_message_are_refused() {
    every_sample(|name, payload, decodes| {
        let longer = [payload, &[0]].concat();
        assert!(!decodes(&longer), "{name}");
    });
}

#[test]
fn no_flipped_bit_makes_a_decoder_panic() {
    every_sample(|_, payload, decodes| {
        for bit in 0..payload.len() * 8 {
            let mut altered = payload.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            decodes(&altered);
        }
    });
}

#[test]
fn an_unknown_variant_is_refused() {
    assert_eq!(decode::<PeerMessage>(&[7]), Err(DecodeError::Malformed));
    assert_eq!(decode::<DataRequest>(&[2]), Err(DecodeError::Malformed));
    assert_eq!(decode::<DataReply>(&[2, 0, 0]), Err(DecodeError::Malformed));
    assert_eq!(decode::<OriginRequest>(&[1]), Err(DecodeError::Malformed));
    assert_eq!(
        decode::<OriginReply>(&[2, 0, 0]),
        Err(DecodeError::Malformed)
    );
    let no_request = decode::<TrackerRequest>(&[12]);
    assert_eq!(no_request, Err(DecodeError::Malformed));
    assert_eq!(decode::<TrackerReply>(&[12]), Err(DecodeError::Malformed));
    assert_eq!(decode::<TrackerNotice>(&[2]), Err(DecodeError::Malformed));
}

fn refuses_length<M: Message>() {
    let header = |len: usize| u32::try_from(len).expect("small").to_le_bytes();
    assert_eq!(payload_len::<M>(header(M::BYTES_MAX)), Ok(M::BYTES_MAX));
    assert!(payload_len::<M>(header(M::BYTES_MAX + 1)).is_err());
    assert!(payload_len::<M>([0xff; 4]).is_err());
    let refused = decode::<M>(&vec![0; M::BYTES_MAX + 1]).err();
    assert!(matches!(refused, Some(DecodeError::TooLarge { .. })));
}

#[test]
fn lengths_over_the_limit_are_refused_from_the_header_alone() {
    refuses_length::<PeerMessage>();
    refuses_length::<DataRequest>();
    refuses_length::<DataReply>();
    refuses_length::<OriginRequest>();
    refuses_length::<OriginReply>();
    refuses_length::<TrackerRequest>();
    refuses_length::<TrackerReply>();
    refuses_length::<TrackerNotice>();
    assert_eq!(part_len(0_u32.to_le_bytes()), Ok(0));
    assert_eq!(
        part_len((PART_BYTES_MAX as u32).to_le_bytes()),
        Ok(PART_BYTES_MAX)
    );
    assert!(part_len((PART_BYTES_MAX as u32 + 1).to_le_bytes()).is_err());
}

#[test]
fn a_list_that_claims_more_than_its_limit_is_refused() {
    // `Have` with a claimed number of holdings, each 17 zero bytes: swarm zero, extent full.
    let have = |claimed: u8| {
        let mut payload = vec![1, claimed];
        payload.extend(vec![0; usize::from(claimed) * 17]);
        decode::<PeerMessage>(&payload)
    };
    assert!(have(HOLDINGS_PER_MESSAGE_MAX as u8).is_ok());
    assert_eq!(
        have(HOLDINGS_PER_MESSAGE_MAX as u8 + 1),
        Err(DecodeError::Malformed)
    );
    // A length of 2^63 with nothing behind it.
    let mut payload = vec![1];
    payload.extend([0xff; 9]);
    payload.push(0x01);
    assert_eq!(decode::<PeerMessage>(&payload), Err(DecodeError::Malformed));
}

#[test]
fn spans_of_no_or_too_many_chunks_are_refused() {
    let payload = |count: u8| [vec![0], vec![0; 16], vec![5, count, 0, 0]].concat();
    assert!(decode::<DataRequest>(&payload(64)).is_ok());
    assert_eq!(
        decode::<DataRequest>(&payload(0)),
        Err(DecodeError::Malformed)
    );
    assert_eq!(
        decode::<DataRequest>(&payload(65)),
        Err(DecodeError::Malformed)
    );
}

#[test]
fn durations_are_clamped_as_they_are_read() {
    let reply = DataReply::Decline {
        code: ErrorCode::BUSY,
        retry_after: Millis(u32::MAX),
    };
    let frame = encode(&reply);
    let clamped = DataReply::Decline {
        code: ErrorCode::BUSY,
        retry_after: WIRE_DURATION_MAX,
    };
    assert_eq!(decode::<DataReply>(&frame[LENGTH_BYTES..]), Ok(clamped));
}

#[test]
fn an_origin_that_announces_absurd_sizes_is_refused() {
    let accept = |size, encoded| OriginReply::Accept {
        size: ByteCount(size),
        encoded: ByteCount(encoded),
    };
    assert!(try_encode(&accept(RENDITION_BYTES_MAX.0, 1)).is_ok());
    assert_eq!(
        try_encode(&accept(RENDITION_BYTES_MAX.0 + 1, 1)),
        Err(EncodeError)
    );
    assert_eq!(try_encode(&accept(1, u64::MAX)), Err(EncodeError));
    let payload = postcard::to_stdvec(&accept(1, u64::MAX)).expect("plain data");
    assert_eq!(decode::<OriginReply>(&payload), Err(DecodeError::Limit));
}

#[test]
fn what_a_person_typed_too_long_is_an_error_and_not_a_panic() {
    let search = |len| TrackerRequest::Search {
        query: "é".repeat(len),
        limit: 20,
    };
    assert!(try_encode(&search(TEXT_BYTES_MAX / 2)).is_ok());
    assert_eq!(
        try_encode(&search(TEXT_BYTES_MAX / 2 + 1)),
        Err(EncodeError)
    );
}

#[test]
fn a_search_that_travels_too_far_is_refused() {
    let find = |hops| PeerMessage::Find {
        query: QueryId(1),
        swarm: SwarmId([0; 16]),
        hops,
    };
    assert!(try_encode(&find(FIND_HOPS_MAX)).is_ok());
    let payload = postcard::to_stdvec(&find(FIND_HOPS_MAX + 1)).expect("plain data");
    assert_eq!(decode::<PeerMessage>(&payload), Err(DecodeError::Limit));
}

fn contact_at_limit() -> antiphon_protocol::peer::PeerContact {
    let address: SocketAddr = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
        .parse()
        .expect("an address");
    antiphon_protocol::peer::PeerContact {
        addresses: vec![address; ADDRESSES_PER_NODE_MAX],
        ..samples::contact()
    }
}

fn fits<M: Message + PartialEq + Debug>(message: &M) {
    let frame = try_encode(message).expect("a message at its limits fits its frame");
    assert_eq!(
        codec::decode::<M>(&frame[LENGTH_BYTES..]).as_ref(),
        Ok(message)
    );
}

#[test]
fn peer_messages_at_their_limits_fit_their_frame() {
    let holding = Holding {
        swarm: SwarmId([0xff; 16]),
        extent: Extent::Partial(vec![0xff; EXTENT_BYTES_MAX]),
    };
    fits(&PeerMessage::Have {
        holdings: vec![holding; HOLDINGS_PER_MESSAGE_MAX],
    });
    fits(&PeerMessage::Found {
        query: QueryId(u64::MAX),
        swarm: SwarmId([0xff; 16]),
        holders: vec![contact_at_limit(); HOLDERS_PER_ANSWER_MAX],
    });
    fits(&PeerMessage::Interest {
        swarms: vec![SwarmId([0xff; 16]); HOLDINGS_PER_MESSAGE_MAX],
    });
}

/// The longest track at every rung: seek tables full of the longest numbers.
fn manifest_at_limit() -> TrackManifest {
    let mut manifest = samples::manifest();
    for text in [
        &mut manifest.title,
        &mut manifest.artist,
        &mut manifest.album,
    ] {
        *text = "x".repeat(TEXT_BYTES_MAX);
    }
    manifest.renditions = Rung::ALL.map(samples::rendition).to_vec();
    for rendition in &mut manifest.renditions {
        rendition.size = RENDITION_BYTES_MAX;
        rendition.frames = u64::MAX;
        rendition.seek_table = vec![(RENDITION_BYTES_MAX.0 - 1) as u32; SEEK_ENTRIES_MAX];
    }
    manifest
}

#[test]
fn tracker_messages_at_their_limits_fit_their_frame() {
    let extent = Extent::Partial(vec![0xff; EXTENT_BYTES_MAX]);
    let entry = AnnounceEntry {
        content: ContentId([0xff; 32]),
        extent,
    };
    fits(&TrackerRequest::Announce {
        entries: vec![entry; ANNOUNCES_PER_REQUEST_MAX],
    });
    let mut summary = samples::summary();
    for text in [&mut summary.title, &mut summary.artist, &mut summary.album] {
        *text = "x".repeat(TEXT_BYTES_MAX);
    }
    summary.art = Some(ArtId([0xff; 32]));
    summary.duration = MediaTime(u64::MAX);
    fits(&TrackerReply::Tracks {
        tracks: vec![summary; CATALOG_PAGE_MAX],
        more: true,
    });
    fits(&TrackerReply::Announced {
        swarms: vec![Some(SwarmId([0xff; 16])); ANNOUNCES_PER_REQUEST_MAX],
        again_after: WIRE_DURATION_MAX,
    });
    let manifest = Signed::sign(&manifest_at_limit(), &samples::catalog_key());
    let holder = antiphon_protocol::tracker::Holder {
        contact: contact_at_limit(),
        full: true,
    };
    fits(&TrackerReply::Opened(Box::new(
        antiphon_protocol::tracker::OpenedTrack {
            manifest,
            license: samples::license(),
            content: ContentId([0xff; 32]),
            swarm: SwarmId([0xff; 16]),
            holders: vec![holder; HOLDERS_PER_ANSWER_MAX],
        },
    )));
}

#[test]
fn a_damaged_release_is_refused() {
    let bytes = samples::release().to_bytes();
    for len in 0..bytes.len() {
        assert!(Release::from_bytes(&bytes[..len]).is_err());
    }
    for at in 0..bytes.len() {
        let mut altered = bytes.to_vec();
        altered[at] ^= 0x10;
        assert!(Release::from_bytes(&altered).is_err(), "byte {at}");
    }
}

#[test]
fn a_release_at_its_limits_still_reads() {
    let release = Release {
        manifest: Signed::sign(&manifest_at_limit(), &samples::catalog_key()),
        keys: samples::keys(),
    };
    assert!(Release::from_bytes(&release.to_bytes()).is_ok());
}

#[test]
fn a_signed_document_over_its_limit_is_refused_before_it_is_copied() {
    let payload = vec![0; 129];
    let bytes = postcard::to_stdvec(&(payload, ([0_u8; 32], [0_u8; 32]))).expect("plain data");
    assert!(Signed::<ticket::Ticket>::from_bytes(&bytes).is_err());
}
