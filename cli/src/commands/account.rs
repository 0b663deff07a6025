//! `antiphon account`.

use antiphon_protocol::tracker::Password;
use antiphon_tracker::Admin;

use super::login::password;
use crate::args::AccountCommand;
use crate::output;

/// Accounts listed in one go.
const PAGE: u32 = 500;

/// Manages accounts.
pub async fn run(command: AccountCommand) -> anyhow::Result<()> {
    match command {
        AccountCommand::Add { name, data } => {
            let admin = Admin::open(&data).await?;
            let password = Password(password("Password of the new account: ")?);
            admin.add_account(&name, &password).await?;
            admin.close().await;
            output::say(&format!("made the account {name}"));
        }
        AccountCommand::Disable { name, data } => {
            let admin = Admin::open(&data).await?;
            admin.disable_account(&name).await?;
            admin.close().await;
            output::say(&format!("{name} is shut out; its sessions are over"));
        }
        AccountCommand::List { data, json } => {
            let admin = Admin::open(&data).await?;
            let mut accounts = Vec::new();
            loop {
                let after = accounts
                    .last()
                    .map(|account: &antiphon_tracker::AccountSummary| account.id);
                let page = admin.list_accounts(after, PAGE).await?;
                let more = page.len() == PAGE as usize;
                accounts.extend(page);
                if !more {
                    break;
                }
            }
            admin.close().await;
            if json {
                let each = accounts.iter().map(|account| {
                    serde_json::json!({
                        "id": account.id.0, "name": account.name, "created": account.created.0,
                        "disabled": account.disabled.map(|since| since.0),
                    })
                });
                return output::json(&each.collect::<Vec<_>>());
            }
            for account in accounts {
                let state = if account.disabled.is_some() {
                    "disabled"
                } else {
                    "active"
                };
                output::result(&format!(
                    "{:>6}  {:<10} {}",
                    account.id.0, state, account.name
                ))?;
            }
        }
    }
    Ok(())
}
