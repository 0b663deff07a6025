//! What the tracker says unasked.

use std::time::Duration;

use antiphon_protocol::codec::{self, LENGTH_BYTES};
use antiphon_protocol::tracker::TrackerNotice;
use antiphon_transport::connection::ReceiveStream;
use tokio::time::timeout;

use super::{RequestError, TrackerClient};

/// For a notice to arrive whole, once it has begun: the tracker sends it at once.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(3);

impl TrackerClient {
    /// Waits for the next notice. One that cannot be read costs nothing but itself.
    ///
    /// # Errors
    /// If the connection is lost, or what came is no notice or not all of one.
    pub async fn notice(&self) -> Result<TrackerNotice, RequestError> {
        let stream = self.connection.accept_one_way().await?;
        let read = timeout(NOTICE_TIMEOUT, read(stream)).await;
        read.map_err(|_| RequestError::TimedOut)?
    }
}

async fn read(mut stream: ReceiveStream) -> Result<TrackerNotice, RequestError> {
    let mut header = [0; LENGTH_BYTES];
    stream.read_exact(&mut header).await?;
    let mut payload = vec![0; codec::payload_len::<TrackerNotice>(header)?];
    stream.read_exact(&mut payload).await?;
    Ok(codec::decode(&payload)?)
}
