//! One schedule from its first moment to its judgment, and what it came to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::packet::harness::Harness;
use crate::packet::oracle::{Broken, Kind};
use crate::packet::player::Sound;
use crate::packet::profile::Profile;
use crate::packet::transport::Traffic;

/// After the last fault everybody plays within this.
const HEALED_MICROS: u64 = 5_000_000;
/// Nodes that start when faults end take up to this long until their listener presses play.
const START_MICROS: u64 = 2_000_000;

/// A link to the tracker notices a silent restart after 15 s, and the next try may be 30 s away;
/// then a listener presses play again.
const ATTACH_MICROS: u64 = 55_000_000;

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Everything follows from it.
    pub seed: u64,
    /// Nodes, at most [`NODES_MAX`].
    pub nodes: usize,
    /// Simulated seconds with faults.
    pub seconds: u64,
}

/// Nodes of a schedule at most: above it the fluid harness is the right one.
pub const NODES_MAX: usize = 200;

/// What a schedule came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Of everything that happened.
    pub digest: u128,
    /// Happenings.
    pub events: u64,
    /// Bytes on the wire.
    pub traffic: Traffic,
    /// Bytes heard from cache, peers and origin.
    pub heard: [u64; 3],
    /// Plays begun.
    pub plays: u64,
    /// Plays that no source could be had for.
    pub given_up: u64,
    /// Times the sound stopped for want of data.
    pub stalls: u64,
    /// Faults that struck.
    pub faults: u64,
    /// Spans with wrong bytes that arrived. None was kept or played.
    pub corrupt_received: u64,
    /// Penalties nodes gave.
    pub penalties: u64,
    /// From the last fault until everybody played, microseconds; looked at after 7 s first.
    pub healed_after: u64,
}

/// A schedule that broke a promise.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{broken}; replay it with: {}", .schedule.replay())]
pub struct Failure {
    /// Which.
    pub schedule: Schedule,
    /// How.
    pub broken: Broken,
}

impl Schedule {
    /// The command that runs it again.
    #[must_use]
    pub fn replay(&self) -> String {
        format!(
            "antiphon sim fuzz --schedules 1 --seed {} --nodes {} --seconds {}",
            self.seed, self.nodes, self.seconds
        )
    }

    /// Runs it.
    ///
    /// # Errors
    /// The first promise broken. A panic of the code under test is one.
    pub fn run(&self) -> Result<Outcome, Failure> {
        let failure = |broken| Failure {
            schedule: *self,
            broken,
        };
        match catch_unwind(AssertUnwindSafe(|| self.run_bare())) {
            Ok(outcome) => outcome.map_err(failure),
            Err(panic) => {
                let text = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                Err(failure(Broken {
                    kind: Kind::Crash,
                    seconds: 0.0,
                    text: text.unwrap_or_else(|| "a panic without a text".to_owned()),
                }))
            }
        }
    }

    fn run_bare(&self) -> Result<Outcome, Broken> {
        let tracks = crate::packet::music::Music::shared().tracks.len();
        let nodes = self.nodes.clamp(2, NODES_MAX);
        let profile = Profile::of(self.seed, nodes, self.seconds, tracks);
        let mut harness = Harness::new(profile, self.seed);
        let healed = self.seconds * 1_000_000;
        harness.run_until(healed + HEALED_MICROS + START_MICROS)?;
        // Whoever waits for the tracker has the time its link takes to notice a restart.
        let patience = healed + ATTACH_MICROS;
        while judge_healing(&harness, patience)? == Verdict::Waits {
            let until = harness.now + 1_000_000;
            harness.run_until(until)?;
        }
        let healed_after = harness.now - healed;
        for node in 0..harness.nodes.len() as u16 {
            harness.count_heard(node);
        }
        harness.last_look()?;
        Ok(Outcome {
            digest: harness.digest.value(),
            events: harness.digest.events(),
            traffic: harness.network.traffic(),
            heard: harness.oracle.heard_bytes,
            plays: harness.oracle.plays,
            given_up: harness.oracle.given_up,
            stalls: harness.oracle.stalls,
            faults: harness.oracle.faults,
            corrupt_received: harness.oracle.corrupt_received,
            penalties: harness.oracle.penalties,
            healed_after,
        })
    }
}

/// What the healing phase came to so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Plays,
    /// Somebody has no license yet, because its link to the tracker is not up again.
    Waits,
}

/// Everybody plays within 5 s of the last fault, of pressing play or of a jump, once the tracker answers. A
/// chunk that went bad on a disk before shows only when it is read; then these 5 s begin with it,
/// because nobody could have asked for it earlier.
fn judge_healing(harness: &Harness, patience: u64) -> Result<Verdict, Broken> {
    let mut verdict = Verdict::Plays;
    for node in harness.nodes.iter().filter(|node| !node.shut_out) {
        let waits_for_license = match node.player.current {
            Some(playing) if matches!(playing.sound, Sound::Sounding { .. }) => continue,
            Some(playing) => !playing.licensed,
            None => true,
        };
        if waits_for_license {
            if harness.now >= patience {
                let text = format!("node {} gets no license after all faults ended", node.host);
                return Err(Broken::liveness(harness.now, text));
            }
            verdict = Verdict::Waits;
            continue;
        }
        let Some(playing) = node.player.current else {
            continue;
        };
        let healed = harness.faults.healed_at.unwrap_or(0);
        let disk = harness.oracle.disk_lost_at(node.host).unwrap_or(0);
        let waits = harness.now - healed.max(playing.waits_from).max(disk);
        if waits >= HEALED_MICROS {
            let text = format!(
                "node {} does not play {:.1} s after it could, with all faults ended (play {} of track {}, {:?})",
                node.host,
                waits as f64 / 1e6,
                playing.number,
                playing.track,
                playing.sound
            );
            return Err(Broken::liveness(harness.now, text));
        }
        verdict = Verdict::Waits;
    }
    Ok(verdict)
}
