//! What there is of a user, online or not, in one row on one page of memory. Not here: their node while it
//! runs ([`super::online`]).

use crate::world::online::Online;
use crate::world::people::Person;
use crate::world::shelf::Shelf;
use crate::world::wakes::{NEVER, Wake};

/// When the player looks at where its playhead is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Number of the event that counts.
    pub(super) turn: u32,
    /// When it has to look; the event may come sooner, and then comes again.
    pub(super) due: u64,
}

/// One user. What most events ask for first is in the first line of memory.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Seat {
    pub(super) online: Option<Box<Online>>,
    pub(super) wake: Wake,
    pub(super) look: Look,
    pub(super) person: Person,
    pub(super) shelf: Shelf,
}

impl Seat {
    pub(super) fn new(person: Person) -> Self {
        Self {
            online: None,
            wake: Wake::NONE,
            look: Look {
                turn: 0,
                due: NEVER,
            },
            person,
            shelf: Shelf::default(),
        }
    }
}

/// A million of them are a part of what a world may take.
const _: () = assert!(size_of::<Seat>() <= 192);
