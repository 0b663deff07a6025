use std::fmt::Debug;

use antiphon_protocol::codec::{LENGTH_BYTES, Message, decode, encode, payload_len};
use antiphon_protocol::license::{License, Terms};
use antiphon_protocol::release::Release;
use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::signed::{Document, Signed};
use antiphon_protocol::*;
use proptest::prelude::*;

use crate::{samples, strategies};

fn message<M: Message + PartialEq + Debug>(message: &M) -> Result<(), TestCaseError> {
    let frame = encode(message);
    let (header, payload) = frame.split_first_chunk::<LENGTH_BYTES>().expect("a frame");
    prop_assert_eq!(payload_len::<M>(*header), Ok(payload.len()));
    let decoded = decode::<M>(payload);
    prop_assert_eq!(decoded.as_ref(), Ok(message));
    Ok(())
}

fn document<T: Document + PartialEq + Debug>(document: &T) -> Result<(), TestCaseError> {
    let key = samples::tracker_key();
    let signed = Signed::sign(document, &key);
    let read = Signed::<T>::from_bytes(&signed.to_bytes());
    prop_assert_eq!(read.as_ref(), Ok(&signed));
    let opened = signed.open(&key.verifying_key());
    prop_assert_eq!(opened.as_ref(), Ok(document));
    Ok(())
}

fn text_form<T>(id: T) -> Result<(), TestCaseError>
where
    T: PartialEq + Debug + ToString + std::str::FromStr<Err: Debug>,
{
    let text = id.to_string();
    prop_assert_eq!(
        &text.to_uppercase().parse::<T>().expect("its own text"),
        &id
    );
    prop_assert_eq!(text.parse::<T>().expect("its own text"), id);
    Ok(())
}

proptest! {
    #[test]
    fn peer_messages(value in strategies::peer_message()) {
        message(&value)?;
    }

    #[test]
    fn data_requests(value in strategies::data_request()) {
        message(&value)?;
    }

    #[test]
    fn data_replies(value in strategies::data_reply()) {
        message(&value)?;
    }

    #[test]
    fn origin_requests(value in strategies::origin_request()) {
        message(&value)?;
    }

    #[test]
    fn origin_replies(value in strategies::origin_reply()) {
        message(&value)?;
    }

    #[test]
    fn tracker_requests(value in strategies::tracker_request()) {
        message(&value)?;
    }

    #[test]
    fn tracker_replies(value in strategies::tracker_reply()) {
        message(&value)?;
    }

    #[test]
    fn tracker_notices(value in strategies::tracker_notice()) {
        message(&value)?;
    }

    #[test]
    fn signed_manifests(value in strategies::manifest()) {
        document(&value)?;
    }

    #[test]
    fn signed_tickets(value in strategies::ticket()) {
        document(&value)?;
    }

    #[test]
    fn signed_capabilities(value in strategies::capability()) {
        document(&value)?;
    }

    #[test]
    fn spans(value in strategies::span()) {
        let bytes = postcard::to_stdvec(&value).expect("plain data");
        prop_assert_eq!(postcard::from_bytes(&bytes), Ok(value));
    }

    #[test]
    fn licenses(seed in any::<[u8; 32]>(), lease_secs in any::<u32>(), count in 0_usize..=4) {
        let mut pair = [0; 64];
        pair[..32].copy_from_slice(&seed);
        pair[32..].copy_from_slice(blake3::hash(&seed).as_bytes());
        let device = identity::DeviceSecret::from_bytes(&pair);
        let keys: Vec<_> = (0..count as u8)
            .map(|i| (ContentId([i; 32]), ContentKey::new([seed[usize::from(i)]; 16])))
            .collect();
        let terms = Terms { device: device.public().id(), lease_secs, ..samples::terms() };
        let license = License::seal(terms, &device.public(), &keys, &mut samples::rng())
            .expect("a usable key");
        document(&license)?;
        prop_assert_eq!(license.open(&device), Ok(keys));
    }

    #[test]
    fn releases(manifest in strategies::manifest()) {
        let keys = manifest.renditions.iter().map(|r| (r.content, ContentKey::new([7; 16])));
        let release = Release {
            keys: keys.collect(),
            manifest: Signed::sign(&manifest, &samples::catalog_key()),
        };
        let read = Release::from_bytes(&release.to_bytes()).expect("its own bytes");
        prop_assert_eq!(read.manifest, release.manifest);
        prop_assert_eq!(read.keys, release.keys);
    }

    #[test]
    fn ids_as_text(short in any::<[u8; 16]>(), long in any::<[u8; 32]>()) {
        text_form(TrackId(short))?;
        text_form(SwarmId(short))?;
        text_form(DeviceId(short))?;
        text_form(LicenseId(short))?;
        text_form(AlbumId(short))?;
        text_form(ContentId(long))?;
        text_form(NodeId(long))?;
        text_form(ArtId(long))?;
    }

    #[test]
    fn any_part_of_a_sealed_rendition_opens_alone(
        key in any::<[u8; 16]>(),
        offset in 0_u64..limits::RENDITION_BYTES_MAX.0,
        mut bytes in prop::collection::vec(any::<u8>(), 1..200),
        cut in any::<usize>(),
    ) {
        let (key, plain) = (ContentKey::new(key), bytes.clone());
        key.apply(offset, &mut bytes);
        let (first, second) = bytes.split_at_mut(cut % plain.len());
        key.apply(offset, first);
        key.apply(offset + first.len() as u64, second);
        prop_assert_eq!(bytes, plain);
    }
}
