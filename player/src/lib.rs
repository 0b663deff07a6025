//! The embedded player: Ogg Vorbis in, sound out, sample-exact and without gaps.
//!
//! It knows nothing of networks. A track is a [`TrackSource`], bytes that may still be on their
//! way, and a [`TrackSpec`], what is known about them. A [`Player`] decodes tracks one after the
//! other into a [`Sink`] and reports what happens as [`Events`].
//!
//! ```text
//! TrackSource --read--> decoding thread --blocks--> player's thread --ring--> sink's callback
//!                       (one per track)             gain, rate, queue         volume, ramps
//! ```
//!
//! - A source may block. Only its own decoding thread waits for it.
//! - Exactly the frames the encoder meant come out; the next track's first frame follows the
//!   last one directly. A seek lands on the frame asked for.
//! - The callback neither locks nor allocates nor waits. A sample that was due and not there is
//!   counted where it is missed.
//! - A file that makes no sense, or a panic while decoding, costs that track and nothing else.

mod converter;
mod decode_all;
mod decoder;
mod engine;
mod entry;
mod event;
mod gain;
mod inbox;
mod media;
mod ogg_page;
mod output;
mod player;
mod renderer;
mod sink;
mod source;
mod status;
mod worker;

pub use converter::ConvertError;
pub use decode_all::{DecodedTrack, decode_all};
pub use decoder::{DecodeError, TrackDecoder};
pub use entry::Track;
pub use event::{Event, EventHook, Events, PlayFailure, SkipReason};
pub use gain::{Volume, millibel_to_linear, track_factor};
pub use output::StallCounts;
pub use player::{Player, PlayerConfig, PlayerError};
pub use renderer::{FailureReporter, Renderer};
#[cfg(feature = "device")]
pub use sink::DeviceSink;
pub use sink::{
    MemorySink, NullSink, OutputDevice, Sink, SinkError, SinkSpec, SinkSpecError, Tape, Wake,
    WavSamples, WavSink, list_devices,
};
pub use source::{AudioFormat, Interrupter, PlayId, TrackSource, TrackSpec, WholeSource};
pub use status::{PlayState, Status};
