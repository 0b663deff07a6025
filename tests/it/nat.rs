//! Nodes behind the routers of their homes, and who gets music from whom.

use std::time::Duration;

use antiphon_node::status::PlayRecord;
use antiphon_tests::library::Known;
use antiphon_tests::listener::{Listener, ListenerOptions};
use antiphon_tests::nat::{Home, Kind};
use antiphon_tests::network::Network;
use antiphon_tests::place::Place;
use anyhow::{Context as _, Result};

/// Where tracker and origin are.
const OPEN: &str = "10.99.0.1";
/// From a home into the open network: 20 ms there and back, 40 ms between homes.
const DELAY: Duration = Duration::from_millis(10);

/// A network in the open, with a tracker and an origin.
struct World {
    network: Network,
    piece: Known,
    internet: Place,
}

impl World {
    /// None where there are no namespaces.
    fn make(name: &str) -> Result<Option<Self>> {
        let Some(internet) = Place::make()? else {
            return Ok(None);
        };
        internet.ip(&format!("address add {OPEN}/32 dev lo"))?;
        internet.set("ipv4/ip_forward", "1")?;
        let network = internet.wait_for(async || Network::start_at(name, OPEN).await)?;
        Ok(Some(Self {
            piece: network.library().piece("aurora")?,
            network,
            internet,
        }))
    }

    fn home(&self, number: u8, kind: Kind) -> Result<Home> {
        let home = Home::make(&self.internet, number, kind, DELAY)?;
        home.context("there were namespaces a moment ago")
    }

    /// A listener at `place` that holds the piece. From then on nobody else does.
    fn holder(&mut self, place: &Place) -> Result<Listener> {
        let sink = self.network.folder().join("holder.wav");
        let options = ListenerOptions::fast(&sink).anywhere();
        let holder =
            place.wait_for(async || self.network.listener_with("holder", options).await)?;
        place.wait_for(async || {
            holder.play(&self.piece).await?;
            holder.holds(&self.piece).await
        })?;
        let node = holder.node()?;
        self.internet.wait_for(async || {
            self.network.knows_holder(&self.piece, &node).await?;
            self.network.kill_origin().await
        })?;
        Ok(holder)
    }

    /// How a listener's play at `place` went.
    fn asker(&self, place: &Place) -> Result<PlayRecord> {
        let sink = self.network.folder().join("asker.wav");
        let options = ListenerOptions::fast(&sink).anywhere();
        place.wait_for(async || {
            let asker = self.network.listener_with("asker", options).await?;
            asker.play(&self.piece).await?;
            asker.has_played().await
        })
    }

    fn all_from_peers(&self, play: &PlayRecord) {
        assert_eq!(play.failure, "");
        let from_peers = (play.bytes.peers, play.bytes.origin);
        assert_eq!(from_peers, (self.piece.rendition.size.0, 0));
    }
}

#[test]
fn music_comes_from_a_peer_although_both_are_behind_routers() -> Result<()> {
    let Some(mut world) = World::make("two-cones")? else {
        return Ok(());
    };
    let one = world.home(1, Kind::Cone)?;
    let two = world.home(2, Kind::Cone)?;
    let _holder = world.holder(&one.inside)?;
    let before = one.kept_out();
    let play = world.asker(&two.inside)?;
    world.all_from_peers(&play);
    assert!(one.kept_out() > before, "the way was not open before");
    Ok(())
}

#[test]
fn a_holder_behind_the_strictest_router_dials_those_in_the_open_back() -> Result<()> {
    let Some(mut world) = World::make("symmetric-to-open")? else {
        return Ok(());
    };
    let home = world.home(1, Kind::Symmetric)?;
    let _holder = world.holder(&home.inside)?;
    let play = world.asker(&world.internet)?;
    world.all_from_peers(&play);
    Ok(())
}

#[test]
fn the_strictest_router_and_a_strict_one_keep_apart_what_then_says_so() -> Result<()> {
    let Some(mut world) = World::make("symmetric-to-cone")? else {
        return Ok(());
    };
    let one = world.home(1, Kind::Cone)?;
    let two = world.home(2, Kind::Symmetric)?;
    let _holder = world.holder(&one.inside)?;
    let play = world.asker(&two.inside)?;
    assert!(play.failure.contains("not available"), "{play:?}");
    assert_eq!((play.bytes.peers, play.bytes.origin), (0, 0));
    Ok(())
}

#[test]
fn behind_the_strictest_router_the_own_dial_gets_through_one_that_asks_only_for_the_address()
-> Result<()> {
    let Some(mut world) = World::make("symmetric-to-lenient")? else {
        return Ok(());
    };
    let one = world.home(1, Kind::LenientCone)?;
    let two = world.home(2, Kind::Symmetric)?;
    let _holder = world.holder(&one.inside)?;
    let play = world.asker(&two.inside)?;
    world.all_from_peers(&play);
    Ok(())
}

#[test]
fn the_way_is_found_again_after_the_tracker_was_away() -> Result<()> {
    let Some(mut world) = World::make("tracker-away")? else {
        return Ok(());
    };
    let one = world.home(1, Kind::Cone)?;
    let two = world.home(2, Kind::Cone)?;
    let holder = world.holder(&one.inside)?;
    let node = holder.node()?;
    let World {
        network,
        piece,
        internet,
    } = &mut world;
    internet.wait_for(async || {
        network.kill_tracker().await?;
        network.start_tracker().await?;
        network.knows_holder(piece, &node).await
    })?;
    let play = world.asker(&two.inside)?;
    world.all_from_peers(&play);
    Ok(())
}
