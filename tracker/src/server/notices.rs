//! What a node is told unasked: one frame each on a stream of ours.

use std::time::Duration;

use antiphon_protocol::ErrorCode;
use antiphon_protocol::codec;
use antiphon_protocol::tracker::TrackerNotice;
use antiphon_transport::connection::{Connection, Lost};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// For a node to take a notice. After that it is dropped: who waits for it has given up.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(3);

/// Tells one after the other. Ends with the code to close with when nobody has anything to say any
/// more, which is not before the connection's own end.
pub(super) async fn tell(
    link: &Connection,
    mut notices: mpsc::Receiver<TrackerNotice>,
) -> ErrorCode {
    while let Some(notice) = notices.recv().await {
        // An older node takes no streams; it does without.
        let _ = timeout(NOTICE_TIMEOUT, send(link, &notice)).await;
    }
    ErrorCode::NONE
}

async fn send(link: &Connection, notice: &TrackerNotice) -> Result<(), Lost> {
    let mut stream = link.open_one_way().await?;
    stream.write_all(&codec::encode(notice)).await?;
    stream.finish().await
}
