//! One peer that holds one rendition, in 16 bytes. Not here: which there are ([`super::SwarmRegistry`]).

use crate::key::PeerKey;
use crate::registry::{Held, PeerProfile};

/// What a peer said of one rendition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) peer: PeerKey,
    /// The lookup that handed it out last; zero is none.
    pub(super) handed: u32,
    /// From high to low: whether the peer uploads, whether it has all of it, the second at which it said so, its
    /// region, a fold of its prefix, and in which of its sessions ([`super::presence`]). The first three are what entries
    /// are compared by.
    said: u64,
}

const UPLOADS: u64 = 1 << 57;
const FULL: u64 = 1 << 56;
/// Bits behind the second.
const AFTER_SECOND: u32 = 24;
const AFTER_REGION: u32 = 16;
const AFTER_PREFIX: u32 = 8;

impl Entry {
    /// What a peer with this profile says of something that it has in part.
    pub(super) fn new(peer: PeerKey, profile: &PeerProfile, second: u32, session: u8) -> Self {
        // Enough to spread answers.
        let prefix = profile.prefix.to_le_bytes();
        let prefix = prefix.into_iter().fold(0, |fold, byte| fold ^ byte);
        Self {
            peer,
            handed: 0,
            said: if profile.uploads { UPLOADS } else { 0 }
                | u64::from(second) << AFTER_SECOND
                | u64::from(profile.region) << AFTER_REGION
                | u64::from(prefix) << AFTER_PREFIX
                | u64::from(session),
        }
    }

    /// The same, said of something that it has so much of.
    pub(super) const fn of(self, held: Held) -> Self {
        let said = match held {
            Held::Full => self.said | FULL,
            Held::Partial => self.said & !FULL,
        };
        Self { said, ..self }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.said & FULL != 0
    }

    pub(super) const fn uploads(&self) -> bool {
        self.said & UPLOADS != 0
    }

    /// Seconds since the start.
    pub(super) const fn second(&self) -> u32 {
        (self.said >> AFTER_SECOND) as u32
    }

    pub(super) const fn region(&self) -> u8 {
        (self.said >> AFTER_REGION) as u8
    }

    pub(super) const fn prefix(&self) -> u8 {
        (self.said >> AFTER_PREFIX) as u8
    }

    pub(super) const fn session(&self) -> u8 {
        self.said as u8
    }

    /// Lower is of less use to who looks for a holder: whether it uploads, whether it is complete, how old its
    /// word is.
    pub(super) const fn usefulness(&self) -> u64 {
        self.said >> AFTER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_can_be_read() {
        for (uploads, held) in [(false, Held::Full), (true, Held::Partial)] {
            let profile = PeerProfile {
                region: 0xfe,
                prefix: 0x0102_0488,
                uploads,
            };
            let entry = Entry::new(PeerKey(7), &profile, u32::MAX - 1, 0xfd).of(held);
            assert_eq!((entry.uploads(), entry.is_full()), (uploads, !uploads));
            assert_eq!((entry.second(), entry.region()), (u32::MAX - 1, 0xfe));
            assert_eq!((entry.prefix(), entry.session()), (0x8f, 0xfd));
        }
    }
}
