//! Commands that talk to the running node: `search`, `queue`, `status`, `cache`.

use antiphon_node::api::{ApiTrack, TracksBody};
use antiphon_node::status::{LedgerEntry, Status};

use crate::args::{ApiArgs, QueueArgs, SearchArgs};
use crate::folders;
use crate::local_api::LocalApi;
use crate::output;

fn open(args: &ApiArgs) -> anyhow::Result<LocalApi> {
    LocalApi::open(args.api, &folders::data(args.data.clone())?)
}

/// `antiphon search`.
pub async fn search(args: SearchArgs) -> anyhow::Result<()> {
    let words = args.query.join(" ");
    let query: String = url_encoded(&words);
    let found: Vec<ApiTrack> = open(&args.node)?.get(&format!("search?q={query}")).await?;
    if args.node.json {
        return output::json(&found);
    }
    if found.is_empty() {
        output::say(&format!("nothing is called {words:?} here"));
    }
    for track in found {
        output::result(&line(&track))?;
    }
    Ok(())
}

/// `antiphon queue`.
pub async fn queue(args: QueueArgs) -> anyhow::Result<()> {
    let api = open(&args.node)?;
    if !args.tracks.is_empty() {
        return api
            .post(
                "queue",
                &TracksBody {
                    tracks: args.tracks,
                },
            )
            .await;
    }
    let status: Status = api.get("status").await?;
    if args.node.json {
        return output::json(&serde_json::json!({
            "playing": status.playing.map(|playing| playing.track), "queued": status.queued,
        }));
    }
    let playing = status
        .playing
        .map_or_else(|| "nothing".to_owned(), |playing| playing.title);
    output::result(&format!(
        "playing {playing}; {} more in the queue",
        status.queued
    ))?;
    Ok(())
}

/// `antiphon status`.
pub async fn status(args: ApiArgs) -> anyhow::Result<()> {
    let status: Status = open(&args)?.get("status").await?;
    if args.json {
        return output::json(&status);
    }
    let bytes = status.bytes;
    let silence = if status.waits_for_tracker {
        "the queue waits for the tracker"
    } else {
        "nothing plays"
    };
    let playing = status.playing.as_ref().map_or_else(
        || silence.to_owned(),
        |playing| {
            format!(
                "{}: {} - {}  {} / {} s, {} s ahead",
                playing.state,
                playing.artist,
                playing.title,
                playing.position_ms / 1_000,
                playing.duration_ms / 1_000,
                playing.buffer_ms / 1_000,
            )
        },
    );
    let tracker = if status.tracker_connected {
        "connected"
    } else {
        "not reachable"
    };
    let seen = status.outside.as_ref();
    let seen = seen.map_or(String::new(), |at| {
        format!(", which sees this node at {at}")
    });
    output::result(&format!(
        "{playing}\ntracker {tracker}{seen}\n{} neighbors, {} plays, {} stalls\n\
         bytes: cache {}, peers {}, origin {}; sent to peers {}\n\
         chunks that failed verification: {}",
        status.neighbors,
        status.plays,
        status.stalls,
        bytes.cache,
        bytes.peers,
        bytes.origin,
        status.uploaded,
        status.corrupt_chunks,
    ))?;
    for notice in &status.notices {
        output::result(&format!("note: {notice}"))?;
    }
    Ok(())
}

/// `antiphon cache`.
pub async fn cache(args: ApiArgs) -> anyhow::Result<()> {
    let api = open(&args)?;
    let status: Status = api.get("status").await?;
    let ledger: Vec<LedgerEntry> = api.get("ledger").await?;
    if args.json {
        return output::json(&serde_json::json!({
            "bytes_on_disk": status.cache_bytes, "renditions": ledger,
        }));
    }
    output::result(&format!("{} bytes of audio on disk", status.cache_bytes))?;
    for entry in ledger {
        let whole = if entry.complete_unix_us.is_some() {
            "whole"
        } else {
            "partial"
        };
        let LedgerEntry { track, bytes, .. } = entry;
        output::result(&format!(
            "{track}  {whole:<8} peers {:>10}  origin {:>10}",
            bytes.peers, bytes.origin
        ))?;
    }
    Ok(())
}

/// A track on one line: id first, for copying.
pub fn line(track: &ApiTrack) -> String {
    let seconds = track.duration_ms / 1_000;
    let by = if track.artist.is_empty() { "" } else { " - " };
    format!(
        "{}  {}:{:02}  {}{by}{}",
        track.track,
        seconds / 60,
        seconds % 60,
        track.artist,
        track.title
    )
}

fn url_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded_byte_by_byte() {
        assert_eq!(url_encoded("a b&é"), "a%20b%26%C3%A9");
    }
}
