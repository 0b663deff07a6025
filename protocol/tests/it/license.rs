use antiphon_protocol::identity::{DevicePublic, DeviceSecret, NodeSecret};
use antiphon_protocol::license::{License, LicenseError, Terms};
use antiphon_protocol::signed::{OpenError, Signed};
use antiphon_protocol::{LicenseId, NodeId, TrackId, UnixSeconds};

use crate::samples;

fn sealed() -> License {
    let public = samples::device().public();
    License::seal(
        samples::terms(),
        &public,
        &samples::keys(),
        &mut samples::rng(),
    )
    .expect("a usable device key")
}

#[test]
fn the_device_gets_every_key() {
    assert_eq!(sealed().open(&samples::device()), Ok(samples::keys()));
}

#[test]
fn another_device_gets_nothing() {
    let other = DeviceSecret::from_bytes(&[99; 64]);
    assert_eq!(sealed().open(&other), Err(LicenseError::OtherDevice));
    // Even when the license is rewritten to name it.
    let mut renamed = sealed();
    renamed.terms.device = other.public().id();
    assert_eq!(renamed.open(&other), Err(LicenseError::Altered));
}

#[test]
fn altered_terms_give_no_keys() {
    let alter: [fn(&mut Terms); 7] = [
        |terms| terms.id = LicenseId([0; 16]),
        |terms| terms.track = TrackId([0; 16]),
        |terms| terms.rights.offline = true,
        |terms| terms.rights.stream = false,
        |terms| terms.issued = UnixSeconds(0),
        |terms| terms.lease_secs += 1,
        |terms| terms.grace_secs += 1,
    ];
    for (number, alter) in alter.iter().enumerate() {
        let mut license = sealed();
        alter(&mut license.terms);
        let opened = license.open(&samples::device());
        assert_eq!(opened, Err(LicenseError::Altered), "case {number}");
    }
}

#[test]
fn any_flipped_bit_under_a_good_signature_gives_no_keys() {
    let bytes = postcard::to_stdvec(&sealed()).expect("plain data");
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let Ok(license) = postcard::from_bytes::<License>(&altered) else {
            continue;
        };
        // X25519 ignores the top bit of a public key; HPKE then still binds the bytes sent.
        assert!(license.open(&samples::device()).is_err(), "bit {bit}");
    }
}

#[test]
fn a_forged_or_foreign_signature_opens_no_license() {
    let forged = Signed::sign(&sealed(), &samples::catalog_key());
    let key = samples::tracker_key().verifying_key();
    assert_eq!(forged.open(&key), Err(OpenError::Signature));
}

#[test]
fn every_truncation_of_a_license_is_refused() {
    let bytes = Signed::sign(&sealed(), &samples::tracker_key()).to_bytes();
    let key = samples::tracker_key().verifying_key();
    for len in 0..bytes.len() {
        let read = Signed::<License>::from_bytes(&bytes[..len]);
        assert!(read.and_then(|signed| signed.open(&key)).is_err(), "{len}");
    }
}

#[test]
fn a_license_is_not_sealed_to_a_key_that_is_not_the_devices() {
    let other = DeviceSecret::from_bytes(&[99; 64]).public();
    let refused = License::seal(
        samples::terms(),
        &other,
        &samples::keys(),
        &mut samples::rng(),
    );
    assert_eq!(refused, Err(LicenseError::OtherDevice));
}

#[test]
fn a_license_is_not_sealed_to_a_key_of_low_order() {
    let device = DevicePublic {
        signing: [1; 32],
        sealing: [0; 32],
    };
    let terms = Terms {
        device: device.id(),
        ..samples::terms()
    };
    let refused = License::seal(terms, &device, &samples::keys(), &mut samples::rng());
    assert_eq!(refused, Err(LicenseError::DeviceKey));
}

#[test]
fn a_device_proves_itself_on_one_channel_only() {
    let device = samples::device();
    let proof = device.prove(&[1; 32]);
    assert!(device.public().proves(&[1; 32], &proof));
    assert!(!device.public().proves(&[2; 32], &proof));
    let other = DeviceSecret::from_bytes(&[99; 64]).public();
    assert!(!other.proves(&[1; 32], &proof));
}

#[test]
fn a_node_proves_itself_on_one_channel_only_and_not_as_a_device() {
    let node = NodeSecret::from_bytes(&[3; 32]);
    let proof = node.prove(&[1; 32]);
    assert!(node.id().proves(&[1; 32], &proof));
    assert!(!node.id().proves(&[2; 32], &proof));
    let other = NodeSecret::from_bytes(&[99; 32]).id();
    assert!(!other.proves(&[1; 32], &proof));
    // The same key in the other place.
    let device = samples::device();
    assert_eq!(device.public().signing, node.id().0);
    assert!(!device.public().proves(&[1; 32], &proof));
    let as_device = device.prove(&[1; 32]);
    assert!(!node.id().proves(&[1; 32], &as_device));
}

#[test]
fn a_weak_transport_key_proves_nothing() {
    // The identity point: with plain verification any signature of a certain form would pass.
    let mut identity = [0; 32];
    identity[0] = 1;
    let passes_plainly = (identity, [0; 32]);
    assert!(!NodeId(identity).proves(&[1; 32], &passes_plainly));
}

#[test]
fn device_keys_survive_their_file() {
    let device = samples::device();
    let again = DeviceSecret::from_bytes(&device.to_bytes());
    assert_eq!(again.public(), device.public());
}

#[test]
fn secrets_do_not_print_themselves() {
    let keys = format!("{:?}", samples::keys());
    assert!(
        !keys.contains("20, 20") && keys.contains("ContentKey(..)"),
        "{keys}"
    );
}
