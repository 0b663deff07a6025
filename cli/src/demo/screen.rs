//! The demo's terminal: draws the table, reads the keys.

use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use super::LOOK_EVERY;
use super::crowd::Crowd;
use super::network::Network;
use super::report::Report;
use super::table::{View, draw};

/// Shows the table until `q` or `until`.
pub async fn run(
    network: &mut Network,
    crowd: &mut Crowd,
    began: Instant,
    until: Option<Instant>,
) -> anyhow::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let outcome = show(&mut terminal, network, crowd, began, until).await;
    ratatui::restore();
    outcome
}

async fn show(
    terminal: &mut ratatui::DefaultTerminal,
    network: &mut Network,
    crowd: &mut Crowd,
    began: Instant,
    until: Option<Instant>,
) -> anyhow::Result<()> {
    let mut message = String::new();
    loop {
        crowd.look(network).await;
        let report = crowd.report(began.elapsed().as_secs());
        let view = View {
            listeners: crowd.listeners(),
            report: &report,
            origin_up: network.origin_up(),
            message: &message,
        };
        terminal.draw(|frame| draw(frame, &view))?;
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(());
        }
        let done = match key().await? {
            Some('q') => return Ok(()),
            Some('o') => network.toggle_origin().await.map(str::to_owned),
            Some('k') => crowd.kill_one().await,
            Some('n') => crowd.add(network).await,
            _ => continue,
        };
        message = done.unwrap_or_else(|error| format!("that did not work: {error:#}"));
    }
}

/// The next key within one look's time.
async fn key() -> anyhow::Result<Option<char>> {
    tokio::task::spawn_blocking(|| {
        let until = Instant::now() + LOOK_EVERY;
        while event::poll(until.saturating_duration_since(Instant::now()))? {
            if let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
            {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                return Ok(match key.code {
                    KeyCode::Char('c') if control => Some('q'),
                    KeyCode::Esc => Some('q'),
                    KeyCode::Char(letter) => Some(letter),
                    _ => None,
                });
            }
            if Instant::now() >= until {
                break;
            }
        }
        Ok(None)
    })
    .await?
}

/// The figures for a person, after the screen is gone.
pub fn summary(report: &Report) -> String {
    let bytes = report.bytes;
    let all = (bytes.cache + bytes.peers + bytes.origin).max(1) as f64;
    let share = |part: u64| 100.0 * part as f64 / all;
    let start = report.start_ms;
    let length = Duration::from_secs(report.seconds);
    format!(
        "{} listeners, {} tracks, {length:?}: {} plays ({} chosen), {} stalls\n\
         start {:.1} / {:.1} / {:.1} ms (50th/95th/99th percentile)\n\
         bytes: cache {:.1} %, peers {:.1} %, origin {:.1} %\n\
         of the network bytes of tracks another listener held, the origin sent {:.1} %\n\
         chunks that failed verification: {} received, {} played",
        report.listeners,
        report.tracks,
        report.plays,
        report.plays_chosen,
        report.stalls,
        start.p50,
        start.p95,
        start.p99,
        share(bytes.cache),
        share(bytes.peers),
        share(bytes.origin),
        100.0 * report.origin_share_when_held,
        report.corrupt_chunks.received,
        report.corrupt_chunks.played,
    )
}
