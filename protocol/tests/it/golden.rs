use std::fmt::Debug;
use std::fs;

use antiphon_protocol::codec::{self, LENGTH_BYTES, Message};
use antiphon_protocol::release::Release;
use antiphon_protocol::signed::{Document, Signed};
use ed25519_dalek::SigningKey;

use crate::samples;

/// Set to write the bytes of new kinds; existing files are never overwritten.
const BLESS: &str = "ANTIPHON_BLESS";

fn committed(name: &str, bytes: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let path = samples::golden_path(name);
    if !path.exists() && std::env::var_os(BLESS).is_some() {
        fs::write(&path, bytes()).expect("testdata is writable");
    }
    fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; run once with {BLESS}=1 and commit the file",
            path.display()
        )
    })
}

fn messages<M: Message + PartialEq + Debug>(samples: Vec<(&'static str, M)>) {
    for (name, expected) in samples {
        let frame = committed(name, || codec::encode(&expected));
        let (header, payload) = frame.split_first_chunk::<LENGTH_BYTES>().expect("a frame");
        assert_eq!(
            codec::payload_len::<M>(*header),
            Ok(payload.len()),
            "{name}"
        );
        assert_eq!(
            codec::decode::<M>(payload).as_ref(),
            Ok(&expected),
            "{name}"
        );
        assert_eq!(codec::encode(&expected), frame, "{name}");
    }
}

fn document<T: Document + PartialEq + Debug>(
    name: &str,
    signed: &Signed<T>,
    key: &SigningKey,
    expected: &T,
) {
    let bytes = committed(name, || signed.to_bytes());
    let read = Signed::<T>::from_bytes(&bytes).expect("committed bytes have the right shape");
    assert_eq!(
        read.open(&key.verifying_key()).as_ref(),
        Ok(expected),
        "{name}"
    );
    assert_eq!(&Signed::sign(expected, key), signed, "{name}");
    assert_eq!(read.to_bytes(), bytes, "{name}");
}

#[test]
fn peer_messages_of_version_1_still_decode() {
    messages(samples::peer_messages());
}

#[test]
fn data_stream_frames_of_version_1_still_decode() {
    messages(samples::data_requests());
    messages(samples::data_replies());
}

#[test]
fn origin_messages_of_version_1_still_decode() {
    messages(samples::origin_requests());
    messages(samples::origin_replies());
}

#[test]
fn tracker_messages_of_version_1_still_decode() {
    messages(samples::tracker_requests());
    messages(samples::tracker_replies());
    messages(samples::tracker_notices());
}

#[test]
fn signed_documents_of_version_1_still_open() {
    let (tracker, catalog) = (samples::tracker_key(), samples::catalog_key());
    let manifest = samples::signed_manifest();
    document("signed-manifest", &manifest, &catalog, &samples::manifest());
    let ticket = samples::ticket();
    let expected = ticket.open(&tracker.verifying_key()).expect("own ticket");
    document("signed-ticket", &ticket, &tracker, &expected);
    let capability = samples::capability();
    let expected = capability.open(&tracker.verifying_key()).expect("own pass");
    document("signed-capability", &capability, &tracker, &expected);
}

#[test]
fn a_license_of_version_1_still_gives_its_keys() {
    let bytes = committed("signed-license", || samples::license().to_bytes());
    let signed =
        Signed::<antiphon_protocol::license::License>::from_bytes(&bytes).expect("the right shape");
    let key = samples::tracker_key().verifying_key();
    let license = signed.open(&key).expect("signed by the tracker");
    assert_eq!(license.terms, samples::terms());
    assert_eq!(license.open(&samples::device()), Ok(samples::keys()));
    assert_eq!(signed.to_bytes(), bytes);
}

#[test]
fn a_release_of_version_1_still_reads() {
    let expected = samples::release();
    let bytes = committed("release", || expected.to_bytes().to_vec());
    let read = Release::from_bytes(&bytes).expect("a whole release");
    assert_eq!(read.manifest, expected.manifest);
    assert_eq!(read.keys, expected.keys);
    assert_eq!(read.to_bytes().as_slice(), bytes);
}
