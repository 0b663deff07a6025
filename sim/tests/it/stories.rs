//! The story of one play.

use std::sync::Arc;

use antiphon_sim::explain::{NoStory, PlayName, Story, explain, worst};
use antiphon_sim::run::{Plan, run};
use antiphon_sim::scenario::units::{Rate, Share, Time};
use antiphon_sim::scenario::{Fault, FaultKind, Scenario};

use crate::worlds::small;

fn story(scenario: &Scenario, play: PlayName) -> Result<Story, NoStory> {
    explain(&Arc::new(scenario.clone()), 1, play, &mut |_, _| {})
}

/// Without peers and with an origin that starves, sound stops.
fn starved() -> Scenario {
    let mut scenario = small("origin-only");
    scenario.origin.egress = Rate(2e6);
    scenario.fault = vec![Fault {
        at: Time(0.0),
        lasts: Time(0.0),
        kind: FaultKind::OriginBrownout,
        share: Share(0.3),
    }];
    scenario
}

#[test]
fn a_stall_is_told_with_its_cause_and_what_was_asked_of_whom() {
    let scenario = starved();
    let plan = Plan::new(Arc::new(scenario.clone()), Some(1));
    let runs = run(&plan, &|_| {}).expect("no rule is broken");
    let play = worst(&runs[0]).expect("somebody played");
    let story = story(&scenario, play).expect("it was played");
    let stall = &story.stalls[0];
    assert!(stall.cause.starts_with("origin-"), "{stall:?}");
    let asked = story.requests.iter().find(|request| {
        (request.first..request.end).contains(&stall.chunk) && request.asked_ms <= stall.at_ms
    });
    assert_eq!(asked.expect("it had been asked for").source, "origin");
    assert!(
        story.verdict[0].contains("Sound stopped at"),
        "{:?}",
        story.verdict
    );
    let lines = story.timeline.iter().map(|line| line.at_ms);
    assert!(lines.is_sorted_by(|a, b| a <= b));
    assert_eq!(story.heard.peers, 0);
}

#[test]
fn what_is_told_is_what_the_run_counted() {
    let scenario = small("antiphon");
    let plan = Plan::new(Arc::new(scenario.clone()), Some(1));
    let runs = run(&plan, &|_| {}).expect("no rule is broken");
    let csv = antiphon_sim::report::Outcome {
        scenario: Arc::new(scenario.clone()),
        runs,
        wall_s: 1.0,
        max_rss_bytes: 1,
        workers: 1,
    };
    let mut plays = Vec::new();
    csv.write("plays.csv", &mut plays).expect("memory");
    let plays = String::from_utf8(plays).expect("text");
    let mut lines = plays.lines();
    let head: Vec<&str> = lines.next().expect("a head").split(',').collect();
    let at = |name: &str| {
        head.iter()
            .position(|column| *column == name)
            .expect("a column")
    };
    let mut fetched = 0;
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let from_peers = rows.iter().filter(|cells| cells[at("peer_bytes")] != "0");
    for cells in from_peers.take(2).chain(rows.iter().step_by(25).take(5)) {
        let play: PlayName = cells[at("id")].parse().expect("a name");
        let story = story(&scenario, play).expect("it was played");
        let start = story.start_ms.map_or_else(String::new, |ms| ms.to_string());
        assert_eq!(start, cells[at("start_ms")], "{play}");
        assert_eq!(
            story.heard.server.to_string(),
            cells[at("server_bytes")],
            "{play}"
        );
        assert_eq!(
            story.heard.peers.to_string(),
            cells[at("peer_bytes")],
            "{play}"
        );
        assert_eq!(story.rank.to_string(), cells[at("rank")], "{play}");
        fetched += story.requests.len();
    }
    assert!(fetched > 0, "some of them fetched something");
}

#[test]
fn plays_that_never_were_are_said_to_be_so() {
    let scenario = small("antiphon");
    let user = |user, number| story(&scenario, PlayName { user, number });
    assert!(matches!(user(60, 0), Err(NoStory::User { last: 59, .. })));
    assert!(matches!(user(0, 9_999), Err(NoStory::Play { .. })));
}
