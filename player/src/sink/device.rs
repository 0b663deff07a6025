//! Plays on a sound card. The system pulls in its own callback, which never locks or allocates.

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{ErrorKind, FromSample, OutputCallbackInfo, SampleFormat, SizedSample};
use cpal::{SupportedStreamConfig, SupportedStreamConfigRange};

use super::{OutputDevice, Sink, SinkError, Wake};
use crate::renderer::Renderer;
use crate::source::AudioFormat;

/// The rate nearly all music has; asking the card for it saves converting.
const PREFERRED_RATE: u32 = 44_100;
/// Stereo, which nearly all music is.
const PREFERRED_CHANNELS: u16 = 2;
/// Frames converted at a time inside the callback, so that the buffer for it has a fixed size.
const CALLBACK_FRAMES: usize = 1024;

/// A sound card.
pub struct DeviceSink {
    device: cpal::Device,
    config: SupportedStreamConfig,
    stream: Option<cpal::Stream>,
}

impl DeviceSink {
    /// Finds the card and a format it takes; nothing sounds yet.
    pub fn open(name: Option<&str>) -> Result<Self, SinkError> {
        let host = cpal::default_host();
        let device = match name {
            None => host
                .default_output_device()
                .ok_or_else(|| no_device("the system has no default output"))?,
            Some(name) => host
                .output_devices()
                .map_err(no_device)?
                .find(|device| is_named(device, name))
                .ok_or_else(|| no_device(format!("there is none named `{name}`")))?,
        };
        let config = choose_config(&device)?;
        Ok(Self {
            device,
            config,
            stream: None,
        })
    }

    fn build<T>(&self, mut renderer: Renderer) -> Result<cpal::Stream, SinkError>
    where
        T: SizedSample + FromSample<f32>,
    {
        let channels = usize::from(self.config.channels());
        let mut block = vec![0.0_f32; CALLBACK_FRAMES * channels];
        let reporter = renderer.failure_reporter();
        let on_error = move |error: cpal::Error| match error.kind() {
            ErrorKind::DeviceChanged | ErrorKind::Xrun | ErrorKind::RealtimeDenied => {
                tracing::debug!(%error, "the sound card reports");
            }
            _ => reporter.fail(error.to_string()),
        };
        let on_data = move |out: &mut [T], _: &OutputCallbackInfo| {
            for part in out.chunks_mut(block.len()) {
                let Some(music) = block.get_mut(..part.len()) else {
                    continue;
                };
                renderer.render(music);
                for (to, from) in part.iter_mut().zip(music) {
                    *to = T::from_sample(from.clamp(-1.0, 1.0));
                }
            }
        };
        self.device
            .build_output_stream(self.config.config(), on_data, on_error, None)
            .map_err(no_device)
    }
}

impl Sink for DeviceSink {
    fn fixed_format(&self) -> Option<AudioFormat> {
        Some(AudioFormat {
            rate: self.config.sample_rate(),
            channels: self.config.channels(),
        })
    }

    fn start(&mut self, renderer: Renderer, _: Wake) -> Result<(), SinkError> {
        let stream = match self.config.sample_format() {
            SampleFormat::F32 => self.build::<f32>(renderer),
            SampleFormat::F64 => self.build::<f64>(renderer),
            SampleFormat::I8 => self.build::<i8>(renderer),
            SampleFormat::I16 => self.build::<i16>(renderer),
            SampleFormat::I32 => self.build::<i32>(renderer),
            SampleFormat::U8 => self.build::<u8>(renderer),
            SampleFormat::U16 => self.build::<u16>(renderer),
            SampleFormat::U32 => self.build::<u32>(renderer),
            other => Err(no_device(format!(
                "its sample format {other} is not supported"
            ))),
        }?;
        stream.play().map_err(no_device)?;
        self.stream = Some(stream);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.stream = None;
        Ok(())
    }
}

pub(super) fn list() -> Result<Vec<OutputDevice>, SinkError> {
    let host = cpal::default_host();
    let default = host
        .default_output_device()
        .and_then(|device| device.id().ok());
    let Ok(devices) = host.output_devices() else {
        return Ok(Vec::new());
    };
    let mut listed = Vec::new();
    for device in devices {
        let Ok(id) = device.id() else {
            continue;
        };
        let name = device
            .description()
            .map(|description| description.name().to_owned());
        listed.push(OutputDevice {
            name: name.unwrap_or_else(|_| id.to_string()),
            is_default: default.as_ref() == Some(&id),
            id: id.to_string(),
        });
    }
    Ok(listed)
}

fn is_named(device: &cpal::Device, name: &str) -> bool {
    device
        .id()
        .is_ok_and(|id| id.to_string() == name || id.id() == name)
        || device
            .description()
            .is_ok_and(|description| description.name() == name)
}

/// The preferred rate in stereo if the card has it, otherwise what the card does by default.
fn choose_config(device: &cpal::Device) -> Result<SupportedStreamConfig, SinkError> {
    let fits = |range: &SupportedStreamConfigRange| {
        range.channels() == PREFERRED_CHANNELS && range.contains_rate(PREFERRED_RATE)
    };
    let ranges = device.supported_output_configs().map_err(no_device)?;
    let preferred = ranges
        .filter(fits)
        .max_by_key(|range| match range.sample_format() {
            SampleFormat::F32 => 2,
            SampleFormat::I16 | SampleFormat::I32 => 1,
            _ => 0,
        })
        .and_then(|range| range.try_with_sample_rate(PREFERRED_RATE));
    match preferred {
        Some(config) => Ok(config),
        None => device.default_output_config().map_err(no_device),
    }
}

fn no_device(reason: impl ToString) -> SinkError {
    SinkError::NoDevice {
        reason: reason.to_string(),
    }
}
