//! The XDG folders of a person's node.

use std::path::PathBuf;

use crate::exit::Misconfigured;

/// Keys, session and state.
pub fn data(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    given.map_or_else(|| xdg("XDG_DATA_HOME", ".local/share"), Ok)
}

/// Cached audio; may be deleted at any time.
pub fn cache(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    given.map_or_else(|| xdg("XDG_CACHE_HOME", ".cache"), Ok)
}

fn xdg(variable: &str, below_home: &str) -> anyhow::Result<PathBuf> {
    let set = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(below_home));
    let base = set.or_else(home).ok_or_else(|| {
        Misconfigured::error(format!(
            "neither {variable} nor HOME is set; name the folder yourself"
        ))
    })?;
    Ok(base.join("antiphon"))
}
