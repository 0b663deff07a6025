//! The demo's live table.

use antiphon_node::status::Playing;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};

use super::report::{Account, Report};

/// Everything one drawing needs.
pub struct View<'a> {
    /// Each listener: its name, what is known of it, and whether it is alive.
    pub listeners: Vec<(&'a str, &'a Account, bool)>,
    /// The sums.
    pub report: &'a Report,
    /// Whether the origin is up.
    pub origin_up: bool,
    /// The latest event worth a line.
    pub message: &'a str,
}

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, view: &View<'_>) {
    let rows = view.listeners.len() as u16 + 3;
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(rows),
        Constraint::Length(7),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .split(frame.area());
    frame.render_widget(title(view), areas[0]);
    frame.render_widget(listeners(view), areas[1]);
    frame.render_widget(totals(view.report), areas[2]);
    frame.render_widget(Paragraph::new(view.message).dim(), areas[3]);
    frame.render_widget(keys(), areas[4]);
}

fn title<'a>(view: &View<'_>) -> Paragraph<'a> {
    let origin = if view.origin_up {
        Span::styled("origin up", Style::new().fg(Color::Green))
    } else {
        Span::styled(
            "ORIGIN DOWN",
            Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        )
    };
    let alive = view.listeners.iter().filter(|(_, _, alive)| *alive).count();
    Paragraph::new(Line::from(vec![
        Span::styled(
            " Antiphon demo ",
            Style::new().add_modifier(Modifier::REVERSED),
        ),
        Span::raw(format!(
            "  {alive} listeners, {} tracks, ",
            view.report.tracks
        )),
        origin,
        Span::raw(format!("  {:>4} s", view.report.seconds)),
    ]))
}

const HEADINGS: [&str; 9] = [
    "listener", "track", "at", "buffer", "start", "cache", "peers", "origin", "nbrs",
];

fn listeners<'a>(view: &View<'_>) -> Table<'a> {
    let header = Row::new(HEADINGS.map(|name| Cell::from(name).bold()));
    let rows = view.listeners.iter().map(|(name, account, alive)| {
        let status = &account.status;
        if !alive {
            return Row::new([(*name).to_owned(), "gone".to_owned()]).dim();
        }
        let playing = status.playing.as_ref();
        let bytes = status.bytes;
        Row::new([
            (*name).to_owned(),
            playing.map_or_else(|| "-".to_owned(), |playing| playing.title.clone()),
            playing.map(place).unwrap_or_default(),
            playing
                .map(|p| format!("{:.0} s", p.buffer_ms as f64 / 1e3))
                .unwrap_or_default(),
            playing
                .and_then(|playing| playing.start_ms)
                .map(|start| format!("{start:.1} ms"))
                .unwrap_or_default(),
            megabytes(bytes.cache),
            megabytes(bytes.peers),
            megabytes(bytes.origin),
            status.neighbors.to_string(),
        ])
    });
    let widths = [
        Constraint::Length(11),
        Constraint::Min(18),
        Constraint::Length(12),
        Constraint::Length(7),
        Constraint::Length(10),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(5),
    ];
    Table::new(rows, widths)
        .header(header)
        .block(Block::bordered())
}

fn place(playing: &Playing) -> String {
    let clock = |ms: u64| format!("{}:{:02}", ms / 60_000, ms / 1_000 % 60);
    match playing.state.as_str() {
        "playing" => {
            format!(
                "{} / {}",
                clock(playing.position_ms),
                clock(playing.duration_ms)
            )
        }
        other => other.to_owned(),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

fn totals<'a>(report: &Report) -> Paragraph<'a> {
    let bytes = report.bytes;
    let all = (bytes.cache + bytes.peers + bytes.origin).max(1) as f64;
    let share = |part: u64| 100.0 * part as f64 / all;
    let start = report.start_ms;
    let stalls = if report.stalls == 0 {
        Span::styled("0 stalls", Style::new().fg(Color::Green))
    } else {
        Span::styled(stalls_text(report.stalls), Style::new().fg(Color::Red))
    };
    Paragraph::new(vec![
        Line::from(bar(share(bytes.cache), share(bytes.peers), share(bytes.origin))),
        Line::from(format!(
            " cache {:.1} %   peers {:.1} %   origin {:.1} %   of the network bytes of tracks another listener held: origin {:.1} %",
            share(bytes.cache),
            share(bytes.peers),
            share(bytes.origin),
            100.0 * report.origin_share_when_held,
        )),
        Line::from(vec![
            Span::raw(format!(
                " {} plays ({} chosen), start {:.1} / {:.1} / {:.1} ms (50/95/99th), ",
                report.plays, report.plays_chosen, start.p50, start.p95, start.p99,
            )),
            stalls,
        ]),
        Line::from(format!(
            " chunks that failed verification: {} received, {} played",
            report.corrupt_chunks.received, report.corrupt_chunks.played,
        )),
    ])
    .block(Block::bordered().title(" together "))
}

fn stalls_text(stalls: u64) -> String {
    if stalls == 1 {
        "1 stall".to_owned()
    } else {
        format!("{stalls} stalls")
    }
}

/// One line, 100 cells for 100 %.
fn bar<'a>(cache: f64, peers: f64, origin: f64) -> Vec<Span<'a>> {
    let part = |share: f64, color: Color, letter: &str| {
        Span::styled(
            letter.repeat(share.round() as usize),
            Style::new().bg(color).fg(Color::Black),
        )
    };
    vec![
        Span::raw(" "),
        part(cache, Color::Green, "c"),
        part(peers, Color::Cyan, "p"),
        part(origin, Color::Yellow, "o"),
    ]
}

fn keys<'a>() -> Paragraph<'a> {
    Paragraph::new(" o origin off/on   k kill a listener   n new listener   q quit").reversed()
}
