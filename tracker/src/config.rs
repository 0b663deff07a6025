//! The tracker's settings: every field documented, with a default, and unknown keys refused.
//!
//! Not here: reading files, environment or command line (the program does that).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use antiphon_protocol::limits::{TEXT_BYTES_MAX, WIRE_DURATION_MAX};
use antiphon_protocol::tracker::OriginAddress;
use serde::{Deserialize, Serialize};

/// Origins that fit in one answer (the codec's own limit).
const ORIGINS_MAX: usize = 8;

/// Everything a tracker can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackerConfig {
    /// Folder of the database `tracker.db` and of `keys/`. Created, readable by its owner only.
    pub data: PathBuf,
    /// Folder with `catalog.pub` and `<track>.release` files, as ingest writes it. Only read.
    pub releases: PathBuf,
    /// Address for nodes, over UDP and over TCP. Port 0 takes one that is free over both.
    pub quic_listen: SocketAddr,
    /// TCP address for health and metrics. Port 0 takes any free port.
    pub http_listen: SocketAddr,
    /// Whether anybody may create an account. Otherwise only the operator does.
    pub open_registration: bool,
    /// Origins that nodes are sent to, best first; at most 8.
    pub origins: Vec<OriginEntry>,
    /// Seconds a license lets a play start: an hour (`docs/licensing.md`).
    pub lease_secs: u32,
    /// Seconds beyond the lease in which a renewal may still be under way: six hours.
    pub grace_secs: u32,
    /// Days an access token lives.
    pub token_days: u32,
    /// Milliseconds between looks at the releases folder.
    pub rescan_millis: u32,
    /// What is allowed to whom.
    pub limits: LimitsConfig,
}

/// Bounds on what clients may ask. The defaults are guesses far above what a listener needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections at once.
    pub connections: u32,
    /// Connections at once from one address (IPv6: from one /64). Many listeners may share one
    /// behind their provider's address translation.
    pub address_connections: u32,
    /// Handshakes a second from one address, in the long run.
    pub address_handshakes_per_second: u32,
    /// Handshakes from one address in a burst, as after the tracker's restart.
    pub address_handshakes_burst: u32,
    /// Requests a second of one connection, in the long run.
    pub connection_requests_per_second: u32,
    /// Requests of one connection in a burst.
    pub connection_requests_burst: u32,
    /// Requests a second of one account over all its connections.
    pub account_requests_per_second: u32,
    /// Requests of one account in a burst.
    pub account_requests_burst: u32,
    /// Logins and registrations a minute from one address (IPv6: from one /64).
    pub address_logins_per_minute: u32,
    /// Logins a minute to one account, from wherever.
    pub account_logins_per_minute: u32,
    /// Introductions a minute that one account may ask for.
    pub account_introductions_per_minute: u32,
    /// Introductions a minute that one account may ask for to one node: a dial that failed is not
    /// repeated sooner, and one account must not use up what others may have of the node.
    pub pair_introductions_per_minute: u32,
    /// Introductions a minute to one node, whoever asks.
    pub node_introductions_per_minute: u32,
}

/// One origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginEntry {
    /// `host:port` of its QUIC and HTTP ports.
    pub host: String,
    /// BLAKE3 of its certificate, 64 hexadecimal digits.
    pub certificate: Fingerprint,
}

/// The BLAKE3 hash of a certificate (DER); hexadecimal in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

impl core::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        blake3::Hash::from_hex(&text)
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| format!("a fingerprint has 64 hexadecimal digits, not {text:?}"))
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl From<OriginAddress> for OriginEntry {
    fn from(address: OriginAddress) -> Self {
        Self {
            host: address.host,
            certificate: Fingerprint(address.certificate),
        }
    }
}

impl From<&OriginEntry> for OriginAddress {
    fn from(entry: &OriginEntry) -> Self {
        Self {
            host: entry.host.clone(),
            certificate: entry.certificate.0,
        }
    }
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            data: PathBuf::from("/var/lib/antiphon/tracker"),
            releases: PathBuf::from("/var/lib/antiphon/library/releases"),
            quic_listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7781)),
            http_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7780)),
            open_registration: false,
            origins: Vec::new(),
            lease_secs: 3_600,
            grace_secs: 21_600,
            token_days: 30,
            rescan_millis: 3_000,
            limits: LimitsConfig::default(),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 10_000,
            address_connections: 1_000,
            address_handshakes_per_second: 20,
            address_handshakes_burst: 200,
            connection_requests_per_second: 50,
            connection_requests_burst: 500,
            account_requests_per_second: 200,
            account_requests_burst: 2_000,
            address_logins_per_minute: 60,
            account_logins_per_minute: 30,
            account_introductions_per_minute: 120,
            pair_introductions_per_minute: 6,
            node_introductions_per_minute: 60,
        }
    }
}

impl TrackerConfig {
    /// Whether the values make sense together.
    ///
    /// # Errors
    /// Names the field and what it must be.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |field, rule| Err(ConfigError { field, rule });
        if !(60..=7 * 86_400).contains(&self.lease_secs) {
            return refuse("lease_secs", "between 60 and 604800");
        }
        if self.grace_secs > 7 * 86_400 {
            return refuse("grace_secs", "at most 604800");
        }
        if !(1..=366).contains(&self.token_days) {
            return refuse("token_days", "between 1 and 366");
        }
        if !(100..=WIRE_DURATION_MAX.0).contains(&self.rescan_millis) {
            return refuse("rescan_millis", "between 100 and 3600000");
        }
        if self.origins.len() > ORIGINS_MAX {
            return refuse("origins", "at most 8 entries");
        }
        let host_ok = |host: &str| {
            host.len() <= TEXT_BYTES_MAX
                && host.rsplit_once(':').is_some_and(|(name, port)| {
                    !name.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
                })
        };
        if !self.origins.iter().all(|origin| host_ok(&origin.host)) {
            return refuse("origins.host", "written as host:port");
        }
        let limits = &self.limits;
        let numbers = [
            limits.connections,
            limits.address_connections,
            limits.address_handshakes_per_second,
            limits.address_handshakes_burst,
            limits.connection_requests_per_second,
            limits.connection_requests_burst,
            limits.account_requests_per_second,
            limits.account_requests_burst,
            limits.address_logins_per_minute,
            limits.account_logins_per_minute,
            limits.account_introductions_per_minute,
            limits.pair_introductions_per_minute,
            limits.node_introductions_per_minute,
        ];
        if numbers.contains(&0) {
            return refuse("limits", "numbers above zero");
        }
        Ok(())
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the setting {field} must be {rule}; correct it in the tracker's configuration")]
pub struct ConfigError {
    /// The field, as written in the file.
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_gives_the_defaults_which_are_valid() {
        let config: TrackerConfig = toml::from_str("").unwrap();
        assert_eq!(config, TrackerConfig::default());
        assert_eq!(config.check(), Ok(()));
        assert_eq!((config.lease_secs, config.grace_secs), (3_600, 21_600));
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(toml::from_str::<TrackerConfig>("leese_secs = 1").is_err());
        assert!(toml::from_str::<TrackerConfig>("[limits]\nconections = 1").is_err());
    }

    #[test]
    fn a_configuration_survives_its_file() {
        let config = TrackerConfig {
            origins: vec![OriginEntry {
                host: "origin.example:7790".into(),
                certificate: Fingerprint([7; 32]),
            }],
            ..TrackerConfig::default()
        };
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<TrackerConfig>(&text).unwrap(), config);
    }

    #[test]
    fn impossible_values_name_their_field() {
        let config = TrackerConfig {
            lease_secs: 1,
            ..TrackerConfig::default()
        };
        assert_eq!(config.check().unwrap_err().field, "lease_secs");
        let config = TrackerConfig {
            origins: vec![OriginEntry {
                host: "no-port".into(),
                certificate: Fingerprint([7; 32]),
            }],
            ..TrackerConfig::default()
        };
        assert_eq!(config.check().unwrap_err().field, "origins.host");
    }
}
