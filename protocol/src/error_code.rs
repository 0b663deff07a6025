//! The numbers sent to others when something is refused or ended. Append only; never reused.

use serde::{Deserialize, Serialize};

/// Why a request was refused or a connection ended.
///
/// On the wire it is a plain number, so that a newer program's code is still an answer to an older
/// one: unknown numbers stay readable as [`ErrorCode`] values without a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ErrorCode(pub u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// What the code means, for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $($number => $text,)*
                    _ => "a reason this version does not know",
                }
            }
        }
    };
}

codes! {
    /// Done; nothing is wrong.
    NONE = 0, "no error";
    /// The sender is shutting down.
    GOING_AWAY = 1, "the other side is shutting down";
    /// Too much is going on; try again after the stated time.
    BUSY = 2, "busy, try again later";
    /// The sender does not have what was asked for.
    NOT_HELD = 3, "not held here";
    /// No such thing exists.
    NOT_FOUND = 4, "not found";
    /// The bytes were no legal message.
    MALFORMED = 5, "malformed message";
    /// A message longer than its limit.
    TOO_LARGE = 6, "message too large";
    /// No common protocol version.
    VERSION = 7, "no common version";
    /// The ticket is missing, forged, expired or another node's.
    TICKET = 8, "ticket refused";
    /// The request needs a login first.
    UNAUTHENTICATED = 9, "log in first";
    /// Name or password is wrong; which one is not said.
    LOGIN = 10, "wrong name or password";
    /// Logged in, but not allowed.
    FORBIDDEN = 11, "not allowed";
    /// The name is taken.
    NAME_TAKEN = 12, "this name is taken";
    /// A value is outside its limits.
    INVALID = 13, "a value is outside its limits";
    /// Bytes failed their hash.
    CORRUPT = 14, "bytes failed verification";
    /// Asked too often.
    RATE_LIMITED = 15, "too many requests";
    /// The sender's disk or database failed.
    INTERNAL = 16, "internal failure";
    /// The requester ended it.
    CANCELED = 17, "canceled";
    /// The sender stopped uploading to care for its own playback.
    UPLOADS_PAUSED = 18, "uploads are paused";
    /// A neighbor with no use for either side was pruned.
    PRUNED = 19, "connection no longer useful";
    /// The capability for the origin is missing, forged or expired.
    CAPABILITY = 20, "capability refused";
}

impl core::fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({})", self.0, self.text())
    }
}

impl core::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} (code {})", self.text(), self.0)
    }
}
