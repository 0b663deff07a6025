//! Worlds in which people share more than the ends of their paths.

use antiphon_sim::scenario::units::Rate;
use antiphon_sim::scenario::{Household, LastMile};

use crate::worlds::{outcome, small};

#[test]
fn a_concentrator_never_carries_more_than_it_can() {
    let mut scenario = small("origin-only");
    let down = Rate(600_000.0);
    scenario.network.shared.last_mile = Some(LastMile {
        homes: 60,
        up: Rate(1e9),
        down,
    });
    let run = &outcome(scenario.clone(), 1, 1)[0];
    let most = down.bytes() * scenario.duration.0;
    let arrived = run.tally.arrived_origin as f64;
    // What was under way when measuring began came in it.
    assert!(arrived <= 1.02 * most, "{arrived} of {most}");
    assert!(
        arrived >= 0.5 * most,
        "the line is what bounds: {arrived} of {most}"
    );
    assert!(run.figures["stall_share"] > 0.0, "{:?}", run.figures);
}

#[test]
fn who_lives_together_shares_line_and_wifi() {
    let mut scenario = small("antiphon");
    scenario.network.shared.household = Some(Household {
        people: 3,
        wifi: Rate(400_000.0),
    });
    let slow = &outcome(scenario.clone(), 1, 1)[0];
    let alone = &outcome(small("antiphon"), 1, 1)[0];
    let hurt = |run: &antiphon_sim::run::SeedRun| {
        run.figures["refused_share"] + run.figures["stall_share"]
    };
    assert!(
        hurt(slow) > hurt(alone) + 0.01,
        "{} {}",
        hurt(slow),
        hurt(alone)
    );
    let homes = f64::from(scenario.population.users / 3);
    let most = homes * 400_000.0 / 8.0 * scenario.duration.0;
    let arrived = (slow.tally.arrived_origin + slow.tally.arrived_peers) as f64;
    assert!(arrived <= most, "{arrived} of {most}");
}
