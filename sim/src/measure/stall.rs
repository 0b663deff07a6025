//! Why a playhead ran dry: where the missing chunk was at that moment.

/// What had become of the first missing chunk. Where both were asked, the origin's part is told,
/// because it was the last resort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StallCause {
    /// Nobody had been asked for it.
    NotAsked,
    /// A peer had been asked and had not begun to send.
    PeerSilent,
    /// A peer was sending, but not fast enough.
    PeerSlow,
    /// The origin had been asked and had not begun to send.
    OriginSilent,
    /// The origin was sending, but not fast enough.
    OriginSlow,
    /// It was there: the listener's machine hung.
    Machine,
}

impl StallCause {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 6] = [
        Self::NotAsked,
        Self::PeerSilent,
        Self::PeerSlow,
        Self::OriginSilent,
        Self::OriginSlow,
        Self::Machine,
    ];

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAsked => "not-asked",
            Self::PeerSilent => "peer-silent",
            Self::PeerSlow => "peer-slow",
            Self::OriginSilent => "origin-silent",
            Self::OriginSlow => "origin-slow",
            Self::Machine => "machine",
        }
    }

    /// In words, as the end of "the missing chunk ...".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotAsked => "had not been asked of anybody",
            Self::PeerSilent => "had been asked of a peer that had not begun to send",
            Self::PeerSlow => "was coming from a peer, too slowly",
            Self::OriginSilent => "had been asked of the origin, which had not begun to send",
            Self::OriginSlow => "was coming from the origin, too slowly",
            Self::Machine => "was there, but the machine hung",
        }
    }
}
