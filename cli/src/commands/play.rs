//! `antiphon play`: a node of its own, for as long as the music lasts.

use std::io::IsTerminal as _;
use std::time::Duration;

use antiphon_node::command::Control;
use antiphon_node::play_queue::Queued;
use antiphon_node::status::{Playing, Status};
use antiphon_node::{Node, NodeHandle};
use antiphon_protocol::catalog::TrackSummary;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal;

use super::node::{config, credentials};
use crate::args::PlayArgs;
use crate::output;

/// Between two looks at the player.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How far the arrow keys jump.
const JUMP: Duration = Duration::from_secs(10);
/// One press of + or -.
const VOLUME_STEP: f32 = 0.1;
/// Matches that become the queue.
const MATCHES_MAX: u16 = 100;

/// Searches, plays, and shows how it goes.
pub async fn run(args: PlayArgs) -> anyhow::Result<()> {
    let mut config = config(&args.own)?;
    config.sink = Some(args.sink.clone());
    let node = Node::start(config, credentials(&args.own)?).await?;
    let outcome = play(&args, &node.handle).await;
    // It may have ended by itself.
    let _ = node.handle.shutdown().await;
    node.ended().await;
    outcome
}

async fn play(args: &PlayArgs, node: &NodeHandle) -> anyhow::Result<()> {
    let query = args.query.join(" ");
    let mut found = node.search(&query, MATCHES_MAX).await?;
    anyhow::ensure!(
        !found.is_empty(),
        "nothing is called {query:?} in this catalog"
    );
    if args.one {
        found.truncate(1);
    }
    for summary in found.iter().take(5) {
        output::say(&format!("  {}", name(summary)));
    }
    if found.len() > 5 {
        output::say(&format!("  and {} more", found.len() - 5));
    }
    let entries = found.into_iter().map(|summary| Queued {
        track: summary.track,
        summary: Some(summary),
    });
    node.play(entries.collect()).await?;
    let interactive = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let watched = if interactive {
        output::say("space pause, left/right jump, n next, p previous, +/- volume, q quit");
        terminal::enable_raw_mode()?;
        let watched = watch(node, true).await;
        terminal::disable_raw_mode()?;
        output::say("");
        watched
    } else {
        watch(node, false).await
    };
    watched?;
    let plays = node.plays().await?;
    if args.json {
        output::json(&plays)?;
    }
    let failed = plays.iter().filter(|play| !play.failure.is_empty());
    for play in failed.clone() {
        output::say(&format!("{}: {}", play.track, play.failure));
    }
    anyhow::ensure!(failed.count() < plays.len(), "nothing could be played");
    Ok(())
}

async fn watch(node: &NodeHandle, interactive: bool) -> anyhow::Result<()> {
    let mut volume = 1.0_f32;
    let mut said = 0;
    let mut title = String::new();
    let mut heard = false;
    loop {
        let status = node.status().await?;
        for notice in status.notices.iter().skip(said) {
            output::say(&format!("\r\x1b[K{notice}\r"));
        }
        said = status.notices.len();
        // Who has heard something waits for the rest of it.
        let waits = status.waits_for_tracker && heard;
        if status.playing.is_none() && !waits {
            return Ok(());
        }
        let playing = status.playing.clone().unwrap_or_default();
        heard |= playing.start_ms.is_some();
        if interactive {
            if !waits {
                progress(&status, &playing);
            }
            match key().await? {
                Some(Key::Quit) => return Ok(()),
                Some(Key::Control(control)) => {
                    let control = resolve(control, &playing, &mut volume);
                    if let Err(error) = node.control(control).await {
                        output::say(&format!("\r\x1b[K{error}\r"));
                    }
                }
                None => {}
            }
        } else {
            if playing.title != title && !waits {
                title.clone_from(&playing.title);
                output::say(&format!("playing {title}"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

enum Key {
    Quit,
    Control(Wanted),
}

#[derive(Clone, Copy)]
enum Wanted {
    PauseOrResume,
    Back,
    Forward,
    Louder,
    Softer,
    Is(Control),
}

fn resolve(wanted: Wanted, playing: &Playing, volume: &mut f32) -> Control {
    let position = Duration::from_millis(playing.position_ms);
    match wanted {
        Wanted::PauseOrResume if playing.state == "paused" => Control::Resume,
        Wanted::PauseOrResume => Control::Pause,
        Wanted::Back => Control::Seek(position.saturating_sub(JUMP)),
        Wanted::Forward => Control::Seek(position + JUMP),
        Wanted::Louder | Wanted::Softer => {
            let step = if matches!(wanted, Wanted::Louder) {
                VOLUME_STEP
            } else {
                -VOLUME_STEP
            };
            *volume = (*volume + step).clamp(0.0, 1.0);
            Control::Volume(*volume)
        }
        Wanted::Is(control) => control,
    }
}

async fn key() -> anyhow::Result<Option<Key>> {
    let read = tokio::task::spawn_blocking(|| -> std::io::Result<Option<Key>> {
        if !event::poll(LOOK_EVERY)? {
            return Ok(None);
        }
        let Event::Key(key) = event::read()? else {
            return Ok(None);
        };
        if key.kind != KeyEventKind::Press {
            return Ok(None);
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        Ok(Some(match key.code {
            KeyCode::Char('c') if control => Key::Quit,
            KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
            KeyCode::Char(' ') => Key::Control(Wanted::PauseOrResume),
            KeyCode::Left => Key::Control(Wanted::Back),
            KeyCode::Right => Key::Control(Wanted::Forward),
            KeyCode::Char('+' | '=') => Key::Control(Wanted::Louder),
            KeyCode::Char('-') => Key::Control(Wanted::Softer),
            KeyCode::Char('n') => Key::Control(Wanted::Is(Control::Next)),
            KeyCode::Char('p') => Key::Control(Wanted::Is(Control::Previous)),
            _ => return Ok(None),
        }))
    });
    Ok(read.await??)
}

/// One line that is written over and over: where the music is and where its bytes came from.
fn progress(status: &Status, playing: &Playing) {
    let bytes = playing.bytes;
    let all = (bytes.cache + bytes.peers + bytes.origin).max(1);
    let share = |part: u64| 100 * part / all;
    let clock = |ms: u64| format!("{}:{:02}", ms / 60_000, ms / 1_000 % 60);
    let start = playing
        .start_ms
        .map_or(String::new(), |ms| format!("  start {ms:.0} ms"));
    let line = format!(
        "\r\x1b[K{:<8} {} {} / {}  +{} s  cache {} % peers {} % origin {} %  {} neighbors{start}",
        playing.state,
        playing.title,
        clock(playing.position_ms),
        clock(playing.duration_ms),
        playing.buffer_ms / 1_000,
        share(bytes.cache),
        share(bytes.peers),
        share(bytes.origin),
        status.neighbors,
    );
    output::say_in_place(&line);
}

fn name(summary: &TrackSummary) -> String {
    if summary.artist.is_empty() {
        return summary.title.clone();
    }
    format!("{} - {}", summary.artist, summary.title)
}
