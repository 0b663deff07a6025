//! More than two channels to stereo, by the usual weights (ITU-R BS.775), never louder than full
//! scale. One and two channels pass through.

use symphonia::core::audio::{Channels, Position};

/// Weight of a channel that goes to both sides, and of a surround channel: -3 dB.
const HALF_POWER: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// The weights of each channel towards left and right.
#[derive(Debug)]
pub(crate) struct Mixdown {
    weights: Vec<(f32, f32)>,
}

impl Mixdown {
    pub(crate) fn new(channels: &Channels) -> Self {
        let mut weights: Vec<_> = match channels {
            Channels::Positioned(positions) => positions.iter().map(weight).collect(),
            // Nobody says what these are: alternate, as most such files do.
            other => (0..other.count())
                .map(|index| {
                    if index % 2 == 0 {
                        (1.0, 0.0)
                    } else {
                        (0.0, 1.0)
                    }
                })
                .collect(),
        };
        let sum = |side: fn(&(f32, f32)) -> f32| weights.iter().map(side).sum::<f32>();
        let loudest = sum(|weight| weight.0).max(sum(|weight| weight.1)).max(1.0);
        for (left, right) in &mut weights {
            *left /= loudest;
            *right /= loudest;
        }
        Self { weights }
    }

    /// Leaves at most two planes.
    pub(crate) fn apply(&self, planes: &mut Vec<Vec<f32>>) {
        if planes.len() <= 2 {
            return;
        }
        let frames = planes.first().map_or(0, Vec::len);
        let (mut left, mut right) = (vec![0.0; frames], vec![0.0; frames]);
        for (plane, weight) in planes.iter().zip(&self.weights) {
            for ((left, right), sample) in left.iter_mut().zip(&mut right).zip(plane) {
                *left += sample * weight.0;
                *right += sample * weight.1;
            }
        }
        *planes = vec![left, right];
    }
}

fn weight(position: Position) -> (f32, f32) {
    let left = Position::FRONT_LEFT | Position::FRONT_LEFT_CENTER | Position::FRONT_LEFT_WIDE;
    let right = Position::FRONT_RIGHT | Position::FRONT_RIGHT_CENTER | Position::FRONT_RIGHT_WIDE;
    let far_left = Position::REAR_LEFT
        | Position::SIDE_LEFT
        | Position::TOP_FRONT_LEFT
        | Position::TOP_REAR_LEFT
        | Position::TOP_SIDE_LEFT;
    let far_right = Position::REAR_RIGHT
        | Position::SIDE_RIGHT
        | Position::TOP_FRONT_RIGHT
        | Position::TOP_REAR_RIGHT
        | Position::TOP_SIDE_RIGHT;
    match position {
        at if left.contains(at) => (1.0, 0.0),
        at if right.contains(at) => (0.0, 1.0),
        at if far_left.contains(at) => (HALF_POWER, 0.0),
        at if far_right.contains(at) => (0.0, HALF_POWER),
        at if (Position::LFE1 | Position::LFE2).contains(at) => (0.0, 0.0),
        _ => (HALF_POWER, HALF_POWER),
    }
}
