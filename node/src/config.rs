//! What a node is told when it starts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use antiphon_protocol::{BitRate, ByteCount, Rung};
use serde::{Deserialize, Serialize};

/// Upload rate until the uplink is measured: 10 % of the 22.6 Mbit/s median fixed uplink (Ookla,
/// end of 2022).
pub const UPLOAD_DEFAULT: BitRate = BitRate(2_260_000);
/// Smallest and largest cache by default (the published client's bounds).
const CACHE_BYTES_RANGE: (u64, u64) = (50_000_000, 10_000_000_000);

/// Configuration of a node. Unknown keys are refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// Keys, session and small state.
    pub data_folder: PathBuf,
    /// Cached audio; may be deleted while the node is off.
    pub cache_folder: PathBuf,
    /// `host:port#fingerprint` of the tracker.
    pub tracker: Option<String>,
    /// Addresses for peers, UDP and TCP; port 0 takes any.
    pub listen: Vec<SocketAddr>,
    /// TCP address of the local API; none switches it off.
    pub api: Option<SocketAddr>,
    /// Upload budget in bits a second.
    pub upload: BitRate,
    /// Whether this node uploads at all.
    pub uploads: bool,
    /// Audio kept on disk, in bytes; none is a tenth of what is free, within bounds.
    pub cache_bytes: Option<ByteCount>,
    /// Hundredths of the cache for copies that are kept for others, because few hold them; 0 keeps
    /// none.
    pub placement_percent: u16,
    /// Seconds online after which the tracker is asked what to keep for others.
    pub placement_after_secs: u32,
    /// The quality to ask for.
    pub rung: Rung,
    /// Where sound goes: `device`, `device:NAME`, `wav:FILE`, `null`; none plays nothing (seed).
    pub sink: Option<String>,
    /// Ask only the origin, never peers (for comparison).
    pub origin_only: bool,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            data_folder: PathBuf::from("antiphon-data"),
            cache_folder: PathBuf::from("antiphon-cache"),
            tracker: None,
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 7701))],
            api: Some(SocketAddr::from(([127, 0, 0, 1], 7700))),
            upload: UPLOAD_DEFAULT,
            uploads: true,
            cache_bytes: None,
            placement_percent: 5,
            placement_after_secs: 600,
            rung: Rung::Standard,
            sink: Some("device".to_owned()),
            origin_only: false,
        }
    }
}

impl NodeConfig {
    /// How much audio to keep: what was asked for, else a tenth of what is free on the cache's
    /// disk, within the published client's bounds.
    #[must_use]
    pub fn cache_budget(&self) -> ByteCount {
        self.cache_bytes
            .unwrap_or_else(|| default_budget(free_bytes(&self.cache_folder)))
    }
}

/// Bytes free for this user on the disk of `folder`; zero if that cannot be told.
fn free_bytes(folder: &Path) -> ByteCount {
    let found = rustix::fs::statvfs(folder);
    ByteCount(found.map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)))
}

fn default_budget(free: ByteCount) -> ByteCount {
    let (low, high) = CACHE_BYTES_RANGE;
    ByteCount((free.0 / 10).clamp(low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_cache_is_a_tenth_of_the_free_disk_within_bounds() {
        assert_eq!(default_budget(ByteCount(0)), ByteCount(50_000_000));
        assert_eq!(
            default_budget(ByteCount(20_000_000_000)),
            ByteCount(2_000_000_000)
        );
        assert_eq!(
            default_budget(ByteCount(u64::MAX)),
            ByteCount(10_000_000_000)
        );
    }
}
