//! Why a request is not answered with bytes, in the words of both transports.

use antiphon_protocol::{ErrorCode, Millis};

/// A refusal: the code for programs, and when asking again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) retry_after: Millis,
}

impl Refusal {
    pub(crate) const NOT_FOUND: Self = Self::of(ErrorCode::NOT_FOUND);
    pub(crate) const INVALID: Self = Self::of(ErrorCode::INVALID);
    pub(crate) const CAPABILITY: Self = Self::of(ErrorCode::CAPABILITY);
    pub(crate) const MALFORMED: Self = Self::of(ErrorCode::MALFORMED);
    pub(crate) const TOO_LARGE: Self = Self::of(ErrorCode::TOO_LARGE);
    pub(crate) const GOING_AWAY: Self = Self::of(ErrorCode::GOING_AWAY);
    /// An answer takes about a second to leave; guess.
    pub(crate) const BUSY: Self = Self {
        code: ErrorCode::BUSY,
        retry_after: Millis(1_000),
    };
    /// A store that failed once is given time to recover; guess.
    pub(crate) const INTERNAL: Self = Self {
        code: ErrorCode::INTERNAL,
        retry_after: Millis(2_000),
    };

    const fn of(code: ErrorCode) -> Self {
        Self {
            code,
            retry_after: Millis(0),
        }
    }
}
