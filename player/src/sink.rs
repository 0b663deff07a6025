//! Where the sound goes: a sound card, a WAV file, nowhere in real time, or memory.

mod clocked;
#[cfg(feature = "device")]
mod device;
mod memory;
mod wav;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

pub use clocked::NullSink;
#[cfg(feature = "device")]
pub use device::DeviceSink;
pub use memory::{MemorySink, Tape};
pub use wav::{WavSamples, WavSink};

use crate::renderer::Renderer;
use crate::source::AudioFormat;

/// Tells the player that the sink took samples, so there is room for more. Not for a sound card's
/// callback: it locks.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// An output. It pulls samples from the [`Renderer`] it is given, on a thread of its own.
pub trait Sink: Send {
    /// The format, if the sink cannot take every one; tracks are converted to it. Otherwise the
    /// first track's format is taken, and later ones are converted to that.
    fn fixed_format(&self) -> Option<AudioFormat> {
        None
    }

    /// Starts pulling. Called once, with the fixed format or the first track's.
    fn start(&mut self, renderer: Renderer, wake: Wake) -> Result<(), SinkError>;

    /// There may be something new to pull.
    fn notify(&self) {}

    /// Stops pulling and completes whatever is being written.
    fn finish(&mut self) -> Result<(), SinkError>;
}

/// A sink as written on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkSpec {
    /// A sound card: the default one, or the one with this name.
    Device(Option<String>),
    /// A WAV file, written as fast as the music arrives.
    Wav {
        /// The file; it is overwritten.
        path: PathBuf,
        /// How samples are stored.
        samples: WavSamples,
        /// Written at the pace of listening instead, with stalls like a sound card's.
        clocked: bool,
    },
    /// Nowhere, in real time.
    Null,
}

impl SinkSpec {
    /// What can be written, for usage texts.
    pub const FORMS: &'static str =
        "device, device:NAME, wav:FILE, wavf32:FILE, wav-clocked:FILE or null";

    /// Makes the sink. Opens a sound card, but no file yet.
    pub fn open(&self) -> Result<Box<dyn Sink>, SinkError> {
        match self {
            #[cfg(feature = "device")]
            Self::Device(name) => Ok(Box::new(DeviceSink::open(name.as_deref())?)),
            #[cfg(not(feature = "device"))]
            Self::Device(_) => Err(SinkError::NoDevice {
                reason: "this build has no sound card support".to_owned(),
            }),
            Self::Wav {
                path,
                samples,
                clocked: false,
            } => Ok(Box::new(WavSink::new(path.clone(), *samples))),
            Self::Wav {
                path,
                samples,
                clocked: true,
            } => Ok(Box::new(NullSink::recording(path.clone(), *samples))),
            Self::Null => Ok(Box::new(NullSink::new())),
        }
    }
}

impl FromStr for SinkSpec {
    type Err = SinkSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || SinkSpecError {
            text: text.to_owned(),
        };
        let wav = |path: &str, samples, clocked| {
            if path.is_empty() {
                return Err(unknown());
            }
            Ok(Self::Wav {
                path: PathBuf::from(path),
                samples,
                clocked,
            })
        };
        match text.split_once(':') {
            None if text == "device" => Ok(Self::Device(None)),
            None if text == "null" => Ok(Self::Null),
            Some(("device", name)) if !name.is_empty() => Ok(Self::Device(Some(name.to_owned()))),
            Some(("wav", path)) => wav(path, WavSamples::S16, false),
            Some(("wavf32", path)) => wav(path, WavSamples::F32, false),
            Some(("wav-clocked", path)) => wav(path, WavSamples::S16, true),
            _ => Err(unknown()),
        }
    }
}

impl std::fmt::Display for SinkSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device(None) => f.write_str("device"),
            Self::Device(Some(name)) => write!(f, "device:{name}"),
            Self::Wav {
                path,
                clocked: true,
                ..
            } => write!(f, "wav-clocked:{}", path.display()),
            Self::Wav {
                path,
                samples: WavSamples::S16,
                ..
            } => write!(f, "wav:{}", path.display()),
            Self::Wav { path, .. } => write!(f, "wavf32:{}", path.display()),
            Self::Null => f.write_str("null"),
        }
    }
}

/// A sound card one can name in `device:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputDevice {
    /// What to write after `device:`.
    pub id: String,
    /// For people.
    pub name: String,
    /// Whether plain `device` means this one.
    pub is_default: bool,
}

/// Lists the sound cards; none is not an error.
pub fn list_devices() -> Result<Vec<OutputDevice>, SinkError> {
    #[cfg(feature = "device")]
    return device::list();
    #[cfg(not(feature = "device"))]
    Ok(Vec::new())
}

/// A sink text that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a sink; write {}", SinkSpec::FORMS)]
pub struct SinkSpecError {
    /// What was written.
    pub text: String,
}

/// Why a sink cannot be opened, or not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// There is no sound card to play on.
    #[error("no sound card can be used: {reason}; play with `--sink wav:FILE` or `--sink null`")]
    NoDevice {
        /// What the system said.
        reason: String,
    },
    /// The WAV file cannot be written.
    #[error("the WAV file {} could not be written: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The sink's thread could not be started or ended badly.
    #[error("the sound output's thread failed: {reason}")]
    Thread {
        /// What went wrong.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sink_texts_are_read_and_written_alike() {
        for text in [
            "device",
            "device:hw:0,0",
            "wav:a b.wav",
            "wavf32:/tmp/x",
            "wav-clocked:y",
            "null",
        ] {
            assert_eq!(
                SinkSpec::from_str(text).map(|spec| spec.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in [
            "", "devices", "wav", "wav:", "device:", "null:", "NULL", "mp3:x",
        ] {
            let error = SinkSpec::from_str(text).expect_err(text);
            assert!(error.to_string().contains("wav:FILE"), "{error}");
        }
    }

    #[test]
    fn a_missing_sound_card_is_an_error_that_says_what_to_do() {
        let spec = SinkSpec::Device(Some("there is no such card".to_owned()));
        let error = spec.open().err().expect("no card has that name");
        assert!(error.to_string().contains("--sink wav:FILE"), "{error}");
        list_devices().expect("listing works without any card");
    }
}
