//! Every decision Antiphon's swarm makes, with no I/O.
//!
//! [`NodeCore`] decides for one node: what to ask, of whom, when; what to keep, serve and prefetch.
//! [`SwarmRegistry`] is the tracker's knowledge of who holds what. Both are state machines: the
//! node and tracker drive them with sockets and files, the simulator with virtual time, and all
//! three run this very code.
//!
//! # The contract of [`NodeCore`]
//!
//! ```text
//! handle(now, input)                 one event at a time, all of one moment
//! poll_output() -> Option<Output>    decides what follows; drained to None before time passes
//! poll_timeout() -> Option<Instant>  then one deadline; Input::Timeout is due at it
//! ```
//!
//! - `now` is an argument and never goes back (asserted). There is no periodic tick.
//! - Randomness is one seeded ChaCha8. Same seed and same inputs give byte-equal outputs.
//! - Renditions and peers are the driver's small integer keys ([`RenditionKey`], [`PeerKey`]);
//!   hashes, addresses, tickets and audio bytes never come in here ([`directory`] translates).
//! - Every effect that answers later carries an id; late and unknown answers are legal inputs.
//! - Remote input cannot fail: a bad message becomes a penalty and a counter.
//! - Every table has a maximum ([`limits`]).
//!
//! # What drivers must know
//!
//! - Holders that come with a track are told ([`node::input::TrackerEvent::Holders`]) in the same
//!   turn as its play, before or after it: within a millisecond the core goes to the origin.
//! - `Introduce` is cheap and may be repeated; after [`Output::Evict`] it must be, before the
//!   rendition is named again. Before it, commands that name a rendition are ignored and counted.
//! - `Verified` is reported for each chunk, or stalls are seen where there are none.
//! - A rejected or ended connection ([`Output::Close`]) is forgotten at once: what ran on it is
//!   canceled, and its `Disconnected` needs no answer.
//! - In the holders of a `Found`, [`PeerKey::OURSELVES`] is the node that sends it.
//! - Nothing is announced before the first [`node::input::TrackerEvent::Reachable`].
//! - A million cores share one configuration: pass an `Arc` of it.
//!
//! Not here: async, threads, locks, sockets, files, clocks, entropy, floating point in ordering
//! decisions, iteration in hash order.
#![deny(missing_docs)]

pub mod directory;
pub mod invariants;
pub mod key;
pub mod limits;
pub mod lot;
pub mod memory;
pub mod node;
pub mod registry;
mod rng;
pub mod time;

pub use key::{FetchId, PeerKey, PlayId, RenditionKey, UploadId};
pub use node::{Input, NodeConfig, NodeCore, Output, Snapshot, Stats};
pub use registry::SwarmRegistry;
pub use time::{Duration, Instant};
