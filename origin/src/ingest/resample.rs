//! A change of sample rate over a stream of blocks: no delay at the start, nothing lost at the
//! end, memory for one block.

use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Indexing, Resampler as _};

use crate::ingest::refusal::Refusal;

/// Samples a channel that go in at once.
const CHUNK_FRAMES: usize = 4_096;

/// Takes blocks at one rate and hands them on at another.
pub(crate) struct Resampler {
    fft: Fft<f32>,
    waiting: Vec<Vec<f32>>,
    output: Vec<Vec<f32>>,
    rates: (u64, u64),
    taken: u64,
    given: u64,
    /// Samples of the filter's delay still to drop.
    to_drop: usize,
}

type Sink<'a> = &'a mut dyn FnMut(&[Vec<f32>]) -> Result<(), Refusal>;

impl Resampler {
    pub(crate) fn new(from: u32, to: u32, channels: usize) -> Result<Self, Refusal> {
        let (input, output) = (from as usize, to as usize);
        let fft = Fft::new(input, output, CHUNK_FRAMES, channels, FixedSync::Input)
            .map_err(|error| failed(&error))?;
        Ok(Self {
            waiting: vec![Vec::new(); channels],
            output: vec![vec![0.0; fft.output_frames_max()]; channels],
            rates: (u64::from(from), u64::from(to)),
            taken: 0,
            given: 0,
            to_drop: fft.output_delay(),
            fft,
        })
    }

    pub(crate) fn take(&mut self, planes: &[Vec<f32>], sink: Sink<'_>) -> Result<(), Refusal> {
        self.taken += planes.first().map_or(0, Vec::len) as u64;
        for (waiting, plane) in self.waiting.iter_mut().zip(planes) {
            waiting.extend_from_slice(plane);
        }
        while self.waiting_frames() >= self.fft.input_frames_next() {
            self.turn(None, u64::MAX, sink)?;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self, sink: Sink<'_>) -> Result<(), Refusal> {
        let due = (self.taken * self.rates.1).div_ceil(self.rates.0);
        while self.given < due {
            let rest = self.waiting_frames();
            self.turn(Some(rest), due, sink)?;
        }
        Ok(())
    }

    fn waiting_frames(&self) -> usize {
        self.waiting.first().map_or(0, Vec::len)
    }

    fn turn(&mut self, partial: Option<usize>, due: u64, sink: Sink<'_>) -> Result<(), Refusal> {
        let frames = self.fft.input_frames_next();
        for waiting in &mut self.waiting {
            waiting.resize(waiting.len().max(frames), 0.0);
        }
        let channels = self.waiting.len();
        let room = self.output.first().map_or(0, Vec::len);
        let input = SequentialSliceOfVecs::new(&self.waiting, channels, frames);
        let output = SequentialSliceOfVecs::new_mut(&mut self.output, channels, room);
        let input = input.map_err(|error| failed(&error))?;
        let mut output = output.map_err(|error| failed(&error))?;
        let indexing = Indexing {
            input_offset: 0,
            output_offset: 0,
            partial_len: partial,
            active_channels_mask: None,
        };
        let (_, made) = self
            .fft
            .process_into_buffer(&input, &mut output, Some(&indexing))
            .map_err(|error| failed(&error))?;
        for waiting in &mut self.waiting {
            waiting.drain(..frames);
        }
        let skip = self.to_drop.min(made);
        self.to_drop -= skip;
        let left = usize::try_from(due - self.given).unwrap_or(usize::MAX);
        let end = made.min(skip.saturating_add(left));
        let block: Vec<Vec<f32>> = self
            .output
            .iter()
            .map(|plane| plane.get(skip..end).unwrap_or(&[]).to_vec())
            .collect();
        self.given += (end - skip) as u64;
        sink(&block)
    }
}

fn failed(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::whole(format!("its sample rate could not be changed ({error})"))
}
