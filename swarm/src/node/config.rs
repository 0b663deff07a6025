//! What can be tuned in a node, with defaults and their sources. A variant of the whole system
//! is a value of [`NodeConfig`]: the parts are the same, the numbers differ.
//!
//! Not here: hard maxima ([`crate::limits`]).

use antiphon_protocol::{BitRate, ByteCount};

use crate::node::input::Budget;
use crate::time::Duration;

/// Tunables of [`crate::NodeCore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Whether peers are asked, served, dialed and searched at all.
    pub peers: bool,
    /// Starting a play.
    pub start: StartConfig,
    /// How near a deadline which source is used.
    pub ladder: LadderConfig,
    /// How far ahead of the playhead is fetched.
    pub ahead: AheadConfig,
    /// In which order missing chunks are asked for.
    pub picker: PickerConfig,
    /// Searching and connecting.
    pub search: SearchConfig,
    /// Telling others.
    pub news: NewsConfig,
    /// Keeping copies for others.
    pub placement: PlacementConfig,
    /// Budgets until [`crate::node::input::Command::Budget`] says otherwise.
    pub budget: Budget,
}

/// Tunables of a play's first moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartConfig {
    /// Chunks asked for first.
    pub head_chunks: u32,
    /// Chunks asked of the origin at once while a holder is likely to be there soon.
    pub hopeful_head_chunks: u32,
    /// How long a play without any known holder waits before it asks the origin, besides the round trip
    /// to the tracker. Drivers tell a track's holders in the same turn as the play, in either order.
    pub holders_grace: Duration,
    /// The same, while the tracker is within `near_tracker_rtt`.
    pub near_tracker_grace: Duration,
    /// A tracker within this round trip answers before a listener would notice the wait.
    pub near_tracker_rtt: Duration,
    /// How long the head waits for a dial to a known holder. A longer wait spares the origin,
    /// a shorter one starts sooner where the dial fails.
    pub peer_head_wait: Duration,
    /// How long the head waits at most for a tracker that is farther than that to name holders.
    pub far_tracker_grace: Duration,
    /// How much later than from the origin the head may be expected from a peer with history.
    pub peer_favor: Duration,
    /// A peer without history gets the head only within this round trip.
    pub near_rtt: Duration,
    /// Shortest and longest time after which the head is asked of a second source.
    pub hedge_min: Duration,
    /// See `hedge_min`.
    pub hedge_max: Duration,
    /// While holders are being dialed, the origin is asked only for what is needed within this.
    pub dial_patience: Duration,
}

/// Tunables of the order in which missing chunks are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PickerConfig {
    /// What is needed within this is asked for in order; of what lies behind it, the units that
    /// the fewest peers have come first. The longest time there is: always in order.
    pub in_order: Duration,
}

/// Tunables of the deadline ladder: bounds between its rungs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LadderConfig {
    /// Above it peers only, in the background.
    pub background: Duration,
    /// Above it peers, hedged at the peer's own 95th percentile.
    pub hedge: Duration,
    /// Above it a second peer at the first stall; below it the origin, and own uploads pause.
    pub second: Duration,
    /// Below it all race.
    pub race: Duration,
    /// A span has stalled when nothing came for three round trips or this.
    pub stall_min: Duration,
    /// The same at least, while there is more time than `hedge`.
    pub stall_calm: Duration,
    /// A source silent for this long is given up whatever the rung.
    pub silence_max: Duration,
    /// Played time a source is given per span.
    pub span_time: Duration,
}

/// Tunables of how far ahead of need is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AheadConfig {
    /// From the origin when no holder is known, at the start of a play.
    pub origin_min: Duration,
    /// The same after a while of listening.
    pub origin_max: Duration,
    /// From peers, at the start of a play. It grows by half of what was heard...
    pub peers_min: Duration,
    /// ... up to this.
    pub peers_max: Duration,
    /// Of fast peers the first request after the head ends with the first unit of 256 KiB, the next ones
    /// are of so many.
    pub short_step_units: u32,
    /// After this much listening they are asked for `long_step_units` at once.
    pub long_steps_after: Duration,
    /// See `long_steps_after`.
    pub long_step_units: u32,
    /// After this much listening the rest of the track is fetched from peers.
    pub whole_after: Duration,
    /// Of the next track, from peers.
    pub next_start: Duration,
    /// Whether that is fetched with the head of the next track, in one request, or only once the current one is
    /// complete and ends within `peers_max`.
    pub next_at_once: bool,
    /// Buffer of the current play from which on heads of the next are fetched.
    pub prefetch_from: Duration,
    /// Remaining time of the current play below which the origin serves a missing next head.
    pub origin_head_below: Duration,
    /// Chance in thousandths from which on the rest of an expected rendition is fetched.
    pub rest_chance_permille: u16,
    /// Rate at which pinned renditions nobody else holds are taken from the origin.
    pub pin_origin_rate: BitRate,
}

/// Tunables of search and dialing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchConfig {
    /// Connected usable holders wanted of the current play.
    pub holders_wanted: usize,
    /// The same of what is not played yet.
    pub holders_ahead: usize,
    /// The same of the current play once it could ask none of these for `more_after`.
    pub holders_most: usize,
    /// See `holders_most`.
    pub more_after: Duration,
    /// How many of those wanted one stands for that is known to be fast.
    pub brisk_holder_counts: usize,
    /// How long a lookup may take before the search counts as fruitless.
    pub lookup_patience: Duration,
    /// First time between two lookups of a rendition; doubles up to `lookup_max`.
    pub lookup_min: Duration,
    /// See `lookup_min`.
    pub lookup_max: Duration,
    /// Whether the tracker is asked for holders only when too few are known that may be dialed.
    pub untried_first: bool,
    /// First time between two overlay searches for a rendition; doubles up to `lookup_max`.
    pub find_interval: Duration,
    /// Whether neighbors are asked, too, when the tracker answered that nobody has it. Ours knows
    /// every copy of a node online; the published one remembered the last few.
    pub find_after_nobody: bool,
    /// A dial that takes longer is no reason not to dial somebody else.
    pub dial_patience: Duration,
    /// A dial that takes longer is counted as failed.
    pub dial_timeout: Duration,
    /// First wait after a failed dial; doubles.
    pub dial_backoff: Duration,
    /// After so many dials that failed in a row, a node that has no neighbor waits before it dials one
    /// more: it may be where nobody can be reached. Zero waits for nothing.
    pub vain_dials: u8,
    /// First such wait; doubles up to `vain_wait_max`, until a peer is connected or the tracker is reached
    /// again.
    pub vain_wait: Duration,
    /// See `vain_wait`.
    pub vain_wait_max: Duration,
    /// Neighbors above which new ones are not dialed.
    pub neighbors_soft: usize,
    /// Neighbors above which none is accepted.
    pub neighbors_hard: usize,
}

/// Tunables of what is told to neighbors and the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewsConfig {
    /// Time after an announce in which changes are gathered into the next one; others are told at once.
    pub announce_gap: Duration,
    /// Units of 256 KiB from which on a partial copy is announced.
    pub partial_units: u32,
    /// Known holders of all of it from which on a partial copy is not announced: the tracker names those.
    pub partial_below: usize,
    /// How long the tracker may take a copy that was dropped for one that is there: the news wait for others.
    pub evictions_wait: Duration,
    /// Shortest time between two `Have` to one neighbor, other than for complete copies.
    pub have_interval: Duration,
    /// Neighbors that delivered nothing yet are told what is wanted only within this round trip.
    pub interest_rtt: Duration,
    /// Neighbors are told what is wanted only while fewer connected holders of it are known, a fast one
    /// counted as `brisk_holder_counts`.
    pub interest_below: usize,
    /// How many neighbors are told of what is not played yet and has many holders.
    pub interest_most: usize,
}

/// Tunables of copies that are kept for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacementConfig {
    /// Thousandths of the disk budget they may take; zero keeps none.
    pub share_permille: u16,
    /// Time online after which the tracker is asked first, up to half as much again: who leaves
    /// soon is no good place.
    pub first_ask: Duration,
    /// Time between two asks, up to half as much again.
    pub ask_interval: Duration,
    /// A copy that neither we nor others used for so long becomes an ordinary one.
    pub idle_max: Duration,
    /// Rate at which those that nobody else holds are taken from the origin.
    pub origin_rate: BitRate,
}

impl NodeConfig {
    /// The shipped policy.
    #[must_use]
    pub const fn antiphon() -> Self {
        Self {
            peers: true,
            start: StartConfig::antiphon(),
            ladder: LadderConfig::antiphon(),
            ahead: AheadConfig::antiphon(),
            // Music is heard in order, and a holder mostly has all of it.
            picker: PickerConfig {
                in_order: Duration::MAX,
            },
            search: SearchConfig::antiphon(),
            news: NewsConfig::antiphon(),
            placement: PlacementConfig::antiphon(),
            budget: Budget {
                // 10 % of a 100 Mbit/s uplink, until the driver knows better.
                upload: BitRate(10_000_000),
                // The largest default of the published design.
                disk: ByteCount(10_000_000_000),
                uploads: true,
            },
        }
    }

    /// An ordinary streaming service: no peers at all.
    #[must_use]
    pub const fn origin_only() -> Self {
        let mut config = Self::antiphon();
        config.peers = false;
        config.start.holders_grace = Duration::ZERO;
        config.start.near_tracker_grace = Duration::ZERO;
        config.start.far_tracker_grace = Duration::ZERO;
        config.start.peer_head_wait = Duration::ZERO;
        config.budget.uploads = false;
        config
    }

    /// What a BitTorrent client does that plays while it fetches: a window in order, behind it the
    /// rarest unit first, the whole track as soon as peers can, many peers, nothing from the origin
    /// that a peer will bring.
    #[must_use]
    pub const fn bittorrent_like() -> Self {
        let mut config = Self::antiphon();
        // The sliding window such clients play from holds some seconds. Guess.
        config.picker.in_order = Duration::from_secs(10);
        config.ahead.peers_min = Duration::from_secs(3_600);
        config.ahead.whole_after = Duration::ZERO;
        config.ahead.next_at_once = false;
        // Clients of BitTorrent keep dozens of connections a torrent; 20 is half of a common default.
        config.news.interest_rtt = Duration::MAX;
        config.news.interest_below = usize::MAX;
        config.news.interest_most = usize::MAX;
        config.search.holders_wanted = 20;
        config.search.holders_ahead = 20;
        config.search.brisk_holder_counts = 1;
        config.search.holders_most = 20;
        // Nobody keeps there what they did not ask for.
        config.placement.share_permille = 0;
        config
    }

    /// The published design of 2010, in our parts: 15 s head from the server on every start,
    /// whole tracks from peers, the server only below 3 s of buffer, prefetch at 30 s.
    #[must_use]
    pub const fn spotify_2010() -> Self {
        let mut config = Self::antiphon();
        // 15 s at 160 kbit/s.
        config.start.head_chunks = 18;
        config.start.hopeful_head_chunks = 18;
        config.start.holders_grace = Duration::ZERO;
        config.start.near_tracker_grace = Duration::ZERO;
        config.start.far_tracker_grace = Duration::ZERO;
        config.start.peer_head_wait = Duration::ZERO;
        // No peer is near enough for a head.
        config.start.near_rtt = Duration::ZERO;
        config.start.peer_favor = Duration::ZERO;
        // Its tracker is told of each change.
        config.news.partial_below = usize::MAX;
        config.news.evictions_wait = Duration::ZERO;
        config.search.untried_first = false;
        config.search.find_after_nobody = true;
        config.search.vain_dials = 0;
        config.search.dial_patience = config.search.dial_timeout;
        config.news.interest_rtt = Duration::MAX;
        config.news.interest_below = usize::MAX;
        config.news.interest_most = usize::MAX;
        config.search.holders_wanted = config.search.holders_most;
        config.search.holders_ahead = config.search.holders_most;
        config.search.brisk_holder_counts = 1;
        config.ladder.second = Duration::from_secs(3);
        config.ladder.stall_calm = config.ladder.stall_min;
        config.ahead.origin_max = Duration::from_secs(15);
        config.ahead.peers_min = Duration::from_secs(3_600);
        config.ahead.peers_max = Duration::from_secs(3_600);
        config.ahead.whole_after = Duration::ZERO;
        // Prefetch from peers began when 30 s remained, and then of the whole track.
        config.ahead.next_start = Duration::from_secs(3_600);
        config.ahead.next_at_once = false;
        config.ahead.prefetch_from = Duration::from_secs(20);
        config.placement.share_permille = 0;
        config
    }
}

impl StartConfig {
    const fn antiphon() -> Self {
        Self {
            // 64 KiB are 3.3 s at 160 kbit/s: design, 1-3 s head, in whole chunks.
            head_chunks: 4,
            // 1.6 s at 160 kbit/s: longer than a dial takes anywhere.
            hopeful_head_chunks: 2,
            // Some driver turns. Guess.
            holders_grace: Duration::from_millis(4),
            // A near tracker answers in well under this, also on a busy machine. Guess.
            near_tracker_grace: Duration::from_millis(12),
            near_tracker_rtt: Duration::from_millis(5),
            // The license comes no sooner than the holders; most trackers answer within this, and
            // nobody hears it. Without it, holders that are connected were asked too late for heads:
            // 0.35 % of `today-desktop` with 20,000 users came from the origin, not 0.29. Guess.
            far_tracker_grace: Duration::from_millis(30),
            // Two round trips within a region, and above a dial on a busy machine: single dials on
            // loopback took 27 and 65 ms with libp2p-quic, 3 to 5 ms with our own transport (two
            // logs). With 15 ms `today-desktop` took a twentieth more from the origin. Guess.
            peer_head_wait: Duration::from_millis(40),
            // Below what people notice at a start. Guess.
            peer_favor: Duration::from_millis(30),
            // Same city. Guess.
            near_rtt: Duration::from_millis(20),
            // Above timer and scheduling noise of loaded machines. Guess.
            hedge_min: Duration::from_millis(30),
            // Reliability reference, stall bound.
            hedge_max: Duration::from_millis(250),
            // A dial through hole punching takes about 1 s. Guess.
            dial_patience: Duration::from_millis(1_500),
        }
    }
}

impl LadderConfig {
    const fn antiphon() -> Self {
        Self {
            // Reliability reference, section 4: 30, 10, 5 and 1 s, 250 ms.
            background: Duration::from_secs(30),
            hedge: Duration::from_secs(10),
            second: Duration::from_secs(5),
            race: Duration::from_secs(1),
            stall_min: Duration::from_millis(250),
            // Slow peers stop and go for as long. With `stall_min`, 0.48 % of `spotify-2010` came twice, with
            // this 0.12 (4 seeds), with 2 s as much; nothing else changed.
            stall_calm: Duration::from_secs(1),
            // Long enough for a congested uplink to recover. Guess.
            silence_max: Duration::from_secs(8),
            // The published design kept 2 s outstanding a peer.
            span_time: Duration::from_millis(1_500),
        }
    }
}

impl AheadConfig {
    const fn antiphon() -> Self {
        Self {
            // The published design throttled server data at 15 s.
            origin_min: Duration::from_secs(15),
            // Twice that for listeners that stay. Guess.
            origin_max: Duration::from_secs(30),
            // A quarter of all plays is skipped within 5 s, a third within 30 s, half before the
            // end (published): what is fetched ahead is lost with the chance of a skip. 12 s are
            // above the ladder's 10 s, at which a second source is asked.
            peers_min: Duration::from_secs(12),
            // Rides out the loss of all peers and of the origin for as long. Guess.
            peers_max: Duration::from_secs(40),
            // With steps that end after 1, 3, 7, 11 ... units, a fifth fewer requests than with single units
            // for 20 s and threes from then on, and a twelfth fewer events; more is skipped unheard
            // (`today-desktop`: 10.4 % of what was fetched, not 9.1). Threes were a sixth fewer requests than
            // single units throughout.
            short_step_units: 2,
            // Who has heard so much mostly hears the rest.
            long_steps_after: Duration::from_secs(20),
            // As much as fits into a span.
            long_step_units: 4,
            // Never: the rest comes in step with the listening.
            whole_after: Duration::MAX,
            // As much as a play begins with: the next one is heard in 61 % of cases (published).
            next_start: Duration::from_secs(12),
            // A seventeenth fewer events than two requests, and who skips hears 13 s whatever happens to the
            // holder; of what is fetched ahead 11.6 % is skipped unheard, not 10.3 (`today-desktop`).
            next_at_once: true,
            // A head of the next costs little, so it comes as soon as the play is safe.
            prefetch_from: Duration::from_secs(10),
            // The published design: server prefetch when 10 s remain.
            origin_head_below: Duration::from_secs(10),
            // More probable than not. Guess.
            rest_chance_permille: 500,
            // Fills a seed of 1,000 tracks in an hour. Guess.
            pin_origin_rate: BitRate(40_000_000),
        }
    }
}

impl SearchConfig {
    const fn antiphon() -> Self {
        Self {
            // One serves and one takes over. With four, neighbors that are never asked for anything
            // crowd out useful ones and are told of each play: 1.8 times the messages, and 0.52 % of
            // `today-desktop` from the origin, not 0.48 (3 seeds); 3.5 % of `spotify-2010`, not 2.3.
            holders_wanted: 2,
            // With two, and a fast one counted as one, a third more dials and a fortieth more events in a large
            // world, and as much from the origin (`today-desktop`, 9 seeds: 0.55 %, 0.56).
            holders_ahead: 1,
            brisk_holder_counts: 2,
            // Six candidates make 70 % reachability good enough; four connected. Reference.
            holders_most: 4,
            // Without, two that are busy cost the most where many are: 1.5 % of `freeriders` from the
            // origin, not 0.6, as with four throughout. At once or after 1 s is no better.
            more_after: Duration::from_millis(300),
            // Two slow round trips. Guess.
            lookup_patience: Duration::from_millis(500),
            // Guess.
            lookup_min: Duration::from_secs(5),
            // Guess.
            lookup_max: Duration::from_secs(120),
            // Without, one lookup in sixteen more (scale-hour with 50,000 users, minutes 6 to 8).
            untried_first: true,
            // Guess.
            find_interval: Duration::from_secs(5),
            find_after_nobody: false,
            // Most punches come through with the first try, half a second at most. Guess.
            dial_patience: Duration::from_secs(1),
            // Handshake with three retransmissions. Guess.
            dial_timeout: Duration::from_secs(5),
            // Guess; with doubling a dead peer is dialed about ten times a day.
            dial_backoff: Duration::from_secs(15),
            // Where half of all are behind symmetric NATs, three of their dials in four fail, and one row of
            // 700 is this long. With 8, 1.50 % of `cgnat-world` from the origin, not 1.30.
            vain_dials: 24,
            // Guess.
            vain_wait: Duration::from_secs(30),
            // A network that changed unnoticed costs the origin so much music. Guess.
            vain_wait_max: Duration::from_secs(600),
            neighbors_soft: crate::limits::NEIGHBORS_SOFT,
            neighbors_hard: crate::limits::NEIGHBORS_HARD,
        }
    }
}

impl NewsConfig {
    const fn antiphon() -> Self {
        Self {
            // A full copy is known to the tracker within about 1 s. Design.
            announce_gap: Duration::from_millis(800),
            // 1 MiB, a quarter of a track. Guess.
            partial_units: 4,
            // Half of what the tracker names at once. Without, a third of all announces are of such (as below).
            partial_below: 5,
            // What was unused longest is seldom asked for, and of a cache of 150 renditions one is dropped in some minutes:
            // of what a tracker names, one copy in a hundred is not there any more. Without, a third of all announces tell
            // of nothing else; within 30 s few other news come.
            evictions_wait: Duration::from_secs(10 * 60),
            // Guess; keeps control traffic far below 1 %.
            have_interval: Duration::from_secs(1),
            // Others would not be asked for a head. With no bound, 7.3 messages a play, not 2.4, and
            // as much from the origin (`today-desktop`, 20,000 users: 0.254 %, with this 0.256).
            interest_rtt: Duration::from_millis(20),
            // As many as the play is given.
            interest_below: 2,
            // With no bound, a hundredth more events in a large world. Guess.
            interest_most: 3,
        }
    }
}

impl PlacementConfig {
    const fn antiphon() -> Self {
        Self {
            // In a model, 5 % of all cache slots leave no request without a holder at a density of
            // 10 and halve them at 3 (Spotify reference, 7.5).
            share_permille: 50,
            // Guess.
            first_ask: Duration::from_secs(10 * 60),
            // With four tracks an ask, a budget of 10 GB is used after some 10 h. Guess.
            ask_interval: Duration::from_secs(20 * 60),
            // Somebody who listens every weekend finds it. Guess.
            idle_max: Duration::from_secs(8 * 24 * 3_600),
            // A track in some 15 s, so that a thousand nodes that ask at once do not matter. Guess.
            origin_rate: BitRate(2_000_000),
        }
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self::antiphon()
    }
}
