//! What all services have: they run until told to end.

use anyhow::Context as _;
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for Ctrl-C or SIGTERM, or for standard input to close if that is asked for.
pub async fn until_told_to_end(until_stdin_closes: bool) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let closed = async {
        if !until_stdin_closes {
            return std::future::pending().await;
        }
        let mut input = tokio::io::stdin();
        let mut buffer = [0; 64];
        while input.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
        () = closed => Ok(()),
    }
}

/// `host:port#fingerprint`, as other commands take it.
pub fn named(address: std::net::SocketAddr, fingerprint: [u8; 32]) -> String {
    format!("{address}#{}", hex(&fingerprint))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
