use super::*;

fn format(rate: u32, channels: u16) -> AudioFormat {
    AudioFormat { rate, channels }
}

fn tone(frames: usize, rate: u32) -> Vec<f32> {
    (0..frames)
        .map(|i| (i as f32 * 440.0 * std::f32::consts::TAU / rate as f32).sin() * 0.5)
        .collect()
}

#[test]
fn equal_formats_at_unit_gain_pass_bit_for_bit() {
    let mut converter = Converter::new(format(44_100, 2), format(44_100, 2), 1.0).unwrap();
    let original = tone(1000, 44_100);
    let mut block = original.clone();
    converter.convert(&mut block).unwrap();
    assert_eq!(block, original);
    assert!(converter.finish().unwrap().is_empty());
}

#[test]
fn a_rate_change_keeps_length_and_place() {
    for (from, to) in [
        (44_100, 48_000),
        (48_000, 44_100),
        (22_050, 44_100),
        (96_000, 44_100),
    ] {
        let mut converter = Converter::new(format(from, 1), format(to, 1), 1.0).unwrap();
        let input = tone(50_001, from);
        let mut output = Vec::new();
        for part in input.chunks(777) {
            let mut block = part.to_vec();
            converter.convert(&mut block).unwrap();
            output.extend(block);
        }
        output.extend(converter.finish().unwrap());
        let due = (50_001 * u64::from(to)).div_ceil(u64::from(from));
        assert_eq!(output.len() as u64, due, "{from} to {to}");
        let ideal = tone(output.len(), to);
        let middle = 2_000..output.len() - 2_000;
        let worst = output[middle.clone()]
            .iter()
            .zip(&ideal[middle])
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        // The filter's center may lie between two frames: less than one frame of the steepest slope.
        let one_frame = 0.5 * 440.0 * std::f32::consts::TAU / to as f32;
        assert!(
            worst < one_frame,
            "{from} to {to}: off by {worst}, a frame is {one_frame}"
        );
    }
}

#[test]
fn folded_channels_stay_within_full_scale() {
    for channels in 1..=8_u16 {
        for target in 1..=2_u16 {
            let mut block = vec![1.0; usize::from(channels) * 3];
            map_channels(&mut block, usize::from(channels), usize::from(target));
            assert_eq!(block.len(), usize::from(target) * 3);
            assert!(
                block
                    .iter()
                    .all(|sample| *sample <= 1.0001 && *sample > 0.0),
                "{channels}"
            );
        }
    }
    let mut block = vec![0.25];
    map_channels(&mut block, 1, 2);
    assert_eq!(block, [0.25, 0.25]);
}
