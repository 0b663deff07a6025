//! A run is a function of its scenario and seed.

use crate::worlds::{outcome, small};

#[test]
fn the_same_seed_gives_the_same_digest_whatever_the_workers() {
    let digests = |workers| -> Vec<u128> {
        let runs = outcome(small("antiphon"), 3, workers);
        runs.iter().map(|run| run.digest).collect()
    };
    let one = digests(1);
    assert_eq!(one, digests(1), "a repetition");
    assert_eq!(one, digests(2), "two workers");
    assert!(one[0] != one[1] && one[1] != one[2], "seeds differ");
}
