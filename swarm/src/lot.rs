//! Lists in an order by lot, in which an element is found without a search by halving.
//!
//! Lots are spread evenly over all numbers, so where an element is can be said beforehand but for a little: a
//! look for it begins there and reads one or two lines of memory where halving reads one in each of its steps,
//! and what will be read can be brought near ([`crate::memory`]) before anything is looked for. An order by lot
//! means nothing, and is the same for the same elements.

use crate::memory::bring;

/// The lot of a number: neighboring numbers have lots far from each other. A bijection.
#[must_use]
pub const fn lot(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b1)
}

/// Where in a list of so many an element would be if lots were spread evenly.
#[must_use]
pub const fn near(len: usize, lot: u32) -> usize {
    ((len as u64 * lot as u64) >> u32::BITS) as usize
}

/// Bytes of a list on both sides of where an element should be that are brought near: of hundreds of elements of 4
/// bytes, nine in ten lie no farther from there, and a line of memory has 64. Guess.
const AROUND_BYTES: usize = 48;

/// Brings near where the element of `list` is, or would be, whose number is `number`.
pub fn bring_near<T>(list: &[T], number: u32) {
    let around = AROUND_BYTES / size_of::<T>().max(1);
    let at = near(list.len(), lot(number));
    bring(list, at.saturating_sub(around));
    bring(list, (at + around).min(list.len().saturating_sub(1)));
}

/// Elements on both sides of where one should be among which it mostly is, of hundreds. Guess.
const AROUND: usize = 8;

/// Where the first element of `list` is whose lot is not before `lot`: as a search by halving, among those near
/// where it would be if lots were spread evenly, or from there in steps that double.
pub fn first_from<T>(list: &[T], lot: u32, lot_of: impl Fn(&T) -> u32) -> usize {
    let is_before = |at: usize| list.get(at).is_some_and(|element| lot_of(element) < lot);
    let near = near(list.len(), lot);
    let (low, high) = (near.saturating_sub(AROUND), (near + AROUND).min(list.len()));
    if (low == 0 || is_before(low - 1)) && !is_before(high) {
        let around = list.get(low..high).unwrap_or_default();
        return low + around.partition_point(|element| lot_of(element) < lot);
    }
    let mut step = 1;
    let (low, high) = if is_before(near) {
        let mut low = near + 1;
        while is_before(low + step - 1) {
            low += step;
            step *= 2;
        }
        (low, (low + step - 1).min(list.len()))
    } else {
        let mut high = near;
        while high >= step && !is_before(high - step) {
            high -= step;
            step *= 2;
        }
        ((high + 1).saturating_sub(step), high)
    };
    let left = list.get(low..high).unwrap_or_default();
    low + left.partition_point(|element| lot_of(element) < lot)
}

/// Where in `list` the element is whose number is `number`.
///
/// # Errors
///
/// Where it belongs, if it is not there.
pub fn find<T>(list: &[T], number: u32, number_of: impl Fn(&T) -> u32) -> Result<usize, usize> {
    let at = first_from(list, lot(number), |element| lot(number_of(element)));
    match list.get(at) {
        Some(element) if number_of(element) == number => Ok(at),
        _ => Err(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    /// The number whose lot is one, so that its multiples have the lots one, two, three.
    const OF_LOT_ONE: u32 = 0x0e8b_2f51;

    /// Against halving, whatever the lots are.
    #[test]
    fn the_first_element_from_a_lot_on_is_found() {
        assert_eq!(lot(OF_LOT_ONE), 1);
        let mut rng = SeededRng::new([4; 32]);
        for round in 0..2_000 {
            let count = rng.below(60) as usize;
            // Lots spread over all, or in one corner, where nothing is near where it should be.
            let (among, step) = if round % 2 == 0 {
                (1 << 32, 1)
            } else {
                (90, OF_LOT_ONE)
            };
            let mut drawn = || (rng.below(among) as u32).wrapping_mul(step);
            let missing = drawn();
            let mut numbers: Vec<u32> = (0..count).map(|_| drawn()).collect();
            numbers.sort_unstable_by_key(|number| lot(*number));
            numbers.dedup();
            let lots = numbers.iter().map(|number| lot(*number));
            let close: Vec<u32> = lots.flat_map(|lot| [lot, lot.wrapping_add(1)]).collect();
            let others = [0, u32::MAX, rng.below(1 << 32) as u32];
            for sought in close.into_iter().chain(others) {
                let expected = numbers.partition_point(|number| lot(*number) < sought);
                let found = first_from(&numbers, sought, |number| lot(*number));
                assert_eq!(found, expected, "{sought} of {numbers:?}");
            }
            for (at, number) in numbers.iter().enumerate() {
                assert_eq!(find(&numbers, *number, |number| *number), Ok(at));
            }
            let found = find(&numbers, missing, |number| *number);
            assert_eq!(found.is_ok(), numbers.contains(&missing));
        }
    }
}
