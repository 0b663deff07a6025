//! What to make of a play: why sound began when it did, and why it stopped.

use crate::explain::story::{Heard, Request, Stall, Story};
use crate::explain::telling::time;
use crate::measure::stall::StallCause;

/// In sentences, the most important first.
pub(super) fn verdict(story: &Story) -> Vec<String> {
    let mut sentences: Vec<String> = story
        .stalls
        .iter()
        .map(|stall| of_stall(story, stall))
        .collect();
    if story.hung_ms > 0.0 {
        sentences.push(format!(
            "The listener's machine itself hung for {} in all, which no source could help.",
            time(story.hung_ms)
        ));
    }
    sentences.push(of_start(story));
    let Heard {
        server,
        peers,
        cache,
    } = story.heard;
    let all = server + peers + cache;
    if all > 0 {
        let share = |part: u64| part as f64 * 100.0 / all as f64;
        sentences.push(format!(
            "Of what was heard, {:.0} % came from the origin, {:.0} % from peers and {:.0} % from the cache.",
            share(server),
            share(peers),
            share(cache)
        ));
    }
    sentences
}

fn of_start(story: &Story) -> String {
    let Some(start) = story.start_ms else {
        return format!("No sound ever came; the play {}.", story.ending);
    };
    let began = format!("Sound began {} after pressing play", time(start));
    if story.cached {
        return format!("{began}, from the cache.");
    }
    let licensed = story
        .timeline
        .iter()
        .find(|line| line.kind == "player" && line.text == "the license is there");
    let licensed = licensed.map_or(0.0, |line| line.at_ms);
    // Whatever held the first chunk and was there before sound.
    let mut first = story.requests.iter().filter(|request| request.first == 0);
    let first = first.find(|request| request.first_ms.is_some_and(|at| at <= start));
    match first {
        Some(request) if request.first_ms.unwrap_or_default() <= 0.0 => format!(
            "{began}: its head had been prefetched from {}; the license was there after {}.",
            request.source,
            time(licensed)
        ),
        Some(request) => format!(
            "{began}: the license was there after {}, the first chunk after {}, from {}.",
            time(licensed),
            time(request.first_ms.unwrap_or_default()),
            request.source
        ),
        None => format!("{began}; the license was there after {}.", time(licensed)),
    }
}

fn of_stall(story: &Story, stall: &Stall) -> String {
    let lasted = stall.lasted_ms.map_or_else(
        || "until the play ended".to_owned(),
        |ms| format!("for {}", time(ms)),
    );
    let cause = StallCause::ALL
        .into_iter()
        .find(|cause| cause.name() == stall.cause);
    let cause = cause.map_or("", StallCause::words);
    let asked: Vec<String> = story
        .requests
        .iter()
        .filter(|request| (request.first..request.end).contains(&stall.chunk))
        .filter(|request| request.asked_ms <= stall.at_ms + stall.lasted_ms.unwrap_or(f64::MAX))
        .map(|request| of_request(request, stall))
        .collect();
    let asked = if asked.is_empty() {
        "It was never asked of anybody.".to_owned()
    } else {
        format!("It was asked of {}.", asked.join("; of "))
    };
    format!(
        "Sound stopped at {:.1} s of music, {} after pressing play, {lasted}: chunk {} {cause}. {asked}",
        stall.second,
        time(stall.at_ms),
        stall.chunk
    )
}

fn of_request(request: &Request, stall: &Stall) -> String {
    let before = stall.at_ms - request.asked_ms;
    let when = if before >= 0.0 {
        format!("{} before", time(before))
    } else {
        format!("{} after", time(-before))
    };
    let then = match (request.outcome, request.over_ms) {
        ("open", _) | (_, None) => "still open when the play ended".to_owned(),
        (outcome, Some(over)) => format!("{outcome} after {}", time(over - request.asked_ms)),
    };
    format!("{} {when} (#{}, {then})", request.source, request.number)
}
