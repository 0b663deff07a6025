use std::net::SocketAddr;
use std::path::PathBuf;

use antiphon_protocol::catalog::TrackSummary;
use antiphon_protocol::chunk::{ChunkIndex, Span};
use antiphon_protocol::identity::{DevicePublic, DeviceSecret};
use antiphon_protocol::license::{License, Rights, Terms};
use antiphon_protocol::manifest::{Rendition, Rung, TrackManifest};
use antiphon_protocol::origin::{OriginReply, OriginRequest};
use antiphon_protocol::peer::{
    DataReply, DataRequest, Extent, Holding, PeerContact, PeerLimits, PeerMessage, Priority,
    SpanRequest,
};
use antiphon_protocol::release::Release;
use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::{Capability, RegionClass, Ticket};
use antiphon_protocol::tracker::{
    AccessToken, AnnounceEntry, Attached, Holder, OpenedTrack, OriginAddress, Passes, Password,
    Placement, TrackerNotice, TrackerReply, TrackerRequest,
};
use antiphon_protocol::*;
use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

pub fn tracker_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

pub fn catalog_key() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

pub fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

pub fn device() -> DeviceSecret {
    DeviceSecret::from_bytes(&[3; 64])
}

pub fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/v1/{name}.bin"))
}

fn span() -> Span {
    Span::new(ChunkIndex(300), 64).expect("legal")
}

pub fn ticket() -> Signed<Ticket> {
    let ticket = Ticket {
        node: NodeId([4; 32]),
        region: RegionClass(5),
        expires: UnixSeconds(1_800_000_000),
    };
    Signed::sign(&ticket, &tracker_key())
}

pub fn capability() -> Signed<Capability> {
    let capability = Capability {
        nonce: 0x0123_4567_89ab_cdef,
        expires: UnixSeconds(1_800_000_000),
    };
    Signed::sign(&capability, &tracker_key())
}

pub fn rendition(rung: Rung) -> Rendition {
    Rendition {
        rung,
        content: ContentId([rung as u8 + 10; 32]),
        size: ByteCount(4_800_000),
        bit_rate: rung.nominal(),
        sample_rate: 44_100,
        channels: 2,
        frames: 10_584_000,
        setup_bytes: 4_096,
        seek_table: (0..240).map(|second| 4_096 + second * 19_900).collect(),
    }
}

pub fn manifest() -> TrackManifest {
    TrackManifest {
        track: TrackId([6; 16]),
        version: 3,
        title: "Für Elise".to_owned(),
        artist: "Beethoven".to_owned(),
        album: "Bagatelles".to_owned(),
        album_id: Some(AlbumId([7; 16])),
        track_number: Some(25),
        art: Some(ArtId([8; 32])),
        track_gain: Gain(-730),
        album_gain: Gain(-655),
        true_peak: Gain(-12),
        renditions: vec![rendition(Rung::Low), rendition(Rung::Standard)],
    }
}

pub fn signed_manifest() -> Signed<TrackManifest> {
    Signed::sign(&manifest(), &catalog_key())
}

pub fn terms() -> Terms {
    Terms {
        id: LicenseId([9; 16]),
        device: device().public().id(),
        track: TrackId([6; 16]),
        rights: Rights {
            stream: true,
            offline: false,
        },
        issued: UnixSeconds(1_799_999_000),
        lease_secs: 86_400,
        grace_secs: 3_600,
    }
}

pub fn keys() -> Vec<(ContentId, ContentKey)> {
    manifest()
        .renditions
        .iter()
        .map(|rendition| {
            let key = ContentKey::new([rendition.rung as u8 + 20; 16]);
            (rendition.content, key)
        })
        .collect()
}

/// Sealing is random, so the committed license is used once there is one.
pub fn license() -> Signed<License> {
    if let Ok(bytes) = std::fs::read(golden_path("signed-license")) {
        return Signed::from_bytes(&bytes).expect("the committed license");
    }
    let license = License::seal(terms(), &device().public(), &keys(), &mut rng());
    Signed::sign(&license.expect("own keys"), &tracker_key())
}

pub fn release() -> Release {
    Release {
        manifest: signed_manifest(),
        keys: keys(),
    }
}

fn addresses() -> Vec<SocketAddr> {
    ["192.0.2.7:7701", "[2001:db8::7]:7701"]
        .map(|text| text.parse().expect("an address"))
        .to_vec()
}

pub fn contact() -> PeerContact {
    PeerContact {
        node: NodeId([11; 32]),
        region: RegionClass(0),
        addresses: addresses(),
    }
}

fn passes() -> Passes {
    Passes {
        ticket: ticket(),
        capability: capability(),
        renew_after: Millis(600_000),
    }
}

pub fn peer_messages() -> Vec<(&'static str, PeerMessage)> {
    let swarm = SwarmId([12; 16]);
    let query = QueryId(0xfeed);
    let holding = |extent| Holding { swarm, extent };
    vec![
        (
            "peer-hello",
            PeerMessage::Hello {
                version: 1,
                ticket: ticket(),
                limits: PeerLimits {
                    spans_in_flight: 2,
                    uploads: true,
                },
            },
        ),
        (
            "peer-have",
            PeerMessage::Have {
                holdings: vec![
                    holding(Extent::Full),
                    holding(Extent::Partial(vec![0b1010_0101, 1])),
                    holding(Extent::Gone),
                ],
            },
        ),
        (
            "peer-find",
            PeerMessage::Find {
                query,
                swarm,
                hops: 2,
            },
        ),
        (
            "peer-found",
            PeerMessage::Found {
                query,
                swarm,
                holders: vec![contact()],
            },
        ),
        (
            "peer-interest",
            PeerMessage::Interest {
                swarms: vec![swarm, SwarmId([13; 16])],
            },
        ),
        (
            "peer-bye",
            PeerMessage::Bye {
                code: ErrorCode::PRUNED,
            },
        ),
        ("peer-renew", PeerMessage::Renew { ticket: ticket() }),
    ]
}

pub fn data_requests() -> Vec<(&'static str, DataRequest)> {
    let request = SpanRequest {
        swarm: SwarmId([12; 16]),
        span: span(),
        priority: Priority::Prefetch,
        deadline: Millis(12_000),
    };
    vec![
        ("data-request-span", DataRequest::Span(request)),
        ("data-request-cancel", DataRequest::Cancel),
    ]
}

pub fn data_replies() -> Vec<(&'static str, DataReply)> {
    let decline = DataReply::Decline {
        code: ErrorCode::BUSY,
        retry_after: Millis(1_500),
    };
    vec![
        ("data-reply-accept", DataReply::Accept),
        ("data-reply-decline", decline),
    ]
}

pub fn origin_requests() -> Vec<(&'static str, OriginRequest)> {
    let request = |capability| OriginRequest::Span {
        capability,
        content: ContentId([14; 32]),
        span: span(),
    };
    vec![
        ("origin-request-span", request(Some(capability()))),
        ("origin-request-span-open", request(None)),
    ]
}

pub fn origin_replies() -> Vec<(&'static str, OriginReply)> {
    vec![
        (
            "origin-reply-accept",
            OriginReply::Accept {
                size: ByteCount(4_800_000),
                encoded: ByteCount(1_049_000),
            },
        ),
        (
            "origin-reply-refuse",
            OriginReply::Refuse {
                code: ErrorCode::CAPABILITY,
                retry_after: Millis(0),
            },
        ),
    ]
}

pub fn tracker_requests() -> Vec<(&'static str, TrackerRequest)> {
    let name = || "clara".to_owned();
    let password = || Password("correct horse".to_owned());
    let device: DevicePublic = device().public();
    vec![
        (
            "tracker-request-register",
            TrackerRequest::Register {
                name: name(),
                password: password(),
                device,
            },
        ),
        (
            "tracker-request-login",
            TrackerRequest::Login {
                name: name(),
                password: password(),
                device,
            },
        ),
        (
            "tracker-request-attach",
            TrackerRequest::Attach {
                token: AccessToken([15; 32]),
                proof: ([16; 32], [17; 32]),
                node: NodeId([11; 32]),
                addresses: addresses(),
            },
        ),
        (
            "tracker-request-catalog",
            TrackerRequest::Catalog {
                after: Some(TrackId([6; 16])),
                limit: 200,
            },
        ),
        (
            "tracker-request-search",
            TrackerRequest::Search {
                query: "elise".to_owned(),
                limit: 20,
            },
        ),
    ]
    .into_iter()
    .chain(swarm_requests())
    .collect()
}

/// Requests about a track and who holds it.
fn swarm_requests() -> Vec<(&'static str, TrackerRequest)> {
    vec![
        (
            "tracker-request-open",
            TrackerRequest::Open {
                track: TrackId([6; 16]),
                rung: Rung::Standard,
            },
        ),
        (
            "tracker-request-announce",
            TrackerRequest::Announce {
                entries: vec![AnnounceEntry {
                    content: ContentId([14; 32]),
                    extent: Extent::Partial(vec![0xff]),
                }],
            },
        ),
        (
            "tracker-request-lookup",
            TrackerRequest::Lookup {
                content: ContentId([14; 32]),
                limit: 10,
            },
        ),
        ("tracker-request-renew", TrackerRequest::Renew),
        ("tracker-request-leave", TrackerRequest::Leave),
        (
            "tracker-request-placements",
            TrackerRequest::Placements { limit: 4 },
        ),
        (
            "tracker-request-introduce",
            TrackerRequest::Introduce {
                node: NodeId([17; 32]),
            },
        ),
        (
            "tracker-request-attach-node",
            TrackerRequest::AttachNode {
                token: AccessToken([15; 32]),
                proof: ([16; 32], [17; 32]),
                node: NodeId([11; 32]),
                node_proof: ([19; 32], [20; 32]),
                addresses: addresses(),
            },
        ),
        (
            "tracker-request-open-held",
            TrackerRequest::OpenHeld {
                track: TrackId([6; 16]),
                rung: Rung::Standard,
            },
        ),
    ]
}

pub fn attached() -> Attached {
    Attached {
        account: AccountId(42),
        tracker_key: tracker_key().verifying_key().to_bytes(),
        catalog_key: catalog_key().verifying_key().to_bytes(),
        origins: vec![OriginAddress {
            host: "origin.example:7790".to_owned(),
            certificate: [18; 32],
        }],
        passes: passes(),
        observed: "198.51.100.9:40123".parse().expect("an address"),
        now: UnixSeconds(1_799_999_500),
    }
}

pub fn summary() -> TrackSummary {
    TrackSummary {
        track: TrackId([6; 16]),
        title: "Für Elise".to_owned(),
        artist: "Beethoven".to_owned(),
        album: String::new(),
        duration: MediaTime::from_secs(240),
        art: None,
        content: ContentId([14; 32]),
        size: ByteCount(4_800_000),
        bit_rate: BitRate(160_000),
    }
}

fn holders() -> Vec<Holder> {
    vec![Holder {
        contact: contact(),
        full: true,
    }]
}

pub fn tracker_replies() -> Vec<(&'static str, TrackerReply)> {
    let swarm = SwarmId([12; 16]);
    let opened = OpenedTrack {
        manifest: signed_manifest(),
        license: license(),
        content: ContentId([14; 32]),
        swarm,
        holders: holders(),
    };
    vec![
        (
            "tracker-reply-refused",
            TrackerReply::Refused {
                code: ErrorCode::LOGIN,
                retry_after: Millis(2_000),
            },
        ),
        (
            "tracker-reply-session",
            TrackerReply::Session {
                account: AccountId(42),
                token: AccessToken([15; 32]),
                expires: UnixSeconds(1_800_500_000),
            },
        ),
        (
            "tracker-reply-attached",
            TrackerReply::Attached(Box::new(attached())),
        ),
        (
            "tracker-reply-tracks",
            TrackerReply::Tracks {
                tracks: vec![summary()],
                more: true,
            },
        ),
        (
            "tracker-reply-opened",
            TrackerReply::Opened(Box::new(opened)),
        ),
    ]
    .into_iter()
    .chain(swarm_replies(swarm))
    .collect()
}

fn swarm_replies(swarm: SwarmId) -> Vec<(&'static str, TrackerReply)> {
    vec![
        (
            "tracker-reply-announced",
            TrackerReply::Announced {
                swarms: vec![Some(swarm), None],
                again_after: Millis(1_800_000),
            },
        ),
        (
            "tracker-reply-holders",
            TrackerReply::Holders {
                swarm,
                holders: holders(),
            },
        ),
        (
            "tracker-reply-passes",
            TrackerReply::Passes(Box::new(passes())),
        ),
        ("tracker-reply-left", TrackerReply::Left),
        (
            "tracker-reply-renewed",
            TrackerReply::Renewed {
                everything: true,
                again_after: Millis(1_200_000),
            },
        ),
        (
            "tracker-reply-placements",
            TrackerReply::Placements {
                placements: vec![Placement {
                    manifest: signed_manifest(),
                    content: ContentId([14; 32]),
                    swarm,
                    holders: holders(),
                }],
            },
        ),
        ("tracker-reply-introduced", TrackerReply::Introduced),
    ]
}

pub fn tracker_notices() -> Vec<(&'static str, TrackerNotice)> {
    vec![
        (
            "tracker-notice-introduction",
            TrackerNotice::Introduction {
                node: NodeId([17; 32]),
                address: "[2001:db8::9]:40123".parse().expect("an address"),
            },
        ),
        ("tracker-notice-moved", TrackerNotice::Moved),
    ]
}
