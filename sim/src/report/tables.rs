//! The tables of a run as CSV, one row a line, the seed in the first column.

use core::fmt::Write as _;

use crate::report::Outcome;
use crate::run::SeedRun;
use crate::scenario::Scenario;

/// Figure by figure.
pub(super) fn summary(outcome: &Outcome) -> String {
    let mut text = "figure,mean,half_width_95,seeds\n".to_owned();
    for (name, estimate) in outcome.estimates() {
        let half = estimate
            .half_width
            .map(|half| half.to_string())
            .unwrap_or_default();
        let _ = writeln!(text, "{name},{},{half},{}", estimate.mean, estimate.seeds);
    }
    text
}

/// Minute by minute.
pub(super) fn series(runs: &[SeedRun]) -> String {
    let mut text = "seed,minute,online,listening,connections,copies,server_bytes,peer_bytes,cache_bytes,origin_sent_bytes,plays,stalls\n".to_owned();
    for run in runs {
        for (minute, row) in run.tally.series.iter().enumerate() {
            let _ = writeln!(
                text,
                "{},{minute},{},{},{},{},{},{},{},{},{},{}",
                run.seed,
                row.online,
                row.listening,
                row.connections,
                row.copies,
                row.server,
                row.peers,
                row.cache,
                row.origin_sent,
                row.plays,
                row.stalls
            );
        }
    }
    text
}

/// Play by play.
pub(super) fn plays(scenario: &Scenario, runs: &[SeedRun]) -> String {
    let name = |list: &mut dyn Iterator<Item = &String>| list.next().cloned().unwrap_or_default();
    let mut text = "seed,user,region,access,nat,rank,expected,cached,asked_s,lasted_s,start_ms,stalls,stalled_ms,server_bytes,peer_bytes,cache_bytes,fetched_bytes,ending\n".to_owned();
    for run in runs {
        for row in &run.tally.rows {
            let region = name(
                &mut scenario
                    .region
                    .iter()
                    .skip(row.region.into())
                    .map(|r| &r.name),
            );
            let access = name(
                &mut scenario
                    .access
                    .iter()
                    .skip(row.access.into())
                    .map(|a| &a.name),
            );
            let nat = name(&mut scenario.nat.iter().skip(row.nat.into()).map(|n| &n.name));
            let start = row
                .start_latency
                .map(|micros| (micros as f64 / 1e3).to_string());
            let _ = writeln!(
                text,
                "{},{},{region},{access},{nat},{},{},{},{},{},{},{},{},{},{},{},{},{:?}",
                run.seed,
                row.user,
                row.track + 1,
                row.expected,
                row.cached,
                row.asked as f64 / 1e6,
                row.waited as f64 / 1e6,
                start.unwrap_or_default(),
                row.stalls,
                row.stalled as f64 / 1e3,
                row.server,
                row.peers,
                row.cache,
                row.fetched,
                row.ending
            );
        }
    }
    text
}

/// Node by node.
pub(super) fn nodes(runs: &[SeedRun]) -> String {
    let mut text =
        "seed,node,plays,stalled_plays,uploaded_bytes,from_peers_bytes,from_origin_bytes\n"
            .to_owned();
    for run in runs {
        for (node, row) in run.tally.nodes.iter().enumerate() {
            let _ = writeln!(
                text,
                "{},{node},{},{},{},{},{}",
                run.seed,
                row.plays,
                row.stalled_plays,
                row.uploaded,
                row.from_peers,
                row.from_origin
            );
        }
    }
    text
}

/// By powers of two of the rank.
pub(super) fn tracks(runs: &[SeedRun]) -> String {
    let mut text = "seed,rank_from,rank_to,plays,server_bytes,peer_bytes,cache_bytes\n".to_owned();
    for run in runs {
        for (bin, row) in run
            .tally
            .tracks
            .iter()
            .enumerate()
            .filter(|(_, row)| row.plays > 0)
        {
            let (from, to) = (1_u64 << bin, (2_u64 << bin) - 1);
            let _ = writeln!(
                text,
                "{},{from},{to},{},{},{},{}",
                run.seed, row.plays, row.server, row.peers, row.cache
            );
        }
    }
    text
}
