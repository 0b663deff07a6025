//! What travels: packets of ranges of streams, with acknowledgments.

/// Stream ranges in one packet at most.
pub(super) const FRAMES_MAX: usize = 2;
/// Ranges in one acknowledgment at most.
pub(super) const ACK_RANGES_MAX: usize = 6;

/// Part of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) stream: u16,
    pub(super) len: u16,
    pub(super) offset: u32,
    /// The stream ends with it.
    pub(super) end: bool,
    /// The stream is given up; `offset` and `len` mean nothing.
    pub(super) reset: bool,
}

/// What the sender of the packet has received.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ack {
    pub(super) count: u8,
    /// Half-open, highest first.
    pub(super) ranges: [(u32, u32); ACK_RANGES_MAX],
    /// How long the highest had been there, in 8 microseconds.
    pub(super) delay: u16,
}

/// Kinds of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The opener's first flight.
    Hello,
    /// The acceptor's.
    Answer,
    /// Streams and acknowledgments. `number` counts only if `asks`.
    Data,
    Close,
}

/// A datagram.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub(super) connection: u32,
    pub(super) life: u32,
    /// The side it goes to.
    pub(super) to: u8,
    pub(super) kind: Kind,
    /// Whether it wants an acknowledgment.
    pub(super) asks: bool,
    pub(super) count: u8,
    pub(super) bytes: u16,
    /// Of a close.
    pub(super) code: u16,
    pub(super) number: u32,
    pub(super) ack: Ack,
    pub(super) frames: [Frame; FRAMES_MAX],
}

impl Packet {
    /// What a digest tells packets apart by.
    #[must_use]
    pub const fn mark(&self) -> u64 {
        (self.connection as u64) << 40
            ^ (self.to as u64) << 39
            ^ (self.kind as u64) << 36
            ^ (self.number as u64) << 4
            ^ self.bytes as u64
    }
}
