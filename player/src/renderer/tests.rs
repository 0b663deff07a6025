use std::time::Duration;

use super::*;
use crate::gain::Volume;
use crate::output::Output;

const FORMAT: AudioFormat = AudioFormat {
    rate: 1_000,
    channels: 1,
};

fn output(ramp_ms: u64, resume_ms: u64) -> (Output, Renderer) {
    let tuning = OutputTuning {
        ring: Duration::from_millis(100),
        resume: Duration::from_millis(resume_ms),
        ramp: Duration::from_millis(ramp_ms),
    };
    Output::new(FORMAT, tuning, Volume::FULL)
}

fn expect(output: &Output, yes: bool) {
    output.shared.expecting.store(yes, Ordering::Release);
}

#[test]
fn nothing_comes_out_before_the_gate_opens_and_that_is_no_stall() {
    let (mut output, mut renderer) = output(0, 0);
    output.write(&[0.5; 50]);
    expect(&output, true);
    let mut out = [1.0; 20];
    assert_eq!(renderer.render(&mut out), 0);
    assert_eq!(out, [0.0; 20]);
    assert_eq!(output.shared.stalls().count, 0);
    output.open_gate();
    assert_eq!(renderer.render(&mut out), 20);
    assert_eq!(out, [0.5; 20]);
}

#[test]
fn an_underrun_counts_once_and_lasts_until_enough_is_there() {
    let (mut output, mut renderer) = output(0, 10);
    output.write(&[0.5; 5]);
    output.open_gate();
    expect(&output, true);
    let mut out = [0.0; 8];
    assert_eq!(renderer.render(&mut out), 5);
    assert_eq!(renderer.render(&mut out), 0);
    assert_eq!(output.shared.stalls().count, 1);
    assert!(output.shared.is_stalled());
    output.write(&[0.5; 9]);
    assert_eq!(
        renderer.render(&mut out),
        0,
        "nine frames are fewer than the ten to resume with"
    );
    output.write(&[0.5; 1]);
    assert_eq!(renderer.render(&mut out), 8);
    assert!(!output.shared.is_stalled());
    assert_eq!(output.shared.stalls().count, 1);
}

#[test]
fn running_out_at_the_end_of_the_queue_is_no_stall() {
    let (mut output, mut renderer) = output(0, 10);
    output.write(&[0.5; 5]);
    output.open_gate();
    expect(&output, false);
    let mut out = [0.0; 8];
    assert_eq!(renderer.render(&mut out), 5);
    assert_eq!(renderer.render(&mut out), 0);
    assert_eq!(output.shared.stalls(), crate::StallCounts::default());
}

#[test]
fn the_rest_of_a_queue_that_ends_in_a_stall_still_comes_out() {
    let (mut output, mut renderer) = output(0, 10);
    output.write(&[0.5; 5]);
    output.open_gate();
    expect(&output, true);
    let mut out = [0.0; 8];
    renderer.render(&mut out);
    output.write(&[0.5; 3]);
    assert_eq!(renderer.render(&mut out), 0);
    expect(&output, false);
    assert_eq!(renderer.render(&mut out), 3);
}

#[test]
fn a_pause_fades_keeps_what_is_left_and_is_no_stall() {
    let (mut output, mut renderer) = output(4, 0);
    output.write(&[1.0; 60]);
    output.open_gate();
    expect(&output, true);
    let mut out = [0.0; 8];
    renderer.render(&mut out);
    assert_eq!(out, [1.0; 8]);
    output.shared.paused.store(true, Ordering::Release);
    assert_eq!(renderer.render(&mut out), 4);
    assert_eq!(out, [0.75, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(renderer.render(&mut out), 0);
    assert!(renderer.is_idle());
    assert_eq!(output.waiting(), 48);
    output.shared.paused.store(false, Ordering::Release);
    assert_eq!(renderer.render(&mut out), 8);
    assert_eq!(out, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(output.shared.stalls().count, 0);
}

#[test]
fn a_flush_drops_what_was_written_before_and_nothing_after() {
    let (mut output, mut renderer) = output(0, 0);
    output.write(&[1.0; 60]);
    assert!(output.mark(MarkKind::End));
    output.open_gate();
    let mut out = [0.0; 8];
    renderer.render(&mut out);
    output.flush();
    assert!(output.mark(MarkKind::Start));
    output.write(&[0.5; 20]);
    output.open_gate();
    assert_eq!(renderer.render(&mut out), 8);
    assert_eq!(out, [0.5; 8]);
    let passed = output.next_passed().expect("the start was passed");
    assert_eq!(passed.mark.kind, MarkKind::Start);
    assert!(
        output.next_passed().is_none(),
        "the mark flushed away is not reported"
    );
}

#[test]
fn a_flush_fades_out_what_was_audible() {
    let (mut output, mut renderer) = output(4, 0);
    output.write(&[1.0; 60]);
    output.open_gate();
    let mut out = [0.0; 8];
    renderer.render(&mut out);
    output.flush();
    output.write(&[1.0; 20]);
    output.open_gate();
    renderer.render(&mut out);
    assert_eq!(out, [0.75, 0.5, 0.25, 0.0, 0.25, 0.5, 0.75, 1.0]);
}

#[test]
fn marks_are_passed_with_their_frames() {
    let (mut output, mut renderer) = output(0, 0);
    assert!(output.mark(MarkKind::Start));
    output.write(&[0.5; 8]);
    assert!(output.mark(MarkKind::End));
    assert!(output.mark(MarkKind::Start));
    output.write(&[0.5; 8]);
    output.open_gate();
    let mut out = [0.0; 8];
    renderer.render(&mut out);
    let mut kinds = Vec::new();
    while let Some(passed) = output.next_passed() {
        kinds.push((passed.mark.kind, passed.mark.at));
    }
    assert_eq!(kinds, [(MarkKind::Start, 0), (MarkKind::End, 8)]);
    renderer.render(&mut out);
    assert_eq!(
        output.next_passed().map(|passed| passed.mark.kind),
        Some(MarkKind::Start)
    );
}

#[test]
fn a_jump_ends_a_stall_even_before_new_frames_come() {
    let (mut output, mut renderer) = output(0, 10);
    output.write(&[0.5; 5]);
    output.open_gate();
    expect(&output, true);
    let mut out = [0.0; 8];
    renderer.render(&mut out);
    assert!(output.shared.is_stalled());
    output.flush();
    assert!(!renderer.is_idle(), "the stall is not over yet");
    renderer.render(&mut out);
    assert!(!output.shared.is_stalled());
    assert!(renderer.is_idle());
}
