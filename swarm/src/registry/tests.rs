use std::collections::BTreeMap;

use super::*;

const R: RenditionKey = RenditionKey(7);
const T0: Instant = Instant::START;

fn profile(region: u8, prefix: u32) -> PeerProfile {
    PeerProfile {
        region,
        prefix,
        uploads: true,
    }
}

fn registry(peers: u32) -> SwarmRegistry {
    let mut registry = SwarmRegistry::new(RegistryConfig::default(), [1; 32]);
    for peer in 0..peers {
        registry.join(T0, PeerKey(peer), profile(0, peer));
    }
    registry
}

#[test]
fn every_full_copy_is_known_and_the_asker_is_never_told_of_itself() {
    let mut registry = registry(30);
    for peer in 0..30 {
        registry.announce(T0, PeerKey(peer), R, Some(Held::Full));
    }
    let mut told = Vec::new();
    for _ in 0..3 {
        let picks = registry.lookup(T0, PeerKey(3), R, 10);
        assert_eq!(picks.len(), 10);
        told.extend(picks.into_iter().map(|pick| pick.peer.0));
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 29, "handed out in turn: {told:?}");
    assert!(!told.contains(&3));
}

#[test]
fn full_copies_come_before_partial_ones_and_near_before_far() {
    let mut registry = SwarmRegistry::new(RegistryConfig::default(), [1; 32]);
    for peer in 0..8 {
        registry.join(T0, PeerKey(peer), profile(1 + (peer % 2) as u8, peer));
        let held = if peer < 4 { Held::Partial } else { Held::Full };
        registry.announce(T0, PeerKey(peer), R, Some(held));
    }
    registry.join(T0, PeerKey(99), profile(1, 99));
    let picks = registry.lookup(T0, PeerKey(99), R, 10);
    let full: Vec<bool> = picks.iter().map(|pick| pick.held == Held::Full).collect();
    assert_eq!(full, [true, true, true, true, false, false, false, false]);
    let mut near: Vec<u32> = picks.iter().take(2).map(|pick| pick.peer.0).collect();
    near.sort_unstable();
    assert_eq!(near, [4, 6]);
}

#[test]
fn answers_are_spread_over_prefixes() {
    let mut registry = SwarmRegistry::new(RegistryConfig::default(), [1; 32]);
    for peer in 0..20 {
        registry.join(
            T0,
            PeerKey(peer),
            profile(0, if peer < 16 { 5 } else { peer }),
        );
        registry.announce(T0, PeerKey(peer), R, Some(Held::Full));
    }
    let picks = registry.lookup(T0, PeerKey(99), R, 5);
    let crowded = picks.iter().filter(|pick| pick.peer.0 < 16).count();
    assert_eq!((picks.len(), crowded), (5, 1));
}

#[test]
fn peers_that_do_not_upload_or_left_are_not_told() {
    let mut registry = registry(3);
    for peer in 0..3 {
        registry.announce(T0, PeerKey(peer), R, Some(Held::Full));
    }
    registry.join(
        T0,
        PeerKey(0),
        PeerProfile {
            uploads: false,
            ..profile(0, 0)
        },
    );
    registry.leave(T0, PeerKey(1));
    let picks = registry.lookup(T0, PeerKey(99), R, 10);
    assert_eq!(
        picks,
        [Pick {
            peer: PeerKey(2),
            held: Held::Full
        }]
    );
    registry.announce(T0, PeerKey(2), R, None);
    assert!(registry.lookup(T0, PeerKey(99), R, 10).is_empty());
    assert!(
        !registry.renew(T0, PeerKey(0)),
        "another now, it should say all"
    );
    registry.announce(T0, PeerKey(0), R, Some(Held::Full));
    assert!(registry.lookup(T0, PeerKey(99), R, 10).is_empty());
    assert_eq!(registry.len(), 1);
    registry.announce(T0, PeerKey(1), R, Some(Held::Full));
    assert_eq!(registry.len(), 1, "who has not joined is not believed");
}

#[test]
fn what_nobody_repeats_is_forgotten() {
    let mut registry = registry(2);
    registry.announce(T0, PeerKey(0), R, Some(Held::Full));
    let half = T0 + Duration::from_secs(1_500);
    registry.announce(half, PeerKey(1), R, Some(Held::Full));
    let later = T0 + RegistryConfig::default().lifetime + Duration::from_secs(1);
    assert_eq!(registry.lookup(later, PeerKey(9), R, 10).len(), 1);
    let due = registry.poll_timeout().expect("something expires");
    registry.handle_timeout(due.max(later));
    assert_eq!(registry.len(), 1);
    let due = registry.poll_timeout().expect("the other expires too");
    registry.handle_timeout(due);
    assert!(registry.is_empty() && registry.poll_timeout().is_none());
    assert!(!registry.renew(due, PeerKey(0)), "it should say everything");
    registry.announce(due, PeerKey(0), R, Some(Held::Full));
    assert!(registry.renew(due, PeerKey(0)));
    assert_eq!(registry.lookup(due, PeerKey(9), R, 10).len(), 1);
}

#[test]
fn who_tells_that_one_is_gone_still_holds_the_others() {
    let mut registry = registry(1);
    let other = RenditionKey(2);
    registry.announce(T0, PeerKey(0), R, Some(Held::Full));
    registry.announce(T0, PeerKey(0), other, Some(Held::Full));
    let late = T0 + Duration::from_secs(40 * 60);
    registry.announce(late, PeerKey(0), other, None);
    let later = T0 + Duration::from_secs(50 * 60);
    assert_eq!(registry.lookup(later, PeerKey(9), R, 10).len(), 1);
}

#[test]
fn one_word_renews_everything_a_peer_announced() {
    let mut registry = registry(1);
    for rendition in 0..50 {
        registry.announce(T0, PeerKey(0), RenditionKey(rendition), Some(Held::Full));
    }
    let mut now = T0;
    for _ in 0..6 {
        now += RegistryConfig::default().announce_interval;
        assert!(registry.renew(now, PeerKey(0)));
        if registry.poll_timeout().is_some_and(|due| due <= now) {
            registry.handle_timeout(now);
        }
    }
    assert_eq!(registry.len(), 50);
    assert_eq!(
        registry.lookup(now, PeerKey(9), RenditionKey(49), 10).len(),
        1
    );
    assert!(!registry.renew(now, PeerKey(7)), "who has not joined");
}

#[test]
fn a_full_registry_forgets_the_oldest_of_the_largest_swarms() {
    let config = RegistryConfig {
        entries_max: 640,
        ..RegistryConfig::default()
    };
    let mut registry = SwarmRegistry::new(config, [1; 32]);
    for peer in 0..700 {
        let now = T0 + Duration::from_secs(u64::from(peer));
        registry.join(now, PeerKey(peer), profile(0, peer));
        registry.announce(now, PeerKey(peer), R, Some(Held::Full));
        if peer < 10 {
            registry.announce(
                now,
                PeerKey(peer),
                RenditionKey(100 + peer),
                Some(Held::Full),
            );
        }
    }
    assert!(registry.len() <= 640);
    for rare in 0..10 {
        assert_eq!(
            registry
                .lookup(T0, PeerKey(999), RenditionKey(100 + rare), 1)
                .len(),
            1
        );
    }
    assert_eq!(
        registry.peers.told(),
        registry.len(),
        "both sides tell the same"
    );
}

#[test]
fn one_swarm_is_bounded() {
    let most = RegistryConfig::default().swarm_holders_max;
    let mut registry = registry(most as u32 + 50);
    for peer in 0..most as u32 + 50 {
        registry.announce(T0, PeerKey(peer), R, Some(Held::Full));
    }
    assert_eq!(registry.len(), most);
    assert_eq!(registry.lookup(T0, PeerKey(1), R, 10).len(), 10);
}

#[test]
fn an_entry_takes_at_most_64_bytes() {
    // 1,000 peers with 200 of 5,000 renditions each; heap blocks cost 16 bytes on top.
    let mut registry = registry(1_000);
    for peer in 0..1_000_u32 {
        for slot in 0..200_u32 {
            let rendition = RenditionKey((peer * 7 + slot * slot * 3) % 5_000);
            registry.announce(T0, PeerKey(peer), rendition, Some(Held::Full));
        }
    }
    let lists = registry
        .swarms
        .values()
        .map(|e| e.capacity() * size_of::<Entry>() + 16);
    let maps = registry.swarms.bytes() + registry.peers.bytes();
    let bytes = lists.sum::<usize>() + maps;
    let each = bytes / registry.len();
    assert_eq!(size_of::<Entry>(), 16);
    assert!(each <= 64, "{each} bytes an entry");
}

#[test]
fn the_most_wanted_of_what_few_hold_is_offered_once_at_a_time() {
    let mut registry = registry(9);
    let [plenty, wanted, rare, nowhere] = [1, 2, 3, 4].map(RenditionKey);
    for peer in 0..3 {
        registry.announce(T0, PeerKey(peer), plenty, Some(Held::Full));
    }
    registry.announce(T0, PeerKey(0), wanted, Some(Held::Full));
    registry.announce(T0, PeerKey(1), rare, Some(Held::Full));
    for asker in 3..6 {
        registry.lookup(T0, PeerKey(asker), plenty, 10);
        registry.lookup(T0, PeerKey(asker), wanted, 10);
    }
    registry.lookup(T0, PeerKey(4), rare, 10);
    for _ in 0..9 {
        // One who searches on is one who asked.
        registry.lookup(T0, PeerKey(3), rare, 10);
        registry.lookup(T0, PeerKey(3), nowhere, 10);
    }
    assert_eq!(registry.offer(T0, PeerKey(8), 1), [wanted]);
    assert_eq!(
        registry.offer(T0, PeerKey(1), 4),
        [],
        "it has the only rare one"
    );
    assert_eq!(registry.offer(T0, PeerKey(7), 4), [rare]);
    assert_eq!(registry.offer(T0, PeerKey(7), 4), []);
    let later = T0 + Duration::from_secs(1_900);
    assert_eq!(registry.offer(later, PeerKey(7), 4), [wanted, rare]);
}

#[test]
fn what_was_not_worth_a_copy_is_looked_at_again_when_somebody_asks() {
    let mut registry = registry(9);
    let rare = RenditionKey(1);
    for asker in [3, 4] {
        registry.lookup(T0, PeerKey(asker), rare, 10);
    }
    assert_eq!(registry.offer(T0, PeerKey(7), 4), [], "nobody has it");
    registry.announce(T0, PeerKey(0), rare, Some(Held::Full));
    assert_eq!(registry.offer(T0, PeerKey(7), 4), []);
    registry.lookup(T0, PeerKey(5), rare, 10);
    assert_eq!(registry.offer(T0, PeerKey(7), 4), [rare]);
}

#[test]
fn remembered_demand_is_bounded_and_the_most_wanted_stay() {
    let mut registry = registry(1);
    let famous = RenditionKey(u32::MAX - 1);
    registry.expect_asks(famous, 1_000);
    for key in 0..200_000 {
        registry.expect_asks(RenditionKey(key), 1);
    }
    assert!(registry.asks().count() <= 65_536);
    assert!(registry.asks().any(|(rendition, _)| rendition == famous));
}

/// Neither with the peer, nor with another one that is given its number, be it at once.
#[test]
fn what_was_said_before_somebody_left_stays_gone() {
    let mut registry = registry(3);
    let told = |registry: &mut SwarmRegistry| registry.lookup(T0, PeerKey(2), R, 10).len();
    for peer in 0..2 {
        registry.announce(T0, PeerKey(peer), R, Some(Held::Full));
        registry.leave(T0, PeerKey(peer));
    }
    assert!(registry.is_empty() && told(&mut registry) == 0);
    for peer in 0..2 {
        registry.join(T0, PeerKey(peer), profile(0, peer));
    }
    assert!(registry.is_empty() && told(&mut registry) == 0);
    registry.announce(T0, PeerKey(1), R, Some(Held::Partial));
    assert_eq!((registry.len(), told(&mut registry)), (1, 1));
    registry.announce(T0, PeerKey(0), R, None);
    registry.leave(T0, PeerKey(0));
    assert_eq!((registry.len(), told(&mut registry)), (1, 1));
}

/// Against a model: who is told of is online and said so, everybody who did is told of, and both sides
/// and the sizes of the swarms count the same.
#[test]
fn exactly_what_stands_is_told() {
    let mut rng = SeededRng::new([9; 32]);
    let mut registry = SwarmRegistry::new(RegistryConfig::default(), [1; 32]);
    // Whom each peer is now, and what it said it holds.
    let mut model: BTreeMap<u32, BTreeMap<u32, bool>> = BTreeMap::new();
    for step in 0..30_000_u64 {
        let now = T0 + Duration::from_millis(step);
        let (peer, rendition) = (rng.below(100) as u32, rng.below(60) as u32);
        let (key, name) = (PeerKey(peer), RenditionKey(rendition));
        match rng.below(12) {
            0 => {
                registry.leave(now, key);
                model.remove(&peer);
            }
            1 => {
                let prefix = rng.below(2) as u32;
                let moved =
                    registry
                        .peers
                        .join(now, Duration::from_secs(60), key, profile(0, prefix));
                let said = model.entry(peer).or_default();
                assert!(moved == 0 || moved == said.len());
                if moved > 0 {
                    said.clear();
                    assert!(!registry.renew(now, key));
                }
            }
            2 => {
                registry.announce(now, key, name, None);
                model.get_mut(&peer).map(|said| said.remove(&rendition));
            }
            3 => {
                let mut told: Vec<u32> = registry
                    .holders(now, PeerKey::OURSELVES, name, 200)
                    .iter()
                    .map(|pick| pick.peer.0 << 1 | u32::from(pick.held == Held::Full))
                    .collect();
                told.sort_unstable();
                let said = model.iter().filter_map(|(peer, said)| {
                    let full = said.get(&rendition)?;
                    Some(peer << 1 | u32::from(*full))
                });
                assert_eq!(told, said.collect::<Vec<u32>>());
            }
            _ => {
                let full = rng.below(2) == 0;
                let held = if full { Held::Full } else { Held::Partial };
                registry.announce(now, key, name, Some(held));
                model
                    .get_mut(&peer)
                    .map(|said| said.insert(rendition, full));
            }
        }
        let standing: usize = model.values().map(BTreeMap::len).sum();
        assert_eq!(
            (registry.len(), registry.peers.told()),
            (standing, standing)
        );
    }
    let entries: usize = registry.swarms.values().map(Vec::len).sum();
    assert_eq!(registry.by_size.entries(), entries);
}

#[test]
fn what_has_fallen_is_taken_away_with_those_who_leave() {
    let mut registry = registry(0);
    let mut most = 0;
    for peer in 0..20_000_u32 {
        registry.join(T0, PeerKey(peer), profile(0, peer));
        for at in 0..20 {
            let rendition = RenditionKey(peer.wrapping_mul(20).wrapping_add(at * 977) % 40_000);
            registry.announce(T0, PeerKey(peer), rendition, Some(Held::Full));
        }
        // A thousand at a time are online.
        if let Some(oldest) = peer.checked_sub(1_000) {
            registry.leave(T0, PeerKey(oldest));
        }
        most = most.max(registry.peers.fallen());
    }
    assert_eq!(registry.len(), 1_000 * 20);
    assert!(most < 10_000, "{most} of 20,000 that stand");
    for peer in 0..20_000 {
        registry.leave(T0, PeerKey(peer));
    }
    let left = registry.by_size.entries();
    assert!(registry.is_empty() && left < 8_000, "{left} left");
}

/// Also where newcomers take places of others, and where a peer has more to say than is asked for ahead.
#[test]
fn many_announces_at_once_are_as_many_single_ones() {
    let config = RegistryConfig {
        swarm_holders_max: 40,
        ..RegistryConfig::default()
    };
    let [mut at_once, mut singly] = [(); 2].map(|()| SwarmRegistry::new(config, [1; 32]));
    for peer in 0..200_u32 {
        let now = T0 + Duration::from_secs(u64::from(peer));
        let told: Vec<_> = (0..50)
            .map(|at| {
                let gone = (peer + at) % 9 == 0;
                (RenditionKey(at), (!gone).then_some(Held::Full))
            })
            .collect();
        for registry in [&mut at_once, &mut singly] {
            registry.join(now, PeerKey(peer), profile(0, peer));
        }
        at_once.announce_all(now, PeerKey(peer), &told);
        for (rendition, held) in told {
            singly.announce(now, PeerKey(peer), rendition, held);
        }
        assert_eq!(at_once.len(), singly.len());
        let picks = [&mut at_once, &mut singly]
            .map(|registry| registry.lookup(now, PeerKey(0), RenditionKey(peer % 50), 20));
        assert_eq!(picks[0], picks[1]);
    }
}

#[test]
fn an_empty_bitmap_is_nothing_held() {
    assert_eq!(Held::of(&Extent::Partial(vec![0, 0])), None);
    assert_eq!(Held::of(&Extent::Partial(vec![0, 4])), Some(Held::Partial));
    assert_eq!(Held::of(&Extent::Full), Some(Held::Full));
    assert_eq!(Held::of(&Extent::Gone), None);
}
