//! The driver's small integer names for things, so that a simulated node stays small.

/// A rendition, as the driver numbers it. Stable while the driver lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RenditionKey(pub u32);

/// Another node, as the driver numbers it. Stable while the driver lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u32);

impl PeerKey {
    /// This node itself, in the holders of a `Found`: drivers translate it to and from their own
    /// contact, and give it to no other peer.
    pub const OURSELVES: Self = Self(u32::MAX);
}

/// One play of a track, numbered by the driver; each start is a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlayId(pub u64);

/// One span asked of a source, numbered by the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// One span a peer asked of us, numbered by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub u64);
