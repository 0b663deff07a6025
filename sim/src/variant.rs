//! Policies by name. Each is a value of the core's own [`NodeConfig`]: nothing is decided here.

use antiphon_swarm::NodeConfig;

/// The names [`config`] knows.
pub const NAMES: &[&str] = &["antiphon", "origin-only", "spotify-2010"];

/// The configuration of a variant.
#[must_use]
pub fn config(name: &str) -> Option<NodeConfig> {
    match name {
        "antiphon" => Some(NodeConfig::antiphon()),
        "origin-only" => Some(NodeConfig::origin_only()),
        "spotify-2010" => Some(NodeConfig::spotify_2010()),
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
            .map(|name| config(name).expect("known"))
            .collect();
        assert!(configs.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(config("bittorrent"), None);
    }
}
