//! Where frames of yamux begin and end in a stream of bytes.
//!
//! Only as much of a header as counting needs; yamux itself looks at the rest.

/// A header's length, whatever the frame.
pub(super) const HEADER_BYTES: usize = 12;

const KIND_AT: usize = 1;
const FLAGS_AT: usize = 2;
const STREAM_AT: usize = 4;
const LENGTH_AT: usize = 8;

const KIND_DATA: u8 = 0;
const KIND_WINDOW: u8 = 1;
const FLAG_OPENS: u16 = 1;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) stream: u32,
    /// Whether it opens the stream.
    pub(super) opens: bool,
    /// Bytes that follow; none but behind headers of data.
    pub(super) body: usize,
}

impl Frame {
    fn parse(header: &[u8; HEADER_BYTES]) -> Self {
        let word = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let kind = header[KIND_AT];
        let flags = u16::from_be_bytes([header[FLAGS_AT], header[FLAGS_AT + 1]]);
        let body = match kind {
            KIND_DATA => word(LENGTH_AT) as usize,
            _ => 0,
        };
        Self {
            stream: word(STREAM_AT),
            opens: matches!(kind, KIND_DATA | KIND_WINDOW) && flags & FLAG_OPENS != 0,
            body,
        }
    }
}

/// A place in a stream of frames.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that have passed.
    have: usize,
    /// Bytes of the body that have not.
    left: usize,
}

impl Cursor {
    /// Whether the next byte begins a frame.
    pub(super) const fn between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Bytes that surely belong to the frame the cursor is in.
    pub(super) const fn ahead(&self) -> usize {
        match self.left {
            0 => HEADER_BYTES - self.have,
            left => left,
        }
    }

    /// Passes over `bytes`, not more than are [`ahead`](Self::ahead). Says what a header says when
    /// it is complete, and otherwise how many bytes of a body these were.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Passed {
        if self.left > 0 {
            let passed = bytes.len().min(self.left);
            self.left -= passed;
            return Passed::Body(passed);
        }
        let passed = bytes.len().min(HEADER_BYTES - self.have);
        self.header[self.have..self.have + passed].copy_from_slice(&bytes[..passed]);
        self.have += passed;
        if self.have < HEADER_BYTES {
            return Passed::Body(0);
        }
        self.have = 0;
        let frame = Frame::parse(&self.header);
        self.left = frame.body;
        Passed::Header(frame)
    }
}

/// What a cursor went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// The last byte of a header.
    Header(Frame),
    /// So many bytes of a body.
    Body(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two frames: data of three bytes that opens stream 7, and a ping.
    fn two() -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 3, b'a', b'b', b'c'];
        bytes.extend([0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9]);
        bytes
    }

    #[test]
    fn frames_are_found_whatever_pieces_they_come_in() {
        for piece in 1..=27 {
            let (mut cursor, mut frames, mut body) = (Cursor::default(), Vec::new(), 0);
            let bytes = two();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let next = piece.min(cursor.ahead()).min(rest.len());
                match cursor.pass(&rest[..next]) {
                    Passed::Header(frame) => frames.push(frame),
                    Passed::Body(passed) => body += passed,
                }
                rest = &rest[next..];
            }
            assert!(cursor.between());
            assert_eq!(body, 3);
            let data = Frame {
                stream: 7,
                opens: true,
                body: 3,
            };
            let ping = Frame {
                stream: 0,
                opens: false,
                body: 0,
            };
            assert_eq!(frames, [data, ping]);
        }
    }
}
