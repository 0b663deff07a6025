//! The tables of a run, the seed in the first column; those of one seed at a time.

use std::borrow::Cow;

use crate::measure::stall::StallCause;
use crate::measure::tally::{NodeRow, PlayRow, SeriesRow, TrackRow};
use crate::report::table::{Builder, Table};
use crate::run::SeedRun;
use crate::scenario::Scenario;
use crate::world::Ending;

/// Makes a table of one seed.
pub(super) type Make = for<'a> fn(&'a Scenario, &'a SeedRun) -> Table<'a>;

/// Name and maker of each.
pub(super) const TABLES: [(&str, Make); 4] = [
    ("series", series),
    ("plays", plays),
    ("nodes", nodes),
    ("tracks", tracks),
];

/// Minute by minute since measuring began.
fn series<'a>(_: &'a Scenario, run: &'a SeedRun) -> Table<'a> {
    let rows: Vec<(usize, &SeriesRow)> = run.tally.series.iter().enumerate().collect();
    Builder::new(&rows)
        .count("seed", |_| run.seed)
        .count("minute", |row| row.0 as u64)
        .count("online", |row| row.1.online)
        .count("listening", |row| row.1.listening)
        .count("connections", |row| row.1.connections)
        .count("copies", |row| row.1.copies)
        .count("server_bytes", |row| row.1.server)
        .count("peer_bytes", |row| row.1.peers)
        .count("cache_bytes", |row| row.1.cache)
        .count("origin_sent_bytes", |row| row.1.origin_sent)
        .count("peers_arrived_bytes", |row| row.1.peers_arrived)
        .count("plays", |row| row.1.plays)
        .count("stalls", |row| row.1.stalls)
        .count("refused", |row| row.1.refused)
        .count("slow_starts", |row| row.1.slow)
        .build()
}

/// Play by play: one in so many of the whole run of each seed.
fn plays<'a>(scenario: &'a Scenario, run: &'a SeedRun) -> Table<'a> {
    let name = |name: Option<&'a String>| Cow::Borrowed(name.map_or("", String::as_str));
    let region = |at: u8| name(scenario.region.get(at as usize).map(|region| &region.name));
    Builder::<PlayRow>::new(&run.tally.rows)
        .count("seed", |_| run.seed)
        .word("id", |row| format!("{}-{}", row.user, row.number).into())
        .count("user", |row| row.user.into())
        .word("region", move |row| region(row.region))
        .word("access", |row| access(scenario, row.access))
        .word("nat", |row| nat(scenario, row.nat))
        .count("rank", |row| u64::from(row.track) + 1)
        .flag("expected", |row| row.expected)
        .flag("cached", |row| row.cached)
        .number("asked_s", |row| row.asked as f64 / 1e6)
        .number("lasted_s", |row| row.waited as f64 / 1e6)
        .maybe("start_ms", |row| {
            row.start_latency.map(|micros| micros as f64 / 1e3)
        })
        .count("stalls", |row| row.stalls.into())
        .number("stalled_ms", |row| row.stalled as f64 / 1e3)
        .word("cause", |row| row.cause.map_or("", StallCause::name).into())
        .count("server_bytes", |row| row.server.into())
        .count("peer_bytes", |row| row.peers.into())
        .count("cache_bytes", |row| row.cache.into())
        .count("fetched_bytes", |row| row.fetched.into())
        .word("ending", |row| ending(row.ending).into())
        .build()
}

const fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Heard => "heard",
        Ending::Left => "left",
        Ending::Cut => "cut",
        Ending::Refused => "refused",
    }
}

fn access(scenario: &Scenario, at: u8) -> Cow<'_, str> {
    let access = scenario.access.get(at as usize);
    access.map_or("", |access| access.name.as_str()).into()
}

fn nat(scenario: &Scenario, at: u8) -> Cow<'_, str> {
    let nat = scenario.nat.get(at as usize);
    nat.map_or("", |nat| nat.name.as_str()).into()
}

/// Node by node.
fn nodes<'a>(scenario: &'a Scenario, run: &'a SeedRun) -> Table<'a> {
    let rows: Vec<(usize, &NodeRow)> = run.tally.nodes.iter().enumerate().collect();
    Builder::new(&rows)
        .count("seed", |_| run.seed)
        .count("node", |row| row.0 as u64)
        .word("access", |row| access(scenario, row.1.access))
        .word("nat", |row| nat(scenario, row.1.nat))
        .flag("may_upload", |row| row.1.willing)
        .count("plays", |row| row.1.plays.into())
        .count("stalled_plays", |row| row.1.stalled_plays.into())
        .count("uploaded_bytes", |row| row.1.uploaded)
        .count("from_peers_bytes", |row| row.1.from_peers)
        .count("from_origin_bytes", |row| row.1.from_origin)
        .build()
}

/// By powers of two of the rank.
fn tracks<'a>(_: &'a Scenario, run: &'a SeedRun) -> Table<'a> {
    let rows = run.tally.tracks.iter().enumerate();
    let rows: Vec<(usize, &TrackRow)> = rows.filter(|(_, row)| row.plays > 0).collect();
    Builder::new(&rows)
        .count("seed", |_| run.seed)
        .count("rank_from", |row| 1 << row.0)
        .count("rank_to", |row| (2 << row.0) - 1)
        .count("plays", |row| row.1.plays)
        .count("stalled_plays", |row| row.1.stalled_plays)
        .count("server_bytes", |row| row.1.server)
        .count("peer_bytes", |row| row.1.peers)
        .count("cache_bytes", |row| row.1.cache)
        .build()
}
