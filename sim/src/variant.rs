//! Whole systems by name: the core's own [`NodeConfig`], the tracker's [`RegistryConfig`], and what
//! players and services around the core can do. Nothing is decided here.

use antiphon_swarm::NodeConfig;
use antiphon_swarm::registry::RegistryConfig;

/// The names [`variant`] knows.
pub const NAMES: &[&str] = &["antiphon", "bittorrent-like", "origin-only", "spotify-2010"];

/// One whole system.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Every node's core.
    pub node: NodeConfig,
    /// The tracker's registry.
    pub registry: RegistryConfig,
    /// Every node's player.
    pub player: PlayerModel,
    /// Whether the tracker introduces peers for hole punching, where the scenario allows it.
    pub punches: bool,
    /// Whether every site of the tracker (`tracker.overlays`) has a network of peers of its own.
    pub sites_apart: bool,
}

/// How a player behaves that no core decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayerModel {
    /// The next track of a queue is opened and decoded before its turn: it follows without a gap
    /// where its first data is there.
    pub opens_next: bool,
    /// Sound begins with the first audio, not when the device's `start_buffer` is full.
    pub starts_at_once: bool,
    /// Decoded sound in the output while a track plays, in microseconds: a machine that freezes
    /// for less is not heard.
    pub decoded_ahead: u64,
}

impl PlayerModel {
    /// The player that ships (`player/`): the next track is opened 10 s ahead, sound begins with
    /// the first decoded block, a second is decoded ahead.
    const SHIPPED: Self = Self {
        opens_next: true,
        starts_at_once: true,
        decoded_ahead: 1_000_000,
    };

    /// A player of 2010: it waited until its history of rates promised no underrun, which the
    /// device's `start_buffer` stands for. What it decoded ahead was not published; 0.2 s is what
    /// common outputs had. Guess.
    const OF_2010: Self = Self {
        opens_next: false,
        starts_at_once: false,
        decoded_ahead: 200_000,
    };
}

/// The whole system of a name.
#[must_use]
pub fn variant(name: &str) -> Option<Variant> {
    let shipped = |node| Variant {
        node,
        registry: RegistryConfig::default(),
        player: PlayerModel::SHIPPED,
        punches: true,
        sites_apart: false,
    };
    match name {
        "antiphon" => Some(shipped(NodeConfig::antiphon())),
        "bittorrent-like" => Some(shipped(NodeConfig::bittorrent_like())),
        "origin-only" => Some(shipped(NodeConfig::origin_only())),
        "spotify-2010" => Some(Variant {
            node: NodeConfig::spotify_2010(),
            registry: RegistryConfig::spotify_2010(),
            player: PlayerModel::OF_2010,
            // No hole punching, and a client picked one of two sites at random: published.
            punches: false,
            sites_apart: true,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_configuration_of_its_own() {
        let configs: Vec<_> = NAMES
            .iter()
            .map(|name| variant(name).expect("known").node)
            .collect();
        assert!(configs.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(variant("bittorrent").is_none());
    }
}
