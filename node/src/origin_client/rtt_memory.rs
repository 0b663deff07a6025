//! The last known round trip to each origin, kept between runs.
//!
//! A fresh connection paces and repeats its first packets by a guess; the last measurement is the
//! best one. It is only a guess: a damaged or missing file is the same as none.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::lock;

/// Round trips by certificate fingerprint.
#[derive(Debug)]
pub(super) struct RttMemory {
    file: Option<PathBuf>,
    /// In microseconds, by the fingerprint in hexadecimal.
    known: Mutex<BTreeMap<String, u64>>,
}

impl RttMemory {
    pub(super) fn open(file: Option<PathBuf>) -> Self {
        let known = file.as_deref().and_then(|file| load(file).ok());
        Self {
            file,
            known: Mutex::new(known.unwrap_or_default()),
        }
    }

    /// What to start a connection to this origin with.
    pub(super) fn guess(&self, fingerprint: &[u8; 32]) -> Duration {
        let known = lock(&self.known).get(&name(fingerprint)).copied();
        known
            .map_or(UNKNOWN, Duration::from_micros)
            .clamp(SHORTEST, LONGEST)
    }

    /// Remembers a measurement. Writes only what differs enough to matter; returns whether.
    pub(super) fn remember(&self, fingerprint: &[u8; 32], rtt: Duration) -> bool {
        let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
        let copy = {
            let mut known = lock(&self.known);
            let name = name(fingerprint);
            let old = known.get(&name).copied().unwrap_or(0);
            if old.abs_diff(micros) <= old / SAME_FRACTION {
                return false;
            }
            if known.len() >= ORIGINS_MAX && !known.contains_key(&name) {
                known.pop_first();
            }
            known.insert(name, micros);
            known.clone()
        };
        if let Some(file) = self.file.clone() {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = save(&file, &copy) {
                    tracing::debug!(%error, file = %file.display(), "round trips were not kept");
                }
            });
        }
        true
    }
}

fn name(fingerprint: &[u8; 32]) -> String {
    blake3::Hash::from(*fingerprint).to_hex().to_string()
}

fn load(file: &Path) -> io::Result<BTreeMap<String, u64>> {
    if fs::metadata(file)?.len() > FILE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

fn save(file: &Path, known: &BTreeMap<String, u64>) -> io::Result<()> {
    let staged = file.with_extension("new");
    fs::write(&staged, serde_json::to_vec(known)?)?;
    fs::rename(staged, file)
}

/// Before the first measurement: a long way within a continent. Guess.
const UNKNOWN: Duration = Duration::from_millis(100);
/// Guesses below only repeat handshake packets for nothing.
const SHORTEST: Duration = Duration::from_millis(5);
/// quinn's own default.
const LONGEST: Duration = Duration::from_millis(333);
/// A tenth more or less changes nothing that can be measured.
const SAME_FRACTION: u64 = 10;
const ORIGINS_MAX: usize = 16;
/// Sixteen entries take 1.4 KiB.
const FILE_BYTES_MAX: u64 = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_remembered_is_the_next_guess() {
        let memory = RttMemory::open(None);
        assert_eq!(memory.guess(&[1; 32]), UNKNOWN);
        assert!(memory.remember(&[1; 32], Duration::from_millis(40)));
        assert!(!memory.remember(&[1; 32], Duration::from_millis(42)));
        assert_eq!(memory.guess(&[1; 32]), Duration::from_millis(40));
        assert!(memory.remember(&[1; 32], Duration::from_secs(100)));
        assert_eq!(memory.guess(&[1; 32]), LONGEST);
        for origin in 0..100 {
            memory.remember(&[origin; 32], Duration::from_millis(40));
        }
        assert_eq!(lock(&memory.known).len(), ORIGINS_MAX);
    }

    #[test]
    fn it_survives_on_disk_and_damage_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rtt.json");
        let known = BTreeMap::from([(name(&[7; 32]), 40_000)]);
        save(&file, &known).unwrap();
        let memory = RttMemory::open(Some(file.clone()));
        assert_eq!(memory.guess(&[7; 32]), Duration::from_millis(40));
        fs::write(&file, "garbage").unwrap();
        assert_eq!(RttMemory::open(Some(file)).guess(&[7; 32]), UNKNOWN);
    }
}
