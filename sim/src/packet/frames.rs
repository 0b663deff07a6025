//! Frames on streams, through the product's codecs.

use antiphon_protocol::codec::{self, DecodeError, LENGTH_BYTES, Message};

use crate::packet::transport::{ConnectionId, Network, Side};

/// Takes the next frame off a stream: nothing if it is not whole yet; its bytes beside it.
pub(crate) fn take<M: Message>(
    network: &mut Network,
    id: ConnectionId,
    side: Side,
    stream: u16,
) -> Result<Option<(M, usize)>, DecodeError> {
    let bytes = network.readable(id, side, stream);
    let Some(header) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = codec::payload_len::<M>(*header)?;
    let Some(payload) = bytes.get(LENGTH_BYTES..LENGTH_BYTES + length) else {
        return Ok(None);
    };
    let message = codec::decode::<M>(payload)?;
    network.consume(id, side, stream, LENGTH_BYTES + length);
    Ok(Some((message, LENGTH_BYTES + length)))
}

/// Writes a frame.
pub(crate) fn put<M: Message>(
    network: &mut Network,
    id: ConnectionId,
    side: Side,
    stream: u16,
    message: &M,
) {
    let frame = codec::encode(message);
    network.write(id, side, stream, &frame);
}
