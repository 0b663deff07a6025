//! Whole frames on a libp2p stream.

use std::io;

use antiphon_protocol::codec::{self, DecodeError, LENGTH_BYTES, Message};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Reads one frame. Not cancel safe: for streams read by one future to the end.
pub(super) async fn read<M: Message>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(M, usize), FrameError> {
    let mut header = [0; LENGTH_BYTES];
    stream.read_exact(&mut header).await?;
    let len = codec::payload_len::<M>(header)?;
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).await?;
    Ok((codec::decode(&payload)?, LENGTH_BYTES + len))
}

/// Writes one frame and flushes it.
pub(super) async fn write<M: Message>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &M,
) -> io::Result<()> {
    stream.write_all(&codec::encode(message)).await?;
    stream.flush().await
}

/// Why no frame was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the stream broke: {0}")]
    Stream(#[from] io::Error),
    #[error(transparent)]
    Decode(#[from] DecodeError),
}
