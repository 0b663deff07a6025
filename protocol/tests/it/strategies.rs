use std::net::{IpAddr, SocketAddr};

use antiphon_protocol::catalog::TrackSummary;
use antiphon_protocol::chunk::{ChunkIndex, Span};
use antiphon_protocol::identity::DevicePublic;
use antiphon_protocol::limits::*;
use antiphon_protocol::manifest::{Rendition, Rung, TrackManifest};
use antiphon_protocol::origin::{OriginReply, OriginRequest};
use antiphon_protocol::peer::*;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::{Capability, RegionClass, Ticket};
use antiphon_protocol::tracker::*;
use antiphon_protocol::verified::ENCODED_SPAN_BYTES_MAX;
use antiphon_protocol::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::samples;

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,60}".prop_map(|text| text.chars().take(60).collect())
}

fn millis() -> impl Strategy<Value = Millis> {
    (0..=WIRE_DURATION_MAX.0).prop_map(Millis)
}

fn code() -> impl Strategy<Value = ErrorCode> {
    any::<u16>().prop_map(ErrorCode)
}

fn swarm() -> impl Strategy<Value = SwarmId> {
    any::<[u8; 16]>().prop_map(SwarmId)
}

fn content() -> impl Strategy<Value = ContentId> {
    any::<[u8; 32]>().prop_map(ContentId)
}

pub fn span() -> impl Strategy<Value = Span> {
    (0..=u32::MAX - SPAN_CHUNKS_MAX, 1..=SPAN_CHUNKS_MAX)
        .prop_map(|(first, count)| Span::new(ChunkIndex(first), count).expect("legal"))
}

pub fn ticket() -> impl Strategy<Value = Ticket> {
    (any::<[u8; 32]>(), any::<u8>(), any::<u64>()).prop_map(|(node, region, expires)| Ticket {
        node: NodeId(node),
        region: RegionClass(region),
        expires: UnixSeconds(expires),
    })
}

pub fn capability() -> impl Strategy<Value = Capability> {
    (any::<u64>(), any::<u64>()).prop_map(|(nonce, expires)| Capability {
        nonce,
        expires: UnixSeconds(expires),
    })
}

fn signed_ticket() -> impl Strategy<Value = Signed<Ticket>> {
    ticket().prop_map(|ticket| Signed::sign(&ticket, &samples::tracker_key()))
}

fn signed_capability() -> impl Strategy<Value = Signed<Capability>> {
    capability().prop_map(|capability| Signed::sign(&capability, &samples::tracker_key()))
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn addresses() -> impl Strategy<Value = Vec<SocketAddr>> {
    vec(address(), 0..=ADDRESSES_PER_NODE_MAX)
}

fn contact() -> impl Strategy<Value = PeerContact> {
    (any::<[u8; 32]>(), any::<u8>(), addresses()).prop_map(|(node, region, addresses)| {
        PeerContact {
            node: NodeId(node),
            region: RegionClass(region),
            addresses,
        }
    })
}

fn extent() -> impl Strategy<Value = Extent> {
    prop_oneof![
        Just(Extent::Full),
        Just(Extent::Gone),
        vec(any::<u8>(), 0..=EXTENT_BYTES_MAX).prop_map(Extent::Partial),
    ]
}

pub fn peer_message() -> impl Strategy<Value = PeerMessage> {
    let holding = (swarm(), extent()).prop_map(|(swarm, extent)| Holding { swarm, extent });
    prop_oneof![
        (any::<u16>(), signed_ticket(), any::<u8>(), any::<bool>()).prop_map(
            |(version, ticket, spans_in_flight, uploads)| PeerMessage::Hello {
                version,
                ticket,
                limits: PeerLimits {
                    spans_in_flight,
                    uploads
                },
            }
        ),
        vec(holding, 0..=HOLDINGS_PER_MESSAGE_MAX)
            .prop_map(|holdings| PeerMessage::Have { holdings }),
        (any::<u64>(), swarm(), 0..=FIND_HOPS_MAX).prop_map(|(query, swarm, hops)| {
            PeerMessage::Find {
                query: QueryId(query),
                swarm,
                hops,
            }
        }),
        (
            any::<u64>(),
            swarm(),
            vec(contact(), 0..=HOLDERS_PER_ANSWER_MAX)
        )
            .prop_map(|(query, swarm, holders)| PeerMessage::Found {
                query: QueryId(query),
                swarm,
                holders
            }),
        vec(swarm(), 0..=HOLDINGS_PER_MESSAGE_MAX)
            .prop_map(|swarms| PeerMessage::Interest { swarms }),
        code().prop_map(|code| PeerMessage::Bye { code }),
        signed_ticket().prop_map(|ticket| PeerMessage::Renew { ticket }),
    ]
}

pub fn data_request() -> impl Strategy<Value = DataRequest> {
    let priority = prop_oneof![
        Just(Priority::Urgent),
        Just(Priority::Current),
        Just(Priority::Prefetch),
        Just(Priority::Background),
    ];
    let request = (swarm(), span(), priority, millis());
    prop_oneof![
        Just(DataRequest::Cancel),
        request.prop_map(|(swarm, span, priority, deadline)| {
            DataRequest::Span(SpanRequest {
                swarm,
                span,
                priority,
                deadline,
            })
        }),
    ]
}

pub fn data_reply() -> impl Strategy<Value = DataReply> {
    prop_oneof![
        Just(DataReply::Accept),
        (code(), millis()).prop_map(|(code, retry_after)| DataReply::Decline { code, retry_after }),
    ]
}

pub fn origin_request() -> impl Strategy<Value = OriginRequest> {
    (option::of(signed_capability()), content(), span()).prop_map(|(capability, content, span)| {
        OriginRequest::Span {
            capability,
            content,
            span,
        }
    })
}

pub fn origin_reply() -> impl Strategy<Value = OriginReply> {
    prop_oneof![
        (0..=RENDITION_BYTES_MAX.0, 0..=ENCODED_SPAN_BYTES_MAX).prop_map(|(size, encoded)| {
            OriginReply::Accept {
                size: ByteCount(size),
                encoded: ByteCount(encoded),
            }
        }),
        (code(), millis())
            .prop_map(|(code, retry_after)| OriginReply::Refuse { code, retry_after }),
    ]
}

fn rung() -> impl Strategy<Value = Rung> {
    prop_oneof![Just(Rung::Low), Just(Rung::Standard), Just(Rung::High)]
}

pub fn tracker_request() -> impl Strategy<Value = TrackerRequest> {
    let device = || {
        any::<([u8; 32], [u8; 32])>()
            .prop_map(|(signing, sealing)| DevicePublic { signing, sealing })
    };
    let track = || any::<[u8; 16]>().prop_map(TrackId);
    let page = || 0..=CATALOG_PAGE_MAX as u16;
    let entry =
        (content(), extent()).prop_map(|(content, extent)| AnnounceEntry { content, extent });
    let attach = || any::<([u8; 32], ([u8; 32], [u8; 32]), [u8; 32])>();
    let proof = any::<([u8; 32], [u8; 32])>();
    prop_oneof![
        (text(), text(), device()).prop_map(|(name, password, device)| {
            TrackerRequest::Register {
                name,
                password: Password(password),
                device,
            }
        }),
        (text(), text(), device()).prop_map(|(name, password, device)| TrackerRequest::Login {
            name,
            password: Password(password),
            device,
        }),
        (attach(), addresses()).prop_map(|((token, proof, node), addresses)| {
            TrackerRequest::Attach {
                token: AccessToken(token),
                proof,
                node: NodeId(node),
                addresses,
            }
        }),
        (option::of(track()), page())
            .prop_map(|(after, limit)| TrackerRequest::Catalog { after, limit }),
        (text(), page()).prop_map(|(query, limit)| TrackerRequest::Search { query, limit }),
        (track(), rung()).prop_map(|(track, rung)| TrackerRequest::Open { track, rung }),
        vec(entry, 0..40).prop_map(|entries| TrackerRequest::Announce { entries }),
        (content(), 0..=HOLDERS_PER_ANSWER_MAX as u8)
            .prop_map(|(content, limit)| TrackerRequest::Lookup { content, limit }),
        Just(TrackerRequest::Renew),
        Just(TrackerRequest::Leave),
        (0..=PLACEMENTS_PER_ANSWER_MAX as u8)
            .prop_map(|limit| TrackerRequest::Placements { limit }),
        any::<[u8; 32]>().prop_map(|node| TrackerRequest::Introduce { node: NodeId(node) }),
        (attach(), proof, addresses()).prop_map(|((token, proof, node), node_proof, addresses)| {
            TrackerRequest::AttachNode {
                token: AccessToken(token),
                proof,
                node: NodeId(node),
                node_proof,
                addresses,
            }
        }),
        (track(), rung()).prop_map(|(track, rung)| TrackerRequest::OpenHeld { track, rung }),
    ]
}

fn passes() -> impl Strategy<Value = Passes> {
    (signed_ticket(), signed_capability(), millis()).prop_map(
        |(ticket, capability, renew_after)| Passes {
            ticket,
            capability,
            renew_after,
        },
    )
}

fn holders() -> impl Strategy<Value = Vec<Holder>> {
    let holder = (contact(), any::<bool>()).prop_map(|(contact, full)| Holder { contact, full });
    vec(holder, 0..=HOLDERS_PER_ANSWER_MAX)
}

fn summary() -> impl Strategy<Value = TrackSummary> {
    let numbers = any::<(u64, u64, u32)>();
    let ids = any::<([u8; 16], Option<[u8; 32]>, [u8; 32])>();
    (text(), text(), text(), ids, numbers).prop_map(
        |(title, artist, album, (track, art, content), (duration, size, rate))| TrackSummary {
            track: TrackId(track),
            title,
            artist,
            album,
            duration: MediaTime(duration),
            art: art.map(ArtId),
            content: ContentId(content),
            size: ByteCount(size),
            bit_rate: BitRate(rate),
        },
    )
}

fn attached() -> impl Strategy<Value = Attached> {
    let origin = (text(), any::<[u8; 32]>())
        .prop_map(|(host, certificate)| OriginAddress { host, certificate });
    let rest = any::<(u64, [u8; 32], [u8; 32], u64)>();
    (vec(origin, 0..=ORIGINS_MAX), passes(), address(), rest).prop_map(
        |(origins, passes, observed, (account, tracker_key, catalog_key, now))| Attached {
            account: AccountId(account),
            tracker_key,
            catalog_key,
            origins,
            passes,
            observed,
            now: UnixSeconds(now),
        },
    )
}

pub fn tracker_reply() -> impl Strategy<Value = TrackerReply> {
    prop_oneof![
        (code(), millis())
            .prop_map(|(code, retry_after)| TrackerReply::Refused { code, retry_after }),
        any::<(u64, [u8; 32], u64)>().prop_map(|(account, token, expires)| {
            TrackerReply::Session {
                account: AccountId(account),
                token: AccessToken(token),
                expires: UnixSeconds(expires),
            }
        }),
        attached().prop_map(|attached| TrackerReply::Attached(Box::new(attached))),
        (vec(summary(), 0..6), any::<bool>())
            .prop_map(|(tracks, more)| TrackerReply::Tracks { tracks, more }),
        (manifest(), content(), swarm(), holders()).prop_map(
            |(manifest, content, swarm, holders)| {
                TrackerReply::Opened(Box::new(OpenedTrack {
                    manifest: Signed::sign(&manifest, &samples::catalog_key()),
                    license: samples::license(),
                    content,
                    swarm,
                    holders,
                }))
            }
        ),
        (vec(option::of(swarm()), 0..40), millis()).prop_map(|(swarms, again_after)| {
            TrackerReply::Announced {
                swarms,
                again_after,
            }
        }),
        (swarm(), holders()).prop_map(|(swarm, holders)| TrackerReply::Holders { swarm, holders }),
        passes().prop_map(|passes| TrackerReply::Passes(Box::new(passes))),
        Just(TrackerReply::Left),
        (any::<bool>(), millis()).prop_map(|(everything, again_after)| TrackerReply::Renewed {
            everything,
            again_after,
        }),
        vec(placement(), 0..=PLACEMENTS_PER_ANSWER_MAX)
            .prop_map(|placements| TrackerReply::Placements { placements }),
        Just(TrackerReply::Introduced),
    ]
}

pub fn tracker_notice() -> impl Strategy<Value = TrackerNotice> {
    let introduction = (any::<[u8; 32]>(), address());
    prop_oneof![
        introduction.prop_map(|(node, address)| TrackerNotice::Introduction {
            node: NodeId(node),
            address,
        }),
        Just(TrackerNotice::Moved),
    ]
}

fn placement() -> impl Strategy<Value = Placement> {
    (manifest(), content(), swarm(), holders()).prop_map(|(manifest, content, swarm, holders)| {
        Placement {
            manifest: Signed::sign(&manifest, &samples::catalog_key()),
            content,
            swarm,
            holders,
        }
    })
}

fn rendition(rung: Rung) -> impl Strategy<Value = Rendition> {
    let format = (8_000_u32..=192_000, 1_u8..=8, 1_u64.., 1_u32..);
    (
        content(),
        1..=RENDITION_BYTES_MAX.0,
        format,
        vec(any::<u32>(), 0..50),
    )
        .prop_map(
            move |(content, size, (sample_rate, channels, frames, rate), mut seeks)| {
                for seek in &mut seeks {
                    *seek = (u64::from(*seek) % size) as u32;
                }
                seeks.sort_unstable();
                Rendition {
                    rung,
                    content,
                    size: ByteCount(size),
                    bit_rate: BitRate(rate),
                    sample_rate,
                    channels,
                    frames,
                    setup_bytes: (size / 2) as u32,
                    seek_table: seeks,
                }
            },
        )
}

pub fn manifest() -> impl Strategy<Value = TrackManifest> {
    let renditions = [Rung::Low, Rung::Standard, Rung::High].map(rendition);
    let ids = any::<([u8; 16], Option<[u8; 16]>, Option<[u8; 32]>)>();
    let numbers = any::<(u32, Option<u16>, i16, i16, i16)>();
    (
        text(),
        text(),
        text(),
        ids,
        numbers,
        renditions,
        1_usize..=3,
    )
        .prop_map(
            |(title, artist, album, (track, album_id, art), numbers, renditions, count)| {
                let (version, track_number, track_gain, album_gain, true_peak) = numbers;
                TrackManifest {
                    track: TrackId(track),
                    version,
                    title,
                    artist,
                    album,
                    album_id: album_id.map(AlbumId),
                    track_number,
                    art: art.map(ArtId),
                    track_gain: Gain(track_gain),
                    album_gain: Gain(album_gain),
                    true_peak: Gain(true_peak),
                    renditions: renditions.into_iter().take(count).collect(),
                }
            },
        )
}
