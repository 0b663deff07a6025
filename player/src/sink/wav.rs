//! Writes WAV files (RIFF, "Multimedia Programming Interface and Data Specifications 1.0"), and
//! the thread every sink uses that takes samples as fast as they come.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Sink, SinkError, Wake};
use crate::renderer::Renderer;
use crate::source::AudioFormat;

/// Samples taken at a time; about 46 ms of stereo at 44.1 kHz.
const PULL_SAMPLES: usize = 4096;
/// A sleeping sink looks for work this often even if it was not notified. A safety net; guess.
const SLEEP: Duration = Duration::from_millis(200);
/// RIFF sizes are 32 bits; this leaves room for the header.
const DATA_BYTES_MAX: u64 = u32::MAX as u64 - 64;

/// How a WAV file stores samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WavSamples {
    /// Whole numbers of 16 bits, which everything can play.
    S16,
    /// Floating point, which keeps every bit.
    F32,
}

/// A WAV file, written as fast as the music arrives.
pub struct WavSink {
    path: PathBuf,
    samples: WavSamples,
    thread: PullThread,
}

impl WavSink {
    /// The file is created, or overwritten, when the first track starts.
    #[must_use]
    pub fn new(path: PathBuf, samples: WavSamples) -> Self {
        Self {
            path,
            samples,
            thread: PullThread::default(),
        }
    }
}

impl Sink for WavSink {
    fn start(&mut self, renderer: Renderer, wake: Wake) -> Result<(), SinkError> {
        let writer = WavWriter::create(self.path.clone(), self.samples, renderer.format())?;
        self.thread.start(renderer, wake, Box::new(writer))
    }

    fn notify(&self) {
        self.thread.notify();
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.thread.finish()
    }
}

/// Where pulled samples go.
pub(super) trait SampleWriter: Send {
    fn write(&mut self, samples: &[f32]) -> Result<(), SinkError>;
    fn finish(&mut self) -> Result<(), SinkError>;
}

/// A WAV file being written. Its header is corrected when it is finished.
pub(super) struct WavWriter {
    path: PathBuf,
    file: BufWriter<File>,
    samples: WavSamples,
    format: AudioFormat,
    data_bytes: u64,
}

impl WavWriter {
    pub(super) fn create(
        path: PathBuf,
        samples: WavSamples,
        format: AudioFormat,
    ) -> Result<Self, SinkError> {
        let failed = |error: io::Error| SinkError::File {
            path: path.clone(),
            reason: error.to_string(),
        };
        let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
        file.write_all(&header(samples, format, 0))
            .map_err(failed)?;
        Ok(Self {
            path,
            file,
            samples,
            format,
            data_bytes: 0,
        })
    }

    fn append(&mut self, samples: &[f32]) -> io::Result<()> {
        for sample in samples {
            match self.samples {
                WavSamples::S16 => self.file.write_all(&to_s16(*sample).to_le_bytes())?,
                WavSamples::F32 => self.file.write_all(&sample.to_le_bytes())?,
            }
        }
        self.data_bytes += samples.len() as u64 * u64::from(sample_bytes(self.samples));
        Ok(())
    }

    fn complete(&mut self) -> io::Result<()> {
        self.file.flush()?;
        let data_bytes = u32::try_from(self.data_bytes).unwrap_or(u32::MAX);
        let header = header(self.samples, self.format, data_bytes);
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header)?;
        file.seek(SeekFrom::End(0))?;
        file.sync_all()
    }

    fn error(&self, reason: String) -> SinkError {
        SinkError::File {
            path: self.path.clone(),
            reason,
        }
    }
}

impl SampleWriter for WavWriter {
    fn write(&mut self, samples: &[f32]) -> Result<(), SinkError> {
        let more = samples.len() as u64 * u64::from(sample_bytes(self.samples));
        if self.data_bytes + more > DATA_BYTES_MAX {
            return Err(self.error("a WAV file cannot be larger than 4 GiB".to_owned()));
        }
        self.append(samples)
            .map_err(|error| self.error(error.to_string()))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.complete()
            .map_err(|error| self.error(error.to_string()))
    }
}

fn sample_bytes(samples: WavSamples) -> u16 {
    match samples {
        WavSamples::S16 => 2,
        WavSamples::F32 => 4,
    }
}

/// Full scale is symmetric, so that silence stays zero and nothing wraps.
fn to_s16(sample: f32) -> i16 {
    (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16
}

fn header(samples: WavSamples, format: AudioFormat, data_bytes: u32) -> Vec<u8> {
    let frame_bytes = sample_bytes(samples) * format.channels;
    // 1 is whole numbers, 3 floating point (the registered WAVE format tags).
    let tag: u16 = if samples == WavSamples::S16 { 1 } else { 3 };
    let mut header = Vec::with_capacity(44);
    header.extend_from_slice(b"RIFF");
    header.extend_from_slice(&data_bytes.saturating_add(36).to_le_bytes());
    header.extend_from_slice(b"WAVEfmt ");
    header.extend_from_slice(&16_u32.to_le_bytes());
    header.extend_from_slice(&tag.to_le_bytes());
    header.extend_from_slice(&format.channels.to_le_bytes());
    header.extend_from_slice(&format.rate.to_le_bytes());
    header.extend_from_slice(&(format.rate * u32::from(frame_bytes)).to_le_bytes());
    header.extend_from_slice(&frame_bytes.to_le_bytes());
    header.extend_from_slice(&(sample_bytes(samples) * 8).to_le_bytes());
    header.extend_from_slice(b"data");
    header.extend_from_slice(&data_bytes.to_le_bytes());
    header
}

/// A thread that takes samples as fast as they come.
#[derive(Default)]
pub(super) struct PullThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), SinkError>>>,
}

impl PullThread {
    pub(super) fn start(
        &mut self,
        renderer: Renderer,
        wake: Wake,
        writer: Box<dyn SampleWriter>,
    ) -> Result<(), SinkError> {
        let stop = Arc::clone(&self.stop);
        self.spawn("antiphon-sink", move || {
            pull_all(renderer, &wake, writer, &stop)
        })
    }

    pub(super) fn spawn(
        &mut self,
        name: &str,
        body: impl FnOnce() -> Result<(), SinkError> + Send + 'static,
    ) -> Result<(), SinkError> {
        self.stop.store(false, Ordering::Release);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body);
        let thread = thread.map_err(|error| SinkError::Thread {
            reason: error.to_string(),
        })?;
        self.thread = Some(thread);
        Ok(())
    }

    pub(super) fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    pub(super) fn notify(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    pub(super) fn finish(&mut self) -> Result<(), SinkError> {
        self.stop.store(true, Ordering::Release);
        self.notify();
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let panicked = || SinkError::Thread {
            reason: "it panicked".to_owned(),
        };
        thread.join().unwrap_or_else(|_| Err(panicked()))
    }
}

impl Drop for PullThread {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "a sound output did not end cleanly");
        }
    }
}

fn pull_all(
    mut renderer: Renderer,
    wake: &Wake,
    mut writer: Box<dyn SampleWriter>,
    stop: &AtomicBool,
) -> Result<(), SinkError> {
    let mut block = vec![0.0; PULL_SAMPLES];
    let channels = usize::from(renderer.format().channels);
    loop {
        let stopping = stop.load(Ordering::Acquire);
        let frames = renderer.drain(&mut block);
        let taken = block.get(..frames * channels).unwrap_or_default();
        if let Err(error) = writer.write(taken) {
            renderer.fail(error.to_string());
            wake();
            return Err(error);
        }
        renderer.settle();
        if stopping {
            return writer.finish();
        }
        if frames == 0 {
            std::thread::park_timeout(SLEEP);
        } else {
            wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_scale_does_not_wrap_and_silence_stays_silent() {
        assert_eq!(to_s16(1.5), i16::MAX);
        assert_eq!(to_s16(-1.5), -i16::MAX);
        assert_eq!(to_s16(0.0), 0);
        assert_eq!(to_s16(f32::NAN), 0);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named_in_the_error() {
        let path = PathBuf::from("/nonexistent/folder/x.wav");
        let format = AudioFormat {
            rate: 44_100,
            channels: 2,
        };
        let error = WavWriter::create(path, WavSamples::S16, format)
            .err()
            .expect("no such folder");
        assert!(
            error.to_string().contains("/nonexistent/folder/x.wav"),
            "{error}"
        );
    }
}
