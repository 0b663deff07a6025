//! `antiphon sim explain`: the story of one play.

use std::fmt::Write as _;
use std::sync::Arc;

use antiphon_sim::explain::{PlayName, Story, Who, explain, worst};
use antiphon_sim::run::{Plan, run_one};
use anyhow::Context as _;

use super::progress::Bar;
use super::scenario;
use crate::args::SimExplainArgs;
use crate::output;

pub(super) fn explain_play(args: &SimExplainArgs, quiet: bool) -> anyhow::Result<()> {
    let (scenario, first) = scenario::read_run(&args.scenario, args.variant.as_deref(), &args.set)?;
    let seed = args.seed.or(first).unwrap_or(scenario.seeds.root);
    let scenario = Arc::new(scenario);
    let mut plan = Plan::new(Arc::clone(&scenario), Some(1));
    plan.seeds = vec![seed];
    let play = match args.play {
        Some(play) => play,
        None => {
            let bar = Bar::new(&plan, quiet);
            let run = run_one(&plan, seed, &|progress| bar.show(progress));
            bar.clear();
            let play = worst(&run?).context("nobody played anything in this run")?;
            output::say(&format!("the play that fared worst is {play}"));
            play
        }
    };
    let bar = Bar::new(&plan, quiet);
    let story = explain(&scenario, seed, play, &mut |done, of| {
        bar.show(antiphon_sim::run::Progress {
            index: 0,
            done,
            of,
            events: 0,
        });
    });
    bar.clear();
    let story = story?;
    if args.json {
        return output::json(&story);
    }
    output::result(text(&story).trim_end())?;
    Ok(())
}

fn text(story: &Story) -> String {
    let mut text = format!(
        "play {} of seed {}: {} presses play at {:.1} s for the track of rank {} ({:.0} s of music)\n",
        story.play,
        story.seed,
        who(&story.listener),
        story.asked_s,
        story.rank,
        story.length_s
    );
    for sentence in &story.verdict {
        let _ = writeln!(text, "  {sentence}");
    }
    text.push('\n');
    for line in &story.timeline {
        let at = format!("{:.1} ms", line.at_ms);
        let _ = writeln!(text, "{at:>14}  {:8} {}", line.kind, line.text);
    }
    text
}

fn who(who: &Who) -> String {
    let place = [&who.region, &who.access, &who.nat, &who.device];
    let place = place.into_iter().filter(|part| !part.is_empty());
    let place: Vec<&str> = place.map(String::as_str).collect();
    format!("node {} ({})", who.node, place.join(", "))
}

impl SimExplainArgs {
    /// For clap.
    pub fn play(text: &str) -> Result<PlayName, String> {
        text.parse()
    }
}
