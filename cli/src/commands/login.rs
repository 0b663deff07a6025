//! `antiphon login`, and asking for passwords.

use antiphon_node::session::{Credentials, Session};
use antiphon_protocol::tracker::Password;
use anyhow::Context as _;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal;

use super::node::password_from_environment;
use crate::args::LoginArgs;
use crate::exit::Misconfigured;
use crate::folders;
use crate::output;

/// Logs in and remembers it.
pub async fn run(args: LoginArgs) -> anyhow::Result<()> {
    let tracker = args.tracker.parse();
    let tracker = tracker.map_err(|error| Misconfigured::error(format!("--tracker: {error}")))?;
    let data = folders::data(args.data)?;
    let password = Password(password("Password: ")?);
    let credentials = Credentials {
        user: args.user,
        password,
        register: args.register,
    };
    let session = Session::log_in(&data, &tracker, credentials).await?;
    output::say(&format!("logged in as {}", session.user));
    Ok(())
}

/// From the environment, else typed without echo, else the first line of standard input.
pub fn password(prompt: &str) -> anyhow::Result<String> {
    if let Some(password) = password_from_environment()? {
        return Ok(password);
    }
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        let mut line = String::new();
        std::io::stdin()
            .read_line(&mut line)
            .context("cannot read the password")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    output::say(prompt);
    terminal::enable_raw_mode()?;
    let typed = typed();
    terminal::disable_raw_mode()?;
    typed
}

fn typed() -> anyhow::Result<String> {
    let mut text = String::new();
    loop {
        let Event::Key(key) = event::read()? else {
            continue;
        };
        if key.kind != KeyEventKind::Press {
            continue;
        }
        match key.code {
            KeyCode::Enter => return Ok(text),
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                anyhow::bail!("no password was given");
            }
            KeyCode::Char(letter) => text.push(letter),
            _ => {}
        }
    }
}
